"""The conversation as a native model sees it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from looplet.core.history import History
from looplet.core.messages import ChatMessage
from looplet.core.records import ToolCall


def test_a_turn_is_a_call_and_its_answer():
    history = History()
    history.open("TASK")
    history.reply_calls("thinking", [ToolCall("price", {"a": 1, "__theory__": "t"}, call_id="c1")])
    history.answer("c1", "0.4")
    opening, asked, answered = history.messages()
    assert opening.to_dict() == {"role": "user", "content": "TASK"}
    assert asked.to_dict()["calls"] == [{"id": "c1", "name": "price", "input": {"a": 1}}]
    assert answered.to_dict() == {"role": "tool", "content": "0.4", "call_id": "c1"}


def test_what_was_sent_is_sent_again_as_the_same_objects():
    history = History()
    history.open("TASK")
    before = history.messages()
    history.say("more")
    history.reply_text("words")
    assert all(one is other for one, other in zip(before, history.messages(), strict=False))
    history.open("TASK")
    assert history.messages()[0] is before[0]


def test_characters_are_counted_as_messages_come():
    history = History()
    history.open("12345")
    history.open("123")
    history.say("67")
    history.reply_calls("8", [ToolCall("ab", {})])
    assert history.chars == 3 + 2 + 1 + len("ab") + len("{}")


def test_what_was_said_since_the_last_reply_is_kept_also_where_no_result_is():
    history = History()
    history.open("TASK")
    history.reply_calls("", [ToolCall("price", {}, call_id="c1")])
    history.answer("c1", "0.4", step=1)
    history.say("Prices are in euro.")
    history.keep({}, "one price was looked up")
    told = [message.content for message in history.messages()]
    assert told == ["TASK", "one price was looked up", "Prices are in euro."]


PLACES = st.none() | st.integers(-9, 9)


@given(
    st.lists(st.text(max_size=2), max_size=6),
    st.lists(st.text(max_size=2), max_size=6),
    st.slices(6) | st.builds(slice, PLACES, PLACES, st.sampled_from([None, 1, 2, -1, -2])),
)
def test_what_was_asked_with_stays_as_it_was_whatever_comes_later(said, later, part):
    history = History()
    for text in said:
        history.say(text)
    told = history.messages()
    as_tuple = tuple(ChatMessage(role="user", content=text) for text in said)
    for text in later:
        history.say(text)
    history.open("another opening")
    history.keep({})
    assert (told, len(told), tuple(told)) == (as_tuple, len(as_tuple), as_tuple)
    assert told[part] == as_tuple[part]
    assert [told[place] for place in range(-len(said), len(said))] == [*as_tuple, *as_tuple]
    assert told != (*as_tuple, ChatMessage(role="user", content="more"))
    assert told != len(said)
    with pytest.raises(IndexError):
        told[len(said)]
