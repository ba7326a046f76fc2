"""Saying how a request differs from what was recorded. Knows requests; knows no files."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher

from looplet.core.codec import JSON, canonical
from looplet.core.messages import ChatMessage
from looplet.replay.deltas import common_prefix
from looplet.replay.entries import step_of
from looplet.replay.requests import Asked

_WORD = re.compile(r"\w+|\s+|[^\w\s]")
MOST_WORDS, MOST_CHANGES, CONTEXT, SHOWN = 400, 3, 40, 80


class Divergence(BaseException):
    """A replay asked for what was not recorded; no model was asked and no tool was run.

    It is no ``Exception``, so that code which catches those and tries again does not hide it.
    ``call`` counts the lane's calls from 1, ``message_index`` the messages from 0; both it and
    ``role`` are ``None`` where the messages are equal. ``step`` is the number of the step that was
    to come, ``None`` where no loop asked.
    """

    def __init__(
        self,
        text: str,
        *,
        cassette: str = "",
        lane: str = "main",
        call: int = 0,
        step: int | None = None,
        message_index: int | None = None,
        role: str | None = None,
        diff: str = "",
    ) -> None:
        super().__init__(text)
        self.cassette, self.lane, self.call, self.step = cassette, lane, call, step
        self.message_index, self.role, self.diff = message_index, role, diff


class SideEffectRefused(BaseException):
    """A tool was to run past a cassette that keeps what tools do; it was not run.

    Like a ``Divergence`` it is no ``Exception``.
    """


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """One thing that differs, as a line and perhaps lines of context."""

    where: str
    change: str
    context: tuple[str, ...] = ()
    message_index: int | None = None
    role: str | None = None

    def __str__(self) -> str:
        return "\n".join((f"{self.where}: {self.change}", *self.context))


def diverged(
    asked: Asked,
    nearest: Asked | None,
    *,
    cassette: str,
    lane: str,
    call: int,
    caller: str | None = None,
    note: str = "",
) -> Divergence:
    """Make the error for a request: what differs from the nearest recorded one, what to do.

    ``note`` says what is known where there is nothing to compare with.
    """
    found = list(differences(nearest, asked)) if nearest else []
    diff = "\n".join(str(each) for each in found) or note
    return _divergence(
        diff, found[0] if found else None, "No model was asked.",
        cassette=cassette, lane=lane, call=call, step=step_of(caller),
    )  # fmt: skip


def diverged_tool(
    asked: Mapping[str, JSON],
    nearest: Mapping[str, JSON] | None,
    *,
    cassette: str,
    lane: str,
    call: int,
    caller: str | None = None,
    note: str = "",
) -> Divergence:
    """Make the error for a tool's call: which arguments differ from the nearest recorded one."""
    found = list(_mapping_changes("argument", nearest["args"], asked["args"])) if nearest else []
    diff = "\n".join(str(each) for each in found) or f"{note}; arguments {_shown(asked['args'])}"
    return _divergence(
        diff, None, "The tool was not run.",
        cassette=cassette, lane=lane, call=call, step=step_of(caller),
    )  # fmt: skip


def _divergence(
    diff: str,
    first: Difference | None,
    what_not: str,
    *,
    cassette: str,
    lane: str,
    call: int,
    step: int | None,
) -> Divergence:
    where = f"cassette {cassette}, lane {lane}, call {call}"
    if step is not None:
        where += f", step {step}"
    remedy = (
        f"{what_not} If the change is meant, record again: "
        f'use_cassette({cassette!r}, record_mode="all").'
    )
    return Divergence(
        f"{where}, {diff}\n{remedy}",
        cassette=cassette,
        lane=lane,
        call=call,
        step=step,
        message_index=first.message_index if first else None,
        role=first.role if first else None,
        diff=diff,
    )


def differences(old: Asked, new: Asked) -> Iterator[Difference]:
    """What differs between two requests, messages first, a few of each kind."""
    changed = list(_unequal(old, new))
    for index, before, after in changed[:MOST_CHANGES]:
        yield _message_change(index, before, after)
    if len(changed) > MOST_CHANGES:
        yield Difference(where="messages", change=f"{len(changed) - MOST_CHANGES} more differ")
    for name in ("method", "model"):
        was, now = getattr(old, name), getattr(new, name)
        if was != now:
            yield Difference(where=name, change=f"{was!r} → {now!r}")
    yield from _mapping_changes("parameter", old.params, new.params)
    yield from _mapping_changes("tool", _by_name(old.tools), _by_name(new.tools))
    if [*_by_name(old.tools)] != [*_by_name(new.tools)]:
        names = f"{[*_by_name(old.tools)]} → {[*_by_name(new.tools)]}"
        yield Difference(where="tools", change=names)


Pair = tuple[int, ChatMessage | None, ChatMessage | None]


def _unequal(old: Asked, new: Asked) -> Iterator[Pair]:
    """Messages that differ, with their index in the new request: changed, new, or gone."""
    start = common_prefix(old.digests, new.digests)
    matcher = SequenceMatcher(None, old.digests[start:], new.digests[start:], autojunk=False)
    for kind, a, b, c, d in matcher.get_opcodes():
        if kind == "equal":
            continue
        before = old.messages[start + a : start + b]
        yield from _paired(before, new.messages[start + c : start + d], start + c)


