"""Whether calls were valid by the schemas that the model was given. Knows schemas and contexts."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Protocol, TypeAlias, runtime_checkable

from looplet.core.codec import JSON
from looplet.core.output import Judge, judge_of
from looplet.core.records import Step, ToolCall, ToolResult
from looplet.core.registry import tools_from
from looplet.core.tools import ToolSpec, as_spec, clean_args
from looplet.errors import EvalError, MissingExtra, NotEvaluable
from looplet.evals.context import EvalContext
from looplet.evals.matchers import globs
from looplet.evals.matchers.calls import is_call
from looplet.evals.matchers.match import Match, Miss, match_of
from looplet.evals.matchers.showing import call_text
from looplet.mcp.results import object_schema
from looplet.trajectory.model import Trajectory


@runtime_checkable
class Registry(Protocol):
    """What has tools and tells their schemas."""

    def tool_schemas(self) -> list[dict[str, JSON]]:
        """Name, description and schema of each tool."""
        ...


Tools: TypeAlias = Registry | Iterable[ToolSpec | Callable[..., Any] | Mapping[str, JSON]]
"""A registry; or tools, functions and schemas as providers take them."""
_Check: TypeAlias = Callable[[ToolCall], str | None]
_Checks: TypeAlias = dict[str, _Check | None]
"""By tool; ``None`` for a tool whose schema is not told."""


def valid_arguments(
    ctx: EvalContext, *, tools: Tools | None = None, ignore_tools: str | Iterable[str] = ()
) -> Match:
    """Whether the arguments of every call are valid, as the registry of a loop would judge.

    Missing, unexpected and empty arguments and wrong types are found, and whatever else the schema
    asks for, by the package jsonschema where it goes beyond plain types. A tool that was not
    offered has no valid call. The schemas are those that were sent with the model call behind a
    step, or with any other where that one had none; ``tools`` gives them for runs that sent none.

    Raises ``NotEvaluable`` if no call is invalid and the schema of some is not known,
    ``MissingExtra`` without jsonschema where it is needed, ``EvalError`` for what is no schema.

    >>> from looplet.evals.trying import context_of_calls
    >>> def price(fruit: str, count: int = 1) -> float: ...
    >>> ctx = context_of_calls(("price", {"fruit": "pear", "count": "two"}))
    >>> valid_arguments(ctx, tools=[price])  # doctest: +NORMALIZE_WHITESPACE
    <valid_arguments fails: step 1: price(fruit='pear', count='two'):
     argument 'count' must be integer, got string 'two'>
    """
    ignored = globs.names_of(ignore_tools, "ignore_tools")
    invalid: list[tuple[Step, str]] = []
    unknown: set[str] = set()
    judged = 0
    for step, checks in _with_checks(ctx, tools):
        tool = step.tool_call.tool
        if not is_call(step, ignored):
            continue
        check = checks.get(tool) if checks else None
        if check is not None:
            complaint = check(step.tool_call)
            judged += 1
        elif checks and tool not in checks:
            complaint = f"there is no such tool; there are {', '.join(checks)}"
        else:
            unknown.add(tool)
            continue
        if complaint is not None:
            invalid.append((step, complaint))
    if unknown and not invalid:
        raise NotEvaluable(f"the schema of {', '.join(sorted(unknown))} is not known; pass tools=")
    return match_of(
        "valid_arguments",
        invalid,
        _miss,
        held=f"the arguments of {judged} calls are valid",
        metrics={"invalid": len(invalid)},
    )


def _miss(found: tuple[Step, str]) -> Miss:
    step, complaint = found
    shown = call_text(step.tool_call.tool, step.tool_call.args)
    return Miss(text=f"step {step.number}: {shown}: {complaint}", step=step.number)


def _with_checks(ctx: EvalContext, tools: Tools | None) -> Iterator[tuple[Step, _Checks]]:
    """Each step, with the checks of the tools that were offered when it was asked for."""
    if tools is not None:
        given = _checks_of(_schemas_of(tools))
        return ((step, given) for step in ctx.steps)
    if ctx.trajectory is None:
        return ((step, {}) for step in ctx.steps)
    return zip(ctx.steps, _Offered(ctx.trajectory).by_step(), strict=True)


class _Offered:
    """The tools that a trajectory's model calls offered."""

    def __init__(self, trajectory: Trajectory) -> None:
        self._trajectory = trajectory
        self._seen: list[tuple[list[dict[str, JSON]], _Checks]] = []
        """Each list of tools once: most runs send the same with every call."""
        self._by_call = {
            call.index: self._checks(call.tools) for call in trajectory.llm_calls if call.tools
        }
        self._all: _Checks = {}
        for checks in self._by_call.values():
            self._all.update(checks)

    def by_step(self) -> Iterator[_Checks]:
        """The checks for each step."""
        for record in self._trajectory.steps:
            own = (self._by_call.get(index) for index in record.llm_call_indices)
            yield next((checks for checks in own if checks), self._all)

    def _checks(self, tools: list[dict[str, JSON]]) -> _Checks:
        for known, checks in reversed(self._seen):
            if known is tools or known == tools:
                return checks
        checks = _checks_of(tools)
        self._seen.append((tools, checks))
        return checks


def _schemas_of(tools: Tools) -> list[Mapping[str, JSON]]:
    if isinstance(tools, Registry):
        return list(tools.tool_schemas())
    return [each if isinstance(each, Mapping) else as_spec(each).to_api_schema() for each in tools]


def _checks_of(schemas: Iterable[Mapping[str, JSON]]) -> _Checks:
    checks: _Checks = {}
    for schema in schemas:
        inner = schema.get("function")
        told = inner if isinstance(inner, Mapping) else schema
        name = told.get("name")
        if isinstance(name, str):
            checks[name] = _check(name, _parameters(told))
    return checks


def _parameters(told: Mapping[str, JSON]) -> Mapping[str, JSON] | None:
    """The schema of the arguments, under the name that a provider gives it."""
    found = (told.get(key) for key in ("input_schema", "parameters", "inputSchema"))
    return next((each for each in found if isinstance(each, Mapping)), None)


def _check(tool: str, parameters: Mapping[str, JSON] | None) -> _Check | None:
    if parameters is None:
        return None
    spec = ToolSpec(tool, "", object_schema(parameters), _not_run)
    registry = tools_from([spec])
    beyond: list[Judge] = []  # made by the first call, so that a tool never called needs nothing

    def complain(call: ToolCall) -> str | None:
        refused = registry.prepare(call, None)
        if isinstance(refused, ToolResult):
            return (refused.error or "").removeprefix(f"{tool}: ")
        if not beyond:
            beyond.append(_judge(spec))
        return beyond[0](clean_args(call, spec))

    return complain


def _judge(spec: ToolSpec) -> Judge:
    try:
        return judge_of(spec.schema, tool=spec.name)
    except MissingExtra as error:
        needed_for = f"the schema of the tool {spec.name!r}"
        raise MissingExtra("jsonschema", needed_for=needed_for, extra="schema") from error
    except ValueError as error:
        raise EvalError(f"what the tool {spec.name!r} has is no JSON Schema: {error}") from error


def _not_run(**_args: Any) -> None:
    raise AssertionError("tools are not run by evals")
