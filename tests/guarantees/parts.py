"""What the tests of the guarantees share: replies, a shop, hooks that are given as functions."""

from __future__ import annotations

import json
import warnings
from typing import Any

from looplet import BaseToolRegistry, tool, tools_from

PRICES = {"apple": 0.4, "pear": 0.55}


@tool(concurrent_safe=True)
def price(fruit: str) -> dict:
    """Price of one piece of fruit, in euro."""
    return {"fruit": fruit, "euro": PRICES[fruit]}


def shop() -> BaseToolRegistry:
    return tools_from([price], include_done=True)


def call(name: str, /, **args: Any) -> str:
    return json.dumps({"tool": name, "args": args})


def several(*asked: str) -> str:
    return json.dumps({"tools": [json.loads(each) for each in asked]})


APPLE, PEAR = call("price", fruit="apple"), call("price", fruit="pear")
DONE = call("done", summary="all priced")


def hook(**methods: Any) -> Any:
    """An object whose methods are the given functions, without ``self``."""
    return type("Given", (), {name: staticmethod(body) for name, body in methods.items()})()


def at(*events: str, give: Any) -> Any:
    """A hook that answers these events, with a value or by a function of the payload."""

    def on_event(payload: Any) -> Any:
        if payload.event.value in events:
            return give(payload) if callable(give) else give
        return None

    return hook(on_event=on_event)


class Watcher:
    """Counts the ends of a run and keeps what events told of them."""

    def __init__(self) -> None:
        self.ends = 0
        self.stops: list[str | None] = []
        self.events: list[str] = []

    def on_loop_end(self, state: Any, session_log: Any, context: Any, llm: Any) -> None:
        self.ends += 1

    def on_event(self, payload: Any) -> None:
        self.events.append(payload.event.value)
        if payload.event.value == "stop":
            self.stops.append(payload.termination_reason)


def heard(run: Any) -> tuple[Any, list[str]]:
    """What a function gives, and the warnings of users that came meanwhile."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        value = run()
    texts = [str(each.message) for each in caught if issubclass(each.category, UserWarning)]
    return value, texts
