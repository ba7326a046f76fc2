"""Requests caught on their way out, by vcrpy's patches of HTTP clients. Knows no file.

The patches hold for the whole process, so one cassette is open at a time. In a replay a guard on
sockets catches what vcrpy does not see: a client that it does not know, or one made before.
"""

from __future__ import annotations

import ipaddress
import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from functools import lru_cache
from typing import Any
from unittest import mock

from looplet.errors import CassetteError, MissingExtra
from looplet.replay.http.tape import Policy, Tape

_OPEN: list[Tape] = []
_OPENING = threading.Lock()


@contextmanager
def captured(tape: Tape, *, block_network: bool) -> Iterator[None]:
    """Let a tape answer every request of the process. Raises ``CassetteError`` if another does."""
    capture = _capture_class()
    _take_turn(tape)
    try:
        with ExitStack() as patches:
            patches.enter_context(capture.use(tape=tape, path=str(tape.path)))
            if block_network and tape.policy is Policy.REPLAY:
                patches.enter_context(_guarded_sockets(tape))
            yield
    finally:
        with _OPENING:
            _OPEN.remove(tape)


def _take_turn(tape: Tape) -> None:
    import http.client

    with _OPENING:
        if _OPEN:
            raise CassetteError(
                f"HTTP cassette {tape.path} cannot be opened while {_OPEN[-1].path} is open: "
                "requests of the whole process go to one of them. Close that one first; in "
                "threads, open one cassette around them all."
            )
        if getattr(http.client.HTTPConnection, "cassette", None) is not None:
            raise CassetteError(
                f"HTTP cassette {tape.path} cannot be opened inside a cassette of vcrpy's own: "
                "requests would go to either. Use one of the two."
            )
        _OPEN.append(tape)


@lru_cache(maxsize=1)
def _capture_class() -> Any:
    try:
        import vcr.cassette  # type: ignore[import-untyped]  # vcrpy ships no types
    except ImportError as error:
        raise MissingExtra("vcrpy", needed_for="use_cassette", extra="replay") from error

    class Capture(vcr.cassette.Cassette):  # type: ignore[misc]
        """What vcrpy's patches ask; every answer is the tape's."""

        def __init__(self, *, tape: Tape, path: str) -> None:
            super().__init__(path)
            self._tape = tape

        @property
        def write_protected(self) -> bool:
            return False  # a request that may not be sent has raised before this is asked

        def can_play_response_for(self, request: Any) -> bool:
            return self._tape.claims(request)

        def play_response(self, request: Any) -> dict[str, Any]:
            return self._tape.play(request)

        def append(self, request: Any, response: Mapping[str, Any]) -> None:
            self._tape.keep(request, response)

        def find_requests_with_most_matches(self, request: Any) -> list[tuple[Any]]:
            return [(request,)]

        def _load(self) -> None:
            """Do nothing: the tape was read before."""

        def _save(self, *, force: bool = False) -> None:
            """Do nothing: the tape is written when the block has ended well."""

    return Capture


@contextmanager
def _guarded_sockets(tape: Tape) -> Iterator[None]:
    """Let no socket connect to another machine, nor to a local service that was recorded."""
    ports = {_port_of(each.asked.uri) for each in tape.old}

    def guarded(connect: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
        def checked(self: socket.socket, address: Any) -> Any:
            if _is_network(self, address) and not (_is_local(address) and address[1] not in ports):
                self.close()  # who made it expects errors of the network alone, and would not
                raise tape.diverge(
                    f"a connection to {address[0]} port {address[1]} was wanted by a client that "
                    "the cassette cannot answer.\nNothing was sent. If the connection is no part "
                    "of what was recorded, such as one to a database, allow it: "
                    f"use_cassette({str(tape.path)!r}, block_network=False)."
                )
            return connect(self, address)

        return checked

    with ExitStack() as patches:
        for name in ("connect", "connect_ex"):
            real = getattr(socket.socket, name)
            patches.enter_context(mock.patch.object(socket.socket, name, guarded(real)))
        yield


def _is_network(sock: socket.socket, address: Any) -> bool:
    return sock.family in {socket.AF_INET, socket.AF_INET6} and isinstance(address, tuple)


def _is_local(address: tuple[Any, ...]) -> bool:
    host = str(address[0])
    try:
        return ipaddress.ip_address(host.partition("%")[0]).is_loopback
    except ValueError:
        return host == "localhost"


def _port_of(uri: str) -> int | None:
    from urllib.parse import urlsplit

    parts = urlsplit(uri)
    return parts.port or {"http": 80, "https": 443}.get(parts.scheme)
