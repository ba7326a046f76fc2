"""Backends that record and replay keep the shape of what they wrap."""

import asyncio

import pytest

from looplet.core.backend import is_async, takes
from looplet.core.messages import ChatMessage
from looplet.errors import BackendRefused, CassetteError
from looplet.replay import Divergence, use_cassette

BLOCKS = [{"type": "tool_use", "id": "c1", "name": "search", "input": {"q": ["pears"]}}]
TOOLS = [{"name": "search", "description": "Look.", "input_schema": {"type": "object"}}]


def test_text_and_blocks_with_usage_and_stop_reason_come_back(path, tool_model):
    def ask(llm):
        first = (llm.generate("a"), llm.last_usage, llm.last_stop_reason)
        second = llm.generate_with_tools("b", tools=TOOLS)
        return [first, (second, llm.last_usage, llm.last_stop_reason)]

    with use_cassette(path, record_mode="once") as cassette:
        recorded = ask(cassette.wrap_llm(tool_model("one", BLOCKS)))
    with use_cassette(path) as cassette:
        assert ask(cassette.wrap_llm(None)) == recorded
    assert recorded[1][1] == {"input_tokens": 1, "output_tokens": 2}


def test_the_async_loop_replays_too(path, async_model):
    async def ask(llm):
        first = await llm.generate("a")
        usage = llm.last_usage
        return first, usage, await llm.generate_with_tools("b", tools=TOOLS), llm.last_stop_reason

    with use_cassette(path, record_mode="once") as cassette:
        llm = cassette.wrap_llm(async_model("one", BLOCKS))
        assert is_async(llm)
        recorded = asyncio.run(ask(llm))
    with use_cassette(path) as cassette:
        llm = cassette.wrap_llm(None, async_=True)
        assert is_async(llm)
        assert asyncio.run(ask(llm)) == recorded


def test_usage_is_the_calling_tasks_own(path, async_model):
    with use_cassette(path, record_mode="once") as cassette:
        llm = cassette.wrap_llm(async_model("one", "two"))
        asyncio.run(llm.generate("a"))
        asyncio.run(llm.generate("bb"))

    async def ask(llm, prompt):
        await llm.generate(prompt)
        await asyncio.sleep(0.01)
        return llm.last_usage["input_tokens"]

    async def both(llm):
        return await asyncio.gather(ask(llm, "a"), ask(llm, "bb"))

    with use_cassette(path) as cassette:
        assert asyncio.run(both(cassette.wrap_llm(None, async_=True))) == [1, 2]


def test_a_replay_without_a_backend_has_the_recorded_shape(path, model):
    with use_cassette(path, record_mode="once") as cassette:
        cassette.wrap_llm(model("one")).generate(
            "x", messages=(ChatMessage(role="user", content="a"),)
        )
    with use_cassette(path) as cassette:
        llm = cassette.wrap_llm(None)
        assert llm.model == "scripted-1"
        assert not hasattr(llm, "generate_with_tools")
        assert takes(llm, "generate", "messages")
        assert takes(llm, "generate", "scope")
        assert not takes(llm, "generate", "purpose")


def test_a_backend_that_takes_anything_is_remembered_so(path):
    class Anything:
        def generate(self, prompt, **keywords):
            return str(sorted(keywords))

        def generate_with_tools(self, prompt, **keywords):
            return []

    with use_cassette(path, record_mode="once") as cassette:
        llm = cassette.wrap_llm(Anything())
        assert llm.generate("a", top_k=3, scope="tool:x") == "['scope', 'top_k']"
    with use_cassette(path) as cassette:
        llm = cassette.wrap_llm(None, lane="tool:x")
        assert takes(llm, "generate", "top_k")
        assert llm.generate_with_tools is not None
        assert llm.generate("a", top_k=3) == "['scope', 'top_k']"
        with pytest.raises(Divergence, match="parameter top_k"):
            llm.generate("a", top_k=4)


