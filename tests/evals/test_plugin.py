"""pytest with evals: what is collected, run, shown and written."""

from __future__ import annotations

import re
import sys
import xml.etree.ElementTree as ET

import pytest

from looplet.trajectory.store import TrajectoryStore

STORE = ("--looplet-store", "store")
PRICE = "evals/eval_price.py::eval_right_price"


def score(pytester, *args, **options):
    return pytester.runpytest_inprocess(*STORE, "-p", "no:cacheprovider", *args, **options)


def scores(pytester):
    return list(TrajectoryStore(pytester.path / "store").scores())


def collected(result):
    return [line for line in result.outlines if "::" in line]


def test_every_eval_meets_every_trajectory(project):
    result = score(project, "evals", "--collect-only", "-q")
    assert collected(result) == [
        f"evals/eval_price.py::{name}[{label}]"
        for name in ("eval_right_price", "eval_ended_by_itself")
        for label in ("pears-0", "pears-1", "plums-0")
    ]


@pytest.mark.parametrize("folder", [".", ".."])
def test_an_eval_is_where_pytest_says_of_any_item(project, write, folder, monkeypatch):
    write("""
        def eval_first(ctx): return True
        eval_second = eval_first
    """)
    project.makeconftest("""
        import pytest

        def pytest_collection_modifyitems(items):
            for item in items:
                own, found = item.location, pytest.Item.location.func(item)
                print("LOCATION", item.originalname, own[1], own == found, item.nodeid)
    """)
    monkeypatch.chdir(project.path / folder)
    store, file = project.path / "store", project.path / "evals" / "eval_price.py"
    result = project.runpytest_inprocess("--looplet-store", store, file, "-s", "--rootdir", ".")
    lines = [line.split() for line in result.outlines if line.startswith("LOCATION")]
    assert [line[1:4] for line in lines] == [
        *[["eval_first", "1", "True"]] * 3,
        *[["eval_second", "1", "True"]] * 3,
    ]
    assert all(f"::{line[1]}[" in line[4] for line in lines)


def test_a_fail_is_shown_with_its_run(project):
    result = score(project, "evals")
    result.assert_outcomes(passed=5, failed=1)
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.stdout.fnmatch_lines(
        [
            "evals/eval_price.py .F....*",
            "*eval_right_price?pears-1?*",
            "✗ eval_right_price score=0.00 label=fail*",
            "trajectory pears.1 (task pears, trial 1)",
            'task {"goal": "Price of pears"}',
            "  #1 ✓ price(fruit=pear) → euro: 1.5",
            "eval  * n  passed  rate  95% interval  not evaluable  gate",
            "eval_right_price      3       2  0.67  0.24 to 0.97              0  -",
            f"FAILED {PRICE}?pears-1? - ✗ eval_right_price sc*",
        ]
    )


@pytest.mark.parametrize("items", ["trajectory", "eval"])
def test_what_an_eval_changes_no_other_eval_sees(project, write, items):
    write("""
        def eval_first(ctx):
            ctx.task.clear(), ctx.final_output.clear()
            ctx.steps[0].tool_call.args.clear()
            ctx.trajectory.steps.pop()
            return True

        def eval_second(ctx):
            return len(ctx.steps) == 2 and bool(ctx.task and ctx.steps[0].tool_call.args)
    """)
    result = score(project, "evals/eval_price.py", f"--looplet-items={items}")
    assert result.ret == pytest.ExitCode.OK


def test_evals_are_selected_by_id_by_word_and_by_mark(project):
    score(project, f"{PRICE}[plums-0]").assert_outcomes(passed=1)
    score(project, PRICE).assert_outcomes(passed=2, failed=1)
    score(project, "evals", "-k", "pears-1 and right").assert_outcomes(failed=1, deselected=5)
    result = score(project, "evals", "-m", "verdict", "--strict-markers")
    result.assert_outcomes(passed=2, failed=1, deselected=3)
    result.stdout.fnmatch_lines(["3 eval items were deselected and are not counted"])


def test_the_last_failed_run_again_alone(project):
    project.runpytest_inprocess(*STORE, "evals").assert_outcomes(passed=5, failed=1)
    result = project.runpytest_inprocess(*STORE, "evals", "--lf")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*rerun previous 1 failure*"])


def test_the_first_failure_can_end_the_run(project):
    score(project, "evals", "-x").assert_outcomes(passed=1, failed=1)