def _paired(
    before: Sequence[ChatMessage], after: Sequence[ChatMessage], index: int
) -> Iterator[Pair]:
    """Messages of one role are a change; if there are as many, each is one whatever its role."""
    left = list(before)
    for place, message in enumerate(after, index):
        if len(before) == len(after):
            yield place, left.pop(0), message
            continue
        same = next((at for at, other in enumerate(left) if other.role == message.role), None)
        if same is None:
            yield place, None, message
            continue
        for gone in left[:same]:
            yield place, gone, None
        yield place, left[same], message
        del left[: same + 1]
    for gone in left:
        yield index + len(after), gone, None


def word_changes(old: str, new: str) -> str:
    """The words that differ.

    >>> word_changes("You are a careful assistant.", "You are a sloppy assistant.")
    "'careful' → 'sloppy'"
    """
    return ", ".join(_changes(old, new)) or f"{_quoted(old)} → {_quoted(new)}"


def _message_change(index: int, old: ChatMessage | None, new: ChatMessage | None) -> Difference:
    some = new or old
    role = some.role if some else ""
    where = f"message {index} ({role})"
    if old is None or new is None:
        said = _quoted(_words_of(some) if some else "")
        change = f"is new: {said}" if old is None else f"was recorded and is not asked: {said}"
        return Difference(where=where, change=change, message_index=index, role=role)
    before, after = _words_of(old), _words_of(new)
    change = word_changes(before, after)
    if old.role != new.role:
        change = f"role {old.role!r} → {new.role!r}, {change}"
    return Difference(
        where=where,
        change=change,
        context=_context(before, after),
        message_index=index,
        role=role,
    )


def _words_of(message: ChatMessage) -> str:
    if not message.calls and not message.blocks and message.call_id is None:
        return message.content
    rest = {
        key: value for key, value in message.to_dict().items() if key not in {"role", "content"}
    }
    return f"{message.content} {canonical(rest)}".strip()


def _changes(old: str, new: str) -> Iterator[str]:
    left, right = _WORD.findall(old), _WORD.findall(new)
    start = _equal_at_start(left, right)
    end = _equal_at_start(left[start:][::-1], right[start:][::-1])
    left, right = left[start : len(left) - end], right[start : len(right) - end]
    if max(len(left), len(right)) > MOST_WORDS:
        yield _pair("".join(left), "".join(right))
        return
    codes = SequenceMatcher(None, left, right, autojunk=False).get_opcodes()
    changed = [code for code in codes if code[0] != "equal"]
    for _, a, b, c, d in changed[:MOST_CHANGES]:
        yield _pair("".join(left[a:b]), "".join(right[c:d]))
    if len(changed) > MOST_CHANGES:
        yield f"and {len(changed) - MOST_CHANGES} more"


def _equal_at_start(left: Sequence[str], right: Sequence[str]) -> int:
    for index, (one, other) in enumerate(zip(left, right, strict=False)):
        if one != other:
            return index
    return min(len(left), len(right))


def _pair(old: str, new: str) -> str:
    if not old:
        return f"added {_quoted(new)}"
    return f"{_quoted(old)} → {_quoted(new)}" if new else f"removed {_quoted(old)}"


def _context(old: str, new: str) -> tuple[str, ...]:
    start = _equal_at_start(old, new)
    return (f"  recorded: {_around(old, start)}", f"  asked:    {_around(new, start)}")


def _around(text: str, place: int) -> str:
    start, end = max(0, place - CONTEXT), place + CONTEXT
    cut = repr(text[start:end])
    return ("… " if start else "") + cut + (" …" if end < len(text) else "")


def _quoted(text: str) -> str:
    return repr(text) if len(text) <= SHOWN else f"{text[:SHOWN]!r} … ({len(text)} characters)"


def _mapping_changes(
    what: str, old: Mapping[str, JSON], new: Mapping[str, JSON]
) -> Iterator[Difference]:
    for name in {**old, **new}:
        if name not in new:
            yield Difference(where=f"{what} {name}", change="was recorded and is not asked")
        elif name not in old:
            yield Difference(where=f"{what} {name}", change=f"is new: {_shown(new[name])}")
        elif canonical(old[name]) != canonical(new[name]):
            yield Difference(where=f"{what} {name}", change=_value_change(old[name], new[name]))


def _value_change(old: JSON, new: JSON) -> str:
    if isinstance(old, str | list | dict) and isinstance(new, str | list | dict):
        return word_changes(_shown(old), _shown(new))
    return f"{canonical(old)} → {canonical(new)}"


def _by_name(tools: Sequence[JSON]) -> dict[str, JSON]:
    return {
        str(tool.get("name", index)) if isinstance(tool, dict) else str(index): tool
        for index, tool in enumerate(tools)
    }


def _shown(value: JSON) -> str:
    return value if isinstance(value, str) else canonical(value)
