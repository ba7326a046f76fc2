"""pytest with one item an eval: the same verdicts as with one item a run, and what is shown."""

from __future__ import annotations

import re
import shutil
import textwrap
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from looplet.trajectory.store import TrajectoryStore
from tests.evals.conftest import make_run, write_evals

STORE = ("--looplet-store", "store", "-p", "no:cacheprovider")
SWEEP = (*STORE, "--looplet-items=eval")
PRICE = "evals/eval_price.py::eval_right_price"
ALL_KINDS = """
    import sys
    import pytest
    from looplet.evals import NotEvaluable, EvalResult, eval_mark

    def euro(ctx):
        return ctx.final_output["euro"]

    def eval_price(ctx):
        return euro(ctx) == 2

    def eval_score(ctx):
        return {"score": euro(ctx) / 4, "note": "x"}

    @eval_mark("budget", threshold=0.25, needs=("expected",))
    def eval_needs(ctx):
        return True

    def eval_missing(ctx):
        if euro(ctx) > 2:
            raise NotEvaluable("no receipt")
        return "yes" if euro(ctx) == 2 else "unsure"

    def eval_breaks(ctx):
        return 1 / (euro(ctx) - 2)

    def eval_counts(ctx):
        return {"steps": ctx.step_count, "first": len(ctx.steps[0].tool_call.tool)}

    def eval_named(ctx):
        return EvalResult("other", score=1.0, metadata={"judge_model": "m"}, details=["a"])

    def eval_ends(ctx):
        if euro(ctx) < 2:
            pytest.skip("cheap")
        if euro(ctx) > 2:
            pytest.fail("dear")
        sys.exit(3)

    def eval_judged(ctx, llm):
        return True

    @pytest.mark.skip(reason="later")
    def eval_later(ctx):
        raise AssertionError

    def eval_fixture(ctx, absent_fixture):
        return True

    @eval_mark(vectorized=True, needs=("expected",), columns=("final_output",))
    def eval_table(runs):
        return [None if text is None else text == '{"euro":2.0}'
                for text in runs["final_output"].to_pylist()]

    @eval_mark(vectorized=True)
    def eval_table_breaks(runs):
        raise ValueError(runs.num_rows)
"""
RUNS = st.lists(
    st.builds(
        make_run,
        st.sampled_from(["pears", "plums", None]),
        st.integers(0, 2),
        st.sampled_from([1.0, 2.0, 3.0]),
        trajectory_id=st.uuids().map(str),
        replay_of=st.sampled_from([None, "tape"]),
        expected=st.just(2.0),
    ),
    min_size=1,
    max_size=6,
)


def said(pytester, *args):
    """Exit status, the section of evals without what is another's each time, and the scores."""
    store = pytester.path / "store"
    shutil.rmtree(store / "scores", ignore_errors=True)
    result = pytester.runpytest_inprocess(*STORE, "evals", *args)
    text = re.split(r"=+ evals =+\n", result.stdout.str())[1].split("=====")[0]
    text = re.sub(r"session \w+", "session", text)
    rows = list(TrajectoryStore(store).scores())
    for row in rows:
        assert row.pop("duration_ms") >= 0
        del row["scored_at"], row["session"]
    return int(result.ret), text, rows


