"""Checkpoint files: what they hold, how they are written, and what is done about damage."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from looplet import (
    DefaultState,
    ErrorKind,
    LoopConfig,
    MockLLMBackend,
    Step,
    ToolCall,
    ToolError,
    ToolResult,
    composable_loop,
    tool,
    tools_from,
)
from looplet.core.checkpoint import (
    Checkpoint,
    CheckpointHook,
    FileCheckpointStore,
    decode_step,
    encode_file,
    encode_step,
    file_name,
    resume_loop_state,
)
from looplet.core.records import Usage
from looplet.errors import CheckpointError

PLAIN = st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.text() | st.binary()
PLAIN |= st.floats(allow_nan=False) | st.dates() | st.datetimes()
KEYS = st.text() | st.integers() | st.sampled_from(["$looplet", "error_detail"])
DATA = st.recursive(
    PLAIN,
    lambda inner: (
        st.lists(inner)
        | st.tuples(inner, inner)
        | st.dictionaries(KEYS, inner)
        | st.sets(st.text() | st.integers())
    ),
    max_leaves=12,
)
DICTS = st.dictionaries(st.text(), DATA, max_size=3)
ERRORS = st.builds(
    ToolError,
    kind=st.sampled_from(ErrorKind),
    message=st.text(),
    retriable=st.booleans(),
    context=DICTS,
    recovery_hint=DATA,
)
RESULTS = st.builds(
    ToolResult,
    tool=st.text(),
    args_summary=st.text(),
    data=DATA,
    error=st.none() | st.text(),
    error_detail=st.none() | ERRORS,
    duration_ms=st.floats(0, 1e9),
    result_key=st.none() | st.text(),
    call_id=st.none() | st.text(),
    warnings=st.lists(st.text()),
    metadata=DICTS,
)
CALLS = st.builds(ToolCall, st.text(), DICTS, st.text(), st.text(), DICTS)
STEPS = st.builds(
    Step, st.integers(1), CALLS, RESULTS, usage=st.none() | st.builds(Usage, *[st.integers(0)] * 3)
)


@tool
def look(at: str) -> dict:
    """Look at something."""
    return {"seen": at}


def call(name: str, **args: Any) -> str:
    return json.dumps({"tool": name, "args": args})


def run(folder: Path, count: int, **options: Any) -> DefaultState:
    state = DefaultState(max_steps=count)
    llm = MockLLMBackend([call("look", at="sky")])
    config = LoopConfig(max_steps=count, checkpoint_dir=folder, **options)
    tools = tools_from([look], include_done=True)
    list(composable_loop(llm, task={"goal": "Look."}, tools=tools, config=config, state=state))
    return state


@given(STEPS)
def test_a_step_comes_back_from_a_file_as_it_was(step):
    assert decode_step(json.loads(encode_file(encode_step(step)))) == step


def test_odd_data_never_fails_to_be_written():
    class Odd:
        def __repr__(self) -> str:
            return "odd \ud800"

    data = {"nan": math.nan, "surrogate": "\udcff", "object": Odd(), b"key": 1}
    step = Step(1, ToolCall("look", {"at": "\x00"}), ToolResult("look", "", data))
    with pytest.warns(UserWarning, match="Odd has no JSON form"):
        content = encode_file(encode_step(step))
    back = decode_step(json.loads(content)).tool_result.data
    assert math.isnan(back["nan"])
    assert (back["surrogate"], back["object"], back[b"key"]) == ("\udcff", "odd \ud800", 1)


def test_a_file_holds_what_its_step_added_and_names_the_one_before(tmp_path):
    run(tmp_path, 3)
    data = json.loads((tmp_path / "step_3.json").read_text())
    assert data["base"] == "step_2.json"
    assert [step["number"] for step in data["steps"]] == [3]
    assert len(data["conversation_data"]["messages"]) == 3
    first = json.loads((tmp_path / "step_1.json").read_text())
    assert first["base"] is None
    assert first["metadata"] == {"task": "{'goal': 'Look.'}"}


def test_an_assembled_checkpoint_has_the_documented_keys(tmp_path):
    run(tmp_path, 2)
    whole = FileCheckpointStore(tmp_path).load_latest()
    assert whole.step_number == 2
    entries = whole.session_log_data["entries"]
    assert [entry["step"] for entry in entries] == [1, 2]
    assert set(entries[0]) == {
        *("step", "theory", "tool", "reasoning", "entities_seen", "findings", "highlights"),
        "recall_key",
    }
    assert whole.session_log_data["current_theory"] == ""
    assert whole.conversation_data["version"] == 1
    assert len(whole.conversation_data["messages"]) == 6
    assert whole.config_snapshot == {"max_steps": 2, "queries_used": 2, "budget_remaining": 0}
    assert whole.tool_results_store == {}
    assert whole.metadata == {"task": "{'goal': 'Look.'}", "status": "budget_exhausted"}
    assert whole.task == '{"goal":"Look."}'


def test_the_state_of_a_checkpoint_is_that_of_its_run(tmp_path):
    state = run(tmp_path, 3)
    again = resume_loop_state(FileCheckpointStore(tmp_path).load_latest())
    assert again.steps == state.steps
    assert (again.queries_used, again.max_steps, again.metadata) == (3, 3, {})


def test_a_written_file_leaves_nothing_beside_it(tmp_path):
    run(tmp_path, 2)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["step_1.json", "step_2.json"]


@pytest.mark.parametrize("offset", [0.0, 0.1, 0.5, 0.9, 0.999])
def test_a_file_torn_anywhere_is_named_and_the_newest_whole_one_is_loaded(tmp_path, offset):
    run(tmp_path, 4)
    torn = tmp_path / "step_3.json"
    content = torn.read_bytes()
    torn.write_bytes(content[: int((len(content) - 2) * offset)])
    store = FileCheckpointStore(tmp_path)
    with pytest.warns(UserWarning, match=r"step_3\.json is torn.*step_4\.json builds on step_3"):
        assert store.load_latest().step_number == 2
    with pytest.raises(CheckpointError, match=r"step_3\.json is torn"):
        store.load("step_3")
    with pytest.raises(CheckpointError, match=r"step_4\.json builds on step_3\.json"):
        store.load("step_4")


@pytest.mark.parametrize(
    "content", ["[]", "{}", "null", '{"step_number": 9, "loop": 1}', "\0" * 99]
)
def test_a_file_that_is_no_checkpoint_is_named(tmp_path, content):
    run(tmp_path, 1)
    (tmp_path / "step_2.json").write_text(content)
    with pytest.warns(UserWarning, match=r"step_2\.json is (no checkpoint|torn)"):
        assert FileCheckpointStore(tmp_path).load_latest().step_number == 1


def test_a_missing_base_is_named(tmp_path):
    run(tmp_path, 2)
    (tmp_path / "step_1.json").unlink()
    with pytest.warns(UserWarning, match=r"step_2\.json builds on step_1\.json, which is missing"):
        assert FileCheckpointStore(tmp_path).load_latest() is None


def test_a_base_that_was_changed_is_noticed(tmp_path):
    run(tmp_path, 2)
    path = tmp_path / "step_1.json"
    path.write_text(path.read_text().replace("sky", "sea"))
    with pytest.warns(UserWarning, match=r"step_2\.json builds on another step_1\.json"):
        assert FileCheckpointStore(tmp_path).load_latest().step_number == 1


def test_a_format_of_the_future_is_refused_by_name(tmp_path):
    (tmp_path / "step_1.json").write_text('{"step_number": 1, "format": 2}')
    with pytest.raises(CheckpointError, match="has the format 2"):
        FileCheckpointStore(tmp_path).load_latest()


def test_a_checkpoint_saved_by_hand_comes_back(tmp_path):
    store = FileCheckpointStore(tmp_path / "new")
    assert store.load_latest() is None
    saved = Checkpoint(step_number=7, metadata={"task": "x"}, created_at=1.0)
    assert store.save(saved, "seventh").name == "seventh.json"
    assert store.load("seventh") == saved
    store.save(Checkpoint(step_number=9), "ninth.json")
    assert store.load_latest().step_number == 9
    with pytest.raises(FileNotFoundError, match=r"eighth\.json"):
        store.load("eighth")


def test_no_key_leaves_the_directory():
    keys = ["../../etc/x", "/etc/x", r"..\..\x", "x", "x.json", "a/b/x.json"]
    assert {file_name(key) for key in keys} == {"x.json"}
    for key in ("", "..", ".", "/", "a/..", "x\0"):
        with pytest.raises(ValueError, match="no name"):
            file_name(key)


def hooked(count: int, every: int, *, runs: int = 1) -> list[tuple[int, str]]:
    saved: list[tuple[int, str]] = []

    class Store:
        def save(self, checkpoint: Checkpoint, key: str) -> None:
            saved.append((checkpoint.step_number, key))

    watch = CheckpointHook(
        Store(), lambda state, step_num: Checkpoint(step_number=step_num), save_every_n_steps=every
    )
    script = [call("look", at="sky")] * (count - 1) + [call("done", summary="x")]
    tools = tools_from([look], include_done=True)
    for _ in range(runs):
        list(composable_loop(MockLLMBackend(script), task="x", tools=tools, hooks=[watch]))
    return saved


def test_the_hook_saves_every_few_steps_and_the_last():
    assert hooked(5, 2) == [(2, "step_2"), (4, "step_4"), (5, "step_5")]
    assert hooked(3, 5) == [(3, "step_3")]
    assert hooked(1, 1) == [(1, "step_1")]


def test_the_hook_begins_anew_with_each_run():
    assert hooked(4, 3, runs=2) == [(3, "step_3"), (4, "step_4")] * 2


def test_the_hook_saves_no_step_twice():
    def look_once(count):
        saved = []
        store = type("Store", (), {"save": lambda self, cp, key: saved.append(key)})()
        watch = CheckpointHook(store, lambda state, number: Checkpoint(step_number=number), 2)
        llm = MockLLMBackend([call("look", at="sky")])
        tools = tools_from([look], include_done=True)
        list(composable_loop(llm, tools=tools, hooks=[watch], max_steps=count))
        return saved

    assert look_once(4) == ["step_2", "step_4"]


def test_the_hook_saves_nothing_if_it_is_given_nothing(tmp_path):
    store = FileCheckpointStore(tmp_path)
    CheckpointHook(store, lambda state, step_num: None, 1).should_stop(DefaultState(), 1, [])
    assert store.load_latest() is None
    with pytest.raises(ValueError, match="at least 1"):
        CheckpointHook(store, lambda state, step_num: None, 0)


@pytest.mark.parametrize("place", [0, 1, 2])
def test_a_file_torn_at_any_byte_leaves_the_whole_run_to_be_gone_on_from_the_rest(tmp_path, place):
    whole = tmp_path / "whole"
    run(whole, 3)
    files = {path.name: path.read_bytes() for path in sorted(whole.iterdir())}
    name, content = list(files.items())[place]
    for offset in range(0, len(content) - 1, 41):
        folder = tmp_path / f"torn_{offset}"
        folder.mkdir()
        for other, data in files.items():
            (folder / other).write_bytes(content[:offset] if other == name else data)
        with pytest.warns(UserWarning, match=f"{name} is torn or unreadable"):
            state = run(folder, 4)
        assert [step.number for step in state.steps] == [1, 2, 3, 4]
