"""Requests in short form: each says only what is new since one before it. Knows no files.

A run of n steps asks n times with a history that grows, so writing every request in full makes
n² bytes. A ``Packer`` writes each request as its difference to an earlier one of the same lane,
an ``Unpacker`` reads that back, and ``LaneKeys`` hashes only what a request has new.
"""

from __future__ import annotations

import hashlib
import json
import operator
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from looplet.core.codec import JSON, canonical, digest
from looplet.core.messages import ChatMessage, Method, ModelRequest
from looplet.core.sofar import SoFar
from looplet.replay.deltas import Part, added, alike, apply_delta, common_prefix, text_delta
from looplet.replay.serializer import restored, storable

WINDOW = 4
"""How many of a lane's requests a new one may build on, so that calls in between do no harm."""
LONG = 200
"""A message of fewer characters is repeated rather than referred to."""
ID_LENGTH = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What a model was asked, in canonical form; ``key`` is ``request_key`` of the request."""

    method: Method
    model: str | None
    params: Mapping[str, JSON]
    tools: Sequence[JSON]
    messages: SoFar[ChatMessage]
    digests: SoFar[str]
    key: str


class LaneKeys:
    """Requests of one lane made canonical; of each only the new messages are looked at.

    The hash runs over the frame (method, model, parameters, tools) and then over the messages'
    digests, so a history that only grows is continued from the hash of the request before.
    """

    def __init__(self, redact: Callable[[Any], Any] | None = None) -> None:
        self._redact = redact
        self._talks: deque[_Talk] = deque(maxlen=WINDOW)
        self._given_frame = self._frame = ""
        self._parsed: dict[str, JSON] = {}

    def of_request(self, request: ModelRequest, *, model: str | None) -> Asked:
        """Make a request canonical."""
        return self.of(
            request.method,
            model=model,
            params=request.params(),
            tools=list(request.tools),
            system=request.system_prompt,
            messages=request.messages or (ChatMessage(role="user", content=request.prompt),),
        )

    def of(
        self,
        method: Method,
        *,
        model: str | None,
        params: Mapping[str, JSON],
        tools: Sequence[JSON],
        messages: Sequence[ChatMessage],
        system: str = "",
    ) -> Asked:
        """Make a request canonical, given by its parts; ``system`` stands before the messages."""
        self._set_frame(method, model, params, tools)
        talk, known = self._nearest(system, messages)
        seen: dict[int, ChatMessage] = {}
        if talk is None or known < len(talk.shown):
            for each in self._talks:
                seen |= each.seen()
            talk = _Talk(system, talk.shown[:known] if talk else ())
            self._talks.append(talk)
        head = (ChatMessage(role="system", content=system),) if system and not known else ()
        new = (*head, *messages[max(0, known - bool(system)) :])
        talk.go_on(messages, [seen.get(id(message)) or self._shown(message) for message in new])
        return Asked(
            method=method,
            model=model,
            params=self._parsed["params"],
            tools=self._parsed["tools"],
            messages=talk.shown,
            digests=talk.digests,
            key=talk.key(self._frame),
        )

    def _nearest(self, system: str, messages: Sequence[ChatMessage]) -> tuple[_Talk | None, int]:
        """The talk that has most of these messages at its beginning, and how many that is."""
        known, _, talk = max(
            ((each.known(system, messages), -len(each.shown), each) for each in self._talks),
            key=lambda found: found[:2],
            default=(0, 0, None),
        )
        return talk, known

    def _set_frame(
        self, method: Method, model: str | None, params: Mapping[str, JSON], tools: Sequence[JSON]
    ) -> None:
        frame = {"method": method, "model": model, "params": params, "tools": tools}
        given = canonical(frame)
        if given == self._given_frame:
            return
        parsed = json.loads(given)
        if self._redact is not None:
            parsed |= {name: self._redact(parsed[name]) for name in ("params", "tools")}
        self._given_frame, text = given, canonical(parsed)
        if text != self._frame:
            self._frame, self._parsed = text, parsed

    def _shown(self, message: ChatMessage) -> ChatMessage:
        """The message as a file gives it back, without secrets; the same object where it can be."""
        message = _plain(message)
        if self._redact is None:
            return message
        content = self._redact(message.content)
        data = message.to_dict()
        rest = {name: data[name] for name in data if name not in {"role", "content"}}
        texts = [*rest.values()]
        clean = self._redact(texts) if texts else []
        if content == message.content and clean == texts:
            return message
        rest = dict(zip(rest, clean, strict=True))
        return ChatMessage.from_dict({"role": message.role, "content": content, **rest})


class _Talk:
    """A conversation of a lane, asked again and again with more at its end."""

    def __init__(self, system: str, shown: Sequence[ChatMessage]) -> None:
        self.shown = SoFar([*shown])
        self.digests = SoFar([message.digest for message in shown])
        self._system, self._given = system, SoFar[ChatMessage]([])
        self._frame: str | None = None
        self._hasher, self._hashed = hashlib.sha256(), 0

    def known(self, system: str, messages: Sequence[ChatMessage]) -> int:
        """How many messages are the very same objects as before, which is quick to see."""
        if system != self._system:
            return 0
        return bool(system) + _same_objects(self._given, messages)

    def seen(self) -> dict[int, ChatMessage]:
        """Messages as they are shown, by the ``id`` of each as it was given."""
        shown = self.shown[bool(self._system) :]
        return {id(each): clean for each, clean in zip(self._given, shown, strict=True)}

    def go_on(self, given: Sequence[ChatMessage], shown: Sequence[ChatMessage]) -> None:
        """Ask with those messages, of which ``shown`` are new."""
        self._given = given if isinstance(given, SoFar) else SoFar([*given])
        self.shown = self.shown.with_more(shown)
        self.digests = self.digests.with_more([message.digest for message in shown])

    def key(self, frame: str) -> str:
        """The hash of the frame and of all messages so far."""
        if frame != self._frame:
            self._frame, self._hasher, self._hashed = frame, hashlib.sha256(frame.encode()), 0
        self._hasher.update(bytes.fromhex("".join(self.digests[self._hashed :])))
        self._hashed = len(self.digests)
        return self._hasher.hexdigest()


class Packer:
    """Requests to their short form; what it has seen is what later ones refer to."""

    def __init__(self) -> None:
        self._windows: dict[str, deque[Asked]] = {}
        self._stored: set[str] = set()

    def pack(self, lane: str, asked: Asked) -> dict[str, JSON]:
        """Say what is new in a request; the result is storable."""
        window = self._windows.setdefault(lane, deque(maxlen=WINDOW))
        back, base = _closest(window, asked)
        body: dict[str, JSON] = {"base": back} if back > 1 else {}
        if base is None or base.model != asked.model:
            body["model"] = storable(asked.model)
        if base is None or not _equal(base.params, asked.params):
            body["params"] = storable(asked.params)
        if not _equal(base.tools if base else [], asked.tools):
            body["tools"] = self._tools(asked.tools)
        body["messages"] = list(self._messages(asked, base))
        window.append(asked)
        return body

    def _tools(self, tools: Sequence[JSON]) -> JSON:
        name = digest(canonical(list(tools)))[:ID_LENGTH]
        if not tools:
            return []
        if name in self._stored:
            return {"ref": name}
        self._stored.add(name)
        return {"id": name, "schemas": storable(list(tools))}

    def _messages(self, asked: Asked, base: Asked | None) -> Iterator[JSON]:
        old = base.digests if base else ()
        index = common_prefix(old, asked.digests)
        if index:
            yield {"same": _span(0, index)}
        places = {name: place for place, name in reversed(list(enumerate(old[index:], index)))}
        while index < len(asked.digests):
            place = places.get(asked.digests[index])
            if place is None:
                yield self._message(asked, index, base)
                index += 1
                continue
            length = common_prefix(old[place:], asked.digests[index:])
            yield {"same": _span(place, place + length)}
            index += length

    def _message(self, asked: Asked, index: int, base: Asked | None) -> JSON:
        message, name = asked.messages[index], asked.digests[index][:ID_LENGTH]
        if name in self._stored:
            return {"ref": name}
        parts = _delta(base, message, index)
        if parts is not None:
            return {"role": message.role, "like": index, "parts": [_part(each) for each in parts]}
        shown: dict[str, JSON] = {"role": message.role}
        if len(message.content) >= LONG:
            self._stored.add(name)
            shown["id"] = name
        shown["content"] = storable(message.content)
        if message.call_id is not None or message.calls or message.blocks:
            data = json.loads(message.encoded)
            shown |= {key: storable(data[key]) for key in data if key not in {"role", "content"}}
        return shown


class Unpacker:
    """The way back from the short form. Raises ``ValueError`` where it does not fit together."""

    def __init__(self) -> None:
        self._windows: dict[str, deque[tuple[SoFar[ChatMessage], Asked]]] = {}
        self._keys: dict[str, LaneKeys] = {}
        self._messages: dict[str, ChatMessage] = {}
        self._schemas: dict[str, Sequence[JSON]] = {}

    def unpack(self, lane: str, method: Method, body: Mapping[str, JSON]) -> Asked:
        """Rebuild the next request of the lane in full; requests come in the order they lie."""
        try:
            return self._unpack(lane, method, body)
        except (KeyError, IndexError, TypeError, AttributeError) as error:
            raise ValueError(f"its parts do not fit together ({error!r})") from error

    def _unpack(self, lane: str, method: Method, body: Mapping[str, JSON]) -> Asked:
        window = self._windows.setdefault(lane, deque(maxlen=WINDOW))
        old, base = window[-body.get("base", 1)] if window else (SoFar([]), None)
        messages = self._rebuilt(body["messages"], old)
        asked = self._keys.setdefault(lane, LaneKeys()).of(
            method,
            model=restored(body["model"]) if base is None or "model" in body else base.model,
            params=restored(body["params"]) if base is None or "params" in body else base.params,
            tools=self._tools(body, base),
            messages=messages,
        )
        window.append((messages, asked))
        return asked

    def _tools(self, body: Mapping[str, JSON], base: Asked | None) -> Sequence[JSON]:
        shown = body.get("tools")
        if shown is None:
            return base.tools if base else ()
        if not shown:
            return ()
        if "ref" in shown:
            return self._schemas[shown["ref"]]
        tools: Sequence[JSON] = restored(shown["schemas"])
        self._schemas[shown["id"]] = tools
        return tools

    def _rebuilt(self, shown: Sequence[JSON], old: SoFar[ChatMessage]) -> SoFar[ChatMessage]:
        if shown and shown[0].get("same") == _span(0, len(old)):
            return old.with_more(list(self._each(shown[1:], old)))
        return SoFar(list(self._each(shown, old)))

    def _each(self, shown: Sequence[JSON], old: Sequence[ChatMessage]) -> Iterator[ChatMessage]:
        for each in shown:
            if "same" in each:
                start, end = _bounds(each["same"], len(old))
                yield from old[start:end]
            elif "ref" in each:
                yield self._messages[each["ref"]]
            elif "like" in each:
                parts = [_unpart(part, len(old[each["like"]].content)) for part in each["parts"]]
                content = apply_delta(old[each["like"]].content, parts)
                yield ChatMessage(role=each["role"], content=content)
            else:
                message = ChatMessage.from_dict(restored(each))
                self._remember(each.get("id"), message)
                yield message

    def _remember(self, name: str | None, message: ChatMessage) -> None:
        if name is None:
            return
        if not message.digest.startswith(name):
            raise ValueError(
                f"the message {name} ({message.role}, {message.content[:40]!r} …) was changed"
            )
        self._messages[name] = message


def _plain(message: ChatMessage) -> ChatMessage:
    """The message as JSON gives it back: the same object, but for a call or block that is odd."""
    if not message.calls and not message.blocks:
        return message
    data = json.loads(message.encoded)
    return message if canonical(data) == message.encoded else ChatMessage.from_dict(data)


def _same_objects(old: SoFar[ChatMessage], new: Sequence[ChatMessage]) -> int:
    """How many leading messages are the very same objects."""
    if old.shares(new):
        return min(len(old), len(new))
    if len(old) <= len(new) and all(map(operator.is_, old, new)):
        return len(old)
    for index, (left, right) in enumerate(zip(old, new, strict=False)):
        if left is not right:
            return index
    return len(new)


def _closest(window: Sequence[Asked], asked: Asked) -> tuple[int, Asked | None]:
    """The lane's request that this one repeats most of, and how far back it lies (from 1)."""
    if not window:
        return 1, None
    ranked = []
    for back, base in enumerate(reversed(window), 1):
        shared = common_prefix(base.digests, asked.digests)
        if back == 1 and shared == len(base.digests):
            return back, base
        saved = _saved(base, asked, shared)
        if back == 1 and saved and saved * 4 > 3 * len(asked.messages[shared].content):
            return back, base
        ranked.append((shared, saved, -back, base))
    best = max(ranked, key=lambda each: each[:3])
    return -best[2], best[3]


