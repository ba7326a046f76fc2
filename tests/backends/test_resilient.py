"""A backend that asks again, on a clock that no test waits for."""

from __future__ import annotations

import asyncio
import inspect
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from looplet import LoopConfig, tool, tools_from
from looplet.backends import AnthropicBackend, ResilientBackend
from looplet.backends.resilient import Patience, may_pass
from looplet.core.cancel import CancelToken
from looplet.core.failures import is_permanent
from looplet.errors import BackendRefused, BackendTimeout, RetryExhausted, RunCancelled
from looplet.testing import AsyncMockLLMBackend, MockLLMBackend


@tool
def price(fruit: str) -> dict:
    """Price of a fruit."""
    return {"fruit": fruit}


class Kind:
    """Sync or async backends, and a call of one."""

    def __init__(self, mock):
        self.mock = mock

    def ask(self, llm, **keywords):
        answer = llm.generate("hi", **keywords)
        return asyncio.run(answer) if inspect.isawaitable(answer) else answer


@pytest.fixture(params=[Kind(MockLLMBackend), Kind(AsyncMockLLMBackend)], ids=["sync", "async"])
def kind(request):
    return request.param


def refused(status, **fields):
    return BackendRefused(f"status {status}", status=status, **fields)


def test_a_failure_that_may_pass_is_asked_again_after_longer_and_longer_pauses(kind):
    inner, pauses = kind.mock([refused(500), ConnectionError("reset"), refused(529), "ok"]), []
    llm = ResilientBackend(inner, retries=4, jitter=0, sleep=pauses.append)
    assert kind.ask(llm) == "ok"
    assert pauses == [0.5, 1.0, 2.0]


def test_retries_is_the_total_of_attempts_and_the_last_failure_is_the_cause(kind):
    inner, pauses = kind.mock([refused(500), refused(503, retry_after=1.5)]), []
    llm = ResilientBackend(inner, retries=2, sleep=pauses.append)
    with pytest.raises(RetryExhausted, match=r"asked 2 times.*status 503") as caught:
        kind.ask(llm)
    assert (caught.value.attempts, caught.value.status, caught.value.retry_after) == (2, 503, 1.5)
    assert isinstance(caught.value.__cause__, BackendRefused)
    assert (inner.calls, len(pauses)) == (2, 1)
    assert is_permanent(caught.value)


@pytest.mark.parametrize(
    "error", [refused(400), refused(401), TypeError("no"), ValueError("context_length_exceeded")]
)
def test_a_permanent_failure_is_raised_as_it_is_at_once(kind, error):
    inner = kind.mock([error])
    with pytest.raises(type(error)) as caught:
        kind.ask(ResilientBackend(inner, sleep=lambda _: None))
    assert caught.value is error
    assert inner.calls == 1


def test_the_wait_that_a_provider_asks_for_is_kept_up_to_a_minute(kind):
    inner, pauses = (
        kind.mock([refused(429, retry_after=20), refused(429, retry_after=9e9), "ok"]),
        [],
    )
    kind.ask(ResilientBackend(inner, sleep=pauses.append))
    assert pauses == [20, 60]


def test_retry_on_takes_types_or_a_question(kind):
    for retry_on in (KeyError, (KeyError,), lambda error: isinstance(error, KeyError)):
        inner = kind.mock([KeyError("x"), ConnectionError("down")])
        with pytest.raises(ConnectionError):
            kind.ask(ResilientBackend(inner, retry_on=retry_on, sleep=lambda _: None))
        assert inner.calls == 2


def test_retry_on_never_makes_a_permanent_failure_one_to_ask_again_after(kind):
    for retry_on in (Exception, (BackendRefused, TypeError), lambda error: True):
        for error in (refused(401), TypeError("no"), RetryExhausted("gone", attempts=2)):
            inner = kind.mock([error])
            with pytest.raises(type(error)) as caught:
                kind.ask(ResilientBackend(inner, retry_on=retry_on, sleep=lambda _: None))
            assert caught.value is error
            assert inner.calls == 1


def test_a_resilient_backend_in_another_does_not_multiply_the_attempts(kind):
    inner = kind.mock([ConnectionError("down")])
    llm = ResilientBackend(
        ResilientBackend(inner, retries=2, sleep=lambda _: None), retries=5, sleep=lambda _: None
    )
    with pytest.raises(RetryExhausted, match="asked 2 times"):
        kind.ask(llm)
    assert inner.calls == 2


