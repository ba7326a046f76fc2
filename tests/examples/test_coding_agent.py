"""The programmer in a folder, as its command line."""

from __future__ import annotations

import io
import json
import subprocess
import sys

import pytest

from looplet import ToolCall
from looplet.evals.trying import context_of_calls
from looplet.examples import coding_agent
from looplet.examples.coding_agent import is_safe, main
from looplet.examples.coding_agent.evals import eval_coding_agent as evals
from looplet.provenance import read_trace
from tests.servers import completion


def test_the_script_needs_neither_network_nor_sdk_and_leaves_a_trace(tmp_path):
    code = (
        "import sys; sys.modules['openai'] = None\n"
        "from looplet.examples.coding_agent import main\nsys.exit(main(sys.argv[1:]))"
    )
    ran = subprocess.run(
        [sys.executable, "-c", code, "--scripted", "--trace", "kept"],
        capture_output=True, text=True, cwd=tmp_path, stdin=subprocess.DEVNULL, check=False,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr
    assert [each.name for each in tmp_path.iterdir()] == ["kept"]
    run = read_trace(tmp_path / "kept")
    assert (run.stop_reason, len(run.steps)) == ("done", 11)
    assert [step.tool_result.error for step in run.steps] == [None] * 11
    failing, passing = (run.steps[place].tool_result.data["exit_code"] for place in (4, 8))
    assert failing != 0 == passing
    assert run.steps[7].tool_result.data["rejected"] is True
    assert {step.tool_call.tool for step in run.steps} == {
        "bash", "read", "write", "edit", "glob", "grep", "think", "done",
    }  # fmt: skip


def test_a_task_is_worked_on_with_a_real_server_in_the_workspace(server, tmp_path, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "x")
    calls = [
        ("write", {"path": "a.txt", "content": "hi"}),
        ("bash", {"command": "rm a.txt"}),
        ("bash", {"command": "cat a.txt | sh"}),
        ("bash", {"command": "cat a.txt"}),
    ]
    server.says(*[completion(json.dumps({"tool": name, "args": args})) for name, args in calls])
    argv = ["Greet", "--base-url", server.url, "--model", "m", "--workspace", str(tmp_path)]
    monkeypatch.setattr(sys, "stdin", io.StringIO())  # no terminal
    assert main([*argv, "--max-steps", "4", "--trace", str(tmp_path / "t")]) == 0
    errors = [step.tool_result.error for step in read_trace(tmp_path / "t").steps]
    assert [error is None for error in errors] == [True, False, False, True]
    assert "run with --yes" in errors[1]
    assert (tmp_path / "a.txt").read_text() == "hi"
    assert "Greet" in json.dumps(server.bodies[0])


def test_a_provider_that_cannot_be_reached_is_one_line(capsys, tmp_path, free_port):
    argv = ["--base-url", f"http://127.0.0.1:{free_port}/v1", "--workspace", str(tmp_path)]
    assert main(argv) == 1
    said = capsys.readouterr().err
    assert said.startswith("error: ")
    assert said.count("\n") == 1


@pytest.fixture
def free_port():
    import socket

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return taken.getsockname()[1]


@pytest.mark.parametrize(
    ("command", "safe"),
    [
        ("ls -la src", True), ("pytest", True), ("python -m pytest -q tests/a.py", True),
        ("ls; rm -rf /", False), ("ls && x", False), ("cat $(id)", False), ("cat `id`", False),
        ("cat a > b", False), ("ls\nrm x", False), ("cat /etc/shadow", False), ("ls\n", False),
        ("cat ../key", False), ("cat ~/key", False), ("lsof", False), ("git diff", False),
    ],
)  # fmt: skip
def test_what_runs_unasked(command, safe):
    assert is_safe({"command": command}) is safe


@pytest.mark.parametrize(("answer", "allowed"), [("y", True), ("", False), ("no", False)])
def test_a_person_is_asked(monkeypatch, capsys, answer, allowed):
    monkeypatch.setattr("builtins.input", lambda _: answer)
    call = ToolCall("bash", {"command": "rm \x1b[2Jx"})
    assert (coding_agent.ask(call, None).value == "allow") is allowed
    assert r"rm \x1b[2Jx" in capsys.readouterr().out


PASSED, FAILED = ("bash", {"command": "python -m unittest"}, {"exit_code": 0}), (
    "bash", {"command": "python -m unittest"}, {"exit_code": 1},
)  # fmt: skip
WRITTEN = ("write", {"path": "a.py", "content": "x = 2"}, {"path": "a.py", "lines": 1})
READ = ("read", {"path": "a.py"}, {"text": "1 x = 2"})


@pytest.mark.parametrize(
    ("calls", "passing", "failed_first"),
    [
        ((FAILED, WRITTEN, PASSED), True, True),
        ((WRITTEN, PASSED), True, False),
        ((FAILED, PASSED, WRITTEN), False, True),
        ((WRITTEN, PASSED, FAILED), False, False),
        ((WRITTEN,), False, False),
    ],
)
def test_the_evals_tell_good_tests_from_bad(calls, passing, failed_first):
    ctx = context_of_calls(*calls)
    assert evals.eval_ended_with_tests_that_pass(ctx) is passing
    assert evals.eval_saw_a_test_fail_first(ctx) is failed_first


@pytest.mark.parametrize(("calls", "right"), [((WRITTEN, READ), True), ((WRITTEN,), False)])
def test_the_code_is_judged_as_it_was_read(calls, right):
    ctx = context_of_calls(*calls, expected={"path": "a.py", "code": "x = 2"})
    assert evals.eval_the_code_is_what_was_asked(ctx) is right
