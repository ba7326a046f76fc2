"""Events of a streamed reply without secrets, however they were cut. Knows JSON; knows no HTTP.

A provider sends a text in pieces, one an event, and a secret may begin in one and end in another.
Texts that stand at the same place of their events are one text, in whatever words the provider
says it: they are redacted as if joined.
"""

from __future__ import annotations

import json
import re
from collections.abc import Hashable, Iterator, Sequence
from typing import Any, TypeAlias

from looplet.core.codec import JSON
from looplet.redaction import Redactor

Place: TypeAlias = tuple[Hashable, ...]
"""Where a text stands in an event."""
Leaf: TypeAlias = tuple[Place, Any, Any]
"""A text's place, what holds it, and its key or index in that."""

_APART = ("index", "output_index", "content_index", "summary_index", "item_id")
"""Numbers and names by which providers keep texts apart that are sent at the same time."""

_QUOTED = "$quoted"
"""The key that stands for the quotes around a text that is all of an event."""

_LINE = re.compile(r"[^\r\n]*(?:\r\n|\n|\r|\Z)")


def redact_events(events: Sequence[JSON], redactor: Redactor) -> list[JSON]:
    """Copies of events without secrets, also those that several events share."""
    copies: list[JSON] = json.loads(json.dumps(list(events)))
    for by_index in (True, False):  # by their place in a list, and as if they stood in one
        groups: dict[Place, list[Leaf]] = {}
        for leaf in _all_leaves(copies, by_index=by_index):
            groups.setdefault(leaf[0], []).append(leaf)
        for leaves in groups.values():
            _redact_together(leaves, redactor)
    return [redactor.value(event) for event in copies]


def redact_stream(text: str, redactor: Redactor) -> str:
    """A stream of server-sent events, or of JSON lines, without secrets.

    What holds no secret stays, to the last byte. Data that is no JSON is one text.
    """
    lines = _LINE.findall(text)
    blocks = list(_blocks(lines))
    before = [_parsed(lines[block.start : block.stop]) for block in blocks]
    after = redact_events(before, redactor)
    out: list[str] = []
    place = 0
    for block, old, new in zip(blocks, before, after, strict=True):
        out.append(redactor.text("".join(lines[place : block.start])))
        kept = lines[block.start : block.stop]
        out.extend(kept if old == new else _written(kept, new))
        place = block.stop
    out.append(redactor.text("".join(lines[place:])))
    return "".join(out)


def dumped(value: JSON) -> str:
    """JSON that is read easily, and can be written as UTF-8."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    try:
        text.encode()
    except UnicodeEncodeError:
        return json.dumps(value, separators=(",", ":"))
    return text


def _redact_together(leaves: Sequence[Leaf], redactor: Redactor) -> None:
    if len(leaves) < 2:  # noqa: PLR2004 - one text is redacted with the rest of its event
        return
    old = [holder[key] for _, holder, key in leaves]
    for (_, holder, key), before, after in zip(leaves, old, redactor.pieces(old), strict=True):
        if before == after:
            continue
        holder[key] = after
        if key == "token" and isinstance(holder.get("bytes"), list):
            holder["bytes"] = list(after.encode())  # log probabilities tell each token twice


def _all_leaves(events: list[JSON], *, by_index: bool) -> Iterator[Leaf]:
    for number, event in enumerate(events):
        if isinstance(event, str):
            yield (), events, number
        else:
            yield from _leaves(event, _kind(event), by_index=by_index)


def _leaves(value: JSON, place: Place, *, by_index: bool) -> Iterator[Leaf]:
    """The texts in a value; items of a list are told apart by their place, or not at all."""
    if isinstance(value, dict):
        place = (*place, *(value.get(name) for name in _APART if _plain(value.get(name))))
        for key, item in value.items():
            if isinstance(item, str):
                yield (*place, key), value, key
            else:
                yield from _leaves(item, (*place, key), by_index=by_index)
    elif isinstance(value, list):
        for number, item in enumerate(value):
            here = (*place, number if by_index else "*")
            if isinstance(item, str):
                yield here, value, number
            else:
                yield from _leaves(item, here, by_index=by_index)


def _plain(value: JSON) -> bool:
    return isinstance(value, int | str)


def _kind(event: JSON) -> Place:
    kind = event.get("type") if isinstance(event, dict) else None
    return (kind,) if isinstance(kind, str) else ()


def _blocks(lines: Sequence[str]) -> Iterator[range]:
    """Lines that are one event's data: neighbours that begin with ``data:``, or a line of JSON."""
    start = None
    for place, line in enumerate(lines):
        if line.startswith("data:"):
            start = place if start is None else start
            continue
        if start is not None:
            yield range(start, place)
            start = None
        if line.startswith(("{", "[")):
            yield range(place, place + 1)
    if start is not None:
        yield range(start, len(lines))


def _parsed(lines: Sequence[str]) -> JSON:
    """What an event's data is: an object, an array, a quoted text, or a text as it stands."""
    text = "\n".join(_data_of(line) for line in lines)
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return text
    if isinstance(value, dict | list):
        return value
    return {_QUOTED: value} if isinstance(value, str) else text


def _data_of(line: str) -> str:
    line = line.rstrip("\r\n")
    return line.removeprefix("data:").removeprefix(" ") if line.startswith("data:") else line


def _written(lines: Sequence[str], value: JSON) -> Iterator[str]:
    """The event's lines with other data; how they begin and end stays."""
    sign = re.match("(?:data: ?)?", lines[0])
    begin = sign[0] if sign else ""
    end = lines[-1][len(lines[-1].rstrip("\r\n")) :]
    if isinstance(value, dict) and _QUOTED in value:
        value = dumped(value[_QUOTED])
    parts = (value if isinstance(value, str) else dumped(value)).split("\n")
    for part in parts[:-1]:
        yield f"{begin}{part}{end or chr(10)}"
    yield f"{begin}{parts[-1]}{end}"
