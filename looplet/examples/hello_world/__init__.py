"""Greets Alice and Bob: the smallest agent, with a model behind it or with a script."""

from looplet.examples.hello_world.agent import NAMES, build, greet
from looplet.examples.hello_world.cli import main
from looplet.examples.hello_world.evals.eval_hello_world import (
    eval_ended_by_itself,
    eval_greeted_both,
)

__all__ = ["NAMES", "build", "eval_ended_by_itself", "eval_greeted_both", "greet", "main"]
