"""Chances that some, or all, of k trials pass. Knows counts of one task; pure Python."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable

from looplet.errors import StatisticsError


def pass_at_k(passed: int, n: int, k: int) -> float:
    """The chance that at least one of ``k`` trials of a task passes, without bias.

    ``passed`` of the task's ``n`` trials passed. Raises ``StatisticsError`` if ``k`` is not from
    1 to ``n``, or ``passed`` not from 0 to ``n``.

    Source: M. Chen et al., "Evaluating Large Language Models Trained on Code" (2021), equation 1.

    >>> pass_at_k(1, 4, 2)
    0.5
    """
    _check(passed, n, k)
    return 1 - math.comb(n - passed, k) / math.comb(n, k)


def pass_hat_k(passed: int, n: int, k: int) -> float:
    """The chance that all of ``k`` trials of a task pass (pass^k), without bias.

    ``passed`` of the task's ``n`` trials passed. Raises ``StatisticsError`` as ``pass_at_k`` does.

    Source: S. Yao et al., "tau-bench: A Benchmark for Tool-Agent-User Interaction in Real-World
    Domains" (2024), which names it pass^k.

    >>> pass_hat_k(3, 4, 2)
    0.5
    """
    _check(passed, n, k)
    return math.comb(passed, k) / math.comb(n, k)


def mean_over_tasks(
    estimate: Callable[[int, int, int], float], counts: Iterable[tuple[int, int]], k: int
) -> float:
    """``pass_at_k`` or ``pass_hat_k`` of a suite: the mean over its tasks.

    ``counts`` holds (passed, trials) of each task. Raises ``StatisticsError`` without tasks, and
    if a task has fewer than ``k`` trials, since leaving it out would bias the mean.

    >>> mean_over_tasks(pass_hat_k, [(3, 4), (4, 4)], 2)
    0.75
    """
    values = [estimate(passed, n, k) for passed, n in counts]
    if not values:
        raise StatisticsError("a mean over tasks needs at least one task")
    return math.fsum(values) / len(values)


def _check(passed: int, n: int, k: int) -> None:
    if not 0 <= passed <= n:
        raise StatisticsError(f"passed trials are among the trials; got {passed} of {n}")
    if not 1 <= k <= n:
        raise StatisticsError(
            f"k is at least 1 and at most the number of trials; got k={k} for {n} trials"
        )
