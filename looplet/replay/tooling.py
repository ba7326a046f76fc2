"""Tools through a cassette: recorded where they run, answered from the tape where they do not.

Knows registries and the halves of a cassette; knows nothing of files.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

from looplet.core.codec import JSON, canonical, digest, from_jsonable, to_jsonable
from looplet.core.records import (
    ErrorKind,
    ToolCall,
    ToolError,
    ToolResult,
    is_dunder,
    summarize_args,
)
from looplet.replay.entries import Ticket, response
from looplet.replay.guarding import guarded, lent
from looplet.replay.outcomes import GRACE_S, interrupt_of, is_cancelled, stored_interrupt
from looplet.replay.serializer import restored, storable
from looplet.replay.within import inside

Run: TypeAlias = Callable[[Sequence[ToolCall], list[Any]], list[ToolResult]]
Progress: TypeAlias = list[tuple[str, Any]]
"""Stages that a tool reported, with their data."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolAnswer:
    """What a recorded call came to."""

    result: ToolResult | None
    interrupt: BaseException | None = None
    """What ended it from outside, instead of a result."""
    duration_ms: float = 0.0
    progress: Progress

    def give(self, ctx: Any) -> ToolResult:
        """The result; its progress and warnings are told to whoever asked. Raises an interrupt."""
        for stage, data in self.progress if ctx is not None else ():
            ctx.report_progress(stage, data)
        if self.interrupt is not None:
            raise self.interrupt
        assert self.result is not None
        if ctx is not None and self.result.warnings:
            ctx.warnings.extend(self.result.warnings)
        return self.result

    @property
    def cancelled(self) -> bool:
        """Whether it was given up by whoever waited for it."""
        return self.interrupt is not None and is_cancelled(self.interrupt)


def tool_body(call: ToolCall, redact: Any) -> dict[str, JSON]:
    """What was asked of a tool, redacted, as JSON."""
    args = {name: value for name, value in call.args.items() if not is_dunder(str(name))}
    body: dict[str, JSON] = {"tool": call.tool, "args": to_jsonable(args)}
    return redact(body) if redact is not None else body


def tool_lane(body: Mapping[str, JSON], lane: str = "main") -> str:
    """The lane of a tool's calls, of the registry that was wrapped with that name.

    >>> tool_lane({"tool": "price"}), tool_lane({"tool": "price"}, "worker:1")
    ('tool:price', 'worker:1/tool:price')
    """
    own = f"tool:{body['tool']}"
    return own if lane == "main" else f"{lane}/{own}"


def tool_key(body: Mapping[str, JSON], lane: str) -> str:
    """SHA-256 of a tool call's canonical text, in hex; calls of two lanes have two keys."""
    text = canonical(body)
    return digest(text if lane == tool_lane(body) else f"{lane}\n{text}")


def stored_result(
    result: ToolResult, redact: Any, progress: Progress | None = None
) -> dict[str, JSON]:
    """A tool's result as a stored response."""
    body: dict[str, JSON] = {}
    if progress:
        body["progress"] = [list(each) for each in progress]
    error = result.error_detail
    if error is not None:
        body["error"] = {
            "kind": error.kind.value,
            "message": error.message,
            "retriable": error.retriable,
            "context": error.context,
            "recovery_hint": error.recovery_hint,
        }
    elif result.error is not None:
        body["error"] = {"message": result.error}
    if result.data is not None or error is None:
        body["data"] = result.data
    for name in ("warnings", "metadata"):
        value = getattr(result, name)
        if value:
            body[name] = value
    if result.result_key is not None:
        body["result_key"] = result.result_key
    body = redact(body) if redact is not None else body
    return response(storable(body)) | {"duration_ms": round(result.duration_ms, 3)}


def tool_answer(call: ToolCall, stored: Mapping[str, Any]) -> ToolAnswer:
    """What was recorded, made anew."""
    body = restored(stored["body"])
    progress = [(stage, data) for stage, data in body.get("progress", ())]
    duration = stored.get("duration_ms", 0.0)
    if "interrupt" in body:
        interrupt = interrupt_of(body["interrupt"])
        return ToolAnswer(result=None, interrupt=interrupt, duration_ms=duration, progress=progress)
    result = ToolResult(
        call.tool,
        summarize_args(call.args),
        body.get("data"),
        error=None if "error" not in body else body["error"]["message"],
        error_detail=_error_of(body.get("error")),
        duration_ms=duration,
        result_key=body.get("result_key"),
        call_id=call.call_id,
        warnings=body.get("warnings", []),
        metadata=body.get("metadata", {}),
    )
    return ToolAnswer(result=result, duration_ms=duration, progress=progress)


def result_of(call: ToolCall, stored: Mapping[str, Any]) -> ToolResult:
    """The recorded result, made anew. Raises what interrupted the tool, if anything did."""
    return tool_answer(call, stored).give(None)


def _error_of(described: dict[str, Any] | None) -> ToolError | None:
    if described is None or "kind" not in described:
        return None
    return ToolError(
        ErrorKind(described["kind"]),
        described["message"],
        described["retriable"],
        described["context"],
        described["recovery_hint"],
    )


