"""A cassette as a person reads it."""

from __future__ import annotations

import pytest

from looplet import LoopConfig, composable_loop
from looplet.core.records import escape_controls
from looplet.errors import BackendTimeout
from looplet.replay import use_cassette
from looplet.replay.playback import Player
from looplet.replay.transcript import MOST_CHARS, transcript
from looplet.testing import MockLLMBackend, ScriptedToolBackend
from tests.replay.agents import Desk, call, model


def shown(path, **options):
    return [*transcript(Player(path), **options)]


def record(path, llm, tools="recorded", **config):
    with use_cassette(path, record_mode="once", tools=tools) as cassette, cassette.ambient():
        config = LoopConfig(max_steps=6, **config)
        list(composable_loop(llm, "Price", Desk().tools(), config=config))


def test_a_run_reads_as_a_conversation(path):
    record(path, model([call("price", fruit="fig"), call("done", summary="priced")]))
    lines = shown(path)
    assert lines[0].startswith("[1] main, step 1, ")
    assert lines[1:4] == ["  user:", "    TASK", "    description: Price"]
    assert '  → {"tool": "price", "args": {"fruit": "fig"}}' in lines
    place = next(n for n, line in enumerate(lines) if line.startswith("[2] tool:price, step 1"))
    assert lines[place + 1 : place + 3] == [
        '  {"fruit": "fig"}', '  → {"fruit": "fig", "euro": 0.4}',
    ]  # fmt: skip
    assert lines[place + 3].startswith("#1 ✓ price(fruit=fig) → 2 keys")
    assert lines[-1].startswith("#2 ✓ done(summary=priced)")


def test_what_was_said_before_is_not_repeated(path):
    record(path, model([call("price", fruit="fig"), call("done", summary="priced")]))
    lines = shown(path)
    assert sum("description: Price" in line for line in lines) == 1
    assert any("S1 ✓ price(fruit=fig)" in line for line in lines)
    assert lines.count("    …") >= 1


def test_steps_or_calls_alone(path):
    record(path, model([call("price", fruit="fig"), call("done", summary="priced")]))
    steps, calls = shown(path, calls=False), shown(path, steps=False)
    assert [line.split(" ")[0] for line in steps] == ["#1", "#2"]
    assert [line for line in calls if line.startswith("#")] == []
    assert [line.split(" ")[0] for line in calls if line.startswith("[")] == [
        "[1]", "[2]", "[4]", "[5]",
    ]  # fmt: skip


def test_native_calls_and_their_results_are_shown(path):
    use = {"type": "tool_use", "id": "c1", "name": "price", "input": {"fruit": "fig"}}
    done = {"type": "tool_use", "id": "c2", "name": "done", "input": {"summary": "priced"}}
    llm = ScriptedToolBackend(
        [[{"type": "text", "text": "Let me look."}, use], [done]],
        usage={"input_tokens": 5, "output_tokens": 2},
    )
    record(path, llm, use_native_tools=True)
    text = "\n".join(shown(path))
    assert "5 in, 2 out" in text
    assert "  →\n    Let me look.\n    price(fruit=fig)\n" in text
    assert "  assistant:\n    Let me look.\n    price(fruit=fig)" in text
    assert '  tool: {"fruit": "fig", "euro": 0.4}' in text


def test_failures_are_shown(path):
    record(path, model([call("price", fruits="fig"), RuntimeError("no model")]))
    lines = shown(path)
    assert any(line.startswith("  ✗ price:") for line in lines)
    assert "  ✗ RuntimeError: no model" in lines


def test_control_characters_are_escapes(path):
    evil = "\x1b[31mred\x07\u202e"
    record(path, model([call("price", fruit=evil), call("done", summary=evil)]))
    text = "\n".join(shown(path))
    assert text == "\n".join(map(escape_controls, text.split("\n")))
    assert "\\x1b[31mred" in text


def test_long_texts_are_cut_and_shown_in_full_on_request(path):
    long = "x" * (MOST_CHARS + 1) + "END"
    with use_cassette(path, record_mode="once") as cassette:
        llm = cassette.wrap_llm(MockLLMBackend([long]))
        llm.generate("\n".join(map(str, range(99))))
    text = "\n".join(shown(path))
    assert "END" not in text
    assert "… (2,004 characters in all)" in text
    assert "… (286 characters in all)" in text
    full = "\n".join(shown(path, full=True))
    assert "END" in full
    assert "    98\n" in full


def test_a_message_that_was_said_in_another_lane_is_named_by_its_beginning(path):
    with use_cassette(path, record_mode="once") as cassette:
        for lane in ("one", "two"):
            cassette.wrap_llm(MockLLMBackend(["ok"]), lane=lane).generate("Long ago. " * 40)
    lines = shown(path)
    assert lines[-2] == f"  user, as before: {('Long ago. ' * 40)[:60]} …"


def test_runs_are_told_apart(path):
    with use_cassette(path, record_mode="once") as cassette, cassette.ambient():
        for task in ("a", "b"):
            llm = model([call("done", summary=task)])
            list(composable_loop(llm, task, Desk().tools(), max_steps=2))
    assert [line[:8] for line in shown(path, calls=False)] == ["run 0 #1", "run 1 #1"]


@pytest.mark.parametrize("error", [KeyboardInterrupt(), BackendTimeout("late")])
def test_calls_that_were_interrupted_are_shown(path, error):
    def ask():
        with use_cassette(path, record_mode="once") as cassette:
            cassette.wrap_llm(MockLLMBackend([error])).generate("hello")

    with pytest.raises(type(error)):
        ask()
    assert shown(path)[-1].startswith(f"  ✗ {type(error).__name__}")
