"""looplet's plugin in a project that has other plugins of pytest, which the project's tests use."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

pytestmark = [pytest.mark.ecosystem, pytest.mark.timeout(300)]
PYTHON = Path(__file__).parents[2] / ".bench" / "ecosystem-pytest" / "bin" / "python"
OFFLINE = {"LANGSMITH_TEST_TRACKING": "false", "DEEPEVAL_TELEMETRY_OPT_OUT": "1"}
SETTINGS = """
[tool.pytest.ini_options]
addopts = ["--strict-markers", "--strict-config", "-W", "error"]
asyncio_default_fixture_loop_scope = "function"
"""
SHOP = '''
import urllib.request

from looplet import LoopConfig, composable_loop, tool, tools_from
from looplet.testing import MockLLMBackend
from looplet.trajectory import TrajectoryRecorder, TrajectoryStore


@tool
def price(fruit: str) -> dict:
    """Price of a fruit, in euro."""
    return {"price": {"fig": 0.4, "pear": 0.55}[fruit]}


def scripted(fruit):
    return MockLLMBackend(
        responses=[
            '{"tool": "price", "args": {"fruit": "%s"}}' % fruit,
            '{"tool": "done", "args": {"answer": "0.4"}}',
        ]
    )


def run(llm, fruit, hooks=()):
    tools = tools_from([price], include_done=True, done_parameters={"answer": "str: euro"})
    task, config = {"goal": f"What is a {fruit}?"}, LoopConfig(max_steps=4)
    return list(composable_loop(llm=llm, task=task, tools=tools, config=config, hooks=list(hooks)))


def stock(url):
    with urllib.request.urlopen(url) as answer:
        return answer.read().decode()


def recorded(fruit, trial):
    recorder = TrajectoryRecorder(task_id=fruit, trial=trial)
    run(recorder.wrap_llm(scripted(fruit)), fruit, [recorder])
    return recorder.trajectory


if __name__ == "__main__":
    TrajectoryStore("runs").append(recorded(fruit, n) for fruit in ("fig", "pear") for n in (1, 2))
'''
TESTS = {
    "test_agent": """
import pytest
from shop import run, scripted

def test_fixture(looplet_cassette):
    assert len(run(looplet_cassette.wrap_llm(scripted("fig")), "fig")) == 2

@pytest.mark.looplet_cassette("named.yaml")
def test_mark(looplet_cassette):
    assert len(run(looplet_cassette.wrap_llm(scripted("fig")), "fig")) == 2
""",
    "test_asyncio": """
import asyncio, pytest
from shop import run, scripted

@pytest.mark.asyncio
async def test_waits(looplet_cassette):
    await asyncio.sleep(0)
    assert len(run(looplet_cassette.wrap_llm(scripted("pear")), "pear")) == 2
""",
    "test_recording": """
import http.server, threading
import pytest
from shop import run, scripted, stock

@pytest.fixture
def url():
    class Shop(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"12")
        def log_message(self, *args):
            pass
    with http.server.HTTPServer(("127.0.0.1", 0), Shop) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/stock"
        server.shutdown()
        thread.join()

@pytest.mark.vcr(match_on=["method", "path"])
def test_stock(url):
    assert stock(url) == "12"

@pytest.mark.vcr(match_on=["method", "path"])
@pytest.mark.looplet_cassette("agent.yaml")
def test_both(url, looplet_cassette):
    assert stock(url) == "12"
    assert len(run(looplet_cassette.wrap_llm(scripted("fig")), "fig")) == 2
""",
    "test_deepeval": """
from deepeval import assert_test
from deepeval.metrics import BaseMetric
from deepeval.test_case import LLMTestCase

class Short(BaseMetric):
    threshold, async_mode = 0.5, False
    def measure(self, test_case, *args, **kwargs):
        self.score, self.reason = float(len(test_case.actual_output) < 20), ""
        self.success = self.score >= self.threshold
        return self.score
    async def a_measure(self, test_case, *args, **kwargs):
        return self.measure(test_case)
    def is_successful(self):
        return self.success
    @property
    def __name__(self):
        return "Short"

