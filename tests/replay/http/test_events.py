"""Streams without secrets, however they were cut."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from looplet.redaction import Redactor
from looplet.replay.http.events import redact_events, redact_stream
from tests.streams import chat_chunks, message_events

SECRET = "sesame-99-open"
HIDING = Redactor(secrets={"door": SECRET}, defaults=False)
texts = st.text('ab {}\n"é', max_size=8)


@st.composite
def texts_with_the_secret(draw):
    parts = draw(st.lists(texts | st.just(SECRET), min_size=1, max_size=4))
    return "".join(parts)


def cut_at(draw, text):
    cuts = sorted(draw(st.lists(st.integers(0, len(text)), max_size=8)))
    return [text[a:b] for a, b in zip([0, *cuts], [*cuts, len(text)], strict=True)]


def chat(text, arguments):
    call = {"id": "c1", "function": {"name": "f", "arguments": arguments}}
    message = {"role": "assistant", "content": text, "tool_calls": [call, {**call, "id": "c2"}]}
    return {"choices": [{"message": message, "finish_reason": "stop"}]}


def message(text, arguments):
    blocks = [
        {"type": "text", "text": text},
        {"type": "tool_use", "id": "t", "name": "f", "input": {"a": arguments}},
    ]
    return {"content": blocks, "stop_reason": "end_turn", "usage": {"output_tokens": 1}}


@given(st.data(), texts_with_the_secret(), texts_with_the_secret())
def test_no_secret_survives_in_the_streams_of_providers(data, text, arguments):
    def cut(whole):
        return cut_at(data.draw, whole)

    for events in (
        chat_chunks(chat(text, arguments), cut),
        message_events(message(text, arguments), cut),
    ):
        stream = "".join(f"data: {json.dumps(event)}\n\n" for event in events)
        redacted = [
            json.loads(line[6:]) for line in redact_stream(stream, HIDING).split("\n") if line
        ]
        assert len(redacted) == len(events)
        for joined in joined_texts(redacted).values():
            assert SECRET not in joined
        was, now = joined_texts(events), joined_texts(redacted)
        assert was.keys() == now.keys()
        for place, joined in was.items():
            assert now[place] == HIDING.text(joined)


def joined_texts(events):
    """What an SDK makes of a stream: the pieces of each text and of each call's arguments."""
    out = {}
    for event in events:
        for choice in event.get("choices", ()):
            delta = choice["delta"]
            out["content"] = out.get("content", "") + (delta.get("content") or "")
            for call in delta.get("tool_calls", ()):
                place = ("call", call["index"])
                out[place] = out.get(place, "") + call["function"].get("arguments", "")
        if event.get("type") == "content_block_delta":
            delta, place = event["delta"], ("block", event["index"])
            out[place] = out.get(place, "") + delta.get("text", delta.get("partial_json", ""))
    return out


def test_texts_that_are_sent_at_the_same_time_are_told_apart():
    events = [
        {"choices": [{"index": n, "delta": {"content": piece}}]}
        for pieces in zip(SECRET, "x" * len(SECRET), strict=True)
        for n, piece in enumerate(pieces)
    ]
    redacted = redact_events(events, HIDING)
    first = "".join(each["choices"][0]["delta"]["content"] for each in redacted[::2])
    second = "".join(each["choices"][0]["delta"]["content"] for each in redacted[1::2])
    assert (first, second) == ("[REDACTED:door]", "x" * len(SECRET))


def test_chunks_that_name_a_call_at_another_position_are_put_together():
    def chunk(*calls):
        return {"tool_calls": [{"index": n, "function": {"arguments": text}} for n, text in calls]}

    events = [chunk((0, "xx"), (1, SECRET[:5])), chunk((1, SECRET[5:9])), chunk((1, SECRET[9:]))]
    redacted = redact_events(events, HIDING)
    assert redacted[0] == chunk((0, "xx"), (1, "[REDACTED:door]"))
    assert redacted[1:] == [chunk((1, "")), chunk((1, ""))]


def test_parts_of_a_list_that_are_sent_at_the_same_time_are_told_apart():
    events = [
        {"parts": [{"text": SECRET[:5]}, {"text": "x"}]},
        {"parts": [{"text": SECRET[5:]}, {"text": "y"}]},
    ]
    redacted = redact_events(events, HIDING)
    assert [each["parts"][0]["text"] for each in redacted] == ["[REDACTED:door]", ""]
    assert [each["parts"][1]["text"] for each in redacted] == ["x", "y"]


def test_events_that_are_given_stay_as_they_are():
    events = [{"a": SECRET[:5]}, {"a": SECRET[5:]}]
    redact_events(events, HIDING)
    assert events == [{"a": SECRET[:5]}, {"a": SECRET[5:]}]


def test_the_bytes_beside_a_token_say_what_the_token_says():
    tokens = [{"token": piece, "bytes": list(piece.encode())} for piece in (SECRET[:6], SECRET[6:])]
    (redacted,) = redact_events([{"logprobs": tokens}], HIDING)
    assert [each["token"] for each in redacted["logprobs"]] == ["[REDACTED:door]", ""]
    assert [bytes(each["bytes"]).decode() for each in redacted["logprobs"]] == [
        "[REDACTED:door]",
        "",
    ]


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_what_holds_no_secret_stays_to_the_last_byte(end):
    lines = [
        ": hello",
        "event: a",
        'data: {"b" :\t1}',
        "",
        "data:2",
        "id: 7",
        "",
        "data: [DONE]",
        "",
        "",
    ]
    stream = end.join(lines)
    assert redact_stream(stream, HIDING) == stream
    changed = redact_stream(stream.replace('{"b" :\t1}', f'{{"b": "{SECRET}"}}'), HIDING)
    assert changed == stream.replace('{"b" :\t1}', '{"b":"[REDACTED:door]"}')


def test_data_of_several_lines_is_one_event():
    stream = f'data: {{"a":\ndata: "{SECRET}"}}\n\n'
    assert redact_stream(stream, HIDING) == 'data: {"a":"[REDACTED:door]"}\n\n'
    text = f"data: two {SECRET[:5]}\ndata:\n\ndata: lines of {SECRET}\n\n"
    assert SECRET not in redact_stream(text, HIDING)


def test_a_secret_in_a_comment_or_a_name_is_hidden():
    stream = f": {SECRET}\nevent: {SECRET}\ndata: {{}}\n\n"
    assert (
        redact_stream(stream, HIDING) == ": [REDACTED:door]\nevent: [REDACTED:door]\ndata: {}\n\n"
    )
