"""Hooks inside a run: order, decisions, events; each through both drivers."""

from __future__ import annotations

import json
import warnings
from contextlib import contextmanager, nullcontext
from contextvars import ContextVar
from typing import Any

import pytest

from looplet import (
    Deny,
    ErrorKind,
    HookDecision,
    InjectContext,
    LifecycleEvent,
    LoopConfig,
    Stop,
    ToolCall,
    ToolResult,
    async_composable_loop,
    composable_loop,
    tool,
    tools_from,
)
from looplet.core.listeners import SLOTS


@tool
def price(fruit: str) -> dict:
    """Price of one piece of fruit, in euro."""
    return {"fruit": fruit, "euro": {"apple": 0.4, "pear": 0.55}[fruit]}


def call(name: str, **args: Any) -> str:
    return json.dumps({"tool": name, "args": args})


APPLE, DONE = call("price", fruit="apple"), call("done", summary="x")


def shop() -> Any:
    return tools_from([price], include_done=True)


def hook(**methods: Any) -> Any:
    """An object whose methods are the given functions, without ``self``."""
    return type("Given", (), {name: staticmethod(body) for name, body in methods.items()})()


class Recorder:
    """Every slot but the events, in the order of calling."""

    def __init__(self) -> None:
        self.seen: list[str] = []

    def __getattr__(self, name: str) -> Any:
        if name not in SLOTS or name == "on_event":
            raise AttributeError(name)
        return lambda *args, **keywords: self.seen.append(name)


class Listener:
    """A hook with ``on_event`` alone."""

    def __init__(self, seen: list[str]) -> None:
        self.seen = seen

    def on_event(self, payload: Any) -> None:
        self.seen.append(f"<{payload.event.value}>")


def test_slots_and_events_come_in_the_contracts_order(drive):
    recorder = Recorder()
    listener = Listener(recorder.seen)
    drive(drive.text([APPLE, DONE]), tools=shop(), hooks=[recorder, listener])
    asking = [
        "should_compact",
        "build_briefing",
        "pre_prompt",
        "build_prompt",
        "<pre_llm_call>",
        "<post_llm_response>",
    ]
    assert recorder.seen == [
        "pre_loop", "<session_start>",
        *asking,
        "<pre_tool_use>", "pre_dispatch", "check_permission", "post_dispatch", "<post_tool_use>",
        "on_step", "should_stop",
        *asking,
        "check_done", "post_dispatch", "on_step", "<done_accepted>",
        "<stop>", "on_loop_end",
    ]  # fmt: skip


def test_a_decision_is_told_right_after_it_was_made(drive):
    seen: list[str] = []
    decider = hook(pre_dispatch=lambda *args: seen.append("pre_dispatch") or Deny("no"))
    payloads = []

    def keep(payload):
        seen.append(payload.event.value)
        payloads.append(payload)

    drive(drive.text([APPLE, DONE]), tools=shop(), hooks=[decider, hook(on_event=keep)])
    place = seen.index("pre_dispatch")
    assert seen[place + 1] == "hook_decision"
    told = next(each for each in payloads if each.event is LifecycleEvent.HOOK_DECISION)
    assert (told.hook_slot, told.hook_name) == ("pre_dispatch", "Given")
    assert told.extra["decision"]["block"] == "no"


def test_a_text_from_pre_prompt_stands_in_the_briefing(drive):
    llm = drive.text([DONE])
    hooks = [
        hook(pre_prompt=lambda *args: "first"),
        hook(pre_prompt=lambda *args: InjectContext("second")),
    ]
    drive(llm, tools=shop(), hooks=hooks)
    assert "ASSESSMENT\nfirst\nsecond" in llm.last_prompt


def test_a_stop_from_pre_prompt_ends_the_run_without_a_call(drive):
    llm = drive.text([DONE])
    ran = drive(llm, tools=shop(), hooks=[hook(pre_prompt=lambda *args: Stop("too late"))])
    assert (llm.calls, ran.steps, ran.stop_reason) == (0, [], "too late")


