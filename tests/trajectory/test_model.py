"""Digests of runs: equal runs are equal, and the first difference is found."""

from __future__ import annotations

import copy

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from looplet.core.records import ErrorKind, ToolError
from looplet.trajectory.model import chain, first_difference


def rechain(trajectory):
    for record, link in zip(
        trajectory.steps, chain(trajectory.task, trajectory.steps), strict=True
    ):
        record.digest = link
    return trajectory


@given(data=st.data())
def test_equal_runs_have_equal_digests_whatever_their_times(data, trajectories):
    one = rechain(data.draw(trajectories))
    other = copy.deepcopy(one)
    other.trajectory_id, other.started_at, other.metadata = "else", None, {"x": 1}
    for record in other.steps:
        record.timestamp, record.duration_ms = 1.0, 2.0
        record.tool_call.call_id, record.tool_result.duration_ms = "other", 3.0
    assert rechain(other).digest == one.digest
    assert first_difference(one.steps, other.steps) is None


@given(data=st.data())
def test_any_changed_argument_or_result_changes_the_digest(data, make, values):
    one, other = make("a", steps=4), make("a", steps=4)
    place = data.draw(st.integers(0, 3))
    value = data.draw(values)
    changed = other.steps[place]
    if data.draw(st.booleans()):
        assume(changed.tool_call.args != {"x": value})
        changed.tool_call.args = {"x": value}
    else:
        assume(changed.tool_result.data != value)
        changed.tool_result.data = value
    assert rechain(other).digest != one.digest
    assert first_difference(one.steps, other.steps) == place


def test_tool_error_reasoning_task_and_end_are_part_of_the_digest(make):
    digests = {make("a").digest}
    for change in (
        lambda run: setattr(run.steps[0].tool_call, "tool", "x"),
        lambda run: setattr(run.steps[0].tool_call, "reasoning", "x"),
        lambda run: setattr(run.steps[0].tool_result, "error", "x"),
        lambda run: setattr(
            run.steps[0].tool_result, "error_detail", ToolError(ErrorKind.TIMEOUT, "x")
        ),
        lambda run: setattr(run, "task", {"goal": "b"}),
        lambda run: setattr(run, "stop_reason", "budget_exhausted"),
    ):
        run = make("a")
        change(run)
        digests.add(rechain(run).digest)
    assert len(digests) == 7


@pytest.mark.parametrize(
    ("one", "other"),
    [((1, 2), [1, 2]), ({1: "a"}, {"1": "a"}), ({None: 0}, {"null": 0}), (1, 1.0), (1, True)],
)
def test_values_that_json_writes_alike_have_digests_of_their_own(make, one, other):
    runs = [make("a"), make("a")]
    for run, value in zip(runs, (one, other), strict=True):
        run.steps[0].tool_result.data = value
    assert rechain(runs[0]).digest != rechain(runs[1]).digest
    runs = [make("a", task=one), make("a", task=other)]
    assert runs[0].digest != runs[1].digest


def test_a_longer_run_parts_where_the_shorter_ends(make):
    one, other = make("a", steps=4), make("a", steps=4)
    del other.steps[2:]
    assert first_difference(one.steps, other.steps) == 2
