"""Runs that are replayed from a trace directory: the loop runs anew, the trace answers."""

from __future__ import annotations

import inspect
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from looplet import (
    BackendRouter,
    DefaultState,
    LoopConfig,
    MockLLMBackend,
    PermissionEngine,
    PermissionHook,
    ProvenanceSink,
    RecordingLLMBackend,
    SummarizeCompact,
    composable_loop,
    replay_loop,
    tools_from,
)
from looplet.core.lastcall import CallOutcome, LastCall, TellsLastCall
from looplet.core.runtime import Runtime
from looplet.errors import (
    BackendRefused,
    ReplyCut,
    RetryExhausted,
    TraceDamaged,
    TraceMissing,
    TraceUnplayable,
)
from looplet.testing import ScriptedToolBackend
from tests.guarantees.parts import APPLE, DONE, PEAR, at, call, hook, several, shop

NO_PAUSE = Runtime(sleep=lambda seconds: None)


def record(folder: Path, model: Any, **options: Any) -> list[Any]:
    """The steps of a recorded run."""
    sink = ProvenanceSink(dir=folder)
    options.setdefault("tools", shop())
    options.setdefault("config", LoopConfig(runtime=NO_PAUSE))
    hooks = [*options.pop("hooks", ()), sink.trajectory_hook()]
    return list(composable_loop(sink.wrap_llm(model), hooks=hooks, **options))


def told(steps: Any) -> list[Any]:
    """What steps say, without times, random identifiers, and estimates by a prompt's length."""
    return [
        (step.number, step.tool_call.tool, step.tool_call.args, step.tool_result.data,
         step.tool_result.error, step.usage and not step.usage.estimated and step.usage)
        for step in steps
    ]  # fmt: skip


def use(number: int, name: str, **args: Any) -> dict[str, Any]:
    return {"type": "tool_use", "id": f"c{number}", "name": name, "input": args}


RUNS: dict[str, tuple[Any, dict[str, Any]]] = {
    "text": (lambda: MockLLMBackend([several(APPLE, PEAR), APPLE, DONE]), {}),
    "repairs": (lambda: MockLLMBackend(["?", APPLE, "?", "?", "?", DONE]), {}),
    "a lost line": (lambda: MockLLMBackend([ConnectionError("lost"), APPLE, DONE]), {}),
    "a limit of rates": (
        lambda: MockLLMBackend([BackendRefused("slow", status=429, retry_after=9), DONE]), {},
    ),
    "a permanent failure": (
        lambda: MockLLMBackend([APPLE, BackendRefused("no", status=401), DONE]), {},
    ),
    "an exhausted wrapper": (
        lambda: MockLLMBackend([RetryExhausted("no", attempts=2), DONE]), {},
    ),
    "native": (
        lambda: ScriptedToolBackend(
            [[use(1, "price", fruit="pear")], "hm", [use(2, "done", summary="x")]],
            usage={"input_tokens": 5, "output_tokens": 2},
        ),
        {"config": LoopConfig(use_native_tools=True)},
    ),
    "native without messages": (
        lambda: ScriptedToolBackend(
            [[use(1, "price", fruit="pear")], [use(2, "done", summary="x")]], takes_messages=False
        ),
        {"config": LoopConfig(use_native_tools=True)},
    ),
    "native was asked of a backend without": (
        lambda: MockLLMBackend([APPLE, DONE]),
        {"config": LoopConfig(use_native_tools=True)},
    ),
}  # fmt: skip


@pytest.mark.parametrize(("make", "options"), RUNS.values(), ids=RUNS.keys())
def test_a_replay_gives_the_recorded_steps(tmp_path, make, options):
    steps = record(tmp_path, make(), **options)
    replayed = list(replay_loop(tmp_path, tools=shop(), config=options.get("config")))
    assert told(replayed) == told(steps)
    assert replayed


@pytest.mark.parametrize(("make", "options"), RUNS.values(), ids=RUNS.keys())
def test_a_replay_asks_what_was_asked(tmp_path, make, options):
    config = options.get("config", LoopConfig(runtime=NO_PAUSE))
    asked: list[list[Any]] = [[], []]
    listeners = [at("pre_llm_call", give=lambda p, a=each: a.append(p.prompt)) for each in asked]
    record(tmp_path, make(), config=config, hooks=listeners[:1])
    list(replay_loop(tmp_path, tools=shop(), config=config, hooks=listeners[1:]))
    assert asked[0] == asked[1] != []


def test_a_run_of_the_async_loop_is_replayed_too(drive, tmp_path):
    sink = ProvenanceSink(dir=tmp_path)
    model = drive.text([several(APPLE, PEAR), DONE])
    ran = drive(sink.wrap_llm(model), tools=shop(), hooks=[sink.trajectory_hook()])
    assert told(replay_loop(tmp_path, tools=shop())) == told(ran.steps)


