"""What an eval under pytest may ask for beside its context: fixtures, a case, a judge."""

from __future__ import annotations

import pytest

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


@pytest.mark.parametrize(("name", "message"), [("brokn", "did you mean broken?"), ("", "names no")])
def test_a_judge_that_is_none_is_a_usage_error(project, write, name, message):
    write(JUDGES.replace("broken = None", "broken = 3"), "judges.py")
    result = score(project, f"--looplet-judge=evals/judges.py:{name}")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines([f"ERROR: --looplet-judge: *{message}*"])