def _saved(base: Asked, asked: Asked, index: int) -> int:
    if index >= len(asked.messages):
        return 0
    message = asked.messages[index]
    parts = _delta(base, message, index)
    return 0 if parts is None else len(message.content) - added(parts)


@lru_cache(maxsize=WINDOW)
def _text_delta(old: str, new: str) -> list[Part] | None:
    """Remember the last few: choosing what to build on and writing it ask for the same."""
    return text_delta(old, new) if alike(old, new) else None


def _delta(base: Asked | None, message: ChatMessage, index: int) -> list[Part] | None:
    """The message as a change of the base's message there, if that saves half of it or more."""
    if base is None or index >= len(base.messages) or len(message.content) < LONG:
        return None
    old = base.messages[index]
    more_than_text = message.calls or message.blocks or message.call_id is not None
    if more_than_text or old.role != message.role:
        return None
    parts = _text_delta(old.content, message.content)
    return parts if parts and added(parts) * 2 <= len(message.content) else None


def _equal(left: JSON, right: JSON) -> bool:
    return left is right or canonical(left) == canonical(right)


def _span(start: int, end: int) -> str:
    return f"{start}..{end}"


def _bounds(text: str, length: int) -> tuple[int, int]:
    start, _, end = text.partition("..")
    if not 0 <= int(start) <= int(end) <= length:
        raise ValueError(f"it names messages or characters {text} of {length}")
    return int(start), int(end)


def _part(part: Part) -> JSON:
    return {"add": storable(part)} if isinstance(part, str) else {"keep": _span(*part)}


def _unpart(part: Mapping[str, JSON], length: int) -> Part:
    return _bounds(part["keep"], length) if "keep" in part else str(restored(part["add"]))
