"""Model calls as they are made: a log, and what it keeps of each. Knows no loop and no file."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

from looplet.core.backend import Reply, is_async
from looplet.core.codec import JSON
from looplet.core.messages import Method, ModelRequest
from looplet.core.refailing import describe_failure
from looplet.core.runtime import Runtime
from looplet.core.usage import chars_received, count_tokens
from looplet.core.wrapping import begin_anew, request_of
from looplet.trajectory.cutting import cut_reply, cut_text
from looplet.trajectory.growing import Kept, Lane
from looplet.trajectory.model import LLMCall
from looplet.trajectory.redacting import Redact, Redaction, snapshot

if TYPE_CHECKING:
    from looplet.trajectory.backends import AsyncRecordingLLMBackend, RecordingLLMBackend

LOOPS_PURPOSE = "reasoning"
"""The purpose of the loop's own questions, which need no scope."""
FAILURE, LACKS_TOOLS = "failure", "lacks_native_tools"
"""Keys of a call's metadata: how it failed; that its backend was asked for native tools in vain."""

_STEPS: ContextVar[tuple[tuple[object, int], ...]] = ContextVar("looplet_recorded_steps")
"""In whose tool the current thread or task is: an owner, and the number of its run's step."""


class CallLog:
    """Every model call of a run, in the order in which they began. Threads and tasks may share it.

    What is kept of a call is redacted, and then cut after ``max_chars`` characters of prompt,
    system prompt and reply each; ``None`` cuts nothing. With ``redact_upstream`` the backend is
    sent what is kept, uncut. ``on_finished`` has functions that are told each call that ended.

    >>> log = CallLog()
    >>> backend = log.wrap(some_backend)  # doctest: +SKIP
    """

    def __init__(
        self,
        runtime: Runtime | None = None,
        *,
        redact: Redact | None = None,
        redact_upstream: bool = True,
        max_chars: int | None = None,
    ) -> None:
        if max_chars is not None and max_chars < 1:
            raise ValueError(f"max_chars_per_call is {max_chars}, and must be at least 1")
        self.redaction = Redaction(redact)
        self.redact_upstream = redact_upstream
        self.max_chars = max_chars
        self.on_finished: list[Callable[[LLMCall], None]] = []
        self.runtime = runtime or Runtime()
        self._lock = threading.RLock()
        self.reset()

    def reset(self) -> None:
        """Begin anew: with no calls, for another run. Calls under way are forgotten."""
        with self._lock:
            self.calls: list[LLMCall] = []
            self.current_step_num: int | None = None
            """The step that calls are linked to which do not say themselves where they belong."""
            self.run_id = self.runtime.new_id()
            self.failure: Exception | None = None
            """What kept a call from being kept, until somebody raises it."""
            self.lacks_native_tools = False
            self.owner: object = None
            """The recorder of the run that these calls belong to, once it has begun."""
            self.is_over = False
            """Whether that run has ended."""
            self._under_way: set[int] = set()
            self._linked: set[int] = set()
            self._tools: Sequence[Mapping[str, JSON]] | None = None
            self._tools_copy: list[dict[str, JSON]] | None = None
            self._lanes: dict[str | None, Lane] = {}

    def wrap(
        self, backend: Any, *, async_: bool | None = None
    ) -> RecordingLLMBackend | AsyncRecordingLLMBackend:
        """``backend``, with every call of it recorded here; ``async_=None`` looks what it is."""
        from looplet.trajectory.backends import AsyncRecordingLLMBackend, RecordingLLMBackend

        if is_async(backend) if async_ is None else async_:
            return AsyncRecordingLLMBackend(backend, log=self)
        return RecordingLLMBackend(backend, log=self)

    @property
    def finished(self) -> list[LLMCall]:
        """The calls that have ended, in the order in which they began."""
        with self._lock:
            return [call for call in self.calls if call.index not in self._under_way]

    def is_linked(self, call: LLMCall) -> bool:
        """Whether a call said itself which step it belongs to."""
        return call.index in self._linked

    def begin(
        self, backend: Any, method: Method, prompt: str, keywords: Mapping[str, Any]
    ) -> OpenCall:
        """Note that a call begins."""
        asked, scope = request_of(method, prompt, keywords), scope_of(keywords)
        model = _text_or_none(getattr(backend, "model", None))
        step = step_of(self, keywords)
        with self._lock:
            with self._noting_failure():
                lane = self._lanes.setdefault(scope, Lane(self.redaction, self.max_chars))
                kept = lane.keep(asked, model=model)
                call = self._call_of(kept, self.redaction.maybe(scope), model)
            call.index = len(self.calls)
            self.calls.append(call)
            self._under_way.add(call.index)
            if step is None:
                call.step_num = self.current_step_num
            else:
                call.step_num = step
                self._linked.add(call.index)
        return OpenCall(self, call, asked, kept.request, keywords)

    def end(self, call: LLMCall) -> None:
        """Note that a call has ended, and tell who wants to know."""
        with self._lock:
            if call.index >= len(self.calls) or self.calls[call.index] is not call:
                return  # the log was reset meanwhile
            self._under_way.discard(call.index)
        with self._noting_failure():
            for tell in self.on_finished:
                tell(call)

    def _call_of(self, kept: Kept, scope: str | None, model: str | None) -> LLMCall:
        request = kept.request
        call = LLMCall(
            0,
            self.runtime.now(),
            0.0,
            request.method,
            request.prompt,
            request.system_prompt,
            None,
            request.temperature,
            request.max_tokens,
            tools=self._copy_tools(request.tools),
            scope=scope,
            model=model,
            messages=kept.messages,
            params=snapshot(request.params()),
            key=kept.key,
        )
        if self.lacks_native_tools:
            call.metadata[LACKS_TOOLS] = True
        if self.max_chars is not None:
            _cut_request(call, self.max_chars)
        if kept.is_cut:
            call.metadata["truncated"] = True
        return call

    @contextmanager
    def _noting_failure(self) -> Iterator[None]:
        """Keep what goes wrong, so that it is noticed whatever the caller does with it."""
        try:
            yield
        except Exception as error:
            self.failure = error
            raise

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
    """A call under way; it ends with a reply or with an error.

    ``prompt`` and ``keywords`` are what the backend is to be sent.
    """

    def __init__(
        self,
        log: CallLog,
        call: LLMCall,
        asked: ModelRequest,
        kept: ModelRequest,
        keywords: Mapping[str, Any],
    ) -> None:
        self._log, self._call = log, call
        upstream = log.redact_upstream and kept is not asked
        self._sent = kept if upstream else asked
        self.prompt = self._sent.prompt
        self.keywords = _replaced(keywords, kept) if upstream else dict(keywords)
        self._first_token_ms: float | None = None
        tell = keywords.get("on_chunk")
        if tell is not None:
            self.keywords["on_chunk"] = _FirstPiece(tell, self)
        self._began = log.runtime.perf()

    def heard(self) -> None:
        """A piece of the reply came."""
        if self._first_token_ms is None:
            self._first_token_ms = (self._log.runtime.perf() - self._began) * 1000

    def begin_anew(self) -> None:
        """What came is void: the call is made again."""
        self._first_token_ms = None

    def reply(self, reply: Reply, backend: Any) -> None:
        """Note the reply, and what the backend tells about it."""
        self._stop_clock()
        call = self._call
        usage = getattr(backend, "last_usage", None)
        usage = usage if isinstance(usage, Mapping) else None
        call.finish_reason = _text_or_none(getattr(backend, "last_stop_reason", None))
        self._count(reply, usage)
        cached = usage.get("cached_tokens") if usage else None
        call.cached_tokens = cached if type(cached) is int else None
        duration_ms, first_token_ms = getattr(backend, "last_timing", (None, None))
        call.first_token_ms = first_token_ms if duration_ms is not None else self._first_token_ms
        try:
            self._keep(reply)
        except Exception as error:
            # The text of the error may have in it what was to be hidden.
            call.error = f"{type(error).__name__}: the reply could not be redacted, and is not kept"
            self._log.failure = error
            self._log.end(call)
            raise
        self._log.end(call)

    def error(self, error: BaseException) -> None:
        """Note that the call failed."""
        self._stop_clock()
        call, redaction = self._call, self._log.redaction
        self._count(None, None)
        try:
            text = redaction.text(f"{type(error).__name__}: {error}")
            call.metadata[FAILURE] = describe_failure(error, clean=redaction.value)
        except Exception as broken:
            text = f"{type(error).__name__}: the message could not be redacted, and is not kept"
            self._log.failure = broken
            raise
        finally:
            call.error = text
            self._log.end(call)

    def _keep(self, reply: Reply) -> None:
        call, limit = self._call, self._log.max_chars
        call.response = self._log.redaction.reply(reply)
        if limit is None or not isinstance(call.response, str | list):
            return
        cut = cut_reply(call.response, limit)
        if cut != call.response:
            _note_cut(call, "response", chars_received(call.response))
            call.response = cut

    def _stop_clock(self) -> None:
        self._call.duration_ms = (self._log.runtime.perf() - self._began) * 1000

    def _count(self, reply: Reply | None, usage: Mapping[str, Any] | None) -> None:
        counted = count_tokens(self._sent, reply, usage)
        self._call.input_tokens = counted.input_tokens
        self._call.output_tokens = counted.output_tokens
        self._call.tokens_estimated = counted.estimated


