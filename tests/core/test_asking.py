"""One question to the model, from its briefing to a reply that can be read; both drivers."""

from __future__ import annotations

import json
import threading
from typing import Any

import pytest

from looplet import CancelToken, HookDecision, InjectContext, LoopConfig, tool, tools_from
from looplet.errors import BackendRefused


@tool
def price(fruit: str) -> str:
    """Price of one piece of fruit, in euro."""
    return f"{fruit} costs 0.40"


APPLE = json.dumps({"tool": "price", "args": {"fruit": "apple"}})
DONE = json.dumps({"tool": "done", "args": {"summary": "x"}})
NATIVE_DONE = [{"type": "tool_use", "id": "d", "name": "done", "input": {"summary": "x"}}]
GONE = BackendRefused("the account is closed", status=403)


def hook(**methods: Any) -> Any:
    return type("Given", (), {name: staticmethod(body) for name, body in methods.items()})()


def run(drive: Any, llm: Any, **keywords: Any) -> Any:
    hooks = keywords.pop("hooks", ())
    config = LoopConfig(**keywords)
    return drive(llm, tools=tools_from([price], include_done=True), config=config, hooks=hooks)


class CutShort:
    """A backend whose first reply the token limit ended; ``then`` is what comes after."""

    def __init__(self, *replies: Any) -> None:
        self.replies = list(replies)
        self.sent: list[tuple[str, Any]] = []
        self.last_stop_reason = "max_tokens"

    def generate(self, prompt: str, *, messages: Any = None) -> Any:
        return self._next(prompt, messages)

    def generate_with_tools(self, prompt: str, *, tools: Any, messages: Any = None) -> Any:
        return self._next(prompt, messages)

    def _next(self, prompt: str, messages: Any) -> Any:
        self.sent.append((prompt, messages))
        self.last_stop_reason = "max_tokens" if len(self.sent) == 1 else "end_turn"
        reply = self.replies.pop(0)
        if isinstance(reply, Exception):
            raise reply
        return reply


def test_a_native_reply_of_text_is_continued_after_itself(drive):
    llm = CutShort([{"type": "text", "text": DONE[:15]}], [{"type": "text", "text": DONE[15:]}])
    ran = run(drive, llm, use_native_tools=True, max_turn_continuations=1)
    assert ran.stop_reason == "done"
    said = [(each.role, each.content) for each in llm.sent[1][1][-2:]]
    assert said[0] == ("assistant", DONE[:15])
    assert "cut short" in said[1][1]


def test_a_model_that_calls_a_tool_instead_of_going_on_is_taken_at_its_call(drive):
    llm = CutShort([{"type": "text", "text": "I shall now"}], NATIVE_DONE)
    ran = run(drive, llm, use_native_tools=True, max_turn_continuations=3)
    assert (ran.stop_reason, ran.tools) == ("done", ["done"])


def test_a_continuation_that_fails_for_good_is_the_turns_failure(drive):
    ran = run(drive, CutShort(DONE[:15], GONE), max_turn_continuations=3)
    assert (ran.stop_reason, ran.tools) == ("llm_error", ["__llm_error__"])
    assert "the account is closed" in ran.steps[0].tool_result.error


def test_a_repair_that_fails_for_good_is_the_turns_failure(drive):
    ran = run(drive, drive.text(["no call", GONE]))
    assert (ran.stop_reason, ran.tools) == ("llm_error", ["__llm_error__"])


def test_a_repair_that_a_listener_stops_is_not_asked(drive):
    seen = []

    def stop_second(payload):
        if payload.event.value != "pre_llm_call":
            return None
        seen.append(payload.prompt)
        return HookDecision(stop="enough") if len(seen) == 2 else None

    llm = drive.text(["no call", DONE])
    ran = run(drive, llm, hooks=[hook(on_event=stop_second)])
    assert (ran.stop_reason, ran.steps, llm.calls) == ("enough", [], 1)


def test_a_briefing_that_fits_is_whole_and_says_nothing_of_its_bound(drive):
    told = [hook(pre_prompt=lambda *args: "Be brief."), hook(pre_prompt=lambda *args: "Be kind.")]
    llm = drive.text([DONE])
    run(drive, llm, hooks=told, max_briefing_tokens=50)
    assert "Be brief.\nBe kind." in llm.last_prompt
    assert "left out" not in llm.last_prompt


@pytest.mark.parametrize("event", ["pre_llm_call", "post_llm_response"])
def test_what_a_listener_says_around_a_call_is_in_the_next_briefing(drive, event):
    def tell(payload):
        return InjectContext("Mind the price.") if payload.event.value == event else None

    llm = drive.text([APPLE, DONE])
    nothing = hook(on_event=lambda payload: HookDecision())
    ran = run(drive, llm, hooks=[nothing, hook(on_event=tell), nothing])
    assert ran.stop_reason == "done"
    assert "Mind the price." in llm.last_prompt


def test_the_first_native_prompt_that_is_too_long_has_no_result_to_trim(drive):
    too_long = BackendRefused("context_length_exceeded", status=400)
    llm = drive.native([too_long, NATIVE_DONE])
    ran = run(drive, llm, use_native_tools=True)
    assert ran.stop_reason == "done"
    assert llm.requests[0].messages == llm.requests[1].messages


def test_a_pause_ends_when_the_token_is_set_from_another_thread(drive):
    token = CancelToken()

    def cancel_soon(payload):
        if payload.event.value == "pre_llm_call":
            threading.Timer(0.05, token.cancel).start()

    llm = drive.text([ConnectionError("down"), DONE])
    ran = run(drive, llm, hooks=[hook(on_event=cancel_soon)], cancel_token=token)
    assert (ran.stop_reason, llm.calls) == ("cancelled", 1)


def test_a_backend_that_runs_out_of_replies_as_an_iterator_does_fails_like_any(drive, clock):
    replies = iter([APPLE])

    class Scripted:
        def generate(self, prompt: str) -> str:
            return next(replies)

    ran = run(drive, Scripted(), runtime=clock.runtime)
    assert ran.tools == ["price", "__llm_error__"]
    assert "Scripted.generate raised StopIteration" in ran.steps[1].tool_result.error


def test_a_plain_backend_that_gives_a_coroutine_is_awaited_or_refused_by_name(drive, clock):
    class Handing:
        async def _answer(self) -> str:
            return DONE

        def generate(self, prompt: str) -> Any:
            return self._answer()

    ran = run(drive, Handing(), runtime=clock.runtime)
    if drive.asynchronous:
        assert ran.stop_reason == "done"
    else:
        assert "Handing.generate returned an awaitable" in ran.steps[0].tool_result.error
