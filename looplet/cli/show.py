"""``looplet show``: a recorded run as lines. Imports nothing of a user's."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any


def add_to(commands: Any) -> None:
    """Add the command."""
    parser = commands.add_parser("show", help="show a recorded run: its steps and model calls")
    parser.add_argument("trace_dir", metavar="TRACE-DIR", type=Path)
    parser.set_defaults(command=show)


def show(given: argparse.Namespace) -> int:
    """The run's end, a line for each step, and its model calls in one."""
    from looplet.trajectory.trace_lines import trace_lines
    from looplet.trajectory.trace_reading import naming, open_trace

    trace = open_trace(given.trace_dir)
    trajectory = trace.trajectory(texts=False)
    with naming(trace.path):  # a value may be of a kind that cannot be shown
        lines = list(trace_lines(trajectory, trace.calls, done_tool=trace.done_tool))
    print(*lines, sep="\n")
    return 0
