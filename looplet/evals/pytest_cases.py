"""Cases as parameters of pytest's tests. Knows pytest's marks; knows no run."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from looplet.errors import CasesMissing, MissingExtra
from looplet.evals.cases import EvalCase, check_ids, load_cases

if TYPE_CHECKING:
    import pytest


def pytest_param_cases(cases: Iterable[EvalCase]) -> list[Any]:
    """A ``pytest.param`` for each case, with its id and its marks.

    Raises ``CasesDamaged`` if two have one id, and ``MissingExtra`` without pytest.

    >>> [each.id for each in pytest_param_cases([EvalCase("pears"), EvalCase("plums")])]
    ['pears', 'plums']
    """
    test = _pytest()
    cases = list(cases)
    check_ids(cases)
    return [
        test.param(case, id=case.id, marks=[getattr(test.mark, mark) for mark in case.marks])
        for case in cases
    ]


def parametrize_cases(
    path: str | os.PathLike[str], *, argname: str = "case"
) -> pytest.MarkDecorator:
    """A decorator that runs a test for each case of a file or directory.

    Raises as ``load_cases`` does, and ``CasesMissing`` where there is no case: a test without
    parameters would be skipped, and nobody would know.
    """
    cases = load_cases(path)
    if not cases:
        raise CasesMissing(f"there is no case in {path}, so nothing would be tested")
    decorator: pytest.MarkDecorator = _pytest().mark.parametrize(argname, pytest_param_cases(cases))
    return decorator


def _pytest() -> Any:
    """The module, which is loaded by those who use it, so that the names are there without it."""
    try:
        import pytest
    except ImportError as error:
        raise MissingExtra("pytest", needed_for="cases as tests", extra="evals") from error
    return pytest
