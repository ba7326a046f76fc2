"""A replay opens no connection: neither itself, nor in its threads and processes."""

from __future__ import annotations

import asyncio
import json
import socket
import subprocess
import sys
import textwrap
import threading
from pathlib import Path

import pytest

from looplet.replay import Divergence, replay, use_cassette
from tests.replay.agents import agent, model, script

ROOT = Path(__file__).parents[2]

BACKEND = textwrap.dedent(
    """
    import socket

    class Connects:
        model = "connecting-1"

        def __init__(self, port, replies=()):
            self.port, self.replies = port, list(replies)

        def generate(self, prompt, *, max_tokens=2000, system_prompt="", temperature=0.2):
            with socket.create_connection(("127.0.0.1", self.port), timeout=10) as line:
                line.sendall(b"ask")
                assert line.recv(2) == b"ok"
            return self.replies.pop(0)

    class AsyncConnects(Connects):
        async def generate(self, prompt, *, max_tokens=2000, system_prompt="", temperature=0.2):
            return Connects.generate(self, prompt)
    """
)
exec(BACKEND)


@pytest.fixture
def server():
    """Counts the connections that are made to it."""
    listening = socket.create_server(("127.0.0.1", 0))
    listening.settimeout(0.05)
    counted, over = [], threading.Event()

    def serve():
        while not over.is_set():
            try:
                line, _ = listening.accept()
            except TimeoutError:
                continue
            counted.append(1)
            with line:
                line.recv(3)
                line.sendall(b"ok")

    thread = threading.Thread(target=serve)
    thread.start()
    yield listening.getsockname()[1], counted
    over.set()
    thread.join()
    listening.close()


def record(path, server):
    port, counted = server
    with use_cassette(path, record_mode="once") as cassette:
        llm = cassette.wrap_llm(Connects(port, ["one", "two"]))  # noqa: F821 - from BACKEND
        assert [llm.generate("a"), llm.generate("b", scope="tool:x")] == ["one", "two"]
    assert len(counted) == 2
    counted.clear()


def test_threads_of_a_replay_connect_nowhere(path, server):
    port, counted = server
    record(path, server)
    said, raised = [], []

    def ask(llm, prompt, **keywords):
        try:
            said.append(llm.generate(prompt, **keywords))
        except Divergence as error:
            raised.append(error)

    with use_cassette(path) as cassette:
        llm = cassette.wrap_llm(Connects(port))  # noqa: F821 - from BACKEND
        threads = [
            threading.Thread(target=ask, args=(llm, "a")),
            threading.Thread(target=ask, args=(llm, "b"), kwargs={"scope": "tool:x"}),
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        lost = threading.Thread(target=ask, args=(llm, "never recorded"))
        lost.start()
        lost.join()
        cassette.clear_divergence()
    assert sorted(said) == ["one", "two"]
    assert len(raised) == 1
    assert counted == []


def test_an_event_loop_of_a_replay_connects_nowhere(path, server):
    port, counted = server
    record(path, server)
    with use_cassette(path) as cassette:
        llm = cassette.wrap_llm(AsyncConnects(port))  # noqa: F821 - from BACKEND
        assert asyncio.run(llm.generate("a")) == "one"
        with pytest.raises(Divergence):
            asyncio.run(llm.generate("never recorded"))
    assert counted == []


PROCESS = BACKEND + textwrap.dedent(
    """
    import json, sys
    from concurrent.futures import ThreadPoolExecutor
    from looplet.replay import Divergence, use_cassette

    path, port = sys.argv[1], int(sys.argv[2])
    said = []
    with use_cassette(path) as cassette:
        llm = cassette.wrap_llm(Connects(port))
        with ThreadPoolExecutor(2) as pool:
            said.append(pool.submit(llm.generate, "a").result())
        said.append(llm.generate("b", scope="tool:x"))
        try:
            llm.generate("never recorded")
        except Divergence:
            said.append("diverged")
    print(json.dumps(said))
    """
)


def test_processes_that_replay_connect_nowhere(path, server):
    port, counted = server
    record(path, server)
    for _ in range(2):
        done = subprocess.run(
            [sys.executable, "-c", PROCESS, str(path), str(port)],
            check=True, capture_output=True, text=True, timeout=60, cwd=ROOT,
        )  # fmt: skip
        assert json.loads(done.stdout) == ["one", "two", "diverged"]
    assert counted == []


def test_a_whole_agent_is_replayed_with_its_sockets_guarded(path, server, monkeypatch):
    port, counted = server
    llm = Connects(port, script())  # noqa: F821 - from BACKEND
    from tests.replay.test_running import record as record_run

    record_run(path, llm=llm)
    assert len(counted) == len(script())
    counted.clear()

    def refused(*_args, **_keywords):
        raise AssertionError("a replay opened a socket")

    monkeypatch.setattr(socket.socket, "connect", refused)
    monkeypatch.setattr(socket, "create_connection", refused)
    assert replay(path, agent(llm=Connects(port))).matches  # noqa: F821 - from BACKEND
    assert counted == []
    assert model().calls == 0
