"""The cassette a user holds: opened in a record mode, wrapped around backends, tools and a config.

Knows the halves of a cassette; knows nothing of loops and nothing of YAML.
"""

from __future__ import annotations

import os
import random
import secrets
import threading
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any, Literal

from looplet.core.backend import is_async
from looplet.core.codec import JSON
from looplet.core.config import LoopConfig
from looplet.core.failures import INTERRUPTS
from looplet.core.runtime import Runtime
from looplet.errors import CassetteError
from looplet.redaction import Given, Redactor
from looplet.replay import persister
from looplet.replay.chance import Chance
from looplet.replay.divergence import Divergence, SideEffectRefused
from looplet.replay.entries import DISPATCH, RunLog
from looplet.replay.journal import read_journal
from looplet.replay.mixing import Mixed
from looplet.replay.opening import Half, Opened, RecordMode, open_half, release
from looplet.replay.playback import Player, verify
from looplet.replay.recording import write_recovered
from looplet.replay.runs import GuardingWatcher, RunWatcher
from looplet.replay.session import AsyncCassetteBackend, CassetteBackend
from looplet.replay.tooling import CassetteTools

ToolsMode = Literal["live", "recorded"]
StreamMode = Literal["instant", "realtime"]


class Cassette:
    """Recorded calls of models and tools; made by ``use_cassette``."""

    def __init__(
        self,
        opened: Opened,
        *,
        metadata: Mapping[str, JSON],
        tools: ToolsMode = "live",
        stream: StreamMode = "instant",
    ) -> None:
        self._half: Half = opened.half
        self._reserved = opened.reserved
        self._tools, self._realtime = tools, stream == "realtime"
        self._tools_wrapped = False
        self._lock = threading.Lock()
        self._random: random.Random | None = None
        self.metadata = metadata
        """What ``use_cassette(metadata=...)`` was given when the cassette was recorded."""

    @property
    def path(self) -> Path:
        """The cassette's file."""
        return self._half.path

    @property
    def recording(self) -> bool:
        """Whether calls go to a model and are kept; else they are answered from the file."""
        half = self._half
        return half.recorder is not None if isinstance(half, Mixed) else half.live

    @property
    def content_hash(self) -> str | None:
        """SHA-256 of the file, in hex; ``None`` until a recording is written."""
        found: str | None = self._half.persister.content_hash
        return found

    @property
    def played(self) -> int:
        """How many recorded calls were replayed; those in the course of a replayed tool count."""
        return 0 if self._player is None else self._player.played

    @property
    def unplayed(self) -> int:
        """Recorded calls that nobody asked for, in a replay; where tools run, none of theirs."""
        player = self._player
        if player is None or self.recording:
            return 0
        return sum(
            self._tools == "recorded" or method != DISPATCH for _, _, method in player.unplayed()
        )

    @property
    def divergence(self) -> Divergence | None:
        """The first divergence of this replay, also if somebody caught it."""
        return None if self._player is None else self._player.divergence

    def clear_divergence(self) -> None:
        """Go on after a divergence that was expected.

        Without this every later call raises it again, and if anything went on after it, so does
        the end of the ``with`` block: code that catches everything must not turn a replay that
        failed into one that passed.
        """
        if self._player is not None:
            self._player.divergence, self._player.went_on = None, False
            self._player.diverged_in = None

    def overlook_results(self) -> None:
        """Let questions of this replay differ from recorded ones in what tools gave.

        They are answered as they were when the tools gave something else: what the model would say
        now is not known. So it can be seen what a changed tool does to a run in which the model
        does the same; ``overlooked`` counts such answers. Only results in messages of their own
        are told from the rest of a question, as they are where tools are called natively. Nothing
        is overlooked in a recording. Raises ``CassetteError`` in mode ``new_episodes``, which goes
        live where something differs.
        """
        if isinstance(self._half, Mixed):
            raise CassetteError(
                f"cassette {self.path} goes live where a question differs, so nothing can be "
                'overlooked; replay it with record_mode="none"'
            )
        if self._player is not None:
            self._player.overlook_results()

    @property
    def overlooked(self) -> int:
        """How many questions were answered although tools gave something else before them."""
        return 0 if self._player is None else self._player.overlooked

    @property
    def parent(self) -> Mapping[str, JSON] | None:
        """Of a fork: ``sha256`` of the cassette it came from, and ``at``, the first live step."""
        return None if self._player is None else self._player.parent

    @property
    def runs(self) -> list[RunLog]:
        """The runs that were recorded through ``wrap_config``, with their digest chains."""
        return self._half.runs

    @property
    def replayed(self) -> list[RunLog]:
        """The runs of this replay, as far as they went."""
        return [] if self._player is None else [chain.log for chain in self._player.replayed]

    @property
    def random(self) -> random.Random:
        """Random numbers that a replay draws again; the same generator each time.

        A recorded tool call draws numbers of its own, whatever is drawn elsewhere meanwhile.
        Threads of your own that draw at the same time draw in no order.
        """
        with self._lock:
            if self._random is not None:
                return self._random
            half = self._half
            seed = half.seed
            if seed is None:
                if isinstance(half, Player):
                    raise CassetteError(
                        f"nothing random was recorded in {self.path}; record it again with an "
                        "agent that draws from cassette.random"
                    )
                seed = secrets.randbits(32)
                half.seed_with(seed)
            self._random = Chance(seed)
            return self._random

    @property
    def runtime(self) -> Runtime:
        """A clock for whoever records a trajectory: in a replay, that of the recording."""
        half = self._half
        if isinstance(half, Mixed):
            return half.clock()
        return half.clock.runtime() if isinstance(half, Player) else Runtime()

    def __len__(self) -> int:
        """How many calls are recorded."""
        return len(self._half)

    def wrap_llm(self, llm: Any, *, lane: str = "main", async_: bool | None = None) -> Any:
        """Put the cassette around a backend; the result is a backend of the same shape.

        A replay asks nothing of ``llm`` but its model's name and its keywords, and takes ``None``
        for a backend as the cassette describes it (``async_=True`` for the async loop). ``lane``
        keeps the calls of one caller apart from those of others; a call's own ``scope=`` names
        it too. Give callers that ask the same at the same time lanes of their own: within a lane
        equal requests are answered in the order in which they are made.
        """
        if llm is None and self._half.live:
            raise CassetteError(
                f"cassette {self.path} is being recorded, and that needs a backend: "
                "wrap_llm(None) is for a replay"
            )
        asynchronous = is_async(llm) if async_ is None else async_
        kind = AsyncCassetteBackend if asynchronous else CassetteBackend
        return kind(llm, self._half, lane=lane, realtime=self._realtime, may_ask=self._may_ask)

    def wrap_tools(self, tools: Any, *, lane: str = "main") -> Any:
        """Put the cassette around a registry of tools, if it was opened with ``tools="recorded"``.

        Recording, tools run and their results are kept. In a replay the results come from the
        cassette and no tool runs, whatever way it is reached. With ``tools="live"`` the registry is
        given back as it is. Agents that run side by side and ask the same of their tools need
        a ``lane`` each, as for ``wrap_llm``.
        """
        if self._tools == "live":
            return tools
        self._tools_wrapped = True
        return CassetteTools(self._half, tools, lane=lane)

    def wrap_config(self, config: LoopConfig | None = None) -> LoopConfig:
        """A config for one run, whose steps, clock and identifiers go through the cassette.

        What the run reads from ``config.runtime`` is recorded and read again in a replay, where
        nothing is waited for. The run's digest chain is kept with its steps.
        """
        config = LoopConfig() if config is None else config
        watcher = GuardingWatcher if self._tools == "recorded" else RunWatcher
        return replace(
            config,
            runtime=self._half.runtime(config.runtime),
            hooks=[*config.hooks, watcher(self._half)],
        )

    @contextmanager
    def ambient(self) -> Iterator[Cassette]:
        """Put the cassette around every loop that starts in the block, in whatever thread.

        Backend, tools, config and router of each are wrapped as ``wrap_llm``, ``wrap_tools`` and
        ``wrap_config`` do it, so that code which starts loops need not know of the cassette. What
        is wrapped already is left. Each loop is a run, but for one inside of a tool, which is part
        of the run around it; of loops that look alike (task, model, settings, tools) the second
        has the lane ``run:2``, and so on in the order in which they start. Not reached are loops
        in other processes, and backends that hooks and tools ask by themselves.

        Raises ``CassetteError`` if another cassette is ambient.
        """
        from looplet.replay.ambient import ambient  # it knows cassettes

        with ambient(self, self._half):
            yield self

    def close(self, error: BaseException | None = None) -> None:
        """Write what was recorded; ``error`` is what ended the run early, if anything.

        Raises the ``Divergence`` of a replay that went on although it had diverged, or that failed
        because of it in another way, or of which it ended another thread.
        """
        try:
            if not isinstance(self._half, Player):
                self._half.close(error or self.divergence)
        finally:
            release(self._reserved)
        divergence = self.divergence
        if divergence is not None and error is not divergence and self._hides_it(error):
            raise divergence from error

    def _hides_it(self, error: BaseException | None) -> bool:
        """Whether the run did not end as the divergence, and it was not caught on purpose."""
        player = self._player
        assert player is not None
        if error is None:
            return player.went_on or player.diverged_in != threading.get_ident()
        if isinstance(error, INTERRUPTS):
            return False
        return player.went_on or stems_from(error, player.divergence)

    @property
    def _player(self) -> Player | None:
        half = self._half
        if isinstance(half, Mixed):
            return half.player
        return half if isinstance(half, Player) else None

    def _may_ask(self) -> None:
        """Refuse a replay whose tools would run although they are to come from the cassette."""
        if self._tools == "recorded" and not self._tools_wrapped:
            raise SideEffectRefused(
                f'cassette {self.path} was opened with tools="recorded", and no registry was '
                "wrapped: pass the loop cassette.wrap_tools(tools), or open it with "
                'tools="live" if tools may run'
            )


