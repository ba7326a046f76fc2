"""The loop's guarantees, each through both drivers."""

from __future__ import annotations

import json
from typing import Any

import pytest

from looplet import (
    BaseToolRegistry,
    CancelToken,
    DefaultState,
    ErrorKind,
    LoopConfig,
    SessionLog,
    StaticMemorySource,
    composable_loop,
    tool,
    tools_from,
)
from looplet.core.config import LoopConfig as Config
from looplet.errors import BackendRefused, BackendUnreachable

PRICES = {"apple": 0.4, "pear": 0.55}


@tool
def price(fruit: str) -> dict:
    """Price of one piece of fruit, in euro."""
    return {"fruit": fruit, "euro": PRICES[fruit]}


def shop() -> BaseToolRegistry:
    return tools_from([price], include_done=True)


def call(name: str, **args: Any) -> str:
    return json.dumps({"tool": name, "args": args})


def several(*calls: tuple[str, dict[str, Any]]) -> str:
    return json.dumps({"tools": [{"tool": name, "args": args} for name, args in calls]})


DONE = call("done", summary="all priced")


class Watcher:
    """Counts the ends of a run and keeps the reason that STOP told."""

    def __init__(self) -> None:
        self.ends = 0
        self.stops: list[str | None] = []
        self.done = 0

    def on_loop_end(self, state: Any, session_log: Any, context: Any, llm: Any) -> None:
        self.ends += 1

    def on_event(self, payload: Any) -> None:
        if payload.event.value == "stop":
            self.stops.append(payload.termination_reason)
        if payload.event.value == "done_accepted":
            self.done += 1


def test_a_step_is_yielded_for_each_call_until_done(drive):
    llm = drive.text([call("price", fruit="apple"), call("price", fruit="pear"), DONE])
    ran = drive(llm, tools=shop(), task={"goal": "price all"})
    assert ran.tools == ["price", "price", "done"]
    assert [step.number for step in ran.steps] == [1, 2, 3]
    assert ran.steps[0].tool_result.data == {"fruit": "apple", "euro": 0.4}
    assert ran.steps[2].tool_result.data == {"status": "completed", "summary": "all priced"}
    assert ran.stop_reason == "done"
    assert ran.state.steps == ran.steps


def test_nothing_happens_before_the_first_next():
    loop = composable_loop(llm=object(), tools=None)
    with pytest.raises(TypeError, match="generate"):
        next(loop)


def test_a_missing_registry_is_named(drive):
    ran = drive(drive.text([DONE]), tools=None)
    assert isinstance(ran.error, ValueError)
    assert "tools_from" in str(ran.error)


def test_a_stream_that_is_no_emitter_is_refused(drive):
    ran = drive(drive.text([DONE]), tools=shop(), stream=object())
    assert isinstance(ran.error, TypeError)
    assert "CallbackEmitter" in str(ran.error)


def test_an_async_backend_under_the_sync_loop_is_refused_by_name():
    from looplet.testing import AsyncMockLLMBackend

    with pytest.raises(TypeError, match="async_composable_loop"):
        next(composable_loop(AsyncMockLLMBackend([DONE]), tools=shop()))


def test_a_registry_without_done_warns(drive):
    with pytest.warns(UserWarning, match="include_done"):
        drive(drive.text([call("price", fruit="apple")]), tools=tools_from([price]), max_steps=1)


def test_zero_steps_ask_nothing_and_still_end_once(drive):
    llm, watcher = drive.text([DONE]), Watcher()
    ran = drive(llm, tools=shop(), max_steps=0, state=DefaultState(max_steps=0), hooks=[watcher])
    assert (ran.steps, llm.calls, watcher.ends) == ([], 0, 1)
    assert ran.stop_reason == "budget_exhausted"


def test_the_budget_ends_the_run(drive):
    llm = drive.text([call("price", fruit="apple")] * 3)
    ran = drive(llm, tools=shop(), max_steps=2)
    assert len(ran.steps) == 2
    assert ran.stop_reason == "budget_exhausted"


def test_a_turn_never_runs_past_max_steps_and_names_what_it_left(drive):
    many = several(*[("price", {"fruit": "apple"})] * 5)
    ran = drive(drive.text([many]), tools=shop(), max_steps=3)
    assert len(ran.steps) == 3
    assert ran.steps[-1].tool_result.warnings == ["not run: price, price"]


