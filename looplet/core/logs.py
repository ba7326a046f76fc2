"""The package's logger, found when there is something to log: most runs log nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from logging import Logger


def log() -> Logger:
    """The logger ``looplet``."""
    import logging

    return logging.getLogger("looplet")