def test_a_briefing_that_is_full_says_how_many_texts_it_left_out(drive):
    llm = drive.text([DONE])
    hooks = [hook(pre_prompt=lambda *args, n=n: f"text {n} " * 5) for n in range(4)]
    drive(llm, tools=shop(), hooks=hooks, config=LoopConfig(max_briefing_tokens=20))
    assert "text 1" in llm.last_prompt
    assert "[2 texts left out: the briefing is full]" in llm.last_prompt
    assert "text 2" not in llm.last_prompt


def test_the_first_build_prompt_wins_and_an_override_has_the_last_word(drive):
    llm = drive.text([DONE])
    hooks = [hook(build_prompt=lambda **kw: None), hook(build_prompt=lambda **kw: "mine")]
    drive(llm, tools=shop(), hooks=hooks)
    assert llm.last_prompt == "mine"
    llm = drive.text([DONE])

    def override(*, messages, default_prompt, step_num):
        return f"{step_num}:{default_prompt}!"

    drive(llm, tools=shop(), hooks=hooks, config=LoopConfig(render_messages_override=override))
    assert llm.last_prompt == "1:mine!"


def test_an_advisory_hook_that_fails_is_logged_and_the_default_stands_in(drive, caplog):
    def fail(**keywords):
        raise LookupError("no prompt today")

    llm = drive.text([DONE])
    ran = drive(llm, tools=shop(), task={"goal": "g"}, hooks=[hook(build_prompt=fail)])
    assert ran.stop_reason == "done"
    assert "goal: g" in llm.last_prompt
    assert "no prompt today" in caplog.text


def test_pre_dispatch_may_answer_instead_of_the_tool(drive):
    cached = ToolResult("price", "fruit=apple", {"euro": 9})
    ran = drive(
        drive.text([APPLE, DONE]), tools=shop(), hooks=[hook(pre_dispatch=lambda *args: cached)]
    )
    assert ran.steps[0].tool_result.data == {"euro": 9}


def test_the_first_interception_ends_the_chain(drive):
    asked = []
    hooks = [
        hook(pre_dispatch=lambda *args: Deny("first")),
        hook(pre_dispatch=lambda *args: asked.append(1)),
    ]
    ran = drive(drive.text([APPLE, DONE]), tools=shop(), hooks=hooks)
    assert ran.steps[0].tool_result.error == "first"
    assert ran.steps[0].tool_result.error_kind is ErrorKind.PERMISSION_DENIED
    assert asked == []


def test_updated_arguments_reach_the_tool_and_the_record(drive):
    change = hook(pre_dispatch=lambda *args: HookDecision(updated_args={"fruit": "pear"}))
    ran = drive(drive.text([APPLE, DONE]), tools=shop(), hooks=[change])
    assert ran.steps[0].tool_result.data["euro"] == 0.55
    assert ran.steps[0].tool_call.args == {"fruit": "pear"}


def test_a_stop_before_a_call_makes_a_cancelled_step_and_ends_the_turn(drive):
    ran = drive(
        drive.text([APPLE]), tools=shop(), hooks=[hook(pre_dispatch=lambda *args: Stop("enough"))]
    )
    assert ran.steps[0].tool_result.error_kind is ErrorKind.CANCELLED
    assert ran.stop_reason == "enough"


def test_permission_is_checked_on_final_arguments_and_on_cached_results(drive):
    seen = []

    def check(tool_call, state):
        seen.append(dict(tool_call.args))
        return False

    cached = ToolResult("price", "fruit=apple", {"euro": 9})
    for before in (HookDecision(updated_args={"fruit": "pear"}), cached):
        hooks = [hook(pre_dispatch=lambda *args, b=before: b), hook(check_permission=check)]
        ran = drive(drive.text([APPLE, DONE]), tools=shop(), hooks=hooks)
        assert ran.steps[0].tool_result.error_kind is ErrorKind.PERMISSION_DENIED
        assert ran.steps[0].tool_result.data is None
    assert seen == [{"fruit": "pear"}, {"fruit": "apple"}]


def test_done_needs_no_permission(drive):
    ran = drive(
        drive.text([DONE]), tools=shop(), hooks=[hook(check_permission=lambda call, state: False)]
    )
    assert ran.stop_reason == "done"


