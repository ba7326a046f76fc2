"""The trace directory: written while a run goes on, and read back as it was."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from looplet import EvalContext, LoopConfig, MockLLMBackend, replay_loop, tool, tools_from
from looplet.__main__ import main
from looplet.core.messages import ChatMessage
from looplet.core.records import ErrorKind, ToolCall, ToolError, ToolResult, Usage
from looplet.errors import TraceDamaged, TraceMissing, TraceTaken, UnknownTraceVersion
from looplet.provenance import LLMCall, ProvenanceSink, StepRecord, Trajectory, read_trace
from looplet.testing import ScriptedToolBackend
from looplet.trajectory.model import INTERRUPTED
from looplet.trajectory.trace_dir import TraceDir
from tests.trajectory import trace_worker
from tests.trajectory.conftest import TEXT, TRAJECTORIES, make_trajectory

WORKER = Path(trace_worker.__file__)


def numbered(run: Trajectory) -> Trajectory:
    """The same run as a recorder numbers steps and calls, with an end and digests."""
    run.steps = [
        replace(step, step_num=number, digest=step.digest or "d")
        for number, step in enumerate(run.steps, 1)
    ]
    run.llm_calls = [replace(call, index=index) for index, call in enumerate(run.llm_calls)]
    run.ended_at = run.ended_at or run.started_at
    return run


@contextmanager
def fresh() -> Any:
    """A directory for one of many examples."""
    with tempfile.TemporaryDirectory() as folder:
        yield Path(folder)


def written(run: Trajectory, folder: Path, **options: Any) -> Path:
    """A directory with a whole run in it."""
    TraceDir(folder, run_id=run.run_id).complete(run, calls=run.llm_calls, **options)
    return folder


def left(run: Trajectory, folder: Path) -> Path:
    """A directory as a process leaves it that is killed before the run's end."""
    trace = TraceDir(folder, run_id=run.run_id)
    trace.begin(run)
    for call in run.llm_calls:
        trace.write_call(call)
    for step in run.steps:
        trace.write_step(step)
    return folder


@given(TRAJECTORIES.map(numbered), st.sampled_from(["done", "x\ud83d\ude00"]))
def test_any_run_comes_back_as_it_was(run, done_tool):
    with fresh() as folder:
        written(run, folder, done_tool=done_tool)
        assert read_trace(folder) == run
        for place in folder.rglob("*.json"):
            assert isinstance(json.loads(place.read_text("utf-8")), dict)
        for line in (folder / "manifest.jsonl").read_text("utf-8").split("\n")[:-1]:
            json.loads(line)


@given(TRAJECTORIES.map(numbered))
def test_any_run_without_an_end_comes_back_with_all_that_was_finished(run):
    with fresh() as folder:
        found = read_trace(left(run, folder))
    assert (found.steps, found.llm_calls) == (run.steps, run.llm_calls)
    assert found.stop_reason == (INTERRUPTED if run.steps or run.started_at else None)
    assert (found.task, found.run_id, found.started_at) == (run.task, run.run_id, run.started_at)
    assert (found.metadata, found.tags, found.expected) == (run.metadata, run.tags, run.expected)


@given(st.lists(TEXT | st.sampled_from(["## RESPONSE", "\n## TOOLS\n", "(empty)", "\r\n"])))
def test_texts_that_look_like_the_files_own_lines_come_back(parts):
    text = "\n".join(parts)
    call = LLMCall(0, 1.0, 2.0, "generate", text, text[::-1], text, error=None)
    failed = LLMCall(1, 1.0, 2.0, "generate", "a", text, None, error=text, tools=[{"name": text}])
    run = Trajectory(trajectory_id="t", run_id="r", llm_calls=[call, failed])
    with fresh() as folder:
        found = read_trace(written(run, folder))
    for one, other in zip(found.llm_calls, (call, failed), strict=True):
        names = ("prompt", "system_prompt", "response", "error", "tools")
        assert [getattr(one, name) for name in names] == [getattr(other, name) for name in names]


