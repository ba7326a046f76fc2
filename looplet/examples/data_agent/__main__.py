"""Ask the analyst a question.

    python -m looplet.examples.data_agent [question] [--scripted] [--resume DIR] [--approve]

With ``--resume`` all is kept in DIR: killed or stopped at any time, the same command goes on where
it was. A report waits for a person's yes: at the terminal, or later by ``--approve``.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from looplet import composable_loop
from looplet.core.records import escape_controls
from looplet.examples.data_agent.agent import Analyst
from looplet.examples.data_agent.tasks import TASKS
from looplet.examples.terminal import add_model_options, asked, command, complain, model_at, show


@command
def main(argv: Sequence[str] | None = None) -> int:
    """Run the example; 1 if the model cannot be asked."""
    given = _arguments(argv)
    if given.resume is not None:
        return _work(given, Analyst(given.resume))
    with tempfile.TemporaryDirectory() as folder:
        return _work(given, Analyst(Path(folder)))


def _work(given: argparse.Namespace, analyst: Analyst) -> int:
    """Run until the work is done or waits for somebody; what was approved runs on."""
    while True:
        report = analyst.waiting()
        if report is not None:
            if not _is_approved(given, report):
                print("The report waits: go on with --resume DIR --approve.")
                return 0
            analyst.approve(report)
        agent = analyst.agent(given.question, max_steps=given.max_steps)
        status = show(composable_loop(_model(given, analyst), **agent))
        if status or analyst.waiting() is None:
            return status
        if analyst.waiting() == report:
            return complain("the report was approved, and there is no step left to save it in")


def _is_approved(given: argparse.Namespace, report: dict[str, Any]) -> bool:
    """Show the report whole, since that is what is approved, and ask."""
    for line in report["text"].splitlines():
        print(f"  | {escape_controls(line)}")
    return given.approve or asked(f"Save this as {report['path']}?")


def _model(given: argparse.Namespace, analyst: Analyst) -> Any:
    if given.scripted:
        return TASKS[-1].model(after=len(analyst.steps))
    return model_at(given.base_url, given.model)


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m looplet.examples.data_agent", description="Ask about tables of orders."
    )
    parser.add_argument("question", nargs="?", default=TASKS[-1].goal)
    add_model_options(parser)
    parser.add_argument("--max-steps", type=int, default=15)
    parser.add_argument("--resume", type=Path, metavar="DIR", help="keep the work there; go on")
    parser.add_argument("--approve", action="store_true", help="save the report that waits")
    return parser.parse_args(argv)


if __name__ == "__main__":
    sys.exit(main())
