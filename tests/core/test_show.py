"""Results as a prompt shows them."""

from __future__ import annotations

import copy
import json
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from looplet.core.records import Step, ToolCall, ToolResult
from looplet.core.show import RECENT_CHARS, recent_text, result_text, shorten, step_text

ROWS = list(range(60))
CUT = {"rows": ROWS[:50], "total": 60, "showing": 50, "truncated": True,
       "note": "10 more rows are not shown"}  # fmt: skip


@pytest.mark.parametrize(
    ("data", "shown"),
    [
        (ROWS, CUT),
        (ROWS[:50], ROWS[:50]),
        ({"rows": ROWS, "n": 60}, {"rows": CUT, "n": 60}),
        ({"per_table": ROWS}, {"per_table": CUT}),
        ({"other": ROWS}, {"other": ROWS}),
        ({"rows": ROWS[:3]}, {"rows": ROWS[:3]}),
        ("x" * 6000, "x" * 6000),
        ("x" * 6001, "x" * 6000 + "… [1 more characters]"),
        (3, 3),
        (None, None),
    ],
)
def test_long_results_are_shortened_and_the_given_one_stays_whole(data, shown):
    before = copy.deepcopy(data)
    assert shorten(data) == shown
    assert data == before


@given(st.text())
def test_a_text_is_shown_as_it_is(text):
    assert result_text(text) == text[:6000]


@pytest.mark.parametrize("data", [{1: "a"}, {(1, 2): "b"}, {1, 2}, b"x", object, {"é": "{0}"}])
def test_every_result_has_a_text(data):
    assert isinstance(result_text(data), str)


def test_json_is_shown_with_its_letters():
    assert result_text({"é": "{0}", "n": [1, None]}) == '{"é": "{0}", "n": [1, null]}'


def test_a_set_is_shown_the_same_in_every_process():
    code = (
        "from looplet.core.show import result_text\n"
        "print(result_text({'s': {'pear', 'fig', 'kiwi', frozenset('ab'), 3}}))"
    )
    said = {
        subprocess.run(
            [sys.executable, "-c", code], env={"PYTHONHASHSEED": seed},
            capture_output=True, text=True, check=True,
        ).stdout
        for seed in ("1", "2", "3")
    }  # fmt: skip
    assert said == {"""{"s": "{'fig', 'kiwi', 'pear', 3, frozenset({'a', 'b'})}"}\n"""}
    assert result_text([set(), frozenset()]) == '["set()", "frozenset()"]'


@pytest.mark.filterwarnings("ignore:a list contains itself")
def test_a_result_that_contains_itself_has_a_text_too():
    endless = []
    endless.append(endless)
    assert json.loads(result_text(endless)) == "[[...]]"


def step(result):
    return Step(3, ToolCall("price", {"fruit": "pear"}), result)


def test_a_step_shows_its_call_and_its_result_or_error():
    assert step_text(step(ToolResult("price", "", {"euro": 1}))) == (
        'S3 ✓ price(fruit=pear) → {"euro": 1}'
    )
    failed = ToolResult("price", "", None, error="ValueError: no pear")
    assert step_text(step(failed)) == "S3 ✗ price(fruit=pear) → ERROR: ValueError: no pear"


def test_one_step_and_all_recent_steps_are_bounded():
    assert len(step_text(step(ToolResult("price", "", "x" * 50_000)))) < 3200
    lines = [str(n) * 9000 for n in range(5)]
    assert recent_text(lines) == "\n".join(lines[3:])
    assert recent_text(["x" * (RECENT_CHARS + 1)]) != ""
    assert recent_text([]) == ""
