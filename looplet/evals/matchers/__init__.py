"""Trajectory matchers: what a run called, with what, how often, in what order, at what price.

A matcher takes a context and gives a `Match`, which is true or false, says why, and may be what an
eval returns. Names are found when they are first used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from looplet.lazy import lazy_names

if TYPE_CHECKING:
    from looplet.evals.matchers.budgets import within
    from looplet.evals.matchers.calls import Call, ExpectedCall
    from looplet.evals.matchers.conduct import (
        call_and_result,
        first_error,
        never,
        no_errors,
        no_repeats,
        progresses,
    )
    from looplet.evals.matchers.match import Match, Miss
    from looplet.evals.matchers.predicates import ANY
    from looplet.evals.matchers.sequences import any_order, exact, in_order, subset, superset
    from looplet.evals.matchers.showing import MISSING, ArgumentMiss

__all__ = [
    "ANY",
    "MISSING",
    "ArgumentMiss",
    "Call",
    "ExpectedCall",
    "Match",
    "Miss",
    "any_order",
    "call_and_result",
    "exact",
    "first_error",
    "in_order",
    "never",
    "no_errors",
    "no_repeats",
    "progresses",
    "subset",
    "superset",
    "within",
]

_HERE = "looplet.evals.matchers"
_HOMES = {
    "budgets": "within",
    "calls": "Call ExpectedCall",
    "conduct": "call_and_result first_error never no_errors no_repeats progresses",
    "match": "Match Miss",
    "predicates": "ANY",
    "sequences": "any_order exact in_order subset superset",
    "showing": "MISSING ArgumentMiss",
}

__getattr__, __dir__ = lazy_names(
    __name__,
    {name: f"{_HERE}.{module}" for module, names in _HOMES.items() for name in names.split()},
)
