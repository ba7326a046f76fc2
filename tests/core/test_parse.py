"""Tool calls in a model's reply, whatever surrounds them."""

from __future__ import annotations

import json

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from looplet.core.parse import parse_reply

CALL = '{"tool": "price", "args": {"fruit": "apple"}, "reasoning": "look it up"}'


def read(reply):
    return [(call.tool, call.args) for call in parse_reply(reply).calls]


PRICE = [("price", {"fruit": "apple"})]


@pytest.mark.parametrize(
    "reply",
    [
        CALL,
        '{"name": "price", "args": {"fruit": "apple"}}',
        '{"tool": "price", "input": {"fruit": "apple"}}',
        '{"tool": "price", "parameters": {"fruit": "apple"}}',
        '{"tool": "price", "fruit": "apple"}',
        '{"tool": "price", "fruit": "apple", "thought": "hm", "theory": "t"}'.replace(
            ', "theory": "t"', ""
        ),
        '{"tools": [{"tool": "price", "args": {"fruit": "apple"}}]}',
        '[{"tool": "price", "args": {"fruit": "apple"}}]',
        f"```json\n{CALL}\n```",
        f"```\n{CALL}\n```\nThat was it.",
        f"I will {{look}} it up: {CALL} and {{then}} go on.",
        f"{{not json}} [nor this] {CALL}",
        f'{{"answer": 42}} then {CALL}',
        f'{{"broken": {CALL}',
        f'{{"unfinished {CALL}',
        f'[{{"unfinished": 1, {CALL}',
        f'He said "{{" and then {CALL}',
        f'{{"plan": [{{"step": {CALL}}}]}}',
        f'{{"bad": tru}} {CALL}',
        f'{{"bad": [1,], "call": {CALL}}}',
        f'{CALL} {{"tool": "other", "args": {{}}}}',
    ],
)
def test_one_call_is_found_in_every_form(reply):
    assert read(reply) == PRICE


@pytest.mark.parametrize("key", ["reasoning", "thinking", "thought"])
def test_the_reasoning_has_three_names(key):
    (call,) = parse_reply(json.dumps({"tool": "x", "args": {}, key: "why"})).calls
    assert call.reasoning == "why"


@pytest.mark.parametrize("wrap", ['{"tools": %s}', "%s", "Both: %s."])
def test_several_calls_keep_their_order(wrap):
    calls = '[{"tool": "a", "args": {"n": 1}}, {"name": "b", "args": {}}]'
    assert read(wrap % calls) == [("a", {"n": 1}), ("b", {})]


def test_a_name_beside_tool_is_an_argument():
    assert read('{"tool": "greet", "name": "Alice"}') == [("greet", {"name": "Alice"})]


def test_tools_beside_tool_is_an_argument_unless_it_holds_calls():
    assert read('{"tool": "install", "tools": ["git"]}') == [("install", {"tools": ["git"]})]


def test_a_name_alone_is_no_call():
    assert read('{"name": "Alice", "age": 3}') == []


@pytest.mark.parametrize("reply", ['{"tool": "x"}', '{"tool": "x", "args": null}'])
def test_a_call_may_have_no_arguments(reply):
    assert read(reply) == [("x", {})]


def test_a_bare_text_as_arguments_is_a_raw_argument():
    assert read('{"tool": "x", "args": "hi"}') == [("x", {"_raw_arg": "hi"})]


@pytest.mark.parametrize(
    "reply",
    ['{"tool": "a", "args": {}, "theory": "T"}', '{"tools": [{"tool": "a"}], "theory": "T"}'],
)
def test_a_theory_stands_in_metadata_and_where_hooks_find_it(reply):
    (call,) = parse_reply(reply).calls
    assert call.metadata == {"theory": "T"}
    assert call.args == {"__theory__": "T"}


def test_raw_newlines_and_tabs_inside_strings_are_kept():
    assert read('{"tool": "w", "args": {"text": "a\n\tb"}}') == [("w", {"text": "a\n\tb"})]


@pytest.mark.parametrize("opening", ['{"a": %s}', "[%s]", '[{"a": %s}]'])
def test_arguments_may_be_nested_200_levels_deep(opening):
    deep = "1"
    for _ in range(200):
        deep = opening % deep
    ((tool, args),) = read(f'So: {{"tool": "x", "args": {{"deep": {deep}}}}} end')
    assert tool == "x"
    assert args == {"deep": json.loads(deep)} if opening != '[{"a": %s}]' else args