def test_calls_after_done_are_not_run_and_are_named(drive):
    reply = several(
        ("price", {"fruit": "apple"}), ("done", {"summary": "x"}), ("price", {"fruit": "pear"})
    )
    ran = drive(drive.text([reply]), tools=shop())
    assert ran.tools == ["price", "done"]
    assert ran.steps[-1].tool_result.warnings == ["not run: price"]
    assert ran.stop_reason == "done"


def test_calls_left_by_a_rejected_done_are_in_the_next_prompt(drive):
    class Never:
        asked = 0

        def check_done(self, state, session_log, context, step_num):
            self.asked += 1
            return "look at pears too" if self.asked == 1 else None

    reply = several(("done", {"summary": "x"}), ("price", {"fruit": "pear"}))
    llm = drive.text([reply, DONE])
    ran = drive(llm, tools=shop(), hooks=[Never()])
    assert ran.steps[0].tool_result.data == {"rejected": True, "reason": "look at pears too"}
    assert ran.steps[0].tool_result.args_summary == "rejected"
    assert "not run: price" in llm.last_prompt
    assert "look at pears too" in llm.last_prompt
    assert ran.stop_reason == "done"


@pytest.mark.parametrize(
    ("config", "bad", "reason"),
    [
        (
            {"output_schema": {"properties": {"summary": {"type": "integer"}}}},
            call("done", summary="x"),
            "integer",
        ),
        ({}, call("done", summery="x"), "unexpected argument"),
        ({}, call("done", summary=""), "empty"),
    ],
)
def test_a_done_that_fails_its_checks_is_a_rejection_not_a_completion(drive, config, bad, reason):
    ran = drive(drive.text([bad]), tools=shop(), config=LoopConfig(max_steps=1, **config))
    assert ran.steps[0].tool_result.data["rejected"] is True
    assert reason in ran.steps[0].tool_result.data["reason"]
    assert ran.stop_reason == "budget_exhausted"


def test_a_done_tool_that_raises_is_a_rejection(drive):
    tools = tools_from([price])

    @tools.tool
    def done(summary: str) -> dict:
        raise RuntimeError("not yet")

    ran = drive(drive.text([DONE]), tools=tools, max_steps=1)
    assert "not yet" in ran.steps[0].tool_result.data["reason"]
    assert ran.stop_reason == "budget_exhausted"


def test_an_unregistered_done_is_an_unknown_tool(drive):
    with pytest.warns(UserWarning, match="done"):
        ran = drive(drive.text([DONE]), tools=tools_from([price]), max_steps=1)
    assert "Unknown tool" in ran.steps[0].tool_result.error
    assert ran.stop_reason == "budget_exhausted"


def test_leaving_the_loop_finalises_exactly_once(drive):
    watcher = Watcher()
    llm = drive.text([call("price", fruit="apple")] * 3)
    ran = drive(llm, tools=shop(), hooks=[watcher], leave_after=1)
    assert (watcher.ends, watcher.stops) == (1, ["stream_closed"])
    assert ran.stop_reason == "stream_closed"
    assert len(ran.state.steps) == 1


def test_leaving_at_an_accepted_done_keeps_done_and_announces_it(drive):
    watcher = Watcher()
    ran = drive(drive.text([DONE]), tools=shop(), hooks=[watcher], leave_after=1)
    assert ran.stop_reason == "done"
    assert (watcher.done, watcher.ends, watcher.stops) == (1, 1, ["done"])


@pytest.mark.parametrize("slot", ["pre_loop", "pre_prompt", "pre_dispatch", "should_stop"])
def test_a_hook_that_raises_finalises_and_then_leaves(drive, slot):
    def fail(*args: Any) -> None:
        raise LookupError("broken hook")

    hook, watcher = type("Broken", (), {slot: staticmethod(fail)})(), Watcher()
    ran = drive(drive.text([call("price", fruit="apple")]), tools=shop(), hooks=[hook, watcher])
    assert isinstance(ran.error, LookupError)
    assert (watcher.ends, watcher.stops) == (1, ["error"])


