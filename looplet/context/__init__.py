"""Context: how much room a prompt has, and the ways of making it shorter. Knows no provider."""

from __future__ import annotations

from typing import TYPE_CHECKING

from looplet.lazy import lazy_names

if TYPE_CHECKING:
    from looplet.context.budget import ContextBudget as ContextBudget
    from looplet.context.budget import ThresholdCompactHook as ThresholdCompactHook
    from looplet.context.services import PruneToolResults as PruneToolResults
    from looplet.context.services import SummarizeCompact as SummarizeCompact
    from looplet.context.services import compact_chain as compact_chain
    from looplet.core.compaction import TruncateCompact as TruncateCompact

__all__ = [
    "ContextBudget",
    "PruneToolResults",
    "SummarizeCompact",
    "ThresholdCompactHook",
    "TruncateCompact",
    "compact_chain",
]

__getattr__, __dir__ = lazy_names(
    __name__,
    {
        "ContextBudget": "looplet.context.budget",
        "PruneToolResults": "looplet.context.services",
        "SummarizeCompact": "looplet.context.services",
        "ThresholdCompactHook": "looplet.context.budget",
        "TruncateCompact": "looplet.core.compaction",
        "compact_chain": "looplet.context.services",
    },
)
