"""``looplet show`` as a person meets it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from looplet import MockLLMBackend, RecordingLLMBackend
from looplet.__main__ import main
from looplet.core.records import ToolCall, ToolResult
from looplet.provenance import LLMCall, StepRecord, Trajectory
from looplet.trajectory.trace_dir import TraceDir
from tests.conftest import ROOT

START = datetime(2026, 1, 2, tzinfo=UTC)


def step(number: int, tool: str, args: dict[str, Any], data: Any, **more: Any) -> StepRecord:
    indices = more.pop("calls", [number - 1])
    result = ToolResult(tool, "", data, duration_ms=0.2, **more)
    return StepRecord(
        step_num=number,
        tool_call=ToolCall(tool, args),
        tool_result=result,
        duration_ms=0.2,
        timestamp=START.timestamp() + number / 1000,
        llm_call_indices=indices,
    )


def run(**fields: Any) -> Trajectory:
    """The run of the contract's own sample."""
    chars = ((700, 60), (504, 73))
    return Trajectory(
        **{
            "trajectory_id": "t",
            "run_id": "5d0c19ab42fe",
            "stop_reason": "done",
            "started_at": START,
            "ended_at": START + timedelta(milliseconds=3),
            "steps": [
                step(1, "price", {"fruit": "pear"}, {"fruit": "pear", "euro": 0.55}),
                step(2, "done", {"summary": "0.55"}, {"status": "completed", "summary": "0.55"}),
            ],
            "llm_calls": [
                LLMCall(number, 1.0, 1.0, "generate", "p" * sent, "", "r" * got)
                for number, (sent, got) in enumerate(chars)
            ],
            **fields,
        }
    )


def written(folder: Any, trajectory: Trajectory) -> str:
    trace = TraceDir(folder, run_id=trajectory.run_id)
    trace.complete(trajectory, calls=trajectory.llm_calls)
    return str(folder)


