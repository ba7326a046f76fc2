"""Evals: marked functions, scored by pytest. Knows nothing of how a trajectory was made.

Names are found when they are first used, so that pytest starts without them.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from looplet.errors import NotEvaluable
    from looplet.evals.context import EvalContext
    from looplet.evals.discovery import eval_discover
    from looplet.evals.marks import eval_mark
    from looplet.evals.results import EvalResult

__all__ = ["EvalContext", "EvalResult", "NotEvaluable", "eval_discover", "eval_mark"]

_MODULES = {
    "EvalContext": "looplet.evals.context",
    "EvalResult": "looplet.evals.results",
    "NotEvaluable": "looplet.errors",
    "eval_discover": "looplet.evals.discovery",
    "eval_mark": "looplet.evals.marks",
}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(_MODULES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
