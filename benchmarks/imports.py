"""What importing costs over a bare interpreter, and what is loaded.

    python benchmarks/imports.py [--rounds 20]

Each figure is the median wall clock of whole processes, in milliseconds, interleaved so that a
noisy moment meets them all; run it on an idle machine.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time

CANDIDATES = {
    "bare interpreter": "pass",
    "dataclasses, json, typing, inspect": "import dataclasses, json, typing, inspect",
    "import looplet": "import looplet",
    "looplet.composable_loop": "from looplet import composable_loop",
    "asyncio alone": "import asyncio",
}
LOADED = (
    "import sys; before = set(sys.modules); {code}; import json; "
    "print(json.dumps(sorted({{name.split('.')[0] for name in set(sys.modules) - before}} "
    "- sys.stdlib_module_names)))"
)


ENVIRONMENT = {key: text for key, text in os.environ.items() if key != "PYTHONDONTWRITEBYTECODE"}
"""Bytecode is kept, as on a user's machine; the first round writes it and the median drops it."""


def measure(rounds: int) -> dict[str, float]:
    """Milliseconds over the bare interpreter; its own start for the bare interpreter."""
    seen: dict[str, list[float]] = {name: [] for name in CANDIDATES}
    for _ in range(rounds):
        for name, code in CANDIDATES.items():
            start = time.perf_counter()
            subprocess.run([sys.executable, "-c", code], check=True, env=ENVIRONMENT)
            seen[name].append((time.perf_counter() - start) * 1000)
    medians = {name: statistics.median(times) for name, times in seen.items()}
    bare = medians["bare interpreter"]
    return {name: ms if name == "bare interpreter" else ms - bare for name, ms in medians.items()}


def loaded(code: str) -> list[str]:
    """Top-level modules outside the standard library that a line of code loads."""
    command = [sys.executable, "-c", LOADED.format(code=code)]
    out = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return json.loads(out)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="Cost of importing.")
    parser.add_argument("--rounds", type=int, default=20)
    given = parser.parse_args()
    print("| | ms | third-party and own modules |\n|---|---|---|")
    for name, ms in measure(given.rounds).items():
        sign = "" if name == "bare interpreter" else "+"
        print(f"| {name} | {sign}{ms:.1f} | {', '.join(loaded(CANDIDATES[name])) or '-'} |")


if __name__ == "__main__":
    main()
