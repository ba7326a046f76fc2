"""The conversation, and the form in which it is saved."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from looplet import LifecycleEvent, LoopConfig, StaticMemorySource, tools_from
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


class Reader:
    """Reads the conversation at the beginning of every turn, and keeps the lists."""

    def __init__(self) -> None:
        self.lists: list[list[Message]] = []
        self.lengths: list[int] = []

    def should_compact(self, state, session_log, conversation, step_num):
        self.lists.append(conversation.messages)
        self.lengths.append(len(conversation.messages))
        return False


def seen_by_a_run(drive, *, hooks=(), talk=None, memory="short"):
    """A conversation of two calls and a done, and the prompts that its model was sent."""
    tools = tools_from([], include_done=True)

    @tools.tool
    def look(at: str) -> dict:
        return {"seen": at}

    asked = [("look", {"at": "sea"}), ("look", {"at": "shore"}), ("done", {"summary": "seen"})]
    llm = drive.text([json.dumps({"tool": name, "args": args}) for name, args in asked])
    talk = Conversation() if talk is None else talk
    sent: list[str] = []

    class Sent:
        def on_event(self, payload):
            if payload.event is LifecycleEvent.PRE_LLM_CALL:
                sent.append(payload.prompt)

    config = LoopConfig(memory_sources=[StaticMemorySource(memory)])
    drive(llm, tools=tools, config=config, conversation=talk, hooks=[Sent(), *hooks], max_steps=9)
    return talk, sent


@pytest.mark.parametrize("memory", ["short", "long " * 2000])
def test_a_conversation_that_is_read_at_the_end_has_every_prompt_reply_and_result(drive, memory):
    talk, sent = seen_by_a_run(drive, memory=memory)
    told = [(each.role.value, each.content) for each in talk.messages]
    assert [role for role, _ in told] == ["user", "assistant", "tool"] * 3
    assert [text for role, text in told if role == "user"] == [prompt[:5000] for prompt in sent]
    assert [each.metadata for each in talk.messages if each.tool_call] == [
        {"step": 1}, {"step": 2}, {"step": 3},
    ]  # fmt: skip
    results = [each for each in talk.messages if each.tool_result]
    assert [each.tool_call.args for each in results[:2]] == [{"at": "sea"}, {"at": "shore"}]
    assert [json.loads(each.content) for each in results[:2]] == [
        {"seen": "sea"},
        {"seen": "shore"},
    ]
    times = [each.timestamp for each in talk.messages]
    assert times == sorted(times)
    assert times[0] < times[-1]


def test_a_conversation_is_the_same_whether_it_is_read_in_every_turn_or_at_the_end(drive):
    reader = Reader()
    read, _ = seen_by_a_run(drive, hooks=[reader])
    unread, _ = seen_by_a_run(drive)
    assert reader.lengths == [0, 3, 6]
    assert all(each is read.messages for each in reader.lists)
    assert [type(each) for each in read.messages] == [Message] * 9
    assert read.render() == unread.render()


def test_a_conversation_with_an_append_of_its_own_is_given_every_message(drive):
    class Told(Conversation):
        def append(self, message: Message) -> None:
            told.append(message)
            super().append(message)

    told: list[Message] = []
    talk, _ = seen_by_a_run(drive, talk=Told())
    assert [each.role.value for each in told] == ["user", "assistant", "tool"] * 3
    assert talk.messages == told


def test_other_messages_can_be_put_in_the_place_of_those_that_nobody_read(drive):
    talk, _ = seen_by_a_run(drive)
    mine = [Message(MessageRole.USER, "only this")]
    talk.messages = mine
    talk.append(Message(MessageRole.USER, "and this"))
    assert talk.messages is mine
    assert talk.render() == "user: only this\nuser: and this"
