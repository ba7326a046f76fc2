"""Measure everything and put the tables, and the machine, into docs/benchmarks.md.

    make bench-docs      # or: python benchmarks/report.py [--quick] [--only loop memory]

A table stands between ``<!-- NAME -->`` and ``<!-- end -->``; the text around it is a person's.
"""

from __future__ import annotations

import argparse
import os
import platform
import re
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
PAGE = HERE.parent / "docs" / "benchmarks.md"
SCRIPTS = {
    "loop": "loop.py",
    "memory": "memory.py",
    "imports": "imports.py",
    "crowd": "crowd.py",
    "replay": "replay.py",
    "store": "store.py",
    "statistics": "evals_statistics.py",
    "evals": "evals_plugin.py",
    "peers": "peers/compare.py",
}
QUICK = {"loop", "memory", "crowd", "replay", "statistics", "store", "evals"}
"""Scripts that take --quick."""


def machine() -> str:
    """What the figures were measured on."""
    model = re.search(r"model name\s*: (.+)", _read("/proc/cpuinfo"))
    kib = re.search(r"MemTotal:\s*(\d+)", _read("/proc/meminfo"))
    memory = f", {int(kib.group(1)) / 2**20:.0f} GiB of memory" if kib else ""
    cores = f"{os.cpu_count()} cores{f' ({model.group(1)})' if model else ''}"
    python = f"{platform.python_implementation()} {platform.python_version()}"
    return f"{cores}{memory}, {platform.system()}, {python}."


def _read(path: str) -> str:
    return Path(path).read_text(encoding="utf-8") if Path(path).exists() else ""


def put(page: str, name: str, text: str) -> str:
    """The page with another text between the marks of that name."""
    mark = re.compile(rf"(<!-- {name} -->\n).*?(<!-- end -->)", re.DOTALL)
    changed, count = mark.subn(lambda found: f"{found[1]}{text}\n{found[2]}", page)
    if count != 1:
        raise SystemExit(f"{PAGE.name} must have one place for {name!r}, not {count}")
    return changed


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(description="Write docs/benchmarks.md.")
    parser.add_argument("--quick", action="store_true", help="fewer sizes and rounds")
    parser.add_argument("--only", nargs="+", choices=SCRIPTS, default=list(SCRIPTS))
    given = parser.parse_args()
    page = put(PAGE.read_text(encoding="utf-8"), "machine", machine())
    for name in given.only:
        options = ["--quick"] if given.quick and name in QUICK else []
        command = [sys.executable, str(HERE / SCRIPTS[name]), *options]
        out = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
        page = put(page, name, out.strip())
        PAGE.write_text(page, encoding="utf-8")


if __name__ == "__main__":
    main()
