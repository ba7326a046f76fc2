"""Texts that stand above the task."""

from __future__ import annotations

from looplet.core.memory import CallableMemorySource, StaticMemorySource


def test_a_static_source_gives_its_text_whatever_the_state():
    assert StaticMemorySource("euro").load(None) == StaticMemorySource("euro").load(object())


def test_a_callable_source_is_given_the_state():
    source = CallableMemorySource(lambda state: f"step {state}" if state else None)
    assert (source.load(3), source.load(0)) == ("step 3", None)
