"""Evals: marked functions, scored by pytest. Knows nothing of how a trajectory was made.

Names are found when they are first used, so that pytest starts without them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from looplet.lazy import lazy_names

if TYPE_CHECKING:
    from looplet.cli.evaluating import eval_cli
    from looplet.errors import NotEvaluable
    from looplet.evals.asserting import assert_evals_pass
    from looplet.evals.cases import EvalCase, load_cases, save_case, save_cases
    from looplet.evals.context import EvalContext
    from looplet.evals.discovery import eval_discover
    from looplet.evals.hook import EvalHook
    from looplet.evals.marks import eval_mark
    from looplet.evals.pytest_cases import parametrize_cases, pytest_param_cases
    from looplet.evals.results import EvalResult
    from looplet.evals.suites import eval_run, eval_run_batch

__all__ = [
    "EvalCase",
    "EvalContext",
    "EvalHook",
    "EvalResult",
    "NotEvaluable",
    "assert_evals_pass",
    "eval_cli",
    "eval_discover",
    "eval_mark",
    "eval_run",
    "eval_run_batch",
    "load_cases",
    "parametrize_cases",
    "pytest_param_cases",
    "save_case",
    "save_cases",
]

__getattr__, __dir__ = lazy_names(
    __name__,
    {
        "EvalCase": "looplet.evals.cases",
        "EvalContext": "looplet.evals.context",
        "EvalHook": "looplet.evals.hook",
        "EvalResult": "looplet.evals.results",
        "NotEvaluable": "looplet.errors",
        "assert_evals_pass": "looplet.evals.asserting",
        # The command's own words are the command line's, and this room loads none of them.
        "eval_cli": "looplet.cli.evaluating",
        "eval_discover": "looplet.evals.discovery",
        "eval_mark": "looplet.evals.marks",
        "eval_run": "looplet.evals.suites",
        "eval_run_batch": "looplet.evals.suites",
        "load_cases": "looplet.evals.cases",
        "parametrize_cases": "looplet.evals.pytest_cases",
        "pytest_param_cases": "looplet.evals.pytest_cases",
        "save_case": "looplet.evals.cases",
        "save_cases": "looplet.evals.cases",
    },
)
