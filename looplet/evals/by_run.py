"""How pytest-xdist shares out evals on an agent's runs. The one module that imports xdist."""

from __future__ import annotations

from xdist.scheduler import LoadScopeScheduling  # type: ignore[import-untyped]


class ByRun(LoadScopeScheduling):  # type: ignore[misc]
    """All evals on one run go to one worker, so that the run is made once."""

    def _split_scope(self, nodeid: str) -> str:
        """What stands in brackets, which is the run; of other tests it is what they are given."""
        return run_of(nodeid) or nodeid


def run_of(nodeid: str) -> str:
    """The label of the run that an eval is put to, from the eval's node id.

    >>> run_of("evals/eval_price.py::eval_right_price[pears-1]")
    'pears-1'
    """
    return nodeid.rpartition("]")[0].rpartition("[")[2]
