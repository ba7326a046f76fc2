"""The helper: its tools, the rule by which a model is chosen, and the bill."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from looplet import (
    BackendRouter,
    LifecycleEvent,
    LoopConfig,
    Step,
    is_rejected_done,
    tool,
    tools_from,
)
from looplet.replay import Cassette

CHEAP, STRONG = "cheap", "strong"
PRICES = {CHEAP: (0.0005, 0.0015), STRONG: (0.010, 0.030)}
"""USD for 1000 tokens sent, and for 1000 received; put those of your models here."""
SYSTEM_PROMPT = "You help in a kitchen. Look ingredients up and convert amounts with the tools."
RECIPES = {
    "bread": {"serves": "1 loaf", "flour": "500 g", "water": "350 g", "salt": "10 g"},
    "jam": {"serves": "4 jars", "plums": "1000 g", "sugar": "600 g"},
    "soup": {"serves": "4 people", "potatoes": "1 kg", "leeks": "300 g"},
}
GRAMS = {"g": 1.0, "kg": 1000.0, "oz": 28.35, "lb": 453.6}


@tool
def ingredients(recipe: str) -> dict[str, str]:
    """What goes into a recipe."""
    if recipe not in RECIPES:
        raise ValueError(f"there is no recipe {recipe!r}, but {', '.join(RECIPES)}")
    return RECIPES[recipe]


@tool
def convert(amount: float, unit: str, to: str) -> dict[str, Any]:
    """An amount in another unit of weight."""
    unknown = [each for each in (unit, to) if each not in GRAMS]
    if unknown:
        raise ValueError(f"there is no unit {unknown[0]!r}, but {', '.join(GRAMS)}")
    return {"amount": round(amount * GRAMS[unit] / GRAMS[to], 1), "unit": to}


class Helper:
    """An agent over two models: ``models`` has a backend for ``cheap`` and one for ``strong``.

    With a cassette each model has a lane of its own there, below the router: so a replay chooses
    anew, and makes out the same bill.
    """

    def __init__(self, models: Mapping[str, Any], *, cassette: Cassette | None = None) -> None:
        self._cassette = cassette
        if cassette is not None:
            models = {name: cassette.wrap_llm(model, lane=name) for name, model in models.items()}
        # The strong one also stands in where the cheap one cannot be reached.
        routes = {name: name for name in models}
        self.router = BackendRouter(models, routes=routes, fallback=(STRONG,), prices=PRICES)
        self.bill = Bill(self.router)
        self._rule = StrongAfterTrouble(self.router)

    def agent(self, goal: str, *, max_steps: int = 8) -> dict[str, Any]:
        """What ``composable_loop`` is given."""
        done = {"amount": "number: how much", "unit": "str: g, kg, oz or lb"}
        schema = {"amount": {"type": "number"}, "unit": {"type": "string"}}
        tools = tools_from([ingredients, convert], include_done=True, done_parameters=done)
        config = LoopConfig(
            max_steps=max_steps,
            system_prompt=SYSTEM_PROMPT,
            use_native_tools=True,
            output_schema={"properties": schema, "required": ["amount", "unit"]},
            router=self._rule,
        )
        if self._cassette is not None:
            tools, config = self._cassette.wrap_tools(tools), self._cassette.wrap_config(config)
        return {
            "llm": self.router,
            "task": {"goal": goal},
            "tools": tools,
            "hooks": [self._rule, self.bill],
            "config": config,
        }


class StrongAfterTrouble:
    """Chooses the strong model for the step after one that failed, and the cheap one for any other.

    It is the loop's router, which is asked for a model, and a hook, which sees how steps went.
    """

    def __init__(self, router: BackendRouter) -> None:
        self._router = router
        self._next = CHEAP

    def pre_prompt(self, state: Any, session_log: Any, context: Any, step_num: int) -> None:  # noqa: ARG002 - the slot's signature
        """Choose, before the model is asked."""
        self._next = STRONG if state.steps and went_badly(state.steps[-1]) else CHEAP

    def select(self, purpose: str = "reasoning") -> Any:
        """The chosen model for a step; repairs and summaries are the cheap one's."""
        return self._router.select(self._next if purpose == "reasoning" else CHEAP)


def went_badly(step: Step) -> bool:
    """Whether a step failed, or was a done that was rejected."""
    return step.tool_result.error is not None or is_rejected_done(step)


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """One answered call."""

    step: int
    model: str
    """Which of the two answered."""
    usd: float


class Bill:
    """A hook that keeps which model answered which call, and what that cost."""

    def __init__(self, router: BackendRouter) -> None:
        self.items: list[Item] = []
        self._router = router
        self._before: dict[str, Any] = {}

    def on_event(self, payload: Any) -> None:
        """Find the model whose count has grown."""
        if payload.event is not LifecycleEvent.POST_LLM_RESPONSE:
            return
        now: Any = self._router.report()["backends"]
        for name, figures in now.items():
            before = self._before.get(name, {"call_count": 0, "total_cost": 0.0})
            if figures["call_count"] > before["call_count"]:
                usd = figures["total_cost"] - before["total_cost"]
                self.items.append(Item(step=payload.step_num, model=name, usd=usd))
        self._before = now
