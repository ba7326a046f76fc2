"""Evals at the end of a live run."""

from __future__ import annotations

import json

import pytest

from looplet import DefaultState, EvalCase, EvalHook, MockLLMBackend, NotEvaluable, ProvenanceSink
from looplet.errors import EvalError
from tests.guarantees.parts import APPLE, DONE, shop


def eval_completed(ctx):
    return ctx.completed


def eval_path(ctx):
    return "yes" if ctx.tool_sequence == ["price", "done"] else "no"


def eval_raises(ctx):
    raise ValueError("no price")


def eval_judged(ctx, llm):
    return llm.generate("Good?") == "fine"


def eval_absent(ctx):
    raise NotEvaluable("no receipt")


def ended(drive, hook, *before, replies=(APPLE, DONE), **options):
    options = {"tools": shop(), "task": {"goal": "Price."}, "max_steps": 4, **options}
    return drive(drive.text([*replies]), hooks=[*before, hook], **options)


def test_evals_are_run_when_the_run_ends_however_it_does(drive):
    hook = EvalHook([eval_completed, eval_path])
    assert hook.results == []
    assert ended(drive, hook).error is None
    assert [(each.name, each.label, each.passed) for each in hook.results] == [
        ("eval_completed", "pass", True),
        ("eval_path", "yes", True),
    ]
    assert hook.context.stop_reason == "done"
    ended(drive, hook, leave_after=1)
    assert [each.passed for each in hook.results] == [False, False]
    assert hook.context.stop_reason == "stream_closed"
    assert hook.context.tool_sequence == ["price"]


def test_only_the_steps_of_the_run_are_judged(drive):
    state = DefaultState(max_steps=9)
    hook = EvalHook([eval_path])
    for _ in range(2):
        assert ended(drive, hook, state=state, max_steps=9).error is None
        assert hook.results[0].passed
    assert len(state.steps) == 4


def test_the_summary_counts_each_result_once(drive):
    hook = EvalHook([eval_completed, eval_path, eval_raises, eval_judged, eval_absent])
    ended(drive, hook)
    line = "1 scored (avg 1.00), 1 labeled, 1 error, 1 skipped, 1 not evaluable"
    assert hook.summary() == line
    lines = hook.report().splitlines()
    assert lines[-1] == line
    assert [each.split()[1] for each in lines[:-1]] == [each.name for each in hook.results]
    assert EvalHook([]).summary() == "0 scored, 0 labeled"


def test_a_judge_and_a_case_are_given(drive):
    def eval_case(ctx, case):
        return case.id == "pears"

    hook = EvalHook(
        [eval_judged, eval_case], judge_llm=MockLLMBackend(["fine"]), case=EvalCase("pears")
    )
    ended(drive, hook)
    assert [each.passed for each in hook.results] == [True, True]


def test_collectors_are_merged_in_order_and_one_that_fails_hides_no_other(drive, caplog):
    def breaks(state):
        return 1 / 0

    def wrong(state):
        return ["report"]

    def eval_artifacts(ctx):
        return ctx.artifacts == {"a": 2, "steps": 2, "b": 3}

    hook = EvalHook(
        [eval_artifacts],
        collectors=[
            lambda state: {"a": 1, "steps": len(state.steps)},
            breaks,
            wrong,
            lambda state: {"a": 2, "b": 3},
        ],
    )
    ended(drive, hook)
    assert hook.results[0].passed
    assert hook.artifacts == {"a": 2, "steps": 2, "b": 3}
    assert hook.collector_errors == [
        "breaks: ZeroDivisionError: division by zero",
        "wrong: TypeError: it gave list, not a dict",
    ]
    assert [record.getMessage() for record in caplog.records] == [
        "the collector breaks was left out",
        "the collector wrong was left out",
    ]


def test_what_is_saved_is_what_was_found(drive, tmp_path):
    hook = EvalHook([eval_completed, eval_raises], collectors=[lambda state: {"é": (1, 2)}])
    path = tmp_path / "new" / "evals.json"
    ended(drive, hook)
    saved = hook.save(path)
    assert json.loads(path.read_text("utf-8")) == saved
    assert list(saved) == ["task", "results", "summary", "artifacts"]
    assert saved["task"] == {"goal": "Price."}
    assert saved["results"] == [each.to_dict() for each in hook.results]
    plain = EvalHook([eval_completed])
    ended(drive, plain)
    assert list(plain.save(path)) == ["task", "results", "summary"]


def test_verbose_prints_the_report_once(drive, capsys):
    hook = EvalHook([eval_completed], verbose=True)
    ended(drive, hook)
    assert capsys.readouterr().out == hook.report() + "\n"
    ended(drive, EvalHook([eval_completed]))
    assert capsys.readouterr().out == ""


def test_with_a_recorder_evals_read_what_it_keeps(drive, tmp_path):
    sink = ProvenanceSink(dir=tmp_path, redact=lambda text: text.replace("Price", "[cut]"))
    recorder = sink.trajectory_hook()
    hook = EvalHook([lambda ctx: ctx.task == {"goal": "[cut]."}], recorder=recorder)
    ended(drive, hook, recorder)
    assert hook.results[0].passed
    assert hook.context.metadata["run_id"] == recorder.trajectory.run_id


def test_a_recorder_that_comes_after_is_an_error_that_says_so(drive, tmp_path):
    recorder = ProvenanceSink(dir=tmp_path).trajectory_hook()
    ran = drive(
        drive.text([DONE]),
        tools=shop(),
        hooks=[EvalHook([eval_completed], recorder=recorder), recorder],
        max_steps=2,
    )
    with pytest.raises(EvalError, match="put it before EvalHook"):
        raise ran.error
