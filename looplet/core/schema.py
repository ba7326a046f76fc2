"""JSON Schema from a function's signature. Knows types; knows no tool and no model."""

from __future__ import annotations

import dataclasses
import inspect
import math
import types
import typing
from collections.abc import Callable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from enum import Enum
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from looplet.core.codec import JSON

Schema = dict[str, JSON]

_SCALARS: dict[Any, str] = {
    str: "string",
    int: "integer",
    float: "number",
    bool: "boolean",
    type(None): "null",
    None: "null",
}
_ARRAYS = (list, set, frozenset, Sequence, AbstractSet)


def schema_of_function(function: Callable[..., Any]) -> Schema:
    """JSON Schema of the keyword arguments that a function takes.

    ``ctx``, ``self``, ``*args`` and ``**kw`` are left out. A schema never claims a wrong type:
    what has no JSON form is ``{}``, any value.

    >>> def price(fruit: str, count: int = 1) -> dict: ...
    >>> schema_of_function(price)["properties"]
    {'fruit': {'type': 'string'}, 'count': {'type': 'integer', 'default': 1}}
    >>> schema_of_function(price)["required"]
    ['fruit']
    """
    hints = _hints_of(function)
    properties: dict[str, JSON] = {}
    required: list[str] = []
    for name, parameter in inspect.signature(function).parameters.items():
        if name in {"ctx", "self"} or parameter.kind in _COLLECTORS:
            continue
        properties[name] = _schema_of_parameter(parameter, hints)
        if parameter.default is inspect.Parameter.empty:
            required.append(name)
    return {"type": "object", "properties": properties, "required": required}


def schema_of_type(hint: Any, *, within: tuple[Any, ...] = ()) -> Schema:  # noqa: PLR0911 - one line a kind of type
    """JSON Schema of a type hint; ``within`` are the types with fields that it stands in.

    >>> schema_of_type(list[int] | None)
    {'type': ['array', 'null'], 'items': {'type': 'integer'}}
    """
    origin = get_origin(hint)
    if origin is Annotated:  # first, since a note may be unhashable
        return _schema_of_annotated(hint, within)
    if isinstance(hint, type | None) and hint in _SCALARS:
        return {"type": _SCALARS[hint]}
    if origin is Literal:
        return _schema_of_choices(get_args(hint))
    if origin in (Union, types.UnionType):
        return _schema_of_union(get_args(hint), within)
    if isinstance(hint, type) and issubclass(hint, Enum):
        return _schema_of_choices([member.value for member in hint])
    if hint in _ARRAYS or hint is tuple or origin in _ARRAYS or origin is tuple:
        return _schema_of_array(hint, origin, within)
    if hint is dict or hint is Mapping or origin in (dict, Mapping):
        return {"type": "object"}
    if typing.is_typeddict(hint) or dataclasses.is_dataclass(hint):
        return _schema_of_fields(hint, within)
    return {}


_COLLECTORS = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)


def _hints_of(function: Callable[..., Any]) -> dict[str, Any]:
    """Resolve the hints, each by itself if need be; one that cannot be resolved is unknown."""
    try:
        return typing.get_type_hints(function, include_extras=True)
    except _UNRESOLVED:
        inner = inspect.unwrap(function)
        names = getattr(inner, "__globals__", {})
        raw = inspect.get_annotations(inner)
        return {name: _resolve_alone(hint, names) for name, hint in raw.items()}


_UNRESOLVED = (NameError, TypeError, AttributeError, SyntaxError)


def _resolve_alone(hint: Any, names: dict[str, Any]) -> Any:
    holder = type("Holder", (), {"__annotations__": {"hint": hint}})
    try:
        return typing.get_type_hints(holder, globalns=names, include_extras=True)["hint"]
    except _UNRESOLVED:
        return Any


def _schema_of_parameter(parameter: inspect.Parameter, hints: Mapping[str, Any]) -> Schema:
    if parameter.annotation is inspect.Parameter.empty:
        schema: Schema = {"type": "string"}
    else:
        schema = schema_of_type(hints.get(parameter.name, Any))
    default = parameter.default
    if default is not inspect.Parameter.empty:
        known, value = _json_default(default)
        if known:
            schema = {**schema, "default": value}
    return schema