def test_post_dispatch_may_replace_the_result_and_speak(drive):
    def after(state, session_log, tool_call, tool_result, step_num):
        if tool_call.tool == "done":
            return None
        new = ToolResult("price", tool_result.args_summary, {"euro": 1})
        return HookDecision(updated_result=new, additional_context="prices were rounded")

    llm = drive.text([APPLE, DONE])
    ran = drive(llm, tools=shop(), hooks=[hook(post_dispatch=after)])
    assert ran.steps[0].tool_result.data == {"euro": 1}
    assert "prices were rounded" in llm.last_prompt


def test_a_stop_after_a_call_leaves_the_rest_of_the_turn(drive):
    reply = json.dumps({"tools": [json.loads(APPLE)] * 3})
    ran = drive(
        drive.text([reply]), tools=shop(), hooks=[hook(post_dispatch=lambda *args: Stop("seen"))]
    )
    assert len(ran.steps) == 1
    assert ran.steps[0].tool_result.warnings == ["not run: price, price"]
    assert ran.stop_reason == "seen"


@pytest.mark.parametrize(
    ("answer", "reason"),
    [(True, "hook_stop"), (HookDecision(stop="step_budget_exceeded"), "step_budget_exceeded")],
)
def test_should_stop_ends_the_run_with_its_reason(drive, answer, reason):
    ran = drive(
        drive.text([APPLE, DONE]), tools=shop(), hooks=[hook(should_stop=lambda *args: answer)]
    )
    assert (len(ran.steps), ran.stop_reason) == (1, reason)


def test_check_done_may_reject_and_end_at_once(drive):
    ran = drive(
        drive.text([DONE]), tools=shop(), hooks=[hook(check_done=lambda *args: Stop("audit"))]
    )
    assert ran.steps[0].tool_result.data["rejected"] is True
    assert ran.stop_reason == "audit"


def test_check_done_gets_the_call_if_it_asks_for_it(drive):
    seen = []

    class Judge:
        def check_done(self, state, session_log, context, step_num, tool_call):
            seen.append(tool_call.args)

    drive(drive.text([DONE]), tools=shop(), hooks=[Judge()])
    assert seen == [{"summary": "x"}]


def test_a_value_without_meaning_is_a_type_error_that_names_hook_and_slot(drive):
    ran = drive(drive.text([APPLE]), tools=shop(), hooks=[hook(should_stop=lambda *args: "yes")])
    assert isinstance(ran.error, TypeError)
    assert "Given.should_stop" in str(ran.error)


def test_a_field_that_a_slot_cannot_honour_warns_once(drive):
    useless = hook(should_stop=lambda *args: HookDecision(updated_args={"a": 1}))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        drive(drive.text([APPLE, APPLE, DONE]), tools=shop(), hooks=[useless])
    texts = [str(each.message) for each in caught if issubclass(each.category, UserWarning)]
    assert len([text for text in texts if "updated_args" in text and "should_stop" in text]) == 1


def test_an_event_listener_that_fails_is_logged_and_the_run_goes_on(drive, caplog):
    def fail(payload):
        if payload.event is LifecycleEvent.POST_TOOL_USE:
            raise LookupError("listener broke")

    ran = drive(drive.text([APPLE, DONE]), tools=shop(), hooks=[hook(on_event=fail)])
    assert ran.stop_reason == "done"
    assert "listener broke" in caplog.text


def test_a_listener_that_fails_before_a_tool_denies_the_call(drive):
    def fail(payload):
        if payload.event is LifecycleEvent.PRE_TOOL_USE:
            raise LookupError("guard broke")

    ran = drive(drive.text([APPLE, DONE]), tools=shop(), hooks=[hook(on_event=fail)])
    assert ran.steps[0].tool_result.error_kind is ErrorKind.PERMISSION_DENIED
    assert "guard broke" in ran.steps[0].tool_result.error


def test_a_tool_failure_has_an_event_of_its_own(drive):
    seen: list[str] = []
    drive(drive.text([call("price", fruit="plum"), DONE]), tools=shop(), hooks=[Listener(seen)])
    assert "<post_tool_failure>" in seen
    assert "<post_tool_use>" not in seen


