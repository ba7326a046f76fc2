"""The one place that imports vcrpy: its cassette object, its request, its two file functions.

vcrpy's patchers of HTTP clients are never entered; nothing here opens a socket.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from looplet.core.codec import JSON
from looplet.errors import MissingExtra


def new_tape(path: str, *, mode: str, serializer: object, persister: object) -> Any:
    """Make an empty ``vcr.cassette.Cassette`` that writes through our two hooks."""
    return _import().cassette.Cassette(
        path, serializer=serializer, persister=persister, record_mode=mode
    )


def load_tape(path: str, *, serializer: object, persister: Any) -> tuple[Any, dict[str, JSON]]:
    """Read a cassette that nothing is added to; the tape and its metadata."""
    tape = new_tape(path, mode="none", serializer=serializer, persister=persister)
    requests, responses, *metadata = persister.load_cassette(path, serializer)
    tape.data = list(zip(requests, responses, strict=True))
    return tape, dict(metadata[0]) if metadata else {}


def add(tape: Any, request: Any, response: Mapping[str, JSON]) -> None:
    """Add to a tape what nobody changes any more; its own ``append`` makes a deep copy."""
    tape.data.append((request, response))
    tape.dirty = True


def save_tape(tape: Any, metadata: Mapping[str, JSON]) -> None:
    """Write a tape with its metadata."""
    tape._metadata = dict(metadata)  # noqa: SLF001 - vcrpy has no setter
    tape._save(force=True)  # noqa: SLF001 - vcrpy saves only on leaving its patchers


def make_request(*, uri: str, headers: Mapping[str, str], body: JSON) -> Any:
    """Make a ``vcr.request.Request``."""
    return _import().request.Request("POST", uri, body, dict(headers))


def to_text(recorded: Mapping[str, Any], serializer: object) -> str:
    """Write vcrpy's file format, version 1, of what its cassette hands to a persister."""
    text: str = _import().serialize.serialize(recorded, serializer)
    return text


def from_text(text: str, serializer: object) -> tuple[Any, ...]:
    """Requests, responses and, if the file has any, metadata."""
    found: tuple[Any, ...] = _import().serialize.deserialize(text, serializer)
    return found


def _import() -> Any:
    try:
        import vcr.cassette  # type: ignore[import-untyped]  # vcrpy ships no types
        import vcr.request  # type: ignore[import-untyped]
        import vcr.serialize  # type: ignore[import-untyped]
        import yaml  # noqa: F401 - missing, it must be missed before anything is recorded
    except ImportError as error:
        raise MissingExtra("vcrpy", needed_for="use_cassette", extra="replay") from error
    return vcr
