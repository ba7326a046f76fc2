"""Record the clerk's tasks with the small model that recorded the parcel desk.

    .venv/bin/python -m recordings.record_clerk [--into DIR]

Two trials a task. The runs are kept as they come, and most of them do not end well.
"""

from __future__ import annotations

import argparse
import hashlib
import tempfile
from pathlib import Path

from looplet import MCPToolAdapter, OpenAIBackend, composable_loop
from looplet.core.codec import JSON
from looplet.examples.mcp_agent.agent import SERVER, build, described, seed_of
from looplet.examples.mcp_agent.tasks import TASKS
from looplet.replay import use_cassette
from recordings.make_recordings import (
    HERE,
    MODEL,
    ROOT,
    WEIGHTS,
    install,
    put_in_place,
    served,
)
from recordings.make_recordings import SERVER as MODEL_SERVER

CASSETTES = ROOT / "fixtures" / "cassettes" / "mcp_agent_smollm2"
TRIALS = (1, 2)


def main() -> None:
    """Install, serve, record."""
    parser = argparse.ArgumentParser(description="Record the clerk with a real model again.")
    parser.add_argument("--into", type=Path, default=CASSETTES, help="directory of the cassettes")
    into = parser.parse_args().into
    install()
    with tempfile.TemporaryDirectory() as folder, served("mcp_agent") as address:
        fresh = Path(folder)
        llm = OpenAIBackend(base_url=f"{address}/v1", api_key="x", model=MODEL)
        for task in TASKS:
            for trial in TRIALS:
                record(llm, fresh / f"{task.task_id}-{trial}.yaml", task.task_id, task.goal, trial)
        llm.close()
        put_in_place(fresh, into)


def record(llm: OpenAIBackend, path: Path, task_id: str, goal: str, trial: int) -> None:
    """One run into one cassette, with a warehouse of its own."""
    seed = seed_of(task_id, trial)
    template = hashlib.sha256((HERE / "mcp_agent.jinja").read_bytes()).hexdigest()
    with MCPToolAdapter.connect_stdio(SERVER) as adapter:
        tools = adapter.list_tools()
        about: dict[str, JSON] = {
            "agent": "mcp_agent", "task_id": task_id, "trial": trial, "seed": seed,
            "weights": WEIGHTS, "server": MODEL_SERVER, "template_sha256": template,
            "tools": described(tools),
        }  # fmt: skip
        opened = use_cassette(path, record_mode="all", tools="recorded", metadata=about)
        with opened as cassette, cassette.ambient():
            for step in composable_loop(llm, **build(tools, goal, seed=seed)):
                print(f"{path.stem}: {step.pretty()}", flush=True)


if __name__ == "__main__":
    main()
