"""``looplet diff``: what differs first between two runs, wherever they are kept."""

from __future__ import annotations

import argparse
import sys
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from looplet.cli.parsing import Commands
from looplet.cli.saying import say, say_json
from looplet.cli.sources import Source, read_source
from looplet.errors import CassetteError

if TYPE_CHECKING:
    from looplet.replay import CallsDiff, TrajectoryDiff

EQUAL, DIFFERENT, UNUSABLE = 0, 1, 2


def add_to(commands: Commands) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "diff",
        help="what differs between two runs, step by step",
        description="Compare two runs, step by step, down to the argument. Exit status 0: equal, "
        "1: different, 2: unusable.",
        epilog="A and B are cassettes (run 0, or F#1 and so on), trace directories, or runs of a "
        "store (STORE#ID; the beginning of the id will do).",
        examples=["looplet diff before.yaml after.yaml", "looplet diff runs#5d0c traces/run_1"],
    )
    parser.add_argument("a", metavar="A")
    parser.add_argument("b", metavar="B")
    parser.add_argument("--json", action="store_true", help="say it as JSON")
    parser.set_defaults(command=compare, unusable=UNUSABLE)


def compare(given: argparse.Namespace) -> int:
    """Compare two runs by their steps, or by their model calls where steps were not kept."""
    from looplet.replay import diff

    a, b = read_source(given.a), read_source(given.b)
    stepless = [each for each in (a, b) if not each.has_steps]
    if stepless:
        return _compare_calls(a, b, stepless, as_json=given.json)
    found = diff(a.trajectory, b.trajectory)
    if given.json:
        say_json(_steps_as_json(found))
    else:
        say(found)
    return EQUAL if found.equal else DIFFERENT


def _compare_calls(a: Source, b: Source, stepless: list[Source], *, as_json: bool) -> int:
    from looplet.replay import diff_calls

    for each in (a, b):
        if not each.trajectory.llm_calls:
            raise CassetteError(
                f"{each.name} has no model call to compare by, and the other no step"
            )
    found = diff_calls(a.trajectory, b.trajectory)
    if as_json:
        say_json(_calls_as_json(found))
    else:
        names = " and ".join(each.name for each in stepless)
        say(f"no steps are in {names}: model calls are compared, by lane and key", file=sys.stderr)
        say(found)
    return EQUAL if found.equal else DIFFERENT


def _steps_as_json(found: TrajectoryDiff) -> dict[str, Any]:
    return {
        "compared": "steps",
        "equal": found.equal,
        "step": found.step,
        "changes": [asdict(each) for each in found.changes],
        "lengths": [*found.lengths],
        "then": [*found.then],
    }


def _calls_as_json(found: CallsDiff) -> dict[str, Any]:
    return {
        "compared": "calls",
        "equal": found.equal,
        "different": found.different,
        "changes": [asdict(each) for each in found.changes],
        "lengths": [*found.lengths],
    }
