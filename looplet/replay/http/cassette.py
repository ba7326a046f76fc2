"""The HTTP cassette a user opens: its record mode, and what becomes of its file."""

from __future__ import annotations

import inspect
import os
from collections.abc import Awaitable, Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from functools import wraps
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, ParamSpec, TypeVar, cast, get_args

from looplet.errors import CassetteError
from looplet.redaction import Redactor
from looplet.redaction.redactor import Given
from looplet.replay.divergence import Divergence
from looplet.replay.http.bodies import Unreadable
from looplet.replay.http.capture import captured
from looplet.replay.http.files import Recorded, hash_of, read, sealed_text, write
from looplet.replay.http.interactions import Asked, Censor
from looplet.replay.http.tape import Policy, Tape
from looplet.replay.persister import write_whole

_Given = ParamSpec("_Given")
_Result = TypeVar("_Result")

HttpRecordMode = Literal["none", "once", "new_episodes", "all", "rewrite"]
"""Replay only; record if there is no cassette, else replay; replay and record what is new; record
anew, by two names."""


class HttpCassette:
    """Recorded requests and responses; made by ``use_cassette``."""

    def __init__(self, tape: Tape, *, content_hash: str | None) -> None:
        self._tape = tape
        self.content_hash = content_hash
        """SHA-256 of the file, in hex; ``None`` until a recording is written."""

    @property
    def path(self) -> Path:
        """The cassette's file."""
        return self._tape.path

    @property
    def recording(self) -> bool:
        """Whether a request that was not recorded goes to the network and is kept."""
        return self._tape.policy is not Policy.REPLAY

    @property
    def played(self) -> int:
        """How many responses were handed out from the file."""
        return sum(each.plays for each in self._tape.old)

    @property
    def unplayed(self) -> int:
        """How many recorded responses nobody has asked for."""
        return sum(not each.plays for each in self._tape.old)

    @property
    def recorded(self) -> int:
        """How many responses were kept that came from the network."""
        return sum(each.response is not None for each in self._tape.new)

    @property
    def divergence(self) -> Divergence | None:
        """The last divergence of this replay, also if somebody caught it."""
        return self._tape.divergence

    def __len__(self) -> int:
        """How many interactions there are, read from the file and new."""
        return len(self._tape.old) + self.recorded


class CassetteBlock(AbstractContextManager[HttpCassette]):
    """What ``use_cassette`` gives: to be entered, or put before a function, async ones too."""

    def __init__(self, make: Callable[[], AbstractContextManager[HttpCassette]]) -> None:
        self._make = make
        self._entered: list[AbstractContextManager[HttpCassette]] = []

    def __enter__(self) -> HttpCassette:
        """Open the cassette."""
        block = self._make()
        cassette = block.__enter__()
        self._entered.append(block)
        return cassette

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> bool | None:
        """Close it: write what was recorded, if the block has ended well."""
        return self._entered.pop().__exit__(kind, error, traceback)

    def __call__(self, function: Callable[_Given, _Result]) -> Callable[_Given, _Result]:
        """Open the cassette around each call of a function, and of an async one's whole run."""
        if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
            raise CassetteError(
                f"{function.__name__} is a generator: open the cassette inside it, by a with block"
            )

        @wraps(function)
        def called(*args: _Given.args, **kwargs: _Given.kwargs) -> _Result:
            with self._make():
                return function(*args, **kwargs)

        @wraps(function)
        async def awaited(*args: _Given.args, **kwargs: _Given.kwargs) -> Any:
            with self._make():
                return await cast("Awaitable[Any]", function(*args, **kwargs))

        made: Any = awaited if inspect.iscoroutinefunction(function) else called
        return cast("Callable[_Given, _Result]", made)