def test_an_on_loop_end_that_raises_does_not_spare_the_others(drive):
    class Broken:
        def on_loop_end(self, state, session_log, context, llm):
            raise LookupError("late")

    watcher = Watcher()
    ran = drive(drive.text([DONE]), tools=shop(), hooks=[Broken(), watcher])
    assert isinstance(ran.error, LookupError)
    assert watcher.ends == 1
    assert ran.stop_reason == "done"


@pytest.mark.parametrize("leaving", [False, True])
def test_what_several_ends_raise_is_noted_on_what_is_raised(drive, leaving):
    class Broken:
        def __init__(self, text):
            self.text = text

        def on_loop_end(self, state, session_log, context, llm):
            raise LookupError(self.text)

    class Leaves:
        def pre_prompt(self, *args, **keywords):
            raise OSError("gone")

    hooks = [*[Leaves()] * leaving, Broken("one"), Broken("two"), Broken("three")]
    ran = drive(drive.text([DONE]), tools=shop(), hooks=hooks)
    noted = ["and then: LookupError: two", "and then: LookupError: three"]
    if leaving:
        assert str(ran.error) == "gone"
        assert ran.error.__notes__ == ["while the run was ended: LookupError: one", *noted]
    else:
        assert str(ran.error) == "one"
        assert ran.error.__notes__ == noted


@pytest.mark.parametrize("interrupt", [KeyboardInterrupt, SystemExit])
def test_a_tool_that_is_interrupted_is_kept_as_a_step(interrupt):
    # The sync driver alone: asyncio.run turns an interrupt into its own shutdown.
    tools = shop()

    @tools.tool
    def wait() -> dict:
        raise interrupt

    watcher, state = Watcher(), DefaultState()
    from looplet.testing import MockLLMBackend

    with pytest.raises(interrupt):
        list(
            composable_loop(
                MockLLMBackend([call("wait")]), tools=tools, hooks=[watcher], state=state
            )
        )
    assert [step.tool_call.tool for step in state.steps] == ["wait"]
    assert state._stop_reason == "interrupted"
    assert watcher.ends == 1


def test_a_transient_failure_is_asked_again_after_one_and_two_seconds(drive, clock):
    llm = drive.text([ConnectionError("down"), ConnectionError("down"), DONE])
    ran = drive(llm, tools=shop(), config=LoopConfig(runtime=clock.runtime))
    assert ran.stop_reason == "done"
    assert clock.pauses == [1.0, 2.0]


def test_a_provider_that_says_when_to_come_back_is_listened_to(drive, clock):
    llm = drive.text([BackendRefused("slow down", status=429, retry_after=7.0), DONE])
    ran = drive(llm, tools=shop(), config=LoopConfig(runtime=clock.runtime))
    assert ran.stop_reason == "done"
    assert clock.pauses == [7.0]


def test_a_call_that_fails_for_good_is_a_step_of_its_own(drive, clock):
    llm, watcher = drive.text([BackendUnreachable("nobody at 127.0.0.1:1")] * 3), Watcher()
    ran = drive(llm, tools=shop(), hooks=[watcher], config=LoopConfig(runtime=clock.runtime))
    (step,) = ran.steps
    assert step.tool_call.tool == "__llm_error__"
    assert step.tool_result.error.startswith("LLM call failed after all retry attempts")
    assert "BackendUnreachable: nobody at 127.0.0.1:1" in step.tool_result.error
    assert step.tool_result.error_kind is ErrorKind.NETWORK
    assert step.tool_result.error_detail.context["attempts"] == 3
    assert ran.stop_reason == "llm_error"
    assert watcher.stops == ["llm_error"]


@pytest.mark.parametrize(
    "error",
    [
        BackendRefused("no such model", status=404),
        BackendRefused("bad key", status=401),
        TypeError("generate() got an unexpected keyword"),
    ],
)
def test_a_permanent_failure_is_not_asked_again(drive, clock, error):
    llm = drive.text([error, DONE])
    ran = drive(llm, tools=shop(), config=LoopConfig(runtime=clock.runtime))
    assert (llm.calls, clock.pauses) == (1, [])
    assert ran.steps[0].tool_result.error_detail.context["attempts"] == 1
    assert ran.stop_reason == "llm_error"


