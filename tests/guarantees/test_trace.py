"""Guarantees 20, 22 to 26 and 32, as far as they speak of a run's trace."""

from __future__ import annotations

import json
import tempfile
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from looplet import (
    EvalContext,
    HookDecision,
    LoopConfig,
    MockLLMBackend,
    StaticMemorySource,
    Step,
    ToolContext,
    ToolError,
    ToolResult,
    composable_loop,
    replay_loop,
    tools_from,
)
from looplet.__main__ import main
from looplet.core.records import ErrorKind, ToolCall
from looplet.core.wrapping import TRANSPORT, AsyncWrapper, SyncWrapper
from looplet.provenance import (
    ProvenanceSink,
    RecordingLLMBackend,
    TrajectoryRecorder,
    read_trace,
    serialize_harness,
)
from looplet.testing import ScriptedToolBackend
from tests.guarantees.parts import APPLE, DONE, PEAR, call, hook, several, shop

SECRET = "hunter2-sesame"
SAFE = "[REDACTED]"


def redact(text: str) -> str:
    return text.replace(SECRET, SAFE)


def content_of(folder: Path) -> dict[str, str]:
    """Every file of a directory by its name, with JSON escapes resolved once."""
    return {
        place.relative_to(folder).as_posix(): place.read_text("utf-8")
        for place in folder.rglob("*")
        if place.is_file()
    }


def leaks(text: str) -> bool:
    return SECRET in text or SECRET.encode().hex() in text or json.dumps(SECRET)[1:-1] in text


def lines(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in content_of(folder)["manifest.jsonl"].splitlines()]


# 20: tokens


@pytest.mark.parametrize("usage", [None, {"input_tokens": 131, "output_tokens": 22}])
def test_the_manifest_has_tokens_as_told_or_as_estimated(drive, tmp_path, usage):
    reply = [{"type": "tool_use", "id": "c", "name": "done", "input": {"summary": "x"}}]
    sink = ProvenanceSink(dir=tmp_path)
    model = drive.native([reply, reply], usage=usage)
    options = {"tools": shop(), "config": LoopConfig(use_native_tools=True)}
    drive(sink.wrap_llm(model), hooks=[sink.trajectory_hook()], **options)
    (line,) = lines(tmp_path)
    assert line["tokens_estimated"] is (usage is None)
    if usage is not None:
        assert (line["input_tokens"], line["output_tokens"]) == (131, 22)
    total = sum(rec.get("input_tokens", 0) for rec in lines(tmp_path))
    assert total == sink.trajectory.input_tokens > 0


# 22: incremental, atomic, one run a directory (processes that are killed: tests/trajectory)


def test_no_file_of_a_trace_is_ever_seen_in_part(tmp_path):
    """Read all there is at every moment that a hook, a tool or the model has a say."""
    seen = []

    def look(*_: Any) -> None:
        if (tmp_path / "steps").exists():
            run = read_trace(tmp_path)
            numbers = [step.step_num for step in run.steps]
            assert numbers == list(range(1, len(numbers) + 1))
            seen.append((len(run.steps), len(run.llm_calls)))

    tools = shop()

    @tools.tool
    def peek(ctx: ToolContext) -> str:
        look()
        return ctx.llm.generate("inside")

    class Model(SyncWrapper):
        def around(self, *args: Any) -> Any:
            look()
            return super().around(*args)

    sink = ProvenanceSink(dir=tmp_path)
    llm = sink.wrap_llm(Model(MockLLMBackend([APPLE, call("peek"), "yes", PEAR, DONE])))
    watcher = hook(pre_prompt=look, post_dispatch=look, on_step=look, on_loop_end=look)
    hooks = [watcher, sink.trajectory_hook(), watcher]
    for _ in composable_loop(llm, "x", tools, hooks=hooks):
        look()
    assert seen == sorted(seen)
    assert seen[-1] == (4, 5)
    assert len(set(seen)) > 8


