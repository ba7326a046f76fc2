"""The greeter's command line.

    python -m looplet.examples.hello_world [--scripted] [--model M] [--base-url U] [--max-steps 5]

The model is found by OPENAI_BASE_URL, OPENAI_API_KEY and OPENAI_MODEL; ``--scripted`` needs
neither network nor SDK.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from looplet import DefaultState, composable_loop
from looplet.evals.context import EvalContext
from looplet.evals.running import evaluate
from looplet.examples.hello_world.agent import build
from looplet.examples.hello_world.evals.eval_hello_world import (
    eval_ended_by_itself,
    eval_greeted_both,
)
from looplet.examples.hello_world.tasks import TASKS
from looplet.examples.terminal import add_model_options, command, model_at, show


@command
def main(argv: Sequence[str] | None = None) -> int:
    """Run the example; 1 if the provider cannot be reached or the model's call fails."""
    given = _arguments(argv)
    llm = TASKS[0].model() if given.scripted else model_at(given.base_url, given.model)
    state, agent = DefaultState(max_steps=given.max_steps), build(max_steps=given.max_steps)
    status = show(composable_loop(llm=llm, state=state, **agent))
    if status == 0:
        _print_evals(state, agent["task"])
    return status


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m looplet.examples.hello_world", description="Greet Alice and Bob."
    )
    add_model_options(parser)
    parser.add_argument("--max-steps", type=int, default=5)
    return parser.parse_args(argv)


def _print_evals(state: DefaultState, task: dict[str, str]) -> None:
    stop_reason = getattr(state, "_stop_reason", None)
    last = state.steps[-1].tool_call.args if state.steps and stop_reason == "done" else {}
    ctx = EvalContext(state.steps, task, last, stop_reason=stop_reason)
    results = [
        evaluate(function, ctx).result for function in (eval_greeted_both, eval_ended_by_itself)
    ]
    passed = sum(result.passed for result in results)
    print(f"\nevals: {passed} of {len(results)} passed")
    for result in results:
        print(f"  {'✓' if result.passed else '✗'} {result.name}")
