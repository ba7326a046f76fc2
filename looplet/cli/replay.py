"""``looplet replay``: an agent or a script against its cassette, and whether it did the same."""

from __future__ import annotations

import argparse
import contextlib
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from looplet.cli.bundles import add_runtime
from looplet.cli.parsing import Commands
from looplet.cli.saying import complain, say, say_json
from looplet.cli.targets import Build, Script, ScriptEnded, check_file, failed, target_of
from looplet.core.wording import counted
from looplet.errors import CassetteError, LoopletError

if TYPE_CHECKING:
    from looplet.core.codec import JSON
    from looplet.replay import Divergence, ForkResult, LoopsResult, ReplayResult

EQUAL, DIVERGED, UNUSABLE = 0, 1, 2


def add_to(commands: Commands) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "replay",
        help="run an agent against its cassette: does it do the same?",
        description="Run an agent or a script against a cassette, without a model. Exit status "
        "0: equal, 1: diverged, 2: unusable.",
        usage="looplet replay CASSETTE --agent TARGET [options] [-- ARGUMENTS...]",
        epilog="TARGET is module:build or file.py:build, a function without arguments that gives "
        "tools, config and, for a fork, llm; or a script, whose ARGUMENTS stand behind --.",
        examples=[
            "looplet replay basket.yaml --agent agent.py:build",
            "looplet replay basket.yaml --agent script.py -- pear fig",
        ],
    )
    parser.add_argument("cassette", metavar="CASSETTE", type=Path)
    parser.add_argument("--agent", required=True, metavar="TARGET", help="an agent or a script")
    parser.add_argument(
        "--tools",
        choices=("live", "recorded"),
        help="recorded: no tool runs (the default); live: tools run",
    )
    parser.add_argument(
        "--fork-at",
        type=int,
        metavar="K",
        help="replay the steps before step K, and go on live with the agent's own model",
    )
    parser.add_argument("--into", type=Path, metavar="F", help="the cassette of the fork")
    parser.add_argument("--json", action="store_true", help="say it as JSON")
    add_runtime(parser)
    parser.set_defaults(command=replay, unusable=UNUSABLE)


def replay(given: argparse.Namespace) -> int:
    """Replay, or fork; what the exit status says is in this command's help."""
    from looplet.replay import SideEffectRefused

    _check(given)
    check_file(given.cassette)
    # The verdict alone is to be read from stdout where it is JSON.
    quiet = contextlib.redirect_stdout(sys.stderr) if given.json else contextlib.nullcontext()
    try:
        with quiet:
            verdict, status = _outcome(given)
    except SideEffectRefused as error:
        complain("error", error)
        return UNUSABLE
    if given.json:
        say_json(verdict)
    else:
        say(verdict["text"])
    return status


def _check(given: argparse.Namespace) -> None:
    forks = given.fork_at is not None
    if forks != (given.into is not None):
        raise CassetteError("--fork-at K and --into F belong together: a fork has its own cassette")
    if forks and given.tools == "live":
        raise CassetteError("a fork replays the tools before step K too: leave --tools live out")


def _outcome(given: argparse.Namespace) -> tuple[dict[str, JSON], int]:
    target = target_of(given.agent, workspace=given.workspace, max_steps=given.max_steps)
    if isinstance(target, Script):
        return _of_script(target, given)
    if given.arguments:
        raise CassetteError(f"{target.name} takes no arguments; those behind -- are for scripts")
    try:
        return _of_agent(target, given)
    except (LoopletError, OSError):
        raise
    except Exception as error:
        raise failed(target.name, error) from error


def _of_agent(target: Build, given: argparse.Namespace) -> tuple[dict[str, JSON], int]:
    import looplet.replay as room

    path, at, agent = given.cassette, given.fork_at, target.agent()
    if at is not None:
        return _forked(lambda: room.fork(path, at=at, agent=agent, into=given.into), given)
    result = room.replay(path, agent, tools=given.tools or "recorded")
    steps = result.trajectory.steps
    out = _common(result) | {
        "steps": len(steps),
        "stop_reason": result.trajectory.stop_reason,
        "digest": result.trajectory.digest,
        "recorded_digest": None if result.recorded is None else result.recorded.digest,
    }
    return out, EQUAL if result.matches else DIVERGED


def _of_script(script: Script, given: argparse.Namespace) -> tuple[dict[str, JSON], int]:
    from looplet.replay import fork_loops, replay_loops

    path, at = given.cassette, given.fork_at
    ended: list[ScriptEnded] = []

    def start() -> None:
        try:
            script.run(given.arguments)
        except ScriptEnded as end:
            if at is not None:
                raise CassetteError(f"{script.name} failed: {end}") from end
            ended.append(end)

    if at is not None:
        return _forked(lambda: fork_loops(path, start, at=at, into=given.into), given)
    result = replay_loops(path, start, tools=given.tools or "recorded")
    if ended and not result.matches and result.divergence is None:
        raise CassetteError(f"{script.name} cannot be compared: {ended[0]}")
    status = ended[0].status if ended else 0
    out = _common(result) | {
        "exit_status": status,
        "runs": [
            {"steps": len(run.steps), "stop_reason": run.stop_reason, "digest": run.digest}
            for run in result.runs
        ],
        "differences": [*result.differences],
    }
    if ended:
        out["text"] += f"\nthe script ended with exit status {status}"
    return out, EQUAL if result.matches else DIVERGED


def _common(result: ReplayResult | LoopsResult) -> dict[str, JSON]:
    """What is said of every replay; ``text`` is for people."""
    text = str(result)
    if result.matches and result.unplayed:
        text += f"\n{counted(result.unplayed, 'recorded call')} not asked for"
    return {
        "cassette": str(result.cassette),
        "equal": result.matches,
        "unplayed": result.unplayed,
        "divergence": None if result.divergence is None else _as_json(result.divergence),
        "text": text,
    }


def _as_json(divergence: Divergence) -> dict[str, JSON]:
    return {
        "lane": divergence.lane,
        "call": divergence.call,
        "step": divergence.step,
        "message_index": divergence.message_index,
        "role": divergence.role,
        "diff": divergence.diff,
    }


def _forked(go: Callable[[], ForkResult], given: argparse.Namespace) -> tuple[dict[str, JSON], int]:
    from looplet.replay import Divergence

    try:
        result = go()
    except Divergence as error:
        text = f"{given.cassette}: diverged before step {given.fork_at}\n{error}"
        out = {"cassette": str(given.cassette), "divergence": _as_json(error), "text": text}
        return out, DIVERGED
    run = result.trajectory
    steps = counted(len(run.steps), "step")
    return {
        "cassette": str(result.cassette),
        "parent": result.parent,
        "at": result.at,
        "steps": len(run.steps),
        "stop_reason": run.stop_reason,
        "digest": run.digest,
        "text": f"{result.cassette}: live from step {result.at} ({steps}, {run.stop_reason})",
    }, EQUAL