class _FirstPiece:
    """Hands on the pieces of a reply, and notes when the first one came."""

    def __init__(self, tell: Any, call: OpenCall) -> None:
        self._tell, self._call = tell, call

    def __call__(self, piece: str) -> None:
        self._call.heard()
        self._tell(piece)

    def begin_anew(self) -> None:
        self._call.begin_anew()
        begin_anew(self._tell)


def scope_of(keywords: Mapping[str, Any]) -> str | None:
    """Who asks, by the keywords of a call; ``None`` for the loop's own questions.

    >>> scope_of({"purpose": "reasoning"}), scope_of({"purpose": "repair"})
    (None, 'repair')
    """
    purpose = keywords.get("purpose")
    named = purpose if purpose != LOOPS_PURPOSE else None
    return _text_or_none(keywords.get("scope") or named)


@contextmanager
def in_step(owner: object, number: int) -> Iterator[None]:
    """Let every call that this thread or task makes meanwhile belong to that step."""
    token = _STEPS.set((*_STEPS.get(()), (owner, number)))
    try:
        yield
    finally:
        _STEPS.reset(token)


def step_of(owner: object, keywords: Mapping[str, Any]) -> int | None:
    """The step that a call belongs to, if that is known where it is made.

    In a tool it is the tool's, also for the calls of a sub-agent that the tool runs; otherwise
    the one that the loop names.
    """
    for each, number in _STEPS.get(()):
        if each is owner:
            return number
    first = str(keywords.get("caller", "")).partition("/")[0]
    return int(first) if first.isdecimal() else None


def _replaced(keywords: Mapping[str, Any], kept: ModelRequest) -> dict[str, Any]:
    """The keywords of a call with what is redacted of them in its place."""
    new = {"system_prompt": kept.system_prompt, "messages": kept.messages, "tools": kept.tools}
    wanted = {name: new[name] for name in new if keywords.get(name) is not None}
    if "tools" in wanted:
        wanted["tools"] = list(wanted["tools"])
    return {**keywords, **wanted}


def _cut_request(call: LLMCall, limit: int) -> None:
    for name in ("prompt", "system_prompt"):
        text = getattr(call, name)
        if len(text) > limit:
            setattr(call, name, cut_text(text, limit))
            _note_cut(call, name, len(text))


def _note_cut(call: LLMCall, name: str, chars: int) -> None:
    """Note in a call that a text of it was cut, and how long it was."""
    call.metadata["truncated"] = True
    call.metadata.setdefault("cut", {})[name] = chars


def _text_or_none(value: object) -> str | None:
    return value if isinstance(value, str) else None
