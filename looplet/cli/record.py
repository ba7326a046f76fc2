"""``looplet record``: run an agent, or a script that runs some, and keep what was asked."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from looplet.cli.bundles import add_runtime
from looplet.cli.models import model_of_environment
from looplet.cli.parsing import Commands
from looplet.cli.saying import complain, complain_of, say
from looplet.cli.targets import Build, Script, ScriptEnded, check_file, failed, is_bundle, target_of
from looplet.core.wording import counted
from looplet.errors import CassetteError, LoopletError

if TYPE_CHECKING:
    from looplet.core.records import Step
    from looplet.replay import Cassette

MODES = ("once", "new_episodes", "all", "rewrite")


def add_to(commands: Commands) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "record",
        help="run an agent, or a script that runs some, into a cassette",
        description="Run an agent, or a script that starts loops itself, and record every call. "
        "Exits 1 if an agent's model failed for good; the cassette keeps that.",
        usage="looplet record TARGET --cassette F [options] [-- ARGUMENTS...]",
        epilog="TARGET is module:build or file.py:build, a function without arguments that gives "
        "llm, tools and config; a bundle's folder, whose model is that of OPENAI_BASE_URL, "
        "OPENAI_API_KEY and OPENAI_MODEL; or a script, whose ARGUMENTS stand behind --.",
        examples=[
            "looplet record agent.py:build --cassette basket.yaml",
            "looplet record script.py --cassette basket.yaml -- pear fig",
        ],
    )
    parser.add_argument("target", metavar="TARGET", help="an agent or a script")
    parser.add_argument("--cassette", required=True, type=Path, metavar="F", help="where to record")
    parser.add_argument(
        "--record-mode",
        choices=MODES,
        default="once",
        metavar="MODE",
        help="once: if there is no cassette (the default); new_episodes: replay, and record "
        "behind the first change; all, rewrite: record anew",
    )
    parser.add_argument(
        "--tools",
        choices=("live", "recorded"),
        default="recorded",
        help="whether a replay is to take results of tools from the cassette (the default)",
    )
    parser.add_argument("--task", metavar="TEXT", help="what the agent is to do, if not its own")
    add_runtime(parser)
    parser.set_defaults(command=record)


def record(given: argparse.Namespace) -> int:
    """Record a run; 1 if nothing came of it, or the model of an agent failed for good."""
    from looplet.replay import Divergence, SideEffectRefused, use_cassette

    check_file(given.cassette)
    target = target_of(given.target, workspace=given.workspace, max_steps=given.max_steps)
    run = _script(target, given) if isinstance(target, Script) else _agent(target, given)
    was_there = given.cassette.exists()
    status, failure = 0, None
    try:
        with (
            use_cassette(
                given.cassette,
                record_mode=given.record_mode,
                tools=given.tools,
                metadata={"agent": given.target},
            ) as cassette,
            cassette.ambient(),
        ):
            failure = run()
    except ScriptEnded as end:
        complain_of(end)
        status = end.status
    except (Divergence, SideEffectRefused) as error:
        complain("error", error)
        return 1
    status = status or _told(cassette, replayed=was_there and not cassette.recording)
    if failure is None:
        return status
    remedy = f"{given.cassette} keeps that; --record-mode all records anew"
    complain("error", f"the run ended with llm_error: {failure.rstrip('.')}. {remedy}")
    return 1


def _script(script: Script, given: argparse.Namespace) -> Callable[[], None]:
    """Runs the script; whether a model's failure is one of the script's is its own business."""
    return lambda: script.run(given.arguments)


def _agent(build: Build, given: argparse.Namespace) -> Callable[[], str | None]:
    """Runs the agent, and gives its model's failure if that ended it."""
    if given.arguments:
        raise CassetteError(f"{build.name} takes no arguments; those behind -- are for scripts")
    agent = _with_model(build.agent(), given)

    def run() -> str | None:
        try:
            return _drive(agent)
        except (LoopletError, OSError):
            raise
        except Exception as error:
            raise failed(build.name, error) from error

    return run


def _with_model(agent: Any, given: argparse.Namespace) -> Any:
    """The agent with the task that was given, and a bundle's with the environment's model."""
    if given.task is not None:
        agent = replace(agent, task={"description": given.task})
    if agent.llm is None and is_bundle(given.target):
        agent = replace(agent, llm=model_of_environment()[0])
    return agent


def _drive(agent: Any) -> str | None:
    """One run, a line a step; the failure of the model that ended it, if one did."""
    from looplet.core.backend import is_async
    from looplet.core.engine import LLM_ERROR
    from looplet.core.loop import async_composable_loop, composable_loop

    keywords = {
        "llm": agent.llm, "tools": agent.tools, "task": agent.task, "context": agent.context,
        "hooks": agent.hooks, "config": agent.config, "state": agent.state,
    }  # fmt: skip
    failure: str | None = None

    def tell(step: Step) -> None:
        nonlocal failure
        say(step.pretty())
        failure = step.tool_result.error if step.tool_call.tool == LLM_ERROR else None

    if not is_async(agent.llm):
        for step in composable_loop(**keywords):
            tell(step)
        return failure
    import asyncio

    async def run() -> None:
        async for step in async_composable_loop(**keywords):
            tell(step)

    asyncio.run(run())
    return failure


def _told(cassette: Cassette, *, replayed: bool) -> int:
    """Say what came of it, where a script's own output is not."""
    sys.stdout.flush()
    if replayed:
        say(
            f"{cassette.path} was there and was replayed; nothing was recorded. "
            "--record-mode all records anew",
            file=sys.stderr,
        )
        return 0
    if not len(cassette):
        complain("error", "no loop was started, so nothing was recorded")
        return 1
    ends = ", ".join(str(run.stop_reason) for run in cassette.runs)
    runs = f"{counted(len(cassette.runs), 'run')} ({ends})" if ends else "no run"
    say(f"{cassette.path}: {counted(len(cassette), 'call')}, {runs}", file=sys.stderr)
    return 0
