"""Greets Alice and Bob: the smallest agent, with a model behind it or with a script.

    python -m looplet.examples.hello_world [--scripted] [--model M] [--base-url U] [--max-steps 5]

The model is found by OPENAI_BASE_URL, OPENAI_API_KEY and OPENAI_MODEL; ``--scripted`` needs
neither network nor SDK.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from looplet import DefaultState, LoopConfig, MockLLMBackend, composable_loop, tool, tools_from
from looplet.core.records import Step
from looplet.evals.context import EvalContext
from looplet.evals.marks import eval_mark
from looplet.evals.running import evaluate
from looplet.examples.terminal import add_model_options, command, model_at, show

NAMES = ("Alice", "Bob")
SCRIPT = [
    '{"tool": "greet", "args": {"name": "Alice"}, "reasoning": "Alice comes first"}',
    '{"tool": "greet", "args": {"name": "Bob"}, "reasoning": "then Bob"}',
    '{"tool": "done", "args": {"summary": "Greeted Alice and Bob."}, "reasoning": "both greeted"}',
]


@tool(description="Greet one person by name.")
def greet(name: str) -> dict[str, str]:
    """Make the greeting."""
    return {"greeting": f"Hello, {name}!"}


@eval_mark("verdict")
def eval_greeted_both(ctx: EvalContext) -> bool:
    """Whether each of the two was greeted."""
    greeted = {step.tool_call.args.get("name") for step in ctx.steps if _is_greeting(step)}
    return set(NAMES) <= greeted


@eval_mark("budget")
def eval_ended_by_itself(ctx: EvalContext) -> bool:
    """Whether the run ended by an accepted done."""
    return ctx.completed


@command
def main(argv: Sequence[str] | None = None) -> int:
    """Run the example; 1 if the provider cannot be reached or the model's call fails."""
    given = _arguments(argv)
    scripted = given.scripted
    llm = MockLLMBackend(SCRIPT, cycle=False) if scripted else model_at(given.base_url, given.model)
    task = {"goal": f"Greet {' and '.join(NAMES)}, each with a call of greet, then call done."}
    state = DefaultState(max_steps=given.max_steps)
    config = LoopConfig(max_steps=given.max_steps)
    tools = tools_from([greet], include_done=True)
    status = show(composable_loop(llm=llm, tools=tools, state=state, config=config, task=task))
    if status == 0:
        _print_evals(state, task)
    return status


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m looplet.examples.hello_world", description="Greet Alice and Bob."
    )
    add_model_options(parser)
    parser.add_argument("--max-steps", type=int, default=5)
    return parser.parse_args(argv)


def _is_greeting(step: Step) -> bool:
    return step.tool_call.tool == "greet" and step.tool_result.error is None


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


if __name__ == "__main__":
    sys.exit(main())
