"""The gate under pytest: exit status and cause, row by row."""

from __future__ import annotations

import pytest

OK, FAILED = pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED


def gate(pytester, *args):
    return pytester.runpytest_inprocess(
        "--looplet-store", "store", "--looplet-gate=threshold", "-p", "no:cacheprovider", *args
    )


def test_it_holds_although_an_item_failed(project):
    result = gate(project, "evals", "--looplet-threshold=0.6")
    assert result.ret == OK
    result.assert_outcomes(passed=5, failed=1)
    result.stdout.fnmatch_lines(["eval_right_price * held", "gate: held"])


def test_it_does_not_hold_below_the_threshold(project):
    result = gate(project, "evals")
    assert result.ret == FAILED
    result.stdout.fnmatch_lines(
        ["gate: NOT held", "  - eval_right_price: average 0.667 is below 1.000"]
    )


@pytest.mark.parametrize(
    ("source", "cause"),
    [
        ("import sys\ndef eval_x(ctx): sys.exit(0)", "eval_x: 3 errors"),
        ("import pytest\ndef eval_x(ctx): pytest.fail('no')", "eval_x: 3 errors"),
        ("import pytest\ndef eval_x(ctx): pytest.skip('no')", "eval_x: no run was evaluable"),
        ("def helper(ctx): return True", "no evals were run"),
        (
            "@eval_mark(threshold=0.9)\ndef eval_x(ctx): return 'unsure'",
            "eval_x: 3 runs without a score, and without a passing label",
        ),
        (
            "@eval_mark(required=True, needs=['session_log_text'])\ndef eval_x(ctx): return True",
            "eval_x: it is required, and not evaluable on 3 runs",
        ),
    ],
)
def test_it_fails_closed_at_any_threshold(project, write, source, cause):
    write(f"from looplet.evals import eval_mark, NotEvaluable\n{source}\n")
    result = gate(project, "evals", "--looplet-threshold=0")
    assert result.ret == FAILED
    result.stdout.fnmatch_lines(["gate: NOT held", f"  - {cause}"])


def test_a_score_of_zero_from_a_dict_is_a_score(project, write):
    write("def eval_x(ctx): return {'f1': 0}\n")
    assert gate(project, "evals", "--looplet-threshold=0").ret == OK
    assert gate(project, "evals", "--looplet-threshold=0.1").ret == FAILED


def test_marks_that_match_nothing_do_not_hold(project):
    result = gate(project, "evals", "-m", "nothing")
    assert result.ret == FAILED
    result.stdout.fnmatch_lines(["  - no evals were run"])


def test_an_empty_store_does_not_hold(project):
    (project.path / "empty").mkdir()
    result = gate(project, "evals", "--looplet-store", "empty")
    assert result.ret == FAILED
    result.stdout.fnmatch_lines(["  - the store *empty holds no trajectory"])


def test_a_required_eval_that_is_deselected_does_not_hold(project, write):
    write("""
        from looplet import eval_mark

        @eval_mark(required=True)
        def eval_must(ctx):
            return True

        def eval_may(ctx):
            return True
    """)
    assert gate(project, "evals").ret == OK
    result = gate(project, "evals", "-k", "eval_may")
    assert result.ret == FAILED
    result.stdout.fnmatch_lines(["  - eval_must: it is required, and was not run"])


def test_a_run_that_was_stopped_does_not_hold(project):
    result = gate(project, "evals", "--looplet-threshold=0", "-x")
    assert result.ret == FAILED
    result.stdout.fnmatch_lines(["  - the run ended before every eval had run"])


def test_a_rerun_of_the_failed_does_not_hold(project):
    arguments = ("--looplet-store", "store", "--looplet-gate=threshold", "--looplet-threshold=0")
    assert project.runpytest_inprocess(*arguments, "evals").ret == OK
    result = project.runpytest_inprocess(*arguments, "evals", "--lf")
    assert result.ret == FAILED
    result.stdout.fnmatch_lines(["  - --lf runs only what failed before*"])


def test_a_failing_test_fails_the_run_although_the_gate_holds(project):
    project.makepyfile(test_shop="def test_ordinary(): assert False\n")
    result = gate(project, "--looplet-threshold=0")
    assert result.ret == FAILED
    result.stdout.fnmatch_lines(["gate: held"])