@pytest.mark.parametrize(
    ("reply", "words"),
    [("", "empty"), ("  \n", "empty"), ("I give up.", "no JSON"), ('{"tool": "x"', "no complete"),
     ('{"tool": ""}', "no complete"), ("[]", "no JSON"), ('{"tools": []}', "no complete")],
)  # fmt: skip
def test_a_reply_without_a_call_is_complained_about(reply, words):
    parsed = parse_reply(reply)
    assert parsed.calls == ()
    assert words in parsed.complaint
    assert parsed.text == reply


def test_native_blocks_keep_their_id_and_the_text_beside_them():
    parsed = parse_reply(
        [
            {"type": "text", "text": "First the price."},
            {"type": "tool_use", "id": "c1", "name": "price", "input": {"fruit": "apple"}},
            {"type": "tool_use", "id": "c2", "name": "stock", "input": {}},
        ]
    )
    assert [(call.call_id, call.tool) for call in parsed.calls] == [
        ("c1", "price"),
        ("c2", "stock"),
    ]
    assert parsed.calls[0].reasoning == "First the price."
    assert parsed.ids_given


def test_blocks_without_a_call_are_read_as_text():
    assert read([{"type": "text", "text": f"So: {CALL}"}]) == PRICE
    assert not parse_reply([{"type": "text", "text": CALL}]).ids_given


@pytest.mark.parametrize("reply", [None, 3, [], ["x"], [None, {"type": "tool_use"}], {"tool": "x"}])
def test_a_reply_that_is_neither_text_nor_blocks_does_no_harm(reply):
    assert parse_reply(reply).calls == ()


json_like = st.text(st.sampled_from('{}[]":,\\ tolarge1\n'), max_size=60)


@given(st.text(st.characters(exclude_categories=())) | json_like)
@example('{"a":' * 3000)
@example('[{"a":' * 3000 + "1" + "}]" * 3000)
@example('{"tool": "x", "args": {"n": ' + "9" * 5000 + "}}")
def test_no_text_makes_the_parser_fail(text):
    parsed = parse_reply(text)
    assert bool(parsed.calls) == (parsed.complaint is None)


prose = json_like | st.text(max_size=60)
arguments = st.dictionaries(
    st.text(max_size=8).filter(lambda key: key[:2] != "__"),
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=10) | json_like,
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
        max_leaves=5,
    ),
    max_size=4,
)


@given(prose, arguments, prose)
@example('{"x {"', {}, "}")
@example('\\" {"a": "', {"q": '{"'}, '"}')
def test_a_call_is_found_in_any_prose_around_it(before, args, after):
    call = json.dumps({"tool": "price", "args": args})
    if read(before) or read(before + "\n") or "tool" in before:
        return
    assert read(f"{before}{call}{after}") == [("price", args)]


@pytest.mark.parametrize(
    "part", ["{", '{"', '{"a":', '{"a":{"a":', '[{"a":', '[{"a":1},', '{"tool":"']
)
def test_a_long_reply_that_closes_nothing_is_read_to_its_end(part):
    assert read(part * (200_000 // len(part)) + " " + CALL) in (PRICE, [])


def test_an_item_that_is_no_call_takes_nothing_from_the_calls_beside_it():
    reply = '{"tools": [{"tool": "a", "args": {}}, {"note": 1}, "x", {"tool": "b", "args": {}}]}'
    assert [call.tool for call in parse_reply(reply).calls] == ["a", "b"]


blocks_like = st.dictionaries(
    st.sampled_from(["type", "name", "id", "text", "input"]),
    st.sampled_from(["text", "tool_use", "x", "", None, 1, ["text"], {"a": 1}]),
)


@given(st.lists(blocks_like | json_like, max_size=4))
@example([{"type": "tool_use", "id": "c", "name": "price", "input": {}}, {"type": []}])
def test_no_blocks_make_the_parser_fail(blocks):
    parsed = parse_reply(blocks)
    assert bool(parsed.calls) == (parsed.complaint is None)
