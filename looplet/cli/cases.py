"""``looplet eval cases``: the cases of a file or a directory, listed or shown."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from looplet.cli.parsing import Commands
from looplet.cli.saying import say, say_json
from looplet.core.validation import suggest_similar
from looplet.core.wording import counted
from looplet.errors import EvalError

if TYPE_CHECKING:
    from looplet.evals.cases import EvalCase

NAME = "eval cases"
"""The command's name is two words, so that ``looplet eval DIR`` needs none between."""
ACTIONS = ("ls", "show")
LONGEST = 80
"""Characters of a description in a list."""


def add_to(commands: Commands) -> None:
    """Add the command."""
    parser = commands.add_parser(
        NAME,
        help="the cases of a file or a directory",
        examples=["looplet eval cases ls cases/"],
    )
    actions = Commands(parser, title="actions", metavar="ACTION")
    listing = actions.add_parser(
        "ls",
        help="list cases: id, marks, what they are about",
        examples=["looplet eval cases ls cases/"],
    )
    listing.add_argument("path", type=Path, metavar="PATH", help="a file or a directory of cases")
    listing.add_argument("--json", action="store_true", help="the whole cases, as a JSON list")
    listing.set_defaults(command=list_cases)
    showing = actions.add_parser(
        "show",
        help="show one case as JSON",
        examples=["looplet eval cases show cases/ three-apples"],
    )
    showing.add_argument("path", type=Path, metavar="PATH", help="a file or a directory of cases")
    showing.add_argument("id", nargs="?", help="which, if there are several")
    showing.set_defaults(command=show_case)


def joined(argv: list[str]) -> list[str]:
    """The arguments with the command's two words as one; a directory may be called ``cases``."""
    is_cases = argv[:2] == NAME.split() and argv[2:3] and argv[2] in (*ACTIONS, "-h", "--help")
    return [NAME, *argv[2:]] if is_cases else argv


def list_cases(given: argparse.Namespace) -> int:
    """A line for each case, and how many there are; or all of them as JSON."""
    from looplet.evals.cases import load_cases

    cases = load_cases(given.path)
    if given.json:
        say_json([case.to_dict() for case in cases])
        return 0
    for case in cases:
        parts = (case.id, f"[{', '.join(case.marks)}]" if case.marks else "", _description(case))
        say(" ".join(part for part in parts if part))
    say(counted(len(cases), "case"))
    return 0


def show_case(given: argparse.Namespace) -> int:
    """One case as JSON. Raises ``EvalError`` if it is not clear which, or there is none."""
    from looplet.evals.cases import load_cases

    cases = {case.id: case for case in load_cases(given.path)}
    if given.id is None and len(cases) != 1:
        which = f"name one of them: {', '.join(cases)}" if cases else "nothing to show"
        raise EvalError(f"{given.path} has {counted(len(cases), 'case')}; {which}")
    case = cases.get(given.id) if given.id is not None else next(iter(cases.values()))
    if case is None:
        near = suggest_similar(given.id, cases)
        hint = f"; did you mean {near!r}?" if near else ""
        raise EvalError(f"{given.path} has no case {given.id!r}{hint}")
    say_json(case.to_dict())
    return 0


def _description(case: EvalCase) -> str:
    """What a case is about, in a line: its notes, or else its task's words."""
    task = case.task
    words = task if isinstance(task, str) else ""
    if isinstance(task, dict):
        words = next((str(task[key]) for key in ("description", "goal") if task.get(key)), "")
    line = " ".join((case.notes or words).split())
    return line if len(line) <= LONGEST else line[: LONGEST - 1] + "…"
