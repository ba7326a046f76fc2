"""Samples of tasks and trials for the laws of statistics."""

from __future__ import annotations

from hypothesis import strategies as st

BOOLS = st.lists(st.booleans(), min_size=1, max_size=5)
SCORES = st.lists(st.floats(0, 1, width=16), min_size=1, max_size=4)
TRIALS = st.one_of(BOOLS, SCORES)
TASKS = st.lists(TRIALS, min_size=1, max_size=12)
PAIRED = st.lists(st.tuples(TRIALS, TRIALS), min_size=1, max_size=12)
SINGLE = st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=25)
"""Tasks that each side tried once."""


def sides(pairs):
    """Candidate and baseline of a list of pairs."""
    return [new for new, _ in pairs], [old for _, old in pairs]


def once(pairs):
    """Candidate and baseline of tasks that were tried once."""
    return [[new] for new, _ in pairs], [[old] for _, old in pairs]


def flipped(tasks):
    """Fails for passes."""
    return [[1 - value for value in trials] for trials in tasks]


def counts(pairs):
    """Tasks gained and lost."""
    gained = sum(new and not old for new, old in pairs)
    return gained, sum(old and not new for new, old in pairs)
