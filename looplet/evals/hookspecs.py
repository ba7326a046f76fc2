"""What a ``conftest.py`` may tell looplet, beside its fixtures. Imports nothing heavy."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from looplet.evals.cases import EvalCase


@pytest.hookspec(firstresult=True)
def pytest_looplet_cases(config: pytest.Config) -> Iterable[EvalCase] | None:
    """The cases on which the agent of the evals beside this ``conftest.py`` is run.

    Asked while evals are collected, of the nearest ``conftest.py`` first; ``--looplet-cases`` goes
    before it. Without either the cases are those that the cassettes name.
    """
