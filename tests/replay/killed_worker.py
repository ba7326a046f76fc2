"""A process that records an agent and kills itself, on purpose, where it is told to.

    python -m tests.replay.killed_worker PATH WHAT POINT NUMBER

WHAT is a record mode, or ``fork`` (of PATH, into PATH with ``.child`` behind it). POINT is
``call``: after that many live calls of the model; or ``save``: at that system call of writing.
"""

from __future__ import annotations

import os
import pathlib
import signal
import sys
import tempfile
import warnings
from typing import Any, Self

from looplet import LoopConfig, composable_loop
from looplet.replay import fork, persister, use_cassette
from tests.replay.agents import Desk, agent, model, script

FRUIT = ("pear", "kiwi", "fig")
LATER = ("lime", "plum", "date")
"""What is priced where a recording is to differ."""


def kill() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


class Mortal:
    """A model whose process is killed right after the reply to one of its calls was used."""

    model = "mortal-1"

    def __init__(self, replies: list[str], until: int) -> None:
        self._inner, self._until = model(replies), until

    def generate(
        self, prompt: str, *, max_tokens: int = 2000, system_prompt: str = "",
        temperature: float = 0.2,
    ) -> str:  # fmt: skip
        if self._inner.calls == self._until:
            kill()
        return self._inner.generate(prompt)


def kill_at_save(number: int) -> None:
    """Be killed at that system call of writing the cassette, before it or in the middle of it."""
    left = [number]

    def dying(function: Any, *, half: bool = False) -> Any:
        def run(*args: Any, **keywords: Any) -> Any:
            left[0] -= 1
            if left[0] == 0:
                if half:
                    args[0].write(args[1][: len(args[1]) // 2])
                    args[0].flush()
                kill()
            return function(*args, **keywords)

        return run

    class File:
        """The file that is written, whose every call may be the last."""

        def __init__(self, file: Any) -> None:
            self._file = file
            self.write = lambda data: dying(lambda f, d: f.write(d), half=True)(file, data)
            self.flush = dying(file.flush)
            self.fileno = file.fileno

        def __enter__(self) -> Self:
            return self

        def __exit__(self, *about: object) -> None:
            dying(self._file.close)()

    real_open, real_write = os.fdopen, persister.write_whole

    def write_whole(path: pathlib.Path, data: bytes) -> None:
        """Only here, so that the journal is not counted."""
        tempfile.mkstemp = dying(tempfile.mkstemp)
        os.fdopen = lambda *args, **keywords: File(real_open(*args, **keywords))
        os.fsync = dying(os.fsync)
        pathlib.Path.chmod = dying(pathlib.Path.chmod)  # type: ignore[method-assign]
        pathlib.Path.replace = dying(pathlib.Path.replace)  # type: ignore[method-assign]
        real_write(path, data)
        kill_after_save()

    def kill_after_save() -> None:
        if left[0] > 0:
            left[0] -= 1
            if left[0] == 0:
                kill()

    persister.write_whole = write_whole


def record(path: pathlib.Path, mode: str, llm: Any, fruit: tuple[str, ...]) -> None:
    config = LoopConfig(max_steps=10)
    if mode == "new_episodes":
        config = LoopConfig(max_steps=10, system_prompt="Be brief.")
    with use_cassette(path, record_mode=mode, tools="recorded") as cassette:  # type: ignore[arg-type]
        for _ in composable_loop(
            llm=cassette.wrap_llm(llm),
            tools=cassette.wrap_tools(Desk().tools()),
            config=cassette.wrap_config(config),
            task={"description": "Price the stock"},
        ):
            pass


def main(path: str, what: str, point: str, number: str) -> None:
    warnings.simplefilter("ignore")
    fruit = FRUIT if what == "once" else LATER
    until = int(number) if point == "call" else -1
    llm = Mortal(script(fruit), until)
    if point == "save":
        kill_at_save(int(number))
    if what == "fork":
        fork(path, at=2, agent=agent(), llm=llm, into=f"{path}.child")
    else:
        record(pathlib.Path(path), what, llm, fruit)


if __name__ == "__main__":
    main(*sys.argv[1:])
