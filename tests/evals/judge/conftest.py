"""Scripted judges and the runs that they judge."""

from __future__ import annotations

import json

import pytest

from looplet.core.records import Step, ToolCall, ToolResult
from looplet.evals import EvalContext


@pytest.fixture
def say():
    """A reply with a verdict."""
    return lambda verdict, reason="It says so.": json.dumps({"reason": reason, "verdict": verdict})


@pytest.fixture
def make_ctx():
    """A run that looked a price up and answered with a text."""

    def make(answer="A pear costs 0.40.", **fields):
        call = ToolCall("price", {"fruit": "pear"}, "I will look.", "c1")
        step = Step(1, call, ToolResult("price", "", {"euro": 0.4}))
        known = {"task": {"goal": "Price of a pear?"}, "stop_reason": "done"}
        return EvalContext([step], final_output={"text": answer}, **{**known, **fields})

    return make
