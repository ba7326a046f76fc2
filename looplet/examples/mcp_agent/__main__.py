"""Ask the clerk for something.

    python -m looplet.examples.mcp_agent [task] [--scripted] [--cassette FILE]

The warehouse is a server that the example starts. With ``--cassette`` the run is recorded into
FILE; if FILE is there, it is replayed, and neither server nor model nor SDK is needed.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from looplet import MCPToolAdapter, ToolSpec, composable_loop
from looplet.core.codec import JSON
from looplet.examples.mcp_agent.agent import SERVER, build, described, remembered
from looplet.examples.mcp_agent.tasks import TASKS
from looplet.examples.terminal import add_model_options, command, model_at, show
from looplet.replay import replay, use_cassette


@command
def main(argv: Sequence[str] | None = None) -> int:
    """Run the example; 1 if server or model cannot be asked, or a replay differs."""
    given = _arguments(argv)
    if given.cassette is not None and given.cassette.exists():
        return _replay(given.cassette)
    return _run(given)


def _run(given: argparse.Namespace) -> int:
    llm = TASKS[0].model() if given.scripted else model_at(given.base_url, given.model)
    with MCPToolAdapter.connect_stdio(SERVER) as adapter:
        tools = adapter.list_tools()
        with _recording(given.cassette, tools):
            return show(composable_loop(llm, **build(tools, given.task)))


@contextmanager
def _recording(path: Path | None, tools: list[ToolSpec]) -> Iterator[None]:
    """Keep the run in a cassette, and with it what the server's tools are like."""
    if path is None:
        yield
        return
    about: dict[str, JSON] = {"agent": "mcp_agent", "tools": described(tools)}
    opened = use_cassette(path, record_mode="once", tools="recorded", metadata=about)
    with opened as cassette, cassette.ambient():
        yield


def _replay(cassette: Path) -> int:
    with use_cassette(cassette) as opened:
        tools = remembered(opened.metadata["tools"])
        goal, seed = opened.runs[0].task["goal"], opened.metadata.get("seed")
    result = replay(cassette, build(tools, goal, seed=seed))
    for record in result.trajectory.steps:
        print(record.to_step().pretty())
    print(result)
    return 0 if result.matches else 1


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m looplet.examples.mcp_agent", description="Ask a store clerk."
    )
    parser.add_argument("task", nargs="?", default=TASKS[0].goal)
    add_model_options(parser)
    parser.add_argument(
        "--cassette", type=Path, metavar="FILE", help="record; replay if it is there"
    )
    return parser.parse_args(argv)


if __name__ == "__main__":
    sys.exit(main())