def test_lone_surrogates_that_json_would_join_come_back_apart(tmp_path):
    pair = "\ud83d\ude00"
    blocks = [{"type": "tool_use", "id": "c", "name": "x", "input": {pair: [pair]}}]
    call = replace(CALL, prompt=pair, system_prompt=pair, response=pair)
    tools = replace(CALL, index=2, tools=[{"name": pair}])
    native = replace(CALL, index=1, response=blocks, error=pair)
    result = ToolResult("price", pair, {pair: {"\ud800": pair}}, call_id="c")
    asked = ToolCall("price", {pair: 1}, pair, "c")
    step = replace(STEP, tool_call=asked, tool_result=result, digest="d")
    run = replace(RUN, task={"goal": pair}, steps=[step], llm_calls=[call, native, tools])
    for found in (read_trace(written(run, tmp_path / "a")), read_trace(left(run, tmp_path / "b"))):
        assert (found.task, found.steps) == (run.task, run.steps)
        assert found.llm_calls == run.llm_calls


CALL = LLMCall(
    0, 1.0, 812.41, "generate", "What does a pear cost?", "Be brief.", '{"tool": "price"}',
    step_num=1, input_tokens=131, output_tokens=22,
    tools=[{"name": "price"}],
    messages=(
        ChatMessage(role="system", content="Be brief."),
        ChatMessage(role="user", content="What does a pear cost?"),
    ),
    params={"temperature": 0.2, "max_tokens": 2000},
)  # fmt: skip
STEP = StepRecord(
    step_num=1,
    timestamp=1.0,
    duration_ms=0.21,
    pretty="#1 ✓ price(fruit=pear) → 2 keys [0ms]",
    tool_call=ToolCall("price", {"fruit": "pear"}, "need it", "5d0c19ab42fe"),
    tool_result=ToolResult(
        "price", "fruit=pear", {"fruit": "pear", "euro": 0.55}, duration_ms=0.1,
        call_id="5d0c19ab42fe",
    ),
    llm_call_indices=[0],
)  # fmt: skip
RUN = Trajectory(trajectory_id="5d0c19ab42ff", run_id="5d0c19ab42ff", task={"goal": "price"})
RUN.steps, RUN.llm_calls, RUN.stop_reason = [STEP], [CALL], "budget_exhausted"


def test_the_files_are_those_of_the_format(tmp_path):
    folder = written(RUN, tmp_path / "new" / "run")
    assert (folder / "call_00_prompt.txt").read_text("utf-8") == (
        "# call 00 — method=generate\n# step=1\n# temperature=0.2 max_tokens=2000 tools=1\n\n"
        "## SYSTEM PROMPT\nBe brief.\n\n## USER PROMPT\nWhat does a pear cost?\n\n"
        '## TOOLS\n[\n  {\n    "name": "price"\n  }\n]\n'
    )
    assert (folder / "call_00_response.txt").read_text("utf-8") == (
        '# call 00 — duration=812.4ms error=no\n\n## RESPONSE\n\n{"tool": "price"}\n'
    )
    assert json.loads((folder / "manifest.jsonl").read_text("utf-8")) == {
        "index": 0, "timestamp": 1.0, "duration_ms": 812.41, "method": "generate",
        "prompt_chars": 22, "response_chars": 17, "response_blocks": None, "temperature": 0.2,
        "max_tokens": 2000, "tool_count": 1, "step_num": 1, "error": None, "scope": None,
        "metadata": {}, "input_tokens": 131, "output_tokens": 22, "tokens_estimated": False,
    }  # fmt: skip
    step = json.loads((folder / "steps" / "step_01.json").read_text("utf-8"))
    assert step == {
        "step_num": 1, "timestamp": 1.0, "duration_ms": 0.21, "pretty": STEP.pretty,
        "tool_call": {
            "tool": "price", "args": {"fruit": "pear"}, "reasoning": "need it",
            "call_id": "5d0c19ab42fe", "metadata": {},
        },
        "tool_result": {
            "tool": "price", "args": "fruit=pear", "duration_ms": 0.1,
            "data": {"fruit": "pear", "euro": 0.55},
        },
        "context_before": "", "llm_call_indices": [0], "metadata": {},
    }  # fmt: skip
    text = (folder / "trajectory.json").read_text("utf-8")
    whole = json.loads(text)
    assert text.startswith('{\n  "schema_version": 1,\n  "run_id": "5d0c19ab42ff",\n')
    assert (whole["steps"], len(whole["llm_calls"])) == ([step], 1)
    assert [*whole][:5] == ["schema_version", "run_id", "started_at", "ended_at", "task"]
    counts = (whole["step_count"], whole["llm_call_count"])
    assert (whole["termination_reason"], counts) == ("max_steps_or_stop", (1, 1))
    assert (whole["stop_reason"], whole["done_tool"]) == ("budget_exhausted", "done")


