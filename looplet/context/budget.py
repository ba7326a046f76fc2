"""How full a model's context window is, in tiers. Knows counts; knows no compaction."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

Tier = Literal["ok", "warning", "error", "blocking"]
WARNING_SHARE, ERROR_SHARE = 0.6, 0.8
LARGEST_BUFFER = 13_000


@dataclass(frozen=True, slots=True, init=False)
class ContextBudget:
    """The window of a model and the marks in it, in tokens.

    A mark that is not set follows the window: warning at 60 %, error at 80 %, and a buffer of an
    eighth, at most 13,000. Raises ``ValueError`` unless
    ``0 < warning_at <= error_at <= blocking_at``.

    >>> budget = ContextBudget(context_window=128_000)
    >>> budget.warning_at, budget.error_at, budget.blocking_at
    (76800, 102400, 115000)
    >>> budget.classify(102_400)
    'error'
    """

    context_window: int
    warning_at: int
    error_at: int
    compact_buffer: int

    def __init__(
        self,
        context_window: int = 200_000,
        warning_at: int | None = None,
        error_at: int | None = None,
        compact_buffer: int | None = None,
    ) -> None:
        buffer = (
            min(LARGEST_BUFFER, context_window // 8) if compact_buffer is None else compact_buffer
        )
        marks = {
            "context_window": context_window,
            "warning_at": int(context_window * WARNING_SHARE) if warning_at is None else warning_at,
            "error_at": int(context_window * ERROR_SHARE) if error_at is None else error_at,
            "compact_buffer": buffer,
        }
        for name, tokens in marks.items():
            object.__setattr__(self, name, tokens)
        if not 0 < self.warning_at <= self.error_at <= self.blocking_at or buffer < 0:
            raise ValueError(
                f"warning_at={self.warning_at}, error_at={self.error_at} and blocking_at="
                f"{self.blocking_at} (context_window={context_window} less compact_buffer="
                f"{buffer}) must be 0 < warning_at <= error_at <= blocking_at"
            )

    @property
    def blocking_at(self) -> int:
        """From here on a prompt leaves no room to answer."""
        return self.context_window - self.compact_buffer

    def classify(self, tokens: int) -> Tier:
        """The tier that a number of tokens has reached."""
        if tokens >= self.blocking_at:
            return "blocking"
        if tokens >= self.error_at:
            return "error"
        return "warning" if tokens >= self.warning_at else "ok"


class ThresholdCompactHook:
    """Asks for a compaction when the conversation reaches a tier of the budget."""

    def __init__(
        self, budget: ContextBudget, *, fire_tier: Literal["error", "warning"] = "error"
    ) -> None:
        if fire_tier not in ("error", "warning"):
            raise ValueError(f"fire_tier is 'error' or 'warning', not {fire_tier!r}")
        self.budget = budget
        self.target_tokens = budget.error_at if fire_tier == "error" else budget.warning_at
        """A compaction has helped when the estimate is below this."""
        self.fired_at: int | None = None
        """The step before which it fired last."""

    def should_compact(
        self,
        state: Any,  # noqa: ARG002 - the slot's own parameters
        session_log: Any,
        conversation: Any,
        step_num: int,
    ) -> bool:
        """Whether the estimate has reached the tier."""
        fires = estimate_tokens(session_log, conversation) >= self.target_tokens
        if fires:
            self.fired_at = step_num
        return fires


def estimate_tokens(session_log: Any, conversation: Any) -> int:
    """Tokens of the conversation, else of the session log: a quarter of the characters.

    A conversation that says nothing yet counts as none.
    """
    tokens = int(conversation.token_estimate()) if conversation is not None else 0
    if tokens:
        return tokens
    return len(session_log.render()) // 4 if session_log is not None else 0
