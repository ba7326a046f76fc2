"""Failures come back as what they were, as near as a replay can."""

import builtins

import pytest

import looplet.errors
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


def test_a_foreign_type_comes_back_as_its_nearest_known_one():
    class ReadTimeout(TimeoutError):
        status_code = 504

    found = again(ReadTimeout("slow"))
    assert type(found) is TimeoutError
    assert found.status == 504
    assert "ReadTimeout" in str(found)


def test_a_wholly_foreign_type_is_a_refusal_that_names_it():
    class RateLimitError(Exception):
        status_code = 429

    found = again(RateLimitError("wait"))
    assert type(found) is BackendRefused
    assert isinstance(found, BackendError)
    assert found.status == 429
    assert "wait" in str(found)
    assert "RateLimitError" in str(found)


def test_a_type_whose_constructor_wants_more_is_a_refusal_that_names_it():
    found = again(UnicodeDecodeError("utf-8", b"\xff", 0, 1, "bad"))
    assert type(found) is BackendRefused
    assert "UnicodeDecodeError" in str(found)


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
