"""How two values differ, by path and exactly. Knows values; knows nothing of runs and files."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import count, zip_longest
from typing import TypeAlias

from looplet.core.codec import JSON, TAG, canonical, exact
from looplet.replay.deltas import common_prefix
from looplet.replay.divergence import word_changes

ValueChange: TypeAlias = tuple[str, str]
"""A path, as ``args.items[2].price``, and what changed there, as ``0.4 → 0.5``."""

SHOWN = 80
"""Characters of a value that are shown."""
LEAD = 20
"""Characters that are shown before a difference that stands further on in a long value."""
MOST_ITEMS = 3
"""Items of a set that are shown as removed, and as added."""
DEEPEST = 50
"""Levels that are walked; what is nested deeper is compared as one text."""


def value_changes(path: str, old: object, new: object) -> Iterator[ValueChange]:
    """What differs between two values; nothing exactly if their ``exact`` texts are equal.

    ``1``, ``1.0`` and ``True`` differ, as do a list and a tuple, ``None`` and what is missing, and
    the keys ``1`` and ``"1"``. NaN equals NaN. What has no JSON form is compared by its ``repr``.

    >>> list(value_changes("args", {"pears": [{"price": 0.4}]}, {"pears": [{"price": 0.5}]}))
    [('args.pears[0].price', '0.4 → 0.5')]
    """
    yield from _changes(path, _form(old), _form(new), 0)


def shown(value: object) -> str:
    """A value as Python writes it, cut where it is long; the same in every process.

    >>> shown({"tags": {"b", "a"}})
    "{'tags': {'a', 'b'}}"
    """
    return _cut(_render(_form(value), 0))


def _form(value: object) -> JSON:
    """The JSON behind a value's exact text, with keys and the items of sets in order."""
    return json.loads(exact(value))


def _kind(form: JSON) -> str:
    """What a form stands for: a tag of the codec, or the name of JSON's own type."""
    return form.get(TAG, "dict") if isinstance(form, dict) else type(form).__name__


def _changes(path: str, old: JSON, new: JSON, depth: int) -> Iterator[ValueChange]:
    kind = _kind(old)
    if kind != _kind(new):
        yield path, _arrow(_render(old, 0), _render(new, 0))
    elif kind == "str":
        if old != new:
            yield path, _text_change(old, new)
    elif kind in _WALKS and depth < DEEPEST:
        yield from _WALKS[kind](path, old, new, depth + 1)
    elif canonical(old) != canonical(new):
        render = canonical if kind in _WALKS else lambda leaf: _render(leaf, 0)
        yield path, _arrow(render(old), render(new))


def _mapping_changes(path: str, old: JSON, new: JSON, depth: int) -> Iterator[ValueChange]:
    before, after = _entries(old), _entries(new)
    for entry in {**before, **after}:
        key = (before.get(entry) or after[entry])[0]
        where = path + _key_path(key)
        if entry not in after:
            yield where, f"removed {_cut(_render(before[entry][1], 0))}"
        elif entry not in before:
            yield where, f"added {_cut(_render(after[entry][1], 0))}"
        else:
            yield from _changes(where, before[entry][1], after[entry][1], depth)


def _entries(form: JSON) -> dict[tuple[str, int], tuple[JSON, JSON]]:
    """Key and item by the key's text, and by a count, since a dict may hold NaN twice."""
    times: Counter[str] = Counter()
    entries = {}
    for key, item in _pairs(form):
        text = canonical(key)
        entries[text, times[text]] = (key, item)
        times[text] += 1
    return entries


def _sequence_changes(path: str, old: JSON, new: JSON, depth: int) -> Iterator[ValueChange]:
    """Items are compared place by place, in what is left without the items both ends share."""
    before, after = _items(old), _items(new)
    start, end = 0, 0
    if len(before) != len(after):
        start, end = _shared_ends([*map(canonical, before)], [*map(canonical, after)])
    left, right = before[start : len(before) - end], after[start : len(after) - end]
    pairs = zip_longest(left, right, fillvalue=_MISSING)
    for index, (one, other) in zip(count(start), pairs, strict=False):
        where = f"{path}[{index}]"
        if other is _MISSING:
            yield where, f"removed {_cut(_render(one, 0))}"
        elif one is _MISSING:
            yield where, f"added {_cut(_render(other, 0))}"
        else:
            yield from _changes(where, one, other, depth)


