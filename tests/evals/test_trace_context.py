"""The context of a run in a trace directory."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from looplet import EvalContext, MockLLMBackend, ProvenanceSink, composable_loop
from looplet.errors import TraceDamaged
from tests.guarantees.parts import APPLE, DONE, call, hook, shop

PARTS = tuple(name for name in EvalContext.__slots__ if name not in ("_steps", "trajectory"))


def recorded(folder: Path, *replies: Any, **options: Any) -> ProvenanceSink:
    sink = ProvenanceSink(dir=folder)
    hooks = [*options.pop("hooks", ()), sink.trajectory_hook()]
    llm = sink.wrap_llm(MockLLMBackend([*replies]))
    list(composable_loop(llm, "Price.", shop(), hooks=hooks, **options))
    sink.flush()
    return sink


@pytest.mark.parametrize(
    ("replies", "options"),
    [
        ([APPLE, DONE], {}),
        ([APPLE], {"max_steps": 2}),
        ([call("price", fruit="fig"), DONE], {}),
        ([DONE], {"hooks": [hook(check_done=lambda *a: "no")], "max_steps": 1}),
        ([DONE], {"max_steps": 0}),
    ],
)
def test_a_loaded_context_equals_the_live_one(tmp_path, replies, options):
    live = EvalContext.from_trajectory(recorded(tmp_path, *replies, **options).trajectory)
    loaded = EvalContext.from_trajectory_dir(tmp_path)
    assert loaded.steps == live.steps
    assert [step.pretty() for step in loaded.steps] == [step.pretty() for step in live.steps]
    for name in PARTS:
        assert getattr(loaded, name) == getattr(live, name), name
    assert loaded.trajectory == live.trajectory
    assert set(loaded.metadata) == {"run_id", "started_at", "ended_at", "termination_reason"}
    saved = json.loads((tmp_path / "trajectory.json").read_text("utf-8"))
    assert {name: saved[name] for name in loaded.metadata} == loaded.metadata
    assert loaded.session_log_text == saved["session_log_text"]


def test_metadata_is_the_saved_one(tmp_path):
    recorded(tmp_path, DONE)
    place = tmp_path / "trajectory.json"
    saved = json.loads(place.read_text("utf-8"))
    place.write_text(json.dumps({**saved, "metadata": {"branch": "main"}}))
    context = EvalContext.from_trajectory_dir(str(tmp_path))
    assert context.metadata["branch"] == "main"
    assert context.metadata["started_at"] == saved["started_at"]


def test_files_beside_a_trace_tell_of_artifacts_and_of_what_is_expected(tmp_path):
    recorded(tmp_path, APPLE, max_steps=1)
    assert EvalContext.from_trajectory_dir(tmp_path).artifacts == {}
    (tmp_path / "artifacts.json").write_text('{"report": "a.txt"}')
    metrics = {"expected_price": 0.4, "other": 1, "output": {"price": 0.4}}
    (tmp_path / "metrics.json").write_text(json.dumps(metrics))
    context = EvalContext.from_trajectory_dir(tmp_path)
    assert context.artifacts == {"report": "a.txt"}
    assert context.task == {"description": "Price.", "expected_price": 0.4}
    assert context.final_output == {"price": 0.4}
    assert (context.completed, context.tool_sequence) == (False, ["price"])
    recorded(tmp_path, DONE)
    context = EvalContext.from_trajectory_dir(tmp_path)
    assert context.final_output == {"summary": "all priced"}, "a done-call says it itself"
    assert context.task["expected_price"] == 0.4


def test_a_plain_file_of_the_format_is_enough(tmp_path):
    rejected = {
        "step_num": 1,
        "tool_call": {"tool": "finish", "args": {"summary": "early"}},
        "tool_result": {"tool": "finish", "args": "rejected", "data": {"rejected": True}},
    }
    step = {**rejected, "step_num": 2, "tool_result": {"tool": "finish", "data": {"ok": True}}}
    head = {"run_id": "r", "task": {"goal": "x"}, "done_tool": "finish", "started_at": 1.0}
    place = tmp_path / "trajectory.json"
    place.write_text(json.dumps({**head, "termination_reason": "done", "steps": [rejected, step]}))
    context = EvalContext.from_trajectory_dir(tmp_path)
    assert (context.stop_reason, context.completed) == ("done", True)
    assert context.final_output == {"summary": "early"}
    assert context.metadata == {
        "run_id": "r", "started_at": 1.0, "ended_at": None, "termination_reason": "done",
    }  # fmt: skip
    place.write_text(json.dumps({**head, "steps": [rejected]}))
    context = EvalContext.from_trajectory_dir(tmp_path)
    assert (context.stop_reason, context.final_output) == ("max_steps_or_stop", {})


def test_what_is_no_trace_and_what_cannot_be_read_is_said(tmp_path):
    for place in (tmp_path / "none", tmp_path):
        with pytest.raises(FileNotFoundError, match=str(place)):
            EvalContext.from_trajectory_dir(place)
    recorded(tmp_path, DONE)
    for name in ("metrics.json", "artifacts.json", "trajectory.json"):
        (tmp_path / name).write_text("[1]")
        with pytest.raises(TraceDamaged, match=name):
            EvalContext.from_trajectory_dir(tmp_path)
        (tmp_path / name).unlink()
