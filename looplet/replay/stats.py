"""What a cassette amounts to: calls, tokens, bytes, time. Knows cassettes; says nothing itself."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from looplet.core.codec import JSON, to_jsonable
from looplet.replay import persister
from looplet.replay.entries import MODEL_METHODS, STEP, address, header
from looplet.replay.playback import Player
from looplet.replay.serializer import dumps, restored

BIGGEST = 5
"""Interactions that are named as the biggest."""
_START = re.compile(r"^- request:$", re.MULTILINE)


@dataclass(slots=True, kw_only=True)
class Lane:
    """The calls of one lane."""

    calls: int = 0
    failures: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    duration_ms: float = 0.0
    """Of all calls together, in milliseconds."""
    bytes: int = 0
    """What they take in the file."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Interaction:
    """One of the biggest interactions."""

    place: int
    """Counted from 1, in the order of the file."""
    lane: str
    method: str
    step: str | None
    bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class CassetteStats:
    """The figures of one cassette."""

    path: Path
    bytes: int
    sha256: str
    model_calls: int
    tool_calls: int
    steps: int
    runs: list[dict[str, JSON]]
    """Of each run its task, steps, stop reason and digest."""
    lanes: dict[str, Lane]
    input_tokens: int
    output_tokens: int
    duration_ms: float
    """From the beginning of the recording to the end of its last call, in milliseconds."""
    tools: str
    """Whether results of tools were ``recorded``, or came ``live``."""
    interrupted: bool
    parent: dict[str, JSON] | None
    metadata: dict[str, JSON] = field(default_factory=dict)
    biggest: list[Interaction] = field(default_factory=list)

    def to_dict(self) -> dict[str, JSON]:
        """The same as JSON."""
        out: dict[str, JSON] = to_jsonable(asdict(self) | {"path": str(self.path)})
        return out


def cassette_stats(path: str | os.PathLike[str]) -> CassetteStats:
    """Count what a cassette holds. Raises what opening the cassette raises."""
    place = Path(path)
    data = persister.read(place)
    player = Player(place, data)
    interactions = [*_interactions(player, data)]
    lanes: dict[str, Lane] = {}
    for stored, interaction in interactions:
        if interaction.method != STEP:
            _count(lanes.setdefault(interaction.lane, Lane()), stored, interaction.bytes)
    methods = Counter(each.method for _, each in interactions)
    models = sum(methods[method] for method in MODEL_METHODS)
    biggest = sorted((each for _, each in interactions), key=lambda each: -each.bytes)
    return CassetteStats(
        path=place,
        bytes=len(data),
        sha256=player.persister.content_hash or "",
        model_calls=models,
        tool_calls=len(player) - models,
        steps=methods[STEP],
        runs=[run.to_dict() for run in player.runs],
        lanes=lanes,
        input_tokens=sum(lane.input_tokens for lane in lanes.values()),
        output_tokens=sum(lane.output_tokens for lane in lanes.values()),
        duration_ms=_duration([stored for stored, _ in interactions], lanes),
        tools=player.tools,
        interrupted=player.interrupted,
        parent=None if player.parent is None else dict(player.parent),
        metadata=dict(player.metadata),
        biggest=biggest[:BIGGEST],
    )


def _interactions(player: Player, data: bytes) -> Iterator[tuple[Mapping[str, Any], Interaction]]:
    """Each response, its place and its size, which is that of its text in the file."""
    text, count = persister.check(data, player.path)
    starts = [match.start() for match in _START.finditer(text)]
    starts.append(text.rindex("\nfooter:\n") + 1)
    exact = len(starts) == count + 1
    for place, (request, stored, method, _) in enumerate(player.recorded()):
        written = text[starts[place] : starts[place + 1]] if exact else _written(request, stored)
        yield stored, Interaction(
            place=place + 1,
            lane=address(request.uri)[0],
            method=method,
            step=header(request, "step"),
            bytes=len(written.encode()),
        )  # fmt: skip


def _written(request: Any, stored: Mapping[str, Any]) -> str:
    """What the interaction comes to if somebody wrote the file in a form of their own."""
    return dumps({"request": to_jsonable(request.body), "response": to_jsonable(stored)})


def _count(lane: Lane, stored: Mapping[str, Any], size: int) -> None:
    usage = restored(stored.get("usage"))
    usage = usage if isinstance(usage, Mapping) else {}
    lane.calls += 1
    lane.failures += "error" in stored["body"] or "interrupt" in stored["body"]
    lane.input_tokens += usage.get("input_tokens") or 0
    lane.output_tokens += usage.get("output_tokens") or 0
    lane.duration_ms = round(lane.duration_ms + (stored.get("duration_ms") or 0.0), 3)
    lane.bytes += size


def _duration(responses: Sequence[Mapping[str, Any]], lanes: Mapping[str, Lane]) -> float:
    """The whole recording's, in milliseconds; of files of format 1 that of all calls together."""
    timed = [stored for stored in responses if "started_ms" in stored]
    if not timed:
        return round(sum(lane.duration_ms for lane in lanes.values()), 3)
    ends = [float(each["started_ms"]) + (each.get("duration_ms") or 0.0) for each in timed]
    return round(max(ends), 3)
