"""The clerk: tools of a server, or as a cassette remembers them."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NoReturn
from zlib import crc32

from looplet import LoopConfig, ToolSpec, tools_from
from looplet.core.codec import JSON

SERVER = [sys.executable, str(Path(__file__).with_name("server.py"))]
"""The command that starts the warehouse."""
SYSTEM_PROMPT = """You are a store clerk. Find an item's exact name first, and look at its stock
before you reserve any. Reserve no more than you are asked to."""


def build(
    tools: Iterable[ToolSpec], goal: str, *, seed: int | None = None, max_steps: int = 8
) -> dict[str, Any]:
    """What ``composable_loop`` is given beside a model; with a seed its sampling is repeated."""
    answer = "str: what was reserved, and how many crates are left"
    return {
        "task": {"goal": goal},
        "tools": tools_from(list(tools), include_done=True, done_parameters={"answer": answer}),
        "config": LoopConfig(
            max_steps=max_steps,
            max_tokens=200,
            system_prompt=SYSTEM_PROMPT,
            use_native_tools=True,
            generate_kwargs={} if seed is None else {"seed": seed},
        ),
    }


def seed_of(task_id: str, trial: int | None) -> int | None:
    """What a trial's sampling begins with, so that nobody picks it; a script has no trials.

    >>> seed_of("reserve-figs", 1) == seed_of("reserve-figs", 2), seed_of("reserve-figs", None)
    (False, None)
    """
    return None if trial is None else crc32(f"{task_id}/{trial}".encode()) >> 1


def described(tools: Iterable[ToolSpec]) -> list[JSON]:
    """A server's tools as JSON, to be kept with a recording."""
    return [spec.to_api_schema() for spec in tools]


def remembered(tools: Iterable[Mapping[str, Any]]) -> list[ToolSpec]:
    """The same tools without their server; in a replay none of them runs."""
    return [
        ToolSpec(each["name"], each["description"], each["input_schema"], _no_server)
        for each in tools
    ]


def _no_server(**_arguments: Any) -> NoReturn:
    raise ConnectionError("this tool's server was not started: its results are in the cassette")
