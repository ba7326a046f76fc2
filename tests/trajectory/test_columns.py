"""Lists of structs as their items and where each row's begin and end, and texts with escapes."""

from itertools import pairwise

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from looplet.trajectory.columns import _unlisted
from looplet.trajectory.schema import Kind
from looplet.trajectory.tables import plain_values
from looplet.trajectory.text import escape_text

ITEMS = st.lists(st.fixed_dictionaries({"n": st.none() | st.integers(0, 9)}), max_size=3)
KIND = pa.list_(pa.struct([("n", pa.int64())]))


@given(st.lists(st.none() | ITEMS, max_size=6), st.integers(0, 6), st.integers(0, 6))
def test_each_rows_items_are_between_its_bounds(rows, start, count):
    column = pa.array(rows, KIND).slice(start, count)
    bounds, items = _unlisted(column)
    listed = items.to_pylist()
    found = [listed[left:right] for left, right in pairwise(bounds)]
    assert found == [each or [] for each in rows[start : start + count]]
    assert bounds[0] == 0
    assert bounds[-1] == len(listed)


TEXTS = st.lists(st.none() | st.text(st.sampled_from("a\x1aé\ud800"), max_size=4), max_size=5)


@given(TEXTS, st.integers(0, 5))
@pytest.mark.parametrize("kind", [pa.string(), pa.large_string()])  # the latter is nobody's of ours
def test_escapes_are_found_wherever_texts_are_cut(kind, texts, start):
    stored = [None if each is None else escape_text(each) for each in texts]
    column = pa.array(stored, kind).slice(start)
    assert plain_values(column, Kind.TEXT) == texts[start:]


@given(st.lists(st.none() | st.lists(st.text("a\x1a\ud800", max_size=3), max_size=3), max_size=4))
def test_escapes_are_found_in_lists_of_texts(rows):
    stored = [None if each is None else [*map(escape_text, each)] for each in rows]
    assert plain_values(pa.array(stored, pa.list_(pa.string())), Kind.TEXTS) == rows
