"""``looplet eval``: evals over recorded runs, and the gate. The evals' room does the work."""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from looplet.cli.parsing import Commands
from looplet.cli.saying import complain, say
from looplet.core.wording import counted

if TYPE_CHECKING:
    from looplet.evals.recorded import Recorded

HELD, FELL = 0, 1


def add_to(commands: Commands) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "eval",
        help="put evals to recorded runs, and let the exit status be the gate's verdict",
        description="Put evals to recorded runs. Exits 0 if all were evaluated and reach the "
        "threshold, else 1, with the cause on stderr.",
        examples=["looplet eval traces/ --evals eval_my_agent.py --threshold 0.7 -v"],
    )
    parser.add_argument(
        "traces",
        type=Path,
        metavar="TRACES",
        help="a directory of trace directories, one trace directory, or a trajectory store",
    )
    parser.add_argument(
        "--evals",
        type=Path,
        default=Path(),
        metavar="P",
        help="a file of evals, or a directory with eval_*.py (default: the current directory)",
    )
    parser.add_argument(
        "--threshold",
        type=_number,
        default=0.0,
        metavar="F",
        help="the average that each eval must reach whose mark names none (default: 0)",
    )
    for name, what in (("include", "only evals with one of"), ("exclude", "no eval with one of")):
        parser.add_argument(
            f"--{name}", nargs="+", action="extend", metavar="M", help=f"{what} these marks"
        )
    parser.add_argument(
        "--judge",
        metavar="MODULE:ATTR",
        help="the backend for evals with a parameter llm, or a function that makes it",
    )
    parser.add_argument(
        "--allow-skipped", action="store_true", help="let the gate hold without such evals"
    )
    parser.add_argument("-v", "--verbose", action="store_true", help="show each run's result")
    parser.set_defaults(command=evaluate_runs)


def eval_cli(args: Sequence[str] | None = None) -> int:
    """``looplet eval`` with these arguments, or with the process's own; the exit status.

    0 if everything was evaluated and is at or above the threshold, else 1. Raises ``SystemExit``
    for arguments that there are not.
    """
    from looplet.__main__ import main

    return main(["eval", *(sys.argv[1:] if args is None else args)])


def evaluate_runs(given: argparse.Namespace) -> int:
    """Evaluate, show by name, judge."""
    from looplet.evals import gate
    from looplet.evals.caveats import caveat_lines
    from looplet.evals.discovery import eval_discover
    from looplet.evals.marks import check_parameters, name_of
    from looplet.evals.named_judge import load_judge
    from looplet.evals.recorded import read_recorded
    from looplet.evals.report import report_lines
    from looplet.evals.running import Given
    from looplet.evals.suites import info_of, score_all, select
    from looplet.evals.summary import reason_lines, replay_lines, summarize

    evaluators = sorted(eval_discover(given.evals, on_error="raise"), key=name_of)
    for function in evaluators:
        check_parameters(function)
    chosen = select(evaluators, include=given.include, exclude=given.exclude)
    judge = load_judge(given.judge) if given.judge else None
    recorded = read_recorded(given.traces)
    scored = score_all(chosen, recorded.runs, given=Given(judge=judge))
    summaries = summarize(scored)
    verdict = gate.judge(
        summaries,
        threshold=given.threshold,
        expected=map(info_of, evaluators),
        troubles=[*_troubles(given, recorded, found=len(evaluators), chosen=len(chosen))],
        allow_skipped=given.allow_skipped,
    )
    if summaries:
        shown = scored if given.verbose else ()
        say("\n".join(report_lines(summaries, verdict, threshold=given.threshold, scored=shown)))
    sys.stdout.flush()  # what follows on stderr is about it
    notes = [*reason_lines(summaries), *replay_lines(summaries), *caveat_lines(summaries)]
    _tell(recorded, notes, verdict.causes)
    return HELD if verdict.held else FELL


def _troubles(
    given: argparse.Namespace, recorded: Recorded, *, found: int, chosen: int
) -> Iterator[str]:
    """What keeps the gate from holding, whatever the evals say."""
    yield from recorded.unreadable
    if not recorded.runs and not recorded.unreadable:
        yield f"there are no traces in {given.traces}"
    if not found:
        yield f"there are no evals in {given.evals}: functions eval_* in files eval_*.py"
    elif not chosen:
        yield f"none of {counted(found, 'eval')} has the marks that were asked for"


def _tell(recorded: Recorded, notes: Sequence[str], causes: Sequence[str]) -> None:
    """Say on stderr what was left out, what there is to know of verdicts, why the gate fell."""
    for folder in recorded.left_out:
        complain("note", f"{folder} is no trace directory, and was left out")
    for line in notes:
        complain("note", line)
    for cause in causes:
        complain("gate", cause)


def _number(text: str) -> float:
    """A number that an average can reach, or not: NaN would be reached by none and all."""
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number")
    return number
