"""The README's code and the quickstart, as typed, against a real server on loopback."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.docs import fruit_model
from tests.pages import blocks_of, run_page
from tests.servers import Answer, completion

BLOCKS = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text("utf-8"), re.DOTALL)
LOOP, RECORD, EVALS = BLOCKS

HOOK = '''
from looplet import BackendRouter, HookDecision

class StepBudget:
    """End the run after so many tool calls that worked."""
    def __init__(self, max_productive: int) -> None:
        self.left = max_productive

    def post_dispatch(self, state, session_log, tool_call, tool_result, step_num):
        if tool_call.tool != "done" and tool_result.error is None:
            self.left -= 1

    def should_stop(self, state, step_num, new_entities):
        return HookDecision(stop="step_budget_exceeded") if self.left <= 0 else False

router = BackendRouter(llm)
for step in composable_loop(llm=router, tools=tools, hooks=[StepBudget(max_productive=2)],
                            task={"goal": "Price the whole stock."}, max_steps=12):
    print(step.pretty(), router.total_input_tokens, router.total_output_tokens)
'''


TRACE = """
from looplet import ProvenanceSink

sink = ProvenanceSink(dir="traces/run_1", redact=lambda text: text.replace("hunter2", "[REDACTED]"))
recorded = sink.wrap_llm(llm)
for step in composable_loop(llm=recorded, tools=tools, hooks=[sink.trajectory_hook()],
                            task={"goal": "Price the whole stock, hunter2."}, max_steps=12):
    print(step.pretty())
