"""What hooks put around a tool, where it runs. Loaded only by runs with such a hook."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager

from looplet.core.listeners import Bound
from looplet.core.records import ToolCall


@contextmanager
def around_tool(bounds: Sequence[Bound], call: ToolCall, number: int) -> Iterator[None]:
    """Enter every hook's ``around_tool(tool_call, step_num)`` in order, and leave in reverse.

    It is entered in the thread or task of the tool, so that context variables that are set there
    are the tool's alone. A hook may return ``None``. Raises ``TypeError``, naming the hook, for
    anything else that is no context manager.
    """
    with ExitStack() as stack:
        for bound in bounds:
            manager = bound.method(call, number)
            if manager is None:
                continue
            if not hasattr(manager, "__enter__"):
                raise TypeError(
                    f"{bound.hook}.around_tool returned {type(manager).__name__}; "
                    "return a context manager, or None"
                )
            stack.enter_context(manager)
        yield