def test_metric():
    assert_test(LLMTestCase(input="a fig?", actual_output="0.4"), [Short()], run_async=False)
""",
    "test_langsmith": """
import pytest
from langsmith import testing

@pytest.mark.langsmith
def test_traced():
    testing.log_inputs({"fruit": "fig"})
    testing.log_outputs({"price": 0.4})
""",
}
EVALS = """
import pytest
from looplet.evals import eval_mark

@pytest.fixture
def limit():
    return 3

@eval_mark("fast", required=True)
def eval_completed(ctx):
    return ctx.completed

def eval_short(ctx, limit):
    return len(ctx.steps) <= limit

def eval_no_pears(ctx):
    return "pear" not in str(ctx.task)
"""
COUNT = 7
"""Tests of the project, the evals aside."""


@pytest.fixture
def project(tmp_path):
    """The project, with cassettes and a store that were recorded beside the other plugins."""
    if not PYTHON.exists():
        pytest.skip("make test-ecosystem installs the plugins")
    (tmp_path / "tests").mkdir()
    (tmp_path / "evals").mkdir()
    (tmp_path / "pyproject.toml").write_text(SETTINGS)
    (tmp_path / "shop.py").write_text(SHOP)
    (tmp_path / "evals" / "eval_shop.py").write_text(EVALS)
    for name, text in TESTS.items():
        (tmp_path / "tests" / f"{name}.py").write_text(text)
    assert python(tmp_path, "shop.py").returncode == 0
    recording = pytest_of(tmp_path, "--record-mode=once")
    assert f"{COUNT} passed" in recording.stdout, recording.stdout + recording.stderr
    return tmp_path


def python(folder, *arguments):
    environ = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST")}
    environ.pop("CI", None)
    return subprocess.run(
        [PYTHON, *arguments],
        cwd=folder,
        env={**environ, **OFFLINE},
        capture_output=True,
        text=True,
        check=False,
        timeout=200,
    )


def pytest_of(folder, *arguments):
    return python(folder, "-m", "pytest", *arguments)


def test_all_plugins_are_there(project):
    told = pytest_of(project, "--collect-only", "-W", "default", "--trace-config").stdout
    modules = ("pytest_recording", "pytest_asyncio", "xdist", "pytest_cov", "deepeval", "langsmith")
    registered = [line for line in told.splitlines() if line.startswith("PLUGIN registered: ")]
    for module in (*modules, "looplet"):
        assert any(f"<module '{module}." in line for line in registered), module


def test_tests_replay_beside_other_plugins(project):
    replayed = pytest_of(project, "--record-mode=none", "--looplet-record=none")
    assert replayed.returncode == 0, replayed.stdout + replayed.stderr
    assert f"{COUNT} passed" in replayed.stdout


def test_tests_and_evals_run_on_workers_with_coverage(project):
    arguments = ("--record-mode=none", "--looplet-store=runs", "--looplet-gate=threshold")
    judged = pytest_of(
        project, "tests", "evals", *arguments, "-n", "2", "--cov=shop", "--junitxml=told.xml"
    )
    assert judged.returncode == 1, judged.stdout + judged.stderr
    assert f"2 failed, {COUNT + 10} passed" in judged.stdout
    assert "eval_no_pears: average 0.500 is below 1.000" in judged.stdout
    assert "shop.py" in judged.stdout  # coverage's table
    cases = ET.parse(project / "told.xml").iter("testcase")
    failed = {case.get("name") for case in cases if case.find("failure") is not None}
    assert failed == {"eval_no_pears[pear-1]", "eval_no_pears[pear-2]"}


def test_an_agent_s_cassette_is_not_written_where_a_request_s_is(project):
    source = TESTS["test_recording"].replace('@pytest.mark.looplet_cassette("agent.yaml")\n', "")
    (project / "tests" / "test_recording.py").write_text(source)
    before = (project / "tests/cassettes/test_recording/test_both.yaml").read_bytes()
    refused = pytest_of(project, "--record-mode=none")
    assert refused.returncode == 1
    assert "marked with vcr, and keeps what that records in" in refused.stdout
    assert (project / "tests/cassettes/test_recording/test_both.yaml").read_bytes() == before
