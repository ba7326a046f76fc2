"""The recipe's snippets, as typed, and what it promises."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from looplet import tools_from
from looplet.control import PermissionEngine, PermissionHook
from looplet.core.records import ErrorKind, ToolCall
from tests.conftest import ROOT

PAGE = (ROOT / "docs" / "recipes" / "permissions.md").read_text("utf-8")
SHELL, ASK = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
ESCAPES = [
    "ls; rm -rf /",
    "ls ;rm",
    "ls && rm -rf /",
    "ls & rm",
    "ls || rm",
    "ls | sh",
    "ls|sh",
    "cat $(id)",
    "cat ${HOME}",
    "cat $HOME",
    "cat `id`",
    "ls\nrm -rf /",
    "ls a\n",
    "ls\r\nrm",
    "\nls",
    "cat a > b",
    "cat a >> b",
    "ls 2>/dev/null",
    "wc < /etc/shadow",
    "cat <(id)",
    "cat /etc/shadow",
    "cat ../key",
    "cat a/../../key",
    "cat ~/key",
    "cat a\\ b",
    "cat 'a'",
    'cat "a"',
    "cat *",
    "cat {a,b}",
    "cat a\x00b",
    "cat a\tb",
    "cat \u2025/key",
    "lsof",
    "/tmp/ls",
    "./ls",
    "rm -rf /",
    "find . -delete",
    "LS=1 rm",
    "",
    " ls",
    "ls  a",
]


def run_page() -> dict[str, Any]:
    made: dict[str, Any] = {"__name__": "recipe"}
    exec(compile(SHELL, "permissions.md", "exec"), made)
    exec(compile(ASK, "permissions.md", "exec"), made)
    return made


def call(command: Any) -> str:
    return json.dumps({"tool": "shell", "args": {"command": command}})


@pytest.mark.parametrize("command", ESCAPES)
def test_the_shell_recipe_denies(command):
    made = run_page()
    assert made["engine"].evaluate(ToolCall("shell", {"command": command})).denied


@pytest.mark.parametrize("args", [{}, {"command": None}, {"command": ["ls"]}, {"_raw_arg": "ls"}])
def test_the_shell_recipe_denies_arguments_that_are_not_a_command(args):
    assert run_page()["engine"].evaluate(ToolCall("shell", args)).denied


def test_the_shell_recipe_denies_every_other_tool():
    assert run_page()["engine"].evaluate(ToolCall("bash", {"command": "ls"})).denied


@pytest.mark.parametrize("command", ["ls", "ls -la", "wc -l src/main.py", "head -n 5 a.txt"])
def test_the_shell_recipe_allows(command):
    assert run_page()["engine"].evaluate(ToolCall("shell", {"command": command})).allowed


@given(st.text(), st.sampled_from(";&|$`<>\n\r(){}*?~\\'\"!#\x00"), st.text())
def test_the_shell_recipe_allows_no_command_with_a_character_that_a_shell_reads(a, mark, b):
    engine = run_page()["engine"]
    for command in (f"{a}{mark}{b}", f"ls {a}{mark}{b}", f"ls{mark}{b}", f"ls a{mark}"):
        assert engine.evaluate(ToolCall("shell", {"command": command})).denied


def test_in_a_run_the_recipe_reads_and_does_not_remove(drive, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "notes.txt").write_text("remember")
    made = run_page()
    commands = ["cat notes.txt", "ls; rm -rf notes.txt", "ls $(rm notes.txt)", "ls\nrm notes.txt"]
    ran = drive(
        drive.text([*map(call, commands), '{"tool": "done", "args": {"summary": "x"}}']),
        tools=tools_from([made["shell"]], include_done=True),
        hooks=made["hooks"],
    )
    first, *others = ran.steps[:-1]
    assert first.tool_result.data == {"exit": 0, "output": "remember"}
    assert len(others) == 3
    for step in others:
        assert step.tool_result.error == "no rule allows 'shell'"
        assert step.tool_result.error_kind is ErrorKind.PERMISSION_DENIED
    assert (tmp_path / "notes.txt").exists()
    assert len(made["engine"].denials) == 3


def test_without_its_permissions_the_recipes_tool_still_starts_one_program_only(tmp_path):
    made = run_page()
    (tmp_path / "a").write_text("")
    assert made["shell"](f"ls {tmp_path}/a; rm {tmp_path}/a")["exit"] != 0
    assert (tmp_path / "a").exists()


@pytest.mark.parametrize(("answer", "allowed"), [("y", True), ("n", False), ("", False)])
def test_the_asking_recipe_runs_what_a_person_allows(answer, allowed):
    made = run_page()
    asked: list[str] = []
    made["input"] = lambda prompt: asked.append(prompt) or answer
    engine = made["asking"]
    assert engine.evaluate(ToolCall("shell", {"command": "ls"})).allowed
    assert asked == []
    assert engine.evaluate(ToolCall("shell", {"command": "make"})).allowed is allowed
    assert len(asked) == 1


def test_the_names_on_the_page_are_the_packages_own():
    made = run_page()
    assert isinstance(made["engine"], PermissionEngine)
    assert isinstance(made["hooks"][0], PermissionHook)