class CassetteTools:
    """A registry whose calls go through a cassette; everything else is the given registry's.

    In a replay no function of a tool can be reached through it: what hands out a tool hands out
    one that refuses to run, so that neither a pool of the registry's own nor a copy for a
    sub-agent has a side effect.
    """

    def __init__(self, half: Any, tools: Any, *, lane: str = "main") -> None:
        self._half = half
        self._lane = lane if half.redactor is None else half.redactor.text(lane)
        self._tools = guarded(tools, half) if half.replaying else tools
        if not callable(getattr(tools, "adispatch", None)):
            # The loop then runs tools in a thread, as it would without us.
            self.adispatch = None  # type: ignore[assignment, method-assign]

    @property  # type: ignore[misc]
    def __class__(self) -> type:
        """The given registry's: of a tool of its own kind the loop knows what may run together."""
        kind: type = type(self._tools)
        return kind

    def __getattr__(self, name: str) -> Any:
        if name in {"_tools", "_half", "_lane"} or is_dunder(name):
            raise AttributeError(name)
        return lent(self._tools, name, self._half)

    def __iter__(self) -> Iterator[Any]:
        """The tools, in order of registration."""
        return iter([guarded(spec, self._half) for spec in self._tools])

    def __contains__(self, name: object) -> bool:
        """Whether there is a tool of that name."""
        return name in self._tools

    def get(self, name: str) -> Any:
        """The tool of that name, or ``None``."""
        return guarded(self._tools.get(name), self._half)

    def register(self, spec: Any) -> None:
        """Add a tool."""
        self._tools.register(guarded(spec, self._half))

    def copy(self, *, without: Container[str] = ()) -> CassetteTools:
        """Another registry with the same tools, around the same cassette."""
        return CassetteTools(self._half, self._tools.copy(without=without), lane=self._lane)

    def dispatch(self, call: ToolCall, *, ctx: Any = None) -> ToolResult:
        """Run a call and keep what it gave, or give what was kept."""
        (result,) = self._together([call], [ctx], self._run_each)
        return result

    def dispatch_batch(self, calls: Sequence[ToolCall], *, ctx: Any = None) -> list[ToolResult]:
        """Do so for several calls, which the given registry runs as it does."""
        contexts = list(ctx) if isinstance(ctx, Sequence) else [ctx] * len(calls)
        return self._together(calls, contexts, self._run_batch)

    async def adispatch(self, call: ToolCall, *, ctx: Any = None) -> ToolResult:
        """Run a call in a running event loop."""
        played: ToolAnswer | None = self._half.play_tool(call, lane=self._lane)
        if played is not None:
            if played.cancelled:
                import asyncio  # loaded by those who have it anyway

                # Whoever gave it up then does so again, and is cancelled as it was.
                await asyncio.sleep(played.duration_ms / 1000 + GRACE_S)
            return played.give(ctx)
        live = _Live(self._half, self._half.begin_tool(call, lane=self._lane), ctx)
        with _keeping_interrupts([live]), inside(live.ticket.name):
            result = self._tools.adispatch(call, ctx=live.ctx)
            if inspect.isawaitable(result):
                result = await result
        await self._half.akeep_tool(live.ticket, result, live.progress)
        return result  # type: ignore[no-any-return]  # the registry's own

    def _run_each(self, calls: Sequence[ToolCall], contexts: list[Any]) -> list[ToolResult]:
        return [
            self._tools.dispatch(call, ctx=ctx) for call, ctx in zip(calls, contexts, strict=True)
        ]

    def _run_batch(self, calls: Sequence[ToolCall], contexts: list[Any]) -> list[ToolResult]:
        return list(self._tools.dispatch_batch(calls, ctx=contexts))

    def _together(
        self, calls: Sequence[ToolCall], contexts: list[Any], run: Run
    ) -> list[ToolResult]:
        played: list[ToolAnswer | None] = [
            self._half.play_tool(call, lane=self._lane) for call in calls
        ]
        results = [
            None if answer is None else answer.give(ctx)
            for answer, ctx in zip(played, contexts, strict=True)
        ]
        left = [place for place, result in enumerate(results) if result is None]
        if left:
            lives = [
                _Live(self._half, self._half.begin_tool(calls[n], lane=self._lane), contexts[n])
                for n in left
            ]
            alone = lives[0].ticket.name if len(lives) == 1 else None
            with _keeping_interrupts(lives), inside(alone):
                ran = run([calls[place] for place in left], [live.ctx for live in lives])
            for place, live, result in zip(left, lives, ran, strict=True):
                self._half.keep_tool(live.ticket, result, live.progress)
                results[place] = result
        return [result for result in results if result is not None]


class _Live:
    """A call that is made: what it is stored under, and the context that says so to the tool."""

    def __init__(self, half: Any, ticket: Ticket, ctx: Any) -> None:
        self.half, self.ticket = half, ticket
        self.progress: Progress = []
        self.ctx = None if ctx is None else self._told(ctx)

    def _told(self, ctx: Any) -> Any:
        """The context of one call of several, which run in threads of their own."""
        around, tell = ctx.around, ctx.on_progress

        def heard(stage: str, data: Any = None) -> None:
            self.progress.append((stage, from_jsonable(to_jsonable(data))))
            tell(stage, data)

        @contextmanager
        def own() -> Iterator[None]:
            with inside(self.ticket.name):
                if around is None:
                    yield
                else:
                    with around():
                        yield

        return replace(ctx, around=own, on_progress=None if tell is None else heard)


@contextmanager
def _keeping_interrupts(lives: Sequence[_Live]) -> Iterator[None]:
    """Record that calls were interrupted; an ``Exception`` is the registry's own failure."""
    try:
        yield
    except BaseException as error:
        stored = stored_interrupt(error)
        for live in lives if stored is not None else ():
            live.half.keep_interrupt(live.ticket, stored)
        raise
