"""What `looplet.backends` exports, and what importing it costs."""

from __future__ import annotations

import subprocess
import sys

import pytest

from looplet import backends
from looplet.errors import BackendError


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


@pytest.mark.parametrize("kind", ["OpenAIBackend", "AsyncOpenAIBackend", "AnthropicBackend"])
@pytest.mark.parametrize("url", ["http://[::1", "http://ann:pw-9@host:port/v1", "http://a\nb"])
def test_an_address_that_is_none_is_told_with_the_variable_to_set(kind, url):
    with pytest.raises(BackendError, match=r"no address of a model server.*(AI|IC)_BASE_URL") as it:
        getattr(backends, kind)(base_url=url, api_key="x")
    assert "pw-9" not in str(it.value)


def test_what_the_network_says_ends_as_a_sentence_once():
    with pytest.raises(BackendError) as it:
        backends.OpenAIBackend(base_url="host/v1", api_key="x").generate("hi")
    assert "protocol. Check that" in str(it.value)
