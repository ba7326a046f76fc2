"""Model calls as they are made: a log, and the backends that fill it. Knows no loop and no file."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from typing import Any

from looplet.core.backend import Reply, is_async
from looplet.core.codec import JSON, from_jsonable, to_jsonable
from looplet.core.messages import Method, ModelRequest, request_key
from looplet.core.runtime import Runtime
from looplet.core.usage import count_tokens
from looplet.core.wrapping import AsyncWrapper, SyncWrapper, request_of
from looplet.trajectory.model import LLMCall

OWN_KEYWORDS = frozenset({"scope", "purpose"})
"""Keywords that tell who asks; the recording takes them even where the backend does not."""
LOOPS_PURPOSE = "reasoning"
"""The purpose of the loop's own questions, which need no scope."""


class CallLog:
    """Every model call of a run, in the order in which they began. Threads and tasks may share it.

    >>> log = CallLog()
    >>> backend = log.wrap(some_backend)  # doctest: +SKIP
    """

    def __init__(self, runtime: Runtime | None = None) -> None:
        self.calls: list[LLMCall] = []
        self.current_step_num: int | None = None
        """The step that the next call of the loop leads to."""
        self._runtime = runtime or Runtime()
        self._lock = threading.Lock()
        self._tools: Sequence[Mapping[str, JSON]] | None = None
        self._tools_copy: list[dict[str, JSON]] | None = None

    def wrap(self, backend: Any) -> RecordingLLMBackend | AsyncRecordingLLMBackend:
        """``backend``, with every call of it recorded here."""
        if is_async(backend):
            return AsyncRecordingLLMBackend(backend, log=self)
        return RecordingLLMBackend(backend, log=self)

    def begin(
        self, backend: Any, method: Method, prompt: str, keywords: Mapping[str, Any]
    ) -> OpenCall:
        """Note that a call begins."""
        request = request_of(method, prompt, keywords)
        scope = _scope_of(keywords)
        model = _text_or_none(getattr(backend, "model", None))
        call = LLMCall(
            index=0,
            timestamp=self._runtime.now(),
            duration_ms=0.0,
            method=method,
            prompt=prompt,
            system_prompt=request.system_prompt,
            response=None,
            temperature=request.temperature,
            max_tokens=request.max_tokens,
            tools=self._copy_tools(request.tools),
            step_num=self.current_step_num,
            scope=scope,
            model=model,
            messages=request.conversation(),
            params=snapshot(request.params()),
            key=request_key(request, model=model),
        )
        with self._lock:
            call.index = len(self.calls)
            self.calls.append(call)
        return OpenCall(call, request, self._runtime)

    def _copy_tools(self, tools: Sequence[Mapping[str, JSON]]) -> list[dict[str, JSON]] | None:
        """The schemas' own copy; one is enough for all calls that send the same."""
        if not tools:
            return None
        with self._lock:
            if tools is not self._tools and list(tools) != self._tools_copy:
                self._tools_copy = snapshot(list(tools))
            self._tools = tools
            return self._tools_copy


class OpenCall:
    """A call under way; it ends with a reply or with an error."""

    def __init__(self, call: LLMCall, request: ModelRequest, runtime: Runtime) -> None:
        self._call, self._request, self._runtime = call, request, runtime
        self._began = runtime.perf()

    def reply(self, reply: Reply, backend: Any) -> None:
        """Note the reply, and what the backend tells about it."""
        self._stop_clock()
        call = self._call
        usage = getattr(backend, "last_usage", None)
        usage = usage if isinstance(usage, Mapping) else None
        call.response = snapshot(reply)
        call.finish_reason = _text_or_none(getattr(backend, "last_stop_reason", None))
        self._count(reply, usage)
        cached = usage.get("cached_tokens") if usage else None
        call.cached_tokens = cached if type(cached) is int else None

    def error(self, error: BaseException) -> None:
        """Note that the call failed."""
        self._stop_clock()
        self._call.error = f"{type(error).__name__}: {error}"
        self._count(None, None)

    def _stop_clock(self) -> None:
        self._call.duration_ms = (self._runtime.perf() - self._began) * 1000

    def _count(self, reply: Reply | None, usage: Mapping[str, Any] | None) -> None:
        counted = count_tokens(self._request, reply, usage)
        self._call.input_tokens = counted.input_tokens
        self._call.output_tokens = counted.output_tokens
        self._call.tokens_estimated = counted.estimated


class RecordingLLMBackend(SyncWrapper):
    """A sync backend whose calls are recorded; errors are recorded and raised again."""

    own_keywords = OWN_KEYWORDS

    def __init__(self, backend: Any, *, log: CallLog | None = None) -> None:
        super().__init__(backend)
        self.log = log or CallLog()

    @property
    def calls(self) -> list[LLMCall]:
        """Every call so far, in the order in which they began."""
        return self.log.calls

    def around(self, method: Method, prompt: str, keywords: dict[str, Any]) -> Reply:
        """Make one call and record it."""
        call = self.log.begin(self.inner, method, prompt, keywords)
        try:
            reply: Reply = self.forward(method, prompt, keywords)
        except BaseException as error:
            call.error(error)
            raise
        call.reply(reply, self.inner)
        return reply


class AsyncRecordingLLMBackend(AsyncWrapper):
    """The same for an async backend."""

    own_keywords = OWN_KEYWORDS

    def __init__(self, backend: Any, *, log: CallLog | None = None) -> None:
        super().__init__(backend)
        self.log = log or CallLog()

    @property
    def calls(self) -> list[LLMCall]:
        """Every call so far, in the order in which they began."""
        return self.log.calls

    async def around(self, method: Method, prompt: str, keywords: dict[str, Any]) -> Reply:
        """Make one call and record it."""
        call = self.log.begin(self.inner, method, prompt, keywords)
        try:
            reply: Reply = await self.forward(method, prompt, keywords)
        except BaseException as error:
            call.error(error)
            raise
        call.reply(reply, self.inner)
        return reply


def snapshot(value: Any) -> Any:
    """A copy of a value as a store gives it back, which later changes do not reach."""
    return from_jsonable(to_jsonable(value))


def _scope_of(keywords: Mapping[str, Any]) -> str | None:
    purpose = keywords.get("purpose")
    named = purpose if purpose != LOOPS_PURPOSE else None
    return _text_or_none(keywords.get("scope") or named)


def _text_or_none(value: object) -> str | None:
    return value if isinstance(value, str) else None
