"""Tools through a cassette: recorded where they run, answered from the tape where they do not.

Knows registries and the halves of a cassette; knows nothing of files.
"""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, TypeAlias

from looplet.core.codec import JSON, canonical, digest, to_jsonable
from looplet.core.records import (
    ErrorKind,
    ToolCall,
    ToolError,
    ToolResult,
    is_dunder,
    summarize_args,
)
from looplet.replay.entries import SHORT, Ticket, response
from looplet.replay.outcomes import interrupt_of, stored_interrupt
from looplet.replay.serializer import restored, storable

Run: TypeAlias = Callable[[Sequence[ToolCall], list[Any]], list[ToolResult]]

_WITHIN: ContextVar[str | None] = ContextVar("looplet_within_tool", default=None)
"""Short key of the recorded tool call that runs in this thread or task."""


def within() -> str | None:
    """The tool call in whose course the caller runs."""
    return _WITHIN.get()


def tool_body(call: ToolCall, redact: Any) -> dict[str, JSON]:
    """What was asked of a tool, redacted, as JSON."""
    args = {name: value for name, value in call.args.items() if not is_dunder(str(name))}
    body: dict[str, JSON] = {"tool": call.tool, "args": to_jsonable(args)}
    return redact(body) if redact is not None else body


def tool_key(body: JSON) -> str:
    """SHA-256 of a tool call's canonical text, in hex."""
    return digest(canonical(body))


def stored_result(result: ToolResult, redact: Any) -> dict[str, JSON]:
    """A tool's result as a stored response."""
    body: dict[str, JSON] = {}
    error = result.error_detail
    if error is not None:
        body["error"] = {
            "kind": error.kind.value,
            "message": error.message,
            "retriable": error.retriable,
            "context": to_jsonable(error.context),
            "recovery_hint": to_jsonable(error.recovery_hint),
        }
    elif result.error is not None:
        body["error"] = {"message": result.error}
    if result.data is not None or error is None:
        body["data"] = to_jsonable(result.data)
    for name in ("warnings", "metadata"):
        value = getattr(result, name)
        if value:
            body[name] = to_jsonable(value)
    if result.result_key is not None:
        body["result_key"] = result.result_key
    body = redact(body) if redact is not None else body
    return response(storable(body)) | {"duration_ms": round(result.duration_ms, 3)}


def result_of(call: ToolCall, stored: Mapping[str, Any]) -> ToolResult:
    """The recorded result, made anew. Raises what interrupted the tool, if anything did."""
    body = restored(stored["body"])
    if "interrupt" in body:
        raise interrupt_of(body["interrupt"])
    error = _error_of(body.get("error"))
    return ToolResult(
        call.tool,
        summarize_args(call.args),
        body.get("data"),
        error=None if "error" not in body else body["error"]["message"],
        error_detail=error,
        duration_ms=stored.get("duration_ms", 0.0),
        result_key=body.get("result_key"),
        call_id=call.call_id,
        warnings=body.get("warnings", []),
        metadata=body.get("metadata", {}),
    )


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

    def __init__(self, half: Any, tools: Any) -> None:
        self._half = half
        self._tools = tools if half.live else _disarmed(tools)
        if not callable(getattr(tools, "adispatch", None)):
            # The loop then runs tools in a thread, as it would without us.
            self.adispatch = None  # type: ignore[assignment, method-assign]

    def __getattr__(self, name: str) -> Any:
        if name in {"_tools", "_half"} or is_dunder(name):
            raise AttributeError(name)
        return getattr(self._tools, name)

    def __iter__(self) -> Iterator[Any]:
        """The tools, in order of registration."""
        return iter(self._tools)

    def __contains__(self, name: object) -> bool:
        """Whether there is a tool of that name."""
        return name in self._tools

    def copy(self, *, without: Container[str] = ()) -> CassetteTools:
        """Another registry with the same tools, around the same cassette."""
        return CassetteTools(self._half, self._tools.copy(without=without))

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
        played = self._half.play_tool(call)
        if played is not None:
            return _told(played, ctx)
        ticket = self._half.begin_tool(call)
        with _keeping_interrupts(self._half, [ticket]), _inside(ticket):
            result = self._tools.adispatch(call, ctx=ctx)
            if inspect.isawaitable(result):
                result = await result
        await self._half.akeep_tool(ticket, result)
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
        results: list[Any] = [self._half.play_tool(call) for call in calls]
        for result, ctx in zip(results, contexts, strict=True):
            if result is not None:
                _told(result, ctx)
        left = [place for place, result in enumerate(results) if result is None]
        if not left:
            return results
        tickets = [self._half.begin_tool(calls[place]) for place in left]
        with _keeping_interrupts(self._half, tickets), _inside(*tickets):
            live = run([calls[place] for place in left], [contexts[place] for place in left])
        for place, ticket, result in zip(left, tickets, live, strict=True):
            self._half.keep_tool(ticket, result)
            results[place] = result
        return results


@contextmanager
def _inside(*tickets: Ticket) -> Iterator[None]:
    """Say of model calls in here which tool call they belong to; of a batch it is not known."""
    token = _WITHIN.set(tickets[0].key[:SHORT] if len(tickets) == 1 else None)
    try:
        yield
    finally:
        _WITHIN.reset(token)


@contextmanager
def _keeping_interrupts(half: Any, tickets: Sequence[Ticket]) -> Iterator[None]:
    """Record that calls were interrupted; an ``Exception`` is the registry's own failure."""
    try:
        yield
    except BaseException as error:
        stored = stored_interrupt(error)
        for ticket in tickets if stored is not None else ():
            half.keep(ticket, stored)
        raise


def _told(result: ToolResult, ctx: Any) -> ToolResult:
    """The warnings of a replayed tool, where whoever asked hears them."""
    if ctx is not None and result.warnings:
        ctx.warnings.extend(result.warnings)
    return result


def _disarmed(tools: Any) -> Any:
    """A copy of a registry whose functions refuse to run; a registry of another kind as it is."""
    specs = getattr(tools, "_specs", None)
    if not isinstance(specs, dict) or not callable(getattr(tools, "copy", None)):
        return tools
    other = tools.copy()
    other._specs = {name: _refusing(spec) for name, spec in specs.items()}  # noqa: SLF001 - its kind
    return other


def _refusing(spec: Any) -> Any:
    from looplet.replay.divergence import SideEffectRefused

    def refuse(*_: Any, **__: Any) -> Any:
        raise SideEffectRefused(
            f"tool {spec.name!r} was to be run in a replay with recorded tools, by a way round the "
            "cassette; it was not run. Dispatch through the registry that wrap_tools() gives, or "
            'replay with tools="live".'
        )

    other = copy.copy(spec)
    object.__setattr__(other, "execute", refuse)
    return other
