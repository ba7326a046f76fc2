"""The greeter's evals; its command line is tested with the quickstart."""

from __future__ import annotations

import pytest

from looplet.evals.trying import context_of_calls
from looplet.examples.hello_world.evals import eval_hello_world as evals


def greeted(name, result=None):
    return ("greet", {"name": name}, result or {"greeting": f"Hello, {name}!"})


@pytest.mark.parametrize(
    ("calls", "both", "in_order"),
    [
        ((greeted("Alice"), greeted("Bob")), True, True),
        ((greeted("Bob"), greeted("Alice")), True, False),
        ((greeted("Alice"), greeted("Alice"), greeted("Bob")), True, False),
        ((greeted("Alice"), greeted("Bob", ValueError("hoarse"))), False, False),
        ((), False, False),
    ],
)
def test_the_evals_tell_who_was_greeted(calls, both, in_order):
    ctx = context_of_calls(*calls, expected={"names": ["Alice", "Bob"]})
    assert evals.eval_greeted_both(ctx) is both
    assert evals.eval_in_the_order_of_the_task(ctx) is in_order
