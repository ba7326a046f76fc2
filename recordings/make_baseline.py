"""Score the recorded runs of the parcel desk, to compare later ones with.

    make baseline

The agent as it is now is run on its cassettes, and its runs and their scores become the store
below fixtures/baselines, from which
pytest with --looplet-gate=no-worse tells what has become worse.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from looplet.examples.parcel_desk.agent import NAME

ROOT = Path(__file__).resolve().parent.parent
BASELINE = ROOT / "fixtures" / "baselines" / NAME


def main() -> None:
    """Run, score, put in place."""
    parser = argparse.ArgumentParser(description="Score the parcel desk's recorded runs.")
    parser.add_argument("--into", type=Path, default=BASELINE, help="the store, written anew")
    into = parser.parse_args().into
    with tempfile.TemporaryDirectory() as folder:
        store = Path(folder) / NAME
        score(store)
        shutil.rmtree(into, ignore_errors=True)
        into.parent.mkdir(parents=True, exist_ok=True)
        shutil.move(store, into)
    print(f"the baseline is {into}")


def score(store: Path) -> None:
    """Let pytest run the agent and put its evals to the runs. Exits if a run could not be made."""
    command = [
        sys.executable, "-m", "pytest", f"looplet/examples/{NAME}/evals",
        "--looplet-cassettes", f"fixtures/cassettes/{NAME}", "--looplet-out", str(store),
        "--looplet-gate=threshold", "--override-ini=addopts=", "-p", "no:cacheprovider",
        "-q", "--no-header", "--tb=short", "-rN",
    ]  # fmt: skip
    ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if ran.returncode:
        sys.exit(f"{ran.stdout}\n{ran.stderr}\nno baseline was made of this")


if __name__ == "__main__":
    main()