@pytest.mark.parametrize(
    ("more", "status"),
    [
        ((), pytest.ExitCode.INTERRUPTED),
        (("--continue-on-collection-errors",), FAILED),
        (("-n", "2"), FAILED),
    ],
)
def test_a_broken_eval_file_never_holds(project, write, more, status):
    write("import nowhere_at_all", "eval_broken.py")
    arguments = ("--looplet-store", "store", "--looplet-gate=threshold", "--looplet-threshold=0")
    result = project.runpytest_subprocess(*arguments, "evals", *more)
    assert result.ret == status
    result.stdout.fnmatch_lines(
        ["gate: NOT held", "  - evals/eval_broken.py could not be collected"]
    )


def test_an_unexpected_pass_that_pytest_refuses_fails_the_run(project, write):
    write("""
        import pytest

        @pytest.mark.xfail(strict=True)
        def eval_x(ctx):
            return True
    """)
    assert gate(project, "evals").ret == FAILED


def test_an_expected_fail_is_still_a_fail(project, write):
    write("""
        import pytest

        @pytest.mark.xfail
        def eval_x(ctx):
            return False
    """)
    result = gate(project, "evals", "--looplet-threshold=0.5")
    result.assert_outcomes(xfailed=3)
    assert result.ret == FAILED


@pytest.mark.parametrize("style", ["auto", "short", "line", "native", "no"])
def test_what_broke_an_eval_off_is_told_alike_in_every_style_of_tracebacks(project, write, style):
    write("""
        import pytest

        @pytest.fixture
        def broken():
            raise RuntimeError("no fixture")

        def eval_fixture(ctx, broken): return True
        def eval_by_hand(ctx): pytest.fail("by hand")
        def eval_expected(ctx): pytest.xfail("one day")
    """)
    result = gate(project, "evals", f"--tb={style}")
    result.stdout.fnmatch_lines(
        [
            "  eval_fixture: RuntimeError: no fixture (3)",
            "  eval_by_hand: Failed: by hand (3)",
            "  eval_expected: xfail: *one day (3)",
        ]
    )


@pytest.mark.parametrize(("threshold", "status"), [("0.6", OK), ("0.7", FAILED)])
def test_workers_leave_the_verdict_to_the_controller(project, threshold, status):
    result = project.runpytest_subprocess(
        *("--looplet-store", "store", "--looplet-gate=threshold", "evals", "-n", "2"),
        f"--looplet-threshold={threshold}",
    )
    assert result.ret == status


def test_workers_tell_of_a_required_eval_that_was_deselected(project, write):
    write("""
        from looplet import eval_mark

        @eval_mark(required=True)
        def eval_must(ctx):
            return True

        def eval_may(ctx):
            return True
    """)
    result = project.runpytest_subprocess(
        *("--looplet-store", "store", "--looplet-gate=threshold", "evals", "-n", "2"),
        *("-k", "eval_may"),
    )
    assert result.ret == FAILED
    result.stdout.fnmatch_lines(["  - eval_must: it is required, and was not run"])


@pytest.mark.parametrize("how", [(), ("-n", "1"), ("--junitxml=out.xml", "--tb=long", "-rA")])
def test_an_error_of_text_that_is_no_unicode_is_an_error_of_its_run_alone(project, write, how):
    write("""
        def eval_odd(ctx):
            if ctx.task["goal"].endswith("plums"):
                raise ValueError("odd: \\udfff")
            return True
    """)
    arguments = ("--looplet-store", "store", "--looplet-gate=threshold", "evals")
    result = project.runpytest_subprocess(*arguments, *how)
    assert result.ret == FAILED
    result.stdout.fnmatch_lines(
        ["  eval_odd: ValueError: odd: ?udfff (1)", "gate: NOT held", "  - eval_odd: 1 error"]
    )
    result.assert_outcomes(passed=2, failed=1)


@pytest.mark.parametrize("how", [(), ("--setup-only",)])
def test_an_eval_that_was_selected_and_never_run_does_not_hold(project, how):
    if not how:
        project.makeconftest("""
            def pytest_runtest_protocol(item):
                return True if "plums" in item.nodeid else None
        """)
    result = gate(project, "evals", "--looplet-threshold=0", *how)
    assert result.ret == FAILED
    result.stdout.fnmatch_lines(["  - the run ended before every eval had run"])
