"""Failures as data, and made anew."""

from __future__ import annotations

import json

import pytest

from looplet.core.failures import describe, is_permanent, status_of
from looplet.core.refailing import (
    describe_failure,
    failure_of,
    failure_of_text,
    is_interrupt,
)
from looplet.errors import BackendRefused, BackendTimeout, LLMResponsesExhausted, RetryExhausted


class Strange(ConnectionError):
    """A failure of another package."""

    def __init__(self, message: str, *, code: int) -> None:
        super().__init__(message)
        self.status_code = code


class Odd(Exception):
    """One that has no kin."""


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (TimeoutError("too slow"), TimeoutError),
        (KeyError("pear"), KeyError),
        (OSError(28, "No space left"), OSError),
        (TypeError(), TypeError),
        (BackendRefused("no", status=401, retry_after=3.5), BackendRefused),
        (BackendTimeout("late", status=504), BackendTimeout),
        (LLMResponsesExhausted("none left"), LLMResponsesExhausted),
        (Strange("lost", code=400), ConnectionError),
        (Odd("odd"), BackendRefused),
        (RetryExhausted("3 times", attempts=3, status=429), RetryExhausted),
        (UnicodeDecodeError("utf-8", b"x", 0, 1, "bad"), UnicodeError),
    ],
)
def test_a_failure_comes_back_as_what_the_loop_takes_it_for(error, kind):
    again = failure_of(json.loads(json.dumps(describe_failure(error))))
    assert isinstance(again, kind)
    assert describe(again) == describe(error)
    assert (status_of(again), getattr(again, "retry_after", None)) == (
        status_of(error), getattr(error, "retry_after", None),
    )  # fmt: skip


def test_a_permanent_failure_stays_one():
    exhausted = RetryExhausted("x", attempts=3)
    assert failure_of(describe_failure(exhausted)).attempts == 3
    refused = BackendRefused("x", status=404)
    for error in (TypeError("x"), Strange("x", code=403), refused, exhausted):
        assert is_permanent(error)
        assert is_permanent(failure_of(describe_failure(error)))
    assert not is_permanent(failure_of(describe_failure(Strange("x", code=500))))


def test_an_interrupt_is_told_and_is_no_exception_again():
    described = describe_failure(KeyboardInterrupt("stop"))
    assert described["interrupt"] is True
    assert "interrupt" not in describe_failure(ValueError("x"))
    assert is_interrupt("KeyboardInterrupt: stop")
    assert not is_interrupt("KeyError: stop")


@pytest.mark.parametrize(
    ("text", "kind", "message"),
    [
        ("TimeoutError: too: slow", TimeoutError, "too: slow"),
        ("BackendTimeout: late", BackendTimeout, "late"),
        ("openai.RateLimitError: slow down", BackendRefused, "openai.RateLimitError: slow down"),
        ("print: x", BackendRefused, "print: x"),
        ("UnicodeDecodeError: x", UnicodeError, "x"),
        ("", BackendRefused, "(as recorded)"),
    ],
)
def test_a_failure_is_made_of_its_text_alone(text, kind, message):
    error = failure_of_text(text)
    assert isinstance(error, kind)
    assert message in str(error)
