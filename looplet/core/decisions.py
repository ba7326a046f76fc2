"""What a hook may decide, and in which slot. Knows no engine."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from looplet.core.events import LifecycleEvent
from looplet.core.records import ToolResult

HOOK_STOP = "hook_stop"
"""The stop reason of a bare ``True`` from ``should_stop``."""


@dataclass(slots=True)
class HookDecision:
    """What a hook wants done; a field left at ``None`` wants nothing."""

    block: str | None = None
    """Do not run the call (or accept the done-call), for this reason."""
    stop: str | None = None
    """End the run; the text is its stop reason."""
    updated_args: dict[str, Any] | None = None
    updated_result: ToolResult | None = None
    permission: str | None = None
    """``allow`` or ``deny``."""
    additional_context: str | None = None
    """Text for the next briefing."""
    metadata: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        # A misspelt denial must not let the call through.
        if self.permission not in (None, "allow", "deny"):
            raise ValueError(f"permission must be 'allow' or 'deny', not {self.permission!r}")

    def is_block(self) -> bool:
        """Whether the call must not be run."""
        return self.block is not None or self.permission == "deny"

    def is_stop(self) -> bool:
        """Whether the run must end."""
        return self.stop is not None

    def is_noop(self) -> bool:
        """Whether nothing is wanted."""
        return not self.wishes()

    def wishes(self) -> list[str]:
        """Names of the fields that want something."""
        names = [
            name
            for name in ("additional_context", "updated_args", "updated_result", "stop")
            if getattr(self, name) is not None
        ]
        return [*names, "block"] if self.is_block() else names

    def reason(self) -> str:
        """Why the call must not be run."""
        return self.block or "denied by a hook"

    def to_dict(self) -> dict[str, Any]:
        """The fields that are set."""
        names = ("block", "stop", "updated_args", "permission", "additional_context")
        out = {name: getattr(self, name) for name in names if getattr(self, name) is not None}
        if self.updated_result is not None:
            out["updated_result"] = self.updated_result.to_dict()
        return {**out, "metadata": dict(self.metadata)} if self.metadata else out


def InjectContext(text: str) -> HookDecision:  # noqa: N802 - reads as the decision it makes
    """Put a text before the model.

    >>> InjectContext("Prices are in euro.").additional_context
    'Prices are in euro.'
    """
    return HookDecision(additional_context=text)


def Deny(reason: str, *, retry: bool = False) -> HookDecision:  # noqa: N802 - as above
    """Do not run the call; ``retry`` tells the model that asking differently may help."""
    return HookDecision(block=reason, permission="deny", metadata={"retry": retry})


def Allow(updated_args: dict[str, Any] | None = None) -> HookDecision:  # noqa: N802 - as above
    """Run the call, perhaps with other arguments."""
    return HookDecision(permission="allow", updated_args=updated_args)


def Block(reason: str) -> HookDecision:  # noqa: N802 - as above
    """Do not run the call, for this reason."""
    return HookDecision(block=reason)


def Stop(reason: str) -> HookDecision:  # noqa: N802 - as above
    """End the run with this stop reason."""
    return HookDecision(stop=reason)


def Continue(additional_context: str | None = None) -> HookDecision:  # noqa: N802 - as above
    """Go on, perhaps with a text for the model."""
    return HookDecision(additional_context=additional_context)


_DISPATCH = frozenset({"additional_context", "updated_args", "updated_result", "block", "stop"})
_AFTER = frozenset({"additional_context", "updated_result", "stop"})
_GATE = frozenset({"additional_context", "block", "stop"})
_TEXT = frozenset({"additional_context", "stop"})
HONOURED: Mapping[str, frozenset[str]] = {
    "pre_prompt": _TEXT,
    "pre_dispatch": _DISPATCH,
    LifecycleEvent.PRE_TOOL_USE.value: _DISPATCH,
    "check_permission": _GATE,
    "post_dispatch": _AFTER,
    LifecycleEvent.POST_TOOL_USE.value: _AFTER,
    LifecycleEvent.POST_TOOL_FAILURE.value: _AFTER,
    "check_done": _GATE,
    "should_stop": frozenset({"stop"}),
    LifecycleEvent.PRE_LLM_CALL.value: _TEXT,
    LifecycleEvent.POST_LLM_RESPONSE.value: _TEXT,
    LifecycleEvent.PRE_COMPACT.value: frozenset({"stop"}),
}
"""Which fields of a decision a slot honours; other slots honour none."""


def read_decision(
    value: object, *, slot: str, hook: str, method: str | None = None
) -> HookDecision | None:
    """What a hook returned, as a decision; ``None`` if it wants nothing.

    Raises ``TypeError``, naming hook and slot, for a value that the slot has no meaning for;
    ``method`` names the hook's method where it is not called like the slot.

    >>> read_decision("not yet", slot="check_done", hook="Checker").block
    'not yet'
    """
    if value is None:
        return None
    if isinstance(value, HookDecision):
        return None if value.is_noop() else value
    decision = _read_plain(value, slot, hook)
    if decision is _UNREADABLE:
        raise TypeError(
            f"{hook}.{method or slot} returned {type(value).__name__} {value!r:.60}, which has no "
            "meaning there; return None or a HookDecision"
        )
    return decision


_UNREADABLE = HookDecision()


def _read_plain(value: object, slot: str, hook: str) -> HookDecision | None:
    if isinstance(value, str) and slot in {"pre_prompt", "post_dispatch"}:
        return HookDecision(additional_context=value) if value else None
    if isinstance(value, str) and slot == "check_done":
        return HookDecision(block=value)
    if isinstance(value, bool) and slot == "should_stop":
        return HookDecision(stop=HOOK_STOP) if value else None
    if isinstance(value, bool) and slot == "check_permission":
        return None if value else HookDecision(block=f"denied by {hook}")
    if isinstance(value, ToolResult) and "updated_result" in HONOURED.get(slot, ()):
        return HookDecision(updated_result=value)
    return _UNREADABLE


def warn_unhonoured(
    decision: HookDecision, *, slot: str, hook: str, told: set[tuple[str, str, str]]
) -> None:
    """Say, once per hook and slot, that a field has no effect there."""
    honoured = HONOURED.get(slot, frozenset())
    for name in decision.wishes():
        if name not in honoured and (hook, slot, name) not in told:
            told.add((hook, slot, name))
            warnings.warn(
                f"{hook}: HookDecision({name}=…) has no effect in {slot} and is ignored",
                stacklevel=2,
            )
