"""Tools that work in one folder: what they do, and that no path leads out of it."""

from __future__ import annotations

import os
import stat
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from looplet import MockLLMBackend, ToolCall, tools_from
from looplet.skills import coding_agent_preset, research_agent_preset
from looplet.skills.workspace import MAX_LINES, MAX_MATCHES, MAX_OUTPUT, Workspace


@pytest.fixture
def folder(tmp_path):
    root = tmp_path / "work"
    root.mkdir()
    (tmp_path / "secret.txt").write_text("hidden")
    (root / "link").symlink_to(tmp_path)
    (root / "file_link").symlink_to(tmp_path / "secret.txt")
    return Workspace(root)


OUTSIDE = (
    "../secret.txt", "/etc/passwd", "link/secret.txt", "file_link", "a/../../secret.txt",
    "link/../link/x", "./../work2/x",
)  # fmt: skip


@pytest.mark.parametrize("path", OUTSIDE)
def test_no_path_leads_out_of_the_folder(folder, path, tmp_path):
    tools = tools_from(folder.tools())
    for name, args in {
        "read": {}, "write": {"content": "x"}, "edit": {"old": "hidden", "new": "x"},
    }.items():  # fmt: skip
        result = tools.dispatch(ToolCall(name, {"path": path, **args}))
        assert "outside of the workspace" in result.error
        assert result.error_kind.value == "permission_denied"
    assert "outside" in tools.dispatch(ToolCall("grep", {"pattern": "h", "path": path})).error
    assert (tmp_path / "secret.txt").read_text() == "hidden"
    assert not (tmp_path / "work2").exists()


@given(st.lists(st.sampled_from(["..", ".", "a", "link", "~", "", "/", "work"]), max_size=7))
def test_no_combination_of_parts_leads_out(tmp_path_factory, parts):
    root = tmp_path_factory.mktemp("w") / "work"
    root.mkdir()
    (root / "link").symlink_to("/")
    folder = Workspace(root)
    try:
        place = folder.place("/".join(parts))
    except PermissionError:
        return
    assert os.path.commonpath([root.resolve(), place]) == str(root.resolve())


def test_links_are_neither_listed_nor_searched(folder):
    folder.write("a.txt", "hidden too")
    assert folder.glob("**/*") == {"files": ["a.txt"]}
    assert [each["file"] for each in folder.grep("hidden")["matches"]] == ["a.txt"]


def test_a_file_is_read_with_its_lines_numbers(folder):
    folder.write("a/b.txt", "one\ntwo\r\nthree")
    assert folder.read("a/b.txt")["content"] == "1\tone\n2\ttwo\r\n3\tthree"
    assert folder.read("a/b.txt", offset=2, limit=1) == {
        "path": "a/b.txt", "content": "2\ttwo\r\n", "lines": 3,
    }  # fmt: skip
    folder.write("long.txt", "x\n" * (MAX_LINES + 1))
    assert folder.read("long.txt")["content"].count("\n") == MAX_LINES


def test_an_edit_needs_text_that_stands_there_once(folder):
    folder.write("a.txt", "one two\r\none")
    tools = tools_from(folder.tools())

    def edit(**args):
        return tools.dispatch(ToolCall("edit", {"path": "a.txt", **args}))

    assert "2 times" in edit(old="one", new="1").error
    assert "is not in a.txt" in edit(old="three", new="3").error
    assert "is not in a.txt" in edit(old="", new="3").error
    assert edit(old="one", new="1", replace_all=True).data["replaced"] == 2
    assert (folder.root / "a.txt").read_bytes() == b"1 two\r\n1"
    (folder.root / "b").write_bytes(b"\xff")
    assert "UTF-8" in tools.dispatch(ToolCall("read", {"path": "b"})).error
    assert "no file" in tools.dispatch(ToolCall("read", {"path": "c"})).error
    assert "is a folder" in tools.dispatch(ToolCall("write", {"path": ".", "content": ""})).error


def test_a_file_that_is_written_again_keeps_its_mode_and_leaves_nothing_beside_it(folder):
    folder.write("run.sh", "a")
    place = folder.root / "run.sh"
    place.chmod(0o750)
    folder.write("run.sh", "b")
    assert stat.S_IMODE(place.stat().st_mode) == 0o750
    assert sorted(each.name for each in folder.root.iterdir()) == ["file_link", "link", "run.sh"]


