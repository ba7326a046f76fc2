"""What a cassette says of itself, read from its beginning. Knows its layout; reads no interaction.

Nothing is verified but that the beginning can be read: whoever replays the cassette verifies it.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from looplet.core.codec import JSON
from looplet.replay.persister import damaged
from looplet.replay.serializer import loads, restored

_END = b"interactions:"
"""The line, at the left edge, that what is recorded begins with."""


def read_about(path: str | os.PathLike[str]) -> Mapping[str, JSON]:
    """What ``use_cassette(metadata=...)`` was given when the cassette was recorded.

    The time it takes does not grow with the recording. Raises ``CassetteDamaged`` if the beginning
    is no cassette's, and ``OSError`` if there is no such file.
    """
    path = Path(path)
    try:
        about = restored(loads(_head(path))["metadata"].get("about", {}))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise damaged(path, f"its beginning does not read as a cassette's ({error})") from error
    if not isinstance(about, Mapping):
        raise damaged(path, f"its metadata is {type(about).__name__}, not a mapping")
    return about


def _head(path: Path) -> str:
    lines: list[bytes] = []
    with path.open("rb") as file:
        for line in file:
            if line.startswith(_END):
                return b"".join(lines).decode()
            lines.append(line)
    raise ValueError(f"no line says {_END.decode()!r}")
