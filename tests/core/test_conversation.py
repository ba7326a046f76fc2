"""The conversation, and the form in which it is saved."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from looplet import LoopConfig, tools_from
from looplet.core.conversation import Conversation, Message, MessageRole
from looplet.core.records import ErrorKind, ToolCall, ToolError, ToolResult

CALL = ToolCall("price", {"key": (1, 2)}, "why", "c1", {"seen": {3}})
DETAIL = ToolError(ErrorKind.NETWORK, "lost", retriable=True, context={"at": b"x"})
RESULT = ToolResult(
    "price", "key=…", None, error="lost", error_detail=DETAIL, duration_ms=1.5,
    result_key="r", call_id="c1", metadata={"m": (1,)},
)  # fmt: skip
TALK = Conversation(
    [
        Message(MessageRole.USER, "hi \ud800", timestamp=1.0),
        Message(MessageRole.ASSISTANT, "", tool_call=CALL, metadata={"t": (1,)}, timestamp=2.0),
        Message(MessageRole.TOOL, "lost", tool_result=RESULT, timestamp=3.0),
    ]
)


def test_a_conversation_comes_back_as_it_was():
    saved = json.loads(json.dumps(TALK.serialize(), allow_nan=False))
    assert Conversation.deserialize(saved).messages == TALK.messages


def test_the_saved_form_has_the_contracts_keys():
    saved = TALK.serialize()
    assert saved["version"] == 1
    plain, called, answered = saved["messages"]
    assert list(plain) == ["role", "content", "timestamp", "metadata"]
    assert list(called["tool_call"]) == ["tool", "args", "reasoning", "call_id", "metadata"]
    assert list(answered["tool_result"]) == [
        "tool", "args_summary", "data", "error", "error_kind", "error_retriable", "error_context",
        "duration_ms", "result_key", "call_id", "metadata",
    ]  # fmt: skip
    assert answered["tool_result"]["error_kind"] == "network"


@pytest.mark.parametrize("version", [None, 2, "1"])
def test_an_unknown_format_is_refused_by_name(version):
    with pytest.raises(ValueError, match=str(version)):
        Conversation.deserialize({"version": version, "messages": []})


def test_a_fork_grows_by_itself():
    fork = TALK.fork()
    fork.append(Message(MessageRole.USER, "more"))
    assert (len(TALK.messages), len(fork.messages)) == (3, 4)


def test_a_conversation_is_rendered_and_estimated_by_its_text():
    talk = Conversation([Message(MessageRole.USER, "x" * 9), Message(MessageRole.TOOL, "y" * 7)])
    assert talk.render() == f"user: {'x' * 9}\ntool: {'y' * 7}"
    assert talk.token_estimate() == 4


MESSAGES = st.lists(
    st.builds(Message, st.sampled_from(list(MessageRole)), st.text(max_size=3)), max_size=12
)


@given(MESSAGES, st.integers(0, 14))
def test_a_cut_keeps_the_newest_messages_and_parts_no_call_from_its_answer(messages, keep):
    talk = Conversation(messages)
    talk.token_estimate()
    dropped = talk.truncate(keep)
    assert talk.messages == messages[dropped:]
    assert len(talk.messages) >= min(keep, len(messages))
    if 0 < dropped < len(messages):
        assert messages[dropped].role is not MessageRole.TOOL
        assert messages[dropped - 1].role is MessageRole.TOOL
    assert talk.token_estimate() == sum(len(each.content) for each in talk.messages) // 4


@given(MESSAGES, st.integers(0, 14))
def test_a_summary_stands_for_what_a_cut_drops(messages, keep):
    cut, summed = Conversation(messages), Conversation(messages)
    dropped = cut.truncate(keep)
    assert summed.compact("so far: nothing", keep=keep) == dropped
    told = [each for each in summed.messages if each.content == "so far: nothing"]
    assert summed.messages == (told + cut.messages if dropped else messages)
    assert len(told) == bool(dropped)


def test_a_conversation_knows_the_entities_that_results_brought(drive):
    config = LoopConfig(extract_entities=lambda data: data.get("seen", ()))
    tools = tools_from([], include_done=True)

    @tools.tool
    def look(at: str) -> dict:
        return {"seen": [at, "sky"]}

    asked = [{"tool": "look", "args": {"at": at}} for at in ("sea", "sea", "shore")]
    replies = [json.dumps(call) for call in (*asked, {"tool": "done", "args": {"summary": ""}})]
    talk = Conversation()
    drive(drive.text(replies), tools=tools, config=config, conversation=talk)
    assert talk.entities() == ["sea", "sky", "shore"]
    assert Conversation.deserialize(talk.serialize()).entities() == talk.entities()
