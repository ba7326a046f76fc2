"""What is said of verdicts before they are believed: judges that nobody validated, flaky evals."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from looplet import MockLLMBackend, eval_mark
from looplet.evals import EvalContext, gate
from looplet.evals.caveats import EVALS, caveat_lines
from looplet.evals.judge import YES_NO, RubricJudge, agreement
from looplet.evals.results import EvalResult, Outcome
from looplet.evals.running import Given
from looplet.evals.scored import EvalInfo, Scored
from looplet.evals.statistics import FlakyTask, pass_hat_k
from looplet.evals.suites import score_all
from looplet.evals.summary import summarize

TRIALS = st.dictionaries(
    st.sampled_from("abcdef"), st.lists(st.booleans(), min_size=1, max_size=4), min_size=1
)


def scored(trials, name="eval_x"):
    """Verdicts of tasks, each with a list of its trials'."""
    info = EvalInfo(key=name, name=name)
    return [
        Scored(
            eval=info,
            trajectory_id=f"{task}.{number}",
            outcome=Outcome.PASS if passed else Outcome.FAIL,
            result=EvalResult(score=float(passed)),
            task=task,
        )
        for task, values in trials.items()
        for number, passed in enumerate(values)
    ]


@given(TRIALS)
def test_an_eval_is_flaky_where_trials_of_one_task_differ(trials):
    (summary,) = summarize(scored(trials))
    mixed = {task: values for task, values in trials.items() if len({*values}) > 1}
    expected = {
        FlakyTask(task_id=task, passed=sum(values), trials=len(values))
        for task, values in mixed.items()
    }
    assert {*summary.flaky} == expected
    assert bool(caveat_lines([summary])) is bool(mixed)


@pytest.mark.parametrize("odd", [5.0, -0.25, None])
def test_scores_that_a_threshold_says_nothing_of_are_named(odd):
    verdicts = scored({"a": [True, False]})
    if odd is None:
        assert caveat_lines(summarize(scored({"a": [True], "b": [False]}))) == []
        return
    verdicts.append(replace(verdicts[0], task="b", result=EvalResult(score=odd)))
    low, high = min(0.0, odd), max(1.0, odd)
    told = f"eval_x: scores from {low:g} to {high:g}; thresholds are averages from 0 to 1"
    assert caveat_lines(summarize(verdicts))[0].startswith(told)


def test_a_flaky_eval_is_named_with_its_pass_hat_k_and_its_worst_tasks():
    trials = {
        "calm": [True, True, True],
        "once": [False],
        **{f"t{n}": [True] * 3 + [False] for n in range(4)},
        "even": [True, False],
    }
    chances = [pass_hat_k(passed, n, 2) for passed, n in [(3, 3), *[(3, 4)] * 4, (1, 2)]]
    (line,) = caveat_lines(summarize(scored(trials)))
    assert line == (
        f"eval_x: flaky, pass^2 {sum(chances) / 6:.2f}; trials differ on 5 of 6 tasks "
        "(passed: even 1 of 2, t0 3 of 4, t1 3 of 4 and 2 more)"
    )


def test_flaky_evals_are_told_worst_first_and_not_all_of_many():
    suites = [
        scored({"a": [True] * passed + [False] * (30 - passed)}, f"eval_{passed}")
        for passed in range(15, 15 + EVALS + 3)
    ]
    suites.append(scored({"a": [True, True, False], "b": [True, True, True]}, "eval_best"))
    lines = caveat_lines(summarize(one for suite in suites for one in suite))
    assert len(lines) == EVALS + 1
    assert lines[0].startswith("eval_15: flaky")
    assert lines[-1] == "... and 4 more flaky evals"
    assert not any("eval_best" in line for line in lines)


def test_replays_of_one_recording_make_no_eval_flaky():
    replays = [replace(each, recording="r") for each in scored({"a": [True, False, True]})]
    assert caveat_lines(summarize(replays)) == []


