"""Tools of MCP servers. Knows the official ``mcp`` SDK; knows no loop."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
import threading
import weakref
from collections.abc import Awaitable, Callable, Mapping, Sequence
from concurrent.futures import Future
from functools import partial
from importlib.util import find_spec
from typing import Any, Self

from looplet.core.codec import JSON
from looplet.core.registry import BaseToolRegistry
from looplet.core.tools import ToolSpec
from looplet.errors import LoopletError, MissingExtra

CLOSE_SECONDS = 10.0
"""How long the end of a server is waited for; the SDK kills it well before."""
CONNECTION_CLOSED = -32000
"""The SDK's code for a request whose connection ended before its answer."""


class MCPTimeout(LoopletError, TimeoutError):
    """A server did not answer in time."""


class MCPServerLost(LoopletError, ConnectionError):
    """A server cannot be started, or has ended."""


class MCPRefused(LoopletError, RuntimeError):
    """A server answered a request with a protocol error."""


class MCPToolAdapter:
    """The tools of one MCP server, which runs as a process of its own and is started by first use.

    ``command`` is a list, or a string that is split as a shell would split it; no shell runs.
    ``env`` is added to the few variables that the SDK passes on. ``timeout`` bounds every request,
    in seconds. It serves sync and async code and several threads: the connection lives on a thread
    of its own. Raises ``MissingExtra`` without the SDK; ``MCPServerLost`` and ``MCPTimeout`` where
    the server is asked, which tools give as NETWORK and TIMEOUT errors.
    """

    def __init__(
        self,
        command: str | Sequence[str],
        *,
        env: Mapping[str, str] | None = None,
        cwd: str | os.PathLike[str] | None = None,
        timeout: float = 30.0,
    ) -> None:
        if find_spec("mcp") is None:
            raise MissingExtra("mcp", needed_for="MCPToolAdapter")
        words = shlex.split(command) if isinstance(command, str) else list(command)
        if not words:
            raise ValueError("command is empty: pass the server's program and its arguments")
        self._wire = _Wire(words, dict(env or {}), cwd, timeout)
        # Runs once: by close(), when the adapter is garbage, or at interpreter exit.
        self._end = weakref.finalize(self, self._wire.close)

    @classmethod
    def connect_stdio(
        cls,
        command: str | Sequence[str],
        *,
        env: Mapping[str, str] | None = None,
        cwd: str | os.PathLike[str] | None = None,
        timeout: float = 30.0,
    ) -> MCPToolAdapter:
        """Start the server and initialise the session; ``timeout`` bounds this, too."""
        adapter = cls(command, env=env, cwd=cwd, timeout=timeout)
        try:
            adapter._wire.connect()
        except BaseException:
            adapter.close()
            raise
        return adapter

    def list_tools(self) -> list[ToolSpec]:
        """One spec for each tool of the server; a read-only one is ``concurrent_safe``."""
        tools: list[Mapping[str, Any]] = []
        cursor: str | None = None
        while True:
            page = _dump(self._wire.ask(partial(_list_tools, cursor=cursor)))
            tools += page["tools"]
            cursor = page.get("nextCursor")
            if not cursor:
                return [self._spec(tool) for tool in tools]

    def tools(self) -> list[ToolSpec]:
        """Do the same as ``list_tools``."""
        return self.list_tools()

    def register_all(self, registry: BaseToolRegistry) -> int:
        """Register every tool of the server; how many there were."""
        specs = self.list_tools()
        for spec in specs:
            registry.register(spec)
        return len(specs)

    def close(self) -> None:
        """End the server's process. Safe to repeat."""
        self._end()

    def __enter__(self) -> Self:
        self._wire.connect()
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()

    async def __aenter__(self) -> Self:
        import asyncio

        await asyncio.to_thread(self._wire.connect)
        return self

    async def __aexit__(self, *_error: object) -> None:
        import asyncio

        await asyncio.to_thread(self.close)

    def _spec(self, tool: Mapping[str, Any]) -> ToolSpec:
        name = tool["name"]

        def execute(**arguments: Any) -> JSON:
            return _data(_dump(self._wire.ask(partial(_call_tool, name=name, arguments=arguments))))

        # A schema without properties would be read as shorthand, so it gets an empty set of them.
        schema = {"properties": {}, **tool["inputSchema"]}
        hints = tool.get("annotations") or {}
        safe = hints.get("readOnlyHint") is True
        return ToolSpec(name, tool.get("description") or "", schema, execute, concurrent_safe=safe)


