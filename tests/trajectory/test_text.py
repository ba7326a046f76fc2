"""Text and JSON that a Parquet file can hold."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from looplet.core.codec import TAG, to_jsonable
from looplet.trajectory.text import (
    escape_text,
    from_json_text,
    is_plain,
    map_strings,
    to_json_text,
    unescape_text,
)

ANY_TEXT = st.text(st.characters(exclude_categories=()) | st.sampled_from("\x1a\ud83d\ude00d8"))

FLOATS = st.floats(allow_nan=False, allow_infinity=False)
LEAVES = st.none() | st.booleans() | st.integers() | FLOATS | st.text()
ODD_LEAVES = LEAVES | st.sampled_from([2**14_010, b"x", (1,), frozenset({1})])
KEYS = st.text() | st.sampled_from([TAG, "$", "value"])


def nested(leaves):
    return st.recursive(
        leaves,
        lambda inner: (
            st.lists(inner, max_size=4)
            | st.dictionaries(KEYS, inner, max_size=4)
            | st.dictionaries(KEYS | st.integers(), inner, max_size=4)
        ),
        max_leaves=12,
    )


@given(ANY_TEXT)
def test_any_text_is_stored_as_utf8_and_comes_back(text):
    stored = escape_text(text)
    assert unescape_text(stored) == text
    stored.encode("utf-8")


@given(ANY_TEXT)
def test_any_text_inside_json_comes_back(text):
    stored = to_json_text({text: [text]})
    assert from_json_text(stored) == {text: [text]}
    stored.encode("utf-8")
    json.loads(stored)


def test_two_surrogates_side_by_side_stay_two():
    apart = "\ud83d\ude00"
    assert json.loads(json.dumps(apart)) != apart
    assert from_json_text(to_json_text(apart)) == apart
    assert unescape_text(escape_text(apart)) == apart


def test_text_that_looks_escaped_is_not_taken_for_an_escape():
    for text in ("\x1ad800", "\x1a001a", "\x1a", "\\u001ad800"):
        assert unescape_text(escape_text(text)) == text
        assert from_json_text(to_json_text([text])) == [text]


def test_usual_text_is_stored_as_it_is():
    assert escape_text("naïve \\ud800 \x00 text") == "naïve \\ud800 \x00 text"
    assert to_json_text({"é": "😀"}) == '{"é":"😀"}'


def test_what_json_lacks_comes_back():
    value = {"t": (1, 2), "b": b"\x00", "s": {3}, 4: None, "big": 2**200, "inf": float("-inf")}
    assert from_json_text(to_json_text(value)) == value
    assert str(from_json_text(to_json_text(float("nan")))) == "nan"


@given(nested(ODD_LEAVES | st.just(float("inf"))))
def test_a_value_is_stored_as_the_codec_has_it_and_comes_back(value):
    stored = to_json_text(value)
    assert json.loads(stored) == map_strings(to_jsonable(value), escape_text)
    assert repr(from_json_text(stored)) == repr(value)


@given(nested(ODD_LEAVES))
def test_a_plain_value_is_one_that_the_codec_gives_back_as_it_is(value):
    same = to_jsonable(value)
    assert is_plain(value) == (repr(same) == repr(value))


def test_what_holds_itself_or_is_too_deep_is_stored_as_the_codec_has_it():
    endless = {}
    endless["me"] = endless
    deep = []
    for _ in range(150):
        deep = [deep]
    assert not is_plain(endless)
    assert not is_plain(deep)
    with pytest.warns(UserWarning, match="contains itself"):
        assert from_json_text(to_json_text(endless)) == repr(endless)
    assert from_json_text(to_json_text(deep)) == deep
