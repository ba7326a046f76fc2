"""Guarantee 30: what one driver does, the other does. Random runs, each through all three."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass, fields
from typing import Any

from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

from looplet import (
    CancelToken,
    Deny,
    HookDecision,
    InjectContext,
    LoopConfig,
    SessionLog,
    Stop,
    ToolContext,
    ToolResult,
    tools_from,
)
from looplet.core.conversation import Conversation
from looplet.errors import BackendRefused
from tests.drivers import DRIVERS, Clock
from tests.guarantees.parts import heard

CALLS = st.one_of(
    st.builds(lambda n: ("work", {"n": n}), st.integers(0, 2) | st.just("wrong type")),
    st.builds(lambda n: ("safe", {"n": n}), st.integers(0, 4)),
    st.sampled_from(
        [
            ("later", {"n": 1}), ("later", {"n": 5}), ("fail", {}), ("slow", {}), ("abort", {}),
            ("wrok", {"n": 1}), ("long", {}), ("done", {"summary": "x"}), ("done", {}),
            ("done", {"summary": ""}), ("bare", "a text"), ("free", {}),
        ]
    ),
)  # fmt: skip
GARBAGE = st.sampled_from(["no call in this", "", '{"tool": ', "[1, 2]", '{"tools": []}', "{}"])
FAILURES = st.builds(
    lambda make: make(),
    st.sampled_from(
        [
            lambda: ConnectionError("down"), lambda: TypeError("bad call"),
            lambda: BackendRefused("prompt too long", status=413),
            lambda: BackendRefused("no", status=400),
            lambda: BackendRefused("slow down", status=429, retry_after=5.0),
        ]
    ),
)  # fmt: skip
SAFE = st.builds(
    lambda tool, n: (tool, {"n": n}), st.sampled_from(["safe", "later"]), st.integers(0, 4)
)
REPLIES = st.lists(
    st.one_of(
        st.lists(CALLS, min_size=1, max_size=5),
        st.lists(SAFE, min_size=2, max_size=5),
        GARBAGE,
        FAILURES,
    ),
    max_size=7,
)
FRESH = ToolResult("hook", "by a hook", {"fresh": True})
NOTHING = [None] * 6
ANY = [
    InjectContext("mind this"), Stop("enough"), Deny("no"), HookDecision(permission="deny"),
    HookDecision(updated_args={"n": 2}), HookDecision(updated_result=FRESH),
    HookDecision(block="no", additional_context="why", stop="both"),
    HookDecision(updated_args={"n": 3}, updated_result=FRESH), LookupError("broken hook"), 17,
]  # fmt: skip
SLOTS: dict[str, list[Any]] = {
    "pre_loop": [], "should_compact": [True, False], "build_briefing": ["brief"],
    "pre_prompt": ["a text", ""], "build_prompt": ["a prompt of my own"], "pre_dispatch": [FRESH],
    "check_permission": [True, False], "post_dispatch": ["a text", FRESH],
    "check_done": ["not yet"], "on_step": [], "should_stop": [True, False], "on_loop_end": [2],
    "session_start": [], "pre_llm_call": [], "post_llm_response": [], "pre_tool_use": [],
    "post_tool_use": [], "post_tool_failure": [], "pre_compact": [], "post_compact": [],
    "tool_progress": [], "hook_decision": [], "done_accepted": [], "stop": [],
}  # fmt: skip
EVENTS = set(list(SLOTS)[list(SLOTS).index("session_start") :])


def answers_for(slots: list[str]) -> st.SearchStrategy[dict[str, list[Any]]]:
    """Mostly nothing and what the slot has a meaning for, and at times anything else."""
    return st.fixed_dictionaries(
        {
            slot: st.lists(
                st.sampled_from(NOTHING * 3 + SLOTS[slot] * 4 + ANY), min_size=1, max_size=5
            )
            for slot in slots
        }
    )


# Few slots at a time: most runs should come further than the first of them.
ANSWERS = st.lists(st.sampled_from(list(SLOTS)), max_size=4, unique=True).flatmap(answers_for)


@dataclass(frozen=True, kw_only=True)
class Scenario:
    """Everything that may differ from run to run."""

    replies: list[Any]
    answers: dict[str, list[Any]]
    native: bool
    takes_messages: bool
    max_steps: int
    concurrent: bool
    cut_short: bool
    continuations: int
    output_schema: dict[str, Any] | None
    context_window: int
    cancel_at: int | None
    leave_after: int | None
    max_briefing_tokens: int | None


SCENARIOS = st.builds(
    Scenario,
    replies=REPLIES,
    answers=ANSWERS,
    native=st.booleans(),
    takes_messages=st.booleans(),
    max_steps=st.sampled_from([0, 1, 2, 3, 5, 7, 9, 9]),
    concurrent=st.booleans(),
    cut_short=st.booleans(),
    continuations=st.integers(0, 2),
    output_schema=st.none() | st.just({"properties": {"summary": {"type": "integer"}}}),
    context_window=st.sampled_from([128_000, 3_100]),
    cancel_at=st.none() | st.none() | st.integers(1, 40),
    leave_after=st.none() | st.none() | st.integers(0, 4),
    max_briefing_tokens=st.none() | st.integers(0, 20),
)


class Answering:
    """A hook that answers each slot and event from a list, in turn, and notes that it was asked."""

    def __init__(self, scenario: Scenario, token: CancelToken, seen: list[Any]) -> None:
        self._scenario, self._token, self._seen = scenario, token, seen
        self._asked: dict[str, int] = {}

    def answer(self, slot: str) -> Any:
        self._seen.append(slot)
        if len(self._seen) == self._scenario.cancel_at:
            self._token.cancel()
        given = self._scenario.answers.get(slot, [None])
        place = self._asked[slot] = self._asked.get(slot, -1) + 1
        value = given[place % len(given)]
        if isinstance(value, Exception):
            raise type(value)(*value.args)
        return value


def hooks_of(answering: Answering, *, asynchronous: bool) -> list[Any]:
    """A hook for methods and one for events; under the async driver they are ``async def``."""

    def method(slot: str) -> Any:
        def plain(self: Any, *args: Any, **keywords: Any) -> Any:
            return answering.answer(slot)

        async def later(self: Any, *args: Any, **keywords: Any) -> Any:
            await asyncio.sleep(0)
            return answering.answer(slot)

        return later if asynchronous else plain

    def on_event(self: Any, payload: Any) -> Any:
        return answering.answer(payload.event.value)

    async def on_event_later(self: Any, payload: Any) -> Any:
        await asyncio.sleep(0)
        return answering.answer(payload.event.value)

    methods = {slot: method(slot) for slot in SLOTS if slot not in EVENTS}
    listen = on_event_later if asynchronous else on_event
    return [type("Methods", (), methods)(), type("Listener", (), {"on_event": listen})()]


def tools_of(token: CancelToken) -> Any:
    tools = tools_from([], include_done=True)

    @tools.tool
    def work(n: int, ctx: ToolContext) -> dict:
        ctx.report_progress("half", n)
        ctx.warn("worked")
        return {"n": n, "metadata": ctx.metadata}

    @tools.tool(concurrent_safe=True)
    def safe(n: int) -> dict:
        if n > 3:
            raise ConnectionError("lost")
        return {"n": n}

    @tools.tool(concurrent_safe=True)
    async def later(n: int) -> list:
        await asyncio.sleep(0)
        return list(range(n * 12))

    @tools.tool
    def fail() -> dict:
        raise RuntimeError("broken")

    @tools.tool(timeout_s=60)
    def slow() -> dict:
        raise TimeoutError("took too long")

    @tools.tool
    def abort() -> dict:
        token.cancel()
        return {}

    @tools.tool
    def long() -> str:
        return "x" * 7000

    @tools.tool
    def bare(text: str) -> str:
        return text

    @tools.tool(free=True, concurrent_safe=True)
    def free() -> None:
        return None

    return tools


def as_text(reply: Any) -> Any:
    if isinstance(reply, list):
        return json.dumps({"tools": [{"tool": name, "args": args} for name, args in reply]})
    return reply


def as_blocks(reply: Any) -> Any:
    if not isinstance(reply, list):
        return reply
    return [{"type": "text", "text": "so:"}] + [
        {"type": "tool_use", "id": f"c{place}", "name": name, "input": args}
        for place, (name, args) in enumerate(reply)
    ]


def model_of(drive: Any, scenario: Scenario) -> Any:
    if scenario.native:
        replies = [as_blocks(reply) for reply in scenario.replies]
        return drive.native(replies, takes_messages=scenario.takes_messages)
    llm = drive.text([as_text(reply) for reply in scenario.replies] or ["no call"])
    llm.last_stop_reason = "max_tokens" if scenario.cut_short else "end_turn"
    return llm


def run(name: str, scenario: Scenario) -> tuple[dict[str, Any], Any]:
    """What is to be equal after a run through a driver, and the run."""
    drive, token, seen, clock = DRIVERS[name], CancelToken(), [], Clock()
    llm, log, talk = model_of(drive, scenario), SessionLog(), Conversation()
    answering = Answering(scenario, token, seen)
    config = LoopConfig(
        max_steps=scenario.max_steps,
        runtime=clock.runtime,
        use_native_tools=scenario.native,
        concurrent_dispatch=scenario.concurrent,
        max_turn_continuations=scenario.continuations,
        output_schema=scenario.output_schema,
        context_window=scenario.context_window,
        max_briefing_tokens=scenario.max_briefing_tokens,
        cancel_token=token,
        tool_metadata={"from": "config"},
    )
    ran, warned = heard(
        lambda: drive(
            llm,
            tools=tools_of(token),
            hooks=hooks_of(answering, asynchronous=name == "async"),
            config=config,
            task={"goal": "g"},
            session_log=log,
            conversation=talk,
            leave_after=scenario.leave_after,
            on_step=lambda step: seen.append(f"yield {step.number}"),
        )
    )
    ids: dict[str, int] = {}
    shown = {
        "steps": [plain(step, ids) for step in ran.state.steps],
        "yielded": [step.number for step in ran.steps],
        "stop_reason": getattr(ran.state, "_stop_reason", None),
        "error": (type(ran.error), str(ran.error)),
        "order": seen,
        "warnings": warned,
        "log": log.to_list(),
        "talk": plain(talk.messages, ids),
        "asked": [(request.prompt, request.messages) for request in llm._script.asked],
        "queries": ran.state.queries_used,
        "pauses": clock.pauses,
    }
    return shown, ran


def plain(value: Any, ids: dict[str, int]) -> Any:
    """A record as data, without durations, and with its random ids numbered as they come."""
    if isinstance(value, list):
        return [plain(item, ids) for item in value]
    if not hasattr(value, "__dataclass_fields__"):
        return value
    out = {each.name: plain(getattr(value, each.name), ids) for each in fields(value)}
    out.pop("duration_ms", None)
    if out.get("call_id") is not None:
        out["call_id"] = ids.setdefault(out["call_id"], len(ids))
    return out


@settings(max_examples=200, suppress_health_check=list(HealthCheck))
@given(SCENARIOS)
def test_all_drivers_take_equal_steps_in_equal_order(scenario):
    first, ran = run("sync", scenario)
    event(f"ends with {first['stop_reason']!r:.12}")
    event(f"steps: {len(first['steps'])}")
    for name in ("async", "threads"):
        other, _ = run(name, scenario)
        for part, value in first.items():
            assert other[part] == value, f"{part} of the driver {name}"
    invariants(scenario, first, ran)


def invariants(scenario: Scenario, shown: dict[str, Any], ran: Any) -> None:
    """What holds of every run, whatever is in it."""
    steps = ran.state.steps
    begun = scenario.leave_after != 0
    assert len(steps) <= scenario.max_steps
    assert [step.number for step in steps] == list(range(1, len(steps) + 1))
    assert shown["order"].count("stop") == begun
    assert shown["order"].count("on_loop_end") == begun
    assert shown["order"].count("done_accepted") == (shown["stop_reason"] == "done")
    if shown["stop_reason"] == "done":
        assert steps[-1].tool_call.tool == "done"
        assert steps[-1].tool_result.args_summary != "rejected"


def test_the_scenarios_reach_every_slot_and_event():
    scenario = Scenario(
        replies=[[("work", {"n": 1}), ("fail", {})], [("done", {"summary": "x"})]],
        answers={"should_compact": [False, True]},
        native=False, takes_messages=False, max_steps=5, concurrent=False, cut_short=False,
        continuations=0, output_schema=None, context_window=128_000, cancel_at=None,
        leave_after=None, max_briefing_tokens=None,
    )  # fmt: skip
    shown, ran = run("sync", scenario)
    assert ran.error is None
    assert set(SLOTS) - set(shown["order"]) == {"hook_decision"}