def test_a_failed_call_and_one_with_blocks_have_their_own_forms(tmp_path):
    failed = replace(CALL, response=None, error="TimeoutError: too slow\n## RESPONSE\nno")
    blocks = [{"type": "text", "text": "é"}, {"type": "tool_use", "id": "c", "input": {"n": 1}}]
    native = replace(CALL, index=1, method="generate_with_tools", response=blocks)
    run = replace(RUN, llm_calls=[failed, native, replace(CALL, index=100, response="")])
    folder = written(run, tmp_path)
    assert (folder / "call_00_response.txt").read_text("utf-8") == (
        "# call 00 — duration=812.4ms error=yes\n\n## ERROR\nTimeoutError: too slow\n"
        " ## RESPONSE\nno\n\n## RESPONSE\n\n(empty)\n"
    )
    text = (folder / "call_01_response.txt").read_text("utf-8")
    assert json.loads(text.partition("## RESPONSE (content blocks)\n")[2]) == blocks
    assert '"é"' in text
    assert (folder / "call_100_response.txt").is_file()
    lines = (folder / "manifest.jsonl").read_text("utf-8").splitlines()
    assert [json.loads(line)["response_blocks"] for line in lines] == [None, 2, None]
    assert read_trace(folder).llm_calls == run.llm_calls


def test_a_file_that_was_edited_counts_as_it_is(tmp_path):
    odd = replace(CALL, response="a\ud800b", prompt="(empty)\n\n## TOOLS\n")
    folder = written(replace(RUN, llm_calls=[odd]), tmp_path)
    assert read_trace(folder).llm_calls[0].response == "a\ud800b"
    place = folder / "call_00_response.txt"
    assert "a\\ud800b" in place.read_text("utf-8")
    place.write_text("# call 00\n\n## RESPONSE\nedited\n", encoding="utf-8")
    (call,) = read_trace(folder).llm_calls
    assert (call.response, call.prompt) == ("edited", odd.prompt)


def test_an_error_comes_back_with_all_that_is_known_of_it(tmp_path):
    detail = ToolError(ErrorKind.VALIDATION, "why", retriable=True, context={"n": 1})
    detail.recovery_hint = {"expected": ["fruit"]}
    odd = ToolResult("price", "", None, error="text", error_detail=detail, result_key="k")
    steps = [
        replace(STEP, tool_result=odd, usage=Usage(1, 2, 3, estimated=True)),
        replace(STEP, step_num=2, tool_result=replace(odd, error_detail=None, call_id="else")),
        replace(STEP, step_num=3, tool_result=replace(odd, error=None)),
    ]
    found = read_trace(written(replace(RUN, steps=steps), tmp_path))
    assert [step.tool_result for step in found.steps] == [step.tool_result for step in steps]
    assert found.steps[0].usage == Usage(1, 2, 3, estimated=True)
    record = json.loads((tmp_path / "steps" / "step_01.json").read_text("utf-8"))
    shown = {name: record["tool_result"][name] for name in ("error", "error_kind")}
    assert shown == {"error": "text", "error_kind": "validation"}


def test_files_of_an_earlier_run_go_and_foreign_files_stay(tmp_path):
    folder = written(make_trajectory("first", steps=12), tmp_path)
    (folder / ".trajectory.json.tmp").write_text("{")
    (folder / ".call_07_prompt.txt.tmp").write_text("{")
    (folder / "steps" / ".step_99.json.tmp").write_text("{")
    foreign = ["metrics.json", "artifacts.json", "notes.md", "call_1.txt", "steps/mine.json"]
    for name in foreign:
        (folder / name).write_text("{}")
    second = make_trajectory("second", steps=1)
    written(second, folder)
    assert read_trace(folder) == second
    names = {place.relative_to(folder).as_posix() for place in folder.rglob("*")}
    assert names == {
        *foreign, "steps", "run.json", "trajectory.json", "manifest.jsonl",
        "steps/step_01.json", "call_00_prompt.txt", "call_00_response.txt",
    }  # fmt: skip


