"""Documentation pages, read and run block by block. Knows Markdown fences; knows no page.

What a block's first line says:

- ``python``: run, all of a page in one namespace and one directory. A ``text`` block after it is
  what it prints; one that prints and shows no output is an error.
- ``python title="path"``: written to that file for what follows on the page, not run by itself.
- ``console``: lines that begin with ``$`` are commands, which must succeed; the others are what
  they print.
- ``bash``: one script, which must succeed; its output is not compared.
- ``{.no-run}`` after the language: not run; the tests list every such block with the reason.

In an output ``…`` stands for any text of a line, on a line of its own for any lines, and times as
``[12ms]`` are not compared.
"""

from __future__ import annotations

import contextlib
import gc
import io
import os
import re
import subprocess
import sys
import warnings
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

RUN = frozenset({"python", "console", "bash", "markdown"})
SHOWN = frozenset({"text", "yaml", "sql", "json"})
NO_RUN = "{.no-run}"
"""A class, since that is all that the site's Markdown takes beside a title."""
ANY = "…"
_FENCE = re.compile(r"(`{3,})\s*(\S*)\s*(.*)")
_TITLE = re.compile(r'title="([^"]+)"')
_TIME = re.compile(r"\[\d+ms\]")
_NO_NETWORK = """
import socket

def _refuse(connect):
    def guarded(self, address):
        if isinstance(address, tuple) and address[0] not in ("127.0.0.1", "::1", "localhost"):
            raise OSError(f"the pages are run without a network, and asked for {address}")
        return connect(self, address)
    return guarded

socket.socket.connect = _refuse(socket.socket.connect)
socket.socket.connect_ex = _refuse(socket.socket.connect_ex)
"""


