"""Conversations that grow: each message is redacted and cut once."""

from __future__ import annotations

from dataclasses import replace

from looplet.core.messages import CallRequest, ChatMessage, ModelRequest, request_key
from looplet.trajectory.growing import Lane
from looplet.trajectory.redacting import Redaction

ASKED = ModelRequest(method="generate_with_tools", prompt="", system_prompt="Be brief, s3cret.")


def said(number: int) -> ChatMessage:
    call = CallRequest(id="s3cret", name="price", input={"s3cret": [f"s3cret {number}"]})
    text = f"s3cret {number}"
    return ChatMessage(role="assistant", content=text, calls=(call,), call_id="s3cret")


def test_each_message_is_redacted_once_however_often_it_is_sent():
    seen: list[str] = []

    def redact(text: str) -> str:
        seen.append(text)
        return text.replace("s3cret", "?")

    lane, messages = Lane(Redaction(redact), None), [said(number) for number in range(20)]
    for length in range(1, 21):
        request = replace(ASKED, messages=tuple(messages[:length]))
        kept = lane.keep(request, model="m")
        assert len(kept.messages) == length + 1
        assert kept.key == request_key(kept.request, model="m")
    assert [text for text in seen if text.startswith("s3cret ")].count("s3cret 3") == 2
    last = kept.messages[-1]
    assert (last.content, last.call_id, last.calls[0].id) == ("? 19", "s3cret", "s3cret")
    assert last.calls[0].input == {"?": ["? 19"]}
    assert kept.messages[0].content == "Be brief, ?."


def test_a_conversation_that_was_changed_is_looked_at_from_there():
    lane, messages = Lane(Redaction(lambda text: text.upper()), None), [said(1), said(2), said(3)]
    lane.keep(replace(ASKED, messages=tuple(messages)), model=None)
    changed = [messages[0], said(7)]
    kept = lane.keep(replace(ASKED, messages=tuple(changed)), model=None)
    assert [each.content for each in kept.messages[1:]] == ["S3CRET 1", "S3CRET 7"]
    assert [each.content for each in kept.request.messages] == ["S3CRET 1", "S3CRET 7"]


def test_a_call_knows_whether_a_message_of_its_own_was_cut():
    lane = Lane(Redaction(), 5)
    short, long = (ChatMessage(role="user", content=text) for text in ("short", "longer"))
    told = []
    for messages in ((short,), (short, long), (short, long, short), (short,), (), (short, short)):
        kept = lane.keep(replace(ASKED, messages=messages, system_prompt=""), model=None)
        told.append(kept.is_cut)
    assert told == [False, True, True, False, False, False]
    assert kept.messages == (short, short)
    assert kept.request.messages == (short, short)


def test_a_system_prompt_that_changes_stands_first_from_then_on():
    lane, messages = Lane(Redaction(), 12), [said(1), said(2)]
    for system in ("one", "two", "", "a long system prompt"):
        kept = lane.keep(replace(ASKED, messages=tuple(messages), system_prompt=system), model=None)
        shown = [each.content for each in kept.messages]
        assert shown[len(shown) - 2 :] == ["s3cret 1", "s3cret 2"]
        assert [text[:12] for text in shown[:-2]] == ([system[:12]] if system else [])
