"""Arguments against a schema: what is missing, unexpected, empty or of a wrong type."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from looplet.core.codec import JSON
from looplet.core.records import ErrorKind, ToolError

_CHECKS: dict[str, Any] = {
    "string": lambda value: isinstance(value, str),
    "integer": lambda value: (
        (isinstance(value, int) and not isinstance(value, bool))
        or (isinstance(value, float) and value.is_integer())
    ),
    "number": lambda value: isinstance(value, int | float) and not isinstance(value, bool),
    "boolean": lambda value: isinstance(value, bool),
    "array": lambda value: isinstance(value, list | tuple),
    "object": lambda value: isinstance(value, dict),
    "null": lambda value: value is None,
}


def invalid(message: str, hint: JSON = None, *, retriable: bool = False) -> ToolError:
    """A VALIDATION error."""
    return ToolError(ErrorKind.VALIDATION, message, retriable=retriable, recovery_hint=hint)


def suggest_similar(name: str, choices: Iterable[str], *, cutoff: float = 0.6) -> str | None:
    """The choice closest to a name, or ``None`` if none comes near.

    >>> suggest_similar("pirce", ["price", "stock"])
    'price'
    """
    import difflib

    found = difflib.get_close_matches(name, list(choices), n=1, cutoff=cutoff)
    return found[0] if found else None


PLAIN_TYPES: Mapping[str, tuple[type, ...]] = {
    "string": (str,),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
}
_ANY_PLAIN = (str, int, float, bool)


def quick_types(
    properties: Mapping[str, Any], *, typed: bool
) -> Mapping[str, tuple[type, ...]] | None:
    """Types that each argument may have so that no check can refuse it; ``None`` if not that easy.

    ``typed`` says whether the schema's types are checked.
    """
    quick: dict[str, tuple[type, ...]] = {}
    for name, schema in properties.items():
        if not isinstance(schema, Mapping) or set(schema) - _HARMLESS:
            return None
        kind = schema.get("type")
        if typed and kind is not None and not (isinstance(kind, str) and kind in PLAIN_TYPES):
            return None
        quick[name] = PLAIN_TYPES[kind] if typed and kind is not None else _ANY_PLAIN
    return quick


_HARMLESS = frozenset({"type", "description", "default", "title"})


def surely_valid(
    args: Mapping[str, Any], quick: Mapping[str, tuple[type, ...]], required: Iterable[str]
) -> bool:
    """Whether arguments pass every check, by exact types; ``False`` means: look closer."""
    for name, value in args.items():
        allowed = quick.get(name)
        if allowed is None or type(value) not in allowed or value == "":
            return False
    for name in required:  # noqa: SIM110 - a generator would cost more than all the checks
        if name not in args:
            return False
    return True


def check_names(
    args: Mapping[str, Any], *, names: list[str], required: list[str], tool: str
) -> ToolError | None:
    """Find arguments that are missing or that the tool does not have."""
    unexpected = [key for key in args if key not in names]
    if unexpected:
        return _unexpected(unexpected, names, tool)
    missing = [key for key in required if key not in args]
    if not missing:
        return None
    given = list(args)
    return invalid(
        f"{tool}: missing required argument {_listed(missing)}; given: {_listed(given) or 'none'}. "
        f"Expected: {_listed(names)}",
        {"missing": missing, "provided": given, "expected": names},
    )


def check_empty(
    args: Mapping[str, Any], *, required: list[str], properties: Mapping[str, Any], tool: str
) -> ToolError | None:
    """Find a required argument that says nothing."""
    for name in required:
        if _is_empty(args[name], properties.get(name, {})):
            return _empty(name, list(properties), tool)
    texts = [args[name] for name in required]
    said_empty = any(_min_length(properties.get(name)) == 0 for name in required)
    if texts and all(isinstance(text, str) and not text for text in texts) and not said_empty:
        return _empty(required[0], list(properties), tool)
    return None


def check_types(
    args: Mapping[str, Any], properties: Mapping[str, Any], *, tool: str
) -> ToolError | None:
    """Find an argument whose type its schema does not allow."""
    for name, value in args.items():
        schema = properties.get(name)
        complaint = mismatch(value, schema, name) if isinstance(schema, Mapping) else None
        if complaint:
            return invalid(
                f"{tool}: {complaint}", {"parameter": name, "expected": list(properties)}
            )
    return None


def mismatch(value: Any, schema: Any, path: str) -> str | None:
    """Say where a value is not what its schema allows, or ``None``.

    >>> mismatch([1, "x"], {"type": "array", "items": {"type": "integer"}}, "counts")
    "argument 'counts[1]' must be integer, got string 'x'"
    """
    if not isinstance(schema, Mapping):  # true and false are schemas too; true takes anything
        return None
    options = schema.get("anyOf")
    if options and not any(mismatch(value, option, path) is None for option in options):
        return _complaint(path, " or ".join(_kind_text(option) for option in options), value)
    kinds = schema.get("type")
    allowed = [kinds] if isinstance(kinds, str) else (kinds or [])
    if allowed and not any(_CHECKS.get(kind, _anything)(value) for kind in allowed):
        return _complaint(path, " or ".join(allowed), value)
    choices = schema.get("enum")
    if choices is not None and not any(_same(value, choice) for choice in choices):
        return _complaint(path, "one of " + ", ".join(map(repr, choices)), value)
    return _mismatch_inside(value, schema, path)


def _mismatch_inside(value: Any, schema: Mapping[str, Any], path: str) -> str | None:
    if isinstance(value, list | tuple) and schema.get("items"):
        found = (
            mismatch(item, schema["items"], f"{path}[{index}]") for index, item in enumerate(value)
        )
        return next((complaint for complaint in found if complaint), None)
    if isinstance(value, dict):
        missing = [name for name in (schema.get("required") or ()) if name not in value]
        if missing:
            return f"argument '{path}' lacks {_listed(missing)}"
        inside = schema.get("properties") or {}
        if schema.get("additionalProperties") is False and (more := value.keys() - inside.keys()):
            return f"argument '{path}' must not have {_listed(sorted(map(str, more)))}"
        found = (
            mismatch(item, inside[key], f"{path}.{key}")
            for key, item in value.items()
            if key in inside
        )
        return next((complaint for complaint in found if complaint), None)
    return None


def _anything(_value: object) -> bool:
    return True


def _same(value: object, choice: object) -> bool:
    return value == choice and isinstance(value, bool) == isinstance(choice, bool)


def _kind_text(schema: Mapping[str, Any]) -> str:
    if "enum" in schema:
        return "one of " + ", ".join(repr(each) for each in schema["enum"])
    kind = schema.get("type", "any value")
    return kind if isinstance(kind, str) else " or ".join(kind)


def _complaint(path: str, expected: str, value: object) -> str:
    return f"argument '{path}' must be {expected}, got {_json_kind(value)} {_shown(value)}"


def _json_kind(value: object) -> str:
    for kind in ("null", "boolean", "integer", "number", "string", "array", "object"):
        if _CHECKS[kind](value):
            return kind
    return type(value).__name__


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."  # noqa: PLR2004


def _listed(names: list[str]) -> str:
    return ", ".join(repr(name) for name in names)


def _unexpected(unexpected: list[str], names: list[str], tool: str) -> ToolError:
    meant = {name: suggest_similar(str(name), names) for name in unexpected}
    found = {name: choice for name, choice in meant.items() if choice}
    guess = "".join(f" Did you mean '{choice}'?" for choice in found.values())
    return invalid(
        f"{tool}: unexpected argument {_listed(unexpected)}.{guess} Expected: {_listed(names)}",
        {"unexpected": unexpected, "did_you_mean": found, "expected": names},
    )


def _empty(name: str, names: list[str], tool: str) -> ToolError:
    return invalid(
        f"{tool}: argument '{name}' is empty. Expected: {_listed(names)}",
        {"empty_param": name, "expected": names},
        retriable=True,
    )


def _is_empty(value: object, schema: Any) -> bool:
    if value is None:
        return not _allows_null(schema)
    return value == "" and (_min_length(schema) or 0) >= 1


def _min_length(schema: Any) -> int | None:
    return schema.get("minLength") if isinstance(schema, Mapping) else None


def _allows_null(schema: Any) -> bool:
    """Whether null is a value; a schema without a type takes anything."""
    if not isinstance(schema, Mapping):
        return False
    if not schema:
        return True
    if schema.get("anyOf"):
        return any(_allows_null(option) for option in schema["anyOf"])
    if schema.get("enum") is not None and "type" not in schema:
        return None in schema["enum"]
    kinds = schema.get("type")
    return kinds is None or "null" in ([kinds] if isinstance(kinds, str) else kinds)