@settings(
    max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(RUNS, st.sampled_from([(), ("--looplet-gate=threshold", "--looplet-threshold=0.4")]))
def test_both_kinds_of_items_give_the_same_table_scores_gate_and_status(pytester, runs, gate):
    shutil.rmtree(pytester.path / "store", ignore_errors=True)
    TrajectoryStore(pytester.path / "store").append(runs)
    write_evals(pytester, ALL_KINDS)
    each = said(pytester, "--looplet-items=trajectory", *gate)
    assert said(pytester, "--looplet-items=eval", *gate) == each
    assert len(each[2]) == 13 * len(runs)


def test_a_sweep_is_one_item_that_names_what_failed(project, run, make_store):
    make_store(*(run(f"odd-{number}", 0, 1.0) for number in range(24)))
    result = project.runpytest_inprocess(*SWEEP, "evals", "-v")
    result.assert_outcomes(passed=1, failed=1)
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.stdout.fnmatch_lines(
        [
            f"{PRICE} FAILED*",
            "evals/eval_price.py::eval_ended_by_itself PASSED*",
            "✗ eval_right_price failed on 25 of 27 runs",
            "  ✗ trajectory pears.1 (task pears): score=0.00 label=fail*",
            "  ✗ trajectory odd-18.0 (task odd-18): score=0.00 label=fail*",
            "  ... and 5 more",
            "eval_right_price      27       2  0.07*",
            f"FAILED {PRICE} - ✗ eval_right_price failed on 2*",
        ]
    )
    assert "odd-19" not in result.stdout.str()


def test_the_first_error_is_shown_from_the_eval_on(project, write):
    write("""
        from looplet import NotEvaluable

        def price_of(ctx):
            return ctx.final_output["price"]

        def eval_price(ctx):
            if ctx.trajectory.task_id == "plums":
                raise NotEvaluable("no plums")
            return price_of(ctx) == 2
    """)
    result = project.runpytest_inprocess(*SWEEP, "evals")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(
        [
            "✗ eval_price failed on 2 of 3 runs, 2 of them errors, 1 not evaluable",
            "  ✗ trajectory pears.0 (task pears): label=error: KeyError: 'price'*",
            "Traceback (most recent call last):",
            '  File "*eval_price.py", line 10, in eval_price',
            "KeyError: 'price'",
        ]
    )
    result.stdout.no_fnmatch_line("*running.py*")
    result.stdout.no_fnmatch_line("*sweeps.py*")


def test_many_runs_are_swept_of_itself_and_one_line_says_so(project, monkeypatch):
    monkeypatch.setattr("looplet.evals.collect.MOST_ITEMS", 3)
    project.runpytest_inprocess(*STORE, "evals").assert_outcomes(passed=5, failed=1)
    monkeypatch.setattr("looplet.evals.collect.MOST_ITEMS", 2)
    result = project.runpytest_inprocess(*STORE, "evals")
    result.assert_outcomes(passed=1, failed=1)
    line = "3 runs are more than 2, so each eval was one item; --looplet-items=trajectory makes *"
    result.stdout.fnmatch_lines([line])
    result = project.runpytest_inprocess(*STORE, "evals", "--looplet-items=trajectory")
    result.assert_outcomes(passed=5, failed=1)
    result.stdout.no_fnmatch_line("*more than 2*")


@pytest.mark.parametrize("workers", [(), ("-n", "2")])
def test_junit_has_counts_and_the_failing_runs_and_workers_find_the_same(project, workers):
    arguments = (*SWEEP, "evals", "--junitxml=junit.xml", *workers)
    result = project.runpytest_subprocess(*arguments, "--looplet-gate=threshold")
    result.assert_outcomes(passed=1, failed=1)
    result.stdout.fnmatch_lines(
        [
            "eval_right_price      3       2  0.67*NOT held",
            "eval_ended_by_itself  3       3  1.00*held",
            "scores: 6 appended to *",
            "  - eval_right_price: average 0.667 is below 1.000",
        ]
    )
    root = ET.parse(project.path / "junit.xml").getroot()
    (case,) = [each for each in root.iter("testcase") if each.get("name") == "eval_right_price"]
    found = {each.get("name"): each.get("value") for each in case.iter("property")}
    assert found.pop("score").startswith("0.66")
    assert found.pop("rate").startswith("0.66")
    assert found == {
        "eval": "eval_right_price",
        "outcome": "fail",
        "passed": "2",
        "failed": "1",
        "not_evaluable": "0",
        "errors": "0",
        "measured": "0",
        "failing": "pears.1",
    }


def test_sweeps_are_selected_and_run_again_as_tests_are(project):
    sweep = ("--looplet-store", "store", "--looplet-items=eval", "evals")
    project.runpytest_inprocess(*sweep, "-m", "verdict").assert_outcomes(failed=1, deselected=1)
    project.runpytest_inprocess(*sweep, "-k", "ended").assert_outcomes(passed=1, deselected=1)
    project.runpytest_inprocess(*SWEEP, PRICE).assert_outcomes(failed=1)
    project.runpytest_inprocess(*sweep, "-x").assert_outcomes(failed=1)
    project.runpytest_inprocess(*sweep).assert_outcomes(passed=1, failed=1)
    project.runpytest_inprocess(*sweep, "--lf").assert_outcomes(failed=1)
    project.runpytest_inprocess(*sweep, "--sw").assert_outcomes(failed=1)


def test_fixtures_are_made_once_for_a_sweep(project, write):
    project.makeconftest("""
        import pytest

        made = []

        @pytest.fixture
        def prices():
            made.append(1)
            return made
    """)
    write(
        "def eval_price(ctx, prices, case, tmp_path): return len(prices) == 1 and bool(case.id)\n"
    )
    project.runpytest_inprocess(*SWEEP, "evals").assert_outcomes(passed=1)
    project.runpytest_inprocess(*STORE, "evals").assert_outcomes(passed=1, failed=2)


@pytest.mark.parametrize("items", ["trajectory", "eval"])
def test_a_vectorized_eval_is_one_item_over_the_stores_own_columns(project, write, items):
    write("""
        from looplet import eval_mark

        @eval_mark(vectorized=True, columns=("steps.tool", "final_output"))
        def eval_right_price(runs, tmp_path):
            assert runs.column_names == ["steps", "final_output"] and tmp_path.is_dir()
            assert runs["steps"].to_pylist() == [[{"tool": "price"}, {"tool": "done"}]] * 3
            return [text == '{"euro":2.0}' for text in runs["final_output"].to_pylist()]

        @eval_mark(vectorized=True)
        def eval_every_column(runs):
            assert "messages" not in runs.column_names and "digest" in runs.column_names
            return [len(steps) == 2 for steps in runs["steps"].to_pylist()]

        @eval_mark(vectorized=True, columns=("n_step",))
        def eval_unknown(runs):
            return [True] * runs.num_rows
    """)
    result = project.runpytest_inprocess(*STORE, "evals", f"--looplet-items={items}")
    result.assert_outcomes(passed=1, failed=2)
    result.stdout.fnmatch_lines(
        [
            "✗ eval_right_price failed on 1 of 3 runs",
            "  ✗ trajectory pears.1 (task pears): score=0.00 label=fail*",
            "*eval_unknown wants the column 'n_step', and there is none: did you mean 'n_steps'?*",
        ]
    )


REMOVE = """
    from pathlib import Path

    def {name}({parameter}):
        for part in Path("store/trajectories").glob("*.parquet"):
            part.unlink()
        return True
"""


def gone(pytester):
    gate = ("--looplet-gate=threshold", "--looplet-threshold=0", "--looplet-no-scores")
    result = pytester.runpytest_inprocess(*SWEEP, "evals", *gate)
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.stdout.fnmatch_lines(["*StoreError: *had 3 trajectories when it was opened, and has *"])
    return result


def test_a_store_that_breaks_between_two_evals_is_an_error_of_each_run(project, write):
    write(REMOVE.format(name="eval_a", parameter="ctx") + "    def eval_b(ctx): return True\n")
    result = gone(project)
    result.stdout.fnmatch_lines(["gate: NOT held", "  - eval_b: 3 errors"])


def test_a_store_whose_runs_cannot_even_be_named_never_holds(project):
    project.makeconftest(
        textwrap.dedent(REMOVE)
        .format(name="remove", parameter="")
        .replace("def remove", "def pytest_collection_finish")
    )
    result = gone(project)
    result.stdout.fnmatch_lines(
        [
            f"{PRICE}: its runs could not be read: *",
            "gate: NOT held",
            "  - the run ended before every eval had run",
        ]
    )


def test_runs_that_are_appended_meanwhile_are_not_swept(project, write):
    write("""
        from looplet.trajectory.store import TrajectoryStore

        def eval_growing(ctx):
            store = TrajectoryStore("store")
            runs = list(store)
            store.append(runs[0])
            return True

        def eval_after(ctx):
            return True
    """)
    result = project.runpytest_inprocess(*SWEEP, "evals")
    result.stdout.fnmatch_lines(["eval_growing  3*", "eval_after    3*"])
    assert len(TrajectoryStore(Path(project.path) / "store")) == 6