def test_writing_is_linear_in_the_steps(tmp_path):
    """Count what is asked of the file system, by the interpreter's own audit events."""
    import sys

    counted = {"on": False, "opens": 0}

    def audit(event: str, args: Any) -> None:
        if counted["on"] and event == "open" and str(args[0]).startswith(str(tmp_path)):
            counted["opens"] += 1

    sys.addaudithook(audit)
    opens, sizes = [], []
    for count in (40, 80, 160):
        folder = tmp_path / str(count)
        talk = [[{"type": "tool_use", "id": f"c{n}", "name": "price", "input": {"fruit": "apple"}}]
                for n in range(count)]  # fmt: skip
        sink = ProvenanceSink(dir=folder)
        counted.update(on=True, opens=0)
        config = LoopConfig(use_native_tools=True, max_steps=count)
        llm = sink.wrap_llm(ScriptedToolBackend(talk))
        hooks = [sink.trajectory_hook()]
        assert len(list(composable_loop(llm, "x", shop(), hooks=hooks, config=config))) == count
        counted["on"] = False
        opens.append(counted["opens"])
        sizes.append(sum(place.stat().st_size for place in folder.rglob("*") if place.is_file()))
    assert opens[0] > 40 * 4
    assert opens[2] - opens[1] == 2 * (opens[1] - opens[0])
    assert sizes[2] - sizes[1] < 2.2 * (sizes[1] - sizes[0])


def test_runs_are_never_mixed_in_a_directory(drive, tmp_path):
    for name in ("metrics.json", "artifacts.json", "notes.md"):
        (tmp_path / name).write_text("{}")
    ids = set()
    for replies in ([APPLE, PEAR, APPLE, DONE], [PEAR, DONE], [several(APPLE, PEAR), DONE]):
        sink = ProvenanceSink(dir=tmp_path)
        drive(sink.wrap_llm(drive.text(replies)), tools=shop(), hooks=[sink.trajectory_hook()])
        run = read_trace(sink.flush())
        assert [each.response for each in run.llm_calls] == replies
        found = content_of(tmp_path)
        assert len([name for name in found if name.startswith("steps/")]) == len(run.steps)
        assert len([name for name in found if name.startswith("call_")]) == 2 * len(replies)
        assert {"metrics.json", "artifacts.json", "notes.md"} < set(found)
        ids.add(run.run_id)
    assert len(ids) == 3


# 23: not cut, and each line and briefing with its own step


@given(
    data=st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False)
        | st.text(st.characters(exclude_categories=()) | st.sampled_from("\x00\ud800\udc00\r")),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    ),
    long=st.integers(0, 3),
)  # fmt: skip
def test_any_data_is_saved_whole_and_a_loaded_context_equals_the_live_one(data, long):
    given_data = {"data": data, "long": ["x" * 3_000] * long}
    tools = tools_from([], include_done=True)

    @tools.tool
    def give() -> dict:
        return given_data

    with tempfile.TemporaryDirectory() as folder:
        sink = ProvenanceSink(dir=folder)
        llm = sink.wrap_llm(MockLLMBackend([call("give"), DONE]))
        steps = list(composable_loop(llm, "x", tools, hooks=[sink.trajectory_hook()]))
        context = EvalContext.from_trajectory_dir(sink.flush())
        for place in Path(folder).rglob("*.json"):
            json.loads(place.read_text("utf-8"))
    live = EvalContext.from_trajectory(sink.trajectory)
    assert context.steps == live.steps == steps
    assert context.steps[0].tool_result.data == given_data
    for name in EvalContext.__slots__:
        if name not in ("_steps", "trajectory"):
            assert getattr(context, name) == getattr(live, name), name


# 24: redaction


def canaries(where: str) -> dict[str, Any]:
    """A structure with the secret in every place that a structure has."""
    return {
        where: SECRET,
        f"{SECRET} as a key": [SECRET, {"deep": (f"x{SECRET}y", {SECRET}, SECRET.encode())}],
        "number": 7,
        "quoted": json.dumps({"inside": SECRET}),
    }


class Tells:
    """A hook that has the secret in everything it says."""

    def pre_prompt(self, state, session_log, context, step_num):
        state.steps and state.steps[0].tool_call.metadata.update(canaries("late"))
        return f"brief {SECRET}"

    def post_dispatch(self, state, session_log, tool_call, tool_result, step_num):
        tool_call.metadata.update(canaries("call"))
        tool_result.warnings.append(f"warned of {SECRET}")
        return f"after {SECRET}"

    def check_done(self, state, session_log, context, step_num):
        return f"not yet, {SECRET}"

    def should_stop(self, state, step_num, new_entities):
        return HookDecision(stop=f"stopped by {SECRET}") if step_num >= 7 else False


NAMED = f"ask_{SECRET}"


