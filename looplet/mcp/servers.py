"""Where a server is and how the SDK is led to it. Knows no thread, no tool and no result."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AsyncExitStack
from contextvars import ContextVar
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any, Protocol
from urllib.parse import urlsplit, urlunsplit

GOODBYE_SECONDS = 5.0
"""How long a server may take over the end of its session."""
_ERROR = 400
_SESSION = "mcp-session-id"
_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_MASK = "***"
_SECRET = re.compile(r"(?i)auth|bearer|cred|header|key|pass|pwd|secret|token")
_VALUE = re.compile(r"[\t\x20-\x7e]*")


@dataclass(slots=True)
class Heard:
    """What HTTP said about one request, beside the SDK's own word."""

    status: int | None = None
    """The status of the answer, if it was an error's."""
    session_gone: bool = False


HEARD: ContextVar[Heard] = ContextVar("heard")
"""Set where a request begins; the SDK sends it in a task that sees the same object."""


class Server(Protocol):
    """One kind of server."""

    @property
    def reopens(self) -> bool:
        """Whether a session that was lost can be opened anew."""

    @property
    def shown(self) -> str:
        """The server, for messages; no secret is in it."""

    async def open(self, stack: AsyncExitStack) -> tuple[Any, Any]:
        """What the SDK reads from and writes to, until the stack is left."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """A server that is a process of its own and speaks through its standard streams."""

    command: list[str] = field(repr=False)
    env: dict[str, str] = field(repr=False)
    cwd: str | None = None
    reopens: bool = False
    """A program's state is lost with it, so nothing is started again behind its user's back."""

    @property
    def shown(self) -> str:
        """The server's command line without what looks secret in it, for messages."""
        return f"the MCP server {shlex.join(_masked(self.command))}"

    async def open(self, stack: AsyncExitStack) -> tuple[Any, Any]:
        """Start the program; leaving the stack ends it."""
        from mcp import StdioServerParameters
        from mcp.client.stdio import stdio_client

        program, *arguments = self.command
        server = StdioServerParameters(command=program, args=arguments, env=self.env, cwd=self.cwd)
        # Not sys.stderr, which in a notebook is no file that a process could write to.
        errors: Any = sys.__stderr__ or subprocess.DEVNULL
        read, write = await stack.enter_async_context(stdio_client(server, errlog=errors))
        return read, write


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """A server behind a URL, which speaks streamable HTTP.

    Raises ``ValueError`` for what is no http or https URL, and for a header that cannot be sent;
    the error has the header's name and not its value.
    """

    url: str = field(repr=False)
    headers: dict[str, str] = field(repr=False)
    timeout: float
    reopens: bool = True

    def __post_init__(self) -> None:
        parts = urlsplit(self.url)
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            raise ValueError(f"{self.shown} has no URL of the form https://host/path")
        _check_headers(self.headers)

    @property
    def shown(self) -> str:
        """The URL without what may be secret in it, for messages."""
        parts = urlsplit(self.url)
        place = parts.netloc.rpartition("@")[2]
        return f"the MCP server {urlunsplit((parts.scheme, place, parts.path, '', ''))}"

    async def open(self, stack: AsyncExitStack) -> tuple[Any, Any]:
        """Make an HTTP client; the first request goes to the server."""
        from mcp.client.streamable_http import streamable_http_client
        from mcp.shared._httpx_utils import create_mcp_http_client

        client = create_mcp_http_client(headers=self.headers)
        # An answer may take as long as the request's own limit, which is kept elsewhere.
        client.timeout = (self.timeout, None, self.timeout, self.timeout)
        client.event_hooks = {"request": [_bound_goodbye], "response": [_note]}
        await stack.enter_async_context(client)
        # The SDK follows a redirect within the URL's own host and port, and no other.
        opened = streamable_http_client(self.url, http_client=client)
        read, write, *_ = await stack.enter_async_context(opened)
        return read, write


async def _bound_goodbye(request: Any) -> None:
    if request.method == "DELETE":
        kinds = ("connect", "read", "write", "pool")
        request.extensions["timeout"] = dict.fromkeys(kinds, GOODBYE_SECONDS)


async def _note(response: Any) -> None:
    heard = HEARD.get(None)
    if heard is None or response.status_code < _ERROR:
        return
    heard.status = response.status_code
    heard.session_gone = (
        response.status_code == HTTPStatus.NOT_FOUND and _SESSION in response.request.headers
    )


def _masked(command: Sequence[str]) -> Iterator[str]:
    """The words of a command; values of options and variables named like a secret are ``***``.

    >>> list(_masked(["serve", "--api-key", "k3y", "TOKEN=t", "https://ann:pw@host/", "fruit"]))
    ['serve', '--api-key', '***', 'TOKEN=***', 'https://***@host/', 'fruit']
    """
    follows = False
    for word in command:
        name, sign, _ = word.partition("=")
        if follows and not word.startswith("-"):
            yield _MASK
        elif sign and _SECRET.search(name):
            yield f"{name}={_MASK}"
        else:
            yield re.sub(r"//[^/@\s]*@", f"//{_MASK}@", word)
        follows = not sign and word.startswith("-") and _SECRET.search(word) is not None


def _check_headers(headers: Mapping[str, str]) -> None:
    for name, value in headers.items():
        if not _NAME.fullmatch(name):
            raise ValueError(f"{name!r} is no name of a header")
        if not _VALUE.fullmatch(value):
            raise ValueError(f"the header {name!r} must be one line of printable ASCII text")
