"""A run that does the same thing again and again is told so. Knows hooks; knows no model."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, TypeAlias

from looplet.control.limits import fill
from looplet.core.codec import canonical
from looplet.core.decisions import HookDecision, InjectContext
from looplet.core.records import ToolCall, ToolResult, is_dunder

Fingerprint: TypeAlias = Callable[[ToolCall, ToolResult], object]
"""What makes two steps the same; compared by ``==``."""


def tool_call_fingerprint(tool_call: ToolCall, tool_result: ToolResult | None = None) -> str:  # noqa: ARG001 - a Fingerprint
    """Tool and arguments: the same call again is the same, whatever it gave.

    >>> tool_call_fingerprint(ToolCall("price", {"fruit": "apple"}))
    'price {"fruit":"apple"}'
    """
    args = {key: value for key, value in tool_call.args.items() if not is_dunder(key)}
    return f"{tool_call.tool} {canonical(args)}"


def result_size_fingerprint(tool_call: ToolCall, tool_result: ToolResult) -> str:
    """Tool and size of its result: other arguments that give no more are the same.

    The size is in characters of the error or of the data's text.

    >>> result_size_fingerprint(ToolCall("find"), ToolResult("find", "", []))
    'find 2'
    """
    said = tool_result.data if tool_result.error is None else tool_result.error
    return f"{tool_call.tool} {len(str(said))}"


class StagnationHook:
    """Nudges the model when ``threshold`` steps in a row have the same fingerprint.

    ``progress`` takes the state and gives a value that changes when the run gets ahead; steps
    between which it changed are not the same. Tools in ``ignore_tools`` neither count nor break a
    row. With ``reset_after_nudge`` the next nudge needs a whole row again, else every further
    step of the row gives one. In ``nudge`` ``{tool}`` and ``{count}`` are filled in. Raises
    ``ValueError`` for a threshold under 2.

    >>> hook = StagnationHook(threshold=2, nudge="{tool} again?")
    >>> call, result = ToolCall("price"), ToolResult("price", "", 1)
    >>> hook.post_dispatch(None, None, call, result, 1)
    >>> hook.post_dispatch(None, None, call, result, 2).additional_context
    'price again?'
    """

    def __init__(
        self,
        *,
        fingerprint: Fingerprint = tool_call_fingerprint,
        threshold: int = 3,
        nudge: str = "The last {count} calls of {tool} brought nothing new. "
        "Try something else, or finish with what is known.",
        progress: Callable[[Any], object] | None = None,
        reset_after_nudge: bool = True,
        ignore_tools: Iterable[str] | None = None,
    ) -> None:
        if threshold < 2:  # noqa: PLR2004 - one step repeats nothing
            raise ValueError(f"threshold must be at least 2 steps, not {threshold}")
        self.fingerprint = fingerprint
        self.threshold = threshold
        self.nudge = nudge
        self.progress = progress
        self.reset_after_nudge = reset_after_nudge
        self.ignore_tools = frozenset(ignore_tools or ())
        self._begin_row(None)

    def pre_loop(self, state: Any, session_log: Any, context: Any) -> None:  # noqa: ARG002 - a slot
        """Each run begins anew."""
        self._begin_row(None)

    def post_dispatch(
        self,
        state: Any,
        session_log: Any,  # noqa: ARG002 - a slot
        tool_call: ToolCall,
        tool_result: ToolResult,
        step_num: int,  # noqa: ARG002 - a slot
    ) -> HookDecision | None:
        """Count a step, denied ones included, and nudge where the row is long enough."""
        if tool_call.tool in self.ignore_tools:
            return None
        standing = self.progress(state) if self.progress is not None else None
        mark = (self.fingerprint(tool_call, tool_result), standing)
        if mark != self._mark:
            self._begin_row(mark)
        self._count += 1
        if self._count < self.threshold:
            return None
        text = fill(self.nudge, tool=tool_call.tool, count=self._count)
        if self.reset_after_nudge:
            self._begin_row(None)
        return InjectContext(text)

    def _begin_row(self, mark: tuple[object, object] | None) -> None:
        self._mark, self._count = mark, 0