@pytest.mark.parametrize(
    ("pattern", "found"),
    [
        ("*.py", ["a.py"]),
        ("**/*.py", ["a.py", "d/b.py", "d/e/c.py"]),
        ("d/**", ["d/b.py", "d/e/c.py", "d/n.txt"]),
        ("d/*/c.py", ["d/e/c.py"]),
        ("./d/?.py", ["d/b.py"]),
        ("../*", []),
    ],
)
def test_a_pattern_finds_files_as_shells_do(folder, pattern, found):
    for name in ("a.py", "d/b.py", "d/e/c.py", "d/n.txt", "__pycache__/x.py", ".git/y.py"):
        folder.write(name, "")
    assert folder.glob(pattern)["files"] == found


def test_lines_are_found_by_expressions(folder):
    folder.write("a.py", "x = 1\ny = 22\n")
    folder.write("b.txt", "y = 3\n")
    (folder.root / "c.py").write_bytes(b"y = \xff\n")
    assert folder.grep(r"y = \d+", files="*.py")["matches"] == [
        {"file": "a.py", "line": 2, "text": "y = 22"}
    ]
    assert [each["file"] for each in folder.grep("y", path="b.txt")["matches"]] == ["b.txt"]
    folder.write("many", "x\n" * (MAX_MATCHES + 5))
    many = folder.grep("x", path="many")
    assert (len(many["matches"]), many["more"]) == (MAX_MATCHES, True)
    result = tools_from(folder.tools()).dispatch(ToolCall("grep", {"pattern": "("}))
    assert "no regular expression" in result.error


def test_a_command_runs_in_the_folder_and_leaves_nothing_running(folder):
    done = folder.bash("pwd; echo err >&2; exit 3")
    assert done == {"exit_code": 3, "output": f"{folder.root}\nerr\n"}
    assert "characters left out" in folder.bash(f"head -c {MAX_OUTPUT + 9} /dev/zero")["output"]
    started = time.monotonic()
    with pytest.raises(TimeoutError, match=r"0\.3 s"):
        folder.bash("(sleep 1; touch late) & sleep 60", timeout_s=0.3)
    assert time.monotonic() - started < 30
    folder.bash("(sleep 1; touch late) > /dev/null 2>&1 &")
    time.sleep(1.5)
    assert not (folder.root / "late").exists()


def said(tool, **args):
    import json

    return json.dumps({"tool": tool, "args": args})


def run(preset, *replies):
    return list(preset.run(MockLLMBackend(list(replies), cycle=False), task="Do it."))


TEST = "import unittest\nclass A(unittest.TestCase):\n    def test_a(self):\n        assert {}\n"


def test_a_programmer_is_not_done_before_its_tests_pass_again(tmp_path):
    preset = coding_agent_preset(tmp_path)
    done, test = said("done", summary="x"), said("bash", command="python -m unittest")
    steps = run(
        preset,
        said("write", path="test_a.py", content=TEST.format(False)), test, done,
        said("edit", path="test_a.py", old="False", new="True"), done, test, done,
    )  # fmt: skip
    rejected = [bool(step.tool_result.data.get("rejected")) for step in steps]
    assert rejected == [False, False, True, False, True, False, False]
    assert "run the tests" in steps[2].tool_result.data["reason"]
    assert [step.tool_call.tool for step in run(preset, done)] == ["done"]
    quick = coding_agent_preset(tmp_path, require_tests=False)
    assert len(run(quick, said("write", path="b", content=""), done)) == 2


def test_a_reader_has_no_tool_that_changes_anything(tmp_path):
    preset = research_agent_preset(tmp_path)
    assert sorted(preset.tools.tool_names) == ["done", "glob", "grep", "read", "think"]
    coder = coding_agent_preset(tmp_path, system_prompt="Be brief.", max_steps=3)
    assert sorted(coder.tools.tool_names) == [
        "bash", "done", "edit", "glob", "grep", "read", "think", "write",
    ]  # fmt: skip
    assert (coder.config.system_prompt, coder.config.max_steps) == ("Be brief.", 3)
