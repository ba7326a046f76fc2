"""Candidate and baseline, eval by eval."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from looplet.errors import ReplaysCounted, StatisticsError
from looplet.evals.statistics import (
    Finding,
    Observation,
    compare,
    holm,
    mcnemar_test,
    noninferiority_test,
    paired_interval,
)

VALUES = st.one_of(st.booleans(), st.none(), st.floats(0, 1, width=16))
SUITE = st.dictionaries(st.sampled_from("abcdefgh"), st.lists(VALUES, min_size=1, max_size=3))
MIRROR = {Finding.BETTER: Finding.WORSE, Finding.WORSE: Finding.BETTER}


def observe(suite):
    """Observations of tasks, each with a list of its trials' values."""
    return [
        Observation(str(task), trial, value)
        for task, values in suite.items()
        for trial, value in enumerate(values)
    ]


def verdicts(*counts):
    """Two suites: tasks that both pass, that only the candidate does, only the baseline, none."""
    kinds = [(True, True), (True, False), (False, True), (False, False)]
    pairs = [kind for kind, count in zip(kinds, counts, strict=True) for _ in range(count)]
    return [{number: [pair[side]] for number, pair in enumerate(pairs)} for side in (0, 1)]


def one(candidate, baseline, *, margin=0.1, **options):
    """The comparison of a single eval."""
    found = compare({"e": observe(candidate)}, {"e": observe(baseline)}, margin=margin, **options)
    return found.evals[0]


@pytest.mark.parametrize(
    ("counts", "margin", "verdict"),
    [
        ((20, 12, 1, 5), 0.1, "better"),
        ((20, 1, 12, 5), 0.1, "worse"),
        ((58, 1, 1, 0), 0.1, "no worse (margin 0.1)"),
        ((57, 0, 3, 0), 0.2, "no worse (margin 0.2)"),
        ((980, 0, 20, 0), 0.05, "no worse (margin 0.05)"),  # worse, but by less than matters
        ((6, 1, 1, 0), 0.1, "not enough data (detectable: 0.8)"),
        ((4, 0, 0, 0), 0.1, "not enough data (detectable: nothing)"),
    ],
)
def test_the_finding_is_what_the_sample_shows(counts, margin, verdict):
    found = one(*verdicts(*counts), margin=margin)
    assert found.verdict == verdict
    assert found.difference == pytest.approx((counts[1] - counts[2]) / sum(counts))


def test_figures_are_those_of_the_methods():
    candidate, baseline = verdicts(20, 7, 2, 5)
    found = one(candidate, baseline, margin=0.2)
    new, old = list(candidate.values()), list(baseline.values())
    assert found.p_value == pytest.approx(mcnemar_test(7, 2), abs=1e-9)
    assert found.interval == pytest.approx(paired_interval(new, old))
    assert found.no_worse_p_value == noninferiority_test(new, old, margin=0.2)
    assert found.tasks == tuple(map(str, range(34)))


def test_p_values_are_corrected_over_evals_and_those_without_tasks_do_not_count():
    clear, weak = verdicts(20, 12, 1, 5), verdicts(20, 7, 0, 5)
    sides = [
        {"clear": observe(clear[side]), "weak": observe(weak[side]), "apart": observe({side: [1]})}
        for side in (0, 1)
    ]
    found = {each.eval: each for each in compare(*sides, margin=0.1).evals}
    raw = [mcnemar_test(12, 1), mcnemar_test(7, 0)]
    corrected = [found["clear"].corrected_p_value, found["weak"].corrected_p_value]
    assert corrected == pytest.approx(holm(raw))
    apart = found["apart"]
    assert (apart.p_value, apart.interval, apart.corrected_p_value) == (None, None, None)
    assert apart.verdict == "not enough data (detectable: nothing)"
    assert (apart.only_candidate, apart.only_baseline) == (("0",), ("1",))


def test_a_correction_can_take_a_finding_away_and_asks_for_larger_differences():
    weak = verdicts(20, 7, 0, 5)
    alone = one(*weak)
    names = [f"e{number}" for number in range(10)]
    sides = [{name: observe(weak[side]) for name in names} for side in (0, 1)]
    many = compare(*sides, margin=0.1).evals[0]
    assert (alone.finding, many.finding) == (Finding.BETTER, Finding.NO_WORSE)
    assert alone.detectable < many.detectable
    assert compare(*sides, margin=0.1, correction="none").evals[0].finding is Finding.BETTER