class PageError(AssertionError):
    """A page promises what does not happen."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """One fenced block of a page."""

    language: str
    info: str
    """What stands after the language."""
    text: str
    line: int
    """Number of its first line of text, from 1."""

    @property
    def title(self) -> str | None:
        found = _TITLE.search(self.info)
        return found.group(1) if found else None

    @property
    def is_run(self) -> bool:
        return self.language in RUN and self.info != NO_RUN

    @property
    def head(self) -> str:
        """The first line, by which a test names the block."""
        return self.text.split("\n", 1)[0]


def blocks_of(page: str) -> list[Block]:
    """Every fenced block of a page, in order. Raises ``PageError`` for one that never ends."""
    blocks: list[Block] = []
    fence, opened, lines = "", None, []
    for number, line in enumerate(page.split("\n"), 1):
        found = _FENCE.fullmatch(line)
        if opened is None and found:
            fence, lines = found[1], []
            opened = (found[2], found[3], number + 1)
        elif opened is not None and line == fence:
            language, info, first = opened
            text = "".join(f"{each}\n" for each in lines)
            blocks.append(Block(language=language, info=info, text=text, line=first))
            opened = None
        elif opened is not None:
            lines.append(line)
    if opened is not None:
        raise PageError(f"the block that begins at line {opened[2]} never ends")
    return blocks


def run_page(
    page: str,
    *,
    name: str,
    folder: Path,
    environment: dict[str, str],
    programs: Path | None = None,
) -> None:
    """Run a page in ``folder``, which is the working directory already.

    ``name`` is the page's path, for messages; ``environment`` is what commands get beside the
    process's own. ``programs`` is the folder of the ``python`` and ``looplet`` that commands mean,
    if not those of this environment. Raises ``PageError`` for what a page promises in vain, and
    what a block raises.
    """
    run = _PageRun(name, folder, environment, programs or Path(sys.executable).parent)
    try:
        run.blocks(blocks_of(page))
    finally:
        run.forget_modules()
        run.forget_values()


def check_output(shown: str, printed: str, where: str) -> None:
    """Raise ``PageError`` if an output is not the one that is shown."""
    pattern = "".join(
        r"(?:.*\n)*?" if line.strip() == ANY else _line_pattern(line) for line in _lines(shown)
    )
    text = "".join(f"{line}\n" for line in _lines(printed))
    if re.fullmatch(pattern, text) is None:
        raise PageError(f"{where} shows\n{shown}\nbut what comes out is\n{printed}")


def _line_pattern(line: str) -> str:
    return "[^\n]*".join(re.escape(part) for part in line.split(ANY)) + "\n"


def _lines(text: str) -> list[str]:
    return [_TIME.sub("[ms]", line.rstrip()) for line in text.strip("\n").split("\n")]


class _PageRun:
    def __init__(
        self, name: str, folder: Path, environment: dict[str, str], programs: Path
    ) -> None:
        self.programs = programs
        self.name, self.folder = name, folder
        self.environment = environment
        self.known = set(sys.modules)
        # A module of its own, since hints that are text are looked up in `sys.modules`.
        self.module = ModuleType("page")
        sys.modules["page"] = self.module
        self.files: dict[str, Block] = {}

    def blocks(self, blocks: list[Block]) -> None:
        for place, block in enumerate(blocks):
            after = blocks[place + 1] if place + 1 < len(blocks) else None
            before = blocks[place - 1] if place else None
            self._check_kind(block, before)
            if not block.is_run:
                continue
            if block.title is not None:
                self._write(block, blocks[place + 1 :])
            elif block.language == "python":
                self._python(block, after.text if after and after.language == "text" else None)
            elif block.language == "console":
                self._console(block)
            else:
                self._command(block.text, block.line)

    def forget_modules(self) -> None:
        """Let the next page import its own files, whatever their names."""
        for name in [*sys.modules]:
            file = getattr(sys.modules[name], "__file__", None)
            own = file is not None and Path(file).is_relative_to(self.folder)
            if name == "page" or (own and name not in self.known):
                del sys.modules[name]

    def forget_values(self) -> None:
        """End what a page's script would leave to the end of its process, as clients often are."""
        self.module.__dict__.clear()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ResourceWarning)
            gc.collect()

    def _where(self, line: int) -> str:
        return f"{self.name}:{line}"

    def _check_kind(self, block: Block, before: Block | None) -> None:
        where = self._where(block.line)
        if block.language and block.language not in RUN | SHOWN:
            raise PageError(f"{where}: nobody knows what to do with {block.language!r}")
        if block.info not in ("", NO_RUN) and not _TITLE.fullmatch(block.info):
            raise PageError(f"{where}: a block has a title or {NO_RUN}, and not {block.info!r}")
        if block.language == "markdown" and block.title is None:
            raise PageError(f"{where}: a markdown block is a file, and needs a title")
        if block.language == "text" and (
            before is None or before.language != "python" or before.title is not None
        ):
            raise PageError(f"{where}: a text block is the output of the python block before it")

    def _write(self, block: Block, later: list[Block]) -> None:
        title = block.title
        assert title is not None
        if block.language == "python":
            compile(block.text, title, "exec")
        words = {Path(title).stem, *Path(title).parts[:-1]}
        if not any(word in each.text for each in later if each.is_run for word in words):
            raise PageError(f"{self._where(block.line)}: nothing on the page uses {title}")
        place = self.folder / title
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(block.text, encoding="utf-8")

    def _python(self, block: Block, shown: str | None) -> None:
        source = "\n" * (block.line - 1) + block.text  # so that a traceback names the page's line
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            exec(compile(source, self.name, "exec", dont_inherit=True), self.module.__dict__)
        where = self._where(block.line)
        if shown is not None:
            check_output(shown, printed.getvalue(), where)
        elif printed.getvalue():
            raise PageError(f"{where} prints, and shows no output:\n{printed.getvalue()}")

    def _console(self, block: Block) -> None:
        line, lines = block.line, block.text.splitlines()
        if not lines or not lines[0].startswith("$ "):
            raise PageError(f"{self._where(line)}: a console block begins with '$ '")
        starts = [place for place, each in enumerate(lines) if each.startswith("$ ")]
        for start, stop in zip(starts, [*starts[1:], len(lines)], strict=True):
            printed = self._command(lines[start][2:], line + start)
            shown = "".join(f"{each}\n" for each in lines[start + 1 : stop])
            check_output(shown, printed, self._where(line + start))

    def _command(self, command: str, line: int) -> str:
        # Before all others, so that `python` and `pytest` are those of the environment.
        path = os.pathsep.join([str(self.programs), os.environ["PATH"]])
        guard = self.folder.parent / "guard"
        guard.mkdir(exist_ok=True)
        (guard / "sitecustomize.py").write_text(_NO_NETWORK, encoding="utf-8")
        modules = os.pathsep.join(filter(None, [str(guard), os.environ.get("PYTHONPATH")]))
        ran = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", command],
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL,
            text=True, encoding="utf-8", cwd=self.folder, check=False, timeout=100,
            env={**os.environ, **self.environment, "PATH": path, "PYTHONPATH": modules},
        )  # fmt: skip
        if ran.returncode:
            ended = f"{command.strip()!r} ended with {ran.returncode}"
            raise PageError(f"{self._where(line)}: {ended}:\n{ran.stdout}")
        return ran.stdout