def _shared_ends(old: Sequence[str], new: Sequence[str]) -> tuple[int, int]:
    start = common_prefix(old, new)
    end, most = 0, min(len(old), len(new)) - start
    while end < most and old[-1 - end] == new[-1 - end]:
        end += 1
    return start, end


def _set_changes(path: str, old: JSON, new: JSON, _depth: int) -> Iterator[ValueChange]:
    before, after = (Counter(map(canonical, _items(form))) for form in (old, new))
    lost, gained = (before - after).elements(), (after - before).elements()
    parts = [_listed("removed", lost), _listed("added", gained)]
    if any(parts):
        yield path, ", ".join(filter(None, parts))


def _listed(what: str, items: Iterable[str]) -> str:
    texts = [_cut(_render(json.loads(item), 0)) for item in items]
    more = f" and {len(texts) - MOST_ITEMS} more" if len(texts) > MOST_ITEMS else ""
    return f"{what} {', '.join(texts[:MOST_ITEMS])}{more}" if texts else ""


def _pairs(form: JSON) -> Iterable[tuple[JSON, JSON]]:
    pairs: Iterable[tuple[JSON, JSON]] = form["value"] if TAG in form else form.items()
    return pairs


def _items(form: JSON) -> list[JSON]:
    items: list[JSON] = form if isinstance(form, list) else form["value"]
    return items


_MISSING = object()
_WALKS: Mapping[str, Callable[[str, JSON, JSON, int], Iterator[ValueChange]]] = {
    "dict": _mapping_changes,
    "list": _sequence_changes,
    "tuple": _sequence_changes,
    "set": _set_changes,
    "frozenset": _set_changes,
}


def _key_path(key: JSON) -> str:
    if isinstance(key, str) and key.isidentifier():
        return f".{_cut(key)}"
    return f"[{_cut(_render(key, 0))}]"


# Showing


def _text_change(old: str, new: str) -> str:
    """The words that differ; of words that are too long to be shown, the part that differs."""
    start = common_prefix(old, new)
    begin = max(0, start - LEAD)
    in_word = begin and re.fullmatch(r"\w+", old[begin:start])
    where = f"from character {begin} on " if in_word else ""
    return where + word_changes(old[begin:], new[begin:])


def _arrow(old: str, new: str) -> str:
    """Two different texts, from a little before their difference on if that comes late."""
    start = common_prefix(old, new)
    begin = start - LEAD if start + LEAD > SHOWN else 0
    return f"{_cut(old, begin)} → {_cut(new, begin)}"


def _cut(text: str, begin: int = 0) -> str:
    head = "… " if begin else ""
    if len(text) - begin <= SHOWN:
        return head + text[begin:]
    return f"{head}{text[begin : begin + SHOWN]} … ({len(text)} characters)"


def _render(form: JSON, depth: int) -> str:
    """What Python would write; ``…`` for what is nested very deeply."""
    if not isinstance(form, list | dict):
        return repr(form)
    if depth > SHOWN:  # as many brackets stand before it as are shown
        return "…"
    kind = _kind(form)
    if isinstance(form, dict) and kind in _LEAVES:
        return _LEAVES[kind](form["value"])
    if kind == "dict":
        pairs = [[_render(each, depth + 1) for each in pair] for pair in _pairs(form)]
        inner = [f"{key}: {item}" for key, item in pairs]
        return f"{{{', '.join(inner)}}}"
    inner = [_render(item, depth + 1) for item in _items(form)]
    return _BRACKETS[kind](inner)


_BRACKETS: Mapping[str, Callable[[list[str]], str]] = {
    "list": lambda inner: f"[{', '.join(inner)}]",
    "tuple": lambda inner: f"({inner[0]},)" if len(inner) == 1 else f"({', '.join(inner)})",
    "set": lambda inner: f"{{{', '.join(inner)}}}" if inner else "set()",
    "frozenset": lambda inner: f"frozenset({{{', '.join(inner)}}})" if inner else "frozenset()",
}
_LEAVES: Mapping[str, Callable[[str], str]] = {
    "float": str,
    "int": str,
    "bytes": lambda body: repr(bytes.fromhex(body)),
    "datetime": lambda body: f"datetime({body})",
    "date": lambda body: f"date({body})",
    "path": lambda body: f"Path({body!r})",
}
