"""Native tool calls: the conversation as the model sees it; each through both drivers."""

from __future__ import annotations

from typing import Any

from looplet import LoopConfig, StaticMemorySource, tool, tools_from


@tool
def price(fruit: str) -> dict:
    """Price of one piece of fruit, in euro."""
    return {"fruit": fruit, "euro": {"apple": 0.4, "pear": 0.55}[fruit]}


def use(call_id: str, name: str, **args: Any) -> dict[str, Any]:
    return {"type": "tool_use", "id": call_id, "name": name, "input": args}


def text(said: str) -> dict[str, Any]:
    return {"type": "text", "text": said}


APPLE, PEAR = use("a", "price", fruit="apple"), use("p", "price", fruit="pear")
DONE = use("d", "done", summary="x")
NATIVE = LoopConfig(use_native_tools=True, max_steps=8)


def shop() -> Any:
    return tools_from([price], include_done=True)


def roles(request: Any) -> list[str]:
    return [message.role for message in request.messages]


def test_calls_and_results_are_sent_as_messages_of_their_own(drive):
    llm = drive.native([[text("apples first"), APPLE], [PEAR], [DONE]])
    ran = drive(llm, tools=shop(), task={"goal": "g"}, config=NATIVE)
    assert ran.stop_reason == "done"
    last = llm.requests[-1]
    assert roles(last) == ["user", "assistant", "tool", "assistant", "tool"]
    assert last.messages[1].content == "apples first"
    assert last.messages[1].calls[0].to_dict() == {
        "id": "a", "name": "price", "input": {"fruit": "apple"},
    }  # fmt: skip
    assert last.messages[2].call_id == "a"
    assert last.messages[2].content == '{"fruit": "apple", "euro": 0.4}'
    assert ran.steps[0].tool_call.call_id == "a"
    assert ran.steps[0].tool_call.reasoning == "apples first"


def test_what_was_sent_once_is_sent_again_unchanged(drive):
    llm = drive.native([[APPLE]] * 7 + [[DONE]])
    drive(llm, tools=shop(), task={"goal": "g"}, config=NATIVE)
    for earlier, later in zip(llm.requests, llm.requests[1:], strict=False):
        assert later.messages[: len(earlier.messages)] == earlier.messages


def test_schemas_are_sent_and_json_is_not_asked_for(drive):
    llm = drive.native([[DONE]])
    drive(llm, tools=shop(), task={"goal": "g"}, config=NATIVE)
    request = llm.requests[0]
    assert [each["name"] for each in request.tools] == ["price", "done"]
    assert request.tools[0]["input_schema"]["required"] == ["fruit"]
    assert "JSON" not in request.messages[0].content
    assert "goal: g" in request.messages[0].content


def test_every_call_of_a_turn_is_answered_even_if_it_was_not_run(drive):
    llm = drive.native([[DONE | {"input": {}}, APPLE], [DONE]])
    ran = drive(llm, tools=shop(), config=NATIVE)
    assert ran.tools == ["done", "done"]
    answered = [message.call_id for message in llm.requests[1].messages if message.role == "tool"]
    assert answered == ["d", "a"]


def test_briefings_are_added_at_the_end(drive):
    class Brief:
        def pre_prompt(self, state, session_log, context, step_num):
            return f"note {step_num}"

    llm = drive.native([[APPLE], [DONE]])
    drive(llm, tools=shop(), config=NATIVE, hooks=[Brief()])
    assert roles(llm.requests[1]) == ["user", "user", "assistant", "tool", "user"]
    assert llm.requests[1].messages[-1].content == "note 2"


def test_a_low_budget_is_said(drive):
    llm = drive.native([[APPLE], [APPLE]])
    drive(llm, tools=shop(), config=LoopConfig(use_native_tools=True, max_steps=4))
    assert "Low budget" not in llm.requests[0].messages[-1].content
    assert "3 steps are left" in llm.requests[1].messages[-1].content


def test_memory_stands_in_the_opening_and_follows_its_source(drive):
    from looplet import CallableMemorySource

    notes = iter(["one", "two"])
    config = LoopConfig(
        use_native_tools=True,
        memory_sources=[StaticMemorySource("euro"), CallableMemorySource(lambda s: next(notes))],
    )
    llm = drive.native([[APPLE], [DONE]])
    drive(llm, tools=shop(), config=config)
    assert "euro\n\none" in llm.requests[0].messages[0].content
    assert "euro\n\ntwo" in llm.requests[1].messages[0].content


def test_a_text_with_a_call_in_it_is_read_and_gets_the_same_id_in_every_run(drive):
    reply = 'I call {"tool": "price", "args": {"fruit": "apple"}}'
    seen = []
    for _ in range(2):
        llm = drive.native([reply, [DONE]])
        ran = drive(llm, tools=shop(), config=NATIVE)
        assert ran.tools == ["price", "done"]
        seen.append(llm.requests[1].messages)
        assert llm.requests[1].messages[2].call_id == ran.steps[0].tool_call.call_id
    assert seen[0] == seen[1]


