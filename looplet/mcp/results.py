"""Messages of a server as data. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from looplet.core.codec import JSON


def as_sent(answer: Any) -> dict[str, Any]:
    """A message as it went over the wire, whatever the SDK's version calls its fields."""
    dumped: dict[str, Any] = answer.model_dump(by_alias=True, mode="json", exclude_unset=True)
    return dumped


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