def secret_tools() -> Any:
    tools = tools_from([], include_done=True)

    @tools.tool(description=f"Tells {SECRET}.")
    def tell(secret: str, more: dict | None = None, ctx: Any = None) -> dict:
        assert secret == SECRET, "the loop works with the reply as received"
        ctx.warn(f"mind {SECRET}")
        return canaries("result")

    @tools.tool
    def fail(secret: str) -> None:
        raise LookupError(f"no {secret} here")

    @tools.tool(name=NAMED)
    async def ask(ctx: Any) -> str:
        reply = ctx.llm.generate(f"do you know {SECRET}?")
        return await reply if hasattr(reply, "__await__") else reply

    return tools


def secret_talk() -> list[Any]:
    told = {"secret": SECRET, "more": {SECRET: [SECRET, 1]}}
    return [
        {"tool": "tell", "args": told, "reasoning": f"because {SECRET}", "theory": SECRET},
        {"tool": "fail", "args": {"secret": SECRET}, "reasoning": "x" * 155 + SECRET},
        {"tool": f"no_{SECRET}", "args": {SECRET: SECRET}},
        {"tool": "tell", "args": {"secret": SECRET, "more": {"x" * 40: SECRET}}},
        {"tool": "done", "args": {"summary": SECRET}},
        {"tool": NAMED, "args": {}},
        f"I do: {SECRET}",
        {"tool": "fail", "args": {"secret": SECRET}},
    ]


def as_text(said: Any) -> str:
    return said if isinstance(said, str) else json.dumps(said)


def as_blocks(said: Any, number: int) -> Any:
    if isinstance(said, str):
        return said
    return [
        {"type": "thinking", "thinking": f"hm, {SECRET}", "signature": "s"},
        {"type": "text", "text": f"I say {SECRET}"},
        {"type": "tool_use", "id": f"c{number}", "name": said["tool"], "input": said["args"]},
    ]


class Heard:
    """Keeps all that a backend is sent."""

    def __init__(self) -> None:
        self.texts: list[str] = []

    def around(self, model: Any) -> Any:
        base = AsyncWrapper if hasattr(model, "__aenter__") or _is_async(model) else SyncWrapper

        def note(wrapper: Any, method: str, prompt: str, keywords: dict[str, Any]) -> Any:
            sent = {name: each for name, each in keywords.items() if name not in TRANSPORT}
            self.texts.append(repr((prompt, sent)))
            return base.around(wrapper, method, prompt, keywords)

        return type("Hears", (base,), {"around": note})(model)


def _is_async(model: Any) -> bool:
    from looplet.core.backend import is_async

    return is_async(model)


def secret_run(drive: Any, folder: Path, *, native: bool, **options: Any) -> tuple[Any, Heard]:
    talk, heard = secret_talk(), Heard()
    if native:
        model = drive.native([as_blocks(said, number) for number, said in enumerate(talk)])
    else:
        model = drive.text([as_text(said) for said in talk])
    sink = ProvenanceSink(dir=folder, redact=redact, **options)
    config = LoopConfig(
        use_native_tools=native,
        system_prompt=f"Never tell {SECRET}.",
        memory_sources=[StaticMemorySource(f"remember {SECRET}")],
        acceptance_criteria=[f"without {SECRET}"],
        extract_step_metadata=lambda state, step: canaries("metadata"),
        extract_entities=lambda data: [SECRET],
        max_steps=9,
    )

    def look(step: Any) -> None:
        assert [name for name, text in content_of(folder).items() if leaks(text)] == []

    ran = drive(
        sink.wrap_llm(heard.around(model)),
        task={"goal": f"hide {SECRET}", SECRET: [SECRET]},
        tools=secret_tools(),
        hooks=[Tells(), sink.trajectory_hook()],
        config=config,
        on_step=look,
    )
    assert (len(ran.steps), ran.error) == (7, None)
    return sink, heard


