"""Guarantee 10: a reply with a call in it is understood whatever surrounds the JSON."""

from __future__ import annotations

import json
import re
import sys
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from looplet import CallbackEmitter, LoopConfig, TrajectoryRecorder, tools_from
from looplet.core import parse
from looplet.core.parse import parse_reply
from looplet.core.runtime import Runtime
from tests.drivers import DRIVERS
from tests.guarantees.parts import DONE, shop

any_text = st.text(st.characters(exclude_categories=()), max_size=40)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | any_text,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(any_text, inner, max_size=3),
    max_leaves=8,
)
arguments = st.dictionaries(any_text.filter(lambda key: not key.startswith("__")), json_values)
PIECES = [
    "{", "}", "[", "]", "{}", "[]", '"', "'", "`", "```", "```json\n", "\r\n", "\n", "\t", "\\",
    "{look}", "{'a': 1}", "[1, 2]", "{1: 2}", '{"note": 1}', '{"a": {"b": [1, {"c": 2}]}}', '"{"',
    "it's", "I will {see}: ", "[see below]", "{ {", "} }", "((", "é", "価格", "\u2028", "\ud800",
    "\x00", "<think>{}</think>", "// {", '{"open": ', '[{"open": 1, ', "null", "true", "{,}",
]  # fmt: skip
prose = st.lists(st.sampled_from(PIECES) | any_text, max_size=6).map("".join)


def asks(text: str) -> bool:
    """Whether prose could be taken for a call of its own."""
    return bool(re.search(r"tool|name", text))


@settings(max_examples=300)
@given(st.text(st.characters(exclude_categories=())) | prose)
def test_no_text_makes_the_parser_raise(text):
    parsed = parse_reply(text)
    assert bool(parsed.calls) is (parsed.complaint is None)
    assert parsed.text == text


blocks = st.dictionaries(
    st.sampled_from(["type", "text", "id", "name", "input", "thinking"]),
    json_values | st.sampled_from(["text", "tool_use", "thinking", "price"]),
)
garbage = json_values | st.lists(blocks | json_values, max_size=5)


@settings(max_examples=300)
@given(garbage | st.binary() | st.builds(object) | st.tuples(blocks))
@example([{"type": "tool_use", "name": "price"}, {"type": ["text"]}])
@example([{"type": "text", "text": None}])
@example([{"type": "tool_use", "name": None, "input": 3}])
def test_no_value_makes_the_parser_raise(reply):
    parsed = parse_reply(reply)
    assert bool(parsed.calls) is (parsed.complaint is None)
    assert all(isinstance(call.args, dict) and call.tool for call in parsed.calls)


@pytest.mark.parametrize("name", DRIVERS)
@settings(max_examples=60)
@given(replies=st.lists(garbage, min_size=1, max_size=4))
@example(replies=[[{"type": "text", "text": None}]])
@example(replies=["text", None, [], [None], {"type": "text"}])
def test_no_reply_of_a_native_model_breaks_a_run(name, replies):
    asked, recorder, ended = [], TrajectoryRecorder(), []

    def reply(self, prompt, **keywords):
        asked.append(prompt)
        return replies[(len(asked) - 1) % len(replies)]

    async def reply_later(self, prompt, **keywords):
        return reply(self, prompt)

    answer = reply_later if name == "async" else reply
    model = type("Model", (), {"generate": answer, "generate_with_tools": answer})()
    runtime = Runtime(sleep=lambda seconds: None)
    config = LoopConfig(max_steps=3, use_native_tools=True, runtime=runtime)
    stream = CallbackEmitter(lambda event: ended.append(event.event_type))
    ran = DRIVERS[name](
        recorder.wrap_llm(model), tools=shop(), config=config, hooks=[recorder], stream=stream
    )
    assert ran.error is None
    assert ran.stop_reason in {"budget_exhausted", "done"}
    assert ended.count("LoopEndEvent") == 1
    assert len(recorder.trajectory.steps) == len(ran.steps)