def test_a_reply_without_a_call_is_repaired_at_the_recovery_temperature(drive):
    llm = drive.native(["I shall look at apples.", DONE])
    config = LoopConfig(recovery_temperature=0.05)
    ran = drive(llm, tools=shop(), config=config)
    assert ran.tools == ["done"]
    assert [request.temperature for request in llm.requests] == [0.2, 0.05]
    assert "I shall look at apples." in llm.requests[1].prompt


def test_three_unreadable_replies_make_a_step_and_the_run_goes_on(drive):
    llm = drive.text(["one", "two", "three", DONE])
    ran = drive(llm, tools=shop())
    assert ran.tools == ["__parse_error__", "done"]
    assert ran.steps[0].tool_result.error_kind is ErrorKind.PARSE
    assert "three" in ran.steps[0].tool_result.error
    assert llm.calls == 4


def test_a_tools_error_reaches_the_model_with_its_kind(drive):
    llm = drive.text([call("price", fruit="plum"), DONE])
    ran = drive(llm, tools=shop())
    assert ran.steps[0].tool_result.error == "KeyError: 'plum'"
    assert "S1 ✗ price(fruit=plum) → ERROR: KeyError: 'plum'" in llm.last_prompt


def test_a_cancelled_run_ends_before_the_next_call(drive):
    token = CancelToken()

    class Cancel:
        def post_dispatch(self, state, session_log, tool_call, tool_result, step_num):
            token.cancel()

    reply = several(("price", {"fruit": "apple"}), ("price", {"fruit": "pear"}))
    llm = drive.text([reply, DONE])
    ran = drive(llm, tools=shop(), hooks=[Cancel()], config=LoopConfig(cancel_token=token))
    assert ran.tools == ["price"]
    assert ran.stop_reason == "cancelled"
    assert ran.steps[0].tool_result.warnings == ["not run: price"]


def test_a_pause_before_a_retry_ends_when_the_run_is_cancelled(drive, clock):
    token = CancelToken()
    runtime = clock.runtime

    def sleep_and_cancel(seconds: float) -> None:
        clock.sleep(seconds)
        token.cancel()

    from dataclasses import replace

    config = LoopConfig(cancel_token=token, runtime=replace(runtime, sleep=sleep_and_cancel))
    llm = drive.text([ConnectionError("down")] * 3)
    ran = drive(llm, tools=shop(), config=config)
    assert (llm.calls, ran.stop_reason) == (1, "cancelled")


def test_config_and_task_are_never_changed(drive):
    config = LoopConfig(max_steps=9, system_prompt="one")
    before, task = Config(**vars(config)), {"goal": "x", "n": [1]}
    tools = shop()
    ran = drive(
        drive.text([DONE]), tools=tools, task=task, config=config, max_steps=4, system_prompt="two"
    )
    assert config == before
    assert task == {"goal": "x", "n": [1]}
    assert tools.tool_names == ["price", "done"]
    assert ran.state.task is task


def test_max_steps_and_system_prompt_apply_to_this_run(drive):
    llm = drive.text([call("price", fruit="apple")])
    ran = drive(llm, tools=shop(), max_steps=1, system_prompt="Be brief.")
    assert llm.last_system_prompt == "Be brief."
    assert len(ran.steps) == 1


def test_a_state_that_disagrees_about_the_budget_is_told(drive):
    state = DefaultState(max_steps=3)
    with pytest.warns(UserWarning, match="max_steps"):
        drive(drive.text([DONE]), tools=shop(), state=state, config=LoopConfig(max_steps=5))
    assert state.max_steps == 5


def test_a_text_task_becomes_a_description(drive):
    llm = drive.text([DONE])
    ran = drive(llm, tools=shop(), task="Count {braces} and 50%")
    assert ran.state.task == {"description": "Count {braces} and 50%"}
    assert "description: Count {braces} and 50%" in llm.last_prompt


def test_all_task_values_are_shown(drive):
    llm = drive.text([DONE])
    drive(llm, tools=shop(), task={"zero": 0, "no": False, "list": [1, {"a": "é"}], "text": "x{y}"})
    for line in ("zero: 0", "no: False", 'list: [1, {"a": "é"}]', "text: x{y}"):
        assert line in llm.last_prompt