class Cut(TellsLastCall):
    """A model whose first reply is cut by the token limit."""

    def __init__(self) -> None:
        self.replies = [(DONE[:20], "max_tokens"), (DONE[20:], "end_turn")]
        self._last = LastCall()

    def generate(self, prompt: str) -> str:
        reply, reason = self.replies.pop(0)
        self._last.set(CallOutcome(stop_reason=reason))
        return reply


def test_a_reply_that_was_continued_is_continued(tmp_path):
    config = LoopConfig(max_turn_continuations=2)
    assert told(record(tmp_path, Cut(), config=config)) == told(
        replay_loop(tmp_path, tools=shop(), config=config)
    )


def test_calls_of_a_compaction_answer_the_compaction(tmp_path):
    config = LoopConfig(compact_service=SummarizeCompact(keep_recent=1))
    compacts = hook(should_compact=lambda s, log, conversation, number: number == 3)
    replies = [APPLE, PEAR, "the summary", APPLE, DONE]
    steps = record(tmp_path, MockLLMBackend(replies), config=config, hooks=[compacts])
    replayed = replay_loop(tmp_path, tools=shop(), config=config, hooks=[compacts])
    assert told(replayed) == told(steps)
    with pytest.raises(TraceUnplayable):
        list(replay_loop(tmp_path, tools=shop(), config=config, hooks=[compacts, again()]))


def again() -> Any:
    return hook(should_compact=lambda s, log, conversation, number: number == 4)


def test_task_and_steps_are_the_recorded_ones_unless_given(tmp_path):
    record(tmp_path, MockLLMBackend([APPLE, PEAR, DONE]), task={"goal": "price", "n": (1, 2)})
    state = DefaultState(max_steps=3)
    list(replay_loop(tmp_path, tools=shop(), state=state))
    assert (state.task, state.max_steps) == ({"goal": "price", "n": (1, 2)}, 3)
    short, config = DefaultState(max_steps=1), LoopConfig(max_steps=1, runtime=NO_PAUSE)
    given = list(replay_loop(tmp_path, tools=shop(), state=short, config=config, task="other"))
    assert (len(given), short.task) == (1, {"description": "other"})
    assert short._stop_reason == "budget_exhausted"


def test_no_model_is_asked_and_nothing_of_the_configuration_is_changed(tmp_path):
    record(tmp_path / "trace", MockLLMBackend([APPLE, ConnectionError("x"), DONE]))
    live = MockLLMBackend(["never"])
    config = LoopConfig(
        router=BackendRouter(live),
        checkpoint_dir=tmp_path / "checkpoints",
        runtime=Runtime(),  # whose pauses would take seconds
    )
    before = replace(config)
    for _ in range(2):
        assert len(list(replay_loop(tmp_path / "trace", tools=shop(), config=config))) == 2
    assert (live.calls, config) == (0, before)
    assert not (tmp_path / "checkpoints").exists()


def test_tools_hooks_and_permissions_really_run(tmp_path):
    record(tmp_path, MockLLMBackend([APPLE, DONE]))
    engine = PermissionEngine()
    engine.deny("price", reason="not today")
    step, _ = replay_loop(tmp_path, tools=shop(), hooks=[PermissionHook(engine)])
    assert step.tool_result.error == "not today"
    tools = tools_from([], include_done=True)

    @tools.tool
    def price(fruit: str) -> str:
        return f"another {fruit}"

    step, _ = replay_loop(tmp_path, tools=tools)
    assert step.tool_result.data == "another apple"


def test_a_listener_of_pieces_is_told_each_reply_in_one(tmp_path):
    blocks = [{"type": "text", "text": "I am "}, {"type": "text", "text": "done"},
              use(1, "done", summary="x")]  # fmt: skip
    config = LoopConfig(use_native_tools=True)
    record(tmp_path, ScriptedToolBackend([blocks]), config=config)
    heard: list[str] = []
    pieces = hook(on_chunk=lambda text, number, attempt: heard.append(text))
    list(replay_loop(tmp_path, tools=shop(), config=config, hooks=[pieces]))
    assert heard == ["I am done"]


def test_a_replay_is_a_generator_that_returns_what_the_loop_does(tmp_path):
    record(tmp_path, MockLLMBackend([APPLE, PEAR, DONE]))
    ends: list[str] = []
    end = hook(on_loop_end=lambda state, *a: ends.append(state._stop_reason))
    replay = replay_loop(tmp_path, tools=shop(), hooks=[end])
    assert inspect.isgenerator(replay)
    next(replay)
    replay.close()
    assert ends == ["stream_closed"]
    config = LoopConfig(build_trace=lambda **kw: kw["done"])

    def whole() -> Any:
        value = yield from replay_loop(tmp_path, tools=shop(), config=config)
        assert value is True

    assert len(list(whole())) == 3
    assert inspect.isgenerator(replay_loop(tmp_path / "none", tools=shop())), "nothing is read yet"


