"""Whether a candidate is shown to be no worse than a baseline, but for a margin.

Knows trials by task; knows no eval and no gate.
"""

from __future__ import annotations

import math

from looplet.errors import StatisticsError
from looplet.evals.statistics.checks import Tasks
from looplet.evals.statistics.effective import GATE_EVENTS
from looplet.evals.statistics.pairs import Pairs, pair
from looplet.evals.statistics.trinomial import score, tail

_ROUNDING = 1e-9


def noninferiority_test(candidate: Tasks, baseline: Tasks, *, margin: float) -> float:
    """The p-value that the candidate is worse by ``margin`` or more; small means "no worse".

    Both sides hold one sequence of trials a task, in the same order, bools or scores from 0 to 1;
    ``margin`` is a difference of rates, from 0 to below 1. For tasks tried once the test is exact:
    it takes the share of tasks that differ as it is worst. More trials a task are worth more
    tasks, as far as trials are seen to agree; that is the part which is no theorem, and holds by
    simulation (docs/benchmarks.md). However often tasks are tried, others may be lost wholly, so
    the p-value is never below ``(1 - margin) ** tasks``: the chance that a candidate which loses a
    share ``margin`` of all tasks, and is equal on the others, meets none of those here. (If it is
    better on those seen, the share must be larger.) Raises ``StatisticsError`` for another margin,
    sides that do not match and values outside 0 to 1; ``MissingExtra`` without scipy.

    Sources: T. Tango, Statistics in Medicine 17 (1998), 891-908 (the statistic); K. Sidik, "Exact
    Unconditional Tests for Testing Non-inferiority in Matched-pairs Design", Statistics in Medicine
    22 (2003), 265-278; the bound is our own.

    >>> passed = [[True]] * 60
    >>> f"{noninferiority_test(passed, passed, margin=0.05):.3f}"
    '0.046'
    """
    return noninferiority_of(pair(candidate, baseline), margin)


def noninferiority_of(pairs: Pairs, margin: float) -> float:
    """The p-value for pairs that are made already."""
    if not 0 <= margin < 1:
        raise StatisticsError(
            f"a margin is a difference of rates, from 0 to below 1, not {margin!r}"
        )
    # So many more tasks than were seen must be lost, if the candidate is worse by the margin. Each
    # counts as an event, lest trials that agree on the tasks seen speak for those not seen.
    unmet = max(0.0, pairs.difference + margin) * pairs.n
    n = math.floor(pairs.worth(GATE_EVENTS + unmet) + _ROUNDING)
    exact = math.fsum(
        lost_part * gained_part * _exact(n, gained, lost, margin)
        for lost, lost_part in _whole(pairs.lost * n)
        for gained, gained_part in _whole(pairs.gained * n)
    )
    unseen = ((1 - margin) / (1 + max(0.0, pairs.difference))) ** pairs.n
    return min(1.0, max(exact, unseen))


def _exact(n: int, gained: int, lost: int, margin: float) -> float:
    return tail(n, score(n, gained, lost, -margin), -margin)


def _whole(count: float) -> list[tuple[int, float]]:
    """The whole numbers around a count, and how much of each it is; one if it is whole itself."""
    below = math.floor(count + _ROUNDING)
    part = max(0.0, count - below)
    return [(below, 1.0)] if part <= _ROUNDING else [(below, 1 - part), (below + 1, part)]