class _Wire:
    """A session with a server, on an event loop in a thread of its own."""

    def __init__(
        self,
        command: list[str],
        env: dict[str, str],
        cwd: str | os.PathLike[str] | None,
        timeout: float,
    ) -> None:
        self.command = command
        self.env = env
        self.cwd = None if cwd is None else os.fspath(cwd)
        self.timeout = timeout
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._ready: Future[Any] = Future()
        """The session, or why there is none."""
        self._loop: Any = None
        self._closing: Any = None
        self._closed = False

    def connect(self) -> Any:
        """Start the server, once; the session. Raises what kept it from starting, each time."""
        with self._lock:
            if self._closed:
                raise MCPServerLost(f"{self.shown} was closed; make another MCPToolAdapter")
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="looplet-mcp", daemon=True)
                self._thread.start()
        return self._ready.result()

    def ask(self, request: Callable[[Any], Awaitable[Any]]) -> Any:
        """The server's answer to a request, which is given up after the timeout."""
        import asyncio

        session = self.connect()
        waiting = self._asked(request, session)
        try:
            answer = asyncio.run_coroutine_threadsafe(waiting, self._loop)
            # The request is bounded itself; this is for one that a loop at its end never began.
            return answer.result(self.timeout + CLOSE_SECONDS)
        except RuntimeError as error:
            waiting.close()
            if isinstance(error, LoopletError) or not self._loop.is_closed():
                raise
            raise MCPServerLost(f"{self.shown} has ended") from error

    def close(self) -> None:
        """End the server and the thread."""
        with self._lock:
            self._closed = True
            thread = self._thread
        if thread is None or thread is threading.current_thread():
            return
        if self._loop is not None and not self._loop.is_closed():
            try:
                self._loop.call_soon_threadsafe(self._closing.set)
            except RuntimeError:  # it ended by itself in between
                return
        thread.join(CLOSE_SECONDS)

    @property
    def shown(self) -> str:
        """The server, for messages."""
        return f"the MCP server {shlex.join(self.command)}"

    async def _asked(self, request: Callable[[Any], Awaitable[Any]], session: Any) -> Any:
        import asyncio

        try:
            return await asyncio.wait_for(request(session), self.timeout)
        except TimeoutError as error:
            raise MCPTimeout(f"{self.shown} gave no answer in {self.timeout:g} s") from error
        except asyncio.CancelledError as error:
            raise MCPServerLost(f"{self.shown} was closed during a request") from error
        except Exception as error:
            raise self._explained(error) from error

    def _explained(self, error: BaseException) -> Exception:
        """Say in looplet's words what the SDK raised."""
        while isinstance(error, BaseExceptionGroup):
            error = error.exceptions[0]
        if isinstance(error, LoopletError):
            return error
        code = getattr(getattr(error, "error", None), "code", None)
        if code is not None and code != CONNECTION_CLOSED:
            return MCPRefused(f"{self.shown} refused: {error}")
        if code == CONNECTION_CLOSED or type(error).__module__.startswith("anyio"):
            return MCPServerLost(f"{self.shown} has ended: {str(error) or type(error).__name__}")
        if isinstance(error, OSError):
            return MCPServerLost(f"{self.shown} cannot be started: {error}")
        return error if isinstance(error, Exception) else MCPServerLost(f"{self.shown}: {error!r}")

    def _run(self) -> None:
        import asyncio

        try:
            asyncio.run(self._serve())
        except BaseException as error:  # noqa: BLE001 - told to whoever waits for the session
            if not self._ready.done():
                self._ready.set_exception(self._explained(error))

    async def _serve(self) -> None:
        import asyncio
        from contextlib import AsyncExitStack

        from mcp import ClientSession, StdioServerParameters
        from mcp.client.stdio import stdio_client

        self._closing = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        program, *arguments = self.command
        server = StdioServerParameters(command=program, args=arguments, env=self.env, cwd=self.cwd)
        async with AsyncExitStack() as stack:
            # Not sys.stderr, which in a notebook is no file that a process could write to.
            errors: Any = sys.__stderr__ or subprocess.DEVNULL
            streams = await stack.enter_async_context(stdio_client(server, errlog=errors))
            session = await stack.enter_async_context(ClientSession(*streams))
            await self._asked(lambda session: session.initialize(), session)
            self._ready.set_result(session)
            await self._closing.wait()


async def _list_tools(session: Any, *, cursor: str | None) -> Any:
    from mcp.types import PaginatedRequestParams

    return await session.list_tools(
        params=PaginatedRequestParams(cursor=cursor) if cursor else None
    )


async def _call_tool(session: Any, *, name: str, arguments: dict[str, Any]) -> Any:
    return await session.call_tool(name, arguments)


def _dump(answer: Any) -> dict[str, Any]:
    """A message as it went over the wire, whatever the SDK's version calls its fields."""
    dumped: dict[str, Any] = answer.model_dump(by_alias=True, mode="json", exclude_unset=True)
    return dumped


def _data(result: Mapping[str, Any]) -> JSON:
    """What a tool's result gives to the run."""
    blocks = result.get("content") or []
    if result.get("isError"):
        return {"error": _error_text(blocks)}
    if len(blocks) != 1 or blocks[0].get("type") != "text":
        return {"content": blocks}
    text = blocks[0]["text"]
    try:
        decoded: JSON = json.loads(text, parse_constant=_refuse_constant)
    except ValueError:
        return {"text": text}
    return decoded


def _error_text(blocks: Sequence[Mapping[str, Any]]) -> str:
    texts = [block["text"] for block in blocks if block.get("type") == "text"]
    return "\n".join(texts) or json.dumps(blocks, ensure_ascii=False)


def _refuse_constant(name: str) -> JSON:
    raise ValueError(f"{name} is not JSON")
