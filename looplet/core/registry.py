"""Tools by name: checks calls and runs them. Knows no model and no loop."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterator, Sequence
from dataclasses import replace
from typing import Any

from looplet.core.attempt import Attempt, run, run_async
from looplet.core.codec import JSON
from looplet.core.logs import log
from looplet.core.records import ErrorKind, ToolCall, ToolError, ToolResult, summarize_args
from looplet.core.tools import (
    ToolContext,
    Tools,
    ToolSpec,
    as_spec,
    clean_args,
    done_tool,
    think_tool,
    tool,
)
from looplet.core.validation import (
    check_empty,
    check_names,
    check_types,
    invalid,
    suggest_similar,
    surely_valid,
)

BATCH_THREADS = 10


class BaseToolRegistry:
    """Tools by name.

    >>> registry = BaseToolRegistry()
    >>> @registry.tool
    ... def price(fruit: str) -> dict:
    ...     return {"euro": {"apple": 0.4}[fruit]}
    >>> registry.dispatch(ToolCall("price", {"fruit": "apple"})).data
    {'euro': 0.4}
    >>> registry.dispatch(ToolCall("pirce", {})).error
    "Unknown tool 'pirce'. Did you mean 'price'? Available: price"
    """

    def __init__(self) -> None:
        self._specs: dict[str, ToolSpec] = {}
        self._resources: dict[str, Any] = {}
        self._catalog: str | None = None
        self._replaced: list[str] = []

    @property
    def replaced(self) -> list[str]:
        """Names that were registered more than once, so that a tool took the place of another."""
        return list(self._replaced)

    def register(self, spec: ToolSpec) -> None:
        """Add a tool; one of the same name is replaced, which is logged."""
        if spec.name in self._specs:
            log().warning("tool %r was registered already and is replaced", spec.name)
            self._replaced.append(spec.name)
        self._specs[spec.name] = spec
        self._catalog = None

    def tool(self, fn: Callable[..., Any] | None = None, **options: Any) -> Any:
        """Make a tool of a function and register it; a decorator, with or without options."""

        def add(function: Callable[..., Any]) -> ToolSpec:
            spec = tool(**options)(function)
            self.register(spec)
            return spec

        return add if fn is None else add(fn)

    def set_resources(self, resources: dict[str, Any]) -> None:
        """Give tools what they reach as ``ctx.resources``."""
        self._resources = dict(resources)

    def get(self, name: str) -> ToolSpec | None:
        """The tool of that name, or ``None``."""
        return self._specs.get(name)

    def copy(self, *, without: Container[str] = ()) -> BaseToolRegistry:
        """Another registry with the same tools, less those named, and the same resources."""
        other = type(self)()
        kept = {name: spec for name, spec in self._specs.items() if name not in without}
        other._specs = kept  # noqa: SLF001 - its own kind
        other._resources = dict(self._resources)  # noqa: SLF001 - its own kind
        return other

    def __iter__(self) -> Iterator[ToolSpec]:
        """The tools, in order of registration."""
        return iter(self._specs.values())

    def __contains__(self, name: object) -> bool:
        """Whether there is a tool of that name."""
        return name in self._specs

    @property
    def tool_names(self) -> list[str]:
        """Names, in order of registration."""
        return list(self._specs)

    def tool_catalog_text(self) -> str:
        """One line a tool, for a prompt."""
        if self._catalog is None:
            self._catalog = "\n".join(f"- {spec.spec_text()}" for spec in self._specs.values())
        return self._catalog

    def tool_schemas(self) -> list[dict[str, JSON]]:
        """Schemas for native tool calls."""
        return [spec.to_api_schema() for spec in self._specs.values()]

    def introspect(self) -> dict[str, JSON]:
        """What is registered, as JSON."""
        fields = ("name", "description", "parameters", "concurrent_safe", "free")
        tools = [{name: getattr(spec, name) for name in fields} for spec in self]
        return {"tool_count": len(tools), "tools": tools}

    def dispatch(self, call: ToolCall, *, ctx: ToolContext | None = None) -> ToolResult:
        """Check a call and run it. Never raises ``Exception``: a failure is in the result."""
        attempt = self.prepare(call, ctx)
        if isinstance(attempt, ToolResult):
            return attempt
        with attempt:
            attempt.value = run(attempt)
        return attempt.result()

    async def adispatch(self, call: ToolCall, *, ctx: ToolContext | None = None) -> ToolResult:
        """Do the same inside a running event loop, which a plain function does not hold up."""
        attempt = self.prepare(call, ctx)
        if isinstance(attempt, ToolResult):
            return attempt
        with attempt:
            attempt.value = await run_async(attempt)
        return attempt.result()

    def dispatch_batch(
        self,
        calls: Sequence[ToolCall],
        *,
        ctx: ToolContext | Sequence[ToolContext | None] | None = None,
    ) -> list[ToolResult]:
        """Run several calls; neighbours that are ``concurrent_safe`` run in threads.

        Results are in the order of the calls.
        """
        contexts = self._contexts(calls, ctx)
        results: list[ToolResult] = []
        for start, stop in self.runs(calls):
            results += self._run_together(calls[start:stop], contexts[start:stop])
        return results

    def runs(self, calls: Sequence[ToolCall]) -> Iterator[tuple[int, int]]:
        """Bounds of the runs of neighbouring calls that may go at the same time."""
        start = 0
        while start < len(calls):
            stop = start + 1
            while (
                stop < len(calls) and self._is_safe(calls[stop - 1]) and self._is_safe(calls[stop])
            ):
                stop += 1
            yield start, stop
            start = stop

    def prepare(self, call: ToolCall, ctx: ToolContext | None) -> Attempt | ToolResult:
        """An attempt that can be run, or the result that says why not."""
        spec = self._specs.get(call.tool)
        if spec is None:
            return refused(call, self._unknown(call.tool))
        args = clean_args(call, spec)
        error = self._check(args, spec, ctx)
        if error is not None:
            return refused(call, error)
        if ctx is not None and self._resources:
            ctx = replace(ctx, resources={**ctx.resources, **self._resources})
        elif self._resources:
            ctx = ToolContext(resources=dict(self._resources))
        return Attempt(call, args, spec, ctx)

    def _check(
        self, args: dict[str, Any], spec: ToolSpec, ctx: ToolContext | None
    ) -> ToolError | None:
        if ctx is not None and ctx.cancel_token is not None and ctx.cancel_token.is_cancelled:
            return ToolError(ErrorKind.CANCELLED, "cancelled before the tool was run")
        if spec.requires:
            unset = [name for name in spec.requires if name not in self._resources]
            if unset:
                return invalid(f"{spec.name} needs resource {unset[0]!r}, which is not set")
        if spec.quick is not None and surely_valid(args, spec.quick, spec.required):
            return None
        return self._look_closer(spec, args)

    def _look_closer(self, spec: ToolSpec, args: dict[str, Any]) -> ToolError | None:
        if "_raw_arguments" in args and "_raw_arguments" not in spec.properties:
            text = str(args["_raw_arguments"])[:200]
            return invalid(f"{spec.name}: arguments are not a JSON object: {text}", retriable=True)
        names = list(spec.properties)
        if spec.schema.get("additionalProperties"):
            names += [key for key in args if key not in spec.properties]
        error = check_names(args, names=names, required=spec.required, tool=spec.name)
        error = error or check_empty(
            args, required=spec.required, properties=spec.properties, tool=spec.name
        )
        if error is None and spec.is_json_schema:
            error = check_types(args, spec.properties, tool=spec.name)
        return error

    def _unknown(self, name: str) -> ToolError:
        meant = suggest_similar(name, self._specs)
        guess = f" Did you mean '{meant}'?" if meant else ""
        known = ", ".join(self._specs)
        message = f"Unknown tool '{name}'.{guess} Available: {known}"
        return invalid(message, f"Use one of: {known}" if not meant else f"Use '{meant}'")

    def _is_safe(self, call: ToolCall) -> bool:
        spec = self._specs.get(call.tool)
        return spec is not None and spec.concurrent_safe

    def _contexts(
        self, calls: Sequence[ToolCall], ctx: ToolContext | Sequence[ToolContext | None] | None
    ) -> list[ToolContext | None]:
        if ctx is None or isinstance(ctx, ToolContext):
            return [ctx] * len(calls)
        if len(ctx) != len(calls):
            raise ValueError(f"{len(ctx)} contexts for {len(calls)} calls")
        return list(ctx)

    def _run_together(
        self, calls: Sequence[ToolCall], contexts: Sequence[ToolContext | None]
    ) -> list[ToolResult]:
        if len(calls) == 1:
            return [self.dispatch(calls[0], ctx=contexts[0])]
        from concurrent.futures import ThreadPoolExecutor
        from contextvars import copy_context

        with ThreadPoolExecutor(min(BATCH_THREADS, len(calls))) as pool:
            futures = [
                pool.submit(copy_context().run, self.dispatch, call, ctx=ctx)
                for call, ctx in zip(calls, contexts, strict=True)
            ]
            return [future.result() for future in futures]


def refused(call: ToolCall, error: ToolError) -> ToolResult:
    """Say in a result that a call was not run, and why."""
    return ToolResult(
        call.tool,
        summarize_args(call.args),
        None,
        error=error.message,
        error_detail=error,
        call_id=call.call_id,
    )


def tools_from(
    items: Tools,
    *,
    include_think: bool = False,
    include_done: bool = False,
    done_name: str = "done",
    done_parameters: dict[str, JSON] | None = None,
) -> BaseToolRegistry:
    """Make a registry of tools and plain functions.

    >>> def price(fruit: str) -> float: ...
    >>> tools_from([price], include_done=True).tool_names
    ['price', 'done']
    """
    registry = BaseToolRegistry()
    for item in items:
        registry.register(as_spec(item))
    if include_think:
        registry.register(think_tool())
    if include_done:
        register_done_tool(registry, name=done_name, parameters=done_parameters)
    return registry


def register_done_tool(
    registry: BaseToolRegistry, *, name: str = "done", parameters: dict[str, JSON] | None = None
) -> None:
    """Add the tool by which the model says that it has finished."""
    registry.register(done_tool(name, parameters))