def test_marked_functions_of_test_files_are_evals_and_others_are_not(project, write):
    project.makepyfile(
        test_shop="""
        from looplet import eval_mark
        from evals_elsewhere import eval_foreign

        @eval_mark()
        def test_answered(ctx):
            return bool(ctx.final_output)

        def eval_unmarked(ctx):
            raise AssertionError

        def test_ordinary():
            assert True
        """,
        evals_elsewhere="""
        from looplet import eval_mark

        @eval_mark()
        def eval_foreign(ctx):
            raise AssertionError
        """,
    )
    result = score(project, "test_shop.py", "-v")
    result.assert_outcomes(passed=4)
    result.stdout.fnmatch_lines(["*::test_answered?pears-0? PASSED*", "*::test_ordinary PASSED*"])


@pytest.mark.parametrize("mode", ["prepend", "importlib"])
def test_eval_files_import_their_siblings_as_test_files_do(project, write, mode):
    if mode == "importlib":
        project.makeini("[pytest]\npythonpath = evals\n")
    write("EURO = 2.0\n", "shop_prices.py")
    write("import shop_prices\ndef eval_price(ctx): return shop_prices.EURO\n")
    score(project, "evals", f"--import-mode={mode}").assert_outcomes(passed=3)


def test_an_eval_file_that_pytest_collects_anyway_is_collected_once(project):
    project.makeini("[pytest]\npython_files = eval_*.py test_*.py\npython_functions = eval_*\n")
    score(project, "evals", "--doctest-modules").assert_outcomes(passed=5, failed=1)


@pytest.mark.parametrize("source", ["import nowhere_at_all", "def ("])
def test_a_broken_eval_file_is_a_collection_error(project, write, source):
    write(source, "eval_broken.py")
    result = score(project, "evals")
    assert result.ret == pytest.ExitCode.INTERRUPTED
    result.stdout.fnmatch_lines(["*ERROR collecting evals/eval_broken.py*"])


@pytest.mark.parametrize(
    ("source", "text"),
    [
        ("@eval_mark('two words')\ndef eval_x(ctx): ...", "*'two words' cannot be a pytest mark*"),
        ("def eval_x(llm): ...", "*eval_x is a context, and it is called 'llm'*"),
        (
            "import pytest\n@pytest.mark.parametrize('a', [1])\ndef eval_x(ctx): ...",
            "*takes no pytest.mark.parametrize*",
        ),
        ("class TestX:\n    @eval_mark()\n    def eval_x(self, ctx): ...", "*eval in a class*"),
    ],
)
def test_an_eval_that_cannot_be_run_is_a_collection_error(project, write, source, text):
    write(f"from looplet import eval_mark\n{source}\n")
    result = score(project, "evals")
    assert result.ret == pytest.ExitCode.INTERRUPTED
    result.stdout.fnmatch_lines([text])


ODD = """
    import pytest
    from looplet.evals import NotEvaluable, eval_mark

    @eval_mark(needs=("expected",))
    def eval_needs(ctx):
        return True

    def eval_says_so(ctx):
        raise NotEvaluable("no receipt")

    def eval_counts(ctx):
        return {"tokens": 12}

    @pytest.mark.skip(reason="later")
    def eval_later(ctx):
        raise AssertionError
"""


def test_not_evaluable_is_an_outcome_of_its_own(project, write, make_store, run):
    make_store(run("x", 0, 1.0))
    write(ODD)
    result = score(project, "evals", "-v", "--junitxml=junit.xml")
    assert result.ret == pytest.ExitCode.OK
    result.stdout.fnmatch_lines(
        [
            "*eval_needs?x-0? PASSED*",
            "*eval_says_so?x-0? NOT EVALUABLE*",
            "*eval_counts?x-0? MEASURED*",
            "*eval_later?x-0? SKIPPED*",
            "  eval_says_so: no receipt (4)",
            "*4 passed, 4 skipped, 4 not evaluable, 4 measured*",
        ]
    )
    case = junit(project)["eval_says_so[x-0]"]
    assert case.find("skipped").get("message") == "not evaluable: no receipt"
    rows = [row for row in scores(project) if row["eval_name"] == "eval_says_so"]
    assert {(row["evaluable"], row["passed"], row["score"]) for row in rows} == {
        (False, None, None)
    }


def test_the_letters_of_the_outcomes(project, write):
    write(ODD)
    score(project, "evals").stdout.fnmatch_lines(["evals/eval_price.py ...nnnmmmsss*"])


def test_an_absent_need_is_not_evaluable(project, write, make_store, run):
    make_store(run("odd", 0, 2.0, expected=0.0))
    write("""
        from looplet import eval_mark
        @eval_mark(needs=("session_log_text",))
        def eval_log(ctx):
            raise AssertionError
    """)
    result = score(project, "evals")
    result.stdout.fnmatch_lines(["  eval_log: the run has no session_log_text (4)"])