print(sink.flush())
"""


def call(name, /, **args):
    return completion(json.dumps({"tool": name, "args": args}), usage=(100, 10))


APPLE, PEAR, DONE = (
    call("price", fruit="apple"),
    call("price", fruit="pear"),
    call("done", summary="2.30 euro"),
)


def python(*command: str, server, cwd: Path, key: str = "x") -> subprocess.CompletedProcess[str]:
    environment = {
        **os.environ,
        "OPENAI_BASE_URL": server if isinstance(server, str) else server.url,
        "OPENAI_API_KEY": key,
        "OPENAI_MODEL": "m",
    }
    return subprocess.run(
        [sys.executable, *command],
        capture_output=True, text=True, cwd=cwd, env=environment, check=False, timeout=100,
    )  # fmt: skip


def test_the_first_loop_runs_as_typed(server, tmp_path):
    server.says(APPLE, PEAR, DONE)
    (tmp_path / "my_agent.py").write_text(LOOP, encoding="utf-8")
    ran = python("my_agent.py", server=server, cwd=tmp_path)
    assert ran.returncode == 0, ran.stderr
    lines = ran.stdout.splitlines()
    assert [re.sub(r" \[\d+ms\]", "", line) for line in lines] == [
        "#1 ✓ price(fruit=apple) → 2 keys",
        "#2 ✓ price(fruit=pear) → 2 keys",
        "#3 ✓ done(summary=2.30 euro) → 2 keys",
    ]
    assert "What do three apples and two pears cost together?" in json.dumps(server.bodies[0])


def test_a_hook_stops_the_loop_and_the_router_counts(server, tmp_path):
    server.says(DONE, APPLE, PEAR, DONE)
    (tmp_path / "my_agent.py").write_text(LOOP + HOOK, encoding="utf-8")
    ran = python("my_agent.py", server=server, cwd=tmp_path)
    assert ran.returncode == 0, ran.stderr
    first, second = ran.stdout.splitlines()[1:]
    assert first.endswith(" 100 10")
    assert second.endswith(" 200 20")
    assert len(server.bodies) == 3


def test_a_trajectory_is_kept_and_shown_as_typed(server, tmp_path):
    server.says(DONE, APPLE, DONE)
    (tmp_path / "my_agent.py").write_text(LOOP + TRACE, encoding="utf-8")
    ran = python("my_agent.py", server=server, cwd=tmp_path)
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.splitlines()[-1] == str(Path("traces/run_1"))
    shown = python("-m", "looplet", "show", "traces/run_1", server=server, cwd=tmp_path)
    assert shown.returncode == 0, shown.stderr
    head, _, first, second, _, model = shown.stdout.splitlines()
    assert re.fullmatch(r"[0-9a-f]{12}  ✓ done  2 steps  2 LLM calls  [\d,]+ms", head)
    assert re.fullmatch(r"#1  ✓ price\(fruit=apple {19}\) → 2 keys {15}\[ +\d+ms\] call 0", first)
    assert re.fullmatch(r"#2  ✓ done\(summary=2.30 euro +\) → 2 keys +\[ +\d+ms\] call 1", second)
    assert model.startswith("LLM: 2 calls, ")
    assert "[REDACTED]" in json.dumps(server.bodies[1])
    assert "hunter2" not in json.dumps(server.bodies[1:])
    lines = (tmp_path / "traces" / "run_1" / "manifest.jsonl").read_text("utf-8").splitlines()
    assert sum(json.loads(line)["input_tokens"] for line in lines) == 200


def test_a_run_is_recorded_once_and_scored_by_pytest(server, tmp_path):
    server.says(DONE, APPLE, DONE)
    (tmp_path / "cassettes").mkdir()
    (tmp_path / "evals").mkdir()
    (tmp_path / "evals" / "eval_basket.py").write_text(EVALS, encoding="utf-8")
    (tmp_path / "my_agent.py").write_text(LOOP + RECORD, encoding="utf-8")
    ran = python("my_agent.py", server=server, cwd=tmp_path)
    assert ran.returncode == 0, ran.stderr
    asked = len(server.bodies)
    again = python("-c", LOOP.split("for step")[0] + RECORD, server=server, cwd=tmp_path)
    assert again.returncode == 0, again.stderr
    assert len(server.bodies) == asked, "the second run asked the model"
    command = ("-m", "pytest", "evals/", "--looplet-store", "runs")
    scored = python(*command, "--looplet-gate=threshold", server=server, cwd=tmp_path)
    assert scored.returncode == 0, scored.stdout + scored.stderr
    assert "gate: held" in scored.stdout
    assert re.search(r"eval_names_the_sum +2 +2 +1\.00", scored.stdout)


def test_hello_world_greets_through_a_real_server(server, tmp_path):
    server.says(call("greet", name="Alice"), call("greet", name="Bob"), DONE)
    ran = python("-m", "looplet.examples.hello_world", server=server, cwd=tmp_path)
    assert ran.returncode == 0, ran.stderr
    lines = ran.stdout.splitlines()
    assert lines[0].startswith("#1 ✓ greet(name=Alice) → greeting: Hello, Alice!")
    assert lines[2].startswith("#3 ✓ done(")
    assert "evals: 2 of 2 passed" in ran.stdout


def test_hello_world_scripted_needs_neither_server_nor_sdk(tmp_path):
    block = "import sys; sys.modules['openai'] = None; sys.argv = ['hello', '--scripted']; "
    run = "import runpy; runpy.run_module('looplet.examples.hello_world', run_name='__main__')"
    ran = python("-c", block + run, server="http://127.0.0.1:9/v1", cwd=tmp_path)
    assert ran.returncode == 0, ran.stderr
    assert "#3 ✓ done(summary=Greeted Alice and Bob.)" in ran.stdout


def test_hello_world_says_in_one_line_that_nobody_answers(tmp_path):
    command = ("-m", "looplet.examples.hello_world", "--base-url", "http://127.0.0.1:9/v1")
    ran = python(*command, server="http://127.0.0.1:9/v1", cwd=tmp_path)
    assert ran.returncode == 1
    assert len(ran.stderr.strip().splitlines()) == 1
    assert "127.0.0.1:9" in ran.stderr


@pytest.mark.parametrize("status", [401, 404, 500])
def test_hello_world_says_what_the_provider_refused(server, tmp_path, status):
    server.says(Answer(status=status, body={"error": {"message": "the reason", "code": "why"}}))
    ran = python("-m", "looplet.examples.hello_world", server=server, cwd=tmp_path)
    assert ran.returncode == 1
    assert "the reason" in ran.stderr
    assert "Traceback" not in ran.stderr


@pytest.mark.install
@pytest.mark.timeout(600)
def test_the_quickstart_works_where_looplet_was_installed_as_it_says(server, tmp_path):
    path, made, folder = ROOT / "docs" / "quickstart.md", tmp_path / "made", tmp_path / "page"
    page = path.read_text("utf-8")
    extras = re.search(r'pip install "looplet\[(.*?)\]"', page)[1]
    subprocess.run([sys.executable, "-m", "venv", str(made)], check=True)
    pip = [str(made / "bin" / "python"), "-m", "pip", "--disable-pip-version-check"]
    subprocess.run([*pip, "install", "--quiet", f"{ROOT}[{extras}]"], check=True)
    listed = subprocess.run([*pip, "list", "--format=json"], capture_output=True, check=True)
    names = {each["name"] for each in json.loads(listed.stdout)}
    assert {"looplet", "openai"} <= names
    assert not names & {"pytest", "pyarrow", "scipy", "rich", "vcrpy"}, "this is no clean machine"

    # What is typed runs there; a block that is no file would run in this process.
    assert all(each.title for each in blocks_of(page) if each.language == "python")
    folder.mkdir()
    server.answer = fruit_model.answer
    environment = {
        "OPENAI_BASE_URL": server.url, "OPENAI_API_KEY": "not-checked-locally",
        "OPENAI_MODEL": "m", "COLUMNS": "100",
    }  # fmt: skip
    where = '\n```console\n$ python -c "import looplet; print(looplet.__file__)"\n'
    page += f"{where}{made}/…\n```\n"
    run_page(page, name=str(path), folder=folder, environment=environment, programs=made / "bin")
