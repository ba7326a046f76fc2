"""The clerk: with a real server it is recorded, and without one its recorded runs are replayed."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from dataclasses import replace

import pytest

from looplet import MCPToolAdapter, composable_loop
from looplet.core.prompt import native_instruction
from looplet.evals.trying import context_of_calls
from looplet.examples.mcp_agent import agent
from looplet.examples.mcp_agent.__main__ import main
from looplet.examples.mcp_agent.agent import SERVER, build, described, remembered
from looplet.examples.mcp_agent.evals import eval_mcp_agent as evals
from looplet.examples.mcp_agent.tasks import TASKS
from looplet.replay import replay, use_cassette
from tests.conftest import ROOT
from tests.examples.replaying import cassettes_of, keep, rows_of, score

pytest.importorskip("mcp", reason="the extra 'mcp' is not installed", exc_type=ImportError)

TASK = {task.task_id: task for task in TASKS}
CASSETTES = cassettes_of("mcp_agent")
REAL = cassettes_of("mcp_agent_smollm2")
TEMPLATE = ROOT / "recordings" / "mcp_agent.jinja"

STOCK = ("dried figs", "fresh figs", "lemons", "olives")


@pytest.fixture
def tools():
    """The tools of a server of its own, since reservations stay for as long as a server runs."""
    with MCPToolAdapter.connect_stdio(SERVER) as adapter:
        yield adapter.list_tools()


def about(path):
    """What was noted when a cassette was recorded."""
    with use_cassette(path) as cassette:
        return cassette.metadata


def tools_in(path):
    return remembered(about(path)["tools"])


def agent_in(path, tools=None):
    """The clerk of a cassette, with the tools that it remembers unless there are others."""
    noted = about(path)
    goal = TASK[noted["task_id"]].goal
    return build(tools or remembered(noted["tools"]), goal, seed=noted.get("seed"))


@pytest.mark.parametrize("name", CASSETTES)
def test_a_recorded_run_needs_neither_server_nor_sdk(name):
    code = (
        "import sys; sys.modules['mcp'] = sys.modules['openai'] = None\n"
        "from looplet.examples.mcp_agent.__main__ import main\nsys.exit(main(sys.argv[1:]))"
    )
    path = CASSETTES[name]
    ran = subprocess.run(
        [sys.executable, "-c", code, "--cassette", str(path)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr
    *steps, told = ran.stdout.splitlines()
    assert len(steps) == len(TASK[name].calls)
    assert told == f"{path}: equal ({len(steps)} steps, done)"


@pytest.mark.parametrize("path", [*CASSETTES.values(), *REAL.values()], ids=lambda path: path.stem)
def test_the_server_still_does_what_was_recorded(path, tools):
    result = replay(path, agent_in(path, tools), tools="live")
    assert result.matches, str(result)


def test_a_remembered_tool_is_the_servers_but_does_not_run(tools):
    path = CASSETTES["reserve-figs"]
    assert described(tools_in(path)) == described(tools)
    task = TASK["reserve-figs"]
    step, *_ = composable_loop(task.model(), **build(tools_in(path), task.goal))
    assert "server was not started" in step.tool_result.error


def test_the_recorded_runs_hold_the_gate_and_one_did_not_look(tmp_path):
    runs = {name: replay(path, agent_in(path)).trajectory for name, path in CASSETTES.items()}
    keep(tmp_path / "store", runs, TASKS)
    said = score(tmp_path / "store", "mcp_agent")
    assert said.returncode == 0, said.stdout
    assert rows_of(said.stdout) == {
        "eval_reserved_what_was_asked": (3, 3),
        "eval_figures_come_from_the_server": (3, 3),
        "eval_looked_before_it_reserved": (3, 2),
        "eval_ended_by_itself": (3, 3),
    }


@pytest.mark.parametrize("name", REAL)
def test_a_real_models_run_is_replayed(name, capsys):
    assert main(["--cassette", str(REAL[name])]) == 0
    assert ": equal (" in capsys.readouterr().out


def test_a_real_models_runs_are_told_apart_by_the_evals(tmp_path):
    runs = {name: replay(path, agent_in(path)).trajectory for name, path in REAL.items()}
    tasks = [replace(TASK[about(path)["task_id"]], task_id=name) for name, path in REAL.items()]
    keep(tmp_path / "store", runs, tasks)
    said = score(tmp_path / "store", "mcp_agent")
    assert said.returncode == 1
    assert "gate: NOT held" in said.stdout
    assert rows_of(said.stdout) == {
        "eval_reserved_what_was_asked": (6, 4),
        "eval_figures_come_from_the_server": (2, 2),
        "eval_looked_before_it_reserved": (6, 6),
        "eval_ended_by_itself": (6, 2),
    }


def test_the_model_is_shown_the_loops_own_opening_and_no_task_of_the_clerk():
    shown = TEMPLATE.read_text("utf-8")
    assert native_instruction("done") in shown
    assert [task.goal for task in TASKS if task.goal in shown] == []
    assert [item for item in STOCK if item in shown] == []
    digest = hashlib.sha256(TEMPLATE.read_bytes()).hexdigest()
    assert {about(path)["template_sha256"] for path in REAL.values()} == {digest}


def test_a_run_is_recorded_and_the_next_command_replays_it(tmp_path, capsys, monkeypatch):
    path = tmp_path / "run.yaml"
    assert main(["--scripted", "--cassette", str(path)]) == 0
    recorded = capsys.readouterr().out
    assert "3 keys" in recorded
    assert main(["--cassette", str(path)]) == 0
    assert capsys.readouterr().out == f"{recorded}{path}: equal (4 steps, done)\n"


def test_without_a_cassette_nothing_is_kept(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["--scripted"]) == 0
    assert capsys.readouterr().out.count("✓") == 4
    assert list(tmp_path.iterdir()) == []


def test_an_edited_cassette_and_a_changed_agent_are_told(tmp_path, capsys, monkeypatch):
    path = tmp_path / "run.yaml"
    text = CASSETTES["reserve-figs"].read_text("utf-8")
    path.write_text(text.replace("28 are left.", "27 are left.", 1), "utf-8")
    assert main(["--cassette", str(path)]) == 1
    said = capsys.readouterr().err
    assert said.startswith("error: ")
    assert "looplet cassette accept" in said
    monkeypatch.setattr(agent, "SYSTEM_PROMPT", agent.SYSTEM_PROMPT.replace("clerk", "thief"))
    assert main(["--cassette", str(CASSETTES["reserve-figs"])]) == 1
    assert "'clerk' → 'thief'" in capsys.readouterr().out


def test_a_missing_sdk_is_one_line(capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "mcp", None)
    assert main(["--scripted"]) == 1
    said = capsys.readouterr().err
    assert "looplet[mcp]" in said
    assert said.count("\n") == 1


FIGS = {"item": "figs"}


def judged(eval_, *calls, answer="12 are reserved", expected=None):
    expected = expected or {"item": "figs", "crates": 12}
    return bool(eval_(context_of_calls(*calls, final_output={"answer": answer}, expected=expected)))


def reserve(crates, *, item="figs", there=40):
    result = {"item": item, "reserved": crates, "left": there - crates}
    if crates > there:
        result = {"error": f"there are {there}"}
    return ("reserve", {"item": item, "crates": crates}, result)


def test_the_evals_tell_good_runs_from_bad():
    stock = ("stock", FIGS, {"item": "figs", "crates": 40})
    right, looked = evals.eval_reserved_what_was_asked, evals.eval_looked_before_it_reserved
    assert judged(right, stock, reserve(12))
    assert judged(right, reserve(50), reserve(5), reserve(7))
    assert not judged(right, stock, reserve(12), reserve(1))
    assert not judged(right, stock, reserve(12, item="olives"))
    assert not judged(right, stock)
    assert judged(right, stock, expected={"item": "figs", "crates": 0})
    assert judged(looked, stock, reserve(12))
    assert judged(looked, stock)
    assert not judged(looked, reserve(50), stock, reserve(12))
    assert not judged(looked, stock, reserve(12), reserve(1, item="olives"))
    grounded = evals.eval_figures_come_from_the_server
    assert judged(grounded, stock, reserve(12))
    assert not judged(grounded, stock, reserve(12), answer="13 are reserved")
