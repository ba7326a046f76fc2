"""``looplet cassette``: look at recorded calls, and accept an edit of one."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from looplet.core.records import escape_controls


def add_to(commands: Any) -> None:
    """Add the command and its parts."""
    parser = commands.add_parser("cassette", help="look at recorded calls, accept an edit of one")
    parts = parser.add_subparsers(title="parts", required=True, metavar="PART")
    accept = parts.add_parser(
        "accept", help="seal cassettes anew after replies were edited by hand"
    )
    accept.add_argument("files", nargs="+", type=Path)
    accept.set_defaults(command=accept_edits)
    info = parts.add_parser("info", help="what cassettes hold; an unreadable one is an error")
    info.add_argument("files", nargs="+", type=Path)
    info.set_defaults(command=show_info)


def accept_edits(given: argparse.Namespace) -> int:
    """Accept the edits of each file; a request that was edited is refused."""
    from looplet.replay import accept_edit

    for path in given.files:
        print(f"{path}: {accept_edit(path)} calls, sealed")
    return 0


def show_info(given: argparse.Namespace) -> int:
    """One line a cassette: calls, and what it says of itself."""
    from looplet.replay import use_cassette

    for path in given.files:
        with use_cassette(path) as cassette:
            about = ", ".join(f"{name}={value}" for name, value in cassette.metadata.items())
            print(escape_controls(f"{path}: {len(cassette)} calls; {about}"))
    return 0
