"""Whether two cassettes say the same, in whatever form each is written. Knows the tape alone."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import zip_longest
from typing import Any

from looplet.core.codec import JSON, canonical, exact, to_jsonable
from looplet.replay.deltas import common_prefix
from looplet.replay.entries import address, header
from looplet.replay.playback import Player
from looplet.replay.requests import Asked
from looplet.replay.rewriter import plain
from looplet.replay.serializer import restored

Clean = Callable[[Any], Any]
_FOLLOWS = ("stream", "summary", "runtime")
"""What of a response follows from the rest, or has no secret."""


def says_the_same(old: Player, new: Player, clean: Clean | None = None) -> bool:
    """Whether each interaction of ``new`` is that of ``old``; with ``clean``, less its secrets.

    Without ``clean`` they are found by the same keys, too, and name one another the same.
    """
    before: dict[str, tuple[Asked, Asked]] = {}
    for one, other in zip_longest(old.recorded(), new.recorded()):
        if one is None or other is None:
            return False
        if clean is None and _address(one) != _address(other):
            return False
        if _told(one, clean) != _told(other, None):
            return False
        if isinstance(one[3], Asked) and not _same_request(one, other, before, clean):
            return False
    return True


Interaction = tuple[Any, Mapping[str, Any], str, Any]


def _told(interaction: Interaction, clean: Clean | None) -> str:
    """Everything of an interaction but a model's request and the names of others."""
    request, stored, method, what = interaction
    body = to_jsonable(restored(plain(stored)["body"]))
    rest = {name: each for name, each in stored.items() if name not in (*_FOLLOWS, "body")}
    told = [
        address(request.uri)[0],
        method,
        header(request, "step"),
        None if isinstance(what, Asked) else restored(request.body),
        rest,
        {name: each for name, each in body.items() if name != "of"},
    ]
    return exact(told if clean is None else clean(told))


def _same_request(
    one: Interaction,
    other: Interaction,
    before: dict[str, tuple[Asked, Asked]],
    clean: Clean | None,
) -> bool:
    """Whether two requests ask the same; messages that a lane had before are not told again."""
    old, new = one[3], other[3]
    lane = address(one[0].uri)[0]
    known = 0
    if lane in before:
        last, last_new = before[lane]
        known = common_prefix(last.digests, old.digests)
        if common_prefix(last_new.digests, new.digests) < known:
            return False
    before[lane] = old, new
    return len(old.messages) == len(new.messages) and (
        _asked(old, known, clean) == _asked(new, known, None)
    )


def _asked(asked: Asked, known: int, clean: Clean | None) -> str:
    shown = [message.to_dict() for message in asked.messages[known:]]
    told: list[JSON] = [asked.params, asked.tools, shown]
    return canonical([asked.method, asked.model, told if clean is None else clean(told)])


def _address(interaction: Interaction) -> str:
    """What a replay finds it by, and what follows from the rest."""
    request, stored, _, _ = interaction
    names = [header(request, name) for name in ("key", "ordinal", "within")]
    follows = [stored.get(name) for name in _FOLLOWS]
    return canonical([*names, follows, stored["body"].get("of")])
