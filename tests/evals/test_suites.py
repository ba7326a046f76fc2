"""Several evals on one run or many: results, rows, what evals are given, tables of runs."""

from __future__ import annotations

import tempfile
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from looplet import MockLLMBackend
from looplet.evals import EvalCase, EvalContext, NotEvaluable, eval_mark, eval_run, eval_run_batch
from looplet.evals.batches import Batch, all_columns
from looplet.evals.runs import StoredRuns
from looplet.trajectory.store import TrajectoryStore
from tests.evals.conftest import make_run

DONE, FAILED = EvalContext([], stop_reason="done"), EvalContext([], stop_reason="llm_error")


def eval_completed(ctx):
    return ctx.completed


@eval_mark("slow", "verdict")
def eval_slow(ctx):
    return 0.25


@eval_mark("verdict")
def eval_verdict(ctx):
    return "yes"


ALL = [eval_completed, eval_slow, eval_verdict]


def names(results):
    return [result.name for result in results]


def test_results_are_in_order_and_tags_select():
    assert names(eval_run(ALL, DONE)) == ["eval_completed", "eval_slow", "eval_verdict"]
    assert names(eval_run(ALL, DONE, include=["verdict"])) == ["eval_slow", "eval_verdict"]
    assert names(eval_run(ALL, DONE, exclude=["slow"])) == ["eval_completed", "eval_verdict"]
    assert names(eval_run(ALL, DONE, include="verdict", exclude="slow")) == ["eval_verdict"]
    assert names(eval_run(ALL, DONE, include=["other"])) == []


def test_a_judge_is_given_to_evals_that_ask_for_one():
    def eval_judged(ctx, llm):
        return llm.generate("Is it good?")

    (without,) = eval_run([eval_judged], DONE)
    assert (without.label, without.score, without.passed) == ("skipped", None, False)
    (judged,) = eval_run([eval_judged], DONE, judge_llm=MockLLMBackend(["Yes"]))
    assert (judged.label, judged.passed) == ("Yes", True)
    assert eval_run([lambda ctx, llm=None: llm is None], DONE)[0].passed


def test_a_case_is_given_or_told_by_the_run(run):
    def eval_expected(ctx, case):
        return case.expected["euro"] == 2.0 and case.id == "pears"

    case = EvalCase("pears", expected={"euro": 2.0})
    assert eval_run([eval_expected], DONE, case=case)[0].passed
    stored = EvalContext.from_trajectory(run("pears", 0, 2.0))
    assert eval_run([eval_expected], stored)[0].passed
    assert eval_run([eval_expected], DONE)[0].label == "not_evaluable"


def test_what_goes_wrong_is_told_apart_by_its_label():
    def eval_raises(ctx):
        raise ValueError("no price")

    def eval_absent(ctx):
        raise NotEvaluable("no receipt")

    def eval_fixture(ctx, tmp_path):
        return True

    results = eval_run([eval_raises, eval_absent, eval_fixture, lambda ctx: None], DONE)
    assert [result.label for result in results] == ["error", "not_evaluable", "error", "error"]
    assert results[0].explanation == "ValueError: no price"
    assert results[1].explanation == "no receipt"
    assert "'tmp_path', which only pytest can give" in results[2].explanation
    assert not any(result.passed for result in results)


def test_a_row_sums_up_what_came_of_an_eval():
    rows = eval_run_batch(ALL, iter([DONE, DONE, FAILED]), exclude=["slow"])
    first, second = rows
    assert {name: each for name, each in first.items() if name != "per_run"} == {
        "name": "eval_completed",
        "scores": [1.0, 1.0, 0.0],
        "runs": 3,
        "avg_score": 0.667,
        "min_score": 0.0,
        "max_score": 1.0,
    }
    assert [each["label"] for each in first["per_run"]] == ["pass", "pass", "fail"]
    assert all(each["name"] == "eval_completed" for each in first["per_run"])
    assert list(second) == ["name", "scores", "runs", "per_run"]
    assert (second["scores"], [each["label"] for each in second["per_run"]]) == ([], ["yes"] * 3)


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=6))
def test_a_batch_says_of_each_run_what_a_single_run_says(values):
    contexts = [EvalContext([], final_output={"n": value}) for value in values]

    def eval_n(ctx):
        return {"score": ctx.final_output["n"], "note": "x"}

    (row,) = eval_run_batch([eval_n], contexts)
    single = [eval_run([eval_n], ctx)[0] for ctx in contexts]
    assert row["scores"] == [round(result.score, 3) for result in single]
    assert [each["details"] for each in row["per_run"]] == [["note: x"]] * len(values)
    assert row["min_score"] <= row["avg_score"] <= row["max_score"]