def test_the_same_run_may_be_written_again(tmp_path):
    run = make_trajectory("once", steps=3)
    written(run, tmp_path)
    mine = (tmp_path / "call_00_prompt.txt").stat().st_mtime_ns
    trace = TraceDir(tmp_path, run_id=run.run_id)
    trace.write_calls(run.llm_calls)
    assert read_trace(tmp_path) == run
    assert (tmp_path / "call_00_prompt.txt").stat().st_mtime_ns > mine
    run.steps[0].metadata["late"] = True
    trace.complete(run, calls=run.llm_calls)
    before = {place: place.stat().st_mtime_ns for place in tmp_path.rglob("*_*.*")}
    trace.complete(run, calls=run.llm_calls)
    assert {place: place.stat().st_mtime_ns for place in tmp_path.rglob("*_*.*")} == before
    assert read_trace(tmp_path) == run


def test_a_call_that_was_written_is_not_written_again(tmp_path):
    run = make_trajectory("once", steps=3)
    trace = TraceDir(tmp_path, run_id=run.run_id)
    trace.complete(run, calls=run.llm_calls)
    for call in run.llm_calls:
        trace.write_call(call)
    assert read_trace(tmp_path) == run


def test_a_process_may_go_to_another_directory(tmp_path, monkeypatch):
    run, (here, there) = make_trajectory("moves"), (tmp_path / "here", tmp_path / "there")
    for place in (here, there):
        place.mkdir()
    monkeypatch.chdir(here)
    trace = TraceDir("trace", run_id=run.run_id)
    monkeypatch.chdir(there)
    trace.complete(run, calls=run.llm_calls)
    assert (trace.path, read_trace(here / "trace")) == (Path("trace"), run)
    assert list(there.iterdir()) == []


def test_a_second_run_that_takes_the_directory_is_not_mixed_with_the_first(tmp_path):
    first, second = make_trajectory("first"), make_trajectory("second")
    trace = TraceDir(tmp_path, run_id=first.run_id)
    trace.begin(first)
    trace.write_step(first.steps[0])
    written(second, tmp_path)
    for late in (
        lambda: trace.write_step(first.steps[1]),
        lambda: trace.write_call(first.llm_calls[0]),
        lambda: trace.complete(first, calls=first.llm_calls),
        lambda: trace.begin(first),
    ):
        with pytest.raises(TraceTaken, match=first.run_id):
            late()
    assert read_trace(tmp_path) == second


def test_a_long_conversation_takes_space_in_proportion_to_its_calls(tmp_path):
    sizes = []
    for count in (20, 40, 80):
        folder = left(make_trajectory(f"n{count}", steps=count), tmp_path / str(count))
        names = ("manifest.jsonl", "messages.jsonl")
        sizes.append(sum((folder / name).stat().st_size for name in names))
    assert sizes[2] - sizes[1] < 2.2 * (sizes[1] - sizes[0])


def test_equal_messages_of_several_lanes_are_written_once(tmp_path):
    def said() -> tuple[ChatMessage, ...]:
        return tuple(ChatMessage(role="user", content=text) for text in ("one", "two"))

    calls = [replace(CALL, index=n, scope=f"tool:{n}", messages=said()) for n in range(3)]
    found = read_trace(written(replace(RUN, llm_calls=calls), tmp_path))
    assert found.llm_calls == calls
    assert len((tmp_path / "messages.jsonl").read_text("utf-8").splitlines()) == 2


def test_what_is_no_trace_is_said(tmp_path):
    with pytest.raises(FileNotFoundError, match="does not exist"):
        read_trace(tmp_path / "none")
    (tmp_path / "notes.md").write_text("x")
    with pytest.raises(TraceMissing, match="not a trace directory"):
        read_trace(tmp_path)
    with pytest.raises(TraceMissing, match="not a trace directory"):
        read_trace(tmp_path / "notes.md")


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("trajectory.json", "{"),
        ("trajectory.json", "[]"),
        ("trajectory.json", '{"steps": 3}'),
        ("trajectory.json", '{"steps": [{"tool_call": {}}]}'),
        ("trajectory.json", '{"metadata": {"x": {"$looplet": "never", "value": 1}}}'),
        ("steps/step_01.json", "{"),
        ("steps/step_01.json", '{"step_num": "x"}'),
        ("manifest.jsonl", 'x\n{"index": 0}\n'),
        ("manifest.jsonl", '{"index": 0}\n{}\n'),
        ("call_00_prompt.txt", "nothing"),
        ("call_00_response.txt", "# call 00\n"),
        ("call_00_response.txt", "\n## RESPONSE (content blocks)\n\n[{\n"),
        ("call_00_response.txt", b"\n## RESPONSE\n\xff"),
        ("messages.jsonl", '{"name": "x"}\n'),
    ],
)
def test_a_damaged_file_is_an_error_that_names_it_and_leaves_it(tmp_path, name, content):
    run = make_trajectory("whole", steps=2)
    folder = left(run, tmp_path) if "trajectory" not in name else written(run, tmp_path)
    content = content if isinstance(content, bytes) else content.encode()
    (folder / name).write_bytes(content)
    with pytest.raises(TraceDamaged, match=name.split("/")[0]):
        read_trace(folder)
    assert (folder / name).read_bytes() == content