def test_a_set_cancel_token_ends_the_attempts(kind):
    token, inner = CancelToken(), kind.mock([ConnectionError("down")])
    llm = ResilientBackend(inner, sleep=lambda _: token.cancel())
    with pytest.raises(RunCancelled):
        kind.ask(llm, cancel_token=token)
    assert inner.calls == 1


def test_an_async_sleep_is_awaited():
    slept = []

    async def sleep(seconds):
        slept.append(seconds)

    inner = AsyncMockLLMBackend([ConnectionError("down"), "ok"])
    assert Kind(None).ask(ResilientBackend(inner, sleep=sleep, jitter=0)) == "ok"
    assert slept == [0.5]


def test_without_a_sleep_of_ones_own_it_really_pauses(kind):
    for keywords in ({}, {"cancel_token": CancelToken()}):
        inner = kind.mock([ConnectionError("down"), "ok"])
        assert kind.ask(ResilientBackend(inner, base_delay_s=0), **keywords) == "ok"


def test_a_call_that_takes_too_long_is_a_timeout_and_asked_again():
    release, calls = threading.Event(), []

    class Slow:
        def generate(self, prompt):
            calls.append(prompt)
            release.wait(20)
            return "late"

    llm = ResilientBackend(Slow(), retries=2, timeout_s=0.02, sleep=lambda _: None)
    with pytest.raises(RetryExhausted, match=r"did not answer within 0\.02 s") as caught:
        llm.generate("hi")
    release.set()
    assert isinstance(caught.value.__cause__, BackendTimeout)
    assert len(calls) == 2


def test_an_async_call_that_takes_too_long_is_cancelled_and_asked_again():
    calls = []

    class Slow:
        async def generate(self, prompt):
            calls.append(prompt)
            if len(calls) == 1:
                await asyncio.Event().wait()
            return "in time"

    llm = ResilientBackend(Slow(), timeout_s=0.02, sleep=lambda _: None)
    assert asyncio.run(llm.generate("hi")) == "in time"
    assert len(calls) == 2


def test_a_timeout_of_the_backends_own_keeps_its_words(kind):
    inner = kind.mock([TimeoutError("mine")])
    with pytest.raises(RetryExhausted, match="mine"):
        kind.ask(ResilientBackend(inner, timeout_s=20, sleep=lambda _: None))


def test_what_is_no_exception_passes_through_a_timed_call(kind):
    class Stop(BaseException):
        pass

    with pytest.raises(Stop):
        kind.ask(ResilientBackend(kind.mock([Stop()]), timeout_s=20))


def test_a_real_server_that_is_overloaded_once_is_asked_again(server, Answer, message):
    server.says(Answer(529, {"error": {"type": "overloaded_error"}}), message("hello"))
    inner = AnthropicBackend(base_url=server.root, model="m")
    llm = ResilientBackend(inner, timeout_s=20, sleep=lambda _: None)
    assert llm.generate("hi") == "hello"
    assert llm.last_usage == {"input_tokens": 7, "output_tokens": 3}
    assert len(server.bodies) == 2
    inner.close()


@pytest.mark.parametrize(
    "wrong", [{"retries": 0}, {"timeout_s": 0}, {"jitter": 2}, {"base_delay_s": -1}]
)
def test_what_cannot_be_meant_is_refused_when_it_is_made(wrong):
    with pytest.raises(ValueError, match=r"at least 1|more than 0|jitter"):
        ResilientBackend(MockLLMBackend(), **wrong)


@given(st.integers(1, 5000), st.floats(0, 1), st.floats(0, 1), st.floats(0, 100), st.floats(0, 100))
def test_a_pause_is_never_negative_and_never_longer_than_the_longest(
    attempt, chance, jitter, base, longest
):
    patience = Patience(
        retries=3, timeout_s=None, base_delay_s=base, max_delay_s=longest, jitter=jitter,
        retry_on=may_pass,
    )  # fmt: skip
    assert 0 <= patience.pause(attempt, ConnectionError(), chance) <= longest


def test_one_layer_retries_and_the_loop_does_not_ask_again_what_was_given_up(drive, clock):
    inner = drive.text([ConnectionError("down")] * 9)
    llm = ResilientBackend(inner, retries=2, sleep=lambda _: None)
    config = LoopConfig(runtime=clock.runtime)
    ran = drive(llm, tools=tools_from([price], include_done=True), config=config)
    assert inner.calls == 2
    assert clock.pauses == []
    assert "RetryExhausted: asked 2 times" in ran.steps[-1].tool_result.error
    assert ran.steps[-1].tool_result.error_detail.context["attempts"] == 1
