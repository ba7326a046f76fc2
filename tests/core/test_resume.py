"""Runs that go on where an earlier one ended; each through both drivers, and killed for real."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import pytest

from looplet import (
    CancelToken,
    DefaultState,
    HookDecision,
    LoopConfig,
    MockLLMBackend,
    SessionLog,
    composable_loop,
    tool,
    tools_from,
)
from looplet.core.checkpoint import Checkpoint, FileCheckpointStore, encode_step
from looplet.core.conversation import Conversation, Message, MessageRole
from looplet.core.memory import CallableMemorySource
from looplet.core.resume import stretch

WORKER = Path(__file__).with_name("resume_worker.py")
ROOT = WORKER.parent.parent.parent


@tool
def price(fruit: str) -> dict:
    """Price of one piece of fruit, in euro."""
    return {"fruit": fruit, "euro": {"apple": 0.4, "pear": 0.55}[fruit]}


def call(name: str, **args: Any) -> str:
    return json.dumps({"tool": name, "args": args})


def calls(*asked: str) -> str:
    return json.dumps({"tools": [json.loads(each) for each in asked]})


APPLE, PEAR, DONE = (
    call("price", fruit="apple"),
    call("price", fruit="pear"),
    call("done", summary="x"),
)
TASK = {"goal": "Price the stock."}


def shop() -> Any:
    return tools_from([price], include_done=True)


def kept(directory: Path, **options: Any) -> LoopConfig:
    return LoopConfig(checkpoint_dir=directory, **options)


def go(drive: Any, directory: Path, replies: list[Any], **keywords: Any) -> Any:
    keywords.setdefault("task", TASK)
    config = keywords.pop("config", None) or kept(directory)
    return drive(drive.text(replies), tools=shop(), config=config, **keywords)


def hook(**methods: Any) -> Any:
    return type("Given", (), {name: staticmethod(body) for name, body in methods.items()})()


def names(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir())


def work(folder: Path, mode: str, kill_after: int = 0) -> subprocess.CompletedProcess[str]:
    places = [str(folder / "ckpt"), mode, str(folder / "asked"), str(folder / "steps")]
    command = [sys.executable, str(WORKER), *places, str(kill_after)]
    return subprocess.run(
        command, capture_output=True, text=True, cwd=ROOT, env={"PYTHONPATH": "."}, check=False
    )


def trail(folder: Path) -> tuple[str, str]:
    return (folder / "asked").read_text(), (folder / "steps").read_text()


@pytest.mark.parametrize("mode", ["text", "native", "text-batch", "async-native-batch"])
def test_a_process_killed_after_every_step_leaves_the_trajectory_of_an_unbroken_run(tmp_path, mode):
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    whole.mkdir()
    broken.mkdir()
    unbroken = work(whole, mode)
    assert unbroken.returncode == 0, unbroken.stderr
    count = len((whole / "steps").read_text().splitlines())
    assert count == 10
    for number in range(1, count + 1):
        killed = work(broken, mode, number)
        assert killed.returncode == -signal.SIGKILL, killed.stderr
    last = work(broken, mode)
    assert last.returncode == 0, last.stderr
    assert last.stdout == unbroken.stdout
    assert json.loads(last.stdout)["reason"] == "done"
    assert trail(broken) == trail(whole)


@pytest.mark.parametrize("mode", ["text", "native-batch"])
def test_a_process_killed_once_goes_on_to_the_same_end(tmp_path, mode):
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    whole.mkdir()
    broken.mkdir()
    unbroken = work(whole, mode)
    assert work(broken, mode, 3).returncode == -signal.SIGKILL
    assert work(broken, mode).stdout == unbroken.stdout
    assert trail(broken) == trail(whole)
    assert names(broken / "ckpt") == names(whole / "ckpt")


def test_running_again_goes_on_and_restored_steps_are_not_yielded_again(drive, tmp_path):
    first = go(drive, tmp_path, [APPLE, PEAR], leave_after=1)
    assert first.stop_reason == "stream_closed"
    log, talk, state = SessionLog(), Conversation(), DefaultState(max_steps=15)
    again = go(drive, tmp_path, [PEAR, DONE], session_log=log, conversation=talk, state=state)
    assert [step.number for step in again.steps] == [2, 3]
    assert [step.number for step in state.steps] == [1, 2, 3]
    assert state.steps[0].tool_result.data == first.steps[0].tool_result.data
    assert state.steps[0].tool_call == first.steps[0].tool_call
    assert [entry.step for entry in log.entries] == [1, 2, 3]
    assert state.queries_used == 3
    roles = [message.role.value for message in talk.messages]
    assert roles == ["user", "assistant", "tool"] * 3


def test_files_are_named_by_their_steps_and_say_how_the_run_ended(drive, tmp_path):
    go(drive, tmp_path / "new" / "ckpt", [APPLE, DONE])
    folder = tmp_path / "new" / "ckpt"
    assert names(folder) == ["step_1.json", "step_2.json", "step_2_done.json"]
    store = FileCheckpointStore(folder)
    assert store.load_latest().status == "done"
    assert store.load("step_2").status is None
    assert store.load("step_2_done").base == "step_2.json"
    assert len(store.load("step_2_done").steps) == 2


def test_a_step_is_saved_before_it_is_yielded(tmp_path):
    loop = composable_loop(
        MockLLMBackend([APPLE, DONE]), task=TASK, tools=shop(), config=kept(tmp_path)
    )
    next(loop)
    assert names(tmp_path) == ["step_1.json"]
    assert FileCheckpointStore(tmp_path).load_latest().status is None
    loop.close()
    assert FileCheckpointStore(tmp_path).load_latest().status == "stream_closed"


def test_nothing_is_read_or_written_before_the_first_step_is_asked_for(tmp_path):
    folder = tmp_path / "ckpt"
    composable_loop(MockLLMBackend([DONE]), task=TASK, tools=shop(), config=kept(folder))
    assert not folder.exists()


def test_a_finished_run_is_not_run_again(drive, tmp_path):
    go(drive, tmp_path, [APPLE, DONE])
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    llm, told = drive.text([APPLE]), []
    watch = hook(
        pre_loop=lambda *args: told.append("pre_loop"),
        on_event=told.append,
        on_loop_end=lambda *args: told.append("end"),
    )
    again = drive(llm, task=TASK, tools=shop(), config=kept(tmp_path), hooks=[watch])
    assert again.steps == []
    assert again.stop_reason == "done"
    assert llm.calls == 0
    assert told == []
    assert len(again.state.steps) == 2
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before


@pytest.mark.parametrize("limit", [1, 2, 3])
def test_steps_of_all_runs_together_stay_within_max_steps(drive, tmp_path, limit):
    config = kept(tmp_path, max_steps=limit)
    total = 0
    for _ in range(limit + 2):
        ran = go(drive, tmp_path, [APPLE] * 9, config=config, leave_after=1)
        total += len(ran.steps)
    assert total == limit
    assert ran.stop_reason == "budget_exhausted"
    assert len(ran.state.steps) == limit


def test_a_run_that_used_its_budget_goes_on_with_a_larger_one(drive, tmp_path):
    go(drive, tmp_path, [APPLE] * 2, config=kept(tmp_path, max_steps=2))
    assert FileCheckpointStore(tmp_path).load_latest().status == "budget_exhausted"
    again = go(drive, tmp_path, [PEAR, DONE], config=kept(tmp_path, max_steps=5))
    assert [step.number for step in again.steps] == [3, 4]
    assert again.stop_reason == "done"


def test_a_directory_of_another_task_is_refused_and_left_alone(drive, tmp_path):
    go(drive, tmp_path, [APPLE, DONE])
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    llm = drive.text([DONE])
    ran = drive(llm, task={"goal": "Sell it."}, tools=shop(), config=kept(tmp_path))
    assert isinstance(ran.error, ValueError)
    assert "Price the stock." in str(ran.error)
    assert "Sell it." in str(ran.error)
    assert llm.calls == 0
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_the_order_of_a_tasks_keys_does_not_matter(drive, tmp_path):
    with pytest.warns(UserWarning, match="no JSON form"):
        go(drive, tmp_path, [APPLE], task={"a": 1, "b": object()}, leave_after=1)
    with pytest.warns(UserWarning, match="no JSON form"):
        again = go(drive, tmp_path, [DONE], task={"b": object(), "a": 1})
    assert [step.number for step in again.steps] == [2]


def test_a_checkpoint_without_a_task_is_accepted(drive, tmp_path):
    FileCheckpointStore(tmp_path).save(Checkpoint(step_number=0), "step_0")
    assert go(drive, tmp_path, [DONE]).stop_reason == "done"


def test_an_explicit_checkpoint_counts_and_another_task_warns(drive, tmp_path):
    go(drive, tmp_path, [APPLE, PEAR, DONE])
    start = FileCheckpointStore(tmp_path).load("step_1")
    again = go(drive, tmp_path, [DONE], config=LoopConfig(initial_checkpoint=start))
    assert [step.number for step in again.steps] == [2]
    by_file = LoopConfig(initial_checkpoint=tmp_path / "step_2.json")
    assert [step.number for step in go(drive, tmp_path, [DONE], config=by_file).steps] == [3]
    with pytest.warns(UserWarning, match="another task"):
        go(drive, tmp_path, [DONE], config=by_file, task="Sell it.")


def test_an_explicit_checkpoint_of_the_same_directory_is_what_later_runs_build_on(drive, tmp_path):
    go(drive, tmp_path, [APPLE, APPLE, APPLE, DONE])
    start = FileCheckpointStore(tmp_path).load("step_1")
    go(drive, tmp_path, [PEAR], config=kept(tmp_path, initial_checkpoint=start), leave_after=1)
    with pytest.warns(UserWarning, match=r"step_3\.json builds on another step_2\.json"):
        again = go(drive, tmp_path, [DONE])
    fruits = [step.tool_call.args.get("fruit") for step in again.state.steps]
    assert fruits == ["apple", "pear", None]


@pytest.mark.parametrize("keep", [0, 1, 0.5, -2])
def test_a_torn_file_is_named_and_the_newest_whole_one_is_used(drive, tmp_path, keep):
    go(drive, tmp_path, [APPLE, PEAR], config=kept(tmp_path, max_steps=2))
    torn = tmp_path / "step_2.json"
    content = torn.read_bytes()
    torn.write_bytes(content[: int(len(content) * keep) if keep == 0.5 else keep])
    with pytest.warns(UserWarning, match=r"step_2\.json is torn.*going on from step_1\.json"):
        again = go(drive, tmp_path, [PEAR, DONE])
    assert [step.number for step in again.steps] == [2, 3]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert go(drive, tmp_path, [DONE]).stop_reason == "done"


def test_where_the_first_file_is_torn_the_run_begins_anew_but_not_with_another_task(
    drive, tmp_path
):
    go(drive, tmp_path, [APPLE, PEAR], leave_after=2)
    (tmp_path / "step_1.json").write_text("{")
    other = go(drive, tmp_path, [DONE], task="Sell it.")
    assert isinstance(other.error, ValueError)
    with pytest.warns(UserWarning, match=r"step_2\.json builds on step_1\.json.*beginning anew"):
        again = go(drive, tmp_path, [DONE])
    assert [step.number for step in again.steps] == [1]


def test_a_stop_decided_before_the_kill_still_ends_the_run(tmp_path):
    stop = hook(post_dispatch=lambda *args: HookDecision(stop="enough"))
    loop = composable_loop(
        MockLLMBackend([APPLE]), task=TASK, tools=shop(), config=kept(tmp_path), hooks=[stop]
    )
    next(loop)
    files = {path: path.read_bytes() for path in tmp_path.iterdir()}
    loop.close()
    for path, content in files.items():
        path.write_bytes(content)  # as if the process had been killed at the step
    state = DefaultState()
    llm = MockLLMBackend([APPLE])
    list(composable_loop(llm, task=TASK, tools=shop(), config=kept(tmp_path), state=state))
    assert (state._stop_reason, llm.calls) == ("enough", 0)
    state = DefaultState()
    list(composable_loop(llm, task=TASK, tools=shop(), config=kept(tmp_path, max_steps=3)))
    assert llm.calls == 2


def test_calls_left_by_a_break_inside_a_turn_are_run_when_the_run_goes_on(drive, tmp_path):
    go(drive, tmp_path, [calls(APPLE, PEAR)], leave_after=1)
    llm = drive.text([DONE])
    again = drive(llm, task=TASK, tools=shop(), config=kept(tmp_path))
    assert again.tools == ["price", "done"]
    assert again.steps[0].tool_call.args == {"fruit": "pear"}
    assert llm.calls == 1


def test_should_stop_is_asked_about_a_turn_that_a_break_left_open(drive, tmp_path):
    config = kept(tmp_path, extract_entities=lambda data: [data["fruit"]])
    go(drive, tmp_path, [APPLE], config=config, leave_after=1)
    asked: list[Any] = []

    def should_stop(state: Any, number: int, entities: list[str]) -> Any:
        asked.append((number, entities))
        return HookDecision(stop="enough")

    again = go(drive, tmp_path, [], config=config, hooks=[hook(should_stop=should_stop)])
    assert (again.stop_reason, asked) == ("enough", [(1, ["apple"])])
    third = go(drive, tmp_path, [DONE])
    assert third.stop_reason == "done"


def test_an_approval_stop_is_gone_on_from(drive, tmp_path):
    stop = hook(should_stop=lambda *args: HookDecision(stop="waiting_for_approval"))
    assert go(drive, tmp_path, [APPLE], hooks=[stop]).stop_reason == "waiting_for_approval"
    seen: list[int] = []
    watch = hook(should_stop=lambda state, number, entities: seen.append(number))
    again = go(drive, tmp_path, [PEAR, DONE], hooks=[watch])
    assert [step.number for step in again.steps] == [2, 3]
    assert seen == [2]


def test_metadata_comes_back_and_what_was_deleted_stays_deleted(drive, tmp_path):
    def change(state: Any, log: Any, asked: Any, result: Any, number: int) -> None:
        state.metadata[f"step {number}"] = {number}
        state.metadata.pop(f"step {number - 1}", None)
        state.metadata["same"] = ("a", 1)

    go(drive, tmp_path, [APPLE, PEAR, APPLE], hooks=[hook(post_dispatch=change)], leave_after=3)
    state = DefaultState()
    go(drive, tmp_path, [DONE], state=state)
    assert state.metadata == {"step 3": {3}, "same": ("a", 1)}


def test_findings_added_after_a_step_come_back_if_a_step_followed(drive, tmp_path):
    log = SessionLog()
    add = hook(should_stop=lambda *args: log.entries[-1].findings.append("cheap"))
    go(drive, tmp_path, [APPLE, PEAR], hooks=[add], session_log=log, leave_after=2)
    later = SessionLog()
    go(drive, tmp_path, [DONE], session_log=later)
    assert later.entries[0].findings == ["cheap"]


def test_a_save_that_fails_is_warned_about_and_the_next_one_makes_it_good(drive, tmp_path):
    (tmp_path / ".step_1.json.tmp").mkdir()
    with pytest.warns(UserWarning, match=r"step_1\.json could not be written"):
        first = go(drive, tmp_path, [APPLE, PEAR], leave_after=2)
    assert len(first.steps) == 2
    assert len(FileCheckpointStore(tmp_path).load_latest().steps) == 2
    assert [step.number for step in go(drive, tmp_path, [DONE]).steps] == [3]


def test_a_done_step_that_could_not_be_saved_is_saved_at_the_end(tmp_path):
    blocked = tmp_path / ".step_1.json.tmp"
    blocked.mkdir()
    loop = composable_loop(MockLLMBackend([DONE]), task=TASK, tools=shop(), config=kept(tmp_path))
    with pytest.warns(UserWarning, match=r"step_1\.json could not be written"):
        next(loop)
    blocked.rmdir()
    assert list(loop) == []
    assert names(tmp_path) == ["step_1.json", "step_1_done.json"]


def test_a_run_that_can_never_be_saved_still_ends_as_it_should(drive, tmp_path):
    for name in (".step_1.json.tmp", ".step_1_done.json.tmp"):
        (tmp_path / name).mkdir()
    with pytest.warns(UserWarning, match=r"step_1\.json could not be written"):
        ran = go(drive, tmp_path, [DONE])
    assert (ran.stop_reason, ran.error) == ("done", None)
    assert FileCheckpointStore(tmp_path).load_latest() is None


def test_an_end_that_cannot_be_noted_is_warned_about(drive, tmp_path):
    (tmp_path / ".step_1_done.json.tmp").mkdir()
    with pytest.warns(UserWarning, match=r"step_1_done\.json could not be written"):
        go(drive, tmp_path, [DONE])
    assert go(drive, tmp_path, []).stop_reason == "done"


def test_a_hooks_own_word_for_an_end_does_not_hold_up_the_next_run(drive, tmp_path):
    stop = hook(post_dispatch=lambda *args: HookDecision(stop="error"))
    assert go(drive, tmp_path, [APPLE], hooks=[stop]).stop_reason == "error"
    assert go(drive, tmp_path, [DONE]).stop_reason == "done"


def test_what_cannot_be_restored_is_named(drive, tmp_path):
    FileCheckpointStore(tmp_path).save(Checkpoint(step_number=1, steps=[{"number": 1}]), "step_1")
    ran = go(drive, tmp_path, [DONE])
    assert isinstance(ran.error, ValueError)
    assert "step_1.json holds what cannot be read" in str(ran.error)


def test_a_compacted_run_goes_on_with_its_shorter_log(drive, tmp_path):
    wish = hook(should_compact=lambda state, log, talk, number: number == 5)
    whole, tmp_path = tmp_path / "whole", tmp_path / "broken"
    go(drive, tmp_path, [APPLE] * 6, hooks=[wish], leave_after=6)
    llm = drive.text([APPLE] * 6 + [DONE])
    drive(llm, task=TASK, tools=shop(), hooks=[wish], config=kept(whole))
    log, resumed = SessionLog(), drive.text([DONE])
    drive(resumed, task=TASK, tools=shop(), config=kept(tmp_path), session_log=log)
    assert resumed.last_prompt == llm.last_prompt
    assert len(log.entries) < 7


def test_memory_that_changes_is_sent_as_it_is_now(drive, tmp_path):
    use = {"type": "tool_use", "id": "c1", "name": "price", "input": {"fruit": "apple"}}
    done = {"type": "tool_use", "id": "c2", "name": "done", "input": {"summary": "x"}}
    memory = CallableMemorySource(lambda state: f"{len(state.steps)} steps")
    config = kept(tmp_path, use_native_tools=True, memory_sources=[memory])
    for _ in range(3):
        drive(drive.native([[use]]), task=TASK, tools=shop(), config=config, leave_after=1)
    llm = drive.native([[done]])
    drive(llm, task=TASK, tools=shop(), config=config)
    told = llm.requests[0].messages
    assert told[0].content.startswith("MEMORY\n3 steps")
    assert [message.role for message in told] == ["user"] + ["assistant", "tool"] * 3


def test_a_cancelled_run_can_go_on(drive, tmp_path):
    token = CancelToken()
    cancel = hook(post_dispatch=lambda *args: token.cancel())
    config = kept(tmp_path, cancel_token=token)
    first = go(drive, tmp_path, [calls(APPLE, PEAR)], config=config, hooks=[cancel])
    assert first.stop_reason == "cancelled"
    again = go(drive, tmp_path, [DONE])
    assert again.stop_reason == "done"
    assert [step.number for step in again.steps][-1] == len(again.state.steps)


def test_a_given_conversation_is_kept_once(drive, tmp_path):
    def talk() -> Conversation:
        return Conversation([Message(MessageRole.USER, "before")])

    go(drive, tmp_path, [APPLE], conversation=talk(), leave_after=1)
    later = talk()
    go(drive, tmp_path, [DONE], conversation=later)
    assert [message.content for message in later.messages].count("before") == 1


def written(directory: Path) -> int:
    return sum(path.stat().st_size for path in directory.iterdir())


@pytest.mark.parametrize("native", [False, True])
def test_what_is_written_is_linear_in_the_steps(tmp_path, native):
    from looplet.testing import ScriptedToolBackend

    sizes = []
    for count in (100, 200):
        folder = tmp_path / str(count)
        use = {"type": "tool_use", "id": "c", "name": "price", "input": {"fruit": "apple"}}
        llm = ScriptedToolBackend([[use]], cycle=True) if native else MockLLMBackend([APPLE])
        config = kept(folder, max_steps=count, use_native_tools=native)
        list(composable_loop(llm, task=TASK, tools=shop(), config=config))
        sizes.append(written(folder))
    assert sizes[1] <= 2.2 * sizes[0]


def test_a_turn_of_many_calls_is_written_in_linear_size_too(tmp_path):
    sizes = []
    for count in (50, 100):
        folder = tmp_path / str(count)
        config = kept(folder, max_steps=count)
        llm = MockLLMBackend([calls(*[APPLE] * count)])
        list(composable_loop(llm, task=TASK, tools=shop(), config=config))
        sizes.append(written(folder))
    assert sizes[1] <= 2.2 * sizes[0]


def test_importing_the_loop_does_not_load_checkpoints():
    code = "import sys; from looplet import composable_loop, LoopConfig; print(*sys.modules)"
    ran = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT
    )
    assert not {"looplet.core.checkpoint", "looplet.core.resume"} & set(ran.stdout.split())


@pytest.mark.parametrize(
    ("old", "new", "found"),
    [
        ("", "abc", (0, 0)),
        ("abc", "abcd", (0, 3)),
        ("abcd", "bcde", (1, 4)),
        ("abcd", "d", (3, 4)),
        ("abcd", "", (0, 0)),
        ("abcd", "xbcd", (0, 0)),
        ("abcd", "abxd", (0, 2)),
        ("abcd", "ab", (0, 2)),
    ],
)
def test_a_stretch_is_what_the_old_list_shares_with_the_beginning_of_the_new(old, new, found):
    assert stretch(list(old), list(new)) == found


def test_an_earlier_end_is_not_taken_for_the_end_of_the_run_that_goes_on(tmp_path):
    for steps in (1, 2):
        llm = MockLLMBackend([APPLE])
        config = kept(tmp_path, max_steps=steps)
        loop = composable_loop(llm, task=TASK, tools=shop(), config=config)
        next(loop)
        assert FileCheckpointStore(tmp_path).load_latest().status is None
        assert list(loop) == []
        assert FileCheckpointStore(tmp_path).load_latest().status == "budget_exhausted"


def test_what_a_given_state_held_stays_in_the_opening_of_a_native_run(drive, tmp_path):
    use = {"type": "tool_use", "id": "c1", "name": "price", "input": {"fruit": "apple"}}
    earlier = go(drive, tmp_path / "other", [PEAR], leave_after=1).state
    config = kept(tmp_path / "ckpt", use_native_tools=True)
    first = drive.native([[use]])
    drive(first, task=TASK, tools=shop(), config=config, state=earlier, leave_after=1)
    again = drive.native([[use]])
    ran = drive(again, task=TASK, tools=shop(), config=config, leave_after=1)
    opening = first.requests[0].messages[0]
    assert "pear" in opening.content
    assert again.requests[0].messages[0] == opening
    assert [step.number for step in ran.steps] == [3]


def test_a_run_goes_on_from_a_checkpoint_made_by_hand_and_from_what_follows_it(drive, tmp_path):
    whole = go(drive, tmp_path / "whole", [APPLE], leave_after=1).state
    steps = [encode_step(step) for step in whole.steps]
    FileCheckpointStore(tmp_path).save(Checkpoint(step_number=1, steps=steps), "mine")
    go(drive, tmp_path, [PEAR], leave_after=1)
    llm = drive.text([DONE])
    ran = drive(llm, task=TASK, tools=shop(), config=kept(tmp_path))
    assert [step.number for step in ran.state.steps] == [1, 2, 3]
    assert "S1 ✓ price(fruit=apple)" in llm.last_prompt
    assert "S2 ✓ price(fruit=pear)" in llm.last_prompt


@pytest.mark.parametrize("limit", [1, 2, 3])
def test_calls_of_a_batch_that_was_run_stay_within_a_smaller_budget_too(drive, tmp_path, limit):
    @tool(concurrent_safe=True)
    def look(at: str) -> str:
        """Look."""
        return at

    def batch(folder, **keywords):
        asked = calls(*(call("look", at=place) for place in "abcd"))
        options = {"checkpoint_dir": folder, "concurrent_dispatch": True}
        config = LoopConfig(max_steps=keywords.pop("max_steps"), **options)
        tools = tools_from([look], include_done=True)
        return drive(drive.text([asked]), tools=tools, task=TASK, config=config, **keywords)

    batch(tmp_path, max_steps=9, leave_after=1)
    ran = batch(tmp_path, max_steps=limit)
    assert ran.stop_reason == "budget_exhausted"
    assert len(ran.state.steps) == limit
    named = ran.state.steps[-1].tool_result.warnings
    assert named == ["not run: " + ", ".join(["look"] * (4 - limit))]


@pytest.mark.parametrize(
    ("part", "value"),
    [("steps", 5), ("from_base", {"steps": "x"}), ("loop", {"left": None}), ("pending", 5)],
)
def test_a_whole_file_of_another_shape_is_refused_by_name(drive, tmp_path, part, value):
    go(drive, tmp_path, [APPLE, PEAR], leave_after=2)
    newest = tmp_path / "step_2.json"
    data = json.loads(newest.read_text())
    if part == "pending":
        data["loop"][part] = value
    else:
        data[part] = {**data[part], **value} if isinstance(value, dict) else value
    newest.write_text(json.dumps(data))
    ran = go(drive, tmp_path, [PEAR, DONE])
    assert isinstance(ran.error, ValueError)
    assert "step_2.json" in str(ran.error)
    assert "holds what cannot be read" in str(ran.error)


@pytest.mark.parametrize("name", ["base", "task"])
def test_a_file_whose_names_are_no_names_is_no_checkpoint(drive, tmp_path, name):
    go(drive, tmp_path, [APPLE, PEAR], leave_after=2)
    newest = tmp_path / "step_2.json"
    newest.write_text(json.dumps({**json.loads(newest.read_text()), name: [1]}))
    with pytest.warns(UserWarning, match=r"step_2.json is no checkpoint.*going on from step_1"):
        ran = go(drive, tmp_path, [PEAR, DONE])
    assert [step.number for step in ran.steps] == [2, 3]


class Small:
    """A state with no more than the protocol asks for, and a summary of its own."""

    def __init__(self):
        self.steps, self.queries_used, self.max_steps = [], 0, 9

    @property
    def step_count(self):
        return len(self.steps)

    @property
    def budget_remaining(self):
        return self.max_steps - len(self.steps)

    def context_summary(self):
        return f"{len(self.steps)} steps, in my own words"

    def snapshot(self):
        return {}


def test_a_state_of_the_plain_protocol_is_restored_and_tells_results_in_its_own_words(
    drive, tmp_path
):
    config = kept(tmp_path, max_steps=9)
    go(drive, tmp_path, [APPLE, PEAR], state=Small(), config=config, leave_after=1)
    llm, state = drive.text([PEAR, DONE]), Small()
    ran = drive(llm, task=TASK, tools=shop(), config=config, state=state)
    assert [step.number for step in ran.steps] == [2, 3]
    assert "2 steps, in my own words" in llm.last_prompt


def test_a_native_run_that_goes_on_in_text_shows_its_results(drive, tmp_path):
    def use(number: int, fruit: str) -> list[dict[str, Any]]:
        block = {"id": f"c{number}", "name": "price", "input": {"fruit": fruit}}
        return [{"type": "tool_use", **block}]

    llm = drive.native([use(1, "apple"), use(2, "pear")])
    config = kept(tmp_path, use_native_tools=True)
    drive(llm, tools=shop(), task=TASK, config=config, leave_after=2)
    for step, reply in ((3, APPLE), (4, DONE)):
        llm = drive.text([reply])
        drive(llm, tools=shop(), task=TASK, config=kept(tmp_path), leave_after=1)
        assert f"STEP {step}/" in llm.last_prompt
        shown = llm.last_prompt.split("RECENT RESULTS\n")[1]
        numbers = [line[:2] for line in shown.splitlines() if line.startswith("S") and "→" in line]
        assert numbers == [f"S{number}" for number in range(1, step)]
