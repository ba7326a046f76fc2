"""Texts that stand above the task."""

from __future__ import annotations

import json

import pytest

from looplet import (
    CachePolicy,
    CallableMemorySource,
    LoopConfig,
    MockLLMBackend,
    StaticMemorySource,
    TruncateCompact,
    tool,
    tools_from,
)
from looplet.core.codec import digest


def test_a_static_source_gives_its_text_whatever_the_state():
    assert StaticMemorySource("euro").load(None) == StaticMemorySource("euro").load(object())


def test_a_callable_source_is_given_the_state():
    source = CallableMemorySource(lambda state: f"step {state}" if state else None)
    assert (source.load(3), source.load(0)) == ("step 3", None)


class Marks(MockLLMBackend):
    """A scripted model that takes marks for a provider's cache."""

    def __init__(self, responses):
        super().__init__(responses)
        self.marks, self.prompts = [], []

    def generate(self, prompt, *, cache_breakpoints=()):
        self.marks.append([(mark.label, mark.sha256) for mark in cache_breakpoints])
        self.prompts.append(prompt)
        return super().generate(prompt)


def test_a_source_is_loaded_once_a_turn_and_its_mark_is_of_what_was_sent(drive):
    loaded = []

    def words(state):
        loaded.append(f"word {len(loaded)}")
        return loaded[-1]

    look = tool(lambda: "seen", name="look")
    sources = [CallableMemorySource(words), StaticMemorySource(""), StaticMemorySource("Be fair.")]
    config = LoopConfig(memory_sources=sources, cache_policy=CachePolicy(memory="1h"))
    llm = Marks([f'{{"tool": "{name}", "args": {{}}}}' for name in ("look", "done")])
    drive(llm, tools=tools_from([look], include_done=True), task="Rest", config=config, max_steps=2)
    assert loaded == ["word 0", "word 1"]
    for text, prompt, marks in zip(loaded, llm.prompts, llm.marks, strict=True):
        assert prompt.startswith(f"MEMORY\n{text}\n\nBe fair.\n\nTASK\n")
        assert marks == [("memory", digest(f"{text}\n\nBe fair."))]


@pytest.mark.parametrize("native", [False, True], ids=["text", "native"])
def test_a_compaction_leaves_memory_alone(drive, native):
    look = tool(lambda: "seen", name="look")
    given = [("look", {}), ("look", {}), ("done", {"summary": "x"})]
    texts = [json.dumps({"tool": name, "args": args}) for name, args in given]
    turns = [
        [{"type": "tool_use", "id": str(place), "name": name, "input": args}]
        for place, (name, args) in enumerate(given)
    ]
    llm = drive.native(turns) if native else drive.text(texts)
    hook = type("Always", (), {"should_compact": lambda self, *about: True})()
    config = LoopConfig(
        memory_sources=[StaticMemorySource("Be fair.")],
        use_native_tools=native,
        compact_service=TruncateCompact(keep_recent=0),
    )
    tools = tools_from([look], include_done=True)
    drive(llm, tools=tools, task="Rest", config=config, hooks=[hook])
    sent = llm.requests[-1].messages[0].content if native else llm.last_prompt
    assert sent.startswith("MEMORY\nBe fair.\n\nTASK")
    assert "seen" not in sent
