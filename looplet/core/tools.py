"""What a tool is, and how a function becomes one. Knows no registry and no loop."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, overload

from looplet.core.codec import JSON
from looplet.core.records import ToolCall, is_dunder
from looplet.core.schema import Schema, schema_of_function
from looplet.core.validation import quick_types

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from looplet.core.cancel import CancelToken

_TYPE_NAMES = {
    "str": "string", "string": "string", "int": "integer", "integer": "integer",
    "float": "number", "number": "number", "bool": "boolean", "boolean": "boolean",
    "list": "array", "array": "array", "dict": "object", "object": "object",
}  # fmt: skip
_OPTIONAL = r"(?i)\s*\(optional\)\s*"
_TYPED = r"(?s)([A-Za-z]+)\s*(?:\((.*)\)|[:\-,(]\s*(.*))?\Z"
"""Patterns are compiled, and kept, by their first use."""


@dataclass
class ToolContext:
    """What a tool may know of the run that calls it."""

    cwd: str | None = None
    workspace_root: str | None = None
    cancel_token: CancelToken | None = None
    on_progress: Callable[[str, Any], None] | None = None
    session_id: str | None = None
    metadata: dict[str, Any] = field(default_factory=dict)
    llm: Any = None
    """The run's backend; its calls are recorded with the scope ``tool:<name>``."""
    request_approval: Callable[[str, list[str] | None], str | None] | None = None
    warnings: list[str] = field(default_factory=list)
    resources: dict[str, Any] = field(default_factory=dict)
    around: Callable[[], AbstractContextManager[object]] | None = field(
        default=None, kw_only=True, repr=False
    )
    """Makes what is entered where the tool runs, and left when it has ended."""

    def report_progress(self, stage: str, data: Any = None) -> None:
        """Tell whoever listens how far the tool has come."""
        if self.on_progress is not None:
            self.on_progress(stage, data)

    def warn(self, message: str) -> None:
        """Put a warning into the tool's result, also if the tool then fails."""
        self.warnings.append(message)

    def approve(self, prompt: str, options: list[str] | None = None) -> str | None:
        """Ask the person behind the run; ``None``, without one, means no.

        Raises ``TypeError`` for a handler that is ``async def``: what it returns is no answer, and
        must not be taken for a yes.
        """
        answer: Any = self.request_approval(prompt, options) if self.request_approval else None
        if inspect.isawaitable(answer):
            if inspect.iscoroutine(answer):
                answer.close()
            raise TypeError("approval_handler must be a plain function, not async def")
        return answer  # type: ignore[no-any-return]  # the handler's own word


@dataclass
class ToolSpec:
    """A tool: its name and description for the model, its schema, and the function behind it.

    ``parameters`` is JSON Schema, or shorthand ``{name: "type: description"}``.

    >>> spec = ToolSpec("price", "Price.", {"fruit": "str: its name"}, lambda fruit: 0.4)
    >>> spec.to_api_schema()["input_schema"]["properties"]
    {'fruit': {'type': 'string', 'description': 'its name'}}
    >>> spec("apple")
    0.4
    """

    name: str
    description: str
    parameters: dict[str, JSON]
    execute: Callable[..., Any]
    concurrent_safe: bool = False
    free: bool = False
    timeout_s: float | None = None
    """Seconds after which a call is given up."""
    requires: list[str] = field(default_factory=list)
    """Names of resources that must be set on the registry."""

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Call the function behind the tool."""
        return self.execute(*args, **kwargs)

    @property
    def is_json_schema(self) -> bool:
        """Whether ``parameters`` is JSON Schema rather than shorthand."""
        return self.parameters.get("type") == "object" and "properties" in self.parameters

    @cached_property
    def schema(self) -> Schema:
        """JSON Schema of the arguments, whichever way they were given."""
        return dict(self.parameters) if self.is_json_schema else _expand(self.parameters)

    @cached_property
    def properties(self) -> dict[str, JSON]:
        """Schema of each argument."""
        properties = self.schema["properties"]
        return properties if isinstance(properties, dict) else {}

    @cached_property
    def required(self) -> list[str]:
        """Names of the arguments that must be given."""
        return list(self.schema.get("required", ()))

    @cached_property
    def quick(self) -> Mapping[str, tuple[type, ...]] | None:
        """Types by which arguments are known to be valid at a glance, if they can be."""
        return quick_types(self.properties, typed=self.is_json_schema)

    @cached_property
    def wants_ctx(self) -> bool:
        """Whether the function names a parameter ``ctx``."""
        try:
            return "ctx" in inspect.signature(self.execute).parameters
        except (TypeError, ValueError):
            return False

    @cached_property
    def is_async(self) -> bool:
        """Whether the function is a coroutine function."""
        return inspect.iscoroutinefunction(self.execute)

    def parameter_names(self) -> list[str]:
        """Names of the arguments, in order."""
        return list(self.properties)

    def required_parameters(self) -> list[str]:
        """Names of the arguments that must be given."""
        return list(self.required)

    def spec_text(self) -> str:
        """One line for a prompt.

        >>> ToolSpec("price", "Price.", {"fruit": "str"}, print).spec_text()
        'price(fruit: string): Price.'
        """
        shown = ", ".join(self._parameter_text(name) for name in self.properties)
        return f"{self.name}({shown}): {self.description}"

    def to_json_schema(self) -> Schema:
        """JSON Schema of the arguments."""
        return self.schema

    def to_api_schema(self) -> dict[str, JSON]:
        """Name, description and schema, as a model's native tool calls want them."""
        return {"name": self.name, "description": self.description, "input_schema": self.schema}

    def _parameter_text(self, name: str) -> str:
        schema = self.properties[name]
        kinds = (schema.get("type") if isinstance(schema, Mapping) else None) or "any"
        text = kinds if isinstance(kinds, str) else "|".join(kinds)
        if isinstance(schema, Mapping) and schema.get("enum"):
            text = "|".join(repr(choice) for choice in schema["enum"])
        optional = "" if name in self.required else "?"
        note = schema.get("description") if isinstance(schema, Mapping) else None
        return f"{name}{optional}: {text}" + (f" ({note})" if note else "")


