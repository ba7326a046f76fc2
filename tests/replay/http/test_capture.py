"""One cassette at a time, and no way around it."""

from __future__ import annotations

import contextlib
import http.client
import socket

import httpx2
import pytest
import vcr

from looplet.errors import CassetteError
from looplet.replay import Divergence
from looplet.replay.http import use_cassette
from tests.replay.http.clients import in_thread, post, record


def test_a_second_cassette_is_refused_while_one_is_open(server, path, tmp_path):
    url = server.chat
    other = tmp_path / "other.yaml"

    def open_other():
        with use_cassette(other, record_mode="once"):
            post(url, {"n": 2})

    with use_cassette(path, record_mode="once") as cassette:
        with pytest.raises(
            CassetteError, match=r"other\.yaml cannot be opened while .*fruit\.yaml"
        ):
            open_other()
        with pytest.raises(CassetteError, match="cannot be opened while"):
            in_thread(open_other)
        post(url, {"n": 1})
    assert cassette.recorded == 1
    assert not other.exists()
    open_other()
    assert other.exists()


def test_a_cassette_of_vcrpys_own_around_it_is_refused(path, tmp_path):
    refused = pytest.raises(CassetteError, match="inside a cassette of vcrpy's own")
    stock = vcr.use_cassette(str(tmp_path / "stock.yaml"))
    with stock, refused, use_cassette(path, record_mode="once"):
        pass
    with use_cassette(path, record_mode="once"):
        pass


def test_what_was_patched_is_as_before_when_the_block_has_ended(server, path):
    def patched():
        return (
            http.client.HTTPConnection, httpx2.HTTPTransport.handle_request,
            httpx2.AsyncHTTPTransport.handle_async_request, socket.socket.connect,
            socket.socket.connect_ex,
        )  # fmt: skip

    before = patched()
    record(path, server, {"n": 1})
    with use_cassette(path):
        assert all(one is not other for one, other in zip(patched(), before, strict=True))
    assert patched() == before
    with contextlib.suppress(ZeroDivisionError), use_cassette(path):
        raise ZeroDivisionError
    assert patched() == before


Early = http.client.HTTPConnection
"""A client made before any cassette was opened, which vcrpy does not see."""


def test_a_client_that_vcrpy_does_not_see_reaches_nothing_in_a_replay(server, path):
    record(path, server, {"n": 1})
    made = server.connections
    address = server.root.removeprefix("http://")
    with use_cassette(path), pytest.raises(Divergence, match="a connection to 127"):
        Early(address).request("POST", "/v1/chat/completions", b"{}")
    with use_cassette(path), pytest.raises(Divergence):
        socket.create_connection(address.split(":"))
    assert server.connections == made


@pytest.mark.parametrize("address", ["192.0.2.1", "2001:db8::1", "db.invalid"])
def test_no_connection_leaves_the_machine_in_a_replay(address, server, path):
    record(path, server, {"n": 1})
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with use_cassette(path), socket.socket(family) as sock:
        for connect in (sock.connect, sock.connect_ex):
            with pytest.raises(Divergence, match="block_network=False"):
                connect((address, 5432))


def test_other_services_of_this_machine_are_reached_in_a_replay(server, path):
    record(path, server, {"n": 1})
    with (
        socket.create_server(("127.0.0.1", 0)) as database,
        use_cassette(path),
        socket.create_connection(database.getsockname()) as asking,
    ):
        answering, address = database.accept()
        with answering:
            assert address == asking.getsockname()
            answering.sendall(b"here")
            assert asking.recv(4) == b"here"


def test_the_network_is_open_where_the_user_says_so(server, path):
    record(path, server, {"n": 1})
    made = server.connections
    host, port = server.root.removeprefix("http://").split(":")
    with use_cassette(path, block_network=False) as cassette:
        socket.create_connection((host, int(port))).close()
        with pytest.raises(Divergence):
            post(server.chat, {"n": 2})
    assert server.connections == made + 1 or server.connections == made
    assert cassette.divergence is not None
