"""The agent of the parcel desk: prompt, tools, settings, and one run of it."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from typing import Any

from looplet import LoopConfig, Step, composable_loop, tool, tools_from
from looplet.core.registry import BaseToolRegistry
from looplet.examples.parcel_desk import desk
from looplet.examples.parcel_desk.tasks import Task

NAME = "parcel_desk"
MODEL = "smollm2"
"""The name under which the model is served, and recorded."""
SYSTEM_PROMPT = "You work at a parcel desk. Use the tools to find every number; never guess one."


@tool
def find_order(order_id: str) -> dict[str, str]:
    """Weight and country of one order."""
    weight, country = desk.weight_of(order_id), desk.country_of(order_id)
    return {"order_id": order_id, "weight": weight, "country": country}


@tool
def shipping_price(weight: str, country: str) -> dict[str, str]:
    """Price of shipping a parcel, in euro."""
    return {"price": desk.price_of(weight, country)}


def build_tools() -> BaseToolRegistry:
    """The two tools and ``done(answer)``."""
    answer = "str: the answer, a number with its unit"
    return tools_from(
        [find_order, shipping_price], include_done=True, done_parameters={"answer": answer}
    )


def build_config(*, seed: int) -> LoopConfig:
    """Sampling is on, so that trials differ; the seed says which trial it is."""
    return LoopConfig(
        max_steps=6,
        system_prompt=SYSTEM_PROMPT,
        use_native_tools=True,
        max_tokens=120,
        temperature=0.7,
        generate_kwargs={"seed": seed},
    )


def run_task(
    llm: Any, task: Task, *, trial: int, hooks: Sequence[Any] = ()
) -> Generator[Step, None, Any]:
    """One run, step by step.

    Recording and replay both come through here, so that they ask the same.
    """
    return composable_loop(
        llm=llm,
        task={"goal": task.goal},
        tools=build_tools(),
        hooks=list(hooks),
        config=build_config(seed=task.seed(trial)),
    )
