"""Making later prompts shorter: what a compaction is, and the one that needs nothing.

It changes what prompts are built from, the session log and the conversation; steps that were
yielded, their results and what is saved of them stay as they are.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, Self, runtime_checkable

from looplet.core.conversation import Conversation, Message, MessageRole
from looplet.core.logs import log
from looplet.core.session import SUMMARY_TOOL, SessionLog


class CompactReason(str):
    """Why a compaction runs; ``target_tokens`` is the estimate that it should get below."""

    __slots__ = ("target_tokens",)
    target_tokens: int | None

    def __new__(cls, text: str, target_tokens: int | None = None) -> Self:
        """Make the reason."""
        reason = super().__new__(cls, text)
        reason.target_tokens = target_tokens
        return reason


@dataclass(slots=True)
class CompactOutcome:
    """What a compaction came to."""

    reason: str = ""
    messages_before: int = 0
    """Messages of the conversation; a service that shortens them tells ``chars_freed`` in extra."""
    messages_after: int = 0
    llm_calls_spent: int = 0
    extra: dict[str, Any] | None = None
    cleanup: Callable[[], object] | None = None
    """Called when the compaction is over; an exception in it is logged."""

    @property
    def compacted(self) -> bool:
        """Whether anything was made shorter."""
        freed = (self.extra or {}).get("chars_freed", 0)
        return self.messages_after < self.messages_before or freed > 0


@runtime_checkable
class CompactService(Protocol):
    """Anything that can make later prompts shorter."""

    def compact(
        self,
        *,
        state: Any,
        session_log: SessionLog,
        llm: Any,
        conversation: Conversation,
        step_num: int,
        reason: str,
    ) -> CompactOutcome:
        """Shorten log and conversation, and say what came of it."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class TruncateCompact:
    """Keeps the newest turns of log and conversation, and drops the others; asks no model.

    >>> talk = Conversation([Message(MessageRole.TOOL, str(n)) for n in range(9)])
    >>> outcome = TruncateCompact(keep_recent=2).compact(
    ...     state=None, session_log=SessionLog(), llm=None, conversation=talk, step_num=9, reason=""
    ... )
    >>> [message.content for message in talk.messages], outcome.messages_after
    (['7', '8'], 2)
    """

    keep_recent: int = 2

    def compact(
        self,
        *,
        state: Any,  # noqa: ARG002 - every service is given the same
        session_log: SessionLog,
        llm: Any,  # noqa: ARG002 - as above
        conversation: Conversation,
        step_num: int,  # noqa: ARG002 - as above
        reason: str,
    ) -> CompactOutcome:
        """Keep the last ``keep_recent`` results and what stands between them."""
        before = len(conversation.messages)
        shortened = session_log.compact(self.keep_recent, lambda entry: entry.tool == SUMMARY_TOOL)
        conversation.revise(recent_turns(conversation.messages, self.keep_recent))
        return CompactOutcome(
            reason, before, len(conversation.messages), extra={"chars_freed": int(shortened)}
        )


def recent_turns(messages: Sequence[Message], keep: int) -> list[Message]:
    """Messages from the turn on that the last ``keep``-th result belongs to."""
    results = [place for place, each in enumerate(messages) if each.role is MessageRole.TOOL]
    if len(results) <= keep:
        return list(messages)
    if keep <= 0:
        return []
    start = results[-keep]
    while start > 0 and messages[start - 1].role is MessageRole.ASSISTANT:
        start -= 1
    return list(messages[start:])


def chars_of(conversation: Conversation) -> int:
    """Characters of a conversation's messages."""
    return sum(len(message.content) for message in conversation.messages)


def clean_up(outcome: CompactOutcome) -> None:
    """Call an outcome's ``cleanup``; an exception in it is logged."""
    if outcome.cleanup is None:
        return
    try:
        outcome.cleanup()
    except Exception:  # noqa: BLE001 - the compaction is done; the contract logs this
        log().exception("the cleanup of a compaction failed")
