"""What only a server over HTTP can do: be restarted, forget, redirect, refuse."""

from __future__ import annotations

import subprocess
import sys
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import pytest

from looplet import ErrorKind
from looplet.core.threads import in_thread
from looplet.mcp import MCPRefused, MCPServerLost, MCPTimeout, MCPToolAdapter
from tests.mcp.conftest import SECONDS, ask, http_server, registry_of, wait_for

pytest.importorskip("mcp", reason="the extra 'mcp' is not installed", exc_type=ImportError)
pytest.importorskip(
    "mcp.server.mcpserver", reason="the test's server is written for mcp 2", exc_type=ImportError
)

SECRET = "xyzzy-plugh-42"


@contextmanager
def answering(status, *, port=0, **headers):
    """A server that gives every request the same answer; the requests that came to it."""
    came = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            came.append(self.path)
            self.rfile.read(int(self.headers["content-length"]))
            self.send_response(status)
            for name, value in {**headers, "content-length": "0"}.items():
                self.send_header(name, value)
            self.end_headers()

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
    server.daemon_threads = True
    thread = Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", came
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.mark.parametrize("flags", [[], ["--json"], ["--stateless"]])
def test_a_server_killed_during_a_call_is_a_network_error(flags, tmp_path):
    mark = tmp_path / "mark"
    with http_server(*flags) as server, MCPToolAdapter.connect_http(server.url) as adapter:
        registry = registry_of(adapter)
        calling = in_thread(lambda: ask(registry, "slow", mark=str(mark)), name="calling")
        wait_for(mark, "begun")
        server.kill()
        assert calling.finished.wait(SECONDS)
        for result in (calling.take(), ask(registry, "plain")):
            assert result.error_kind is ErrorKind.NETWORK
            assert "/mcp" in result.error


@pytest.mark.parametrize("flags", [[], ["--json"]])
def test_a_session_that_the_server_forgot_is_opened_anew(flags):
    with http_server(*flags) as first, MCPToolAdapter.connect_http(first.url) as adapter:
        registry = registry_of(adapter)
        before = ask(registry, "pid").data
        first.kill()
        with http_server(*flags, port=first.port):
            after = ask(registry, "pid")
            assert after.error is None
            assert after.data != before


def test_a_server_that_comes_back_is_used_again():
    with http_server() as first, MCPToolAdapter.connect_http(first.url) as adapter:
        registry = registry_of(adapter)
        first.kill()
        assert ask(registry, "plain").error_kind is ErrorKind.NETWORK
        with http_server(port=first.port):
            assert ask(registry, "price", fruit="fig").data["fruit"] == "fig"


def test_closing_ends_the_session_at_the_server():
    with http_server() as server:
        adapter = MCPToolAdapter.connect_http(server.url)
        adapter.close()
        adapter.close()
        assert "DELETE /mcp" in server.requests()
        with pytest.raises(MCPServerLost, match="was closed"):
            adapter.list_tools()


def test_closing_a_session_of_a_server_that_is_gone_is_quiet(capfd):
    with http_server() as server:
        adapter = MCPToolAdapter.connect_http(server.url)
        server.kill()
        adapter.close()
    assert SECRET not in capfd.readouterr().err


def test_the_session_ends_with_the_interpreter():
    with http_server() as server:
        code = (
            "from looplet.mcp import MCPToolAdapter\n"
            f"adapter = MCPToolAdapter.connect_http({server.url!r})\n"
            "print({spec.name: spec for spec in adapter.list_tools()}['pid']())"
        )
        ran = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=60
        )
        assert (ran.returncode, ran.stderr) == (0, "")
        assert int(ran.stdout) == server.process.pid
        assert "DELETE /mcp" in server.requests()


def test_headers_go_with_every_request():
    headers = {"Authorization": f"Bearer {SECRET}"}
    with (
        http_server("--token", SECRET) as server,
        MCPToolAdapter.connect_http(server.url, headers=headers) as adapter,
    ):
        assert ask(registry_of(adapter), "price", fruit="fig").data["fruit"] == "fig"
        assert SECRET not in repr(adapter) + repr(adapter._wire.server)


def test_a_refusal_names_its_status_and_no_secret():
    with http_server("--token", "another") as server:
        with pytest.raises(MCPRefused, match="HTTP 401") as refused:
            MCPToolAdapter.connect_http(server.url, headers={"Authorization": SECRET})
        assert refused.value.status == 401
        error: BaseException | None = refused.value
        while error is not None:
            assert SECRET not in f"{error} {error!r}"
            error = error.__cause__


def test_the_secrets_of_a_url_are_not_shown():
    url = f"http://user:{SECRET}@127.0.0.1:9/mcp?key={SECRET}#{SECRET}"
    adapter = MCPToolAdapter(url=url)
    assert repr(adapter) == "<MCPToolAdapter of the MCP server http://127.0.0.1:9/mcp>"
    assert SECRET not in repr(adapter._wire.server)
    with pytest.raises(MCPServerLost) as lost:
        adapter.list_tools()
    assert SECRET not in str(lost.value)


@pytest.mark.parametrize("value", [f"{SECRET}\n", f"{SECRET}é"])
def test_a_header_that_cannot_be_sent_is_refused_by_its_name(value):
    with pytest.raises(ValueError, match="x-key") as refused:
        MCPToolAdapter(url="http://127.0.0.1/mcp", headers={"x-key": value})
    assert SECRET not in str(refused.value)
    with pytest.raises(ValueError, match="no name"):
        MCPToolAdapter(url="http://127.0.0.1/mcp", headers={"x key": "value"})


@pytest.mark.parametrize("url", ["", "127.0.0.1/mcp", "ftp://127.0.0.1/mcp", "http:///mcp"])
def test_what_is_no_url_is_refused(url):
    with pytest.raises(ValueError, match="https://host/path"):
        MCPToolAdapter(url=url)


def test_a_redirect_to_another_host_is_refused():
    with answering(200) as (elsewhere, came):
        redirecting = answering(307, location=f"{elsewhere}/mcp")
        with redirecting as (here, _), pytest.raises(MCPRefused, match="not followed"):
            MCPToolAdapter.connect_http(f"{here}/mcp", headers={"x-key": SECRET})
        assert came == []


def test_a_redirect_within_the_host_is_followed():
    with answering(307, location="/there") as (here, came), pytest.raises(MCPRefused):
        MCPToolAdapter.connect_http(f"{here}/mcp")
    assert came[:2] == ["/mcp", "/there"]


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (429, ErrorKind.RATE_LIMIT),
        (503, ErrorKind.NETWORK),
        (500, ErrorKind.EXECUTION),
        (404, ErrorKind.EXECUTION),
    ],
)
def test_an_error_status_is_an_error_of_its_kind(status, kind):
    with http_server("--stateless") as server, MCPToolAdapter(url=server.url) as adapter:
        registry = registry_of(adapter)
        server.kill()
        with answering(status, port=server.port):
            assert ask(registry, "plain").error_kind is kind


def test_a_server_that_never_answers_is_given_up(tmp_path):
    with http_server() as server, MCPToolAdapter(url=server.url, timeout=30) as adapter:
        registry = registry_of(adapter)
        adapter._wire.timeout = 0.2
        result = ask(registry, "slow", mark=str(tmp_path / "mark"))
        assert result.error_kind is ErrorKind.TIMEOUT
        assert MCPTimeout.__name__ in result.error
