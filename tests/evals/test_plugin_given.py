"""What an eval under pytest may ask for beside its context: fixtures, a case, a judge."""

from __future__ import annotations

import pytest
import vcr.cassette  # noqa: F401 - loaded here, so that runs inside this process find it loaded
import yaml  # noqa: F401

STORE = ("--looplet-store", "store", "-p", "no:cacheprovider")
JUDGES = """
    from looplet import MockLLMBackend

    def make():
        return MockLLMBackend(["yes"])

    broken = None
"""


def score(pytester, *args):
    return pytester.runpytest_inprocess(*STORE, "evals", *args)


def test_an_eval_may_ask_for_any_fixture(project, write):
    project.makeconftest("""
        import pytest

        log = []

        @pytest.fixture(scope="session")
        def prices():
            log.append("made")
            return {"pears": 2.0, "plums": 2.0}

        @pytest.fixture(autouse=True)
        def noted(request):
            log.append(request.node.name)

        @pytest.fixture
        def seen():
            return log
    """)
    write("""
        import pytest

        def eval_price(ctx, prices, case, tmp_path, seen):
            assert tmp_path.is_dir() and seen.count("made") == 1
            return ctx.final_output["euro"] == prices[case.id]

        @pytest.mark.usefixtures("prices")
        def eval_autouse(ctx, seen, limit=3):
            return seen[-1].startswith("eval_autouse[") and limit == 3
    """)
    result = score(project, "-v")
    result.assert_outcomes(passed=5, failed=1)
    result.stdout.fnmatch_lines(["*::eval_price?pears-1? FAILED*", "*::eval_autouse?*PASSED*"])


def test_a_fixture_that_is_not_there_or_breaks_is_an_error_of_each_run(project, write):
    project.makeconftest("""
        import pytest

        @pytest.fixture
        def broken():
            raise ValueError("no price list")
    """)
    write("""
        def eval_absent(ctx, no_such_thing): return True
        def eval_broken(ctx, broken): return True
    """)
    result = score(project, "--looplet-gate=threshold", "--looplet-threshold=0")
    result.assert_outcomes(errors=6)
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.stdout.fnmatch_lines(
        [
            "*fixture 'no_such_thing' not found*",
            "*ValueError: no price list*",
            "  - eval_absent: 3 errors",
            "  - eval_broken: 3 errors",
        ]
    )


def test_a_recorded_judge_is_a_cassette_of_the_items_own(project, write):
    pytest.importorskip("vcr")
    write("""
        from looplet import MockLLMBackend

        def eval_judged(ctx, looplet_cassette):
            judge = looplet_cassette.wrap_llm(MockLLMBackend(["yes"]))
            return judge.generate(f"Is {ctx.final_output} right?")
    """)
    score(project, "--looplet-record=once").assert_outcomes(passed=3)
    cassettes = sorted(path.name for path in project.path.rglob("*.yaml"))
    assert cassettes == [
        f"eval_judged[{label}].yaml" for label in ("pears-0", "pears-1", "plums-0")
    ]
    score(project, "--looplet-record=none").assert_outcomes(passed=3)


def test_a_judge_is_named_on_the_command_line_and_given(project, write):
    write("def eval_judged(ctx, llm): return llm.generate('Good?')\n")
    write(JUDGES, "judges.py")
    gate = ("--looplet-gate=threshold", "--looplet-threshold=0")
    judge = "--looplet-judge=evals/judges.py:make"
    for workers in ((), ("-n", "2")):
        result = project.runpytest_subprocess(*STORE, "evals", *gate, judge, *workers)
        result.assert_outcomes(passed=3)
        assert result.ret == pytest.ExitCode.OK
    result = score(project, *gate, "-rs")
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.assert_outcomes(skipped=3)
    result.stdout.fnmatch_lines(
        ["  - eval_judged: no run was evaluable", "SKIPPED*it needs a judge*"]
    )


JUDGED = """
    def eval_judged(ctx, llm):
        return llm.generate(f"Is {ctx.final_output} right?", scope="judge:right")

    def eval_sure(ctx, llm):
        return True if ctx.final_output["euro"] > 0 else llm.generate("Sure?")
"""
RECORDED = "--looplet-judge-cassettes=judged"


@pytest.mark.parametrize("items", ["trajectory", "eval"])
def test_what_a_judge_said_is_recorded_and_needs_no_judge_again(project, write, items, monkeypatch):
    monkeypatch.delenv("CI", raising=False)
    write(JUDGED)
    write(JUDGES.replace('["yes"]', '["yes", "no"]'), "judges.py")
    how = (f"--looplet-items={items}", RECORDED)
    live = score(project, *how, "--looplet-judge=evals/judges.py:make")
    names = sorted(path.name for path in (project.path / "judged").iterdir())
    labels = ("pears-0", "pears-1", "plums-0")
    assert names == [f"eval_judged[{label}].yaml" for label in labels]  # the other asked nobody
    assert "judge:right" in (project.path / "judged" / names[0]).read_text()
    monkeypatch.setenv("CI", "1")
    for more in ((), ("-n", "2"), ("-k", "judged")):
        again = score(project, *how, *more)
        assert again.ret == live.ret == pytest.ExitCode.TESTS_FAILED
        again.stdout.fnmatch_lines(["eval_judged *3 * 2 *0.67*"])
        assert ("eval_sure " in again.stdout.str()) == ("-k" not in more)


@pytest.mark.parametrize("items", ["trajectory", "eval"])
def test_a_question_that_was_not_recorded_is_an_error_of_its_run_alone(
    project, write, items, monkeypatch
):
    monkeypatch.setenv("CI", "1")
    write(JUDGED)
    write(JUDGES, "judges.py")
    how = (f"--looplet-items={items}", RECORDED, "-k", "judged")
    score(project, *how, "--looplet-judge=evals/judges.py:make", "--looplet-record=once")
    (project.path / "judged" / "eval_judged[pears-0].yaml").unlink()
    write(JUDGED.replace('right?"', 'right?" + " Sure?" * ("plums" in str(ctx.task))'))
    result = score(project, *how, "--looplet-gate=threshold")
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.stdout.fnmatch_lines(
        [
            "*there is no recorded verdict in *eval_judged?pears-0?.yaml: record it with *",
            "eval_judged *1 *1 *1.00*",
            "  - eval_judged: 2 errors",
        ]
    )
    result.stdout.fnmatch_lines(["*To ask the judge anew: --looplet-judge, with *"])


def test_verdicts_without_a_folder_or_a_judge_are_skipped_as_ever(project, write, monkeypatch):
    monkeypatch.delenv("CI", raising=False)
    write(JUDGED)
    result = score(project, "-k", "judged", RECORDED)
    result.assert_outcomes(skipped=3, deselected=3)
    assert not (project.path / "judged").exists()


@pytest.mark.parametrize(("name", "message"), [("brokn", "did you mean broken?"), ("", "names no")])
def test_a_judge_that_is_none_is_a_usage_error(project, write, name, message):
    write(JUDGES.replace("broken = None", "broken = 3"), "judges.py")
    result = score(project, f"--looplet-judge=evals/judges.py:{name}")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines([f"ERROR: --looplet-judge: *{message}*"])
