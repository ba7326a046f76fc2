"""``looplet cassette``: look at recorded calls, check them, take secrets out, tidy them up."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from looplet.cli.parsing import Commands
from looplet.cli.saying import complain, complain_of, say, say_json
from looplet.core.codec import JSON, to_jsonable
from looplet.core.wording import counted
from looplet.errors import CassetteError, LoopletError, RedactionError

if TYPE_CHECKING:
    from looplet.redaction import Redactor
    from looplet.replay import CassetteStats, Rewritten
    from looplet.replay.playback import Player

_FINE, _WRONG = 0, 1


def add_to(commands: Commands) -> None:
    """Add the command and its parts."""
    parser = commands.add_parser(
        "cassette",
        help="look at recorded calls, check them, take secrets out, tidy them up",
        examples=["looplet cassette show basket.yaml"],
    )
    parts = Commands(parser, title="parts", metavar="PART")
    show = parts.add_parser(
        "show",
        help="read a cassette: what was asked, answered and done",
        examples=["looplet cassette show basket.yaml --steps"],
    )
    show.add_argument("file", type=Path)
    which = show.add_mutually_exclusive_group()
    which.add_argument("--steps", action="store_true", help="the steps of its runs alone")
    which.add_argument("--calls", action="store_true", help="the calls alone")
    show.add_argument("--full", action="store_true", help="long texts to their end")
    show.add_argument("--json", action="store_true", help="say it as JSON, with whole texts")
    show.set_defaults(command=show_transcript)
    text = "check seal, requests, steps and digests; 1 if one is wrong"
    checked = _add(parts, "verify", verify, text)
    counts = _add(parts, "stats", show_stats, "count calls, lanes, tokens, bytes and time")
    redact = _add(parts, "redact", take_secrets_out, "take secrets out, and seal it anew")
    redact.add_argument(
        "--secret-env",
        nargs="+",
        action="extend",
        default=[],
        metavar="NAME",
        help="environment variables that hold secrets",
    )
    redact.add_argument(
        "--pattern",
        nargs="+",
        action="extend",
        default=[],
        metavar="RE",
        help="regular expressions of secrets; of one with a group called secret that group",
    )
    _add(parts, "compact", compact, "write it in today's smallest form; drop leftover journals")
    _add(parts, "accept", accept_edits, "seal cassettes anew after replies were edited by hand")
    about = _add(parts, "info", show_info, "what cassettes hold, a line each")
    for part in (checked, counts, about):
        part.add_argument("--json", action="store_true", help="say it as JSON, a list")


def _add(parts: Commands, name: str, command: Any, text: str) -> argparse.ArgumentParser:
    option = " --secret-env TOKEN" if name == "redact" else ""
    part = parts.add_parser(
        name, help=text, examples=[f"looplet cassette {name} cassettes/basket.yaml{option}"]
    )
    part.add_argument("files", nargs="+", type=Path)
    part.set_defaults(command=command)
    return part


def show_transcript(given: argparse.Namespace) -> int:
    """Print a cassette as a conversation, step by step."""
    from looplet.replay.playback import Player
    from looplet.replay.transcript import transcript

    player = Player(given.file)
    if not given.json:
        say(_headline(player))
    if given.steps and not player.runs:
        raise CassetteError(
            f"no steps are in {given.file}: it was recorded without ambient() and wrap_config()"
        )
    if given.json:
        say_json(_recorded(player, steps=not given.calls, calls=not given.steps))
        return _FINE
    for line in transcript(player, steps=not given.calls, calls=not given.steps, full=given.full):
        print(line)
    return _FINE


def _recorded(player: Player, *, steps: bool, calls: bool) -> dict[str, JSON]:
    """What a cassette holds, as JSON: its calls, and the steps of each of its runs."""
    from looplet.replay.reading import trajectory_of
    from looplet.trajectory.trace_format import call_to_record, step_to_record

    held = _about(player)
    read = [trajectory_of(player, run=number) for number in range(max(len(player.runs), 1))]
    if steps:
        held["runs"] = [
            {
                "task": to_jsonable(run.task),
                "stop_reason": run.stop_reason,
                "steps": [
                    step_to_record(step) | {"pretty": step.to_step().pretty()} for step in run.steps
                ],
            }
            for run in read[: len(player.runs)]
        ]
    if calls:  # those of the cassette are in each of its runs
        held["llm_calls"] = [
            call_to_record(call) | {"prompt": call.prompt, "response": to_jsonable(call.response)}
            for call in read[0].llm_calls
        ]
    return held


def verify(given: argparse.Namespace) -> int:
    """Check each file; 1 if anything is wrong in one of them."""
    found = [_verified(path, as_json=given.json) for path in given.files]
    if given.json:
        say_json(found)
    return _FINE if all(each["whole"] for each in found) else _WRONG


def _verified(path: Path, *, as_json: bool) -> dict[str, JSON]:
    """What was found in one file, which is said unless it is to be JSON."""
    from looplet.replay import check_cassette

    try:
        found = check_cassette(path)
    except (LoopletError, OSError) as error:
        if not as_json:
            complain_of(error)
        return {"path": str(path), "whole": False, "problems": [str(error)]}
    if not as_json:
        for problem in found.problems:
            complain("error", f"cassette {path}: {problem}")
        if found.whole:
            ended = "; its recording was interrupted" if found.interrupted else ""
            say(
                f"{path}: whole, {counted(found.calls, 'call')}, {counted(found.steps, 'step')}, "
                f"{counted(found.runs, 'run')}{ended}"
            )
    return {**asdict(found), "path": str(path), "whole": found.whole}


def show_stats(given: argparse.Namespace) -> int:
    """Print the figures of each file."""
    from looplet.replay import cassette_stats

    figures = [cassette_stats(path) for path in given.files]
    if given.json:
        say_json([each.to_dict() for each in figures])
    else:
        say("\n".join(line for each in figures for line in _figures(each)))
    return _FINE


def _figures(stats: CassetteStats) -> Iterator[str]:
    yield str(stats.path)
    yield f"  {counted(stats.model_calls, 'model call')}, {counted(stats.tool_calls, 'tool call')}"
    ends = ", ".join(str(run["stop_reason"]) for run in stats.runs)
    yield f"  {counted(stats.steps, 'step')}, {counted(len(stats.runs), 'run')}" + (
        f" ({ends})" if ends else ""
    )
    yield f"  tokens: {stats.input_tokens:,} in, {stats.output_tokens:,} out"
    yield f"  {stats.bytes:,} bytes"
    yield f"  {stats.duration_ms / 1000:,.1f} s"
    if stats.interrupted:
        yield "  its recording was interrupted"
    if stats.parent:
        yield f"  forked at step {stats.parent.get('at')}"
    for name, lane in stats.lanes.items():
        failed = f", {lane.failures:,} failed" if lane.failures else ""
        yield f"  {name}: {counted(lane.calls, 'call')}{failed}, {lane.bytes:,} bytes"
        if lane.input_tokens or lane.output_tokens:
            yield f"    {lane.input_tokens:,} in, {lane.output_tokens:,} out"
    yield "  biggest:"
    for each in stats.biggest:
        what = "a step" if each.method == "step" else each.lane
        step = f", step {each.step}" if each.step else ""
        yield f"    [{each.place}] {what}{step}: {each.bytes:,} bytes"


def take_secrets_out(given: argparse.Namespace) -> int:
    """Redact each file, beside the secrets that are known by their looks."""
    from looplet.replay import redact_cassette

    return _each(given, lambda path: _told(redact_cassette(path, _redactor(given)), "redacted"))


def _redactor(given: argparse.Namespace) -> Redactor:
    """A fresh one for each file, so that what it numbers begins anew."""
    import os

    from looplet.redaction import Redactor

    for name in given.secret_env:
        if not os.environ.get(name):
            raise RedactionError(
                f"the environment variable {name} is not set here, so its secret is not known"
            )
    return Redactor(env=given.secret_env, patterns=given.pattern)


def compact(given: argparse.Namespace) -> int:
    """Write each file in its smallest form."""
    from looplet.replay import compact_cassette

    return _each(given, lambda path: _told(compact_cassette(path), "compacted"))


def _each(given: argparse.Namespace, rewrite: Any) -> int:
    """Rewrite file after file; one that cannot be is told, and the others are done."""
    status = _FINE
    for path in given.files:
        try:
            rewrite(path)
        except RedactionError:
            raise  # what was given is wrong, for every file
        except (LoopletError, OSError) as error:
            complain_of(error)
            status = _WRONG
    return status


def _told(done: Rewritten, what: str) -> None:
    """Say what became of a file, and of what lies beside it."""
    if done.changed:
        hidden = f", {counted(len(done.placeholders), 'placeholder')}" if done.placeholders else ""
        say(f"{done.path}: {what}{hidden}, {done.before:,} → {done.after:,} bytes")
    else:
        why = "nothing was found" if what == "redacted" else "it is in that form"
        say(f"{done.path}: {why}, left as it was")
    for problem in done.mended:
        complain("warning", f"{done.path} had been edited, and its digests fit that now: {problem}")
    for place in done.removed:
        say(f"{place}: removed, the cassette has everything in it")
    for place in done.left:
        secret = ", and was not redacted" if what == "redacted" else ""
        complain("warning", f"{place} holds calls that are not in the cassette{secret}")


def accept_edits(given: argparse.Namespace) -> int:
    """Accept the edits of each file; a request that was edited is refused."""
    from looplet.replay import accept_edit

    for path in given.files:
        say(f"{path}: {accept_edit(path)} calls, sealed")
    return _FINE


def show_info(given: argparse.Namespace) -> int:
    """One line a cassette: calls, and what it says of itself."""
    from looplet.replay.playback import Player

    players = map(Player, given.files)
    if given.json:
        say_json([_about(player) for player in players])
        return _FINE
    for player in players:
        say(_headline(player))
    return _FINE


def _about(player: Player) -> dict[str, JSON]:
    return {
        "path": str(player.path),
        "calls": len(player),
        "interrupted": player.interrupted,
        "metadata": to_jsonable(player.metadata),
    }


def _headline(player: Player) -> str:
    about = ", ".join(f"{name}={value}" for name, value in player.metadata.items())
    return f"{player.path}: {len(player)} calls" + (f"; {about}" if about else "")
