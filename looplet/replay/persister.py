"""Cassette files: sealed, checked, written whole. Knows bytes; knows nothing of backends.

A file starts with vcrpy's version and the metadata, and ends with a footer that counts the
interactions and hashes every byte before it, so that no damage is read as a shorter recording.
"""

from __future__ import annotations

import hashlib
import os
import re
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from looplet.core.codec import JSON
from looplet.errors import CassetteDamaged, CassetteError, CassetteMissing
from looplet.redaction.placeholders import START as PLACEHOLDER_START
from looplet.replay import _vcr
from looplet.replay.serializer import dumps, loads

FORMAT = 2
"""Version of what looplet adds to vcrpy's format."""
READ = (1, 2)
"""Versions that are read; the first had model calls alone."""

_HEAD = "# A recording by looplet. docs/cassettes.md tells how to read it.\n"
_FOOTER = re.compile(r"\nfooter:\n  count: (\d+)\n  sha256: ([0-9a-f]{64})\n\Z")
_FORMAT = re.compile(r"^  looplet_format: (\d+)\n", re.MULTILINE)


class Serializer:
    """The hook by which vcrpy turns its dict into text; the order is ours, for readers."""

    @staticmethod
    def serialize(data: Mapping[str, JSON]) -> str:
        """Write metadata first, then the interactions, then the footer that seals them."""
        first = {"version": data["version"], "metadata": data["metadata"]}
        body = _HEAD + dumps(first) + dumps({"interactions": data["interactions"]})
        return seal(body, count=len(data["interactions"]))

    @staticmethod
    def deserialize(text: str) -> JSON:
        """Read the text of a file that ``check`` has passed."""
        return loads(text)


class Persister:
    """The hook by which vcrpy finds and keeps a cassette."""

    def __init__(self, data: bytes | None = None) -> None:
        self._data = data
        """What is read instead of the file, to try content before it is written."""
        self.content_hash: str | None = None
        self.redacted = False
        """Whether the file that was read has placeholders of secrets in it."""

    def load_cassette(self, path: str, serializer: object) -> tuple[Any, ...]:
        """Read a file, or raise ``CassetteMissing``, ``CassetteDamaged`` or ``CassetteError``."""
        data = read(path) if self._data is None else self._data
        text, count = check(data, path)
        try:
            requests, responses, *metadata = _vcr.from_text(text, serializer)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise damaged(path, f"it does not read as a cassette ({error})") from error
        if len(requests) != count:
            raise damaged(path, f"its footer counts {count} interactions, it has {len(requests)}")
        self.content_hash = hashlib.sha256(data).hexdigest()
        self.redacted = PLACEHOLDER_START in text
        return (requests, responses, *metadata)

    def save_cassette(self, path: str, recorded: Mapping[str, Any], serializer: object) -> None:
        """Write a file whole."""
        data = _vcr.to_text(recorded, serializer).encode()
        write_whole(Path(path), data)
        self.content_hash = hashlib.sha256(data).hexdigest()


def read(path: str | Path) -> bytes:
    """The bytes of a cassette. Raises ``CassetteMissing``."""
    try:
        return Path(path).read_bytes()
    except FileNotFoundError:
        raise CassetteMissing(
            f"there is no cassette {path}. Record it once with a live model: "
            f'use_cassette({str(path)!r}, record_mode="once")'
        ) from None


def content_hash(path: Path) -> str | None:
    """SHA-256 of a file, in hex; ``None`` if there is none."""
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except FileNotFoundError:
        return None


def check(data: bytes, path: str | Path) -> tuple[str, int]:
    """The text of a cassette whose seal holds, and how many interactions it must have."""
    text, body, footer = _parts(data, path)
    if hashlib.sha256(body.encode()).hexdigest() != footer[2]:
        raise damaged(
            path,
            "it was changed after it was recorded. If that was an accident, take the committed "
            "file back; if somebody edited a reply on purpose, accept that with "
            f"python -m looplet cassette accept {path}",
        )
    return text, int(footer[1])


def reseal(data: bytes, path: str | Path) -> bytes:
    """The same content with a footer that fits it; a file without a footer is refused."""
    _, body, _ = _parts(data, path)
    try:
        count = len(loads(body)["interactions"])
    except (ValueError, KeyError, TypeError) as error:
        raise damaged(path, f"it does not read as a cassette ({error})") from error
    return seal(body, count=count).encode()


def seal(body: str, *, count: int) -> str:
    """Add the footer to a text that ends with a newline."""
    sha256 = hashlib.sha256(body.encode()).hexdigest()
    return f"{body}footer:\n  count: {count}\n  sha256: {sha256}\n"


def damaged(path: str | Path, what: str) -> CassetteDamaged:
    """An error that names the file."""
    return CassetteDamaged(f"cassette {path}: {what}. The file was left as it is.")


def write_whole(path: Path, data: bytes) -> None:
    """Write beside the place, flush to disk, rename: a reader sees the old file or the new one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".tmp", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        Path(name).chmod(0o644)
        Path(name).replace(path)
    except BaseException:
        with suppress(FileNotFoundError):
            Path(name).unlink()
        raise
    sync_directory(path.parent)


def sync_directory(path: Path) -> None:
    """Make a rename in that directory last through a power cut, where the system can."""
    if os.name != "posix":
        return
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _parts(data: bytes, path: str | Path) -> tuple[str, str, re.Match[str]]:
    """Text, text before the footer, footer."""
    if not data:
        raise damaged(path, "it is empty")
    try:
        # No raw carriage return is ever written; git may have put some in at line ends.
        text = data.decode().replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        raise damaged(path, f"it is not UTF-8 ({error.reason} at byte {error.start})") from error
    version = _FORMAT.search(text)
    if version and int(version[1]) not in READ:
        raise CassetteError(
            f"cassette {path} has format {version[1]}, and this looplet knows format {FORMAT}. "
            "Update looplet, or record it again."
        )
    footer = _FOOTER.search(text)
    if not version or not footer:
        missing = "footer" if version else "looplet_format"
        raise damaged(path, f"it has no {missing}; it was cut short, or is no looplet cassette")
    return text, text[: footer.start() + 1], footer
