"""Importers: runs that others recorded, as trajectories. One module a format.

A format is a module with ``FORMAT``, which `registry` names. `importing` finds the files and the
format of each, `sources` reads bytes and JSON, `nodes` holds values with their places, `builder`
puts a run together from its messages.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from looplet.lazy import lazy_names

if TYPE_CHECKING:
    from looplet.trajectory.importers.importing import import_trajectories as import_trajectories
    from looplet.trajectory.importers.problems import Problem as Problem
    from looplet.trajectory.importers.registry import formats as formats

__all__ = ["Problem", "formats", "import_trajectories"]

__getattr__, __dir__ = lazy_names(
    __name__,
    {
        "Problem": "looplet.trajectory.importers.problems",
        "formats": "looplet.trajectory.importers.registry",
        "import_trajectories": "looplet.trajectory.importers.importing",
    },
)
