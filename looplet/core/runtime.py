"""Time, pauses and identifiers, handed in so that a replay can hand in the recorded ones."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from looplet.core.records import new_id


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Runtime:
    """What a run takes from the world around it.

    ``sleep`` serves the sync loop; the async loop uses it too if it is not ``time.sleep``, and
    waits for what it returns if that can be awaited.
    """

    now: Callable[[], float] = time.time
    """Unix time, in seconds."""
    perf: Callable[[], float] = time.perf_counter
    """A clock for durations, in seconds."""
    sleep: Callable[[float], object] = time.sleep
    new_id: Callable[[], str] = new_id
