"""``looplet show``: a recorded run as lines. Imports nothing of a user's."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any


def add_to(commands: Any) -> None:
    """Add the command."""
    parser = commands.add_parser("show", help="show a recorded run: its steps and model calls")
    parser.add_argument(
        "trace_dir", metavar="RUN", type=Path, help="a trace directory, or a trajectory store"
    )
    parser.add_argument("--id", help="the beginning of the id of a run in a store")
    parser.set_defaults(command=show)


def show(given: argparse.Namespace) -> int:
    """The run's end, a line for each step, and its model calls in one."""
    from looplet.cli.sources import divided, is_store

    path, which = divided(str(given.trace_dir))
    which = given.id if given.id is not None else which
    in_store = given.id is not None or is_store(path)
    lines = _of_store(path, which) if in_store else _of_trace(given.trace_dir)
    print(*lines, sep="\n")
    return 0


def _of_trace(path: Path) -> list[str]:
    from looplet.trajectory.trace_lines import trace_lines
    from looplet.trajectory.trace_reading import naming, open_trace

    trace = open_trace(path)
    trajectory = trace.trajectory(texts=False)
    with naming(trace.path):  # a value may be of a kind that cannot be shown
        return list(trace_lines(trajectory, trace.calls, done_tool=trace.done_tool))


def _of_store(path: Path, which: str | None) -> list[str]:
    from looplet.cli.sources import run_in_store
    from looplet.trajectory.model import DONE_TOOL
    from looplet.trajectory.trace_format import call_to_record
    from looplet.trajectory.trace_lines import trace_lines

    run = run_in_store(path, which)
    calls = [call_to_record(call) for call in run.llm_calls]
    return list(trace_lines(run, calls, done_tool=DONE_TOOL))
