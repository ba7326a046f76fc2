"""Streaming backends against a server that breaks on purpose: llmock, where it is installed.

It is no dependency, since it brings a web framework with it; put it on the PATH to run these:
``python -m venv faults && faults/bin/pip install llmock && PATH=faults/bin:$PATH pytest ...``
"""

from __future__ import annotations

import asyncio
import shutil
import socket
import subprocess
import time

import pytest

from looplet import (
    AnthropicStreamingBackend,
    AsyncAnthropicStreamingBackend,
    AsyncOpenAIStreamingBackend,
    OpenAIStreamingBackend,
)
from looplet.core.failures import is_permanent
from looplet.errors import BackendError, BackendRefused, BackendUnreachable

LLMOCK = shutil.which("llmock")
pytestmark = pytest.mark.skipif(LLMOCK is None, reason="the package llmock is not on the PATH")
TRIES = 8

BACKENDS = {
    "openai": (OpenAIStreamingBackend, "/v1"),
    "openai-async": (AsyncOpenAIStreamingBackend, "/v1"),
    "anthropic": (AnthropicStreamingBackend, "/anthropic"),
    "anthropic-async": (AsyncAnthropicStreamingBackend, "/anthropic"),
}


@pytest.fixture(scope="module")
def start():
    """Starts a server with these faults, once for the module, and gives its address."""
    running = {}

    def address(*faults):
        if faults not in running:
            running[faults] = _started(faults)
        return running[faults][0]

    yield address
    for _, process in running.values():
        process.terminate()
        process.wait(20)


def _started(faults):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [LLMOCK, "serve", "--host", "127.0.0.1", "--port", str(port)]
    command += ["--response-style", "echo", "--log-level", "error", *faults]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    for _ in range(600):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return f"http://127.0.0.1:{port}", process
        time.sleep(0.05)
    process.kill()
    raise AssertionError("llmock did not start")


@pytest.fixture(params=BACKENDS.values(), ids=BACKENDS.keys())
def ask_often(request):
    """Asks that server several times: the replies, the failures, and what was told of each."""
    kind, path = request.param

    async def asked(root):
        llm, out = kind(base_url=root + path, api_key="k", model="gpt-4o"), []
        for _ in range(TRIES):
            told = []
            try:
                reply = llm.generate("How much is a pear?", on_chunk=told.append)
                out.append((reply if isinstance(reply, str) else await reply, told))
            except BackendError as error:
                out.append((error, told))
        closed = llm.close()
        if closed is not None:
            await closed
        return out

    return lambda root: asyncio.run(asked(root))


@pytest.mark.parametrize(
    ("fault", "kinds"),
    [
        ("truncate", BackendUnreachable),
        ("disconnect", BackendUnreachable),
        ("malformed", BackendRefused),
    ],
)
def test_a_broken_stream_is_a_failure_that_may_pass_and_never_a_short_reply(
    start, ask_often, fault, kinds
):
    (whole, _), *_ = ask_often(start())
    outcomes = ask_often(start("--stream-fault", f"{fault}=1"))
    failures = [outcome for outcome, _ in outcomes if isinstance(outcome, BackendError)]
    assert failures
    assert all(isinstance(each, kinds) and not is_permanent(each) for each in failures)
    # An event that is damaged may be one that says nothing of the reply; then it is whole.
    assert {outcome for outcome, _ in outcomes if isinstance(outcome, str)} <= {whole}
    assert all(whole.startswith("".join(told)) for _, told in outcomes)


@pytest.mark.parametrize(("status", "wait"), [(429, 1.0), (500, None), (503, None)])
def test_an_error_status_is_told_with_the_wait_that_is_asked_for(start, ask_often, status, wait):
    for error, told in ask_often(start("--error-rate", f"{status}=1")):
        assert (error.status, told) == (status, [])
        assert not is_permanent(error)
        if wait is not None:
            assert error.retry_after == wait
