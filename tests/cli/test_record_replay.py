"""``looplet record`` and ``looplet replay``: agents and scripts, into a cassette and against it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from looplet.replay import read_trajectory, use_cassette
from tests.cli.conftest import noted, process

TARGETS = ("agent:build", "agent.py:build", "agent:abuild")


@pytest.mark.parametrize("target", TARGETS)
def test_an_agent_is_recorded_a_line_a_step_and_replays_equal(looplet, target):
    recorded = looplet("record", target, "--cassette", "run.yaml")
    assert recorded.status == 0
    lines = recorded.out.splitlines()
    assert [line.split(" →")[0] for line in lines] == [
        "#1 ✓ price(fruit=pear)", "#2 ✓ price(fruit=fig)", "#3 ✓ done(summary=priced)",
    ]  # fmt: skip
    assert recorded.err == "run.yaml: 6 calls, 1 run (done)\n"
    before = noted("asked.txt"), noted("did.txt")
    replayed = looplet("replay", "run.yaml", "--agent", target)
    assert (replayed.status, replayed.out) == (0, "run.yaml: equal (3 steps, done)\n")
    assert (noted("asked.txt"), noted("did.txt")) == before


@pytest.mark.parametrize("model", ["MockLLMBackend", "AsyncMockLLMBackend"])
def test_a_model_that_fails_for_good_is_told_and_its_run_kept(looplet, desk, model):
    replies = "[*replies(['pear'])][:1], cycle=False"
    code = f"\ndef failing():\n    return build() | {{'llm': {model}({replies})}}\n"
    (desk / "agent.py").write_text((desk / "agent.py").read_text() + code)
    for words in ("3 calls", "was there and was replayed"):
        said = looplet("record", "agent.py:failing", "--cassette", "run.yaml")
        assert said.status == 1
        first, second = said.err.splitlines()
        assert words in first
        assert second.startswith("error: the run ended with llm_error: LLM call failed")
        assert second.endswith(". run.yaml keeps that; --record-mode all records anew")
    assert read_trajectory("run.yaml").stop_reason == "llm_error"


def test_what_a_models_failure_means_for_a_script_is_its_own_business(looplet, desk):
    model = 'MockLLMBackend([\'{"tool": "plum"}\'], cycle=False)'
    loop = f"composable_loop({model}, tools=tools_from([], include_done=True))"
    (desk / "script.py").write_text(f"from looplet import *\nprint([*{loop}][-1].pretty())")
    said = looplet("record", "script.py", "--cassette", "run.yaml")
    assert (said.status, said.err) == (0, "run.yaml: 3 calls, 1 run (llm_error)\n")


def test_what_is_recorded_says_whose_it_is(looplet):
    looplet("record", "agent:build", "--cassette", "run.yaml")
    with use_cassette("run.yaml") as cassette:
        assert cassette.metadata == {"agent": "agent:build"}
    assert read_trajectory("run.yaml").task == {"goal": "Price fruit"}


def test_a_changed_agent_diverges_and_the_diff_says_where(looplet, monkeypatch):
    looplet("record", "agent:build", "--cassette", "run.yaml")
    monkeypatch.setenv("SAY", "Be \x1b[31mbrief.")
    said = looplet("replay", "run.yaml", "--agent", "agent:build")
    assert said.status == 1
    assert "lane main, call 1, step 1, message 0 (system)" in said.out
    assert "brief." in said.out
    assert "\x1b" not in said.out
    as_json = looplet("replay", "run.yaml", "--agent", "agent:build", "--json")
    verdict = json.loads(as_json.out)
    assert (as_json.status, verdict["equal"]) == (1, False)
    assert verdict["divergence"]["step"] == 1
    assert verdict["divergence"]["role"] == "system"


def test_live_tools_run_and_what_they_give_is_compared(looplet, monkeypatch):
    looplet("record", "agent:build", "--cassette", "run.yaml")
    monkeypatch.setenv("EURO", "0.5")
    said = looplet("replay", "run.yaml", "--agent", "agent:build", "--tools", "live")
    assert (said.status, noted("did.txt")) == (1, ["pear", "fig", "pear"])
    assert "0.4" in said.out
    assert looplet("replay", "run.yaml", "--agent", "agent:build").status == 0


def test_a_replay_as_json_is_nothing_but_json(looplet):
    looplet("record", "script.py", "--cassette", "run.yaml", "--", "pear", "fig")
    said = looplet("replay", "run.yaml", "--agent", "script.py", "--json", "--", "pear", "fig")
    verdict = json.loads(said.out)
    assert (said.status, verdict["equal"], len(verdict["runs"])) == (0, True, 2)
    assert "own 1" in said.err


def test_a_script_that_knows_of_no_cassette_is_recorded_and_replayed(looplet):
    recorded = looplet("record", "script.py", "--cassette", "run.yaml", "--", "pear", "fig")
    assert (recorded.status, recorded.out) == (0, "own 1\nown 2\nown 1\nown 2\n")
    assert recorded.err == "run.yaml: 8 calls, 2 runs (done, done)\n"
    asked = noted("asked.txt")
    same = looplet("replay", "run.yaml", "--agent", "script.py", "--", "pear", "fig")
    assert (same.status, same.out.splitlines()[-1]) == (0, "run.yaml: equal (2 runs, 4 steps)")
    other = looplet("replay", "run.yaml", "--agent", "script.py", "--", "pear")
    assert other.status == 1
    assert 'run 1 was not replayed: task {"goal":"fig"}' in other.out
    assert noted("asked.txt") == asked


def test_a_script_is_run_as_python_runs_it(looplet, desk):
    (desk / "odd.py").write_text(
        "import sys\nfrom looplet import composable_loop\n"
        "print(__name__, sys.argv[1:], sys.path[0] == __file__.rpartition('/')[0])\n"
        "sys.path.append('mine')\n"
        "from neighbour import build\n[*composable_loop(**build())]\n"
    )
    argv, places = sys.argv, [*sys.path]
    said = looplet("record", "odd.py", "--cassette", "run.yaml", "--", "--cassette", "x", "--", "y")
    assert said.out == "__main__ ['--cassette', 'x', '--', 'y'] True\n"
    assert (sys.argv, [each for each in sys.path if each]) == (
        argv,
        [each for each in places if each],
    )


def test_once_replays_what_is_there_and_all_records_anew(looplet, monkeypatch):
    looplet("record", "agent:build", "--cassette", "run.yaml")
    first = Path("run.yaml").read_bytes()
    again = looplet("record", "agent:build", "--cassette", "run.yaml")
    assert again.status == 0
    assert "was replayed; nothing was recorded. --record-mode all" in again.err
    assert Path("run.yaml").read_bytes() == first
    monkeypatch.setenv("SAY", "Be brief.")
    changed = looplet("record", "agent:build", "--cassette", "run.yaml")
    assert changed.status == 1
    assert changed.err.startswith("error: cassette run.yaml, lane main, call 1")
    assert (changed.err.count("\n"), "\\n  recorded" in changed.err) == (1, False)
    anew = looplet("record", "agent:build", "--cassette", "run.yaml", "--record-mode", "all")
    assert anew.status == 0
    assert looplet("replay", "run.yaml", "--agent", "agent:build").status == 0
    assert "Be brief." in Path("run.yaml").read_text()


def test_new_episodes_records_behind_the_first_change(looplet, monkeypatch):
    looplet("record", "agent:build", "--cassette", "run.yaml")
    mode = ("--record-mode", "new_episodes")
    same = looplet("record", "agent:build", "--cassette", "run.yaml", *mode)
    assert "nothing was recorded" in same.err
    monkeypatch.setenv("SAY", "Be brief.")
    assert looplet("record", "agent:build", "--cassette", "run.yaml", *mode).status == 0
    assert looplet("replay", "run.yaml", "--agent", "agent:build").status == 0


def test_a_script_that_fails_keeps_its_traceback_and_the_old_cassette(looplet):
    looplet("record", "script.py", "--cassette", "run.yaml", "--", "pear")
    before = Path("run.yaml").read_bytes()
    again = ("--cassette", "run.yaml", "--record-mode", "all", "--")
    raised = looplet("record", "script.py", *again, "fig", "boom")
    assert raised.status == 1
    assert raised.err.startswith("Traceback")
    assert "KeyError: 'boom'" in raised.err
    assert "runpy" not in raised.err
    assert "note: cassette run.yaml was left as it was; the 4 calls of this" in raised.err
    assert Path("run.yaml").read_bytes() == before
    Path("run.yaml.journal").unlink()
    ended = looplet("record", "script.py", *again, "fig", "7")
    assert ended.status == 7
    assert "exit status 7" in ended.err
    assert Path("run.yaml").read_bytes() == before
    Path("run.yaml.journal").unlink()
    assert looplet("record", "script.py", *again, "fig", "0").status == 0
    assert Path("run.yaml").read_bytes() != before


def test_a_script_that_starts_no_loop_records_nothing(looplet):
    said = looplet("record", "script.py", "--cassette", "run.yaml")
    assert said.status == 1
    assert said.err == "error: no loop was started, so nothing was recorded\n"
    assert not Path("run.yaml").exists()


def test_a_script_that_fails_in_a_replay_is_unusable_unless_it_did_the_same(looplet):
    looplet("record", "script.py", "--cassette", "run.yaml", "--", "pear")
    failed = looplet("replay", "run.yaml", "--agent", "script.py", "--", "3")
    assert failed.status == 2
    assert "script.py cannot be compared: the script ended with exit status 3" in failed.err
    same = looplet("replay", "run.yaml", "--agent", "script.py", "--", "pear", "3")
    assert same.status == 0
    assert same.out.endswith("equal (1 run, 2 steps)\nthe script ended with exit status 3\n")


# Forks


@pytest.mark.parametrize(
    ("target", "arguments"), [("agent:build", ()), ("script.py", ("--", "pear"))]
)
def test_a_fork_goes_live_with_the_agents_own_model(looplet, monkeypatch, target, arguments):
    looplet("record", target, "--cassette", "run.yaml", *arguments)
    before = len(noted("asked.txt"))
    monkeypatch.setenv("EURO", "9.0")
    fork = ("--fork-at", "2", "--into", "child.yaml")
    said = looplet("replay", "run.yaml", "--agent", target, *fork, *arguments)
    assert said.status == 0, said.err
    assert said.out.splitlines()[-1].startswith("child.yaml: live from step 2 (")
    # The agent's model is a script that begins anew: step 2 prices the first fruit once more.
    assert len(noted("asked.txt")) == before + (3 if target == "agent:build" else 2)
    prices = [step.tool_result.data.get("euro") for step in read_trajectory("child.yaml").steps]
    assert prices[:2] == [0.4, 9.0]
    with use_cassette("child.yaml") as cassette:
        assert cassette.parent["at"] == 2
    assert looplet("replay", "child.yaml", "--agent", target, *arguments).status == 0
    as_json = looplet(
        "replay", "run.yaml", "--agent", target, "--fork-at", "1", "--into", "b.yaml", "--json",
        *arguments,
    )  # fmt: skip
    assert json.loads(as_json.out)["at"] == 1


def test_a_fork_that_diverges_before_its_step_says_so(looplet, monkeypatch):
    looplet("record", "agent:build", "--cassette", "run.yaml")
    monkeypatch.setenv("SAY", "Be brief.")
    said = looplet(
        "replay", "run.yaml", "--agent", "agent:build", "--fork-at", "3", "--into", "child.yaml"
    )
    assert (said.status, said.out.split("\n")[0]) == (1, "run.yaml: diverged before step 3")
    assert not Path("child.yaml").exists()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--fork-at", "2"), "--into F belong together"),
        (("--into", "c.yaml"), "--into F belong together"),
        (("--fork-at", "2", "--into", "run.yaml"), "is there already"),
        (("--fork-at", "0", "--into", "c.yaml"), "counted from 1"),
        (("--fork-at", "9", "--into", "c.yaml"), "before step 9"),
        (("--fork-at", "2", "--into", "c.yaml", "--tools", "live"), "leave --tools live out"),
    ],
)
@pytest.mark.parametrize("target", ["agent:build", "script.py"])
def test_a_fork_that_cannot_be_is_unusable(looplet, target, arguments, said):
    words = ["--", "pear"] if target == "script.py" else []
    looplet("record", target, "--cassette", "run.yaml", *words)
    given = looplet("replay", "run.yaml", "--agent", target, *arguments, *words)
    assert given.status == 2
    assert said in given.err
    assert (given.err.count("\n"), given.out.count("live from")) == (1, 0)
    assert not Path("c.yaml").exists()


def test_a_script_of_several_runs_is_not_forked_nor_one_that_fails(looplet):
    looplet("record", "script.py", "--cassette", "run.yaml", "--", "pear", "fig")
    fork = ("--fork-at", "2", "--into", "c.yaml", "--")
    said = looplet("replay", "run.yaml", "--agent", "script.py", *fork, "pear", "fig")
    assert (said.status, "run.yaml has 2 runs, and a fork is of one" in said.err) == (2, True)
    looplet("record", "script.py", "--cassette", "one.yaml", "--", "pear")
    failed = looplet("replay", "one.yaml", "--agent", "script.py", *fork, "3")
    assert (failed.status, "script.py failed: the script ended" in failed.err) == (2, True)


# What a user gets wrong


@pytest.mark.parametrize(
    ("target", "said"),
    [
        ("nothing", "names no agent; give an agent, module:build"),
        ("agent:", "names no agent"),
        (":build", "names no agent"),
        ("agent:biuld", "the module has no biuld; did you mean build?"),
        ("absent:build", "the import of absent failed: ModuleNotFoundError"),
        ("absent.py:build", "there is no file absent.py"),
        ("absent.py", "there is no script absent.py"),
        ("agent:broken", "agent:broken failed: KeyError: 'OPENAI_API_KEY' ("),
        ("agent:price", "agent:price failed: TypeError"),
        ("agent:AGENT", "the module has no AGENT"),
        ("wrong.py:build", "SyntaxError: "),
        ("wrong.py:build", "wrong.py, line 1)\n"),
        ("sub/far.py:build", "far.py:build failed: ZeroDivisionError"),
        ("folder", "folder is a directory"),
        ("bundle", "a skill needs a description"),
        ("bundle/SKILL.md", "a skill needs a description"),
        ("hook.py:build", "hook.py:build failed: ZeroDivisionError: division by zero ("),
    ],
)
@pytest.mark.parametrize("command", ["record", "replay"])
def test_an_agent_that_cannot_be_used_is_one_line(looplet, desk, command, target, said):
    for name in ("folder", "bundle"):
        (desk / name).mkdir()
    (desk / "bundle" / "SKILL.md").write_text("---\nname: x\n---\n")
    (desk / "wrong.py").write_text("def build(:\n")
    (desk / "sub").mkdir()
    (desk / "sub" / "beside.py").write_text("def build(): 1 / 0\n")
    (desk / "sub" / "far.py").write_text("from beside import build\n")
    (desk / "hook.py").write_text(
        "import neighbour\nclass Hook:\n  def pre_loop(self, *given): 1 / 0\n"
        "def build(): return neighbour.build() | {'hooks': [Hook()]}\n"
    )
    looplet("record", "agent:build", "--cassette", "run.yaml")
    given = (
        ("record", target, "--cassette", "new.yaml")
        if command == "record"
        else ("replay", "run.yaml", "--agent", target)
    )
    result = looplet(*given)
    assert result.status == (1 if command == "record" else 2)
    assert said in result.err
    assert (result.err.count("\n"), result.out) == (1, "")
    assert not Path("new.yaml").exists()


def test_an_agent_without_a_model_can_be_replayed_and_not_recorded(looplet):
    said = looplet("record", "agent:without", "--cassette", "run.yaml")
    assert said.status == 1
    assert "needs a backend" in said.err
    looplet("record", "agent:build", "--cassette", "run.yaml")
    assert looplet("replay", "run.yaml", "--agent", "agent:without").status == 0


def test_arguments_are_for_scripts(looplet):
    looplet("record", "agent:build", "--cassette", "run.yaml")
    for given in (
        ("record", "agent:build", "--cassette", "b.yaml", "--", "x"),
        ("replay", "run.yaml", "--agent", "agent:build", "--", "x"),
    ):
        said = looplet(*given)
        assert (said.status > 0, "those behind -- are for scripts" in said.err) == (True, True)


def test_a_cassette_that_cannot_be_used_is_one_line(looplet, desk):
    looplet("record", "agent:build", "--cassette", "run.yaml", "--tools", "live")
    for name, said in (
        ("none.yaml", "there is no cassette none.yaml"),
        ("run.yaml", 'let the tools run: tools="live"'),
        ("agent.py", "is no looplet cassette"),
        (".", ". is a directory; name the cassette's file"),
    ):
        given = looplet("replay", name, "--agent", "agent:build")
        assert (given.status, given.err.count("\n"), given.out) == (2, 1, "")
        assert said in given.err
    live = looplet("replay", "run.yaml", "--agent", "agent:build", "--tools", "live")
    assert live.status == 0


def test_a_leftover_journal_is_told_in_one_line(looplet, desk):
    looplet("record", "agent:build", "--cassette", "run.yaml")
    (desk / "run.yaml.journal").write_text("")
    said = process("replay", "run.yaml", "--agent", "agent:build")
    assert said.status == 0
    assert said.err.startswith("warning: beside cassette run.yaml lies run.yaml.journal")
    assert said.err.count("\n") == 1


# In a process of its own


def test_recording_and_replaying_in_processes(desk):
    recorded = process("record", "agent.py:build", "--cassette", "run.yaml")
    assert (recorded.status, recorded.out.count("\n")) == (0, 3)
    same = process("replay", "run.yaml", "--agent", "agent.py:build", PYTHONHASHSEED="7")
    assert (same.status, same.err) == (0, "")
    other = process("replay", "run.yaml", "--agent", "agent.py:build", SAY="Be brief.")
    assert (other.status, "Traceback" in other.err) == (1, False)
    lost = process("replay", "none.yaml", "--agent", "agent.py:build")
    assert (lost.status, lost.err.count("\n")) == (2, 1)


def test_a_terminal_without_the_letters_gets_escapes(desk):
    said = process(
        "record", "agent.py:build", "--cassette", "run.yaml",
        PYTHONIOENCODING="ascii", NO_COLOR="1", COLUMNS="40", TERM="dumb",
    )  # fmt: skip
    assert said.status == 0
    assert said.out.startswith("#1 \\u2713 price(fruit=pear)")


@pytest.mark.parametrize("command", ["record", "replay", "diff", "cassette"])
def test_help_fits_a_narrow_terminal(desk, command):
    said = process(command, "--help", COLUMNS="40")
    assert said.status == 0
    assert "\x1b" not in said.out
    text = said.out.split("\n\n", 1)[1]  # what comes after the usage
    assert max(len(line) for line in text.splitlines()) <= 40


def test_nothing_heavy_is_imported_before_a_command_runs():
    code = (
        "import sys\nfrom looplet.__main__ import main\n"
        "try:\n    main(['--version'])\nexcept SystemExit:\n    pass\n"
        "names = {'vcr', 'yaml', 'pyarrow', 'pandas', 'asyncio', 'pytest', 'looplet.replay',\n"
        "         'looplet.trajectory', 'looplet.core.loop'}\n"
        "print(sorted(names & set(sys.modules)))"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.splitlines()[-1] == "[]"


def test_a_keyboard_interrupt_ends_a_recording_without_a_traceback(looplet, desk):
    (desk / "stops.py").write_text(
        "from looplet import composable_loop\nfrom neighbour import build\n"
        "for step in composable_loop(**build()):\n    raise KeyboardInterrupt\n"
    )
    looplet("record", "agent:build", "--cassette", "run.yaml")
    said = looplet("record", "stops.py", "--cassette", "run.yaml", "--record-mode", "all")
    assert said.status == 130
    assert said.err.startswith("error: interrupted\nnote: cassette run.yaml was left as it was")
    assert looplet("record", "stops.py", "--cassette", "new.yaml").status == 130
    assert looplet("cassette", "verify", "new.yaml").out.endswith("its recording was interrupted\n")