def test_a_hook_with_the_method_gets_no_event_for_it(drive):
    seen: list[str] = []
    both = hook(
        on_event=lambda payload: seen.append(payload.event.value),
        pre_dispatch=lambda *args: None,
        post_dispatch=lambda *args: None,
    )
    drive(drive.text([APPLE, DONE]), tools=shop(), hooks=[both])
    assert "pre_tool_use" not in seen
    assert "post_tool_use" not in seen


def test_an_object_without_a_hook_method_warns_and_guesses(drive):
    class Typo:
        def post_dispach(self):
            return None

    with pytest.warns(UserWarning, match="did you mean 'post_dispatch'"):
        drive(drive.text([DONE]), tools=shop(), hooks=[Typo()])


def test_step_context_lives_for_one_turn(drive):
    seen = []

    def after(state, session_log, tool_call, tool_result, step_num):
        state.step_context["note"] = step_num

    hooks = [
        hook(pre_prompt=lambda state, *args: seen.append(dict(state.step_context))),
        hook(post_dispatch=after),
        hook(should_stop=lambda state, *args: seen.append(dict(state.step_context))),
    ]
    drive(drive.text([APPLE, DONE]), tools=shop(), hooks=hooks)
    assert seen == [{}, {"note": 1}, {}]


def test_on_loop_end_may_add_calls_to_the_count():
    from looplet.testing import MockLLMBackend

    loop = composable_loop(
        MockLLMBackend([DONE]), tools=shop(), hooks=[hook(on_loop_end=lambda *args: 3)]
    )
    next(loop)
    with pytest.raises(StopIteration) as end:
        next(loop)
    assert end.value.value["llm_calls"] == 4


def test_new_entities_reach_should_stop_and_the_log(drive):
    seen = []
    config = LoopConfig(
        extract_entities=lambda data: [data["fruit"]] if "fruit" in data else [],
        extract_step_metadata=lambda state, step: {"seen": step.number},
    )
    ran = drive(
        drive.text([APPLE, DONE]),
        tools=shop(),
        config=config,
        hooks=[hook(should_stop=lambda state, step_num, new: seen.append(list(new)))],
    )
    assert seen == [["apple"]]
    assert ran.steps[0].tool_result.metadata == {"seen": 1}


def test_an_async_hook_is_awaited_in_every_slot():
    import asyncio

    from looplet.testing import AsyncMockLLMBackend

    seen: list[str] = []

    class Slow:
        async def on_event(self, payload):
            await asyncio.sleep(0)
            seen.append(f"<{payload.event.value}>")

    def add(slot):
        async def method(self, *args, **keywords):
            await asyncio.sleep(0)
            seen.append(slot)

        setattr(Slow, slot, method)

    for slot in SLOTS:
        if slot != "on_event":
            add(slot)

    async def run():
        llm = AsyncMockLLMBackend([APPLE, DONE], cycle=False)
        return [step async for step in async_composable_loop(llm, tools=shop(), hooks=[Slow()])]

    steps = asyncio.run(run())
    assert [step.tool_call.tool for step in steps] == ["price", "done"]
    plain = {"on_event", "on_chunk"}  # the first is seen as events; nothing streams here
    assert {slot for slot in SLOTS if slot not in plain} <= set(seen)
    assert {"<session_start>", "<stop>", "<done_accepted>"} <= set(seen)


def test_the_sync_loop_refuses_an_async_hook_by_name():
    from looplet.testing import MockLLMBackend

    class Slow:
        async def pre_prompt(self, state, session_log, context, step_num):
            return None

    with pytest.raises(TypeError, match=r"Slow\.pre_prompt"):
        next(composable_loop(MockLLMBackend([DONE]), tools=shop(), hooks=[Slow()]))


def test_the_sync_loop_refuses_an_awaitable_that_a_plain_hook_returned():
    from looplet.testing import MockLLMBackend

    async def later():
        return None

    sly = hook(pre_prompt=lambda *args: later())
    with pytest.raises(TypeError, match=r"Given\.pre_prompt"):
        next(composable_loop(MockLLMBackend([DONE]), tools=shop(), hooks=[sly]))