def test_a_line_that_was_not_written_whole_is_none(tmp_path):
    run = make_trajectory("torn", steps=3)
    place = left(run, tmp_path) / "manifest.jsonl"
    whole = place.read_bytes()
    for length in range(len(whole) - 40, len(whole)):
        place.write_bytes(whole[:length])
        calls = read_trace(tmp_path).llm_calls
        assert calls == run.llm_calls[: len(calls)]
        assert len(calls) == (3 if length == len(whole) - 1 else 2)


def test_a_version_that_is_not_known_is_refused_by_name(tmp_path):
    for name, fill in (("trajectory.json", written), ("run.json", left)):
        folder = fill(make_trajectory("future"), tmp_path / name)
        place = folder / name
        data = json.loads(place.read_text("utf-8"))
        place.write_text(json.dumps({**data, "schema_version": 7}))
        with pytest.raises(UnknownTraceVersion, match=r"schema_version 7.*reads 1"):
            read_trace(folder)
        del data["schema_version"]
        place.write_text(json.dumps(data))
        assert read_trace(folder).run_id == "run-future"


def test_a_plain_directory_of_the_format_without_additions_is_read(tmp_path):
    step = {
        "step_num": 1,
        "tool_call": {"tool": "finish", "args": {"summary": "x"}},
        "tool_result": {"tool": "finish", "args": "summary=x", "duration_ms": 1, "data": {}},
    }
    head = {"run_id": "r", "done_tool": "finish", "termination_reason": "done", "steps": [step]}
    (tmp_path / "trajectory.json").write_text(json.dumps(head))
    (tmp_path / "manifest.jsonl").write_text('{"index": 0, "method": "generate"}')
    (tmp_path / "call_00_response.txt").write_text("# call 00\n\n## RESPONSE\nhello\n")
    run = read_trace(tmp_path)
    assert (run.trajectory_id, run.run_id, run.stop_reason) == ("r", "r", None)
    assert (run.steps[0].tool_call.call_id, run.steps[0].tool_result.data) == ("", {})
    assert (run.llm_calls[0].prompt, run.llm_calls[0].response) == ("", "hello")
    assert run.final_output == {"summary": "x"}
    assert len(run.steps[0].digest) == 64


def test_steps_alone_are_a_trace(tmp_path):
    left(replace(RUN, llm_calls=[]), tmp_path)
    (tmp_path / "run.json").unlink()
    run = read_trace(tmp_path)
    assert (run.steps[0].tool_call, run.stop_reason, run.task) == (STEP.tool_call, INTERRUPTED, {})


class Worker:
    """The process that records a run, and is killed."""

    def __init__(self, folder: Path, driver: str, *options: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, str(WORKER), str(folder), driver, *options],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
            env={**os.environ, "PYTHONPATH": str(WORKER.parents[2])},
        )  # fmt: skip

    def step(self) -> int:
        """Wait for the next step."""
        return int(self.process.stdout.readline())

    def go_on(self) -> None:
        self.process.stdin.write("\n")
        self.process.stdin.flush()

    def kill(self) -> list[int]:
        """Kill it, and tell the steps that it was given and nobody heard of yet."""
        self.process.send_signal(signal.SIGKILL)
        rest = self.process.stdout.read()
        self.process.communicate()
        return [int(line) for line in rest.split("\n")[:-1]]