# Vectorized evals


@eval_mark(vectorized=True)
def eval_few_steps(runs):
    import pyarrow.compute as pc

    return pc.less_equal(runs["n_steps"], 2)


def test_a_vectorized_eval_is_called_once_and_says_the_same_as_one_by_one():
    calls = []

    @eval_mark(vectorized=True)
    def eval_price(runs, llm=None):
        calls.append(runs.num_rows)
        return [text == '{"euro":2.0}' for text in runs["final_output"].to_pylist()]

    contexts = [EvalContext.from_trajectory(make_run("pears", n, 2.0 - n)) for n in range(3)]
    rows = eval_run_batch([eval_price, lambda ctx: ctx.final_output["euro"] == 2.0], contexts)
    assert calls == [3]
    assert rows[0]["scores"] == rows[1]["scores"] == [1.0, 0.0, 0.0]
    assert [eval_run([eval_price], ctx)[0].score for ctx in contexts] == [1.0, 0.0, 0.0]
    assert rows[0]["per_run"][0]["name"] == "eval_price"


def test_the_table_shows_runs_as_their_evals_see_them():
    kept = EvalContext.from_trajectory(make_run("pears", 0, 2.0))
    kept.task = {**kept.task, "expected_price": 3}
    live = EvalContext(kept.steps, {"goal": "x"}, {"euro": 2.0}, stop_reason="done")
    table = Batch([kept, live]).table
    assert table["task_id"].to_pylist() == ["pears", None]
    assert "expected_price" in table["task"][0].as_py()
    for name in ("stop_reason", "final_output", "n_steps", "completed"):
        assert len(set(table[name].to_pylist())) == 1, name
    tools = [[step["tool"] for step in steps] for steps in table["steps"].to_pylist()]
    assert tools == [["price", "done"]] * 2


COLUMNS = st.lists(st.sampled_from([*all_columns(), "steps.tool", "steps.warnings"]), min_size=1)


@given(st.lists(st.integers(0, 3), max_size=4), COLUMNS)
def test_a_table_has_the_named_columns_alone_and_is_the_same_from_a_store(euros, columns):
    runs = [make_run("pears", n, float(euro)) for n, euro in enumerate(euros)]
    tables = []

    def noted(table):
        tables.append(table)
        return [True] * table.num_rows

    mark = eval_mark(vectorized=True, columns=columns)
    contexts = [EvalContext.from_trajectory(run) for run in [*runs, make_run("plums", 0, 2.0)]]
    with tempfile.TemporaryDirectory() as folder:
        store = TrajectoryStore(folder, row_group_bytes=1)  # each run a row group of its own
        store.append(runs)
        store.append(contexts[-1].trajectory)
        found = [*Batch(contexts, StoredRuns(store).table).evaluate(mark(noted))]
    assert [each.outcome.value for each in found] == ["pass"] * len(contexts)
    (row,) = eval_run_batch([mark(noted)], contexts)
    assert row["scores"] == [1.0] * len(contexts)
    assert tables[0].column_names == list(dict.fromkeys(each.split(".")[0] for each in columns))
    assert tables[0].equals(tables[1])
    if "steps" in tables[0].column_names and "steps" not in columns:
        fields = {field.name for field in tables[0].schema.field("steps").type.value_type}
        assert fields == {each.split(".")[1] for each in columns if "." in each}


def test_runs_that_lack_what_is_needed_are_not_in_the_table():
    @eval_mark(vectorized=True, needs=("final_output",))
    def eval_n(runs):
        return [float(len(runs))] * len(runs)

    contexts = [DONE, EvalContext([], final_output={"n": 1}), EvalContext([], final_output=0)]
    (row,) = eval_run_batch([eval_n], contexts)
    assert [each.get("score") for each in row["per_run"]] == [None, 2.0, 2.0]
    assert row["per_run"][0]["label"] == "not_evaluable"
    assert eval_run_batch([eval_n], [DONE])[0]["per_run"][0]["label"] == "not_evaluable"


