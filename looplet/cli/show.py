"""``looplet show``: a recorded run as lines. Imports nothing of a user's."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from looplet.cli.parsing import Commands
from looplet.cli.saying import say_json

if TYPE_CHECKING:
    from looplet.trajectory.model import Trajectory
    from looplet.trajectory.trace_format import Record


def add_to(commands: Commands) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "show",
        help="show a recorded run: its steps and model calls",
        examples=["looplet show traces/run_1", "looplet show runs --id 5d0c"],
    )
    parser.add_argument(
        "trace_dir", metavar="RUN", type=Path, help="a trace directory, or a trajectory store"
    )
    parser.add_argument("--id", help="the beginning of the id of a run in a store")
    parser.add_argument("--json", action="store_true", help="say it as JSON, as a trace has it")
    parser.set_defaults(command=show)


def show(given: argparse.Namespace) -> int:
    """The run's end, a line for each step, and its model calls in one; or its records as JSON."""
    from looplet.trajectory.trace_lines import trace_lines

    with _opened(given) as (run, calls, done_tool):
        if given.json:
            from looplet.trajectory.trace_format import run_to_record, step_to_record

            steps = [step_to_record(step) for step in run.steps]
            say_json(run_to_record(run, done_tool=done_tool, calls=calls, steps=steps))
        else:
            print(*trace_lines(run, calls, done_tool=done_tool), sep="\n")
    return 0


@contextmanager
def _opened(given: argparse.Namespace) -> Iterator[tuple[Trajectory, list[Record], str]]:
    """A run of a trace or a store, the records of its calls, and the tool that ends it."""
    from looplet.cli.sources import divided, is_store, run_in_store
    from looplet.trajectory.model import DONE_TOOL
    from looplet.trajectory.trace_format import call_to_record
    from looplet.trajectory.trace_reading import naming, open_trace

    path, which = divided(str(given.trace_dir))
    which = given.id if given.id is not None else which
    if given.id is not None or is_store(path):
        run = run_in_store(path, which)
        yield run, [call_to_record(call) for call in run.llm_calls], DONE_TOOL
        return
    trace = open_trace(given.trace_dir)
    trajectory = trace.trajectory(texts=False)
    with naming(trace.path):  # a value may be of a kind that cannot be shown
        yield trajectory, trace.calls, trace.done_tool
