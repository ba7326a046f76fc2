"""Evals: marked functions, scored by pytest. Knows nothing of how a trajectory was made.

Names are found when they are first used, so that pytest starts without them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from looplet.lazy import lazy_names

if TYPE_CHECKING:
    from looplet.errors import NotEvaluable
    from looplet.evals.context import EvalContext
    from looplet.evals.discovery import eval_discover
    from looplet.evals.marks import eval_mark
    from looplet.evals.results import EvalResult

__all__ = ["EvalContext", "EvalResult", "NotEvaluable", "eval_discover", "eval_mark"]

__getattr__, __dir__ = lazy_names(
    __name__,
    {
        "EvalContext": "looplet.evals.context",
        "EvalResult": "looplet.evals.results",
        "NotEvaluable": "looplet.errors",
        "eval_discover": "looplet.evals.discovery",
        "eval_mark": "looplet.evals.marks",
    },
)
