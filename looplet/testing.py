"""Scripted models, sync and async, that answer from a list. Knows backends; knows no loop."""

from __future__ import annotations

import copy
import threading
from collections.abc import Mapping, Sequence
from typing import Any, Generic, TypeAlias, TypeVar

from looplet.core.backend import Block, Reply
from looplet.core.codec import JSON
from looplet.core.lastcall import CallOutcome, LastCall
from looplet.core.messages import Method, ModelRequest
from looplet.core.wrapping import request_of
from looplet.errors import LLMResponsesExhausted

__all__ = [
    "AsyncMockLLMBackend",
    "AsyncScriptedToolBackend",
    "LLMResponsesExhausted",
    "MockLLMBackend",
    "ScriptedToolBackend",
]

ScriptedText: TypeAlias = str | BaseException
ScriptedReply: TypeAlias = Sequence[Block] | str | BaseException
Item = TypeVar("Item")


class MockLLMBackend:
    """A model that answers with the given texts in turn; no native tools.

    An exception among ``responses`` is raised instead of returned. After the last response it
    begins again, or with ``cycle=False`` raises ``LLMResponsesExhausted``. Threads may share it.

    >>> llm = MockLLMBackend(responses=["one", "two"])
    >>> llm.generate("a"), llm.generate("b"), llm.generate("c")
    ('one', 'two', 'one')
    >>> llm.calls, llm.last_prompt
    (3, 'c')
    """

    def __init__(
        self, responses: Sequence[ScriptedText] | None = None, *, cycle: bool = True
    ) -> None:
        self._script = _Script(responses or ("mock response",), cycle=cycle or not responses)

    @property
    def calls(self) -> int:
        """How often it was asked, calls that raised included."""
        return len(self._script.asked)

    @property
    def last_prompt(self) -> str:
        """The prompt of the newest call; empty before the first."""
        return self._script.newest.prompt

    @property
    def last_system_prompt(self) -> str:
        """The system prompt of the newest call; empty before the first."""
        return self._script.newest.system_prompt

    def reset(self) -> None:
        """Forget the calls and begin with the first response."""
        self._script.reset()

    def generate(
        self,
        prompt: str,
        *,
        max_tokens: int = 2000,
        system_prompt: str = "",
        temperature: float = 0.2,
    ) -> str:
        """The next response. Raises it if it is an exception."""
        return self._script.next(
            ModelRequest(
                method="generate",
                prompt=prompt,
                system_prompt=system_prompt,
                max_tokens=max_tokens,
                temperature=temperature,
            )
        )


class AsyncMockLLMBackend(MockLLMBackend):
    """``MockLLMBackend`` for async code: ``await llm.generate(...)``."""

    async def generate(  # type: ignore[override]  # the same calls, awaited
        self,
        prompt: str,
        *,
        max_tokens: int = 2000,
        system_prompt: str = "",
        temperature: float = 0.2,
    ) -> str:
        """The next response. Raises it if it is an exception."""
        return super().generate(
            prompt, max_tokens=max_tokens, system_prompt=system_prompt, temperature=temperature
        )


class _ScriptedTools:
    """What the sync and the async scripted model share."""

    def __init__(
        self,
        replies: Sequence[ScriptedReply],
        *,
        takes_messages: bool = True,
        cycle: bool = False,
        usage: Mapping[str, int] | None = None,
        model: str = "scripted",
    ) -> None:
        self.model = model
        self._script: _Script[Any] = _Script(replies, cycle=cycle)
        self._takes_messages = takes_messages
        self._usage = usage
        self._last = LastCall()

    @property
    def requests(self) -> tuple[ModelRequest, ...]:
        """What it was asked, in order, calls that raised included."""
        return tuple(self._script.asked)

    @property
    def keywords(self) -> tuple[Mapping[str, Any], ...]:
        """The keywords of each call as they came, ``scope`` and ``purpose`` included."""
        return tuple(self._script.keywords)

    @property
    def calls(self) -> int:
        """How often it was asked."""
        return len(self._script.asked)

    @property
    def last_usage(self) -> dict[str, int] | None:
        """The ``usage`` it was made with, after a call that gave a reply."""
        usage = self._last.get().usage
        return None if usage is None else dict(usage)

    @property
    def last_stop_reason(self) -> str | None:
        """``tool_use`` if the caller's last reply had a call in it, else ``end_turn``."""
        return self._last.get().stop_reason

    def takes(self, method: str, keyword: str) -> bool:
        """Whether a call may carry that keyword: any but ``messages``, if told so."""
        return hasattr(self, method) and (keyword != "messages" or self._takes_messages)

    def reset(self) -> None:
        """Forget the calls and begin with the first reply."""
        self._script.reset()

    def _reply(self, method: Method, prompt: str, keywords: dict[str, Any]) -> Reply:
        if "messages" in keywords and not self._takes_messages:
            raise TypeError(f"{method}() got an unexpected keyword argument 'messages'")
        self._last.clear()
        reply = self._script.next(request_of(method, prompt, keywords), keywords)
        called = not isinstance(reply, str) and any(_is_call(block) for block in reply)
        reason = "tool_use" if called else "end_turn"
        self._last.set(CallOutcome(usage=self._usage, stop_reason=reason))
        return reply if isinstance(reply, str) else copy.deepcopy(list(reply))


