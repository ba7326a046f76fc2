"""A folder of parts: on this machine, or in an object store. Knows files; knows no Parquet.

On this machine a part is written beside its place, flushed to the disk and renamed. An object
store has no rename, and shows an object when its upload is complete: there a part is written to
a temporary file of this machine and uploaded once, under its final name. Any other filesystem of
pyarrow's is sent it under a temporary name, and renames it.
"""

from __future__ import annotations

import contextlib
import os
import re
import tempfile
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

from looplet.core.records import new_id
from looplet.errors import StoreError
from looplet.trajectory.arrow import fs

SUFFIX = ".parquet"
_LOCK = ".compact.lock"
_URI = re.compile(r"[a-z][a-z0-9+.-]+://.*")
_OBJECT_STORES = frozenset(["s3", "s3a", "gs", "gcs", "abfs", "abfss", "az", "adl", "oss", "r2"])
"""Words in the type's name of filesystems that show a file when its upload is complete."""


class Folder:
    """A folder in any of pyarrow's filesystems. ``shown`` is its address as messages give it."""

    near = False
    """Whether reading many small pieces of a file costs no more than reading it once."""

    def __init__(self, filesystem: Any, path: str, shown: str) -> None:
        self.filesystem, self.path, self.shown = filesystem, path, shown
        self.remembered: dict[str, Any] = {}
        """What was read of files, by name; a file of that name never changes."""

    def child(self, name: str) -> Folder:
        """A folder in this one."""
        return type(self)(self.filesystem, f"{self.path}/{name}", f"{self.shown}/{name}")

    def exists(self) -> bool:
        """Whether it is there; in an object store, whether anything is in it."""
        return bool(self._info(self.path).type == fs.FileType.Directory)

    def names(self) -> set[str]:
        """Names of what may be parts: what ends in ``.parquet`` and does not begin with a dot."""
        return {name for name in self._all_names() if name.endswith(SUFFIX) and name[0] != "."}

    def leftovers(self) -> list[str]:
        """Names of temporary files: of writers at work, and of writers that were killed."""
        return sorted(name for name in self._all_names() if re.fullmatch(r"\..*\.tmp", name))

    def size(self, name: str) -> int:
        """Bytes of a file. Raises ``FileNotFoundError``."""
        info = self._info(f"{self.path}/{name}")
        if info.type == fs.FileType.NotFound:
            raise FileNotFoundError(f"there is no {self.shown}/{name}")
        return int(info.size)

    def open(self, name: str) -> Any:
        """A file of Arrow's, for reading at any place. Raises ``FileNotFoundError``."""
        return self.filesystem.open_input_file(f"{self.path}/{name}")

    def address(self, name: str) -> str | Path:
        """Where a file is, for people and for other programs."""
        return f"{self.shown}/{name}"

    def new_file(self) -> Path:
        """Where to write a part before it has its name."""
        return Path(tempfile.mkdtemp(prefix="looplet-")) / f"{new_id()}.tmp"

    def publish(self, written: Path, name: str) -> None:
        """Make a file that was written visible under its name, whole."""
        here, there = fs.LocalFileSystem(), self.filesystem
        target = f"{self.path}/{name}"
        if _shows_whole_files(there):
            fs.copy_files(str(written), target, here, there)
        else:
            there.create_dir(self.path, recursive=True)
            beside = f"{self.path}/.{written.name}"
            fs.copy_files(str(written), beside, here, there)
            there.move(beside, target)
        self.discard(written)

    def discard(self, written: Path) -> None:
        """Remove a file that was written and has no name."""
        written.unlink(missing_ok=True)
        written.parent.rmdir()

    def remove(self, names: list[str]) -> None:
        """Remove files that are there."""
        for name in names:
            self.filesystem.delete_file(f"{self.path}/{name}")

    def locked(self) -> AbstractContextManager[None]:
        """Keep other processes from compacting. Raises ``StoreError`` where that cannot be."""
        raise StoreError(
            f"{self.shown} cannot be compacted: an object store does not keep two processes from "
            "doing so at once. Copy the store to a local folder and compact it there."
        )

    def _info(self, path: str) -> Any:
        return self.filesystem.get_file_info(path)

    def _all_names(self) -> list[str]:
        selector = fs.FileSelector(self.path, allow_not_found=True)
        return [info.base_name for info in self.filesystem.get_file_info(selector) if info.is_file]


