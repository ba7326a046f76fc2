"""Chunks of Chat Completions and what they make, without a server."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from looplet.backends.openai_chunks import ChatAssembly
from looplet.backends.openai_messages import blocks_of, choice_of, outcome_of
from looplet.backends.provider import text_of
from tests.servers import completion
from tests.streams import chat_chunks


def assembled(chunks):
    """The blocks, the outcome and the texts told on the way."""
    assembly = ChatAssembly()
    told = [assembly.add(chunk) for chunk in chunks]
    whole = assembly.whole()
    choice = choice_of(whole)
    return blocks_of(choice["message"]), outcome_of(whole, choice), "".join(told)


def calls_in(*deltas):
    """The calls that these deltas make, each delta in a chunk of its own unless it is a list."""
    chunks = [
        {"choices": [{"delta": {"tool_calls": each if isinstance(each, list) else [each]}}]}
        for each in deltas
    ]
    end = {"choices": [{"delta": {}, "finish_reason": "tool_calls"}]}
    blocks, outcome, _ = assembled([*chunks, end])
    assert outcome.stop_reason == "tool_use"
    return [(block["name"], block["input"]) for block in blocks]


def piece(name=None, arguments=None, **fields):
    return {**fields, "function": {"name": name, "arguments": arguments}}


PEAR, APPLE = '{"fruit": "pear"}', '{"fruit": "apple"}'
BOTH = [("price", {"fruit": "pear"}), ("price", {"fruit": "apple"})]

texts = st.text(max_size=30)
arguments = st.one_of(
    st.dictionaries(texts, st.integers() | texts, max_size=3).map(json.dumps), st.text(max_size=12)
)


@st.composite
def cuts(draw):
    """A way of cutting texts, which may give empty pieces."""
    sizes = draw(st.lists(st.integers(0, 5), min_size=1, max_size=8).filter(any))

    def cut(text):
        pieces, place, turn = [], 0, 0
        while place < len(text):
            size = sizes[turn % len(sizes)]
            pieces.append(text[place : place + size])
            place, turn = place + size, turn + 1
        return pieces

    return cut


@st.composite
def completions(draw):
    names = st.sampled_from(["price", "done", "now"])
    calls = draw(st.lists(st.tuples(names, arguments), max_size=4))
    return completion(
        draw(st.none() | texts),
        calls=[(f"c{place}", *call) for place, call in enumerate(calls)] or None,
        finish_reason=draw(st.sampled_from(["stop", "length", "tool_calls", "content_filter"])),
        usage=draw(st.none() | st.tuples(st.integers(0, 99), st.integers(0, 99))),
        refusal=draw(st.none() | texts),
    )


@given(reply=completions(), cut=cuts())
def test_a_reply_cut_into_any_pieces_is_the_reply(reply, cut):
    choice = choice_of(reply)
    blocks, outcome, told = assembled(chat_chunks(reply, cut))
    assert blocks == blocks_of(choice["message"])
    assert outcome == outcome_of(reply, choice)
    assert told == text_of(blocks)


@given(reply=completions(), cut=cuts(), left=st.data())
def test_a_reply_that_lacks_its_end_is_never_whole(reply, cut, left):
    chunks = chat_chunks({**reply, "usage": None}, cut)[:-2]  # neither usage nor finish_reason
    assembly = ChatAssembly()
    for chunk in chunks[: left.draw(st.integers(0, len(chunks)))]:
        assembly.add(chunk)
    assert assembly.whole() is None


@pytest.mark.parametrize(
    "deltas",
    [
        # one index for all calls, told apart by their ids
        [piece("price", PEAR, index=0, id="a"), piece("price", APPLE, index=0, id="b")],
        # one index for all, and no ids at all
        [piece("price", PEAR, index=0), piece("price", APPLE, index=0)],
        # no index; ids in every piece
        [
            piece("price", '{"fruit": ', id="a"),
            piece(None, '"pear"}', id="a"),
            piece("price", APPLE, id="b"),
        ],
        # no index; name and id in every piece
        [
            piece("price", '{"fruit": ', id="a"),
            piece("price", '"pear"}', id="a"),
            piece("price", APPLE, id="b"),
        ],
        # no index; arguments before the name
        [
            piece(None, PEAR, id="a"),
            piece("price", None, id="a"),
            piece("price", APPLE, id="b"),
        ],
        # no index; pieces of two calls in turn
        [
            piece("price", '{"fruit": ', id="a"),
            piece("price", '{"fruit": ', id="b"),
            piece(None, '"pear"}', id="a"),
            piece(None, '"apple"}', id="b"),
        ],
        # neither index nor id, each call whole
        [piece("price", PEAR), piece("price", APPLE)],
        # the same in one piece of the stream
        [[piece("price", PEAR), piece("price", APPLE)]],
        # neither index nor id, arguments in pieces
        [piece("price", '{"fruit":'), piece(None, '"pear"}'), piece("price", APPLE)],
        # one id for all calls
        [piece("price", PEAR, id="x"), piece("price", APPLE, id="x")],
        [[piece("price", PEAR, id="x"), piece("price", APPLE, id="x")]],
        # an id of its own for every piece
        [
            piece("price", '{"fruit": ', index=0, id="a"),
            piece(None, '"pear"}', index=0, id="b"),
            piece("price", APPLE, index=1, id="c"),
        ],
        # arguments as an object
        [piece("price", json.loads(PEAR), index=0), piece("price", json.loads(APPLE), index=1)],
    ],
)
def test_calls_are_told_apart_however_a_server_marks_them(deltas):
    assert calls_in(*deltas) == BOTH


def test_calls_without_arguments_are_told_apart_by_name_or_place():
    assert calls_in(piece("now", ""), piece("done", "")) == [("now", {}), ("done", {})]
    assert calls_in([piece("now", ""), piece("now", "")]) == [("now", {}), ("now", {})]
    assert calls_in(piece("now", "{}"), piece("now", "{}")) == [("now", {}), ("now", {})]


def test_a_name_that_is_repeated_stays_and_one_in_pieces_is_joined():
    repeated = [piece("price", text, index=0) for text in ('{"fruit"', ': "pear"', "}", "")]
    assert calls_in(*repeated) == BOTH[:1]
    assert calls_in(piece("pri", "", index=0), piece("ce", PEAR, index=0)) == BOTH[:1]


def test_arguments_that_broke_off_arrive_raw():
    assert calls_in(piece("price", '{"fruit": pe', index=0)) == [
        ("price", {"_raw_arguments": '{"fruit": pe'})
    ]


def test_calls_that_share_an_id_get_their_own():
    deltas = [piece("price", PEAR, index=0, id="x"), piece("price", APPLE, index=1, id="x")]
    blocks, _, _ = assembled(
        [{"choices": [{"delta": {"tool_calls": deltas}, "finish_reason": "tool_calls"}]}]
    )
    assert blocks[0]["id"] == "x"
    assert blocks[1]["id"] not in {"x", ""}


def test_what_says_nothing_of_the_reply_is_passed_over():
    blocks, outcome, told = assembled(
        [
            {"choices": [], "prompt_filter_results": []},
            {},
            {"choices": "none", "usage": None},
            {"choices": [{"index": 0, "delta": None}]},
            {"choices": [{"index": 1, "delta": {"content": "another choice"}}]},
            {"choices": [{"delta": {"content": None, "tool_calls": None}, "finish_reason": ""}]},
            {"choices": [{"delta": {"content": "ok"}, "finish_reason": "stop"}]},
        ]
    )
    assert (blocks, told) == ([{"type": "text", "text": "ok"}], "ok")
    assert (outcome.usage, outcome.stop_reason) == (None, "end_turn")


def test_the_newest_usage_counts():
    chunk = {"choices": [{"delta": {"content": "o"}, "finish_reason": "stop"}]}
    counts = [{"prompt_tokens": 7, "completion_tokens": each} for each in (1, 2)]
    _, outcome, _ = assembled([{**chunk, "usage": each} for each in counts])
    assert outcome.usage == {"input_tokens": 7, "output_tokens": 2}
