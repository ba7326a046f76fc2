"""A cassette as a person reads it: who asked what is new, and what came of it. Writes no file."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from looplet.core.codec import JSON
from looplet.core.messages import ChatMessage
from looplet.core.records import escape_controls
from looplet.core.show import json_text
from looplet.replay.entries import DISPATCH, MODEL_METHODS, STEP, address, header
from looplet.replay.outcomes import answer_of
from looplet.replay.playback import Player
from looplet.replay.reading import Reader
from looplet.replay.requests import Asked
from looplet.replay.serializer import restored
from looplet.trajectory.model import StepRecord

MOST_CHARS, MOST_LINES = 2000, 30
"""How much of one text is shown."""
AGAIN = 60
"""Characters that are shown of a text which was said before."""


def transcript(
    player: Player, *, steps: bool = True, calls: bool = True, full: bool = False
) -> Iterator[str]:
    """The interactions of a cassette line by line, in the order in which they ended.

    Of a request only what is new since the one before it in its lane is told. ``full`` shows
    long texts to their end. Control characters are shown as escapes.
    """
    reader, several = Reader(None), len(player.runs) > 1
    for place, (request, stored, method, what) in enumerate(player.recorded(), 1):
        told: Iterator[str] = iter(())
        if method == STEP:
            reader.take(request, stored, method, what)
            if steps:
                told = _step(reader.steps.pop(), request.body.get("run", 0) if several else None)
        else:
            if method == DISPATCH:
                reader.take(request, stored, method, what)
            if calls:
                told = _call(place, request, stored, method, what, full=full)
        yield from map(escape_controls, told)


def _step(step: StepRecord, run: int | None) -> Iterator[str]:
    where = "" if run is None else f"run {run} "
    yield f"{where}{step.to_step().pretty()}"
    if step.tool_call.reasoning:
        yield f"    {step.tool_call.reasoning}"


def _call(
    place: int, request: Any, stored: Mapping[str, Any], method: str, what: Any, *, full: bool
) -> Iterator[str]:
    lane, _ = address(request.uri)
    where = [f"[{place}] {lane}"]
    if header(request, "step"):
        where.append(f"step {header(request, 'step')}")
    yield ", ".join([*where, *_figures(stored)])
    if method in MODEL_METHODS:
        yield from _indented(_new(request.body["messages"], what, full=full))
        yield from _reply(stored, full=full)
    else:
        yield from _indented(_cut(_shown(restored(what["args"])), full=full))
        yield from _result(stored, full=full)


def _figures(stored: Mapping[str, Any]) -> Iterator[str]:
    """Duration and tokens, as far as they were recorded."""
    if stored.get("duration_ms") is not None:
        yield f"{stored['duration_ms']:.0f} ms"
    usage = restored(stored.get("usage")) or {}
    for name, short in (("input_tokens", "in"), ("output_tokens", "out")):
        if isinstance(usage, Mapping) and usage.get(name) is not None:
            yield f"{usage[name]} {short}"


def _new(shown: Sequence[Mapping[str, JSON]], asked: Asked, *, full: bool) -> Iterator[str]:
    """The messages that stand in the file, each with its role."""
    index = 0
    for each in shown:
        if "same" in each:
            start, _, end = each["same"].partition("..")
            index += int(end) - int(start)
            continue
        message = asked.messages[index]
        index += 1
        if "ref" in each:
            yield f"{message.role}, as before: {_short(message.content)}"
        elif "parts" in each:
            added = "".join(_part(part) for part in each["parts"]).strip()
            yield from _said(message.role, added, full=full)
        else:
            yield from _said(message.role, _words(message), full=full)


def _part(part: Mapping[str, JSON]) -> str:
    return str(restored(part["add"])) if "add" in part else "\n…\n"


def _words(message: ChatMessage) -> str:
    """What a message says, and which calls it asks for."""
    calls = [f"{call.name}({_arguments(call.input)})" for call in message.calls]
    return "\n".join(filter(None, [message.content, *calls]))


def _arguments(given: object) -> str:
    if not isinstance(given, Mapping):
        return _shown(given)
    return ", ".join(f"{name}={_shown(value)}" for name, value in given.items())


def _reply(stored: Mapping[str, Any], *, full: bool) -> Iterator[str]:
    answer = answer_of(stored)
    if answer.failure is not None:
        error = answer.failure
        yield from _indented(_said("✗", f"{type(error).__name__}: {error}", full=full))
        return
    reply = answer.reply
    blocks = [reply] if isinstance(reply, str) else [_block(block) for block in reply or ()]
    yield from _indented(_said("→", "\n".join(blocks), full=full))


def _block(block: Mapping[str, JSON]) -> str:
    if block.get("type") == "text":
        return str(block.get("text"))
    if block.get("type") == "tool_use":
        return f"{block.get('name')}({_arguments(block.get('input'))})"
    return _shown(block)


def _result(stored: Mapping[str, Any], *, full: bool) -> Iterator[str]:
    body = restored(stored["body"])
    if "interrupt" in body:
        yield f"  ✗ {body['interrupt']}"
    elif "error" in body:
        yield from _indented(_said("✗", str(body["error"]["message"]), full=full))
    else:
        yield from _indented(_said("→", _shown(body.get("data")), full=full))


def _said(who: str, text: str, *, full: bool) -> Iterator[str]:
    """A text under whoever said it; on one line if it has but one."""
    lines = [*_cut(text, full=full)]
    mark = f"{who}:" if who.isalpha() else who
    if len(lines) == 1:
        yield f"{mark} {lines[0]}"
        return
    yield mark
    yield from _indented(lines)


def _cut(text: str, *, full: bool) -> Iterator[str]:
    """Lines of a text, the first ones if it is long, with a note then."""
    lines = text.split("\n")
    if full or (len(text) <= MOST_CHARS and len(lines) <= MOST_LINES):
        yield from lines
        return
    yield from text[:MOST_CHARS].split("\n")[:MOST_LINES]
    yield f"… ({len(text):,} characters in all)"


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= AGAIN else f"{line[:AGAIN]} …"


def _shown(value: object) -> str:
    """A value as a model reads it: JSON, or the text itself."""
    return value if isinstance(value, str) else json_text(value)


def _indented(lines: Any) -> Iterator[str]:
    return (f"  {line}" for line in lines)