FORMS = {
    "single": lambda args: {"tool": "price", "args": args, "reasoning": "r"},
    "other names": lambda args: {"name": "price", "input": args, "thought": "r"},
    "several": lambda args: {"tools": [{"tool": "price", "args": args}], "theory": "t"},
    "an array": lambda args: [{"tool": "price", "args": args}],
    "inside of something": lambda args: {"plan": [{"step": {"tool": "price", "args": args}}]},
}


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS.keys())
@settings(max_examples=150)
@given(
    before=prose.filter(lambda text: not asks(text)),
    after=prose,
    args=arguments,
    style=st.sampled_from([{}, {"indent": 2}, {"ensure_ascii": False}, {"separators": (",", ":")}]),
    fence=st.sampled_from(["{}", "```json\n{}\n```", "```\r\n{}\r\n```", "~~~\n{}\n~~~"]),
    ends=st.sampled_from(["\n", "\r\n"]),
)
@example("I will {look}: ", "", {"q": "{"}, {}, "{}", "\n")
@example('{"open": ', "", {"q": '"'}, {}, "{}", "\n")
def test_a_call_is_found_in_any_prose(form, before, after, args, style, fence, ends):
    given_json = json.dumps(form(args), **style)
    if style.get("indent"):
        given_json = given_json.replace("\n", ends)
    reply = before + fence.replace("{}", given_json) + after
    calls = parse_reply(reply).calls
    assert [(call.tool, own(call.args)) for call in calls] == [("price", args)]


def own(args: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in args.items() if key != parse.THEORY}


@given(text=any_text, raw=st.sampled_from(["\n", "\r\n", "\t", "\n\n\t"]))
def test_raw_newlines_and_tabs_inside_of_strings_are_repaired(text, raw):
    encoded = json.dumps(text)[1:-1]
    reply = f'Writing: {{"tool": "write", "args": {{"text": "{encoded}{raw}{encoded}"}}}} done'
    (call,) = parse_reply(reply).calls
    assert call.args == {"text": text + raw + text}


@given(args=arguments, place=st.integers(0, 3))
def test_the_first_object_that_is_a_call_counts(args, place):
    others = ['{"note": 1}', '{"answer": {"value": [1]}}', "{}"]
    first = json.dumps({"tool": "price", "args": args})
    second = '{"tool": "other", "args": {}}'
    (call,) = parse_reply(" and ".join([*others[:place], first, second])).calls
    assert (call.tool, call.args) == ("price", args)


@given(args=arguments)
def test_a_call_reaches_the_tool_as_it_was_asked_for(args):
    got = []
    tools = tools_from([], include_done=True)

    def take(given: Any = None) -> dict:
        got.append(given)
        return {}

    tools.tool(take)
    reply = f"So {{then}}:\n{json.dumps({'tool': 'take', 'args': {'given': args}})}\nThat is all."
    drive = DRIVERS["sync"]
    drive(drive.text([reply, DONE]), tools=tools)
    assert got == [args]


def operations(text: str) -> int:
    """Lines of the parser that run for a text, and characters that the decoder reads."""
    count = 0

    def trace(frame, event, arg):
        nonlocal count
        if frame.f_code.co_filename != parse.__file__:
            return None
        count += event == "line"
        return trace

    class Counting(json.JSONDecoder):
        def raw_decode(self, s, idx=0):
            nonlocal count
            read_to = len(s)
            try:
                value, read_to = super().raw_decode(s, idx)
            except json.JSONDecodeError as error:
                read_to = error.pos
                raise
            finally:
                count += read_to - idx
            return value, read_to

    decoder, before = parse._DECODER, sys.gettrace()
    parse._DECODER = Counting(strict=False)
    sys.settrace(trace)
    try:
        parse_reply(text)
    finally:
        sys.settrace(before)
        parse._DECODER = decoder
    return count


HARD = {
    "open braces": lambda n: '{"a": ' * n,
    "open arrays": lambda n: '[{"a": 1}, ' * n,
    "closed in the wrong order": lambda n: '{"a": [' * n + "}]" * n,
    "deep": lambda n: '{"a": ' * n + "1" + "}" * n,
    "deep and broken": lambda n: '{"a": ' * n + "tru" + "}" * n,
    "many objects": lambda n: '{"note": 1} ' * n,
    "many broken objects": lambda n: '{"note": tru} ' * n,
    "broken inside of broken": lambda n: '{"a": [{"b": tru}, ' * n + "]}" * n,
    "quotes": lambda n: '{"' * n,
    "backslashes": lambda n: '{"' + "\\" * n,
    "prose": lambda n: "{look} at [that] " * n,
    "a long string": lambda n: '{"a": "' + "x{" * n,
    "arrays of objects that never end": lambda n: "[{" * n + '"a": 1',
    "spaces": lambda n: "{" + " " * n + "[" + " " * n,
}


@pytest.mark.parametrize("size", [60, 250], ids=["shallow", "past the deepest"])
@pytest.mark.parametrize("hard", HARD.values(), ids=HARD.keys())
def test_the_work_of_parsing_grows_with_the_length_of_the_reply(hard, size):
    small, large = (operations(hard(each)) for each in (size, 8 * size))
    assert large <= 10 * small + 500