def test_an_error_shows_the_eval_and_none_of_the_machinery(project, write):
    write("""
        def price_of(ctx):
            return ctx.final_output["price"]

        def eval_price(ctx):
            return price_of(ctx) == 2
    """)
    result = score(project, "evals")
    result.assert_outcomes(failed=3)
    result.stdout.fnmatch_lines(
        ["*return price_of(ctx) == 2", ">*return ctx.final_output*", "E*KeyError: 'price'"]
    )
    result.stdout.no_fnmatch_line("*running.py*")
    result.stdout.no_fnmatch_line("*items.py*")
    assert {row["error"] for row in scores(project)} == {"KeyError: 'price'"}


def test_an_eval_that_returns_nothing_is_an_error_with_a_remedy(project, write):
    write("def eval_price(ctx): pass\n")
    result = score(project, "evals")
    result.assert_outcomes(failed=3)
    result.stdout.fnmatch_lines(["eval_price returned nothing (None)*raise NotEvaluable*"])
    result.stdout.no_fnmatch_line("*results.py*")


def junit(pytester):
    root = ET.parse(pytester.path / "junit.xml").getroot()
    return {case.get("name"): case for case in root.iter("testcase")}


@pytest.mark.parametrize("workers", [(), ("-n", "2")])
def test_junit_has_the_verdicts_as_properties(project, workers):
    result = project.runpytest_subprocess(*STORE, "evals", "--junitxml=junit.xml", *workers)
    result.assert_outcomes(passed=5, failed=1)
    case = junit(project)["eval_right_price[pears-1]"]
    assert {each.get("name"): each.get("value") for each in case.iter("property")} == {
        "eval": "eval_right_price",
        "trajectory_id": "pears.1",
        "outcome": "fail",
        "score": "0.0",
        "label": "fail",
    }
    message = case.find("failure").get("message")
    assert re.fullmatch(r"✗ eval_right_price score=0\.00 label=fail \[\d+ms\]", message)
    assert len(scores(project)) == 6


def test_workers_find_the_same_and_the_controller_alone_writes(project):
    result = project.runpytest_subprocess(*STORE, "evals", "-n", "2")
    result.assert_outcomes(passed=5, failed=1)
    result.stdout.fnmatch_lines(
        [
            "eval_right_price      3       2  0.67*",
            "eval_ended_by_itself  3       3  1.00*",
            "scores: 6 appended to *",
        ]
    )
    assert len({row["session"] for row in scores(project)}) == 1


@pytest.mark.parametrize("workers", [(), ("-n", "2")])
def test_replays_of_one_recording_are_one_trial(project, run, make_store, workers):
    played = {"cassette_hash": "tape", "replay_of": "tape"}
    make_store(*(run("plums", trial, 2.0, **played) for trial in (1, 2)))
    result = project.runpytest_subprocess(*STORE, "evals", *workers)
    result.stdout.fnmatch_lines(
        [
            "eval_right_price      5       4  0.80  0.24 to 0.97*",
            "  intervals are by task: *",
            "  eval_right_price: 1 of 5 verdicts are on further replays of a recording: *",
        ]
    )


def test_scores_are_appended_with_their_evidence(project):
    score(project, "evals")
    first = scores(project)
    assert len(first) == 6
    row = next(
        row
        for row in first
        if (row["eval_name"], row["trajectory_id"]) == ("eval_right_price", "pears.1")
    )
    assert (row["score"], row["label"], row["passed"], row["evaluable"]) == (
        0.0,
        "fail",
        False,
        True,
    )
    assert row["marks"] == ["verdict"]
    assert len(row["eval_hash"]) == 64
    assert row["duration_ms"] > 0
    assert row["host"]
    score(project, "evals")
    second = scores(project)[6:]
    assert len(second) == 6
    assert {each["session"] for each in first}.isdisjoint(each["session"] for each in second)
    assert {each["eval_hash"] for each in first} == {each["eval_hash"] for each in second}


def test_the_store_can_be_left_as_it_is(project):
    score(project, "evals", "--looplet-no-scores")
    score(project, "evals", "--collect-only")
    assert scores(project) == []


def test_scores_that_cannot_be_written_fail_the_run(project):
    (project.path / "store" / "scores").write_text("in the way")
    result = score(project, "evals", "-m", "not verdict")
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.stdout.fnmatch_lines(["scores NOT written: *"])


def test_ids_stay_when_trajectories_are_appended(project, run, make_store):
    before = collected(score(project, PRICE, "--collect-only", "-q"))
    make_store(run("pears", 0, 2.0, trajectory_id="later"), run("a b;c", 0, 1.0))
    after = collected(score(project, PRICE, "--collect-only", "-q"))
    assert after[: len(before)] == before
    assert after[len(before) :] == [f"{PRICE}[pears-0-later]", f"{PRICE}[a_b_c-0]"]


# Without a store, or with a bad one