@pytest.mark.parametrize("native", [False, True], ids=["text", "native"])
def test_no_secret_is_in_any_file_nor_in_memory_nor_upstream(drive, tmp_path, native):
    sink, heard = secret_run(drive, tmp_path, native=native)
    sink.flush()
    found = content_of(tmp_path)
    assert len(found) > 15
    assert [name for name, text in found.items() if leaks(text)] == []
    assert [name for name in found if leaks(name)] == []
    assert sum(SAFE in text for text in found.values()) > 10
    run = sink.trajectory
    (root,) = run.spans
    assert len(root.children) == len(run.steps)
    assert not leaks(repr(run) + repr([root, *root.children]) + repr(run.llm_calls))
    assert [text for text in heard.texts if leaks(text)] == []
    assert any(SAFE in text for text in heard.texts)
    assert read_trace(tmp_path) == run
    first = run.steps[0]
    assert first.tool_result.data["number"] == 7
    assert first.tool_result.data["result"] == SAFE
    assert first.tool_call.args["more"] == {SAFE: [SAFE, 1]}
    assert "hunt" not in run.metadata["session_log_text"]
    assert "hunt" not in "".join(step.pretty for step in run.steps)
    assert "hunt" not in "".join(step.tool_result.args_summary for step in run.steps)
    assert run.stop_reason == f"stopped by {SAFE}"
    assert run.llm_calls[6].scope == f"tool:ask_{SAFE}"


@pytest.mark.parametrize("native", [False, True], ids=["text", "native"])
def test_the_provider_may_be_sent_what_the_files_do_not_tell(drive, tmp_path, native):
    sink, heard = secret_run(drive, tmp_path, native=native, redact_upstream=False)
    sink.flush()
    assert sum(leaks(text) for text in heard.texts) == len(heard.texts)
    assert [name for name, text in content_of(tmp_path).items() if leaks(text)] == []
    assert not leaks(repr(sink.trajectory))


def test_what_a_model_raises_and_what_a_recorder_is_told_is_redacted(drive, tmp_path):
    model = drive.text([TypeError(f"no {SECRET}")])
    snapshot = serialize_harness(extra=canaries("extra"))
    recorder = TrajectoryRecorder(
        redact=redact, output_dir=tmp_path, harness_snapshot=snapshot,
        metadata=canaries("told"), expected=canaries("expected"), tags=[SECRET],
    )  # fmt: skip
    drive(recorder.wrap_llm(model), tools=shop(), hooks=[recorder])
    run = recorder.trajectory
    assert run.llm_calls[0].error == f"TypeError: no {SAFE}"
    assert SAFE in run.error
    assert not leaks(repr(run))
    assert [name for name, text in content_of(tmp_path).items() if leaks(text)] == []
    assert run.metadata["harness_snapshot"]["schema_version"] == 1


def test_further_parameters_are_redacted_where_they_are_kept():
    model = ScriptedToolBackend(["x"])
    llm = RecordingLLMBackend(model, redact=redact)
    llm.generate("hi", user=SECRET, tags=[SECRET])
    assert model.keywords[0]["user"] == SECRET
    assert llm.calls[0].params["user"] == SAFE
    assert llm.calls[0].params["tags"] == [SAFE]


@given(
    st.recursive(
        st.integers() | st.booleans() | st.none()
        | st.lists(st.sampled_from([SECRET, "a", '"', "\\", "\n"]), max_size=4).map("".join),
        lambda inner: st.lists(inner, max_size=4)
        | st.dictionaries(st.sampled_from([SECRET, "k", f"{SECRET}2"]), inner, max_size=3),
        max_leaves=12,
    )
)  # fmt: skip
def test_redaction_keeps_the_structure_and_the_numbers(data):
    with tempfile.TemporaryDirectory() as folder:
        recorder = TrajectoryRecorder(redact=redact, output_dir=folder)
        state = _State([_step(data)])
        recorder.pre_loop(_State([]), None, None)
        recorder._state = state
        recorder.should_stop(state, 1, [])
        record = json.loads((Path(folder) / "steps" / "step_01.json").read_text("utf-8"))
        (step,) = recorder.trajectory.steps
        assert not any(leaks(text) for text in content_of(Path(folder)).values())
    assert step.tool_result.data == _redacted(data)
    assert record["tool_result"]["data"] == _redacted(data)


def _redacted(value: Any) -> Any:
    if isinstance(value, str):
        return redact(value)
    if isinstance(value, list):
        return [_redacted(item) for item in value]
    if isinstance(value, dict):
        return {redact(key): _redacted(item) for key, item in value.items()}
    return value


def _step(data: Any) -> Step:
    return Step(1, ToolCall("t", {"data": data}), ToolResult("t", "", data))


class _State:
    def __init__(self, steps: list[Step]) -> None:
        self.steps, self.task, self._stop_reason = steps, {}, None


