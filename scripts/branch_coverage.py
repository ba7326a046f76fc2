"""Branch coverage of each room, from the data that a test run left; fails below the floor.

``make test PYTEST_ARGS=--cov`` leaves the data in ``.coverage``; no test is run here.
"""

from __future__ import annotations

import json
import sys
import tempfile
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import coverage
from coverage.exceptions import NoDataError

FLOOR = 95.0
"""Per cent of the branches of each room in ``HELD`` that tests must take."""
HELD = ("looplet/core", "looplet/context", "looplet/control", "looplet/backends")
ROOT = Path(__file__).resolve().parent.parent


@dataclass(frozen=True, slots=True, kw_only=True)
class Branches:
    """How many branches there are, and how many of them tests take."""

    covered: int
    total: int

    @property
    def percent(self) -> float:
        """100 where there is nothing to take."""
        return 100 * self.covered / self.total if self.total else 100.0


def rooms_of(report: Mapping[str, Any]) -> dict[str, Branches]:
    """The branches of each room, from coverage's JSON report."""
    counts: dict[str, list[int]] = defaultdict(lambda: [0, 0])
    for name, figures in report["files"].items():
        room = "/".join(Path(name).parts[:2])
        counts[room][0] += figures["summary"]["covered_branches"]
        counts[room][1] += figures["summary"]["num_branches"]
    return {
        room: Branches(covered=covered, total=total)
        for room, (covered, total) in sorted(counts.items())
    }


def below_floor(rooms: Mapping[str, Branches]) -> list[str]:
    """What is wrong, a line each: a held room without data, or one below the floor."""
    missing = [f"{room} was not measured" for room in HELD if room not in rooms]
    low = [
        f"{room} has {rooms[room].percent:.2f} % of its branches covered, less than {FLOOR:g} %"
        for room in HELD
        if room in rooms and rooms[room].percent < FLOOR
    ]
    return missing + low


def read_report(data_file: Path) -> dict[str, Any]:
    """Coverage's JSON report of a data file. Raises ``NoDataError`` if there is no data."""
    measured = coverage.Coverage(data_file=str(data_file), config_file=str(ROOT / "pyproject.toml"))
    measured.load()
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder) / "coverage.json"
        measured.json_report(outfile=str(place))
        report: dict[str, Any] = json.loads(place.read_text(encoding="utf-8"))
    return report


def main(data_file: Path = ROOT / ".coverage") -> int:
    """Print the table; 1 if a room is below the floor or there is nothing to read."""
    try:
        report = read_report(data_file)
    except NoDataError:
        print(
            f"{data_file.name} holds no data; run: make test PYTEST_ARGS=--cov",
            file=sys.stderr,
        )
        return 1
    rooms = rooms_of(report)
    for room, branches in rooms.items():
        held = f"at least {FLOOR:g} %" if room in HELD else ""
        share = f"{branches.covered}/{branches.total}"
        print(f"{room:<24} {share:>10} {branches.percent:7.2f} %  {held}".rstrip())
    wrong = below_floor(rooms)
    for line in wrong:
        print(line, file=sys.stderr)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