def use_cassette(
    path: str | os.PathLike[str],
    *,
    record_mode: HttpRecordMode = "none",
    redact: Given | None = None,
    allow_playback_repeats: bool = False,
    keep_headers: Iterable[str] = (),
    block_network: bool = True,
) -> CassetteBlock:
    """Record HTTP requests of any client vcrpy knows into a file, or replay them from it.

    Requests are matched by method, scheme, host, port, path, parameters and body, where JSON is
    compared as JSON. In mode ``none``, and in ``once`` where there is a file, one that was not
    recorded raises ``Divergence``, which is no ``Exception``, and nothing is sent.

    ``redact`` is what ``Redactor.of`` takes. Headers that may hold a secret are hidden whatever it
    is; ``keep_headers`` names some that are not. Equal requests get their responses in the order
    of the recording; ``allow_playback_repeats`` gives the last one again and again. A replay lets
    no socket connect to another machine, for clients that vcrpy does not know, unless
    ``block_network`` is false.

    Raises ``CassetteMissing``, ``CassetteDamaged``, and ``CassetteError`` if another HTTP cassette
    is open in this process. A block that fails leaves the cassette as it was, and what it has
    recorded in a file beside it, named ``.partial``.
    """

    def make() -> AbstractContextManager[HttpCassette]:
        censor = Censor(Redactor.of(redact), keep_headers=keep_headers)
        tape, content_hash = _opened(
            Path(path), record_mode, censor, repeats=allow_playback_repeats
        )
        return _used(tape, content_hash, block_network=block_network)

    return CassetteBlock(make)


@contextmanager
def _used(tape: Tape, content_hash: str | None, *, block_network: bool) -> Iterator[HttpCassette]:
    cassette = HttpCassette(tape, content_hash=content_hash)
    try:
        with captured(tape, block_network=block_network):
            yield cassette
        _raise_what_was_missed(tape)
    except BaseException as error:
        _set_aside(tape, error)
        raise
    if cassette.recording:
        cassette.content_hash = _finished(tape, content_hash)


def _opened(path: Path, mode: str, censor: Censor, *, repeats: bool) -> tuple[Tape, str | None]:
    if mode not in get_args(HttpRecordMode):
        modes = ", ".join(repr(each) for each in get_args(HttpRecordMode))
        raise CassetteError(f"record_mode {mode!r} is not known; it is one of {modes}")
    if mode in {"all", "rewrite"}:
        return Tape(path, policy=Policy.RECORD, censor=censor), hash_of(path)
    if mode != "none" and hash_of(path) is None:
        return Tape(path, policy=Policy.RECORD, censor=censor), None
    found = read(path)
    policy = Policy.EXTEND if mode == "new_episodes" else Policy.REPLAY
    reader = censor.of_redacted() if found.own else censor
    as_it_is = found.own or policy is Policy.REPLAY
    recorded = list(_recorded(path, found, reader, as_it_is=as_it_is))
    tape = Tape(path, policy=policy, censor=censor, recorded=recorded, repeats=repeats)
    return tape, found.content_hash


def _recorded(
    path: Path, found: Recorded, censor: Censor, *, as_it_is: bool
) -> Iterator[tuple[Asked, dict[str, Any]]]:
    for request, response in found.interactions:
        try:
            asked = censor.request(request)
            yield asked, response if as_it_is else censor.response(response, request)
        except Unreadable as error:
            raise CassetteError(f"HTTP cassette {path}, {request.uri}: {error}") from error


def _finished(tape: Tape, content_hash: str | None) -> str | None:
    """Write what a block has recorded; the hash of what is there now."""
    if tape.policy is Policy.EXTEND and not tape.new:
        return content_hash
    interactions = tape.interactions()
    if not interactions and content_hash is not None:
        raise CassetteError(
            f"HTTP cassette {tape.path} is not replaced by an empty one: no request was seen. If "
            "that is right, delete the file; else a client was used that vcrpy does not know."
        )
    try:
        return write(tape.path, interactions, instead_of=content_hash)
    except BaseException as error:
        _set_aside(tape, error)
        raise


def _raise_what_was_missed(tape: Tape) -> None:
    """Errors that ended another thread, or that code of the block has caught and passed over."""
    missed = tape.failure or tape.lost_divergence()
    if missed is not None:
        raise missed


def _set_aside(tape: Tape, error: BaseException) -> None:
    """Keep what a block that failed has recorded, where no replay takes it for a cassette."""
    if tape.policy is Policy.REPLAY or not any(each.response is not None for each in tape.new):
        return
    place = tape.path.with_name(tape.path.name + ".partial")
    with suppress(OSError):
        write_whole(place, sealed_text(tape.interactions()).encode())
        error.add_note(
            f"HTTP cassette {tape.path} was left as it was; what the block has recorded is in "
            f"{place}. Rename it to use it."
        )
