"""YAML that gives every text back, and that a person can read."""

import json

import pytest
import yaml
from hypothesis import example, given
from hypothesis import strategies as st

from looplet.replay.serializer import dumps, loads, restored, storable

ANY_TEXT = st.text(
    alphabet=st.one_of(
        st.characters(codec=None, categories=None),
        st.sampled_from(
            "\x00\x07\t\r\n \x7f\x85\xa0\u2028\u2029\ufeff\ud800\udfff\ue000😀:#-|>'\""
        ),
    ),
    max_size=80,
)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | ANY_TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(ANY_TEXT, inner, max_size=4),
    max_leaves=12,
)


@given(VALUES)
@example("yes")
@example({"\ud800": {"a": 1}})
@example("2024-01-01")
@example("1:30")
@example("0x1F")
@example("=")
@example({"<<": "~", "null": "null", "": ""})
@example("# no comment\n---\n...\n- {a: b}\n")
@example("line \r\nline\r\n" * 9)
@example("\ud83d\ude00")
@example({"$looplet": "lines", "value": ["a"]})
@example([1.0, 1e-7, 1e22, -0.0, 10**30])
def test_every_value_comes_back_from_both_loaders_and_from_json(value):
    text = dumps({"value": storable(value)})
    expected = json.dumps(value)
    for loader in (yaml.CSafeLoader, yaml.SafeLoader):
        found = restored(yaml.load(text, Loader=loader)["value"])
        assert found == value
        assert json.dumps(found) == expected
    assert restored(json.loads(json.dumps(storable(value)))) == value
    assert restored(loads(text)["value"]) == value


@given(st.lists(st.text(alphabet=st.characters(min_codepoint=0x10000), max_size=9), max_size=9))
def test_characters_outside_the_basic_plane_stay_as_they_are(texts):
    assert loads(dumps({"texts": storable(texts)}))["texts"] == texts


@given(st.text(alphabet=st.sampled_from("\n ab:#-|>"), max_size=90))
def test_every_block_comes_back(text):
    written = dumps({"text": storable(text), "list": [storable(text)]})
    for loader in (yaml.CSafeLoader, yaml.SafeLoader):
        found = yaml.load(written, Loader=loader)
        assert (restored(found["text"]), restored(found["list"])) == (text, [text])


def test_a_text_of_several_lines_is_a_block():
    assert dumps({"text": storable("You are kind 😀.\n  - to all\n")}) == (
        "text: |\n  You are kind 😀.\n    - to all\n"
    )


def test_a_text_that_can_be_no_block_is_a_list_of_lines():
    text = "def f():\n\treturn 1\n" + "# a comment at the end of it \n"
    lines = dumps({"text": storable(text)}).splitlines()
    assert '  - "\\treturn 1"' in lines
    assert "  - '# a comment at the end of it '" in lines


@pytest.mark.parametrize("odd", ["\t", " \n", "\r\n", "\x85", "\u2028", "\ufeff", "\x00"])
def test_no_odd_character_makes_a_long_text_one_line(odd):
    text = "a first line\n" + odd + "a line more\n" * 9
    assert len(dumps({"text": storable(text)}).splitlines()) > 9


def test_more_strange_characters_than_stand_ins_are_still_kept():
    text = "".join(map(chr, range(0x20000, 0x20000 + 7000)))
    assert loads(dumps({"text": storable(text)}))["text"] == text


def test_what_is_handed_out_is_made_anew():
    stored = storable([{"a": [1]}])
    restored(stored)[0]["a"].append(2)
    assert restored(stored) == [{"a": [1]}]


def test_what_is_no_yaml_is_refused():
    with pytest.raises(ValueError, match="not YAML"):
        loads("a: [")


@pytest.mark.parametrize("text", ["\n", "\n\n", "said\n\n", "a\n...\n", "...\n\n"])
def test_a_text_with_blank_lines_at_its_end_does_not_end_the_document(text):
    dumped = dumps({"one": {"string": text}})
    assert loads(dumped + dumps({"two": text})) == {"one": {"string": text}, "two": text}