def test_without_a_store_evals_are_left_alone(project):
    project.makepyfile(
        test_shop="""
        from looplet import eval_mark

        @eval_mark("verdict")
        def test_answered(ctx):
            return False

        def test_ordinary():
            assert True
        """
    )
    result = project.runpytest_inprocess("--strict-markers")
    result.assert_outcomes(passed=1)
    assert result.ret == pytest.ExitCode.OK
    result.stdout.no_fnmatch_line("*looplet:*")


def test_where_nothing_else_is_found_the_eval_files_are_mentioned(project):
    result = project.runpytest_inprocess("evals")
    assert result.ret == pytest.ExitCode.NO_TESTS_COLLECTED
    result.stdout.fnmatch_lines(["looplet: 1 eval file left alone; add --looplet-store DIR"])


def test_an_eval_file_named_without_a_store_is_a_usage_error(project):
    result = project.runpytest_inprocess("evals/eval_price.py")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["ERROR: eval_price.py: it holds evals*--looplet-store DIR*"])


def test_the_decorator_is_no_eval_whatever_pytest_collects(pytester):
    pytester.makeini("[pytest]\npython_files = eval_*.py\npython_functions = eval_*\n")
    pytester.makepyfile(eval_price="from looplet.evals import eval_mark\n")
    result = pytester.runpytest_inprocess()
    assert result.ret == pytest.ExitCode.NO_TESTS_COLLECTED


def test_another_tool_s_eval_functions_stay_that_tool_s(pytester):
    pytester.makeini("[pytest]\npython_files = eval_*.py\npython_functions = eval_*\n")
    pytester.makepyfile(eval_other="def eval_sum():\n    assert 1 + 1 == 2\n")
    pytester.runpytest_inprocess("eval_other.py").assert_outcomes(passed=1)


@pytest.mark.parametrize("workers", [(), ("-n", "2")])
def test_a_missing_store_is_a_usage_error(project, workers):
    result = project.runpytest_inprocess("evals", "--looplet-store", "nowhere", *workers)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["ERROR: --looplet-store: there is no directory *nowhere"])


@pytest.mark.parametrize("workers", [(), ("-n", "2")])
def test_a_damaged_store_is_a_usage_error_and_is_left_as_it_is(project, workers):
    (part,) = (project.path / "store" / "trajectories").glob("*.parquet")
    damaged = part.read_bytes()[:-40]
    part.write_bytes(damaged)
    result = project.runpytest_subprocess(*STORE, "evals", *workers)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines([f"ERROR: --looplet-store: *{part.name}*"])
    assert part.read_bytes() == damaged


def test_an_empty_store_is_a_usage_error(project):
    (project.path / "empty").mkdir()
    result = project.runpytest_inprocess("evals", "--looplet-store", "empty")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["ERROR: --looplet-store: *empty holds no trajectory"])


def test_a_bad_rate_and_a_gate_without_a_store_are_usage_errors(project):
    result = score(project, "evals", "--looplet-threshold=80")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result = project.runpytest_inprocess("evals", "--looplet-gate=threshold")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["ERROR: --looplet-gate judges a store: add --looplet-store DIR*"])


def test_the_plugin_can_be_switched_off(project):
    project.makepyfile(test_shop="def test_ordinary(): assert True\n")
    project.runpytest_inprocess("-p", "no:looplet").assert_outcomes(passed=1)


HEAVY = (
    *("pyarrow", "scipy", "pandas", "numpy", "vcr", "yaml"),
    *("looplet.trajectory", "looplet.replay", "looplet.evals.scoring", "looplet.evals.cassettes"),
)


@pytest.mark.parametrize("with_evals", [True, False])
def test_nothing_heavy_is_loaded_in_a_project_that_scores_nothing(pytester, with_evals):
    if with_evals:
        pytester.makepyfile(eval_price="def eval_price(ctx): return True\n")
    pytester.makepyfile(
        f"""
        import sys

        def test_ordinary():
            heavy = {HEAVY!r}
            assert [name for name in heavy if name in sys.modules] == []
            assert "looplet.evals.plugin" in sys.modules
        """
    )
    result = pytester.run(sys.executable, "-m", "pytest", "-p", "no:hypothesispytest")
    result.assert_outcomes(passed=1)


def test_options_are_in_one_group_and_begin_alike(pytester):
    text = pytester.runpytest_inprocess("--help").stdout.str()
    group = text.split("evals and cassettes of agents:\n", 1)[1].split("\n\n", 1)[0]
    lines = [line.split()[0] for line in group.splitlines() if line.startswith("  --")]
    options = [line.partition("=")[0] for line in lines]
    assert {"--looplet-store", "--looplet-gate", "--looplet-baseline"} <= {*options}
    assert all(option.startswith("--looplet-") for option in options)
