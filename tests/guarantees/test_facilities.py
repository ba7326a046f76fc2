"""Guarantees 16 to 19 and 29 to 32: what stands around the loop."""

from __future__ import annotations

import asyncio
import json
import warnings
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from looplet import (
    CompactOutcome,
    ContextBudget,
    DefaultState,
    FileCheckpointStore,
    LoopConfig,
    PerToolLimitHook,
    PruneToolResults,
    StagnationHook,
    Step,
    ThresholdCompactHook,
    ToolCall,
    ToolResult,
    TracingHook,
    TrajectoryRecorder,
    TruncateCompact,
    async_composable_loop,
    compact_chain,
    run_sub_loop,
    tools_from,
)
from looplet.core.listeners import SLOTS
from looplet.testing import AsyncMockLLMBackend
from tests.drivers import DRIVERS
from tests.guarantees.parts import APPLE, DONE, PEAR, Watcher, call, heard, hook, several, shop
from tests.guarantees.test_ends import End, every_end, finish


class Noting:
    """A compaction service that notes when it runs."""

    def __init__(self, service: Any, name: str, runs: list[str]) -> None:
        self._service, self._name, self._runs = service, name, runs

    def compact(self, **about: Any) -> CompactOutcome:
        self._runs.append(self._name)
        return self._service.compact(**about)


def wordy() -> Any:
    tools = tools_from([], include_done=True)

    @tools.tool
    def look(n: int) -> str:
        return f"SEEN-{n} " + "x" * 3000

    return tools


def test_compaction_escalates_until_it_has_helped_and_never_touches_yielded_steps(drive, tmp_path):
    runs: list[str] = []
    budget = ContextBudget(context_window=4000, warning_at=1500, error_at=2000, compact_buffer=500)
    stages = [
        Noting(PruneToolResults(keep_recent=50), "frees nothing", runs),
        Noting(PruneToolResults(keep_recent=1), "prunes", runs),
        Noting(TruncateCompact(keep_recent=1), "truncates", runs),
    ]
    yielded: list[Any] = []
    config = LoopConfig(
        max_steps=9, compact_service=compact_chain(*stages), checkpoint_dir=tmp_path
    )
    recorder, watcher = TrajectoryRecorder(), Watcher()
    llm = drive.text([call("look", n=n) for n in range(7)] + [DONE])
    ran = drive(
        llm, tools=wordy(), config=config, hooks=[ThresholdCompactHook(budget), recorder, watcher],
        on_step=lambda step: yielded.append(json.dumps(step.to_dict())),
    )  # fmt: skip
    assert ran.stop_reason == "done"
    assert "frees nothing" in runs
    assert "prunes" in runs
    assert watcher.events.count("post_compact") >= 1
    assert [json.dumps(step.to_dict()) for step in ran.state.steps] == yielded
    whole = [f"SEEN-{n} " + "x" * 3000 for n in range(7)]
    assert [step.tool_result.data for step in ran.state.steps[:7]] == whole
    assert [step.tool_result.data for step in recorder.trajectory.steps[:7]] == whole
    saved = FileCheckpointStore(tmp_path).load_latest()
    assert len([each for each in saved.steps if "SEEN" in json.dumps(each)]) == 7
    assert "SEEN-0" not in llm.last_prompt, "the pruned text is in no later prompt"
    assert max(len(request.prompt) for request in llm._script.asked) < 4 * 4000


@given(
    window=st.integers(1, 10**6),
    marks=st.fixed_dictionaries(
        {},
        optional={
            name: st.integers(-10, 10**6) for name in ("warning_at", "error_at", "compact_buffer")
        },
    ),
)
def test_context_thresholds_are_consistent_for_any_window_or_refused(window, marks):
    refusal, budget = "", None
    try:
        budget = ContextBudget(context_window=window, **marks)
    except ValueError as error:
        refusal = str(error)
    if budget is None:
        assert any(name in refusal for name in ("warning_at", "error_at", "context_window"))
        assert marks or window < 3, "with no marks every window is usable"
        return
    assert 0 < budget.warning_at <= budget.error_at <= budget.blocking_at
    tiers = ["ok", "warning", "error", "blocking"]
    marks_up = [0, budget.warning_at, budget.error_at, budget.blocking_at]
    for tier, mark in zip(tiers, marks_up, strict=True):
        assert tiers.index(budget.classify(mark)) >= tiers.index(tier)
    assert budget.classify(budget.warning_at - 1) == "ok"