RUNS = [(f"r{n}", EvalContext([], final_output={"text": f"answer {n}"})) for n in range(40)]
YES = json.dumps({"reason": "So it seems.", "verdict": "yes"})
NO = json.dumps({"reason": "So it seems.", "verdict": "no"})
POLITE = RubricJudge("polite", rubric="Is the answer polite?")


def eval_bare(ctx, llm):
    return llm.generate("Is it polite?") == YES


def eval_judged(ctx, llm):
    return POLITE(ctx, llm=llm)


def eval_pared(ctx, llm):
    return POLITE(ctx, llm=llm).passed


def eval_no_judge(ctx, llm=None):
    return True


def judged(function, required=False):
    marked = eval_mark(required=required)(function)
    found = score_all([marked], RUNS[:2], given=Given(judge=MockLLMBackend([YES])))
    return summarize(found)


@pytest.mark.parametrize(
    ("function", "reason"),
    [
        (eval_bare, "the eval tells of no comparison with human labels"),
        (eval_pared, "the eval tells of no comparison with human labels"),
        (eval_judged, "it was never compared with human labels"),
    ],
)
def test_a_judge_that_nobody_validated_is_told_and_never_decides_by_a_required_eval(
    function, reason
):
    name = function.__name__
    summaries = judged(function)
    assert caveat_lines(summaries) == [f"{name}: unvalidated judge, on 2 runs: {reason}"]
    assert gate.judge(summaries, threshold=1).held, "it is told, and no cause"
    required = gate.judge(judged(function, required=True), threshold=0)
    assert required.causes == (f"{name}: it is required, and its judge is not validated: {reason}",)


def test_an_eval_that_asks_no_judge_has_no_such_caveat():
    summaries = judged(eval_no_judge, required=True)
    assert caveat_lines(summaries) == []
    assert gate.judge(summaries).held


def test_a_validated_judge_decides_by_a_required_eval_until_it_is_changed():
    humans = [True] * 22 + [False] * 18
    judge = replace(POLITE, llm=MockLLMBackend([YES] * 20 + [NO] * 20))
    found = agreement([judge(run) for _, run in RUNS], humans, scale=YES_NO)
    validated = judge.validated(found)

    @eval_mark(required=True)
    def eval_polite(ctx, llm):
        return validated(ctx, llm=llm)

    summaries = judged(eval_polite, required=True)
    assert caveat_lines(summaries) == []
    assert gate.judge(summaries).held
    validated = replace(validated, rubric="Is the answer kind?")
    (cause,) = gate.judge(judged(eval_polite, required=True)).causes
    assert cause.endswith("not validated: its rubric was changed since it was validated")


def test_a_run_without_a_verdict_has_no_judge_to_be_doubted():
    found = score_all([eval_bare], RUNS[:2])
    assert [each.unvalidated for each in found] == [None, None]
    assert caveat_lines(summarize(found)) == []


def test_what_to_know_of_verdicts_stands_in_the_summary(project, write):
    write("""
        from looplet import eval_mark

        def eval_right_price(ctx):
            return ctx.final_output["euro"] == ctx.expected["euro"]

        @eval_mark(required=True)
        def eval_polite(ctx, llm):
            return llm.generate("Is it polite?")
    """)
    project.makepyfile(
        judges="from looplet import MockLLMBackend\nmodel = MockLLMBackend(['yes'])\n"
    )
    for more in ((), ("-n", "2")):
        result = project.runpytest_subprocess(
            *("evals", "--looplet-store", "store", "--looplet-judge", "judges.py:model"),
            *("--looplet-gate=threshold", "--looplet-threshold=0", *more),
        )
        assert result.ret == pytest.ExitCode.TESTS_FAILED
        result.stdout.fnmatch_lines(
            [
                "  eval_polite: unvalidated judge, on 3 runs: the eval tells of no comparison *",
                "  eval_right_price: flaky, pass^2 0.00; * 1 of 1 tasks (passed: pears 1 of 2)",
                "  - eval_polite: it is required, and its judge is not validated: the eval tells *",
            ]
        )
