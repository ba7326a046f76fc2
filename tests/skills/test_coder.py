"""The bundle ``skills/coder``, as its user meets it."""

from __future__ import annotations

import io
import json
import sys

import pytest

from looplet import MockLLMBackend
from looplet.__main__ import main
from looplet.provenance import read_trace
from looplet.skills import SkillRuntime, load_skill_bundle, validate_skill_bundle
from tests.conftest import ROOT
from tests.servers import completion

CODER = ROOT / "skills" / "coder"


def test_the_folder_of_bundles_is_listed_and_the_coder_is_valid(capsys):
    assert main(["list-bundles", str(CODER.parent), "--json"]) == 0
    (card,) = json.loads(capsys.readouterr().out)
    assert (card["name"], card["ok"], card["errors"]) == ("coder", True, [])
    found = validate_skill_bundle(CODER)
    assert (found.errors, found.warnings) == ((), ())


def test_the_script_is_not_done_before_its_test_passes(tmp_path, capsys):
    kept = tmp_path / "trace"
    work = tmp_path / "work"
    work.mkdir()
    argv = ["run", str(CODER), "Write is_leap.", "--scripted", "-w", str(work)]
    assert main([*argv, "--trace-dir", str(kept)]) == 0, capsys.readouterr().err
    run = read_trace(kept)
    codes = [s.tool_result.data["exit_code"] for s in run.steps if s.tool_call.tool == "bash"]
    assert codes[0] != 0 == codes[1]
    ends = [s.tool_result.data.get("rejected") for s in run.steps if s.tool_call.tool == "done"]
    assert ends == [True, None]
    assert run.stop_reason == "done"
    rule: dict = {}
    exec((work / "leap.py").read_text("utf-8"), rule)
    assert [rule["is_leap"](year) for year in (1900, 2000, 2023)] == [False, True, False]
    assert "#4 ✗ done: files were changed and no test was run" in capsys.readouterr().out


@pytest.mark.parametrize(("yes", "kept"), [(False, True), (True, False)])
def test_a_command_that_changes_something_needs_a_yes(yes, kept, tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.StringIO())  # no terminal
    (tmp_path / "a.txt").write_text("kept", encoding="utf-8")
    preset = load_skill_bundle(CODER).build_preset(
        SkillRuntime(workspace=tmp_path, options={"yes": yes})
    )
    llm = MockLLMBackend(['{"tool": "bash", "args": {"command": "rm a.txt"}}'])
    step = next(preset.run(llm, task="Delete it."))
    assert (step.tool_result.error is not None) is kept
    assert (tmp_path / "a.txt").exists() is kept


def test_a_real_model_is_told_the_bundles_instructions(server, tmp_path, monkeypatch, capsys):
    for name, value in {"BASE_URL": server.url, "API_KEY": "x", "MODEL": "m"}.items():
        monkeypatch.setenv(f"OPENAI_{name}", value)
    server.says(completion("no tools"), completion('{"tool": "done", "args": {"summary": "no"}}'))
    assert main(["run", str(CODER), "Rest.", "-w", str(tmp_path), "--no-trace"]) == 0
    instructions = (CODER / "SKILL.md").read_text("utf-8").split("---\n")[2].strip()
    assert server.bodies[1]["messages"][0] == {"role": "system", "content": instructions}
