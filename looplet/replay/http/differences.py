"""How a request differs from the nearest that was recorded. Knows requests; knows no files."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence

from looplet.core.codec import JSON, canonical
from looplet.replay.http.interactions import Asked

MOST_SHOWN, MOST_COMPARED, AROUND, SHOWN = 5, 50, 40, 100


def nearest(asked: Asked, recorded: Sequence[Asked]) -> Asked | None:
    """The recorded request that shares most with it; of equals the first."""
    best, most = None, -1.0
    for each in [*_same_place(asked, recorded), *recorded][:MOST_COMPARED]:
        shared = _shared(asked, each)
        if shared > most:
            best, most = each, shared
    return best


def differences(old: Asked, new: Asked) -> Iterator[str]:
    """What differs, a line or three each, the most telling first."""
    if old.method != new.method:
        yield f"method: {old.method} → {new.method}"
    if old.uri != new.uri:
        yield f"address: {_change(old.uri, new.uri)}"
    was, now = _leaves_of(old.body), _leaves_of(new.body)
    changed = [name for name in {**was, **now} if was.get(name) != now.get(name)]
    for name in changed[:MOST_SHOWN]:
        yield f"body{name}: {_leaf_change(was.get(name), now.get(name))}"
    if len(changed) > MOST_SHOWN:
        yield f"and {len(changed) - MOST_SHOWN} more places of the body"


def _same_place(asked: Asked, recorded: Sequence[Asked]) -> Iterator[Asked]:
    return (each for each in recorded if each.place == asked.place)


def _shared(left: Asked, right: Asked) -> float:
    """How much two requests share: address first, then the places of their bodies."""
    was, now = _leaves_of(left.body), _leaves_of(right.body)
    equal = sum(was.get(name) == value for name, value in now.items())
    alike = sum(
        len(os.path.commonprefix([was[name], value])) / (1 + len(value))  # noqa: RUF071 - of texts
        for name, value in now.items()
        if name in was and was[name] != value
    )
    whole = max(len(was), len(now), 1)
    return 2 * (left.place == right.place) + (left.uri == right.uri) + (equal + alike / 2) / whole


def _leaves_of(body: bytes) -> dict[str, str]:
    """The values of a body of JSON by their places; all of another body at the place "".

    >>> _leaves_of(b'{"a":[{"b":"pear"}]}')
    {'.a[0].b': 'pear'}
    """
    text = body.decode("utf-8", "replace")
    try:
        return dict(_leaves(json.loads(text), ""))
    except (ValueError, RecursionError):
        return {"": text}


def _leaves(value: JSON, place: str) -> Iterator[tuple[str, str]]:
    if isinstance(value, Mapping) and value:
        for name, item in value.items():
            yield from _leaves(item, f"{place}.{name}")
    elif isinstance(value, list) and value:
        for number, item in enumerate(value):
            yield from _leaves(item, f"{place}[{number}]")
    else:
        yield place, value if isinstance(value, str) else canonical(value)


def _leaf_change(old: str | None, new: str | None) -> str:
    if old is None:
        return f"is new: {_cut(new or '')}"
    if new is None:
        return f"was recorded and is not asked: {_cut(old)}"
    return _change(old, new)


def _change(old: str, new: str) -> str:
    if max(len(old), len(new)) <= SHOWN:
        return f"{old!r} → {new!r}"
    start = len(os.path.commonprefix([old, new]))  # noqa: RUF071 - of texts
    return f"\n  recorded: {_around(old, start)}\n  asked:    {_around(new, start)}"


def _around(text: str, place: int) -> str:
    start, end = max(0, place - AROUND), place + AROUND
    return ("… " if start else "") + repr(text[start:end]) + (" …" if end < len(text) else "")


def _cut(text: str) -> str:
    return repr(text) if len(text) <= SHOWN else f"{text[:SHOWN]!r} … ({len(text)} characters)"
