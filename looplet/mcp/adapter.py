"""An MCP server's tools as looplet's. Knows no thread and no transport."""

from __future__ import annotations

import os
import shlex
import weakref
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, Self, TypeVar

from looplet.core.cancel import CancelToken
from looplet.core.codec import JSON
from looplet.core.registry import BaseToolRegistry
from looplet.core.tools import ToolContext, ToolSpec
from looplet.errors import MissingExtra
from looplet.mcp.failures import MCPRefused
from looplet.mcp.results import as_sent, object_schema, result_data
from looplet.mcp.servers import Endpoint, Program, Server
from looplet.mcp.wire import Wire


class MCPToolAdapter:
    """The tools of one MCP server: a program that first use starts, or one behind a URL.

    ``command`` is a list, or a string that is split as a shell would split it; no shell runs.
    ``env`` is added to the few variables that the SDK passes on, ``cwd`` is where it runs.
    ``url`` is the endpoint of a server that speaks streamable HTTP; ``headers`` go with every
    request and into no error. ``timeout`` bounds every request, in seconds.

    It serves sync and async code and several threads: the session lives on a thread of its own.
    Raises ``MissingExtra`` without the SDK; ``MCPServerLost`` and ``MCPTimeout`` where the server
    is asked, which tools give as NETWORK and TIMEOUT errors.
    """

    def __init__(
        self,
        command: str | Sequence[str] | None = None,
        *,
        env: Mapping[str, str] | None = None,
        cwd: str | os.PathLike[str] | None = None,
        url: str | None = None,
        headers: Mapping[str, str] | None = None,
        timeout: float = 30.0,
    ) -> None:
        _need_sdk()
        if (command is None) == (url is None):
            raise ValueError("pass either command=, a program to start, or url=, its endpoint")
        if url is not None and (env is not None or cwd is not None):
            raise ValueError("env= and cwd= are for a command; a URL takes headers=")
        if url is None and headers is not None:
            raise ValueError("headers= are for a URL; a command takes env=")
        server: Server
        if url is not None:
            server = Endpoint(url=url, headers=dict(headers or {}), timeout=timeout)
        else:
            folder = None if cwd is None else os.fspath(cwd)
            server = Program(command=_words(command), env=dict(env or {}), cwd=folder)
        self._wire = Wire(server, timeout)
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
    ) -> Self:
        """Start the server and initialise the session; ``timeout`` bounds this, too."""
        return _connected(cls(command, env=env, cwd=cwd, timeout=timeout))

    @classmethod
    def connect_http(
        cls, url: str, *, headers: Mapping[str, str] | None = None, timeout: float = 30.0
    ) -> Self:
        """Initialise a session with a server over streamable HTTP.

        A session that the server has dropped, or that was lost with it, is opened anew by the
        next use. A redirect away from the URL's host and port is refused.
        """
        return _connected(cls(url=url, headers=headers, timeout=timeout))

    def list_tools(self) -> list[ToolSpec]:
        """One spec for each tool of the server; a read-only one is ``concurrent_safe``."""
        tools: list[Mapping[str, Any]] = []
        cursor: str | None = None
        seen: set[str] = set()
        while True:
            page = as_sent(self._wire.ask(partial(_list_tools, cursor=cursor)))
            tools += page["tools"]
            cursor = page.get("nextCursor")
            if not cursor:
                return [self._spec(tool) for tool in tools]
            if cursor in seen:
                shown = self._wire.server.shown
                raise MCPRefused(f"{shown} gives the page {cursor!r} of its tools again and again")
            seen.add(cursor)

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
        """End the session, and the server's process if it was started here. Safe to repeat."""
        self._end()

    def __repr__(self) -> str:
        return f"<MCPToolAdapter of {self._wire.server.shown}>"

    def connect(self) -> None:
        """Open the session now rather than by first use."""
        self._wire.connect()

    def __enter__(self) -> Self:
        self.connect()
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()

    async def __aenter__(self) -> Self:
        import asyncio

        await asyncio.to_thread(self.connect)
        return self

    async def __aexit__(self, *_error: object) -> None:
        import asyncio

        await asyncio.to_thread(self.close)

    def _spec(self, tool: Mapping[str, Any]) -> ToolSpec:
        schema = object_schema(tool["inputSchema"])  # else it would be read as shorthand
        hints = tool.get("annotations") or {}
        return ToolSpec(
            tool["name"],
            tool.get("description") or "",
            schema,
            self._execute(tool["name"], wants_ctx="ctx" not in schema["properties"]),
            concurrent_safe=hints.get("readOnlyHint") is True,
        )

    def _execute(self, name: str, *, wants_ctx: bool) -> Callable[..., JSON]:
        def ask(arguments: dict[str, Any], token: CancelToken | None) -> JSON:
            request = partial(_call_tool, name=name, arguments=arguments)
            return result_data(as_sent(self._wire.ask(request, token)))

        def execute(*, ctx: ToolContext | None = None, **arguments: Any) -> JSON:
            return ask(arguments, ctx.cancel_token if ctx is not None else None)

        def execute_with_own_ctx(**arguments: Any) -> JSON:
            return ask(arguments, None)

        return execute if wants_ctx else execute_with_own_ctx


_Adapter = TypeVar("_Adapter", bound=MCPToolAdapter)


def _connected(adapter: _Adapter) -> _Adapter:
    try:
        adapter.connect()
    except BaseException:
        adapter.close()
        raise
    return adapter


async def _list_tools(session: Any, *, cursor: str | None) -> Any:
    from mcp.types import PaginatedRequestParams

    return await session.list_tools(
        params=PaginatedRequestParams(cursor=cursor) if cursor else None
    )


async def _call_tool(session: Any, *, name: str, arguments: dict[str, Any]) -> Any:
    return await session.call_tool(name, arguments)


def _words(command: str | Sequence[str] | None) -> list[str]:
    words = shlex.split(command) if isinstance(command, str) else list(command or ())
    if not words:
        raise ValueError("command is empty: pass the server's program and its arguments")
    return words


def _need_sdk() -> None:
    try:
        import mcp  # noqa: F401 - imported here so that a connection does not wait for it
    except ModuleNotFoundError as error:
        if error.name != "mcp":
            raise
        raise MissingExtra("mcp", needed_for="MCPToolAdapter") from error