@pytest.mark.parametrize("driver", ["sync", "async", "threads"])
@pytest.mark.parametrize("count", [1, 2, 3, 4])
def test_a_process_that_is_killed_after_a_step_leaves_all_it_had(tmp_path, capsys, driver, count):
    worker = Worker(tmp_path, driver)
    for number in range(1, count + 1):
        assert worker.step() == number
        if number < count:
            worker.go_on()
    worker.kill()
    assert not (tmp_path / "trajectory.json").exists()
    run = read_trace(tmp_path)
    assert [step.step_num for step in run.steps] == list(range(1, count + 1))
    assert [call.response for call in run.llm_calls] == trace_worker.REPLIES[:count]
    assert [step.llm_call_indices for step in run.steps] == [[n] for n in range(count)]
    assert (run.task, run.stop_reason, run.ended_at) == ({"goal": "look"}, INTERRUPTED, None)
    context = EvalContext.from_trajectory_dir(tmp_path)
    assert context.steps == [step.to_step() for step in run.steps]
    assert (context.stop_reason, context.completed) == (INTERRUPTED, False)
    assert context.final_output == ({"summary": "seen"} if count == 4 else {})
    assert main(["show", str(tmp_path)]) == 0
    shown = capsys.readouterr().out.splitlines()
    assert shown[0].split("  ")[1] == ("✓ interrupted" if count == 4 else "· interrupted")
    assert len(shown) == count + 4
    again = list(replay_loop(tmp_path, tools=trace_worker.TOOLS))
    assert [step.tool_result.data for step in again] == [s.tool_result.data for s in run.steps]


@pytest.mark.parametrize("driver", ["sync", "threads"])
@pytest.mark.parametrize("milliseconds", [0, 3, 7, 12, 20, 31])
def test_a_process_that_is_killed_at_any_moment_leaves_every_step_it_told(
    tmp_path, driver, milliseconds
):
    worker = Worker(tmp_path, driver, "--free")
    heard = [worker.step()]
    time.sleep(milliseconds / 1000)
    heard += worker.kill()
    run = read_trace(tmp_path)
    numbers = [step.step_num for step in run.steps]
    assert numbers == list(range(1, len(numbers) + 1))
    assert len(numbers) >= len(heard) == heard[-1]
    assert len(run.llm_calls) >= len(numbers)
    assert all(step.tool_result.data["text"] == "x" * 4_000 for step in run.steps)
    assert all(call.response == trace_worker.ask(call.index + 1) for call in run.llm_calls)


def test_a_run_that_was_flushed_on_its_way_and_killed_has_what_came_after(tmp_path):
    sink = ProvenanceSink(dir=tmp_path)
    llm = sink.wrap_llm(MockLLMBackend(trace_worker.REPLIES))
    from looplet import composable_loop

    loop = composable_loop(llm, "x", trace_worker.TOOLS, hooks=[sink.trajectory_hook()])
    next(loop)
    sink.flush()
    assert json.loads((tmp_path / "trajectory.json").read_text())["stop_reason"] == INTERRUPTED
    next(loop)
    kept = tmp_path.parent / "kept"
    tmp_path.rename(kept)  # what is written from now on is written elsewhere
    run = read_trace(kept)
    assert [step.step_num for step in run.steps] == [1, 2]
    assert (len(run.llm_calls), run.stop_reason) == (2, INTERRUPTED)
    with pytest.raises(TraceTaken):
        next(loop)


def test_native_conversations_come_back_message_by_message(tmp_path):
    @tool
    def price(fruit: str) -> dict:
        return {"fruit": fruit}

    def use(number: int, name: str, **args: Any) -> dict[str, Any]:
        return {"type": "tool_use", "id": f"c{number}", "name": name, "input": args}

    talk = [[use(n, "price", fruit=f"f{n}")] for n in range(5)]
    talk.append([{"type": "thinking", "thinking": "hm"}, use(9, "done", summary="x")])
    sink = ProvenanceSink(dir=tmp_path)
    from looplet import composable_loop

    llm = sink.wrap_llm(ScriptedToolBackend(talk))
    config = LoopConfig(use_native_tools=True)
    tools = tools_from([price], include_done=True)
    hooks = [sink.trajectory_hook()]
    assert len(list(composable_loop(llm, "x", tools, hooks=hooks, config=config))) == 6
    run = read_trace(tmp_path)
    assert run == sink.trajectory
    assert len(run.llm_calls[5].messages) > len(run.llm_calls[0].messages)
    lines = (tmp_path / "messages.jsonl").read_text("utf-8").splitlines()
    assert len(lines) == len({message.digest for message in run.llm_calls[5].messages})