def test_nothing_to_replay_is_said(tmp_path):
    with pytest.raises(FileNotFoundError, match="does not exist"):
        next(replay_loop(tmp_path / "none", tools=shop()))
    with pytest.raises(FileNotFoundError, match="holds no recorded call"):
        next(replay_loop(tmp_path, tools=shop()))
    ProvenanceSink(dir=tmp_path / "empty").flush()
    with pytest.raises(TraceMissing, match="holds no recorded call"):
        next(replay_loop(tmp_path / "empty", tools=shop()))


def test_more_calls_than_recorded_end_the_replay_at_once(tmp_path):
    record(tmp_path, MockLLMBackend([APPLE, PEAR]), max_steps=2)
    config = LoopConfig(max_steps=9)
    replay = replay_loop(tmp_path, tools=shop(), config=config)
    assert [next(replay).number, next(replay).number] == [1, 2]
    with pytest.raises(RuntimeError, match="2 calls of that scope, and step 3 asks for generate"):
        next(replay)


@pytest.mark.parametrize("native", [False, True])
def test_another_method_than_recorded_ends_the_replay_at_once(tmp_path, native):
    model = (
        ScriptedToolBackend([[use(1, "done", summary="x")]]) if native else MockLLMBackend([DONE])
    )
    record(tmp_path, model, config=LoopConfig(use_native_tools=native))
    other = LoopConfig(use_native_tools=not native)
    with pytest.raises(RuntimeError, match=f"LoopConfig.use_native_tools={native}"):
        list(replay_loop(tmp_path, tools=shop(), config=other))


def test_a_reply_that_was_cut_is_refused_by_name_before_anything_runs(tmp_path):
    ran: list[str] = []
    sink = ProvenanceSink(dir=tmp_path, max_chars_per_call=len(PEAR))
    long = call("price", fruit="pear", note="x" * 50)
    llm = sink.wrap_llm(MockLLMBackend([PEAR, long, DONE]))
    list(composable_loop(llm, "x", shop(), hooks=[sink.trajectory_hook()]))
    with pytest.raises(
        ReplyCut, match=r"call_01_response\.txt was cut by max_chars_per_call"
    ) as cut:
        list(replay_loop(tmp_path, tools=shop(), hooks=[hook(pre_loop=lambda *a: ran.append("x"))]))
    assert isinstance(cut.value, RuntimeError)
    assert isinstance(cut.value, ValueError)
    assert ran == []


def test_a_cut_prompt_is_no_obstacle(tmp_path):
    llm = RecordingLLMBackend(MockLLMBackend([DONE]), max_chars_per_call=len(DONE))
    llm.generate("x" * 500)
    llm.save(tmp_path)
    assert llm.calls[0].metadata["truncated"] is True
    assert [step.tool_call.tool for step in replay_loop(tmp_path, tools=shop())] == ["done"]


def test_a_call_that_was_interrupted_has_no_reply_to_replay(tmp_path):
    class Stopped:
        def generate(self, prompt: str) -> str:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        record(tmp_path, Stopped())
    with pytest.raises(RuntimeError, match=r"call 00 was interrupted.*KeyboardInterrupt"):
        list(replay_loop(tmp_path, tools=shop()))


def test_a_missing_reply_is_named(tmp_path):
    record(tmp_path, MockLLMBackend([APPLE, DONE]))
    (tmp_path / "call_01_response.txt").unlink()
    with pytest.raises(TraceDamaged, match=r"call_01_response\.txt is missing"):
        list(replay_loop(tmp_path, tools=shop()))


def test_without_a_manifest_response_files_are_plain_replies(tmp_path):
    record(tmp_path, MockLLMBackend([APPLE, PEAR, ConnectionError("lost"), DONE]))
    kept = tmp_path / "kept"
    kept.mkdir()
    for place in tmp_path.glob("call_*_response.txt"):
        place.rename(kept / place.name)
    steps = list(replay_loop(kept, tools=shop(), task="x"))
    assert [step.tool_call.tool for step in steps] == ["price", "price", "done"]
    with pytest.raises(RuntimeError, match="use_native_tools=False"):
        list(replay_loop(kept, tools=shop(), config=LoopConfig(use_native_tools=True)))


def test_a_manifest_of_the_bare_format_is_enough(tmp_path):
    lines = [{"index": 0, "method": "generate"}, {"index": 1, "method": "generate"},
             {"index": 2, "method": "generate", "error": "LookupError: gone"}]  # fmt: skip
    text = "".join(json.dumps(line) + "\n" for line in reversed(lines))
    (tmp_path / "manifest.jsonl").write_text(text)
    for number, reply in enumerate((APPLE, PEAR)):
        (tmp_path / f"call_0{number}_response.txt").write_text(
            f"# call 0{number} — duration=1.0ms error=no\n\n## RESPONSE\n{reply}\n", "utf-8"
        )
    replay = replay_loop(tmp_path, tools=shop(), config=LoopConfig(max_steps=3))
    assert [next(replay).tool_call.args["fruit"] for _ in range(2)] == ["apple", "pear"]
    with pytest.raises(RuntimeError):  # the loop tries again what was not recorded again
        next(replay)
