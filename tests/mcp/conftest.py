"""MCP servers in processes of their own, over both transports."""

from __future__ import annotations

import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import pytest

from looplet import BaseToolRegistry, ToolCall

SCRIPT = str(Path(__file__).with_name("fruit_server.py"))
SECONDS = 60
"""Time for what must happen; nothing waits so long unless it fails."""


class HttpServer:
    """The server over HTTP; ``url`` is where it is."""

    def __init__(self, *flags: str, port: int = 0) -> None:
        command = [sys.executable, SCRIPT, "http", *flags, "--port", str(port)]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        self.port = int(self.process.stdout.readline())
        self.url = f"http://127.0.0.1:{self.port}/mcp"

    def kill(self) -> None:
        """End it at once."""
        self.process.kill()
        self.process.wait()

    def requests(self) -> list[str]:
        """End it; the requests that came to it."""
        self.kill()
        return self.process.stdout.read().splitlines()

    def close(self) -> None:
        self.kill()
        self.process.stdout.close()


@contextmanager
def http_server(*flags: str, port: int = 0):
    server = HttpServer(*flags, port=port)
    try:
        yield server
    finally:
        server.close()


def registry_of(adapter) -> BaseToolRegistry:
    registry = BaseToolRegistry()
    adapter.register_all(registry)
    return registry


def ask(registry, name, **arguments):
    return registry.dispatch(ToolCall(name, arguments))


def wait_for(path: Path, text: str) -> None:
    """Wait until a file says so."""
    end = time.monotonic() + SECONDS
    while not path.exists() or path.read_text() != text:
        assert time.monotonic() < end, f"{path.name} never said {text!r}"
        time.sleep(0.02)


@pytest.fixture(scope="session")
def command() -> list[str]:
    """How the server is started over its standard streams."""
    return [sys.executable, SCRIPT, "stdio"]
