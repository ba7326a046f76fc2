"""How many independent tasks a clustered sample is worth. Knows two variances and a count.

Trials of one task are alike, so ``n`` tasks of ``m`` trials are worth between ``n`` and ``n * m``
independent trials. What they are worth is the ratio of two variances: the one that single trials
would have, which the rate fixes, and the one that is seen between tasks (Kish, "Survey Sampling",
1965: the design effect; Korn and Graubard, Survey Methodology 24 (1998), 193-201, put
the effective size into an interval for a proportion).

The ratio is itself an estimate, from few events where rates are near 0 or 1, and from none where
all is equal. So a few made-up events are added to both sides, with the variance of single trials:
without data the sample is worth its number of tasks, and it takes events to make it worth more.
"""

from __future__ import annotations

RATE_EVENTS = 0.1
"""Made-up events behind the interval of a rate. By simulation: benchmarks/evals_statistics.py."""
DIFFERENCE_EVENTS = 0.25
"""Those behind the interval of a difference, which is worth less where harm is rare and whole."""
GATE_EVENTS = 0.1
"""Those behind a gate's test, beside the tasks that it takes to be lost and not seen."""


def effective_tasks(
    *, n: int, single: float, seen: float, events: float, most: float = float("inf")
) -> float:
    """The number of independent tasks of one trial that the sample is worth; at least ``n``.

    ``single`` is the sum of squares that ``n`` single trials would have, ``seen`` the one between
    the means of tasks; ``most`` is the number of trials a task (their harmonic mean, where tasks
    were not tried equally often), for trials that pass or fail.
    """
    unbiased = seen * n / (n - 1) if n > 1 else single
    return n * max(1.0, min((single + events) / (unbiased + events), most))
