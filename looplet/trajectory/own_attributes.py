"""Fields of a run that no convention has an attribute for, as ``looplet.*`` attributes of spans.

Each is JSON text under the field's own name. Written by the exporter of spans, read by their
importer. Knows fields; knows no span.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from looplet.core.codec import JSON, from_jsonable
from looplet.core.records import Usage
from looplet.otel.content import as_json
from looplet.trajectory.importers import chat
from looplet.trajectory.importers.nodes import Node

RUN, STEP, CALL = "looplet.run.", "looplet.step.", "looplet.call."
"""How the names of attributes begin: of a run, of a step, of a call of the model."""
UNKNOWN = "looplet.unknown"
"""Which of a span's ``start``, ``end`` and ``duration`` only place it, since they are not known."""


def written(prefix: str, fields: Mapping[str, Any]) -> dict[str, str]:
    """Fields as attributes; those that are ``None`` are left out.

    >>> written(RUN, {"reward": 1.0, "trial": None})
    {'looplet.run.reward': '1.0'}
    """
    known = {name: value for name, value in fields.items() if value is not None}
    return {prefix + name: as_json(value) for name, value in known.items()}


def read_back(prefix: str, attributes: Mapping[str, JSON], place: str) -> dict[str, Any]:
    """The fields that ``written`` was given, each checked.

    Raises the importers' ``Malformed`` on what is no such field.
    """
    found: dict[str, Any] = {}
    for name, read in _READERS[prefix].items():
        text = attributes.get(prefix + name)
        if text is None:
            continue
        where = Node(text, f"{place}.{prefix}{name}")
        value = chat.json_in(where.text() or "")
        if value is None:
            raise where.wrong("JSON")
        found[name] = read(Node(value, where.place))
    return found


def _any(node: Node) -> Any:
    try:
        return from_jsonable(node.value)
    except _NOT_TAGGED:
        raise node.wrong("a value of looplet's own") from None


_NOT_TAGGED = (ValueError, TypeError, LookupError, AttributeError, OverflowError, RecursionError)


def _object(node: Node) -> dict[str, Any]:
    value = _any(node)
    if not isinstance(value, dict):
        raise node.wrong("an object")
    return value


def _number(node: Node) -> float:
    value = _any(node)
    if not isinstance(value, float):  # NaN and infinities too
        return node.number() or 0.0
    return value


def _texts(node: Node) -> list[str]:
    return [each.text() or "" for each in node.items()]


def _numbers(node: Node) -> list[int]:
    return [number for each in node.items() if (number := each.integer(bits=32)) is not None]


def _usage(node: Node) -> Usage:
    counts = {
        name: node.get(name).count() or 0
        for name in ("input_tokens", "output_tokens", "total_tokens")
    }
    return Usage(**counts, estimated=bool(node.get("estimated").flag()))


def _small(node: Node) -> int | None:
    return node.integer(bits=32)


_READERS: dict[str, dict[str, Callable[[Node], Any]]] = {
    RUN: {
        "trajectory_id": Node.text, "run_id": Node.text, "source_format": Node.text,
        "source_uri": Node.text, "task": _any, "task_id": Node.text, "trial": _small,
        "dataset": Node.text, "tags": _texts, "error": Node.text, "reward": _number,
        "expected": _any, "final_output": _any,
        "artifacts": _object, "metadata": _object, "cost_usd": _number,
        "cassette": Node.text, "cassette_hash": Node.text, "replay_of": Node.text,
        "git_sha": Node.text, "looplet_version": Node.text,
    },
    STEP: {
        "reasoning": Node.text, "context_before": Node.text, "warnings": _texts,
        "metadata": _object, "call_metadata": _object, "usage": _usage, "error": Node.text,
        "llm_call_indices": _numbers, "error_detail": _object, "result_key": Node.text,
    },
    CALL: {
        "index": _small, "method": Node.text, "prompt": Node.text, "params": _object,
        "finish_reason": Node.text, "first_token_ms": _number, "tokens_estimated": Node.flag,
        "input_tokens": Node.count, "output_tokens": Node.count, "metadata": _object,
        "key": Node.text, "error": Node.text,
    },
}  # fmt: skip
"""The fields there are, by prefix, and how each is read."""