def _json_default(value: object) -> tuple[bool, JSON]:
    if isinstance(value, Enum):
        return _json_default(value.value)
    if isinstance(value, float) and not math.isfinite(value):
        return False, None
    if value is None or isinstance(value, str | bool | int | float):
        return True, value
    if isinstance(value, list | tuple) and all(_json_default(item)[0] for item in value):
        return True, [_json_default(item)[1] for item in value]
    if isinstance(value, dict) and all(
        isinstance(key, str) and _json_default(item)[0] for key, item in value.items()
    ):
        return True, {key: _json_default(item)[1] for key, item in value.items()}
    return False, None


def _schema_of_annotated(hint: Any, within: tuple[Any, ...]) -> Schema:
    base, *notes = get_args(hint)
    schema = schema_of_type(base, within=within)
    text = next((note for note in notes if isinstance(note, str)), None)
    return schema if text is None else {**schema, "description": text}


def _schema_of_choices(values: Sequence[Any]) -> Schema:
    plain = [value.value if isinstance(value, Enum) else value for value in values]
    if not all(type(value) in _SCALARS for value in plain):
        return {}
    kinds = {_SCALARS[type(value)] for value in plain}
    schema: Schema = {"enum": plain}
    return {"type": kinds.pop(), **schema} if len(kinds) == 1 else schema


def _schema_of_union(members: Sequence[Any], within: tuple[Any, ...]) -> Schema:
    nullable = any(member is type(None) for member in members)
    schemas = [
        schema_of_type(member, within=within) for member in members if member is not type(None)
    ]
    if any(not schema for schema in schemas):
        return {}
    if len(schemas) > 1:
        return {"anyOf": [*schemas, {"type": "null"}] if nullable else schemas}
    (schema,) = schemas
    kind = schema.get("type")
    if not nullable or kind == "null":
        return schema
    if not isinstance(kind, str):
        return {"anyOf": [schema, {"type": "null"}]}
    widened: Schema = {**schema, "type": [kind, "null"]}
    if "enum" in widened:
        widened["enum"] = [*widened["enum"], None]
    return widened


def _schema_of_array(hint: Any, origin: Any, within: tuple[Any, ...]) -> Schema:
    parts = get_args(hint)
    if origin is tuple and not (len(parts) == 2 and parts[1] is Ellipsis):  # noqa: PLR2004
        return {"type": "array"}
    items = schema_of_type(parts[0], within=within) if parts else {}
    return {"type": "array", "items": items}


def _schema_of_fields(hint: Any, within: tuple[Any, ...]) -> Schema:
    if hint in within:  # a type that contains itself has no finite schema
        return {"type": "object"}
    try:
        hints = typing.get_type_hints(hint, include_extras=True)
    except _UNRESOLVED:
        return {"type": "object"}
    if dataclasses.is_dataclass(hint):
        fields = [each for each in dataclasses.fields(hint) if each.init]
        required = [each.name for each in fields if _has_no_default(each)]
        names = [each.name for each in fields]
    else:
        names = list(hints)
        required = [name for name in names if _is_required(name, hint, hints[name])]
    inside = (*within, hint)
    properties = {name: schema_of_type(_bare(hints[name]), within=inside) for name in names}
    return {"type": "object", "properties": properties, "required": required}


def _has_no_default(each: dataclasses.Field[Any]) -> bool:
    missing = dataclasses.MISSING
    return each.default is missing and each.default_factory is missing


def _is_required(name: str, owner: Any, hint: Any) -> bool:
    """Whether a TypedDict's key is required; its class cannot tell where hints are text."""
    qualifier = get_origin(hint)
    if qualifier in (typing.Required, typing.NotRequired):
        return bool(qualifier is typing.Required)
    return name in owner.__required_keys__


def _bare(hint: Any) -> Any:
    """The type inside ``Required[...]`` and ``NotRequired[...]``."""
    if get_origin(hint) in (typing.Required, typing.NotRequired):
        return get_args(hint)[0]
    return hint