def test_lanes_are_kept_apart(path, model):
    with use_cassette(path, record_mode="once") as cassette:
        llm, judge = (
            cassette.wrap_llm(model("one", "two")),
            cassette.wrap_llm(model("three"), lane="judge:kind"),
        )
        assert (llm.generate("a"), llm.generate("a", scope="tool:x"), judge.generate("a")) == (
            "one",
            "two",
            "three",
        )
    with use_cassette(path) as cassette:
        judge, llm = cassette.wrap_llm(None, lane="judge:kind"), cassette.wrap_llm(None)
        assert judge.generate("a", scope="main") == "three"
        assert llm.generate("a", scope="tool:x") == "two"
        assert llm.generate("a") == "one"


def test_changing_a_reply_changes_no_later_play(path, tool_model):
    live = tool_model(BLOCKS, BLOCKS)
    with use_cassette(path, record_mode="once") as cassette:
        llm = cassette.wrap_llm(live)
        for _ in range(2):
            llm.generate_with_tools("a", tools=TOOLS)
    for _ in range(2):
        with use_cassette(path) as cassette:
            llm = cassette.wrap_llm(None)
            for _ in range(2):
                reply = llm.generate_with_tools("a", tools=TOOLS)
                assert reply == BLOCKS
                reply[0]["input"]["q"].append("mine")
                llm.last_usage["input_tokens"] = -1


def test_changing_a_request_after_the_call_changes_no_key(path, tool_model):
    tools = [{"name": "search", "input_schema": {"type": "object"}}]
    with use_cassette(path, record_mode="once") as cassette:
        cassette.wrap_llm(tool_model(BLOCKS)).generate_with_tools("a", tools=tools)
        tools[0]["name"] = "changed"
    tools[0]["name"] = "search"
    with use_cassette(path) as cassette:
        assert cassette.wrap_llm(None).generate_with_tools("a", tools=tools) == BLOCKS


def test_a_failure_is_replayed_as_a_failure(path, model):
    failure = BackendRefused("too many requests", status=429, retry_after=30.0)
    with use_cassette(path, record_mode="once") as cassette:
        llm = cassette.wrap_llm(model(failure, "one"))
        with pytest.raises(BackendRefused):
            llm.generate("a")
        assert llm.generate("a") == "one"
    with use_cassette(path) as cassette:
        llm = cassette.wrap_llm(None)
        with pytest.raises(BackendRefused, match="too many requests") as caught:
            llm.generate("a")
        assert (caught.value.status, caught.value.retry_after) == (429, 30.0)
        assert llm.last_usage is None
        assert llm.generate("a") == "one"


def test_an_async_failure_is_replayed_as_a_failure(path, async_model):
    with use_cassette(path, record_mode="once") as cassette, pytest.raises(TimeoutError):
        asyncio.run(cassette.wrap_llm(async_model(TimeoutError("slow"))).generate("a"))
    with use_cassette(path) as cassette, pytest.raises(TimeoutError, match="slow"):
        asyncio.run(cassette.wrap_llm(None, async_=True).generate("a"))


def test_alike_calls_at_once_replay_in_the_order_they_began(path):
    class Slow:
        async def generate(self, prompt, *, max_tokens=2000, system_prompt="", temperature=0.2):
            self.count = getattr(self, "count", 0) + 1
            mine = self.count
            await asyncio.sleep(0.01 * (8 - mine))
            return f"answer {mine}"

    async def ask(llm):
        return await asyncio.gather(*(llm.generate("a") for _ in range(8)))

    with use_cassette(path, record_mode="once") as cassette:
        recorded = asyncio.run(ask(cassette.wrap_llm(Slow())))
    for _ in range(5):
        with use_cassette(path) as cassette:
            assert asyncio.run(ask(cassette.wrap_llm(None, async_=True))) == recorded


def test_a_recording_needs_a_backend(path):
    with (
        pytest.raises(CassetteError, match="needs a backend"),
        use_cassette(path, record_mode="once") as cassette,
    ):
        cassette.wrap_llm(None)


def test_a_wrapper_has_what_the_wrapped_backend_has(path, model):
    with use_cassette(path, record_mode="once") as cassette:
        llm = cassette.wrap_llm(model("one"))
        assert llm.asked == []
        assert llm.model == "scripted-1"
        assert not hasattr(llm, "generate_with_tools")
        assert not hasattr(llm, "no_such_thing")


