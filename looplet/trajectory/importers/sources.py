"""One file or folder to import: its bytes, unpacked, its JSON, and where problems go.

Knows compression and text; knows no format. Nothing raises here but `Malformed`, and looplet's own
errors where a package is missing.
"""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Callable, Iterator
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from looplet.trajectory.importers import parsing
from looplet.trajectory.importers.nodes import Node
from looplet.trajectory.importers.parsing import Outline
from looplet.trajectory.importers.problems import Malformed, Problem

if TYPE_CHECKING:
    from looplet.trajectory.model import Trajectory

OnProblem = Callable[[Problem], None]
_GZIP, _ZSTD, _ZIP = b"\x1f\x8b", b"\x28\xb5\x2f\xfd", b"PK\x03\x04"
PACKED = (_GZIP, _ZSTD)
"""How bytes begin that ``unpacked`` knows by their beginning."""


class Source:
    r"""A file or a folder that a format may know.

    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp(), "runs.jsonl.gz")
    >>> _ = path.write_bytes(gzip.compress(b'{"id": 1}\n{"id": 2}\n'))
    >>> source = Source(path, on_problem=print)
    >>> source.outline.kind, [node.value["id"] for node in source.records()]
    ('lines', [1, 2])
    """

    def __init__(self, path: Path, *, on_problem: OnProblem, uri: str | None = None) -> None:
        self.path = path
        self.uri = uri or str(path)
        """What a trajectory names as its source."""
        self.problems = 0
        """How many were reported."""
        self._on_problem = on_problem

    @property
    def is_folder(self) -> bool:
        """Whether it is a folder, which some formats take whole."""
        return self.path.is_dir()

    @property
    def is_zip(self) -> bool:
        """Whether it begins as a zip does."""
        return not self.is_folder and self.head.startswith(_ZIP)

    def report(self, problem: Malformed, *, member: str | None = None) -> None:
        """Tell that something could not be imported; ``member`` names a file inside of a zip."""
        self.problems += 1
        file = self.uri if member is None else f"{self.uri}!{member}"
        self._on_problem(Problem(file=file, place=problem.place, message=problem.message))

    @cached_property
    def head(self) -> bytes:
        """The first bytes as they are on disk; none of a folder."""
        if self.is_folder:
            return b""
        if not self.path.is_file():  # reading a pipe would wait for its writer
            raise Malformed("", "it is neither a file nor a folder")
        try:
            with self.path.open("rb") as file:
                return file.read(16)
        except OSError as error:
            raise Malformed("", f"it cannot be read: {error.strerror}") from error

    @cached_property
    def data(self) -> bytes:
        """All bytes, unpacked if they are gzip or zstd."""
        if self.is_folder:
            return b""
        head = self.head
        try:
            packed = self.path.read_bytes()
            return unpacked(packed) if head.startswith(PACKED) else packed
        except OSError as error:
            raise Malformed("", f"it cannot be read: {error.strerror or error}") from error

    @cached_property
    def text(self) -> str:
        """The bytes as text: UTF-8, or what their first bytes tell."""
        return decoded(self.data)

    @cached_property
    def outline(self) -> Outline:
        """What the text is like; ``other`` if it is no JSON, or no text."""
        if self.is_folder or self.is_zip:
            return Outline()
        try:
            return parsing.outline_of(self.text)
        except Malformed as error:
            return Outline(broken=error)

    def records(self) -> Iterator[Node]:
        """Elements of an array, values of lines, or the one object; what is broken is reported.

        An object that is broken is reported and not given, since half a record is none.
        """
        kind = self.outline.kind
        if kind == "array":
            yield from parsing.elements(self.text, self.report)
        elif kind == "lines":
            yield from parsing.lines(self.text, self.report)
        elif self.outline.broken is not None:
            self.report(self.outline.broken)
        elif kind == "object":
            yield Node(self.outline.members)
        else:
            self.report(Malformed("", "it is not JSON"))

    def members(self) -> Iterator[tuple[str, Node]]:
        """Members of the one object, each a record of its own; what is broken is reported."""
        for key, value in self.outline.members.items():
            yield key, Node(value, f"$.{key}")
        if self.outline.broken is not None:
            self.report(self.outline.broken)

    def read_each(
        self, records: Iterator[Node], read: Callable[[Node], Trajectory | None]
    ) -> Iterator[Trajectory]:
        """What ``read`` makes of each record; a malformed one is reported, and the rest goes on."""
        for record in records:
            try:
                trajectory = read(record)
            except Malformed as error:
                self.report(error)
            else:
                if trajectory is not None:
                    yield trajectory


def decoded(data: bytes) -> str:
    """Bytes as text, by the encoding that their beginning tells. Raises `Malformed`."""
    try:
        return data.decode(json.detect_encoding(data), "surrogatepass")
    except UnicodeDecodeError as error:
        message = f"it is not {error.encoding} text: {error.reason}"
        raise Malformed(f"byte {error.start}", message) from None


def unpacked(data: bytes) -> bytes:
    """Bytes that gzip, zlib or zstd packed. Raises `Malformed` on damage.

    >>> unpacked(gzip.compress(b"pear"))
    b'pear'
    """
    if data.startswith(_ZSTD):
        return _from_zstd(data)
    try:
        return gzip.decompress(data) if data.startswith(_GZIP) else zlib.decompress(data)
    except (OSError, EOFError, zlib.error) as error:
        raise Malformed("", f"its packed bytes are damaged: {error}") from None


def _from_zstd(data: bytes) -> bytes:
    from looplet.trajectory.arrow import pa

    try:
        return bytes(pa.input_stream(pa.py_buffer(data), compression="zstd").read())
    except (OSError, ValueError) as error:
        raise Malformed("", f"its packed bytes are damaged: {error}") from None