class Refuses:
    """A redactor that cannot cope with one text."""

    def __init__(self, *texts: str) -> None:
        self.texts = texts

    def __call__(self, text: str) -> str:
        if any(each in text for each in self.texts):
            raise ArithmeticError(f"cannot redact {text}")
        return text


@pytest.mark.parametrize(
    "where", ["task", "prompt", "reply", "args", "result", "briefing", "failure", "metadata"]
)
def test_a_redactor_that_raises_stops_the_run_and_nothing_unredacted_is_kept(
    drive, tmp_path, where
):
    tools, heard = shop(), Heard()

    @tools.tool
    def look(at: str) -> dict:
        return {"seen": "xresultx"}

    said = call("look", at="xargsx") if where == "args" else call("look", at="y")
    replies: list[Any] = ["xreplyx" if where == "reply" else said, DONE]
    if where == "failure":
        replies = [TypeError("xfailurex")]
    brief = hook(pre_prompt=lambda *a: "xbriefingx" if where in ("briefing", "prompt") else None)
    late = hook(on_step=lambda s, log, step, b: step.tool_call.metadata.update(a="xmetadatax"))
    sink = ProvenanceSink(dir=tmp_path, redact=Refuses(f"x{where}x".replace("prompt", "briefing")))
    model = heard.around(drive.text(replies))
    hooks = [brief, *([late] if where == "metadata" else []), sink.trajectory_hook()]
    ran = drive(
        sink.wrap_llm(model),
        tools=tools,
        hooks=hooks,
        task={"goal": "xtaskx"},
        config=LoopConfig(runtime=_no_pause()),
    )
    assert isinstance(ran.error, ArithmeticError)
    assert ran.steps == []
    word = f"x{where}x".replace("prompt", "briefing")
    found = content_of(tmp_path)
    assert not any(word in text for text in found.values())
    assert not any(word in text for text in heard.texts)
    assert word not in repr(sink.trajectory.llm_calls) + repr(sink.trajectory.steps)


def _no_pause() -> Any:
    from looplet.core.runtime import Runtime

    return Runtime(sleep=lambda seconds: None)


def test_a_redactor_that_raises_is_heard_by_who_calls_by_hand(tmp_path):
    model = MockLLMBackend(["xreplyx", "fine"])
    llm = RecordingLLMBackend(model, redact=Refuses("xreplyx", "xpromptx"))
    for prompt in ("hi", "xpromptx"):
        with pytest.raises(ArithmeticError):
            llm.generate(prompt)
    assert model.calls == 1
    (made,) = llm.calls
    assert made.error == "ArithmeticError: the reply could not be redacted, and is not kept"
    assert made.response is None
    assert llm.generate("hi") == "fine"


# 25: scopes and links


def test_scopes_and_links_are_right_when_tools_ask_at_the_same_time(drive, tmp_path):
    tools = tools_from([], include_done=True)
    count = 6

    @tools.tool(concurrent_safe=True)
    def ask(number: int, ctx: ToolContext) -> str:
        time.sleep((count - number) / 500)  # the last one asked is the first to ask
        first = ctx.llm.generate(f"first of {number}")
        return first + ctx.llm.generate(f"second of {number}")

    class Model:
        """Answers a prompt by its own words, whoever comes first."""

        def generate(self, prompt: str) -> str:
            if " of " in prompt and "\n" not in prompt:
                return f"<{prompt}>"
            return turns.pop(0)

    asked = several(*(call("ask", number=number) for number in range(count)))
    turns = [asked, DONE]
    sink = ProvenanceSink(dir=tmp_path)
    config = LoopConfig(concurrent_dispatch=True)
    ran = drive(sink.wrap_llm(Model()), tools=tools, hooks=[sink.trajectory_hook()], config=config)
    run = read_trace(sink.flush())
    assert run == sink.trajectory
    for number in range(count):
        record = run.steps[number]
        prompts = [run.llm_calls[index].prompt for index in record.llm_call_indices]
        own = [f"first of {number}", f"second of {number}"]
        assert [prompt for prompt in prompts if " of " in prompt and "\n" not in prompt] == own
    scopes = [each.scope for each in run.llm_calls]
    assert scopes == [None, *["tool:ask"] * 2 * count, None]
    assert lines(tmp_path) == sorted(lines(tmp_path), key=lambda line: line["index"])
    again = list(replay_loop(tmp_path, tools=tools, config=LoopConfig(concurrent_dispatch=True)))
    data = [step.tool_result.data for step in ran.steps]
    assert [step.tool_result.data for step in again] == data


