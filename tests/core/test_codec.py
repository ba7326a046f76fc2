"""JSON in and out, exactly."""

from __future__ import annotations

import json
import math
from datetime import UTC, date, datetime, timedelta, timezone
from enum import Enum, IntEnum
from pathlib import Path

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from looplet.core.codec import TAG, canonical, digest, exact, from_jsonable, to_jsonable

texts = st.text(st.characters(exclude_categories=())) | st.just(TAG)
zones = st.none() | st.integers(-23, 23).map(lambda hours: timezone(timedelta(hours=hours)))
hashable = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | texts
    | st.binary()
    | st.dates()
    | st.datetimes(timezones=zones)
    | st.sampled_from([Path("a/b"), Path("/")]),
    lambda inner: st.tuples(inner, inner) | st.frozensets(inner, max_size=3),
    max_leaves=6,
)
values = st.recursive(
    hashable | st.sets(hashable, max_size=3),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(texts, inner, max_size=4)
        | st.dictionaries(hashable, inner, max_size=4)
        | st.builds(lambda item: (item,), inner)
    ),
    max_leaves=12,
)


def kinds(value):
    """The types in a value, so that 1, 1.0 and True are told apart."""
    if isinstance(value, dict):
        return [(kinds(key), kinds(item)) for key, item in value.items()]
    if isinstance(value, list | tuple):
        return type(value), [kinds(item) for item in value]
    return type(value)


@given(values)
def test_every_value_comes_back_through_json(value):
    text = json.dumps(to_jsonable(value), allow_nan=False)
    back = from_jsonable(json.loads(text))
    assert back == value
    assert kinds(back) == kinds(value)


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf, -0.0])
def test_numbers_without_a_json_form_come_back(number):
    back = from_jsonable(json.loads(json.dumps(to_jsonable([number]), allow_nan=False)))
    assert repr(back) == repr([number])


def test_a_dict_that_looks_like_a_tag_comes_back_as_a_dict():
    value = {TAG: "tuple", "value": [1]}
    assert from_jsonable(to_jsonable(value)) == value


def test_an_unknown_tag_is_refused_by_name():
    with pytest.raises(ValueError, match="moon"):
        from_jsonable({TAG: "moon", "value": 1})


TAGS = ("dict", "tuple", "set", "frozenset", "bytes", "datetime", "date", "path", "float", "int")
ODD = st.none() | st.integers() | st.floats() | st.text(max_size=4) | st.sampled_from(TAGS)


@given(
    st.recursive(
        ODD,
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.fixed_dictionaries({TAG: st.sampled_from(TAGS) | inner}, optional={"value": inner})
        ),
    )
)
def test_whatever_is_tagged_it_is_read_or_refused_as_a_value_error(stored):
    try:
        found = from_jsonable(stored)
    except ValueError:  # and nothing else is raised
        return
    assert canonical(from_jsonable(to_jsonable(found))) == canonical(found)


@pytest.mark.parametrize(
    ("tag", "body"),
    [
        *(
            (tag, body)
            for tag in ("tuple", "set", "frozenset", "dict")
            for body in ("ab", {"a": 1})
        ),
        ("dict", ["ab"]),
        ("dict", [["a", 1, 2]]),
        ("dict", [{"a": 1, "b": 2}]),
    ],
)
def test_a_tagged_value_that_only_looks_like_its_items_is_refused(tag, body):
    with pytest.raises(ValueError, match=f"tagged '{tag}' in stored data cannot be read"):
        from_jsonable({TAG: tag, "value": body})


@pytest.mark.parametrize(
    "wrap",
    [
        lambda inner: [inner],
        lambda inner: {"a": inner},
        lambda inner: {TAG: "set", "value": [inner]},
    ],
)
def test_what_is_nested_too_deeply_is_a_value_error(wrap):
    stored = 1
    for _ in range(5000):
        stored = wrap(stored)
    with pytest.raises(ValueError, match="nested too deeply"):
        from_jsonable(stored)


