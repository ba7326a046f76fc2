"""Approval by a person who answers later: the run ends and waits. Knows hooks; asks nobody."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from looplet.core.decisions import HookDecision, Stop
from looplet.core.records import ToolCall, ToolResult

WAITING_FOR_APPROVAL = "waiting_for_approval"
"""The stop reason."""
_OPTIONS = ("approve", "deny")


@dataclass(frozen=True, slots=True)
class ApprovalRequest:
    """What a tool wants a person to decide."""

    step: int
    """Number of the step that asked."""
    tool: str
    description: str = ""
    options: list[str] = field(default_factory=lambda: list(_OPTIONS))


class ApprovalHook:
    """Ends the run when a tool's result asks for approval: a dict with ``needs_approval: True``.

    The dict may also have ``approval_description`` and ``approval_options``. Run again with the
    same ``checkpoint_dir`` to go on.

    >>> hook = ApprovalHook()
    >>> result = ToolResult("pay", "", {"needs_approval": True, "approval_description": "40 EUR"})
    >>> hook.post_dispatch(None, None, ToolCall("pay"), result, 3).stop
    'waiting_for_approval'
    >>> hook.pending
    ApprovalRequest(step=3, tool='pay', description='40 EUR', options=['approve', 'deny'])
    """

    def __init__(self) -> None:
        self.requests: list[ApprovalRequest] = []
        """Everything that this run waits for: calls of one batch may all ask."""

    @property
    def pending(self) -> ApprovalRequest | None:
        """The first of what the run waits for, or ``None``."""
        return self.requests[0] if self.requests else None

    def pre_loop(self, state: Any, session_log: Any, context: Any) -> None:  # noqa: ARG002 - a slot
        """A run that begins waits for nothing."""
        self.requests = []

    def post_dispatch(
        self,
        state: Any,  # noqa: ARG002 - a slot
        session_log: Any,  # noqa: ARG002 - a slot
        tool_call: ToolCall,
        tool_result: ToolResult,
        step_num: int,
    ) -> HookDecision | None:
        """Stop the run at a result that asks for approval; let any other pass."""
        data = tool_result.data
        if not isinstance(data, dict) or not data.get("needs_approval"):
            return None
        self.requests.append(_request(step_num, tool_call.tool, data))
        return Stop(WAITING_FOR_APPROVAL)


def _request(step: int, tool: str, data: dict[Any, Any]) -> ApprovalRequest:
    description, options = data.get("approval_description"), data.get("approval_options")
    given = options if isinstance(options, list | tuple) and options else _OPTIONS
    text = "" if description is None else str(description)
    return ApprovalRequest(step, tool, text, [str(option) for option in given])
