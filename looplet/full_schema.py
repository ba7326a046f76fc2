"""JSON Schema in full, by the package jsonschema. Knows schemas; knows nothing of looplet."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from looplet.errors import MissingExtra


def complain_of(
    schema: dict[str, Any], *, tool: str, needed_for: str
) -> Callable[[Mapping[str, Any]], str | None]:
    """Make a function that says where arguments of ``tool`` are not what a schema allows.

    The schema is read by the draft that its ``$schema`` names, 2020-12 without one. Raises
    ``MissingExtra`` without the package, which then was ``needed_for`` something, and
    ``ValueError`` for what is no schema. Nothing is fetched.

    >>> complain = complain_of({"minProperties": 1}, tool="done", needed_for="the example")
    >>> complain({}) is None, complain({"n": 1})
    (False, None)
    """
    try:
        import jsonschema
        import referencing
    except ImportError as error:
        raise MissingExtra("jsonschema", needed_for=needed_for, extra="schema") from error
    kind = jsonschema.validators.validator_for(schema, default=jsonschema.Draft202012Validator)
    try:
        kind.check_schema(schema)
    except jsonschema.SchemaError as error:
        raise ValueError(f"output_schema is no JSON Schema: {error.message}") from error
    validator = kind(schema, registry=referencing.Registry())

    def complain(args: Mapping[str, Any]) -> str | None:
        try:
            found = jsonschema.exceptions.best_match(validator.iter_errors(dict(args)))
        except referencing.exceptions.Unresolvable as error:
            return f"the schema refers to what is not in it: {error}"
        if found is None:
            return None
        place = "".join(f"[{p}]" if isinstance(p, int) else f".{p}" for p in found.absolute_path)
        return f"argument '{tool}{place}': {found.message}"

    return complain