def pieces_of(model):
    """A model that tells its reply letter by letter."""

    class Typing(type(model)):
        if is_async(model):

            async def generate(self, prompt, *, on_chunk=None, **keywords):
                return spoken(await super().generate(prompt, **keywords), on_chunk)

        else:

            def generate(self, prompt, *, on_chunk=None, **keywords):
                return spoken(super().generate(prompt, **keywords), on_chunk)

    def spoken(reply, on_chunk):
        for letter in reply:
            on_chunk(letter)
        return reply

    model.__class__ = Typing
    return model


@pytest.mark.parametrize("kind", ["sync", "async"])
def test_pieces_are_told_while_recording_and_a_replay_tells_the_same(
    path, kind, model, async_model
):
    def ask(llm):
        told = []
        assert takes(llm, "generate", "on_chunk")
        answer = llm.generate("a", on_chunk=told.append)
        return (asyncio.run(answer) if kind == "async" else answer), told

    live = pieces_of(async_model("pear") if kind == "async" else model("pear"))
    with use_cassette(path, record_mode="once") as cassette:
        assert ask(cassette.wrap_llm(live)) == ("pear", ["p", "e", "a", "r"])
    with use_cassette(path) as cassette:
        assert ask(cassette.wrap_llm(None, async_=kind == "async")) == (
            "pear",
            ["p", "e", "a", "r"],
        )


def test_a_replay_of_blocks_tells_their_text(path, tool_model):
    text = {"type": "text", "text": "I look."}
    with use_cassette(path, record_mode="once") as cassette:
        cassette.wrap_llm(tool_model([text, *BLOCKS])).generate_with_tools("a", tools=TOOLS)
    told = []
    with use_cassette(path) as cassette:
        llm = cassette.wrap_llm(None)
        reply = llm.generate_with_tools("a", tools=TOOLS, on_chunk=told.append)
    assert (reply, told) == ([text, *BLOCKS], ["I look."])


def test_a_replay_of_calls_without_a_word_tells_no_piece(path, tool_model):
    with use_cassette(path, record_mode="once") as cassette:
        cassette.wrap_llm(tool_model(BLOCKS)).generate_with_tools("a", tools=TOOLS)
    told = []
    with use_cassette(path) as cassette:
        cassette.wrap_llm(None).generate_with_tools("a", tools=TOOLS, on_chunk=told.append)
    assert told == []


def test_a_backends_own_stream_is_reached_neither_in_a_recording_nor_in_a_replay(path, model):
    class Streams(type(model("one"))):
        def stream(self, prompt):
            raise AssertionError("asked live")

    live = model("one")
    live.__class__ = Streams
    with use_cassette(path, record_mode="once") as cassette:
        assert not hasattr(cassette.wrap_llm(live), "stream")
        cassette.wrap_llm(live).generate("a")
    with use_cassette(path) as cassette:
        assert not hasattr(cassette.wrap_llm(live), "stream")


def test_a_replay_of_a_backend_that_did_not_stream_takes_no_listener(path, model):
    with use_cassette(path, record_mode="once") as cassette:
        cassette.wrap_llm(model("one")).generate("a")
    with use_cassette(path) as cassette:
        assert not takes(cassette.wrap_llm(None), "generate", "on_chunk")


def test_placeholders_that_a_replay_hands_out_keep_their_numbers(path, model):
    """A secret that a reply had is not in the replay, and no other secret may take its number."""
    first, second = "sk-" + "a1" * 24, "sk-" + "b2" * 24
    with use_cassette(path, record_mode="once") as cassette:
        llm = cassette.wrap_llm(model(f"use {first}", "used"))
        assert llm.generate("Which key?") == f"use {first}"
        llm.generate(f"I have {second}.")
    assert first not in path.read_text()
    assert second not in path.read_text()
    with use_cassette(path) as cassette:
        llm = cassette.wrap_llm(None)
        assert llm.generate("Which key?") == "use [REDACTED:sk-1]"
        assert llm.generate(f"I have {second}.") == "used"


def test_a_cassette_is_no_decorator(path):
    with pytest.raises(TypeError, match="not callable"):
        use_cassette(path, record_mode="once")(lambda: None)