def shown(capsys: Any, *command: str) -> list[str]:
    assert main(["show", *command]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    return out.splitlines()


def test_a_run_is_shown_as_in_the_contract(tmp_path, capsys):
    assert shown(capsys, written(tmp_path, run())) == [
        "5d0c19ab42fe  ✓ done  2 steps  2 LLM calls  3ms",
        "",
        "#1  ✓ price(fruit=pear                    ) → 2 keys               [    0ms] call 0",
        "#2  ✓ done(summary=0.55                  ) → 2 keys               [    0ms] call 1",
        "",
        "LLM: 2 calls, 1,204 in / 133 out chars, 0 errors",
    ]


@pytest.mark.parametrize(
    ("reason", "error", "head"),
    [
        ("llm_error", "TypeError: gone", "✗ llm_error"),
        ("error", None, "✗ error"),
        ("budget_exhausted", None, "· budget_exhausted"),
        ("enough", None, "· enough"),
        (None, None, "· max_steps_or_stop"),
    ],
)
def test_the_mark_tells_how_it_ended_and_the_reason_is_exact(tmp_path, capsys, reason, error, head):
    last = step(12, "price", {"fruit": "plum", "n": "x" * 60}, None, error=error, calls=[0, 1])
    failed = LLMCall(0, 1.0, 1.0, "generate", "p", "", None, error=error)
    folder = written(tmp_path, run(stop_reason=reason, steps=[last], llm_calls=[failed]))
    first, _, line, _, model = shown(capsys, folder)
    assert first == f"5d0c19ab42fe  {head}  1 step  1 LLM call  3ms"
    mark, tail = ("✗", f"ERROR: {error}") if error else ("✓", "None")
    arguments = "fruit=plum, n=" + "x" * 16
    assert line == f"#12 {mark} price({arguments}) → {tail:<20} [    0ms] calls 0, 1"
    assert model == f"LLM: 1 call, 1 in / 0 out chars, {int(bool(error))} error" + "s" * (not error)


def test_a_rejected_done_is_marked(tmp_path, capsys):
    rejected = step(1, "done", {"summary": "?"}, {"rejected": True, "reason": "no price"})
    rejected.tool_result.args_summary = "rejected"
    lines = shown(capsys, written(tmp_path, run(steps=[rejected, *run().steps[1:]])))
    assert [line[:10] for line in lines if line.startswith("#")] == ["#1  ✗ done", "#2  ✓ done"]


def test_a_run_without_an_end_is_shown(tmp_path, capsys):
    trajectory = run(stop_reason=None, ended_at=None)
    trace = TraceDir(tmp_path, run_id="r")
    trace.begin(trajectory)
    assert (
        shown(capsys, str(tmp_path))[0] == "5d0c19ab42fe  · interrupted  0 steps  0 LLM calls  0ms"
    )
    trace.write_call(trajectory.llm_calls[0])
    trace.write_step(trajectory.steps[0])
    lines = shown(capsys, str(tmp_path))
    assert lines[0] == "5d0c19ab42fe  · interrupted  1 step  1 LLM call  1ms"
    assert lines[-1] == "LLM: 1 call, 700 in / 60 out chars, 0 errors"


def test_calls_alone_and_steps_alone_are_shown(tmp_path, capsys):
    llm = RecordingLLMBackend(MockLLMBackend(["hello"]))
    llm.generate("hi")
    llm.save(tmp_path / "calls")
    assert shown(capsys, str(tmp_path / "calls")) == [
        f"{llm.log.run_id}  · no_steps  0 steps  1 LLM call  0ms",
        "",
        "LLM: 1 call, 2 in / 5 out chars, 0 errors",
    ]
    (tmp_path / "bare" / "steps").mkdir(parents=True)
    record = {"step_num": 1, "tool_call": {"tool": "t", "args": {}}, "tool_result": {"data": [1]}}
    (tmp_path / "bare" / "steps" / "step_01.json").write_text(json.dumps(record))
    first, _, line, *_ = shown(capsys, str(tmp_path / "bare"))
    assert first == "(no run id)  · interrupted  1 step  0 LLM calls  0ms"
    assert line == f"#1  ✓ t({'':30}) → {'1 items':20} [    0ms]"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "does not exist"),
        ({}, "not a trace directory"),
        ({"notes.md": "x"}, "not a trace directory"),
        ({"trajectory.json": "{"}, "trajectory.json cannot be read"),
        ({"trajectory.json": '{"schema_version": 9}'}, "schema_version 9"),
        ({"manifest.jsonl": "x\n"}, "line 1 of"),
        (
            {"manifest.jsonl": '{"index": 0, "prompt_chars": "x"}\n'},
            "cannot be read",
        ),
        ({"trajectory.json": '{"started_at": "today"}'}, "trajectory.json cannot be read"),
        ({"trajectory.json": '{"steps": [{"step_num": 1, "tool_call": {"tool": 3}}]}'}, "be read"),
    ],
)
def test_what_cannot_be_shown_is_one_message_and_exit_one(tmp_path, content, message):
    folder = tmp_path / "trace"
    if content is not None:
        folder.mkdir()
        for name, text in content.items():
            (folder / name).write_text(text)
    ran = subprocess.run(
        [sys.executable, "-m", "looplet", "show", str(folder)],
        capture_output=True, text=True, check=False, cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert (ran.returncode, ran.stdout) == (1, "")
    assert ran.stderr.startswith("error: ")
    assert message in ran.stderr
    assert str(folder) in ran.stderr
    assert len(ran.stderr.splitlines()) == 1


def test_nothing_of_a_users_is_imported(tmp_path):
    folder = written(tmp_path / "trace", run())
    poison = "raise SystemExit('imported')"
    for place in ("price.py", "eval_prices.py", "conftest.py", "trace/__init__.py"):
        (tmp_path / place).write_text(poison)
    code = (
        "import sys; from looplet.__main__ import main; code = main(['show', sys.argv[1]]); "
        "names = {name.split('.')[0] for name in sys.modules} - set(sys.stdlib_module_names); "
        "print(*sorted(name for name in names if not name.startswith('_')), file=sys.stderr); "
        "sys.exit(code)"
    )
    ran = subprocess.run(
        [sys.executable, "-S", "-c", code, folder], capture_output=True, text=True, check=False,
        cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert (ran.returncode, ran.stderr.split()) == (0, ["looplet"])
    assert ran.stdout.startswith("5d0c19ab42fe")


def test_a_terminal_that_lacks_a_character_shows_its_escape(tmp_path):
    folder = written(tmp_path, run())
    ran = subprocess.run(
        [sys.executable, "-m", "looplet", "show", folder], capture_output=True, check=False,
        cwd=ROOT, env={**os.environ, "PYTHONIOENCODING": "ascii"},
    )  # fmt: skip
    assert (ran.returncode, ran.stderr) == (0, b"")
    assert b"5d0c19ab42fe  \\u2713 done" in ran.stdout
