"""The chunks of a streamed chat completion, put together to what an unstreamed one would be.

Values in, values out: knows no client and makes no call. A chunk is read field by field, and a
field of the wrong type counts as absent, since servers differ in what they send.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from looplet.backends.answers import field_of, parse_arguments, typed_field
from looplet.core.codec import JSON

RAW = "_raw_arguments"


@dataclass(slots=True, kw_only=True)
class _Call:
    """A tool call on its way."""

    index: int | None
    id: str = ""
    name: str = ""
    pieces: list[str] = field(default_factory=list)
    given: Mapping[str, JSON] | None = None
    """Arguments that came as an object rather than as its text."""

    def is_complete(self) -> bool:
        """Whether its arguments are a JSON object by now, so that what follows is another's."""
        text = "".join(self.pieces)
        return self.given is not None or (bool(text.strip()) and RAW not in parse_arguments(text))

    def extend(self, delta: object) -> None:
        function = field_of(delta, "function")
        name = typed_field(function, "name", str) or ""
        arguments = field_of(function, "arguments")
        self.id = self.id or typed_field(delta, "id", str) or ""
        self.name = self.name if name == self.name else self.name + name
        if isinstance(arguments, str):
            self.pieces.append(arguments)
        elif isinstance(arguments, Mapping):
            self.given = arguments

    def whole(self) -> dict[str, Any]:
        arguments = "".join(self.pieces) if self.given is None else self.given
        return {"id": self.id, "function": {"name": self.name, "arguments": arguments}}


class ChatAssembly:
    """The chunks of one reply.

    A piece of a tool call belongs to the call with its ``index``. Servers that send none, or one
    for all calls, are understood by what else they send: a new id or name begins a call, and so
    does a name with arguments when those of the call before are whole.

    >>> assembly = ChatAssembly()
    >>> for text, reason in (("0.", None), ("55", "stop")):
    ...     assembly.add({"choices": [{"delta": {"content": text}, "finish_reason": reason}]})
    '0.'
    '55'
    >>> assembly.whole()["choices"][0]["message"]["content"]
    '0.55'
    """

    __slots__ = ("_calls", "_content", "_reason", "_refusal", "_usage")

    def __init__(self) -> None:
        self._content: list[str] = []
        self._refusal: list[str] = []
        self._calls: list[_Call] = []
        self._reason: str | None = None
        self._usage: object = None

    def add(self, chunk: object) -> str:
        """Take a chunk and return the text in it."""
        usage = field_of(chunk, "usage")
        self._usage = self._usage if usage is None else usage
        choices = typed_field(chunk, "choices", list) or ()
        return "".join(self._add_choice(each) for each in choices if not field_of(each, "index"))

    def whole(self) -> dict[str, Any] | None:
        """The completion; ``None`` if the server did not say that it had finished."""
        if self._reason is None:
            return None
        message = {
            "content": "".join(self._content),
            "refusal": "".join(self._refusal),
            "tool_calls": [call.whole() for call in self._calls],
        }
        choice = {"message": message, "finish_reason": self._reason}
        return {"choices": [choice], "usage": self._usage}

    def _add_choice(self, choice: object) -> str:
        self._reason = typed_field(choice, "finish_reason", str) or self._reason
        delta = field_of(choice, "delta")
        calls = typed_field(delta, "tool_calls", list) or ()
        for place, piece in enumerate(calls):
            self._call_of(piece, first=place == 0).extend(piece)
        content = typed_field(delta, "content", str) or ""
        refusal = typed_field(delta, "refusal", str) or ""
        self._content.append(content)
        self._refusal.append(refusal)
        # As in an unstreamed reply, a refusal is its text exactly if it has no other.
        return content or ("" if any(self._content) else refusal)

    def _call_of(self, delta: object, *, first: bool) -> _Call:
        """The call that a piece belongs to, which is a new one if the piece begins it."""
        index, id_ = typed_field(delta, "index", int), typed_field(delta, "id", str)
        name = typed_field(field_of(delta, "function"), "name", str)
        if index is not None:
            known = self._latest(lambda call: call.index == index)
            begins = bool(name and id_) and known is not None and known.id not in {"", id_}
        elif id_:
            known = self._latest(lambda call: call.id == id_)
            begins = not first
        else:
            known = self._latest(lambda _: True)
            begins = bool(name) and (not first or known is None or known.name != name)
        if known is None or begins or (name and _has_arguments(delta) and known.is_complete()):
            known = _Call(index=index)
            self._calls.append(known)
        return known

    def _latest(self, fits: Callable[[_Call], bool]) -> _Call | None:
        return next((call for call in reversed(self._calls) if fits(call)), None)


def _has_arguments(delta: object) -> bool:
    arguments = field_of(field_of(delta, "function"), "arguments")
    return bool(arguments.strip()) if isinstance(arguments, str) else arguments is not None
