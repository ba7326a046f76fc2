"""Which parts of a prompt are kept, and how Anthropic is told."""

from __future__ import annotations

import hashlib

import pytest

from looplet.backends import AnthropicBackend, CacheControl, CachePolicy, OpenAIBackend
from looplet.core.backend import takes
from looplet.core.messages import ChatMessage

TOOLS = [{"name": name, "description": "", "input_schema": {"type": "object"}} for name in "ab"]
ALL = CachePolicy("ephemeral", CacheControl.ONE_HOUR, "ephemeral")
SHORT, LONG = {"type": "ephemeral"}, {"type": "ephemeral", "ttl": "1h"}


def test_each_part_has_its_label_digest_and_time():
    marks = ALL.breakpoints(system_prompt="s", tools=TOOLS, memory="m")
    assert [(mark.label, mark.ttl) for mark in marks] == [
        ("tool_schemas", "1h"),
        ("system_prompt", "5m"),
        ("memory", "5m"),
    ]
    assert marks[1].sha256 == hashlib.sha256(b"s").hexdigest()


def test_a_part_that_is_empty_or_kept_out_has_no_mark():
    assert ALL.breakpoints() == []
    assert CachePolicy().breakpoints(system_prompt="s", tools=TOOLS, memory="m") == []


def test_the_digest_changes_with_the_part():
    one, other = (ALL.breakpoints(memory=text)[0].sha256 for text in ("a", "b"))
    assert one != other


def test_a_control_of_another_name_is_refused():
    with pytest.raises(ValueError, match="2h"):
        CachePolicy(memory="2h")


def test_anthropic_marks_system_tools_and_the_opening(server):
    llm = AnthropicBackend(base_url=server.root, model="m")
    marks = ALL.breakpoints(system_prompt="s", tools=TOOLS, memory="m")
    messages = [
        ChatMessage(role="user", content="MEMORY m"),
        ChatMessage(role="user", content="Low budget."),
    ]
    llm.generate_with_tools(
        "", tools=TOOLS, system_prompt="s", messages=messages, cache_breakpoints=marks
    )
    llm.close()
    sent = server.bodies[0]
    assert sent["system"] == [{"type": "text", "text": "s", "cache_control": SHORT}]
    assert sent["tools"] == [TOOLS[0], {**TOOLS[1], "cache_control": LONG}]
    assert sent["messages"][0]["content"] == [
        {"type": "text", "text": "MEMORY m", "cache_control": SHORT},
        {"type": "text", "text": "Low budget."},
    ]
    assert "cache_breakpoints" not in sent


def test_a_part_that_is_not_sent_and_a_prompt_of_text_are_not_marked(server):
    llm = AnthropicBackend(base_url=server.root, model="m")
    llm.generate("hi", cache_breakpoints=ALL.breakpoints(system_prompt="s", memory="m"))
    llm.close()
    assert server.bodies[0]["messages"] == [{"role": "user", "content": "hi"}]
    assert "system" not in server.bodies[0]


def test_a_backend_that_caches_by_itself_takes_no_marks():
    assert takes(AnthropicBackend(api_key="k"), "generate", "cache_breakpoints")
    assert not takes(OpenAIBackend(api_key="k"), "generate", "cache_breakpoints")
