"""What a user's own parts must look like; for typing and ``isinstance``, so the loop loads none."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

from looplet.core.backend import Block
from looplet.core.codec import JSON
from looplet.core.records import Step


@runtime_checkable
class LLMBackend(Protocol):
    """Anything that turns a prompt into text.

    Optional, used when present: ``model`` (its name), ``last_stop_reason``, ``last_usage``
    (``{"input_tokens", "output_tokens"}`` of the calling thread's or task's last call), and the
    keyword arguments ``messages=`` (the conversation as ``ChatMessage``, instead of ``prompt``),
    ``scope=`` and ``purpose=`` (who asks, and what for), ``caller=`` (the number of the step that
    the question leads to; within a tool, a path of them), ``cancel_token=``, and ``on_chunk=`` (a
    function that is told each piece of the reply's text as it comes; the whole reply is returned
    all the same).
    """

    def generate(
        self,
        prompt: str,
        *,
        max_tokens: int = 2000,
        system_prompt: str = "",
        temperature: float = 0.2,
    ) -> str:
        """The model's reply."""
        ...


@runtime_checkable
class NativeToolBackend(LLMBackend, Protocol):
    """A backend whose model calls tools in the provider's own form."""

    def generate_with_tools(
        self,
        prompt: str,
        *,
        tools: Sequence[Mapping[str, JSON]],
        max_tokens: int = 2000,
        system_prompt: str = "",
        temperature: float = 0.2,
    ) -> list[Block]:
        """The model's reply, in blocks; tools are ``{"name", "description", "input_schema"}``."""
        ...


@runtime_checkable
class AsyncLLMBackend(Protocol):
    """The same with ``async def``."""

    async def generate(
        self,
        prompt: str,
        *,
        max_tokens: int = 2000,
        system_prompt: str = "",
        temperature: float = 0.2,
    ) -> str:
        """The model's reply."""
        ...


@runtime_checkable
class AgentState(Protocol):
    """What the loop needs of a state; any object with these is one."""

    steps: list[Step]
    queries_used: int

    @property
    def step_count(self) -> int:
        """Steps taken."""
        ...

    @property
    def budget_remaining(self) -> int:
        """Steps left."""
        ...

    def context_summary(self) -> str:
        """The newest results, for a prompt."""
        ...

    def snapshot(self) -> dict[str, Any]:
        """Counters and metadata."""
        ...


@runtime_checkable
class LoopHook(Protocol):
    """A hook, for typing: any object with one of the methods of ``METHODS``."""

    def on_event(self, payload: Any) -> Any:
        """Every event; the other methods are optional too."""
        ...


class MemorySource(Protocol):
    """Anything that gives a text for the prompt."""

    def load(self, state: Any) -> str | None:
        """The text, or ``None`` for nothing."""
        ...
