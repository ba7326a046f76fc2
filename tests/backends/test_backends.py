"""What `looplet.backends` exports, and what importing it costs."""

from __future__ import annotations

import subprocess
import sys

import pytest

from looplet import backends


def test_every_name_is_there_and_listed():
    for name in backends.__all__:
        assert getattr(backends, name).__name__ == name
    assert set(backends.__all__) <= set(dir(backends))


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'OpenAiBackend'"):
        _ = backends.OpenAiBackend


def test_importing_the_backends_loads_neither_sdk_nor_asyncio():
    code = (
        "import sys; from looplet.backends import *; import looplet.testing; "
        "print(sorted({'openai', 'anthropic', 'asyncio', 'httpx', 'pydantic'} & set(sys.modules)))"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"
