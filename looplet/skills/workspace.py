"""Tools that work in one folder: read, write, edit, glob, grep, and a shell. No path leaves it.

The shell is not held by that: a command can do whatever its user can. Let a person be asked
(``looplet.control``), or run it where it can do no harm.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from looplet.core.records import new_id
from looplet.core.tools import ToolSpec, tool
from looplet.errors import ToolValidationError

MAX_LINES, MAX_FILES, MAX_MATCHES = 2000, 1000, 200
MAX_SECONDS = 290
"""How long a command may run, at most."""
MAX_OUTPUT = 50_000
"""Characters of a command's output that are kept, of its beginning and its end."""
MAX_LINE = 2000
"""Characters of a line that ``grep`` shows."""
_PASSED = frozenset({".git", "__pycache__", ".venv", "node_modules"})


class Workspace:
    r"""A folder, and tools that work in it.

    >>> import tempfile
    >>> folder = Workspace(tempfile.mkdtemp())
    >>> folder.write("a/b.txt", "one\ntwo\n")["lines"]
    2
    >>> folder.edit("a/b.txt", "two", "three")["replaced"]
    1
    >>> folder.read("a/b.txt")["content"]
    '1\tone\n2\tthree\n'
    """

    def __init__(self, root: str | os.PathLike[str]) -> None:
        self.root = Path(root).resolve()

    def tools(self) -> list[ToolSpec]:
        """The tools ``bash read write edit glob grep``."""
        made = [tool(timeout_s=MAX_SECONDS + 10)(self.bash), tool(concurrent_safe=True)(self.read)]
        made += [tool()(each) for each in (self.write, self.edit)]
        made += [tool(concurrent_safe=True, timeout_s=60)(each) for each in (self.glob, self.grep)]
        return made

    def place(self, path: str) -> Path:
        """A path in the folder, links followed. Raises ``PermissionError`` if it leads outside."""
        if "\0" in path:
            raise ToolValidationError("a path has no NUL character")
        place = (self.root / path).resolve()
        if not place.is_relative_to(self.root):
            raise PermissionError(f"{path} lies outside of the workspace")
        return place

    def bash(self, command: str, timeout_s: float = 120) -> dict[str, Any]:
        """Run a shell command in the workspace; gives exit code and output."""
        process = subprocess.Popen(  # noqa: S603 - that is what it is for
            ["bash", "-c", command],  # noqa: S607 - the user's own
            cwd=self.root,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        timeout_s = min(timeout_s, MAX_SECONDS)
        try:
            output, _ = process.communicate(timeout=timeout_s)
        except subprocess.TimeoutExpired as error:
            raise TimeoutError(f"the command ran for more than {timeout_s:g} s") from error
        finally:
            _end(process)
            assert process.stdout is not None
            process.stdout.close()
        return {"exit_code": process.returncode, "output": _cut(output.decode(errors="replace"))}

    def read(self, path: str, offset: int = 1, limit: int = MAX_LINES) -> dict[str, Any]:
        """Read a text file; its lines come with their numbers, from line `offset` on."""
        text = _text(self.place(path), path)
        lines = text.splitlines(keepends=True)
        first = max(offset, 1)
        shown = lines[first - 1 : first - 1 + max(limit, 0)]
        content = "".join(f"{number}\t{line}" for number, line in enumerate(shown, first))
        return {"path": path, "content": content, "lines": len(lines)}

    def write(self, path: str, content: str) -> dict[str, Any]:
        """Write a file whole; folders are made."""
        place = self.place(path)
        if place.is_dir():
            raise ToolValidationError(f"{path} is a folder")
        place.parent.mkdir(parents=True, exist_ok=True)
        _put(place, content)
        return {"path": path, "lines": len(content.splitlines())}

    def edit(self, path: str, old: str, new: str, replace_all: bool = False) -> dict[str, Any]:  # noqa: FBT001, FBT002 - a tool's argument
        """Replace text in a file; `old` must stand there once, or use replace_all."""
        place = self.place(path)
        text = _text(place, path)
        count = text.count(old) if old else 0
        if not count:
            raise ToolValidationError(f"the text to replace is not in {path}; read it again")
        if count > 1 and not replace_all:
            raise ToolValidationError(
                f"the text to replace stands in {path} {count} times; "
                "give more of what is around it, or replace_all"
            )
        _put(place, text.replace(old, new))
        return {"path": path, "replaced": count}

    def glob(self, pattern: str) -> dict[str, Any]:
        """Find files by a pattern such as **/*.py."""
        found = []
        for place in self._files():
            name = place.relative_to(self.root).as_posix()
            if _matches(name, pattern):
                found.append(name)
                if len(found) > MAX_FILES:
                    return {"files": found[:MAX_FILES], "more": True}
        return {"files": found}

    def grep(self, pattern: str, path: str = ".", files: str = "**/*") -> dict[str, Any]:
        """Find lines by a regular expression, in the files under a path that fit a pattern."""
        try:
            wanted = re.compile(pattern)
        except re.error as error:
            raise ToolValidationError(f"{pattern!r} is no regular expression: {error}") from error
        found: list[dict[str, Any]] = []
        for place in self._files(self.place(path)):
            name = place.relative_to(self.root).as_posix()
            if not _matches(name, files):
                continue
            for number, line in enumerate(_lines(place), 1):
                if wanted.search(line):
                    found.append({"file": name, "line": number, "text": line[:MAX_LINE]})
                if len(found) > MAX_MATCHES:
                    return {"matches": found[:MAX_MATCHES], "more": True}
        return {"matches": found}

    def _files(self, start: Path | None = None) -> Iterator[Path]:
        """Files in order of their paths; links are passed, and what is not the user's own."""
        start = start or self.root
        if start.is_file():
            yield start
            return
        with os.scandir(start) as entries:
            found = sorted(entries, key=lambda entry: entry.name)
        for entry in found:
            if entry.is_file(follow_symlinks=False):
                yield Path(entry.path)
            elif entry.is_dir(follow_symlinks=False) and entry.name not in _PASSED:
                yield from self._files(Path(entry.path))


def _matches(name: str, pattern: str) -> bool:
    """Whether a path fits a pattern; ``**`` stands for any folders, or none."""
    return _fit(name.split("/"), pattern.removeprefix("./").split("/"))


def _fit(parts: list[str], patterns: list[str]) -> bool:
    if not patterns:
        return not parts
    first, *rest = patterns
    if first == "**":
        return _fit(parts, rest) or (bool(parts) and _fit(parts[1:], patterns))
    return bool(parts) and fnmatchcase(parts[0], first) and _fit(parts[1:], rest)


def _text(place: Path, path: str) -> str:
    if not place.is_file():
        raise ToolValidationError(f"there is no file {path}")
    try:
        with place.open(encoding="utf-8", newline="") as file:
            return file.read()
    except UnicodeDecodeError as error:
        raise ToolValidationError(f"{path} is no UTF-8 text") from error


def _lines(place: Path) -> Iterator[str]:
    """Lines of a text file; none of any other."""
    try:
        with place.open(encoding="utf-8") as file:
            for line in file:
                yield line.rstrip("\n")
    except (UnicodeDecodeError, OSError):
        return


def _put(place: Path, content: str) -> None:
    """Write a file beside its place, and rename it into it; it keeps its mode."""
    beside = place.with_name(f".{place.name[:50]}.{new_id()}")
    try:
        with beside.open("x", encoding="utf-8", newline="") as file:
            file.write(content)
        if place.exists():
            shutil.copymode(place, beside)
        beside.replace(place)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise


def _cut(text: str) -> str:
    if len(text) <= MAX_OUTPUT:
        return text
    half = MAX_OUTPUT // 2
    return f"{text[:half]}\n[{len(text) - MAX_OUTPUT} characters left out]\n{text[-half:]}"


def _end(process: subprocess.Popen[bytes]) -> None:
    """End what the command left running: its process group."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
