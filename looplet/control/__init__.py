"""Hooks that hold a run back: permissions, approval, limits. Knows no provider and no trace."""

from __future__ import annotations

from typing import TYPE_CHECKING

from looplet.lazy import lazy_names

if TYPE_CHECKING:
    from looplet.control.approval import ApprovalHook as ApprovalHook
    from looplet.control.approval import ApprovalRequest as ApprovalRequest
    from looplet.control.guard import PermissionHook as PermissionHook
    from looplet.control.limits import BudgetWarningHook as BudgetWarningHook
    from looplet.control.limits import PerToolLimitHook as PerToolLimitHook
    from looplet.control.permissions import PermissionDecision as PermissionDecision
    from looplet.control.permissions import PermissionEngine as PermissionEngine
    from looplet.control.permissions import PermissionOutcome as PermissionOutcome
    from looplet.control.permissions import PermissionRule as PermissionRule
    from looplet.control.stagnation import StagnationHook as StagnationHook
    from looplet.control.stagnation import result_size_fingerprint as result_size_fingerprint
    from looplet.control.stagnation import tool_call_fingerprint as tool_call_fingerprint

__all__ = [
    "ApprovalHook",
    "ApprovalRequest",
    "BudgetWarningHook",
    "PerToolLimitHook",
    "PermissionDecision",
    "PermissionEngine",
    "PermissionHook",
    "PermissionOutcome",
    "PermissionRule",
    "StagnationHook",
    "result_size_fingerprint",
    "tool_call_fingerprint",
]

__getattr__, __dir__ = lazy_names(
    __name__,
    {
        "ApprovalHook": "looplet.control.approval",
        "ApprovalRequest": "looplet.control.approval",
        "BudgetWarningHook": "looplet.control.limits",
        "PerToolLimitHook": "looplet.control.limits",
        "PermissionDecision": "looplet.control.permissions",
        "PermissionEngine": "looplet.control.permissions",
        "PermissionHook": "looplet.control.guard",
        "PermissionOutcome": "looplet.control.permissions",
        "PermissionRule": "looplet.control.permissions",
        "StagnationHook": "looplet.control.stagnation",
        "result_size_fingerprint": "looplet.control.stagnation",
        "tool_call_fingerprint": "looplet.control.stagnation",
    },
)