@pytest.mark.parametrize("make", ["arrow", "numpy", "list", "tuple", "columns", "table"])
def test_values_may_come_in_any_kind_of_column(make):
    import numpy as np
    import pyarrow as pa

    forms = {
        "arrow": lambda: pa.chunked_array([[0.5, 1.0]]),
        "numpy": lambda: np.array([0.5, 1.0]),
        "list": lambda: [0.5, 1.0],
        "tuple": lambda: (0.5, 1.0),
        "columns": lambda: {"score": pa.array([0.5, 1.0]), "n": [1, 2]},
        "table": lambda: pa.table({"score": [0.5, 1.0]}),
    }
    mark = eval_mark(vectorized=True)
    (row,) = eval_run_batch([mark(lambda runs: forms[make]())], [DONE, FAILED])
    assert row["scores"] == [0.5, 1.0]


def test_null_is_not_evaluable_and_never_zero():
    mark = eval_mark(vectorized=True)
    for value in ([None, 1.0], {"score": [None, 1.0], "n": [1, 2]}, {"n": [None, 2]}):
        (row,) = eval_run_batch([mark(lambda runs, value=value: value)], [DONE, FAILED])
        assert row["per_run"][0]["label"] == "not_evaluable"
        assert "label" not in row["per_run"][1]


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (None, "returned NoneType"),
        (True, "Return a value for each row"),
        ([1.0], "1 values for 2 runs"),
        ({}, "empty dict"),
        ({"score": [1.0]}, "1 values for 2 runs"),
        ([1.0, float("nan")], "finite"),
    ],
)
def test_what_is_no_column_of_verdicts_is_an_error(value, message):
    (row,) = eval_run_batch([eval_mark(vectorized=True)(lambda runs: value)], [DONE, FAILED])
    last = row["per_run"][-1]
    assert (last["label"], "score" in last) == ("error", False)
    assert message in last["explanation"]


def test_a_vectorized_eval_without_its_judge_is_skipped_on_every_run():
    @eval_mark(vectorized=True)
    def eval_judged(runs, llm):
        raise AssertionError

    (row,) = eval_run_batch([eval_judged], [DONE, FAILED])
    assert [each["label"] for each in row["per_run"]] == ["skipped", "skipped"]
    assert eval_run_batch([eval_few_steps], [])[0]["runs"] == 0


def eval_that_spoils(ctx):
    ctx.task["goal"] = "spoiled"
    ctx.final_output.clear()
    ctx.artifacts["more"] = 1
    ctx.steps[0].tool_call.args.clear()
    ctx.steps.pop()
    return True


def eval_that_reads(ctx):
    return (ctx.task, ctx.final_output, ctx.artifacts, [step.tool_call.args for step in ctx.steps])


def live_context(run):
    return EvalContext(
        [record.to_step() for record in run.steps],
        {"goal": "Price of pears"},
        {"price": 1.5},
        artifacts={"size": 2},
        stop_reason="done",
    )


@pytest.mark.parametrize("context_of", [live_context, EvalContext.from_trajectory])
def test_what_an_eval_changes_no_other_eval_sees_nor_the_run_itself(context_of):
    context = context_of(make_run("pears", 0, 1.5))
    both = [eval_that_spoils, eval_that_reads]
    before = eval_run([eval_that_reads], context)[0].explanation
    assert "'fruit': 'pear'" in before
    assert eval_run(both, context)[1].explanation == before
    assert eval_run_batch(both, [context])[1]["per_run"][0]["explanation"] == before
    assert eval_run([eval_that_reads], context)[0].explanation == before


def test_what_cannot_be_copied_is_shared_and_all_else_is_not(caplog):
    caplog.set_level("DEBUG", logger="looplet")
    context = live_context(make_run("pears", 0, 1.5))
    context.steps[0].tool_result.data = lock = threading.Lock()
    (spoiled, kept) = eval_run([eval_that_spoils, lambda ctx: len(ctx.steps)], context)
    assert spoiled.passed
    assert kept.score == len(context.steps)
    assert context.steps[0].tool_result.data is lock
    assert context.artifacts == {"size": 2}
    assert "Step cannot be copied: evals share it" in caplog.text
