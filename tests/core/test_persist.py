"""Long results in files, and what the model is told of them; each run through both drivers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from looplet import DefaultState, LoopConfig, ToolResult, tool, tools_from
from looplet.context import TruncateCompact
from looplet.core.persist import LONGEST_SHOWN, ResultFiles
from looplet.core.show import told_text
from looplet.replay import use_cassette

LONG = "line of the log\n" * 4000
DONE = {"tool": "done", "args": {"summary": "x"}}


@tool
def fetch(kind: str) -> Any:
    """Fetch something."""
    if kind == "error":
        raise LookupError(LONG)
    kinds = {
        "text": LONG,
        "rows": [{"id": number, "name": "é" * 20} for number in range(2000)],
        "edge": "x" * LONGEST_SHOWN,
        "odd": "\ud800" + LONG,
        "odd json": {"text": "\ud800" + LONG, 3: {1, 2}},
    }
    return kinds[kind]


def run(drive: Any, directory: Any, *kinds: str, native: bool = False, **keywords: Any) -> Any:
    asked = [{"tool": "fetch", "args": {"kind": kind}} for kind in kinds] + [DONE]
    config = LoopConfig(
        tool_result_persist_dir=directory, use_native_tools=native, **keywords.pop("config", {})
    )
    llm = drive.native([use(each, place) for place, each in enumerate(asked)])
    if not native:
        llm = drive.text([json.dumps(each) for each in asked])
    llm = keywords.pop("wrap", lambda llm: llm)(llm)
    ran = drive(llm, tools=tools_from([fetch], include_done=True), config=config, **keywords)
    ran.llm = llm
    return ran


def use(asked: dict[str, Any], place: int) -> list[dict[str, Any]]:
    name, given = asked["tool"], asked["args"]
    return [{"type": "tool_use", "id": f"c{place}", "name": name, "input": given}]


def told(ran: Any, *, native: bool) -> str:
    """What the newest prompt tells of results."""
    return ran.llm.requests[-1].messages[-1].content if native else ran.llm.last_prompt


def only_file(directory: Path) -> Path:
    (place,) = directory.iterdir()
    return place


@pytest.mark.parametrize("native", [False, True], ids=["text", "native"])
def test_a_long_result_is_in_a_file_and_the_prompt_says_where(drive, tmp_path, native):
    ran = run(drive, tmp_path / "new" / "results", "text", native=native)
    place = only_file(tmp_path / "new" / "results")
    assert place.read_text() == LONG
    assert place.name.startswith("step_1_fetch_")
    prompt = told(ran, native=native)
    assert f"[all 64000 characters are in {place.as_posix()}; it begins:]" in prompt
    assert "line of the log" in prompt
    assert len(prompt) < 4000
    assert ran.steps[0].tool_result.data == LONG


@pytest.mark.parametrize("native", [False, True], ids=["text", "native"])
def test_data_that_is_no_text_goes_to_a_json_file_whole(drive, tmp_path, native):
    ran = run(drive, tmp_path, "rows", native=native)
    place = only_file(tmp_path)
    assert place.suffix == ".json"
    assert json.loads(place.read_text(encoding="utf-8")) == ran.steps[0].tool_result.data
    assert str(place) in told(ran, native=native)
    assert len(ran.steps[0].tool_result.data) == 2000


def test_a_result_of_the_allowed_length_is_in_no_file(drive, tmp_path):
    run(drive, tmp_path, "edge")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("kind", ["odd", "odd json"])
def test_what_is_no_unicode_is_escaped(drive, tmp_path, kind):
    run(drive, tmp_path, kind)
    text = only_file(tmp_path).read_text(encoding="utf-8")
    assert "\\ud800" in text
    if kind == "odd json":
        assert json.loads(text)["text"].startswith("\ud800line")


def test_a_long_error_goes_to_a_file_too(drive, tmp_path):
    ran = run(drive, tmp_path, "error")
    place = only_file(tmp_path)
    assert place.read_text() == ran.steps[0].tool_result.error
    assert f"ERROR: [all {len(place.read_text())} characters are in {place}" in ran.llm.last_prompt


def test_a_directory_that_cannot_be_written_is_warned_about_once(drive, tmp_path):
    blocked = tmp_path / "file"
    blocked.write_text("in the way")
    with pytest.warns(UserWarning, match="tool_result_persist_dir .* cannot be written") as caught:
        ran = run(drive, blocked / "results", "text", "rows")
    assert len(caught) == 1
    assert ran.stop_reason == "done"
    assert "more characters]" in ran.llm.last_prompt
    assert "characters are in" not in ran.llm.last_prompt
    assert ran.steps[0].tool_result.metadata == {}


def test_another_runs_file_is_never_written_over(drive, tmp_path):
    run(drive, tmp_path, "text")
    first = only_file(tmp_path)
    before = first.stat().st_mtime_ns
    run(drive, tmp_path, "rows")
    run(drive, tmp_path, "text")
    assert len(list(tmp_path.iterdir())) == 2
    assert (first.read_text(), first.stat().st_mtime_ns) == (LONG, before)


def test_a_tools_name_cannot_leave_the_directory(tmp_path):
    files = ResultFiles(tmp_path / "results")
    long = files.wants(ToolResult("x", "", LONG))
    path = files.write(long, tool="../../" + "é" * 300, step=3)
    assert Path(path).parent == tmp_path / "results"
    assert Path(path).name.startswith("step_3_______")
    assert len(Path(path).name) < 80


def test_the_path_is_told_as_the_directory_was_given(drive, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    ran = run(drive, "results", "text")
    assert "characters are in results/step_1_fetch_" in ran.llm.last_prompt


def test_a_replay_asks_the_same_where_no_file_is_there_yet(drive, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    results = "results"
    for mode in ("once", "none"):
        with use_cassette(tmp_path / "run.yaml", record_mode=mode) as cassette:
            ran = run(drive, results, "text", native=True, wrap=cassette.wrap_llm)
        assert (ran.error, ran.stop_reason) == (None, "done")
        only_file(tmp_path / results).unlink()


@pytest.mark.parametrize("native", [False, True], ids=["text", "native"])
def test_a_resumed_run_shows_the_same_text(drive, tmp_path, native):
    prompts = []
    for folder, stops in (("whole", ()), ("broken", (1,))):
        keywords = {"native": native, "config": {"checkpoint_dir": tmp_path / folder}}
        for after in stops:
            run(drive, tmp_path / "out", "text", leave_after=after, **keywords)
        kinds = () if stops else ("text",)
        prompts.append(told(run(drive, tmp_path / "out", *kinds, **keywords), native=native))
    assert prompts[0] == prompts[1]
    assert "characters are in" in prompts[0]


def test_the_place_stays_in_the_prompt_after_a_compaction_and_in_a_state_given_on(drive, tmp_path):
    hook = type("Always", (), {"should_compact": lambda self, *about: True})()
    config = {"compact_service": TruncateCompact(keep_recent=1)}
    ran = run(drive, tmp_path, "text", hooks=[hook], config=config)
    assert str(only_file(tmp_path)) in ran.llm.last_prompt
    given = DefaultState(steps=list(ran.steps[:1]))
    assert str(only_file(tmp_path)) in given.context_summary()
    assert str(only_file(tmp_path)) in run(drive, None, "edge", state=given).llm.last_prompt


def test_without_the_option_nothing_is_written_and_nothing_is_noted(drive, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    ran = run(drive, None, "text")
    assert list(tmp_path.iterdir()) == []
    assert ran.steps[0].tool_result.metadata == {}


def test_every_call_of_a_turn_and_a_long_answer_have_files_of_their_own(drive, tmp_path):
    asked = [{"tool": "fetch", "args": {"kind": kind}} for kind in ("text", "rows")]
    answer = {"tool": "done", "args": {"summary": LONG}}
    llm = drive.text([json.dumps({"tools": asked}), json.dumps(answer)])
    config = LoopConfig(tool_result_persist_dir=tmp_path)
    ran = drive(llm, tools=tools_from([fetch], include_done=True), config=config)
    names = sorted(place.name.rsplit("_", 1)[0] for place in tmp_path.iterdir())
    assert names == ["step_1_fetch", "step_2_fetch", "step_3_done"]
    assert ran.steps[-1].tool_result.data["summary"] == LONG


def test_a_result_without_a_file_is_told_as_ever():
    assert told_text(ToolResult("price", "", {"euro": 0.4})) == '{"euro": 0.4}'
    assert told_text(ToolResult("price", "", None, error="no")) == "ERROR: no"


@pytest.mark.parametrize("own", [True, "elsewhere", {"path": "x"}])
def test_metadata_of_ones_own_under_the_same_name_is_left_alone(drive, own):
    config = {"extract_step_metadata": lambda state, step: {"persisted_to": own}}
    ran = run(drive, None, "edge", config=config)
    assert ran.stop_reason == "done"
    assert "characters are in" not in ran.llm.last_prompt
