"""What is put around every loop that starts, unknown to whoever starts it. Knows no cassette.

There is one list for the whole process and no context variable: a loop may start in a thread of a
pool, which inherits nothing from the block around it.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

from looplet.core.config import LoopConfig


@dataclass(frozen=True, slots=True, kw_only=True)
class Starting:
    """What a loop that starts was given."""

    llm: Any
    tools: Any
    config: LoopConfig
    task: Any
    asynchronous: bool
    """Whether the async loop starts."""


class Around(Protocol):
    """Takes what a loop was given; returns what it is to work with."""

    def __call__(self, given: Starting, /) -> Starting:
        """Put something around it. What is raised ends the loop before it begins."""


AROUND: list[Around] = []
"""What is put around loops at this moment, outermost last."""
_LOCK = threading.Lock()


def surrounded(given: Starting) -> Starting:
    """What the loop is to work with."""
    for each in tuple(AROUND):
        given = each(given)
    return given


@contextmanager
def around_loops(put: Around) -> Iterator[None]:
    """Put something around every loop that starts in the block, in whatever thread."""
    with _LOCK:
        AROUND.append(put)
    try:
        yield
    finally:
        with _LOCK:
            AROUND.remove(put)
