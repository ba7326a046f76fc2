"""How pytest-xdist shares out evals on an agent's runs. The one module that imports xdist."""

from __future__ import annotations

from typing import Any

from xdist.scheduler import LoadScopeScheduling  # type: ignore[import-untyped]


class ByRun(LoadScopeScheduling):  # type: ignore[misc]
    """All evals on one run go to one worker, so that the run is made once."""

    def _split_scope(self, nodeid: str) -> str:
        """What stands in brackets, which is the run; of other tests it is what they are given."""
        return run_of(nodeid) or nodeid

    def remove_node(self, node: Any) -> str | None:
        """Share out anew what a worker that went down has left, but for what it went down with.

        Otherwise that would be run again, and take one worker after the other down.
        """
        work = self.assigned_work[node]
        left = [(scope, name) for scope in work for name, done in work[scope].items() if not done]
        if left:
            scope, name = left[0]
            work[scope][name] = True
        for scope in [scope for scope in work if all(work[scope].values())]:
            del work[scope]
        super().remove_node(node)
        return left[0][1] if left else None


def run_of(nodeid: str) -> str:
    """The label of the run that an eval is put to, from the eval's node id.

    >>> run_of("evals/eval_price.py::eval_right_price[pears-1]")
    'pears-1'
    """
    return nodeid.rpartition("]")[0].rpartition("[")[2]