def test_what_stands_behind_a_tag_is_named_if_it_cannot_be():
    with pytest.raises(ValueError, match="tagged 'bytes' in stored data cannot be read: 7"):
        from_jsonable({"task": {TAG: "bytes", "value": 7}})


def test_enums_become_their_values():
    class Colour(str, Enum):
        RED = "red"

    class Size(IntEnum):
        BIG = 3

    assert to_jsonable([Colour.RED, Size.BIG]) == ["red", 3]
    assert canonical([Colour.RED, Size.BIG]) == '["red",3]'


def test_what_has_no_json_form_becomes_its_repr_with_a_warning():
    with pytest.warns(UserWarning, match="complex"):
        assert to_jsonable({"z": 1j}) == {"z": "1j"}


def test_a_value_that_contains_itself_is_stored_as_text():
    endless = [1]
    endless.append(endless)
    with pytest.warns(UserWarning, match="contains itself"):
        assert to_jsonable(endless) == "[1, [...]]"
    with pytest.warns(UserWarning, match="contains itself"):
        canonical(endless)


def test_a_value_that_is_too_deep_is_stored_as_text():
    deep = []
    for _ in range(5000):
        deep = [deep]
    with pytest.warns(UserWarning, match="too deep"):
        assert isinstance(to_jsonable(deep), str)


@pytest.mark.filterwarnings("ignore:a dict contains itself, or is too deep")
@pytest.mark.parametrize("depth", range(50, 600, 50))
def test_there_is_an_exact_text_at_every_depth(depth):
    deep = {}
    for _ in range(depth):
        deep = {1: deep}
    assert exact(deep).count("{") >= depth


def refilled(value):
    """An equal value whose dicts and sets were filled in the other order."""
    if isinstance(value, dict):
        return {key: refilled(item) for key, item in reversed(list(value.items()))}
    if isinstance(value, list):
        return [refilled(item) for item in value]
    if isinstance(value, set):
        backwards = list(value)[::-1]
        return set(backwards)
    return value


def sorted_keys(value):
    """The value with its dicts filled in one order."""
    if isinstance(value, dict):
        return {key: sorted_keys(value[key]) for key in sorted(value, key=exact)}
    if isinstance(value, list | tuple):
        return type(value)(map(sorted_keys, value))
    return value


@given(values)
def test_equal_values_have_one_canonical_text(value):
    assert canonical(refilled(value)) == canonical(value)
    assert canonical(value).isascii()
    json.loads(canonical(value))


@given(values)
def test_an_exact_text_loses_nothing_and_is_one(value):
    assert exact(refilled(value)) == exact(value)
    assume("\\ud" not in exact(value))  # reading joins two surrogates that stood side by side
    back = from_jsonable(json.loads(exact(value)))
    assert back == value
    assert kinds(sorted_keys(back)) == kinds(sorted_keys(value))


def test_an_exact_text_of_json_is_its_canonical_text():
    value = {"b": [1, 2.5, None, True], "a": {"é": "\ud800"}}
    assert exact(value) == canonical(value)


def test_a_canonical_text_and_its_digest_never_change():
    value = {"b": [1, 2.5, None, True], "a": {"é": "\ud800"}, "c": datetime(2026, 1, 1, tzinfo=UTC)}
    assert canonical(value) == (
        '{"a":{"\\u00e9":"\\ud800"},"b":[1,2.5,null,true],'
        '"c":{"$looplet":"datetime","value":"2026-01-01T00:00:00+00:00"}}'
    )
    assert digest("a") == "ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb"
    assert len(digest("\ud800")) == 64


def test_dates_are_not_taken_for_datetimes():
    assert from_jsonable(to_jsonable(date(2026, 1, 2))) == date(2026, 1, 2)
    assert type(from_jsonable(to_jsonable(datetime(2026, 1, 2)))) is datetime  # noqa: DTZ001
