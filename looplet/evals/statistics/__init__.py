"""Statistics of verdicts and scores. Knows numbers; knows no eval, no run and no pytest.

Names are found when they are first used: importing the package loads neither scipy nor numpy.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from looplet.lazy import lazy_names

if TYPE_CHECKING:
    from looplet.evals.statistics.bootstrap import bootstrap_interval
    from looplet.evals.statistics.comparison import Comparison, EvalComparison, Finding, compare
    from looplet.evals.statistics.corrections import benjamini_hochberg, correct, holm
    from looplet.evals.statistics.flakiness import FlakyTask, flaky_tasks
    from looplet.evals.statistics.intervals import Interval, clustered_interval, wilson_interval
    from looplet.evals.statistics.noninferiority import noninferiority_test
    from looplet.evals.statistics.paired import (
        PairedDifference,
        mcnemar_test,
        paired_difference,
        paired_interval,
    )
    from looplet.evals.statistics.passk import mean_over_tasks, pass_at_k, pass_hat_k
    from looplet.evals.statistics.permutation import permutation_test
    from looplet.evals.statistics.power import minimum_detectable_effect, tasks_needed
    from looplet.evals.statistics.trials import Observation, TaskTrials, group_trials
    from looplet.evals.statistics.variance import Rating, VarianceSplit, split_variance

__all__ = [
    "Comparison",
    "EvalComparison",
    "Finding",
    "FlakyTask",
    "Interval",
    "Observation",
    "PairedDifference",
    "Rating",
    "TaskTrials",
    "VarianceSplit",
    "benjamini_hochberg",
    "bootstrap_interval",
    "clustered_interval",
    "compare",
    "correct",
    "flaky_tasks",
    "group_trials",
    "holm",
    "mcnemar_test",
    "mean_over_tasks",
    "minimum_detectable_effect",
    "noninferiority_test",
    "paired_difference",
    "paired_interval",
    "pass_at_k",
    "pass_hat_k",
    "permutation_test",
    "split_variance",
    "tasks_needed",
    "wilson_interval",
]

_MODULES = {
    "bootstrap": ("bootstrap_interval",),
    "comparison": ("Comparison", "EvalComparison", "Finding", "compare"),
    "corrections": ("benjamini_hochberg", "correct", "holm"),
    "flakiness": ("FlakyTask", "flaky_tasks"),
    "intervals": ("Interval", "clustered_interval", "wilson_interval"),
    "noninferiority": ("noninferiority_test",),
    "paired": ("PairedDifference", "mcnemar_test", "paired_difference", "paired_interval"),
    "passk": ("mean_over_tasks", "pass_at_k", "pass_hat_k"),
    "permutation": ("permutation_test",),
    "power": ("minimum_detectable_effect", "tasks_needed"),
    "trials": ("Observation", "TaskTrials", "group_trials"),
    "variance": ("Rating", "VarianceSplit", "split_variance"),
}

__getattr__, __dir__ = lazy_names(
    __name__,
    {name: f"{__name__}.{module}" for module, names in _MODULES.items() for name in names},
)