def use_cassette(
    path: str | os.PathLike[str],
    *,
    record_mode: RecordMode = "none",
    tools: ToolsMode = "live",
    redact: Given | None = None,
    stream: StreamMode = "instant",
    metadata: Mapping[str, JSON] | None = None,
) -> AbstractContextManager[Cassette]:
    """Record calls into a file, or replay them from it.

    Modes: ``none`` replays and never asks a model; ``once`` records if there is no cassette and
    replays otherwise; ``new_episodes`` replays up to the first request that was not recorded, asks
    from there on, and replaces the cassette; ``all`` and ``rewrite`` record anew and replace it.
    A cassette is replaced when the block ends well; otherwise it stays.

    ``tools="recorded"`` puts what ``wrap_tools`` is given through the cassette too. ``redact`` says
    what must not be written, beside keys and tokens of known looks and the environment's: secrets,
    a mapping of names to them, a function of a text, or a ``Redactor``; ``False`` writes all as it
    is. ``stream="realtime"`` lets a replay take the time that the recording took.

    Raises ``CassetteMissing``, ``CassetteDamaged`` or ``CassetteError``; a replay that is asked
    for what was not recorded raises ``Divergence``, which is no ``Exception``.

    >>> import tempfile
    >>> from looplet.testing import MockLLMBackend
    >>> path = tempfile.mkdtemp() + "/greeting.yaml"
    >>> with use_cassette(path, record_mode="once") as cassette:
    ...     cassette.wrap_llm(MockLLMBackend(responses=["Hello!"])).generate("Say hello.")
    'Hello!'
    >>> with use_cassette(path) as cassette:
    ...     cassette.wrap_llm(None).generate("Say hello.")
    'Hello!'
    """
    check_choice("tools", tools, ToolsMode)
    check_choice("stream", stream, StreamMode)
    return CassetteBlock(
        _opened(Path(path), record_mode, tools, Redactor.of(redact), stream, metadata or {})
    )


