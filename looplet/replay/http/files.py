"""HTTP cassettes on disk: vcrpy's format, sealed. Knows bytes and vcrpy's two file functions.

A file of looplet's says so at its beginning and ends with a footer, which counts the interactions
and hashes all that stands before it. A file of stock vcrpy has neither, and is read as it is.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from looplet.core.codec import JSON
from looplet.errors import CassetteDamaged, CassetteError, CassetteMissing, MissingExtra
from looplet.replay.persister import write_whole
from looplet.replay.serializer import dumps

FORMAT = 1
"""Version of what looplet adds to vcrpy's format for HTTP."""

_HEAD = "# An HTTP recording by looplet. docs/http-cassettes.md tells how to read it.\n"
_FORMAT = re.compile(r"^  looplet_http: (\d+)$", re.MULTILINE)
_FOOTER = re.compile(r"\nfooter:\n  count: (\d+)\n  sha256: ([0-9a-f]{64})\n\Z")


@dataclass(frozen=True, slots=True, kw_only=True)
class Recorded:
    """What a file holds: requests and responses in vcrpy's form."""

    interactions: Sequence[tuple[Any, dict[str, Any]]]
    own: bool
    """Whether looplet wrote it, so that there is no secret in it and its keys are final."""
    content_hash: str
    """SHA-256 of the bytes, in hex."""


def read(path: Path) -> Recorded:
    """Read a cassette, looplet's or stock vcrpy's.

    Raises ``CassetteMissing``; ``CassetteDamaged`` if it is not what was written; and
    ``CassetteError`` if a later looplet wrote it. The file is never touched.
    """
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        raise CassetteMissing(
            f"there is no HTTP cassette {path}. Record it once with a live service: "
            f'use_cassette({str(path)!r}, record_mode="once")'
        ) from None
    text = _decoded(data, path)
    sealed = _sealed_count(text, path)
    interactions = _interactions(text, path)
    if sealed is not None and sealed != len(interactions):
        raise damaged(path, f"its footer counts {sealed} interactions, it has {len(interactions)}")
    return Recorded(
        interactions=interactions,
        own=sealed is not None,
        content_hash=hashlib.sha256(data).hexdigest(),
    )


def write(path: Path, interactions: Sequence[Mapping[str, JSON]], *, instead_of: str | None) -> str:
    """Write a cassette whole; its hash. ``instead_of`` is the hash of what may be there.

    Raises ``CassetteError``, and writes nothing, if something else is there by now.
    """
    data = sealed_text(interactions).encode()
    path.parent.mkdir(parents=True, exist_ok=True)
    with _alone(path.parent):
        if hash_of(path) != instead_of:
            raise CassetteError(
                f"HTTP cassette {path} was written by somebody else while it was being recorded "
                "here. Give each recording a cassette of its own."
            )
        write_whole(path, data)
    return hashlib.sha256(data).hexdigest()


def sealed_text(interactions: Sequence[Mapping[str, JSON]]) -> str:
    """The text of a cassette."""
    body = (
        _HEAD
        + dumps({"version": 1, "metadata": {"looplet_http": FORMAT}})
        + dumps({"interactions": list(interactions)})
    )
    sha256 = hashlib.sha256(body.encode()).hexdigest()
    return f"{body}footer:\n  count: {len(interactions)}\n  sha256: {sha256}\n"


def damaged(path: Path, what: str) -> CassetteDamaged:
    """An error that names the file."""
    return CassetteDamaged(f"HTTP cassette {path}: {what}. The file was left as it is.")


def _decoded(data: bytes, path: Path) -> str:
    try:
        # No raw carriage return is ever written; git may have put some in at line ends.
        return data.decode().replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        raise damaged(path, f"it is not UTF-8 ({error.reason} at byte {error.start})") from error


def _sealed_count(text: str, path: Path) -> int | None:
    """How many interactions looplet's footer counts; ``None`` for a file of stock vcrpy."""
    version, footer = _FORMAT.search(text), _FOOTER.search(text)
    if version and version[1] != str(FORMAT) and footer and _holds(text, footer):
        raise CassetteError(
            f"HTTP cassette {path} has format {version[1]}, and this looplet knows format "
            f"{FORMAT}. Update looplet, or record it again."
        )
    if footer is None:
        if version or text.startswith(_HEAD[:20]) or "\nfooter:" in text:
            raise damaged(path, "it has no footer; it was cut short")
        return None
    if not _holds(text, footer):
        raise damaged(
            path,
            "it was changed after it was recorded. Take the committed file back, or record it "
            'again with record_mode="rewrite"',
        )
    return int(footer[1])


def _holds(text: str, footer: re.Match[str]) -> bool:
    return hashlib.sha256(text[: footer.start() + 1].encode()).hexdigest() == footer[2]


def _interactions(text: str, path: Path) -> list[tuple[Any, dict[str, Any]]]:
    try:
        import vcr.serialize  # type: ignore[import-untyped]  # vcrpy ships no types
        import yaml
        from vcr.serializers import yamlserializer  # type: ignore[import-untyped]
    except ImportError as error:
        raise MissingExtra("vcrpy", needed_for="use_cassette", extra="replay") from error
    try:
        requests, responses, *_ = vcr.serialize.deserialize(text, yamlserializer)
        found = list(zip(requests, responses, strict=True))
        for request, response in found:
            _check(request, response)
    except (
        yaml.YAMLError,
        ValueError,
        KeyError,
        TypeError,
        AttributeError,
        RecursionError,
    ) as error:
        raise damaged(path, f"it does not read as a cassette of vcrpy ({error})") from error
    return found


def _check(request: Any, response: Any) -> None:
    """Raise one of the errors above where something is not what it must be."""
    if not isinstance(request.method, str) or not isinstance(request.uri, str):
        raise TypeError("a request has no method or address")
    if not isinstance(request.body_bytes, bytes | dict | None):
        raise TypeError("the body of a request is no text")
    dict(response["headers"]).items()
    if "status_code" in response:  # as vcrpy wrote responses of httpx once
        int(response["status_code"]) + len(response["content"])
        return
    if not isinstance(response["status"]["code"], int):
        raise TypeError("a response has no status")
    if not isinstance(response["body"].get("string", b""), bytes | None):
        raise TypeError("the body of a response is no text")


def hash_of(path: Path) -> str | None:
    """SHA-256 of a file's bytes, in hex; ``None`` if there is no file."""
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except FileNotFoundError:
        return None


@contextmanager
def _alone(directory: Path) -> Iterator[None]:
    """No other process writes a cassette of that directory meanwhile, where the system can."""
    try:
        import fcntl
    except ImportError:  # not on this system; between looking and writing is little time
        yield
        return
    handle = os.open(directory, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)
