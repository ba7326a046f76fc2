"""Compactions: pruning results, summing up, and a chain of them. Knows no engine."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from looplet.context.budget import estimate_tokens
from looplet.core.backend import only_taken
from looplet.core.compaction import (
    CompactOutcome,
    CompactService,
    TruncateCompact,
    chars_of,
    clean_up,
    recent_turns,
)
from looplet.core.conversation import Conversation, Message, MessageRole
from looplet.core.failures import describe
from looplet.core.session import SUMMARY_TOOL, SessionLog
from looplet.core.show import cut

CLEARED = "[result cleared to save room]"
SUMMARY_PROMPT = (
    "Sum up the work of an agent so far, for the agent itself. Keep every fact, number and name "
    "that later steps may need, what was tried and failed, and what is left to do."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class PruneToolResults:
    """Puts a marker in the place of older tool results; asks no model."""

    keep_recent: int = 5
    """How many of the newest results stay."""
    compactable_tools: Collection[str] | None = None
    """Only results of these tools are cleared; ``None``: of any."""
    cleared_marker: str = CLEARED

    def compact(
        self,
        *,
        state: Any,  # noqa: ARG002 - every service is given the same
        session_log: SessionLog,  # noqa: ARG002 - as above
        llm: Any,  # noqa: ARG002 - as above
        conversation: Conversation,
        step_num: int,  # noqa: ARG002 - as above
        reason: str,
    ) -> CompactOutcome:
        """Clear all results but the newest."""
        before = chars_of(conversation)
        messages = conversation.messages
        places = [place for place, each in enumerate(messages) if each.role is MessageRole.TOOL]
        old = set(places[: max(0, len(places) - self.keep_recent)])
        conversation.revise(
            self._cleared(each) if place in old else each for place, each in enumerate(messages)
        )
        freed = before - chars_of(conversation)
        count = len(messages)
        return CompactOutcome(reason, count, count, extra={"chars_freed": freed})

    def _cleared(self, message: Message) -> Message:
        tool = message.tool_call.tool if message.tool_call is not None else ""
        if self.compactable_tools is not None and tool not in self.compactable_tools:
            return message
        if len(message.content) <= len(self.cleared_marker):
            return message
        return replace(message, content=self.cleared_marker)


@dataclass(frozen=True, slots=True, kw_only=True)
class SummarizeCompact:
    """Puts a summary in the place of older turns; one model call.

    If the call fails it truncates instead, and ``extra["fallback"]`` says why.
    """

    keep_recent: int = 2
    summary_prompt: str | None = None
    """What the model is asked for; ``None`` asks for what later steps may need."""
    summary_max_chars: int = 4000
    summary_max_tokens: int = 1200
    summary_temperature: float = 0.1

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
        """Sum up, and keep the newest turns as they are."""
        given: dict[str, Any] = {
            "state": state,
            "session_log": session_log,
            "llm": llm,
            "conversation": conversation,
            "step_num": step_num,
            "reason": reason,
        }
        truncate = TruncateCompact(keep_recent=self.keep_recent)
        kept = recent_turns(conversation.messages, self.keep_recent)
        if len(kept) == len(conversation.messages):
            return CompactOutcome(reason, len(kept), len(kept))
        old = conversation.messages[: len(conversation.messages) - len(kept)]
        try:
            summary = self._ask(llm, old)
        except Exception as error:  # noqa: BLE001 - told in the outcome; the run goes on shortened
            outcome = truncate.compact(**given)
            extra = {**(outcome.extra or {}), "fallback": describe(error)}
            return replace(outcome, llm_calls_spent=1, extra=extra)
        outcome = truncate.compact(**given)  # first: the summary is none of the newest steps
        session_log.record(step=step_num, tool=SUMMARY_TOOL, reasoning=summary)
        told = Message(MessageRole.SYSTEM, f"Summary of earlier steps:\n{summary}")
        conversation.revise([told, *conversation.messages])
        return replace(outcome, messages_after=len(conversation.messages), llm_calls_spent=1)

    def _ask(self, llm: Any, old: list[Message]) -> str:
        prompt = f"{self.summary_prompt or SUMMARY_PROMPT}\n\n{Conversation(old).render()}"
        keywords = {
            "max_tokens": self.summary_max_tokens,
            "system_prompt": "",
            "temperature": self.summary_temperature,
            "purpose": "compaction",
        }
        reply = llm.generate(prompt, **only_taken(llm, "generate", keywords))
        if not isinstance(reply, str) or not reply.strip():
            raise ValueError("the model gave no summary")
        return cut(reply.strip(), self.summary_max_chars)


@dataclass(frozen=True, slots=True)
class _Chain:
    services: tuple[CompactService, ...]

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
        """Run stages until one has helped enough."""
        target = getattr(reason, "target_tokens", None)
        before, spent, last = len(conversation.messages), 0, 0
        extra: dict[str, Any] = {"chars_freed": 0}
        cleanups: list[Callable[[], object]] = []
        for stage, service in enumerate(self.services):
            outcome = service.compact(
                state=state,
                session_log=session_log,
                llm=llm,
                conversation=conversation,
                step_num=step_num,
                reason=reason,
            )
            spent, last = spent + outcome.llm_calls_spent, stage
            cleanups += [outcome.cleanup] if outcome.cleanup is not None else []
            freed = extra["chars_freed"] + (outcome.extra or {}).get("chars_freed", 0)
            extra = {**extra, **(outcome.extra or {}), "chars_freed": freed}
            if outcome.compacted and _helped(session_log, conversation, target):
                break
        extra["chain_stage"] = last
        after = len(conversation.messages)
        cleanup = partial(_clean_all, cleanups) if cleanups else None
        return CompactOutcome(reason, before, after, spent, extra, cleanup)


def compact_chain(*services: CompactService) -> CompactService:
    """Run compactions in order, cheapest first, until the estimate is below the tier that fired.

    A stage that freed nothing is passed over; ``extra["chain_stage"]`` tells the last stage that
    was run, from 0. Raises ``ValueError`` without services.
    """
    if not services:
        raise ValueError("compact_chain needs at least one service")
    return _Chain(services)


def _clean_all(cleanups: Sequence[Callable[[], object]]) -> None:
    for cleanup in cleanups:
        clean_up(CompactOutcome(cleanup=cleanup))


def _helped(session_log: SessionLog, conversation: Conversation, target: int | None) -> bool:
    return target is None or estimate_tokens(session_log, conversation) < target
