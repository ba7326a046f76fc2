"""Events of the Messages API and what they make, without a server."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from looplet.backends.anthropic_events import MessageAssembly
from looplet.backends.anthropic_messages import outcome_of, reply_blocks
from looplet.backends.provider import text_of
from tests.backends.test_openai_chunks import arguments, cuts, texts
from tests.servers import message
from tests.streams import message_events


def assembled(events):
    """The message, and the texts told on the way."""
    assembly = MessageAssembly()
    told = [assembly.add(event) for event in events]
    return assembly.whole(), "".join(told)


def block(index, **fields):
    return {"type": "content_block_start", "index": index, "content_block": fields}


def delta(index, kind, **fields):
    return {"type": "content_block_delta", "index": index, "delta": {"type": kind, **fields}}


STOP = {"type": "message_stop"}

counts = st.integers(0, 99)
kinds = st.one_of(
    st.fixed_dictionaries({"type": st.just("text"), "text": texts}),
    st.fixed_dictionaries({"type": st.just("thinking"), "thinking": texts, "signature": texts}),
    st.fixed_dictionaries({"type": st.just("redacted_thinking"), "data": texts}),
    st.fixed_dictionaries({"type": st.just("tool_use"), "name": texts, "input": arguments}),
    st.fixed_dictionaries(
        {
            "type": st.just("server_tool_use"),
            "id": texts,
            "name": texts,
            "input": st.dictionaries(texts, counts, max_size=2),
        }
    ),
)


@st.composite
def messages(draw):
    blocks = draw(st.lists(kinds, max_size=4))
    blocks = [
        {**each, "id": f"t{place}"} if each["type"] == "tool_use" else each
        for place, each in enumerate(blocks)
    ]
    reply = message(
        stop_reason=draw(st.sampled_from(["end_turn", "tool_use", "max_tokens", "refusal"])),
        usage=draw(st.none() | st.tuples(counts, counts)),
    )
    cached = {"cache_read_input_tokens": draw(counts)} if draw(st.booleans()) else {}
    usage = {"usage": {**reply["usage"], **cached}} if "usage" in reply else {}
    return {**reply, **usage, "content": blocks}


@given(reply=messages(), cut=cuts())
def test_a_reply_cut_into_any_pieces_is_the_reply(reply, cut):
    whole, told = assembled(message_events(reply, cut))
    assert reply_blocks(whole) == reply_blocks(reply)
    assert outcome_of(whole) == outcome_of(reply)
    assert told == text_of(reply_blocks(reply))


@given(reply=messages(), cut=cuts(), left=st.data())
def test_a_reply_that_lacks_its_end_is_never_whole(reply, cut, left):
    events = message_events(reply, cut)[:-1]
    assert assembled(events[: left.draw(st.integers(0, len(events)))])[0] is None


def test_thinking_is_kept_whole_with_its_signature():
    thought = {"type": "thinking", "thinking": "Pears cost more.", "signature": "c2lnbmVk"}
    whole, told = assembled(message_events(message(thought, "0.55")))
    assert reply_blocks(whole) == [thought, {"type": "text", "text": "0.55"}]
    assert told == "0.55"


def test_citations_are_kept_in_the_message():
    quoted = {"type": "text", "text": "0.55", "citations": [{"cited_text": "Pear 0.55"}]}
    assert assembled(message_events(message(quoted)))[0]["content"] == [quoted]


def test_arguments_given_at_once_stay_and_those_that_broke_off_arrive_raw():
    use = {"type": "tool_use", "id": "a", "name": "price"}
    whole, _ = assembled(
        [
            block(0, **use, input={"fruit": "pear"}),
            delta(0, "input_json_delta", partial_json=""),
            block(1, **{**use, "id": "b"}, input={}),
            delta(1, "input_json_delta", partial_json='{"fruit": pe'),
            STOP,
        ]
    )
    assert [each["input"] for each in reply_blocks(whole)] == [
        {"fruit": "pear"},
        {"_raw_arguments": '{"fruit": pe'},
    ]


def test_counts_of_the_end_stand_over_those_of_the_beginning_where_they_are_told():
    begun = {"input_tokens": 7, "output_tokens": 1, "cache_read_input_tokens": 5}
    whole, _ = assembled(
        [
            {"type": "message_start", "message": {"usage": begun}},
            {
                "type": "message_delta",
                "delta": {"stop_reason": "end_turn"},
                "usage": {"input_tokens": None, "output_tokens": 9},
            },
            STOP,
        ]
    )
    assert outcome_of(whole).usage == {"input_tokens": 12, "output_tokens": 9, "cached_tokens": 5}


def test_kinds_that_are_not_known_are_passed_over():
    whole, told = assembled(
        [
            {"type": "weather"},
            {},
            block(0, type="text", text="o"),
            delta(0, "glitter_delta", glitter="x"),
            {"type": "content_block_delta", "index": 0, "delta": None},
            delta(0, "text_delta", text="k"),
            STOP,
        ]
    )
    assert (whole["content"], told) == ([{"type": "text", "text": "ok"}], "ok")
    assert outcome_of(whole).usage is None


@pytest.mark.parametrize("index", [1, "0"])
def test_a_piece_of_a_block_that_never_began_has_no_place(index):
    assembly = MessageAssembly()
    if index == 1:
        assembly.add(block(0, type="text", text=""))
    assert assembly.add(delta(index, "text_delta", text="lost")) is None


def test_servers_that_give_every_block_one_index_are_understood():
    whole, _ = assembled(
        [
            block(0, type="text", text=""),
            delta(0, "text_delta", text="I look."),
            block(0, type="tool_use", id="a", name="price", input={}),
            delta(0, "input_json_delta", partial_json='{"fruit": "pear"}'),
            STOP,
        ]
    )
    assert [each["type"] for each in reply_blocks(whole)] == ["text", "tool_use"]
    assert reply_blocks(whole)[1]["input"] == {"fruit": "pear"}
