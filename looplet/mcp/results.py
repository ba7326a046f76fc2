"""Messages of a server as data. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from looplet.core.codec import JSON

_BRANCHES = frozenset({"$ref", "allOf", "anyOf", "oneOf"})
"""Keywords of JSON Schema that say elsewhere what an object holds."""


def as_sent(answer: Any) -> dict[str, Any]:
    """A message as it went over the wire, whatever the SDK's version calls its fields."""
    dumped: dict[str, Any] = answer.model_dump(by_alias=True, mode="json", exclude_unset=True)
    return dumped


def object_schema(given: Mapping[str, Any]) -> dict[str, JSON]:
    """A tool's input schema as one of an object with properties, which its arguments are.

    A schema that is one is left as it is. Where branches alone say what may be given, the server
    judges.

    >>> object_schema({"properties": {"fruit": {"type": "string"}}, "required": None})
    {'properties': {'fruit': {'type': 'string'}}, 'type': 'object'}
    """
    schema = dict(given)
    if schema.get("type") != "object":
        schema["type"] = "object"
    if not isinstance(schema.get("properties"), Mapping):
        schema["properties"] = {}
        if schema.keys() & _BRANCHES:
            schema.setdefault("additionalProperties", True)
    if not isinstance(schema.get("required", []), list):
        del schema["required"]
    return schema


def result_data(result: Mapping[str, Any]) -> JSON:
    """What a tool's result gives to the run.

    >>> result_data({"content": [{"type": "text", "text": '{"euro": 0.4}'}]})
    {'euro': 0.4}
    >>> result_data({"content": [{"type": "text", "text": "no fruit"}], "isError": True})
    {'error': 'no fruit'}
    """
    blocks = result.get("content") or []
    if result.get("isError"):
        return {"error": _error_text(blocks)}
    if len(blocks) != 1 or blocks[0].get("type") != "text":
        return {"content": blocks}
    text = blocks[0]["text"]
    try:
        decoded: JSON = json.loads(text, parse_constant=_refuse_constant)
    except (ValueError, RecursionError):
        return {"text": text}
    return decoded


def _error_text(blocks: Sequence[Mapping[str, Any]]) -> str:
    texts = [block["text"] for block in blocks if block.get("type") == "text"]
    return "\n".join(texts) or json.dumps(blocks, ensure_ascii=False)


def _refuse_constant(name: str) -> JSON:
    raise ValueError(f"{name} is not JSON")