class ScriptedToolBackend(_ScriptedTools):
    """A model with native tools that answers with the given replies in turn.

    A reply is a list of blocks, a text, or an exception, which is raised. ``generate_with_tools``
    gives a text as one text block; ``generate`` gives blocks as their joined text. Past the end
    it raises ``LLMResponsesExhausted``, or begins again with ``cycle=True``. With
    ``takes_messages=False`` it is a backend that takes a prompt only. Threads may share it.

    >>> call = {"type": "tool_use", "id": "c1", "name": "price", "input": {"fruit": "pear"}}
    >>> llm = ScriptedToolBackend([[call], "bye"])
    >>> llm.generate_with_tools("How much?", tools=[])[0]["name"]
    'price'
    >>> llm.generate_with_tools("Thank you.", tools=[])
    [{'type': 'text', 'text': 'bye'}]
    >>> [request.prompt for request in llm.requests]
    ['How much?', 'Thank you.']
    """

    def generate(self, prompt: str, **keywords: Any) -> str:
        """The next reply as text. Raises it if it is an exception."""
        return _as_text(self._reply("generate", prompt, keywords))

    def generate_with_tools(
        self, prompt: str, *, tools: Sequence[Mapping[str, JSON]], **keywords: Any
    ) -> list[Block]:
        """The next reply as blocks. Raises it if it is an exception."""
        return _as_blocks(self._reply("generate_with_tools", prompt, {"tools": tools, **keywords}))


class AsyncScriptedToolBackend(_ScriptedTools):
    """``ScriptedToolBackend`` for async code."""

    async def generate(self, prompt: str, **keywords: Any) -> str:
        """The next reply as text. Raises it if it is an exception."""
        return _as_text(self._reply("generate", prompt, keywords))

    async def generate_with_tools(
        self, prompt: str, *, tools: Sequence[Mapping[str, JSON]], **keywords: Any
    ) -> list[Block]:
        """The next reply as blocks. Raises it if it is an exception."""
        return _as_blocks(self._reply("generate_with_tools", prompt, {"tools": tools, **keywords}))


class _Script(Generic[Item]):
    """Replies in turn, and what was asked for them."""

    def __init__(self, replies: Sequence[Item | BaseException], *, cycle: bool) -> None:
        self._replies = tuple(replies)
        self._cycle = cycle
        self._lock = threading.Lock()
        self.reset()

    def reset(self) -> None:
        self.asked: list[ModelRequest] = []
        self.keywords: list[Mapping[str, Any]] = []

    @property
    def newest(self) -> ModelRequest:
        asked = self.asked
        return asked[-1] if asked else _NOTHING_ASKED

    def next(self, request: ModelRequest, keywords: Mapping[str, Any] | None = None) -> Item:
        with self._lock:
            place = len(self.asked)
            self.asked.append(request)
            self.keywords.append(keywords or {})
        reply = self._at(place)
        if isinstance(reply, BaseException):
            # Raised again and again, one exception would gather a traceback for each time.
            raise reply.with_traceback(None)
        return reply

    def _at(self, place: int) -> Item | BaseException:
        count = len(self._replies)
        if place >= count and not (self._cycle and count):
            raise LLMResponsesExhausted(
                f"the scripted model has {count} replies and was asked for number {place + 1}; "
                "script more, or pass cycle=True to begin again"
            )
        return self._replies[place % count]


_NOTHING_ASKED = ModelRequest(method="generate", prompt="")


def _is_call(block: Block) -> bool:
    return block.get("type") == "tool_use"


def _as_text(reply: Reply) -> str:
    if isinstance(reply, str):
        return reply
    return "".join(block["text"] for block in reply if block.get("type") == "text")


def _as_blocks(reply: Reply) -> list[Block]:
    return [{"type": "text", "text": reply}] if isinstance(reply, str) else reply