class CassetteBlock(AbstractContextManager[Cassette]):
    """What ``use_cassette`` gives: a ``with`` block's context manager, and no decorator.

    A decorated function would have no cassette to wrap anything with, and an async one would run
    when the block is over.
    """

    def __init__(self, block: AbstractContextManager[Cassette]) -> None:
        self._block = block

    def __enter__(self) -> Cassette:
        """Open the cassette."""
        return self._block.__enter__()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> bool | None:
        """Close it, with what ended the block."""
        return self._block.__exit__(kind, error, traceback)


@contextmanager
def _opened(
    path: Path,
    mode: RecordMode,
    tools: ToolsMode,
    redactor: Redactor,
    stream: StreamMode,
    metadata: Mapping[str, JSON],
) -> Iterator[Cassette]:
    opened = open_half(path, mode, metadata, redactor if redactor.active else None, tools)
    with held(opened, metadata=metadata, tools=tools, stream=stream) as cassette:
        yield cassette


@contextmanager
def held(opened: Opened, *, metadata: Mapping[str, JSON], **options: Any) -> Iterator[Cassette]:
    """A cassette around an opened half, closed in every end of the block."""
    recorded = getattr(opened.half, "metadata", None)
    cassette = Cassette(opened, metadata=metadata if recorded is None else recorded, **options)
    try:
        yield cassette
    except BaseException as error:
        cassette.close(error)
        raise
    cassette.close()


def stems_from(error: BaseException | None, divergence: BaseException | None) -> bool:
    """Whether an error is a divergence, was raised because of it, or is a group that holds it."""
    seen: set[int] = set()
    left = [error]
    while left:
        each = left.pop()
        if each is None or id(each) in seen:
            continue
        if each is divergence:
            return True
        seen.add(id(each))
        left += [each.__cause__, None if each.__suppress_context__ else each.__context__]
        if isinstance(each, BaseExceptionGroup):
            left += each.exceptions
    return False


def check_choice(name: str, given: str, kind: Any) -> None:
    """Raise ``CassetteError`` for a word that is none of those of a ``Literal``."""
    from typing import get_args

    if given not in get_args(kind):
        words = " or ".join(repr(each) for each in get_args(kind))
        raise CassetteError(f"{name}={given!r} is not known; it is {words}")


def accept_edit(path: str | os.PathLike[str]) -> int:
    """Seal a cassette anew after somebody edited replies in it; how many calls it has.

    Only the footer is rewritten. Requests are checked: an edited one is refused with
    ``CassetteDamaged``, since an agent asks its own requests, and the file stays as it was.
    """
    place = Path(path)
    sealed = persister.reseal(persister.read(place), place)
    count = verify(place, sealed)
    persister.write_whole(place, sealed)
    return count


def recover(path: str | os.PathLike[str], *, into: str | os.PathLike[str]) -> int:
    """Write the calls of a journal that a killed recording left as a cassette; how many they are.

    The journal stays. Raises ``CassetteError`` if ``into`` is there already.
    """
    if Path(into).exists():
        raise CassetteError(f"{into} is there already; recover into a new file")
    found = read_journal(Path(path))
    write_recovered(found, Path(into))
    return found.count