def test_resume_goes_on_with_the_same_task_only_within_max_steps_and_never_after_done(
    drive, tmp_path
):
    """Killed processes stand in ``tests/core/test_resume.py``."""
    config = LoopConfig(checkpoint_dir=tmp_path, max_steps=3)
    given = {"tools": shop(), "task": {"goal": "a"}, "config": config}
    first = drive(drive.text([APPLE]), leave_after=1, **given)
    second = drive(drive.text([PEAR]), leave_after=1, **given)
    assert [step.number for step in first.steps + second.steps] == [1, 2]

    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    other = drive(drive.text([DONE]), **{**given, "task": {"goal": "b"}})
    assert isinstance(other.error, ValueError)
    assert '"a"' in str(other.error)
    assert '"b"' in str(other.error)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before

    third = drive(drive.text([several(APPLE, APPLE, APPLE)]), **given)
    assert [step.number for step in third.steps] == [3], "three steps across all runs"
    assert third.stop_reason == "budget_exhausted"

    more = {**given, "config": LoopConfig(checkpoint_dir=tmp_path, max_steps=9)}
    assert drive(drive.text([DONE]), **more).stop_reason == "done"
    silent, watcher = drive.text([]), Watcher()
    again = drive(silent, hooks=[watcher], **more)
    assert (again.steps, silent.calls, again.stop_reason) == ([], 0, "done")
    assert len(again.state.steps) >= 4


@pytest.mark.parametrize("cut", [0, 1, 40, -2])
def test_checkpoints_are_atomic_and_torn_ones_are_reported(drive, tmp_path, cut):
    config = LoopConfig(checkpoint_dir=tmp_path, max_steps=9)
    given = {"tools": shop(), "task": "t", "config": config}

    def whole(step: Step) -> None:
        newest = FileCheckpointStore(tmp_path).load_latest()
        assert newest.step_number == step.number, "saved before it is yielded"
        assert all(path.suffix == ".json" for path in tmp_path.iterdir()), "nothing half-written"

    drive(drive.text([APPLE, PEAR, APPLE]), leave_after=3, on_step=whole, **given)
    torn = tmp_path / "step_3.json"
    torn.write_bytes(torn.read_bytes()[:cut])
    ran, told = heard(lambda: drive(drive.text([DONE]), **given))
    assert len([text for text in told if "step_3.json" in text]) == 1
    assert [step.number for step in ran.steps] == [3]
    assert ran.stop_reason == "done"


def test_what_checkpoints_write_is_linear_in_the_steps(tmp_path):
    def written(steps: int) -> int:
        directory = tmp_path / str(steps)
        drive = DRIVERS["sync"]
        config = LoopConfig(checkpoint_dir=directory, max_steps=steps)
        drive(drive.text([APPLE] * steps), tools=shop(), config=config)
        return sum(path.stat().st_size for path in Path(directory).iterdir())

    assert written(80) < 2.5 * written(40)


def test_a_sub_loop_returns_its_answer(drive):
    tools = shop()

    @tools.tool
    def delegate(ctx: Any) -> dict:
        inner = DRIVERS["sync"].text([APPLE, call("done", summary="0.40")])
        return run_sub_loop(inner, "What is an apple?", shop(), state_mutating_tools=["done"])

    ran = drive(drive.text([call("delegate"), DONE]), tools=tools)
    result = ran.steps[0].tool_result.data
    assert (result["answer"], result["summary"]) == ({"summary": "0.40"}, "0.40")
    assert (result["stop_reason"], result["llm_calls"]) == ("done", 2)


def test_the_async_loop_awaits_hooks_in_every_slot_and_takes_plain_ones_beside_them():
    seen: list[str] = []

    def later(slot: str) -> Any:
        async def method(self: Any, *args: Any, **keywords: Any) -> None:
            await asyncio.sleep(0)
            seen.append(f"awaited {slot}")

        return method

    slots = [slot for slot in SLOTS if slot != "on_chunk"]
    slow = type("Slow", (), {slot: later(slot) for slot in slots})()
    plain = hook(**{slot: lambda *a, s=slot, **k: seen.append(f"plain {s}") for slot in slots})
    tools = shop()

    @tools.tool
    async def tick(ctx: Any) -> dict:
        ctx.report_progress("half")
        return {}

    async def run() -> list[Step]:
        llm = AsyncMockLLMBackend([call("tick"), DONE])
        loop = async_composable_loop(llm, tools=tools, hooks=[plain, slow, plain])
        return [step async for step in loop]

    assert [step.tool_call.tool for step in asyncio.run(run())] == ["tick", "done"]
    for slot in slots:
        assert f"awaited {slot}" in seen
        assert seen.count(f"plain {slot}") == 2 * seen.count(f"awaited {slot}")


