"""What an eval reads of a run."""

from __future__ import annotations

from looplet.core.records import ToolCall, ToolResult
from looplet.evals import EvalContext


def test_a_context_of_a_trajectory_equals_the_one_made_by_hand(run):
    trajectory = run("pears", 0, 2.0)
    loaded = EvalContext.from_trajectory(trajectory)
    live = EvalContext(
        [record.to_step() for record in trajectory.steps],
        trajectory.task,
        trajectory.final_output,
        stop_reason="done",
        expected=trajectory.expected,
    )
    for name in ("steps", "task", "final_output", "stop_reason", "completed", "expected"):
        assert getattr(loaded, name) == getattr(live, name)
    assert [step.pretty() for step in loaded.steps] == [step.pretty() for step in live.steps]
    assert loaded.tool_sequence == ["price", "done"]
    assert loaded.step_count == 2
    assert loaded.trajectory is trajectory
    assert loaded.metadata["run_id"] == trajectory.run_id


def test_a_run_without_an_answer_has_an_empty_one(run):
    ctx = EvalContext.from_trajectory(run("pears", 0, 2.0, final_output=None, stop_reason=None))
    assert ctx.final_output == {}
    assert not ctx.completed
    assert ctx.lacks("final_output")


def test_false_and_zero_are_not_lacking():
    ctx = EvalContext([], final_output=0, expected=False)
    assert not ctx.lacks("final_output")
    assert not ctx.lacks("expected")
    assert ctx.lacks("steps")
    assert ctx.lacks("stop_reason")


def test_errors_are_the_texts_of_the_failed_steps(run):
    trajectory = run("pears", 0, 2.0)
    trajectory.steps[0].tool_call = ToolCall("price", {})
    trajectory.steps[0].tool_result = ToolResult("price", "", None, error="no such fruit")
    assert EvalContext.from_trajectory(trajectory).errors == ["no such fruit"]


def test_two_contexts_share_no_dict():
    one, other = EvalContext([]), EvalContext([])
    one.task["goal"] = "x"
    assert other.task == {}