def test_the_default_prompt_has_its_sections_in_order(drive):
    llm = drive.text([call("price", fruit="apple"), DONE])
    log = SessionLog()
    log.record(step=0, tool="note", findings=["apples are cheap"])

    class Brief:
        def pre_prompt(self, state, session_log, context, step_num):
            return "mind the pears"

    config = LoopConfig(
        max_steps=3,
        memory_sources=[StaticMemorySource("Prices are in euro.")],
        acceptance_criteria=["every fruit has a price"],
    )
    drive(llm, tools=shop(), task={"goal": "g"}, session_log=log, hooks=[Brief()], config=config)
    titles = [
        "MEMORY", "TASK", "Accepted when:", "TOOLS", "ESTABLISHED FACTS", "SESSION LOG",
        "ASSESSMENT", "RECENT RESULTS", "STEP 2/3", "Low budget: 2 steps are left",
    ]  # fmt: skip
    places = [llm.last_prompt.index(title) for title in titles]
    assert places == sorted(places)


def test_prompts_stay_bounded_however_long_the_run(drive):
    class Lengths:
        def __init__(self):
            self.seen = []

        def on_event(self, payload):
            if payload.event.value == "pre_llm_call":
                self.seen.append(len(payload.prompt))

    lengths = Lengths()
    llm = drive.text([call("price", fruit="apple")] * 120)
    drive(llm, tools=shop(), max_steps=120, hooks=[lengths])
    assert max(lengths.seen[60:110]) <= max(lengths.seen[20:40]) + 40


def test_the_theory_is_seen_by_hooks_and_is_no_argument(drive):
    seen = []

    class Look:
        def pre_dispatch(self, state, session_log, tool_call, step_num):
            seen.append(tool_call.args["__theory__"])

    reply = json.dumps({"tool": "price", "args": {"fruit": "apple"}, "theory": "apples first"})
    log = SessionLog()
    ran = drive(drive.text([reply, DONE]), tools=shop(), hooks=[Look()], session_log=log)
    step = ran.steps[0]
    assert seen == ["apples first"]
    assert step.tool_result.error is None
    assert step.tool_call.to_dict()["args"] == {"fruit": "apple"}
    assert step.tool_call.metadata["theory"] == "apples first"
    assert "theory" not in step.pretty()
    assert log.entries[0].theory == "apples first"


def test_usage_is_the_providers_or_a_marked_estimate(drive):
    llm = drive.text(["not a call", DONE])
    ran = drive(llm, tools=shop())
    usage = ran.steps[0].usage
    assert usage.estimated
    assert usage.input_tokens > 100
    assert usage.total_tokens == usage.input_tokens + usage.output_tokens


def test_concurrent_calls_keep_their_order_and_the_budget(drive):
    import threading

    together = threading.Barrier(3, timeout=5)
    tools = shop()

    @tools.tool(concurrent_safe=True)
    def meet(name: str) -> dict:
        together.wait()
        return {"name": name}

    reply = several(*[("meet", {"name": name}) for name in "abcd"])
    ran = drive(
        drive.text([reply]), tools=tools, config=LoopConfig(max_steps=3, concurrent_dispatch=True)
    )
    assert [step.tool_result.data for step in ran.steps] == [{"name": name} for name in "abc"]
    assert ran.steps[-1].tool_result.warnings == ["not run: meet"]


def test_a_tool_reaches_the_run_through_its_context(drive):
    tools, told = shop(), []

    @tools.tool
    def look(ctx) -> dict:
        ctx.report_progress("half", 50)
        ctx.warn("dusty")
        return {"metadata": ctx.metadata, "approved": ctx.approve("May I?", ["yes"])}

    class Progress:
        def on_event(self, payload):
            if payload.event.value == "tool_progress":
                told.append((payload.tool_call.tool, payload.extra["stage"], payload.extra["data"]))

    config = LoopConfig(
        max_steps=2,
        tool_metadata={"a": 1, "b": 1},
        approval_handler=lambda prompt, options: options[0],
    )
    state = DefaultState(max_steps=2, metadata={"b": 2})
    ran = drive(
        drive.text([call("look"), DONE]),
        tools=tools,
        config=config,
        state=state,
        hooks=[Progress()],
    )
    result = ran.steps[0].tool_result
    assert result.data == {"metadata": {"a": 1, "b": 2}, "approved": "yes"}
    assert result.warnings == ["dusty"]
    assert told == [("look", "half", 50)]