class Foreign:
    """A tracer of another make: its spans have ``end`` and ``set_attribute`` and no more."""

    def __init__(self) -> None:
        self.spans: list[Any] = []

    def start_span(self, name: str, **keywords: Any) -> Any:
        span = ForeignSpan(name)
        self.spans.append(span)
        return span


class ForeignSpan:
    def __init__(self, name: str) -> None:
        self.name, self.ends, self.attributes = name, 0, {}

    def set_attribute(self, name: str, value: Any) -> None:
        self.attributes[name] = value

    def end(self) -> None:
        self.ends += 1


@every_end
def test_spans_of_a_foreign_tracer_are_ended_once_in_every_end(drive, end):
    tracer = Foreign()
    hooks = [TracingHook(tracer), *end.hooks]
    ran = finish(drive, End(**{**vars(end), "hooks": hooks}), [])
    assert ran.stop_reason == end.reason
    assert [span.name for span in tracer.spans][:1] == ["loop.run"]
    assert {span.ends for span in tracer.spans} == {1}
    for step in ran.state.steps:
        assert f"tool.{step.tool_call.tool}" in [span.name for span in tracer.spans]


odd = st.text(st.characters(exclude_categories=()), max_size=12) | st.sampled_from(
    ["\x1b[31mred\x1b[0m", "\x07", "\r\nfake", "\ud800", "\x00", "\u202e", "\x9b1m", "\u2066"]
)


@given(text=odd, key=odd, reasoning=odd, name=st.sampled_from([*DRIVERS]))
def test_lines_escape_control_characters_and_odd_unicode_fails_no_save(
    tmp_path_factory, text, key, reasoning, name
):
    drive, folder = DRIVERS[name], tmp_path_factory.mktemp("odd")
    tools = tools_from([], include_done=True)

    @tools.tool
    def echo(text: str) -> dict:
        if text.startswith("x"):
            raise RuntimeError(text)
        return {key: text}

    replies = [
        json.dumps({"tool": "echo", "args": {"text": mark + text}, "reasoning": reasoning})
        for mark in ("", "x")
    ]
    config = LoopConfig(checkpoint_dir=folder, max_steps=2)
    recorder = TrajectoryRecorder()
    given = {"tools": tools, "config": config, "task": {key: text}}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        ran = drive(drive.text(replies), hooks=[recorder], **given)
        back = drive(drive.text([]), **given)
    assert (ran.error, len(ran.steps), back.error) == (None, 2, None)
    assert [s.tool_result.data for s in back.state.steps] == [s.tool_result.data for s in ran.steps]
    for step in [*ran.steps, *recorder.trajectory.steps]:
        line = step.pretty() if isinstance(step, Step) else step.pretty
        assert line.isprintable()
        line.encode()


CALLS = st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 1)), max_size=25)


@given(calls=CALLS, threshold=st.integers(2, 5), reset=st.booleans())
def test_stagnation_is_never_told_early_or_late(calls, threshold, reset):
    watch = StagnationHook(threshold=threshold, reset_after_nudge=reset)
    row, newest = 0, None
    for number, (tool, n) in enumerate(calls, 1):
        asked = ToolCall(tool, {"n": n})
        row = row + 1 if (tool, n) == newest else 1
        newest = (tool, n)
        told = watch.post_dispatch(None, None, asked, ToolResult(tool, "", number), number)
        assert (told is not None) is (row >= threshold)
        if told is not None and reset:
            newest = None


@given(
    calls=CALLS,
    limits=st.dictionaries(st.sampled_from("ab"), st.integers(0, 4)),
    default=st.none() | st.integers(0, 4),
)
def test_a_limit_denies_exactly_the_calls_past_it(calls, limits, default):
    drive, ran_calls = DRIVERS["sync"], []
    tools = tools_from([], include_done=True)
    for letter in "abc":
        tools.tool(lambda n, letter=letter: ran_calls.append(letter), name=letter)
    limit = PerToolLimitHook(limits=limits, default_limit=default)
    replies = [call(tool, n=str(n)) for tool, n in calls] + [DONE]
    state = DefaultState(max_steps=30)
    config = LoopConfig(max_steps=30)
    ran = drive(drive.text(replies), tools=tools, hooks=[limit], config=config, state=state)
    assert ran.stop_reason == "done"
    allowed: dict[str, int] = {}
    for (tool, _), step in zip(calls, ran.steps, strict=False):
        most = limits.get(tool, default)
        fits = most is None or allowed.get(tool, 0) < most
        allowed[tool] = allowed.get(tool, 0) + fits
        assert (step.tool_result.error is None) is fits
    assert {tool: ran_calls.count(tool) for tool in set(ran_calls)} == {
        tool: count for tool, count in allowed.items() if count
    }