# 26: divergence


@pytest.mark.parametrize("hides", [False, True])
@pytest.mark.parametrize("timeout", [None, 5])
def test_a_replay_that_asks_for_more_ends_at_once_whoever_catches_it(tmp_path, hides, timeout):
    tools, more, went_on = tools_from([], include_done=True), [], []

    @tools.tool(timeout_s=timeout)
    def ask(ctx: ToolContext) -> str:
        reply = ctx.llm.generate("once")
        for _ in more:
            try:
                ctx.llm.generate("once more")
            except Exception:
                went_on.append(1)
            except BaseException:
                if not hides:
                    raise
                reply = "hidden deeper"
        return reply

    sink = ProvenanceSink(dir=tmp_path)
    llm = sink.wrap_llm(MockLLMBackend([call("ask"), "yes", DONE]))
    list(composable_loop(llm, "x", tools, hooks=[sink.trajectory_hook()]))
    assert [step.tool_call.tool for step in replay_loop(tmp_path, tools=tools)] == ["ask", "done"]
    more.append(1)
    ends: list[str] = []
    told = hook(on_loop_end=lambda state, *a: ends.append(state._stop_reason))
    replay = replay_loop(tmp_path, tools=tools, hooks=[told])
    with pytest.raises(RuntimeError, match="scope 'tool:ask'"):
        next(replay)
    assert (len(ends), went_on) == (1, [])
    with pytest.raises(StopIteration):
        next(replay)


# 32: terminals and odd Unicode


def test_show_escapes_control_characters(tmp_path, capsys):
    evil = "\x1b[31mred\x1b]0;title\x07\x9b\u202e"
    tools = shop()

    @tools.tool
    def look(at: str) -> dict:
        return {evil: evil}

    @tools.tool
    def fail(at: str) -> None:
        raise LookupError(evil)

    stop = hook(should_stop=lambda s, n, e: HookDecision(stop=evil) if n == 3 else None)
    sink = ProvenanceSink(dir=tmp_path)
    replies = [call("look", at=evil), call("fail", at=evil), call(evil, at=evil)]
    llm = sink.wrap_llm(MockLLMBackend(replies))
    list(composable_loop(llm, evil, tools, hooks=[stop, sink.trajectory_hook()]))
    assert main(["show", str(tmp_path)]) == 0
    out = capsys.readouterr().out
    assert all(char.isprintable() for char in out.replace("\n", ""))
    assert "\\x1b[31mred" in out
    assert main(["show", str(tmp_path / evil)]) == 1
    assert all(char.isprintable() for char in capsys.readouterr().err.replace("\n", ""))


ODD = ["\ud800", "\udfff\ud800", "\ud83d\ude00", "\x00", "a\x00\ud800b", "\ufffe", "\U0010ffff"]


@pytest.mark.parametrize("odd", ODD, ids=ascii)
def test_odd_unicode_never_fails_a_save(drive, tmp_path, odd):
    tools = shop()

    @tools.tool
    def look(at: str) -> dict:
        return {odd: [odd, (odd,)], "error": ToolError(ErrorKind.PARSE, odd).message}

    @tools.tool
    def fail(at: str) -> None:
        raise LookupError(odd)

    said = [call("look", at=odd), call("fail", at=odd), f"{odd}{DONE}"]
    sink = ProvenanceSink(dir=tmp_path)
    hooks = [hook(pre_prompt=lambda *a: odd), sink.trajectory_hook()]
    options = {"tools": tools, "hooks": hooks, "system_prompt": odd, "task": {odd: odd}}
    ran = drive(sink.wrap_llm(drive.text(said)), **options)
    assert ran.stop_reason == "done"
    run = read_trace(sink.flush())
    assert run == sink.trajectory
    assert run.steps[0].tool_result.data == ran.steps[0].tool_result.data
    assert run.llm_calls[2].response == said[2]
    for name, text in content_of(tmp_path).items():
        if name.endswith(".json"):
            assert isinstance(json.loads(text), dict)
    assert [step.tool_call.args for step in replay_loop(tmp_path, tools=tools)] == [
        step.tool_call.args for step in ran.steps
    ]