def test_a_wrong_value_from_on_event_names_the_method_and_spares_no_ending(drive):
    ended = []
    hooks = [
        hook(on_event=lambda payload: "text"),
        hook(on_loop_end=lambda *args: ended.append(1)),
    ]
    ran = drive(drive.text([DONE]), tools=shop(), hooks=hooks)
    assert isinstance(ran.error, TypeError)
    assert "Given.on_event" in str(ran.error)
    assert ended == [1]


def test_a_bare_argument_has_its_name_before_permission_is_checked(drive):
    seen = []
    reply = json.dumps({"tool": "price", "args": "apple"})
    check = hook(check_permission=lambda call, state: seen.append(dict(call.args)))
    ran = drive(drive.text([reply, DONE]), tools=shop(), hooks=[check])
    assert seen == [{"fruit": "apple"}]
    assert ran.steps[0].tool_call.args == {"fruit": "apple"}


def test_what_hooks_put_around_a_tool_is_entered_where_it_runs_and_always_left(drive):
    where: ContextVar[str] = ContextVar("where", default="nowhere")
    seen: list[Any] = []

    class Around:
        @contextmanager
        def around_tool(self, tool_call, step_num):
            token = where.set(f"step {step_num}")
            try:
                yield
            except LookupError as error:
                seen.append(f"heard {error.args[0]}")
            finally:
                where.reset(token)

    @tool(concurrent_safe=True)
    def look(fruit: str) -> str:
        seen.append((fruit, where.get()))
        if fruit == "plum":
            raise LookupError(fruit)
        return where.get()

    llm = drive.text([json.dumps({"tools": [
        {"tool": "look", "args": {"fruit": fruit}} for fruit in ("apple", "pear", "plum")
    ]}), DONE])  # fmt: skip
    tools = tools_from([look], include_done=True)
    config = LoopConfig(concurrent_dispatch=True)
    hooks = [Around(), hook(around_tool=lambda *args: None)]
    ran = drive(llm, tools=tools, hooks=hooks, config=config)
    assert sorted(map(str, seen)) == sorted(
        map(str, [("apple", "step 1"), ("pear", "step 2"), ("plum", "step 3"), "heard plum"])
    )
    assert ran.steps[2].tool_result.error == "LookupError: plum"
    assert where.get() == "nowhere"


def test_what_is_around_a_tool_is_not_around_calls_that_it_makes_itself(drive):
    entered: list[str] = []

    class Around:
        def around_tool(self, tool_call, step_num):
            entered.append(tool_call.tool)
            return nullcontext()

    inner = tools_from([price])

    @tool
    def ask(ctx: Any) -> Any:
        return inner.dispatch(ToolCall("price", {"fruit": "pear"}), ctx=ctx).data

    llm = drive.text([json.dumps({"tool": "ask", "args": {}}), DONE])
    drive(llm, tools=tools_from([ask], include_done=True), hooks=[Around()])
    assert entered == ["ask", "done"]


def test_what_goes_wrong_around_a_tool_is_the_hooks_and_ends_the_run(drive):
    for wrong, error in ((lambda *args: 1, TypeError), (lambda *args: {}["x"], KeyError)):
        ran = drive(drive.text([APPLE]), tools=shop(), hooks=[hook(around_tool=wrong)])
        assert isinstance(ran.error, error)
        assert (ran.steps, ran.stop_reason) == ([], "error")


def test_an_async_method_around_a_tool_is_refused_by_name(drive):
    class Around:
        async def around_tool(self, tool_call, step_num): ...

    ran = drive(drive.text([DONE]), tools=shop(), hooks=[Around()])
    assert isinstance(ran.error, TypeError)
    assert "Around.around_tool" in str(ran.error)


def test_hooks_of_the_configuration_come_after_those_given(drive):
    heard = []

    class Hears:
        def __init__(self, name):
            self.name = name

        def pre_loop(self, state, session_log, context):
            heard.append(self.name)

    config = LoopConfig(hooks=[Hears("config")])
    llm, tools = drive.text([call("done")]), tools_from([price], include_done=True)
    drive(llm, tools=tools, hooks=[Hears("given")], config=config)
    assert heard == ["given", "config"]


