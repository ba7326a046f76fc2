"""What an eval's report tells of its outcome. Knows pytest's reports; adds nothing up."""

from __future__ import annotations

import pytest

from looplet.core.records import escape_controls
from looplet.evals.items import EvalNode
from looplet.evals.results import SKIPPED, EvalResult, Outcome


def attach(report: pytest.TestReport, item: EvalNode, call: pytest.CallInfo[None]) -> None:
    """Mark the report with the outcome, unless the eval was skipped, which pytest shows itself.

    An eval that pytest broke off has no verdict yet, and gets one for each of its runs. Raises
    ``StoreError`` if these cannot be read.
    """
    if item.outcome is None:
        item.settle(*_unscored(report, item, call))
    elif item.outcome is Outcome.NOT_EVALUABLE and isinstance(report.longrepr, tuple):
        path, line, _ = item.reportinfo()
        report.longrepr = (str(path), line + 1, f"not evaluable: {item.reason.explanation}")
    if item.reason.label != SKIPPED and item.outcome is not None:
        report.looplet_outcome = item.outcome.value  # type: ignore[attr-defined]


def _unscored(
    report: pytest.TestReport, item: EvalNode, call: pytest.CallInfo[None]
) -> tuple[Outcome, EvalResult]:
    """The verdict on an eval that was skipped, or that pytest broke off."""
    name = item.info.name
    if report.skipped:
        told = report.longrepr
        xfail = f"xfail: {getattr(report, 'wasxfail', '')}"
        reason = told[2] if isinstance(told, tuple) else xfail
        return Outcome.NOT_EVALUABLE, EvalResult(name, label=SKIPPED, explanation=reason)
    said = report.longreprtext if call.excinfo is None else _said(call.excinfo)
    return Outcome.ERROR, EvalResult(name, label="error", explanation=escape_controls(said))


def _said(excinfo: pytest.ExceptionInfo[BaseException]) -> str:
    error = excinfo.value
    if isinstance(error, pytest.FixtureLookupError):  # whose text is its request, item and all
        return error.msg or f"fixture {error.argname!r} not found"
    return excinfo.exconly(tryshort=True)