def test_what_is_not_compared_is_named():
    candidate = {"both": [True, None], "new": [True], "unjudged": [None, None]}
    baseline = {"both": [True], "old": [False], "unjudged": [True]}
    found = one(candidate, baseline)
    assert found.tasks == ("both",)
    assert (found.only_candidate, found.only_baseline) == (("new",), ("old",))
    assert found.not_evaluable_candidate == (("both", 1), ("unjudged", 2))
    assert found.not_evaluable_baseline == ()
    assert found.difference == 0


def test_evals_of_one_side_are_named_and_a_lacking_one_is_not_shown_to_be_no_worse():
    steady = observe({task: [True] for task in range(60)})
    whole = compare({"e": steady, "extra": steady}, {"e": steady}, margin=0.1)
    assert (whole.no_worse, whole.only_candidate) == (True, ("extra",))
    lacking = compare({"e": steady}, {"e": steady, "gone": steady}, margin=0.1)
    assert (lacking.no_worse, lacking.only_baseline) == (False, ("gone",))
    assert not compare({}, {}, margin=0.1).no_worse


def test_replays_of_a_recording_are_refused_within_a_side_and_named_across():
    replayed = [Observation("a", trial, True, "ab12") for trial in range(2)]
    with pytest.raises(ReplaysCounted):
        compare({"e": replayed}, {"e": replayed[:1]}, margin=0.1)
    found = compare({"e": replayed[:1]}, {"e": replayed[1:]}, margin=0.1)
    assert found.evals[0].same_recording == ("a",)


def test_scores_are_compared_in_their_own_unit():
    candidate = {task: [60 + task % 7] for task in range(40)}
    baseline = {task: [58 + task % 5] for task in range(40)}
    wide = one(candidate, baseline, margin=5, bounds=(0, 100))
    narrow = one(
        {task: [value / 100 for value in values] for task, values in candidate.items()},
        {task: [value / 100 for value in values] for task, values in baseline.items()},
        margin=0.05,
    )
    assert wide.difference == pytest.approx(100 * narrow.difference)
    assert wide.interval == pytest.approx([100 * each for each in narrow.interval])
    assert wide.no_worse_p_value == pytest.approx(narrow.no_worse_p_value)
    assert wide.detectable == pytest.approx(100 * narrow.detectable)
    assert wide.finding is narrow.finding
    passes = one(*verdicts(30, 0, 0, 0), bounds=(0, 100))
    assert passes.no_worse_p_value == one(*verdicts(30, 0, 0, 0)).no_worse_p_value


@given(SUITE, SUITE)
def test_sides_swapped_are_the_mirror(candidate, baseline):
    found, other = one(candidate, baseline), one(baseline, candidate)
    assert (found.only_candidate, found.only_baseline) == (
        other.only_baseline,
        other.only_candidate,
    )
    assert found.not_evaluable_candidate == other.not_evaluable_baseline
    assert found.p_value == other.p_value
    assert found.detectable == pytest.approx(other.detectable)
    if found.difference is None:
        assert other.difference is None
        return
    assert found.difference == pytest.approx(-other.difference, abs=1e-9)
    assert found.interval == pytest.approx((-other.interval.high, -other.interval.low), abs=1e-9)
    assert found.interval.low - 1e-9 <= found.difference <= found.interval.high + 1e-9
    differs = found.corrected_p_value <= 0.05
    if found.finding in MIRROR and differs and other.finding is not Finding.NO_WORSE:
        assert other.finding is MIRROR[found.finding]


def test_better_is_the_mirror_of_worse():
    candidate, baseline = verdicts(20, 12, 1, 5)
    assert one(candidate, baseline).finding is Finding.BETTER
    assert one(baseline, candidate).finding is Finding.WORSE


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"margin": -0.1}, "margin"),
        ({"margin": math.nan}, "margin"),
        ({"alpha": 0}, "alpha"),
        ({"correction": "tukey"}, "tukey"),
        ({"bounds": (1, 0)}, "bounds"),
        ({"bounds": (0, 0.5)}, "e has the score 1, which is not from 0 to 0.5"),
    ],
)
def test_a_comparison_that_cannot_be_made_is_refused(options, words):
    with pytest.raises(StatisticsError, match=words):
        one({"a": [1.0]}, {"a": [0.5]}, **options)
