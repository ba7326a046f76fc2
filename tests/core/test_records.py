"""Records: their one-line forms and their JSON."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from looplet.core.records import ErrorKind, Step, ToolCall, ToolError, ToolResult, summarize_args


def step(data=None, *, error=None, args=None, duration_ms=0.0):
    call = ToolCall("price", args or {})
    return Step(1, call, ToolResult("price", "", data, error=error, duration_ms=duration_ms))


@pytest.mark.parametrize(
    ("data", "tail"),
    [
        ([1, 2, 3], "3 items"),
        ([], "0 items"),
        ({"rows": [1, 2], "total": 2}, "2 rows"),
        ({"rows": [1]}, "1 rows"),
        ({"a": [1], "b": [2]}, "2 keys"),
        ({"greeting": "Hello"}, "greeting: Hello"),
        ({"text": "x" * 70}, "text: " + "x" * 60),
        ({"a": 1, "b": 2}, "2 keys"),
        ({}, "0 keys"),
        ({"needs_approval": True}, "⏸ awaiting approval"),
        ({"needs_approval": True, "approval_description": "Pay?"}, "⏸ awaiting approval: Pay?"),
        (
            {"needs_approval": True, "approval_description": "d" * 90},
            "⏸ awaiting approval: " + "d" * 80,
        ),
        ({"needs_approval": False, "x": 1}, "2 keys"),
        (0, "0"),
        (False, "False"),
        (None, "None"),
        ("y" * 70, "y" * 60),
    ],
)
def test_the_tail_of_a_line_tells_the_data_in_short(data, tail):
    assert step(data).pretty() == f"#1 ✓ price() → {tail}"


def test_an_error_shows_its_first_80_characters():
    assert step(error="e" * 90).pretty() == "#1 ✗ price() → ERROR: " + "e" * 80


def test_a_rejected_done_is_marked_and_a_tool_that_says_rejected_is_not():
    data = {"rejected": True, "reason": "no source"}
    call = ToolCall("finish", {"answer": 1})
    line = Step(4, call, ToolResult("finish", "rejected", data)).pretty()
    assert line == "#4 ✗ finish(answer=1) → 2 keys"
    assert step(data).pretty() == "#1 ✓ price() → 2 keys"


def test_the_duration_stands_there_only_if_there_is_one():
    assert step(1, duration_ms=12.6).pretty().endswith("[13ms]")
    assert step(1).pretty().endswith("→ 1")


def test_argument_values_are_cut_and_dunder_arguments_hidden():
    line = step(1, args={"q": "z" * 60, "__theory__": "secret", "n": 3}).pretty()
    assert line == f"#1 ✓ price(q={'z' * 50}, n=3) → 1"
    assert summarize_args({"__theory__": "t"}) == ""


@given(st.text(st.characters(exclude_categories=())), st.text(st.characters(exclude_categories=())))
def test_a_line_is_always_printable_and_can_be_encoded(value, data):
    line = step(data, args={"q": value}).pretty()
    assert line.isprintable()
    line.encode()


def test_a_terminal_sequence_and_a_lone_surrogate_are_escaped():
    assert "\\x1b[31m" in step("\x1b[31mred").pretty()
    assert "\\ud800" in step("\ud800").summary()


def test_a_call_has_five_keys_and_an_id_of_twelve_hex_digits():
    call = ToolCall("price", {"fruit": "apple"}, "why")
    assert list(call.to_dict()) == ["tool", "args", "reasoning", "call_id", "metadata"]
    assert len(call.call_id) == 12
    int(call.call_id, 16)


def test_a_list_is_previewed_and_saved_whole():
    result = ToolResult("t", "", list(range(30)))
    assert result.to_dict()["data"] == list(range(20))
    assert result.to_dict()["total_items"] == 30
    assert result.to_dict(full=True)["data"] == list(range(30))
    assert "total_items" not in result.to_dict(full=True)


def test_text_is_previewed_and_saved_whole():
    result = ToolResult("t", "", "x" * 3000)
    assert result.to_dict()["data"] == "x" * 2000
    assert result.to_dict(full=True)["data"] == "x" * 3000


@pytest.mark.parametrize("data", [{"rows": list(range(99))}, None, True, 0, 1.5])
def test_dicts_and_scalars_are_previewed_as_they_are(data):
    assert ToolResult("t", "", data).to_dict()["data"] == data


def test_other_data_is_previewed_as_text():
    assert isinstance(ToolResult("t", "", {1, 2}).to_dict()["data"], str)


def test_the_keys_of_a_result_depend_on_what_there_is():
    plain = ToolResult("t", "a=1", 1, result_key="k")
    assert list(plain.to_dict()) == ["tool", "args", "duration_ms", "result_key", "data"]
    failed = ToolResult("t", "", None, error="x", result_key="k", warnings=["w"], metadata={"m": 1})
    assert list(failed.to_dict()) == [
        "tool", "args", "duration_ms", "error", "error_kind", "error_retriable",
        "data", "warnings", "metadata",
    ]  # fmt: skip


def test_an_error_known_only_by_its_text_is_an_execution_error():
    result = ToolResult("t", "", None, error="broke")
    assert (result.error_kind, result.error_message) == (ErrorKind.EXECUTION, "broke")
    assert not result.error_retriable
    assert ToolResult("t", "", 1).error_kind is None


def test_an_error_with_detail_tells_kind_and_whether_to_ask_again():
    detail = ToolError(ErrorKind.TIMEOUT, "", retriable=True)
    result = ToolResult("t", "", None, error="x", error_detail=detail)
    assert (result.error_kind, result.error_retriable) == (ErrorKind.TIMEOUT, True)
    assert detail
    assert str(detail) == ""


def test_a_step_as_json_holds_the_uncut_result():
    out = step("x" * 3000).to_dict()
    assert list(out) == ["step", "tool_call", "tool_result"]
    assert len(out["tool_result"]["data"]) == 3000
