"""A flag that asks to stop."""

from __future__ import annotations

import gc
import threading

import pytest

from looplet.core.cancel import CancelToken
from looplet.errors import RunCancelled


def test_a_token_is_set_once_and_stays_set():
    token = CancelToken()
    token.raise_if_cancelled()
    token.cancel()
    token.cancel()
    assert token.is_cancelled
    with pytest.raises(RunCancelled):
        token.raise_if_cancelled()


def test_a_child_is_set_with_its_parent_and_not_the_other_way_round():
    parent = CancelToken()
    one, other = CancelToken(parent=parent), CancelToken(parent=parent)
    one.cancel()
    assert not parent.is_cancelled
    assert not other.is_cancelled
    parent.cancel()
    assert other.is_cancelled
    assert CancelToken(parent=parent).is_cancelled


def test_a_childs_pause_ends_when_its_parent_is_cancelled():
    parent = CancelToken()
    child = CancelToken(parent=CancelToken(parent=parent))
    answers = []
    thread = threading.Thread(target=lambda: answers.append(child.wait(60)))
    thread.start()
    parent.cancel()
    thread.join(20)
    assert answers == [True]


def test_a_pause_nobody_ends_says_so():
    assert CancelToken().wait(0) is False


def test_a_parent_does_not_keep_children_that_are_gone():
    parent = CancelToken()
    for _ in range(100):
        CancelToken(parent=parent)
    gc.collect()
    assert len(parent._children) == 0


def test_any_object_with_the_property_may_be_a_parent():
    class Foreign:
        is_cancelled = True

    assert CancelToken(parent=Foreign()).is_cancelled