def test_a_tool_beside_a_refused_call_is_told_its_own_step(drive):
    told = {}

    @tool(concurrent_safe=True)
    def look(fruit: str) -> str:
        """Look at a fruit."""
        return fruit

    class Around:
        def around_tool(self, tool_call, step_num):
            told[tool_call.args["fruit"]] = step_num
            return nullcontext()

        def pre_dispatch(self, state, session_log, tool_call, step_num):
            if tool_call.args.get("fruit") == "kiwi":
                return ToolResult("look", "", "no kiwis")
            return None

    calls = [{"tool": "look", "args": {"fruit": each}} for each in ("pear", "kiwi", "fig")]
    llm = drive.text([json.dumps({"tools": calls}), call("done")])
    config = LoopConfig(concurrent_dispatch=True)
    tools = tools_from([look], include_done=True)
    ran = drive(llm, tools=tools, hooks=[Around()], config=config)
    steps = {step.tool_call.args.get("fruit"): step.number for step in ran.steps[:3]}
    assert steps == {"pear": 1, "kiwi": 2, "fig": 3}
    assert told == {"pear": 1, "fig": 3}


def test_every_step_is_told_before_it_is_yielded_with_the_briefing_of_its_own_turn(drive):
    told: list[Any] = []
    tools = shop()

    class Briefs:
        rejected = False

        def pre_prompt(self, state, session_log, context, step_num):
            return f"turn of {step_num}"

        def check_done(self, state, session_log, context, step_num):
            first, self.rejected = not self.rejected, True
            return "not yet" if first else None

        def on_step(self, state, session_log, step, briefing):
            assert state.steps[-1] is step
            assert session_log.entries[-1].step == step.number
            told.append((step.number, step.tool_call.tool, briefing.splitlines()[0]))

    both = json.dumps({"tools": [json.loads(APPLE)] * 2})
    replies = [both, "?", "??", "???", DONE, TypeError("gone")]
    ran = drive(
        drive.text(replies),
        tools=tools,
        hooks=[Briefs()],
        on_step=lambda step: told.append(f"yield {step.number}"),
    )
    assert ran.stop_reason == "llm_error"
    assert told == [
        (1, "price", "turn of 1"), "yield 1",
        (2, "price", "turn of 1"), "yield 2",
        (3, "__parse_error__", "turn of 3"), "yield 3",
        (4, "done", "turn of 4"), "yield 4",
        (5, "__llm_error__", "turn of 5"), "yield 5",
    ]  # fmt: skip


def test_a_step_is_told_before_its_checkpoint_is_written(drive, tmp_path):
    kept: list[int] = []

    def on_step(*_: Any) -> None:
        kept.append(len(list(tmp_path.iterdir())))

    config = LoopConfig(checkpoint_dir=tmp_path)
    drive(drive.text([APPLE, DONE]), tools=shop(), hooks=[hook(on_step=on_step)], config=config)
    assert kept == [0, 1]


def test_a_hook_that_fails_at_a_step_ends_the_run_before_the_step_is_yielded(drive):
    ran = drive(drive.text([APPLE, DONE]), tools=shop(), hooks=[hook(on_step=lambda *a: {}["x"])])
    assert isinstance(ran.error, KeyError)
    assert (ran.steps, len(ran.state.steps), ran.stop_reason) == ([], 1, "error")


def test_an_interrupted_attempt_is_told_and_the_interrupt_leaves_whatever_a_hook_does(drive):
    tools, told = shop(), []

    @tools.tool
    def wait() -> None:
        raise KeyboardInterrupt

    def on_step(state, session_log, step, briefing):
        told.append(step.tool_call.tool)
        raise OSError("disk full")

    llm = drive.text([json.dumps({"tool": "wait", "args": {}})])
    ran = drive(llm, tools=tools, hooks=[hook(on_step=on_step)])
    assert isinstance(ran.error, KeyboardInterrupt)
    assert (told, ran.stop_reason) == (["wait"], "interrupted")


def test_a_state_tells_which_tool_ends_the_run(drive):
    finish = json.dumps({"tool": "finish", "args": {"summary": "x"}})
    tools = tools_from([], include_done=True, done_name="finish")
    ran = drive(drive.text([finish]), tools=tools, config=LoopConfig(done_tool="finish"))
    assert (ran.stop_reason, ran.state._done_tool) == ("done", "finish")