def test_free_tools_do_not_count_as_queries(drive):
    tools = tools_from([price], include_think=True, include_done=True)
    llm = drive.text([call("think", analysis="hm"), call("price", fruit="apple")])
    ran = drive(llm, tools=tools, max_steps=2)
    assert ran.state.queries_used == 1


def test_log_and_conversation_are_written_before_the_step_is_yielded(drive):
    from looplet import Conversation

    log, talk = SessionLog(), Conversation()
    llm = drive.text([call("price", fruit="apple"), DONE])
    drive(llm, tools=shop(), session_log=log, conversation=talk, leave_after=1)
    assert [entry.tool for entry in log.entries] == ["price"]
    assert [message.role.value for message in talk.messages] == ["user", "assistant", "tool"]


def test_the_sync_generator_returns_what_the_contract_says():
    from looplet.testing import MockLLMBackend

    def run(**options: Any) -> Any:
        loop = composable_loop(MockLLMBackend([DONE]), tools=shop(), task={"goal": "g"}, **options)
        while True:
            try:
                next(loop)
            except StopIteration as end:
                return end.value

    value = run()
    assert set(value) == {"task", "steps", "llm_calls", "total_time_ms", "conversation"}
    assert value["llm_calls"] == 1
    assert value["steps"][0]["tool_call"]["tool"] == "done"
    assert run(config=LoopConfig(build_trace=lambda **kw: kw["done"])) is True


def test_long_results_are_shortened_for_the_prompt_alone(drive):
    tools = shop()

    @tools.tool
    def rows() -> list:
        return list(range(500))

    llm = drive.text([call("rows"), DONE])
    ran = drive(llm, tools=tools)
    assert ran.steps[0].tool_result.data == list(range(500))
    assert "450 more rows are not shown" in llm.last_prompt
    assert "499" not in llm.last_prompt


class CutShort:
    """Says of its first replies that the token limit ended them."""

    def __init__(self, inner: Any, times: int) -> None:
        self.inner, self.left = inner, times

    @property
    def last_stop_reason(self) -> str:
        self.left -= 1
        return "max_tokens" if self.left >= 0 else "end_turn"


class SyncCutShort(CutShort):
    def generate(self, prompt, *, max_tokens, system_prompt, temperature):
        return self.inner.generate(prompt)


class AsyncCutShort(CutShort):
    async def generate(self, prompt, *, max_tokens, system_prompt, temperature):
        return await self.inner.generate(prompt)


def test_a_reply_that_was_cut_short_is_continued_and_joined(drive):
    parts = [DONE[:12], DONE[12:30], DONE[30:]]
    llm = drive.text(parts)
    kind = AsyncCutShort if type(drive).__name__ == "Async" else SyncCutShort
    ran = drive(kind(llm, 2), tools=shop(), config=LoopConfig(max_turn_continuations=3))
    assert ran.tools == ["done"]
    assert ran.steps[0].tool_call.args == {"summary": "all priced"}
    assert llm.calls == 3
    assert DONE[:30] in llm.last_prompt


def test_continuations_end_at_their_limit(drive):
    llm = drive.text(["a", "b", "c", DONE])
    kind = AsyncCutShort if type(drive).__name__ == "Async" else SyncCutShort
    ran = drive(kind(llm, 9), tools=shop(), config=LoopConfig(max_turn_continuations=1))
    assert ran.tools == ["done"]
    assert llm.calls == 4
    assert "Your reply began: c" in llm.last_prompt


def test_a_domain_stands_in_where_the_config_says_nothing(drive):
    from looplet.core.domain import DomainAdapter

    domain = DomainAdapter(
        build_briefing=lambda state, log, context: "from the domain",
        extract_step_metadata=lambda state, step: {"seen": "domain"},
    )
    own = LoopConfig(domain=domain, build_briefing=lambda state, log, context: "my own")
    llm = drive.text([DONE])
    ran = drive(llm, tools=shop(), config=own)
    assert "my own" in llm.last_prompt
    assert ran.steps[0].tool_result.metadata == {"seen": "domain"}
    llm = drive.text([DONE])
    drive(llm, tools=shop(), config=LoopConfig(domain=domain))
    assert "from the domain" in llm.last_prompt
    assert own.extract_step_metadata is None
