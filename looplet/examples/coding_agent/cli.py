"""The programmer's command line.

    python -m looplet.examples.coding_agent [task] [--workspace D] [--trace D] [--scripted] [--yes]

The model is found by OPENAI_BASE_URL, OPENAI_API_KEY and OPENAI_MODEL; ``--scripted`` needs
neither network nor SDK, and works in a folder of its own unless it is given one. No path leaves the
workspace. Commands that only read, and tests, run unasked; of any other a person is asked at the
terminal, and without one it is denied; ``--yes`` allows them all.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from looplet import ProvenanceSink
from looplet.examples.coding_agent.agent import build
from looplet.examples.coding_agent.tasks import TASKS
from looplet.examples.terminal import add_model_options, command, complain, model_at, show


@command
def main(argv: Sequence[str] | None = None) -> int:
    """Run the example; 1 if the provider cannot be reached or the model's call fails."""
    given = _arguments(argv)
    if given.workspace is None and given.scripted:
        with tempfile.TemporaryDirectory() as folder:
            return _run(given, folder)
    return _run(given, given.workspace or ".")


def _run(given: argparse.Namespace, workspace: str) -> int:
    if not Path(workspace).is_dir():
        return complain(f"there is no folder {workspace} to work in")
    llm: Any = TASKS[0].model() if given.scripted else model_at(given.base_url, given.model)
    sink = None if given.trace is None else ProvenanceSink(given.trace)
    preset = build(workspace, yes=given.yes, max_steps=given.max_steps)
    if sink is not None:
        llm = sink.wrap_llm(llm)
        preset = replace(preset, hooks=[*preset.hooks, sink.trajectory_hook()])
    try:
        return show(preset.run(llm, task={"goal": given.task}))
    finally:
        if sink is not None:
            print(f"trace: {sink.flush()}")


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m looplet.examples.coding_agent", description="A programmer in a folder."
    )
    parser.add_argument("task", nargs="?", default=TASKS[0].goal)
    add_model_options(parser)
    parser.add_argument("--trace", metavar="DIR", help="keep the run there")
    parser.add_argument("--workspace", metavar="D", help="the folder to work in (default: this)")
    parser.add_argument("--max-steps", type=int, default=15)
    parser.add_argument("--yes", action="store_true", help="run every command without asking")
    return parser.parse_args(argv)
