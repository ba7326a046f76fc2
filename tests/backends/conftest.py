"""Nothing of the machine's own environment reaches a backend."""

from __future__ import annotations

import os
import socket

import pytest

from tests.servers import Answer, completion, message

__all__ = ["Answer", "completion", "message"]


@pytest.fixture
def dead_url():
    """An address at which nobody listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    return f"http://127.0.0.1:{port}/v1"


@pytest.fixture(autouse=True)
def _no_environment(monkeypatch):
    for name in [each for each in os.environ if each.startswith(("OPENAI_", "ANTHROPIC_"))]:
        monkeypatch.delenv(name)
    for name in (
        "HTTP_PROXY",
        "HTTPS_PROXY",
        "ALL_PROXY",
        "http_proxy",
        "https_proxy",
        "all_proxy",
    ):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(name="completion")
def _completion():
    return completion


@pytest.fixture(name="message")
def _message():
    return message


@pytest.fixture(name="Answer")
def _answer():
    return Answer
