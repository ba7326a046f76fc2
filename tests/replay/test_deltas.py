"""Texts as changes of earlier texts."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from looplet.replay.deltas import (
    added,
    alike,
    apply_delta,
    common_prefix,
    common_suffix,
    text_delta,
)

TEXTS = st.text(alphabet=st.sampled_from("ab\n,. \ud800😀"), max_size=400)


@given(TEXTS, TEXTS, TEXTS, TEXTS, TEXTS)
def test_a_delta_gives_the_new_text_back(head, tail, middle, old, new):
    before, after = head + old + middle * 3 + tail, head + new + middle * 3 + old + tail
    assert apply_delta(before, text_delta(before, after)) == after


@given(TEXTS, TEXTS)
def test_common_ends_are_the_longest(left, right):
    start = common_prefix(left, right)
    assert left[:start] == right[:start]
    assert left[start : start + 1] != right[start : start + 1] or start == min(
        len(left), len(right)
    )
    end = common_suffix(left, right, limit=min(len(left), len(right)))
    assert left[len(left) - end :] == right[len(right) - end :]


@given(TEXTS, TEXTS, TEXTS, st.data())
def test_texts_of_which_half_stays_are_alike(head, tail, old, data):
    new = data.draw(st.text(alphabet=st.sampled_from("cd\n,."), max_size=len(head + tail)))
    assert alike(head + old + tail, head + new + tail)


@given(st.lists(TEXTS.map(lambda text: f"{text}\n"), unique=True), st.randoms())
def test_lines_in_another_order_are_alike(lines, random):
    text = "".join(lines)
    random.shuffle(lines)
    assert alike(text, "".join(lines))


def test_texts_that_have_little_in_common_are_not_alike():
    old = "".join(f"Item {n} is green, and in its place.\n" for n in range(99))
    new = "".join(f"Nobody knows number {n}, alas.\n" for n in range(99))
    assert not alike(old, new)
    assert not alike(old, old[:900] + new)
    assert not alike(old, new + old[-900:])


def test_changes_far_apart_cost_only_themselves():
    history = "".join(
        f"S{n} looked at thing number {n}, and found it in order.\n" for n in range(99)
    )
    tail = "Answer in JSON only, and nothing else around it.\n" * 5
    old = "STEP 98 of 200\n" + history + tail
    new = "STEP 99 of 200\n" + history + "S99 looked at one more thing.\n" + tail + "Go!"
    parts = text_delta(old, new)
    assert apply_delta(old, parts) == new
    assert added(parts) < 400


def test_a_changed_line_is_shown_whole():
    head, tail = "first line, which is long enough to be kept\n" * 3, "\nlast lines, kept too\n" * 4
    old, new = f"{head}one two three{tail}", f"{head}one 2 three{tail}"
    assert [part for part in text_delta(old, new) if isinstance(part, str)] == ["one 2 three\n"]


def test_a_range_outside_the_old_text_is_refused():
    with pytest.raises(ValueError, match=r"characters 2\.\.9 of a text of 3"):
        apply_delta("abc", [(2, 9)])