def test_a_bad_reply_is_repaired_and_leaves_no_trace_in_the_conversation(drive):
    llm = drive.native(["no call here", [APPLE], [DONE]])
    drive(llm, tools=shop(), config=NATIVE)
    assert roles(llm.requests[1]) == ["user", "assistant", "user"]
    assert llm.requests[1].messages[1].content == "no call here"
    assert llm.requests[1].temperature == 0.1
    assert roles(llm.requests[2]) == ["user", "assistant", "tool"]


def test_a_reply_that_stays_bad_stands_in_the_conversation_with_its_error(drive):
    llm = drive.native(["bad", "worse", "worst", [DONE]])
    ran = drive(llm, tools=shop(), config=NATIVE)
    assert ran.tools == ["__parse_error__", "done"]
    assert roles(llm.requests[3]) == ["user", "assistant", "user"]
    assert llm.requests[3].messages[1].content == "worst"


def test_a_backend_that_takes_no_messages_gets_one_prompt(drive):
    llm = drive.native([[APPLE], [DONE]], takes_messages=False)
    ran = drive(llm, tools=shop(), task={"goal": "g"}, config=NATIVE)
    assert ran.stop_reason == "done"
    assert llm.requests[1].messages == ()
    assert "S1 ✓ price(fruit=apple)" in llm.requests[1].prompt
    assert "JSON" not in llm.requests[1].prompt


def test_a_prompt_of_the_callers_own_is_sent_instead_of_the_conversation(drive):
    llm = drive.native([[DONE]])
    config = LoopConfig(use_native_tools=True, build_prompt=lambda **kw: "mine alone")
    drive(llm, tools=shop(), config=config)
    assert (llm.requests[0].prompt, llm.requests[0].messages) == ("mine alone", ())


def test_without_native_calls_in_the_backend_text_is_spoken(drive):
    llm = drive.text(['{"tool": "done", "args": {"summary": "x"}}'])
    ran = drive(llm, tools=shop(), config=NATIVE)
    assert ran.stop_reason == "done"
    assert "Answer with JSON only" in llm.last_prompt


def test_broken_native_arguments_end_as_a_validation_error(drive):
    llm = drive.native([[use("a", "price", _raw_arguments='{"fruit": app')], [DONE]])
    ran = drive(llm, tools=shop(), config=NATIVE)
    assert "not a JSON object" in ran.steps[0].tool_result.error
    assert ran.stop_reason == "done"


def test_generate_kwargs_are_passed_where_the_backend_takes_the_name(drive):
    asked: list[dict[str, Any]] = []
    llm = drive.text(['{"tool": "done", "args": {"summary": "x"}}'])

    if drive.asynchronous and type(drive).__name__ == "Async":

        class Seeded:
            async def generate(self, prompt, *, max_tokens, system_prompt, temperature, seed=None):
                asked.append({"seed": seed})
                return await llm.generate(prompt)
    else:

        class Seeded:
            def generate(self, prompt, *, max_tokens, system_prompt, temperature, seed=None):
                asked.append({"seed": seed})
                return llm.generate(prompt)

    config = LoopConfig(generate_kwargs={"seed": 7, "top_k": 3})
    ran = drive(Seeded(), tools=shop(), config=config)
    assert ran.stop_reason == "done"
    assert asked == [{"seed": 7}]


def test_a_cache_policy_reaches_backends_that_take_its_marks(drive):
    from looplet import CacheControl, CachePolicy

    asked = []

    class Marked:
        def generate(self, prompt):
            raise AssertionError("native calls were asked for")

        def generate_with_tools(self, prompt, *, tools, cache_breakpoints=None, messages=None):
            asked.append(cache_breakpoints)
            return [DONE]

    class AsyncMarked:
        async def generate(self, prompt):
            raise AssertionError("native calls were asked for")

        async def generate_with_tools(self, prompt, *, tools, cache_breakpoints=None):
            asked.append(cache_breakpoints)
            return [DONE]

    llm = AsyncMarked() if type(drive).__name__ == "Async" else Marked()
    policy = CachePolicy(CacheControl.EPHEMERAL, None, None)
    config = LoopConfig(use_native_tools=True, system_prompt="Be brief.", cache_policy=policy)
    drive(llm, tools=shop(), config=config)
    assert len(asked) == 1
    assert [mark[0] for mark in asked[0]] == ["system_prompt"]


def test_what_the_model_thought_is_sent_back_unchanged_with_its_calls(drive):
    thought = {"type": "thinking", "thinking": "an apple, then", "signature": "c2lnbmVk"}
    use = {"type": "tool_use", "id": "use_1", "name": "price", "input": {"fruit": "apple"}}
    end = {"type": "tool_use", "id": "use_2", "name": "done", "input": {"summary": "0.4"}}
    llm = drive.native([[thought, use], [end]])
    drive(llm, tools=shop(), config=LoopConfig(use_native_tools=True))
    told = llm.requests[1].messages
    assert [message.blocks for message in told] == [(), (thought, use), ()]
    assert told[1].from_dict(told[1].to_dict()) == told[1]