class LocalFolder(Folder):
    """A folder of this machine.

    A writer holds a lock on its temporary file, which the system lets go of when the process ends,
    however it ends. A temporary file without a lock is therefore nobody's.
    """

    near = True

    def __init__(self, path: str | os.PathLike[str]) -> None:
        super().__init__(fs.LocalFileSystem(), os.fspath(path), os.fspath(path))
        self._held: dict[Path, int] = {}
        """Open files, and so locks, of what is being written here."""

    def child(self, name: str) -> LocalFolder:
        """A folder in this one."""
        return LocalFolder(Path(self.path, name))

    def exists(self) -> bool:
        """Whether it is there."""
        return Path(self.path).is_dir()

    def address(self, name: str) -> Path:
        """Where a file is."""
        return Path(self.path, name)

    def size(self, name: str) -> int:
        """Bytes of a file. Raises ``FileNotFoundError``."""
        return self.address(name).stat().st_size

    def new_file(self) -> Path:
        """Where to write a part before it has its name: beside its place, which is made."""
        Path(self.path).mkdir(parents=True, exist_ok=True)
        while True:
            path = self.address(f".{new_id()}.tmp")
            handle = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666)
            if _lock(handle) and os.fstat(handle).st_nlink:
                self._held[path] = handle
                return path
            os.close(handle)  # taken for nobody's before it was locked

    def publish(self, written: Path, name: str) -> None:
        """Flush a file to the disk and rename it."""
        _sync(written)
        written.rename(self.address(name))
        _sync(Path(self.path))
        os.close(self._held.pop(written))

    def discard(self, written: Path) -> None:
        """Remove a file that was written and has no name."""
        written.unlink(missing_ok=True)
        os.close(self._held.pop(written))

    def remove(self, names: list[str]) -> None:
        """Remove files that are there, for good."""
        for name in names:
            self.address(name).unlink(missing_ok=True)
        _sync(Path(self.path))

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keep other processes from compacting, and remove temporary files of killed writers.

        The system lets go of the lock if this process is killed.
        """
        with self.address(_LOCK).open("wb") as file:
            if not _lock(file.fileno()):
                raise StoreError(
                    f"{self.shown} is being compacted by another process; wait until it is done"
                )
            self._remove_leftovers()
            yield

    def _remove_leftovers(self) -> None:
        """Remove temporary files of writers that were killed."""
        for name in self.leftovers():
            path = self.address(name)
            with contextlib.suppress(FileNotFoundError):
                handle = os.open(path, os.O_RDONLY)
                if _lock(handle):
                    path.unlink(missing_ok=True)
                os.close(handle)

    def _all_names(self) -> list[str]:
        with contextlib.suppress(FileNotFoundError, NotADirectoryError):
            return os.listdir(self.path)  # noqa: PTH208 - names are wanted, and thousands of them
        return []


def open_folder(place: str | os.PathLike[str], filesystem: Any = None) -> Folder:
    """The folder at a path, or at a URI such as ``s3://bucket/runs``.

    With a ``filesystem`` of pyarrow's, ``place`` is a path in it. Raises ``StoreError`` on a URI
    that pyarrow does not know, and on a name that is not UTF-8, which it cannot open.
    """
    text = os.fspath(place)
    try:
        text.encode()
    except UnicodeEncodeError:
        raise StoreError(
            f"{text!r} cannot hold a store: its name is not UTF-8, which pyarrow needs. Rename it."
        ) from None
    if filesystem is not None:
        return Folder(filesystem, text.rstrip("/"), text.rstrip("/"))
    if not _URI.fullmatch(text):
        # Arrow takes what stands before a colon for a protocol, but not behind a slash.
        return LocalFolder(Path(text).absolute() if ":" in text.partition("/")[0] else place)
    try:
        found, path = fs.FileSystem.from_uri(text)
    except (ValueError, OSError) as error:
        said = str(error).replace(text, _without_secrets(text))
        raise StoreError(
            f"{_without_secrets(text)!r} is no address that pyarrow can open: {said}"
        ) from None
    if isinstance(found, fs.LocalFileSystem):
        return LocalFolder(path)
    return Folder(found, path.rstrip("/"), _without_secrets(text).rstrip("/"))


def _shows_whole_files(filesystem: Any) -> bool:
    """Whether a file that is being uploaded cannot be seen."""
    while isinstance(filesystem, fs.SubTreeFileSystem):
        filesystem = filesystem.base_fs
    return not _OBJECT_STORES.isdisjoint(re.findall(r"\w+", filesystem.type_name))


def _without_secrets(uri: str) -> str:
    """A URI without the keys that may stand before its host, and without its options."""
    return re.sub(r"://[^/]*@", "://", uri.partition("?")[0])


def _lock(handle: int) -> bool:
    """Lock an open file for as long as it is open; whether nobody else has it."""
    import fcntl

    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
