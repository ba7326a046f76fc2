"""Failures come back as what they were, as near as a replay can."""

import builtins
import json

import pytest

import looplet.errors
from looplet.core.failures import describe, tool_error
from looplet.errors import BackendError, BackendRefused, BackendUnreachable
from looplet.replay.outcomes import answer_of, stored_failure, stored_reply


def again(error):
    return answer_of(stored_failure(error, duration_ms=1.0)).failure


@pytest.mark.parametrize(
    "error",
    [
        BackendRefused("no", status=429, retry_after=2.5),
        BackendUnreachable("nobody there"),
        TimeoutError("slow"),
        ConnectionResetError(104, "reset"),
        KeyError("name"),
        ValueError("two\nlines \ud800"),
        RuntimeError(),
    ],
    ids=lambda error: type(error).__name__,
)
def test_known_types_come_back_equal(error):
    found = again(error)
    assert type(found) is type(error)
    assert str(found) == str(error)
    assert found.args == error.args
    assert getattr(found, "status", None) == getattr(error, "status", None)
    assert getattr(found, "retry_after", None) == getattr(error, "retry_after", None)


def test_a_foreign_type_comes_back_with_its_name_and_its_nearest_known_ancestor():
    class ReadTimeout(TimeoutError):
        status_code = 504

    found = again(ReadTimeout("slow"))
    assert isinstance(found, TimeoutError)
    assert found.status == 504
    assert describe(found) == "ReadTimeout: slow"


def test_a_wholly_foreign_type_is_a_refusal_of_its_name():
    class RateLimitError(Exception):
        status_code = 429

    found = again(RateLimitError("wait"))
    assert isinstance(found, BackendRefused)
    assert isinstance(found, BackendError)
    assert found.status == 429
    assert describe(found) == "RateLimitError: wait"


@pytest.mark.parametrize(
    "error",
    [
        UnicodeDecodeError("utf-8", b"\xff", 0, 1, "bad"),
        json.JSONDecodeError("no value", "{", 1),
        ExceptionGroup("two", [ValueError("a"), KeyError("b")]),
        Exception("plain"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_what_is_shown_of_a_failure_is_what_was_shown(error):
    """It goes into the step, whose digest is compared, and into the next prompt."""
    assert describe(again(error)) == describe(error)
    assert tool_error(again(error)).kind is tool_error(error).kind


def test_every_error_of_looplet_can_come_back():
    for kind in vars(looplet.errors).values():
        if (
            isinstance(kind, type)
            and issubclass(kind, Exception)
            and not hasattr(builtins, kind.__name__)
        ):
            try:
                error = kind("text")
            except TypeError:
                continue
            assert isinstance(again(error), Exception)


def test_an_answer_is_text_or_blocks_with_what_the_provider_said():
    stored = stored_reply("hi", usage={"input_tokens": 3}, stop_reason="end_turn", duration_ms=1.5)
    answer = answer_of(stored)
    assert answer.give() == "hi"
    assert answer.outcome.usage == {"input_tokens": 3}
    assert answer.outcome.stop_reason == "end_turn"
    assert answer.duration_ms == 1.5
