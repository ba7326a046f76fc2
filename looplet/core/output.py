"""Whether the arguments of a done-call are what was asked for. Knows JSON Schema; knows no run."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeAlias

from looplet.core.codec import JSON
from looplet.core.validation import mismatch

Judge: TypeAlias = Callable[[Mapping[str, Any]], str | None]
"""Says where arguments are not what a schema allows, or ``None``."""

_OWN = frozenset(
    {"type", "enum", "anyOf", "items", "properties", "required", "additionalProperties"}
)
_NOTES = frozenset(
    {
        "title",
        "description",
        "default",
        "examples",
        "deprecated",
        "readOnly",
        "writeOnly",
        "$comment",
    }
)


def judge_of(schema: Mapping[str, JSON], *, tool: str) -> Judge:
    """Make the judge of a schema of ``tool``'s arguments.

    ``type``, ``enum``, ``anyOf``, ``items``, ``properties``, ``required`` and a plain
    ``additionalProperties`` need nothing; any other keyword is the business of the package
    jsonschema, by the draft that ``$schema`` names (2020-12 without one). Raises
    ``MissingExtra`` without it, and ``ValueError`` for what is no schema. Nothing is fetched: a
    ``$ref`` to another document is an error of that done-call.

    >>> judge_of({"properties": {"euro": {"type": "number"}}}, tool="done")({"euro": "two"})
    "argument 'done.euro' must be number, got string 'two'"
    """
    whole: dict[str, JSON] = {"type": "object", **schema}
    beyond = sorted(set(_keywords(whole)) - _OWN - _NOTES)
    if not beyond:
        return lambda args: mismatch(args, whole, tool)
    from looplet.full_schema import complain_of  # loaded by the runs that have such a schema

    return complain_of(whole, tool=tool, needed_for=f"an output_schema with {', '.join(beyond)}")


def _keywords(schema: object) -> Iterator[str]:
    """Every keyword in a schema, as far as its own check would follow it."""
    if not isinstance(schema, Mapping):
        return
    yield from schema
    if isinstance(schema.get("additionalProperties"), Mapping):
        yield "additionalProperties with a schema"
    inside = schema.get("properties")
    under = [schema.get("items"), *(inside.values() if isinstance(inside, Mapping) else ())]
    options = schema.get("anyOf")
    for each in (*under, *(options if isinstance(options, list | tuple) else ())):
        yield from _keywords(each)
