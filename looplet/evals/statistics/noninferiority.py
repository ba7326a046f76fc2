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
    tasks, as far as they are seen to agree; what is left over of a pair counts against the
    candidate. However often tasks are tried, others may be lost wholly; so the p-value is never
    below ``(1 - margin) ** tasks``, the chance that a candidate which loses a share ``margin`` of
    all tasks, and is equal on the others, meets none of those here. (If it is better on those seen,
    the share must be larger.) Raises ``StatisticsError`` for another margin, sides that do not
    match and values outside 0 to 1; ``MissingExtra`` without scipy.

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
    n = math.floor(pairs.worth(GATE_EVENTS) + _ROUNDING)
    lost = math.ceil(pairs.lost * n - _ROUNDING)
    gained = min(math.floor(pairs.gained * n + _ROUNDING), n - lost)
    exact = tail(n, score(n, gained, lost, -margin), -margin)
    unseen = ((1 - margin) / (1 + max(0.0, pairs.difference))) ** pairs.n
    return max(exact, unseen)
