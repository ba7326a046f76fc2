"""A list that only grows, seen up to a length."""

from hypothesis import given
from hypothesis import strategies as st

from looplet.core.sofar import SoFar, same_start

ITEMS = st.lists(st.integers(), max_size=9)
PLACES = st.none() | st.integers(-12, 12)
STEPS = st.none() | st.sampled_from([1, 2, -1, -2])


@given(ITEMS, ITEMS, PLACES, PLACES, STEPS)
def test_it_is_read_as_a_tuple_of_its_items_is(items, more, start, stop, step):
    view, whole = SoFar([*items, *more], len(items)), tuple(items)
    assert view[start:stop:step] == whole[start:stop:step]
    assert (len(view), list(view), repr(view)) == (len(whole), list(whole), repr(whole))
    assert [view[place] for place in range(-len(items), len(items))] == [*whole, *whole]
    assert view == whole
    assert whole == view
    assert view != (*whole, 1)
    assert (view == SoFar(list(more))) == (items == more)


@given(ITEMS, ITEMS, ITEMS)
def test_whoever_goes_on_from_the_same_place_does_not_see_the_other(items, one, other):
    first = SoFar([*items])
    left = first.with_more(one)
    right = first.with_more(other)
    longer = left.with_more(other)
    assert first == items
    assert left == [*items, *one]
    assert right == [*items, *other]
    assert longer == [*items, *one, *other]
    assert left.shares(first)


def test_equal_lists_are_not_one_list():
    items = [1, 2]
    assert SoFar(items).shares(SoFar(items, 1))
    assert not SoFar(items).shares(SoFar([1, 2]))
    assert not SoFar(items).shares(items)


def test_what_two_begin_with_are_the_very_same_objects():
    one, equal, other = [1], [1], [2]
    assert same_start([one], [equal]) == 0
    assert same_start([one, other], [one, equal]) == 1
    assert same_start((one, other), [one]) == 1
    assert same_start([], [one]) == 0
    items = [one, other]
    assert (
        same_start(SoFar(items, 1), SoFar(items)) == same_start(SoFar(items), SoFar(items, 1)) == 1
    )
