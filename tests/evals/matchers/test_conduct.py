"""What a run should not do."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from looplet.control.stagnation import tool_call_fingerprint
from looplet.core.records import ErrorKind, Step, ToolCall, ToolError, ToolResult
from looplet.errors import EvalError
from looplet.evals import EvalContext
from looplet.evals.matchers import first_error, never, no_errors, no_repeats, progresses
from looplet.evals.trying import context_of_calls

LOOKS = st.lists(
    st.tuples(st.sampled_from(["look", "eat"]), st.sampled_from([{}, {"n": 1}]), st.integers(0, 1)),
    max_size=8,
)  # fmt: skip


def test_a_forbidden_call_is_named_with_what_forbids_it():
    ctx = context_of_calls(
        "search", ("bash", {"cmd": "rm -rf /", "cwd": "/"}, PermissionError("denied")), "drop_table"
    )
    dangerous = ("bash", {"cmd": lambda cmd: "rm" in cmd})
    match = never(ctx, "delete_*", dangerous, "drop_*")
    assert [miss.step for miss in match.misses] == [2, 3]
    assert match.misses[0].text.startswith(
        "step 2: bash(cmd='rm -rf /', cwd='/') is forbidden (bash(cmd=the lambda at test_conduct.py"
    )
    assert match.metrics == {"forbidden": 2}
    assert never(ctx, "delete_*", "drop")
    assert never(ctx, ("bash", {"cmd": "rm -rf /"}), args="exact")
    assert never(context_of_calls("search"), dangerous).explanation == (
        "none of 1 calls is forbidden"
    )


def test_the_same_call_is_the_same_whatever_is_ignored_of_it():
    ctx = context_of_calls(
        ("get", {"page": 1, "at": 1, "__theory__": "a"}), ("get", {"at": 2, "page": 1}), "other",
        ("get", {"page": 1, "at": 3}),
    )  # fmt: skip
    assert no_repeats(ctx)
    match = no_repeats(ctx, ignore="at")
    assert [miss.text for miss in match.misses] == [
        "step 2: get(page=1) is the same call as step 1",
        "step 4: get(page=1) is the same call as step 1",
    ]
    assert [miss.step for miss in no_repeats(ctx, ignore="at", times=2).misses] == [4]
    assert no_repeats(ctx, ignore="at", times=3)
    assert no_repeats(ctx, ignore="at", ignore_tools="g*")


def test_trying_again_is_no_repetition_where_failures_do_not_count():
    ctx = context_of_calls(("get", {}, OSError("busy")), ("get", {}, 1), ("get", {}, 1))
    assert [miss.step for miss in no_repeats(ctx).misses] == [2, 3]
    assert [miss.step for miss in no_repeats(ctx, count_failed=False).misses] == [3]


@given(LOOKS, st.integers(1, 3))
def test_standing_still_is_a_row_of_steps_that_were_all_there_before(calls, patience):
    fresh = [call not in calls[:place] for place, call in enumerate(calls)]
    rows = "".join("x" if each else "." for each in fresh).split("x")
    match = progresses(context_of_calls(*calls), patience=patience)
    assert match.passed == all(len(row) < patience for row in rows)
    assert match.metrics == {"longest_standstill": max(map(len, rows))}


def test_progress_may_be_seen_otherwise_and_tools_left_out():
    calls = [("look", {"at": n}, n) for n in range(3)] + [("wait", {}, None)] * 4
    ctx = context_of_calls(*calls)
    match = progresses(ctx)
    assert match.explanation == "step 5: wait() and the 2 steps after it bring nothing new"
    assert progresses(ctx, ignore_tools="wait")
    assert progresses(ctx, patience=4)
    by_tool = progresses(ctx, fingerprint=lambda call, result: call.tool)
    assert [miss.step for miss in by_tool.misses] == [5]
    assert progresses(
        context_of_calls(("poll", {}, 1), ("poll", {}, 2), ("poll", {}, 3)), patience=1
    )
    assert not progresses(
        context_of_calls(("poll", {}, 1), ("poll", {}, 2)),
        patience=1,
        fingerprint=tool_call_fingerprint,
    )


def test_the_first_error_is_found_by_its_step_and_kind():
    late = ToolError(ErrorKind.TIMEOUT, "too late")
    result = ToolResult("get", "", None, error="too late", error_detail=late)
    steps = [
        *context_of_calls("search", ("price", {}, KeyError("fig"))).steps,
        Step(3, ToolCall("get"), result),
    ]
    ctx = EvalContext(steps)
    assert first_error(ctx) is steps[1]
    assert first_error(ctx, ignore_tools="price") is steps[2]
    assert first_error(ctx, ignore_tools="*") is None
    match = no_errors(ctx)
    assert match.metrics == {"errors": 2, "first_error": 2}
    assert [miss.step for miss in match.misses] == [2, 3]
    assert match.misses[1].text == "step 3: get() → ERROR: too late"
    assert no_errors(ctx, kinds=["timeout"]).metrics == {"errors": 1, "first_error": 3}
    assert no_errors(ctx, kinds=[ErrorKind.NETWORK]).explanation == "none of 3 steps failed"


@pytest.mark.parametrize(
    ("ask", "text"),
    [
        (never, "forbids nothing"),
        (lambda ctx: no_repeats(ctx, times=0), "times is a whole number from 1 on, not 0"),
        (lambda ctx: progresses(ctx, patience=True), "patience is a whole number"),
        (lambda ctx: no_errors(ctx, kinds=["late"]), "no kind of error 'late'; .*timeout"),
    ],
)
def test_what_could_not_fail_is_refused(ask, text):
    with pytest.raises(EvalError, match=text):
        ask(context_of_calls("price"))
