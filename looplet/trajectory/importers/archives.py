"""Zips, member by member: what the standard library reads, and zstd, which it reads since 3.14.

Knows zips; knows no format. Raises `Malformed` on damage, and nothing else.
"""

from __future__ import annotations

import struct
import zipfile
import zlib
from lzma import LZMAError
from typing import Self

from looplet.core.codec import JSON
from looplet.trajectory.importers import parsing
from looplet.trajectory.importers.problems import Malformed
from looplet.trajectory.importers.sources import Source, decoded, unpacked

_ZSTD_METHODS = (93, 20)
_LOCAL_HEADER = struct.Struct("<26xHH")
_DAMAGE = (
    zipfile.BadZipFile,
    LZMAError, zlib.error, struct.error, EOFError, OSError, ValueError, LookupError,
    OverflowError, NotImplementedError, RuntimeError,
)  # fmt: skip
"""What reading a damaged zip may raise, by the library's own documentation and code."""


class Archive:
    """A zip that is open for reading; to be used in a ``with`` statement."""

    def __init__(self, source: Source) -> None:
        try:
            self._zip = zipfile.ZipFile(source.path)
        except _DAMAGE as error:
            raise Malformed("", f"the zip is damaged: {error}") from None
        self.names = tuple(dict.fromkeys(self._zip.namelist()))
        """Its members in their order; of those with one name, the last counts."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._zip.close()

    def json(self, name: str) -> JSON:
        """A member that is JSON."""
        return parsing.whole(decoded(self.read(name)))

    def read(self, name: str) -> bytes:
        """A member's bytes, unpacked."""
        try:
            info = self._zip.getinfo(name)
            if info.compress_type in _ZSTD_METHODS:
                data = unpacked(self._packed(info))
                if zlib.crc32(data) != info.CRC:
                    raise zipfile.BadZipFile("its checksum is another")
                return data
            return self._zip.read(info)
        except _DAMAGE as error:
            raise Malformed("", f"it cannot be unpacked: {error}") from None

    def _packed(self, info: zipfile.ZipInfo) -> bytes:
        """A member's bytes as they stand in the file: after a header of 30 bytes and two texts."""
        file = self._zip.fp
        if file is None:
            raise zipfile.BadZipFile("it is closed")
        file.seek(info.header_offset)
        lengths = _LOCAL_HEADER.unpack(file.read(_LOCAL_HEADER.size))
        file.seek(sum(lengths), 1)
        packed = file.read(info.compress_size)
        if len(packed) != info.compress_size:
            raise EOFError("it breaks off")
        return packed
