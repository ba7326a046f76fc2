"""``looplet compare``: the runs of two stores, on the tasks that they share."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import asdict
from typing import TYPE_CHECKING

from looplet.cli.parsing import Commands
from looplet.cli.saying import say, say_json
from looplet.core.wording import counted

if TYPE_CHECKING:
    from looplet.evals.comparing import Figure, StoreComparison
    from looplet.evals.statistics import EvalComparison


def add_to(commands: Commands) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "compare",
        help="two stores on the tasks that they share: what is better, worse, or not to be told",
        description="Compare success, and each eval that has scores in both stores, on shared "
        "tasks. Differences are those of STORE_B to STORE_A.",
        examples=["looplet compare runs/before runs/after"],
    )
    parser.add_argument("baseline", metavar="STORE_A", help="what was")
    parser.add_argument("candidate", metavar="STORE_B", help="what is")
    parser.add_argument(
        "--by", default="task_id", metavar="COLUMN", help="what pairs runs (default: task_id)"
    )
    parser.add_argument(
        "--margin", type=float, default=0.05, metavar="M",
        help="the difference that does not matter (default: 0.05)",
    )  # fmt: skip
    parser.add_argument(
        "--alpha", type=float, default=0.05, metavar="A", help="chance of an error (default: 0.05)"
    )
    parser.add_argument("--json", action="store_true", help="say it as JSON")
    parser.set_defaults(command=compare)


def compare(given: argparse.Namespace) -> int:
    """A line for each eval, and for each figure."""
    from looplet.evals.comparing import compare_stores
    from looplet.trajectory.store import TrajectoryStore

    found = compare_stores(
        TrajectoryStore(given.baseline),
        TrajectoryStore(given.candidate),
        by=given.by,
        margin=given.margin,
        alpha=given.alpha,
    )
    if given.json:
        verdicts = {each.eval: each.verdict for each in found.evals}
        say_json(asdict(found) | {"verdicts": verdicts})
        return 0
    for line in _lines(found):
        say(line)
    return 0


def _lines(found: StoreComparison) -> Iterator[str]:
    width = max(len(name) for name in (*(each.eval for each in found.evals), "output_tokens"))
    for each in found.evals:
        yield f"{each.eval:<{width}}  {_eval(each)}"
    for figure in found.figures:
        yield f"{figure.column:<{width}}  {_figure(figure)}"
    for side, names in (("STORE_A", found.only_baseline), ("STORE_B", found.only_candidate)):
        if names:
            yield f"scores in {side} alone: {', '.join(names)}"


def _eval(each: EvalComparison) -> str:
    parts = []
    if each.difference is not None and each.interval is not None:
        low, high = each.interval
        parts.append(f"{each.difference:+.4f} ({low:+.3f} to {high:+.3f})")
    if each.corrected_p_value is not None:
        parts.append(f"p {each.corrected_p_value:.3g}")
    parts += [each.verdict, counted(len(each.tasks), "task")]
    left = len(each.only_baseline) + len(each.only_candidate)
    if left:
        parts.append(f"{counted(left, 'task')} of one side only")
    return ", ".join(parts)


def _figure(figure: Figure) -> str:
    found = figure.found
    if found is None:
        return figure.why_not
    low, high = found.interval
    tasks = counted(found.tasks, "task")
    return f"{found.difference:+,.4g} ({low:+,.4g} to {high:+,.4g}), p {found.p_value:.3g}, {tasks}"
