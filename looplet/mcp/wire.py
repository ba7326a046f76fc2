"""A session with a server, on a thread of its own. Knows no tool and no kind of server."""

from __future__ import annotations

import threading
from collections.abc import Awaitable, Callable
from concurrent.futures import CancelledError, Future
from contextlib import suppress
from typing import Any

from looplet.core.cancel import CancelToken
from looplet.errors import RunCancelled
from looplet.mcp.failures import (
    MCPServerLost,
    MCPSessionGone,
    MCPTimeout,
    explained,
    is_session_gone,
)
from looplet.mcp.servers import HEARD, Heard, Server

CLOSE_SECONDS = 10.0
"""How long the end of a session is waited for; the SDK and its servers are bounded well below."""
LOOK_SECONDS = 0.5
"""How often a cancel token that cannot wake its children is looked at."""

Request = Callable[[Any], Awaitable[Any]]
"""What is asked of the SDK's session."""


class Wire:
    """The way to a server: one connection, opened by first use, and anew where that is possible."""

    def __init__(self, server: Server, timeout: float) -> None:
        self.server = server
        self.timeout = timeout
        self._lock = threading.Lock()
        self._connection: Connection | None = None
        self._closed = False

    def connect(self, token: CancelToken | None = None) -> Connection:
        """The open connection. Raises what kept it from being opened."""
        with self._lock:
            if self._closed:
                raise MCPServerLost(f"{self.server.shown} was closed; make another MCPToolAdapter")
            current = self._connection
            if current is None or (current.over and self.server.reopens):
                current = self._connection = Connection(self.server, self.timeout)
                current.start()
        _wait(current.session, token)
        return current

    def ask(self, request: Request, token: CancelToken | None = None) -> Any:
        """The answer to a request, which is given up after the timeout or when the token is set.

        A session that the server has forgotten is opened anew, once, and asked again: what a
        server does not know it has not begun.
        """
        connection = self.connect(token)
        try:
            return connection.ask(request, self.timeout, token)
        except MCPSessionGone:
            self._drop(connection)
        return self.connect(token).ask(request, self.timeout, token)

    def close(self) -> None:
        """End the session, and with it a server's process. Safe to repeat."""
        with self._lock:
            self._closed = True
            connection, self._connection = self._connection, None
        if connection is not None:
            connection.stop()
            connection.join()

    def _drop(self, connection: Connection) -> None:
        with self._lock:
            if self._connection is connection:
                self._connection = None
        connection.stop()


class Connection:
    """One session, from its greeting to its end."""

    def __init__(self, server: Server, timeout: float) -> None:
        import asyncio

        self.server = server
        self.session: Future[Any] = Future()
        """The SDK's session, or why there is none."""
        self.over = False
        self._timeout = timeout
        self._why = ""
        self._lock = threading.Lock()
        self._answers: set[Future[Any]] = set()
        self._loop = asyncio.new_event_loop()
        self._closing = asyncio.Event()
        self._serving: asyncio.Task[None] | None = None
        self._thread = threading.Thread(target=self._run, name="looplet-mcp", daemon=True)

    def start(self) -> None:
        """Begin; ``session`` tells how it went."""
        self._thread.start()

    def stop(self) -> None:
        """Ask for the end, from any thread; it is not waited for."""
        with suppress(RuntimeError):  # it has ended by itself
            self._loop.call_soon_threadsafe(self._leave)

    def join(self) -> None:
        """Wait for the end."""
        if self._thread is not threading.current_thread():
            self._thread.join(CLOSE_SECONDS)

    def ask(self, request: Request, timeout: float, token: CancelToken | None) -> Any:
        """The answer to a request; it is withdrawn when nobody waits for it any more."""
        import asyncio

        waiting = self._asked(request, self.session.result(), timeout)
        with self._lock:
            if self.over:
                waiting.close()
                raise self._lost()
            answer = asyncio.run_coroutine_threadsafe(waiting, self._loop)
            self._answers.add(answer)
        try:
            return _wait(answer, token)
        except CancelledError:  # closing, or the connection's end, came before the answer
            waiting.close()
            raise self._lost() from None
        finally:
            answer.cancel()
            with self._lock:
                self._answers.discard(answer)

    def _lost(self) -> MCPServerLost:
        return MCPServerLost(self._why or f"{self.server.shown} has ended")

    async def _asked(self, request: Request, session: Any, seconds: float) -> Any:
        import asyncio

        heard, shown = Heard(), self.server.shown
        HEARD.set(heard)
        try:
            return await asyncio.wait_for(request(session), seconds)
        except TimeoutError as error:
            raise MCPTimeout(f"{shown} gave no answer in {seconds:g} s") from error
        except Exception as error:
            if heard.session_gone or is_session_gone(error):
                raise MCPSessionGone(f"{shown} has forgotten the session") from error
            raise explained(error, shown, heard.status) from error

    def _run(self) -> None:
        import asyncio

        failure: BaseException | None = None
        try:
            with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
                runner.run(self._serve())
        except BaseException as error:  # noqa: BLE001 - told to whoever asks
            failure = error
        self._end(failure)

    async def _serve(self) -> None:
        import asyncio
        from contextlib import AsyncExitStack

        from mcp import ClientSession

        self._serving = asyncio.current_task()
        try:
            async with AsyncExitStack() as stack:
                if self._closing.is_set():
                    raise asyncio.CancelledError
                read, write = await self.server.open(stack)
                session = await stack.enter_async_context(ClientSession(read, write))
                await self._asked(lambda session: session.initialize(), session, self._timeout)
                self.session.set_result(session)
                await self._closing.wait()
        finally:
            with self._lock:
                self.over = True

    def _leave(self) -> None:
        self._closing.set()
        if self._serving is not None and not self.session.done():
            self._serving.cancel()

    def _end(self, failure: BaseException | None) -> None:
        """Tell everybody who waits for a session, or for an answer that cannot come."""
        if failure is not None:
            told = explained(failure, self.server.shown)
            self._why = str(told)
            if not self.session.done():
                self.session.set_exception(told)
        with self._lock:
            self.over = True
            left = list(self._answers)
        for answer in left:
            answer.cancel()


def _wait(answer: Future[Any], token: CancelToken | None) -> Any:
    """What a future gives. Raises ``RunCancelled`` as soon as the token is set."""
    if token is None:
        return answer.result()
    either = CancelToken(parent=token)
    answer.add_done_callback(lambda _: either.cancel())
    while not answer.done():
        either.wait(LOOK_SECONDS)
        if token.is_cancelled and not answer.done():
            raise RunCancelled("cancelled while an MCP server was asked")
    return answer.result()
