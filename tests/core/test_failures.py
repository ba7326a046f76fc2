"""Exceptions sorted into kinds."""

from __future__ import annotations

import json

import pytest

from looplet.core.failures import describe, is_overflow, is_permanent, status_of, tool_error
from looplet.errors import (
    BackendError,
    BackendRefused,
    BackendTimeout,
    BackendUnreachable,
    LLMResponsesExhausted,
    RunCancelled,
    ToolValidationError,
)


class RateLimitError(Exception):
    pass


class ContextOverflowError(Exception):
    pass


class XMLParseError(Exception):
    pass


class HTTPError(Exception):
    def __init__(self, status):
        self.status_code = status
        super().__init__("refused")


@pytest.mark.parametrize(
    ("error", "kind", "retriable"),
    [
        (ToolValidationError("x"), "validation", False),
        (TimeoutError(), "timeout", True),
        (ValueError("x"), "validation", False),
        (TypeError("x"), "validation", False),
        (KeyError("x"), "validation", False),
        (json.JSONDecodeError("x", "", 0), "validation", False),
        (PermissionError("x"), "permission_denied", False),
        (ConnectionResetError("x"), "network", True),
        (BackendUnreachable("x"), "network", True),
        (BackendTimeout("x"), "timeout", True),
        (RunCancelled("x"), "cancelled", False),
        (RateLimitError("x"), "rate_limit", True),
        (RuntimeError("Too Many Requests"), "rate_limit", True),
        (HTTPError(429), "rate_limit", True),
        (ContextOverflowError("x"), "context_overflow", False),
        (RuntimeError("context_length_exceeded"), "context_overflow", False),
        (HTTPError(413), "context_overflow", False),
        (XMLParseError("x"), "parse", False),
        (RuntimeError("x"), "execution", False),
        (OSError("x"), "execution", False),
        (ZeroDivisionError("x"), "execution", False),
    ],
)
def test_an_exception_has_the_kind_that_fits_it(error, kind, retriable):
    found = tool_error(error)
    assert (found.kind.value, found.retriable) == (kind, retriable)


def test_the_text_is_type_and_message_but_for_a_tools_own_refusal():
    assert describe(ValueError("no")) == "ValueError: no"
    assert describe(ValueError()) == "ValueError"
    assert tool_error(KeyError("pear")).message == "KeyError: 'pear'"
    assert tool_error(ToolValidationError("no such fruit")).message == "no such fruit"


@pytest.mark.parametrize(
    ("error", "permanent"),
    [
        *((BackendRefused("x", status=status), True) for status in (400, 401, 403, 404, 422, 413)),
        *((BackendRefused("x", status=status), False) for status in (408, 409, 429, 500, 503)),
        (HTTPError(404), True),
        (TypeError("x"), True),
        (LLMResponsesExhausted("x"), True),
        (type("RetryExhausted", (Exception,), {})("x"), True),
        (BackendUnreachable("x"), False),
        (BackendTimeout("x"), False),
        (BackendError("x"), False),
        (ValueError("x"), False),
    ],
)
def test_a_failure_that_cannot_pass_is_permanent(error, permanent):
    assert is_permanent(error) is permanent


def test_a_prompt_that_is_too_long_is_known_by_status_or_words():
    assert is_overflow(HTTPError(413))
    assert is_overflow(BackendRefused("This model's maximum context length is 8", status=400))
    assert not is_overflow(HTTPError(400))
    assert status_of(HTTPError(400)) == 400
    assert status_of(ValueError()) is None
