"""Exporters: trajectories, in the formats of other tools. One module a format.

A format is a module with ``TARGET``, which `registry` names. `exporting` sees to the folder,
`files` writes what appears whole, `conversation` is a run as the messages that a chat would have.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from looplet.lazy import lazy_names

if TYPE_CHECKING:
    from looplet.trajectory.exporters.exporting import export_trajectories as export_trajectories
    from looplet.trajectory.exporters.registry import Loss as Loss
    from looplet.trajectory.exporters.registry import targets as targets

__all__ = ["Loss", "export_trajectories", "targets"]

__getattr__, __dir__ = lazy_names(
    __name__,
    {
        "Loss": "looplet.trajectory.exporters.registry",
        "export_trajectories": "looplet.trajectory.exporters.exporting",
        "targets": "looplet.trajectory.exporters.registry",
    },
)