@overload
def tool(function: Callable[..., Any], /) -> ToolSpec: ...
@overload
def tool(
    *,
    name: str | None = None,
    description: str | None = None,
    concurrent_safe: bool = False,
    free: bool = False,
    timeout_s: float | None = None,
) -> Callable[[Callable[..., Any]], ToolSpec]: ...
def tool(
    function: Callable[..., Any] | None = None,
    /,
    *,
    name: str | None = None,
    description: str | None = None,
    concurrent_safe: bool = False,
    free: bool = False,
    timeout_s: float | None = None,
) -> ToolSpec | Callable[[Callable[..., Any]], ToolSpec]:
    """Make a tool of a function; it stays callable as it was.

    The schema comes from the type hints, the description from the docstring's first line.

    >>> @tool
    ... def price(fruit: str) -> float:
    ...     "Price of one piece of fruit."
    ...     return {"apple": 0.4}[fruit]
    >>> price("apple"), price.name, price.description
    (0.4, 'price', 'Price of one piece of fruit.')
    """

    def make(function: Callable[..., Any]) -> ToolSpec:
        spec = ToolSpec(
            name or str(getattr(function, "__name__", type(function).__name__)),
            description if description is not None else _first_line(function),
            schema_of_function(function),
            function,
            concurrent_safe=concurrent_safe,
            free=free,
            timeout_s=timeout_s,
        )
        for attribute in ("__name__", "__qualname__", "__module__", "__doc__"):
            if hasattr(function, attribute):
                setattr(spec, attribute, getattr(function, attribute))
        spec.__wrapped__ = function  # type: ignore[attr-defined]
        return spec

    return make if function is None else make(function)


def done_tool(name: str = "done", parameters: dict[str, JSON] | None = None) -> ToolSpec:
    """The tool by which the model says that it has finished."""

    def done(**kwargs: Any) -> dict[str, Any]:
        return {"status": "completed", **kwargs}

    return ToolSpec(
        name,
        "Signal completion: call this, alone, when the task is done.",
        parameters or {"summary": "str: what was found or done"},
        done,
    )


def think_tool() -> ToolSpec:
    """Make a tool that lets the model write a thought down, at no cost."""

    def think(analysis: str) -> dict[str, Any]:
        return {"acknowledged": True, "analysis": analysis}

    return ToolSpec(
        "think",
        "Think a step through; nothing is looked up or changed.",
        {"analysis": "str: the thought"},
        think,
        concurrent_safe=True,
        free=True,
    )


def as_spec(item: ToolSpec | Callable[..., Any]) -> ToolSpec:
    """A tool as it is, or one made of a plain function. Raises ``TypeError`` on anything else."""
    if isinstance(item, ToolSpec):
        return item
    if callable(item):
        return tool(item)
    raise TypeError(f"a tool must be a ToolSpec or a function, not {type(item).__name__}")


def clean_args(call: ToolCall, spec: ToolSpec) -> dict[str, Any]:
    """Arguments as the tool gets them: no dunder keys, a bare text under its parameter's name."""
    args = dict(call.args)
    for key in call.args:
        if str(key)[:2] == "__" and is_dunder(key):
            del args[key]
    if "_raw_arg" in args and "_raw_arg" not in spec.properties and len(spec.required) == 1:
        args.setdefault(spec.required[0], args.pop("_raw_arg"))
    return args


def _first_line(function: Callable[..., Any]) -> str:
    return (inspect.getdoc(function) or "").split("\n", 1)[0].strip()


def _expand(shorthand: Mapping[str, JSON]) -> Schema:
    properties: dict[str, JSON] = {}
    required: list[str] = []
    for name, value in shorthand.items():
        if isinstance(value, Mapping):
            properties[name] = dict(value)
            required.append(name)
            continue
        text = str(value)
        optional = re.match(_OPTIONAL, text)
        if not optional:
            required.append(name)
        properties[name] = _expand_text(text[optional.end() :] if optional else text)
    return {"type": "object", "properties": properties, "required": required}


def _expand_text(text: str) -> Schema:
    typed = re.match(_TYPED, text.strip())
    kind = _TYPE_NAMES.get(typed.group(1).lower()) if typed else None
    if typed is None or kind is None:
        return (
            {"type": "string", "description": text.strip()} if text.strip() else {"type": "string"}
        )
    note = (typed.group(2) or typed.group(3) or "").strip()
    return {"type": kind, "description": note} if note else {"type": kind}


Tools = Sequence[ToolSpec | Callable[..., Any]]
