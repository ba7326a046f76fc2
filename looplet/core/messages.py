"""What is asked of a model: messages, requests and their canonical form. Knows no provider."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal

from looplet.core.codec import JSON, canonical, digest
from looplet.core.sofar import same_start

Role = Literal["system", "user", "assistant", "tool"]
Method = Literal["generate", "generate_with_tools"]


@dataclass(frozen=True, slots=True, kw_only=True)
class CallRequest:
    """One tool call inside an assistant's message."""

    id: str
    name: str
    input: Mapping[str, Any]

    def to_dict(self) -> dict[str, JSON]:
        """The three fields."""
        return {"id": self.id, "name": self.name, "input": dict(self.input)}


@dataclass(frozen=True, kw_only=True)
class ChatMessage:
    """One message as a model sees it, in no provider's dialect.

    An assistant's message may carry ``calls``; a tool's message answers the call ``call_id``.
    Messages are never changed, so digest and encoding are computed once.

    >>> ChatMessage(role="user", content="hi").to_dict()
    {'role': 'user', 'content': 'hi'}
    """

    role: Role
    content: str = ""
    calls: tuple[CallRequest, ...] = ()
    call_id: str | None = None
    blocks: tuple[Mapping[str, JSON], ...] = ()
    """A reply's blocks as the backend gave them, where they are more than text and calls.

    A provider wants what its model thought sent back unchanged; others read the fields above.
    """

    def to_dict(self) -> dict[str, JSON]:
        """The message as JSON; empty optional fields are left out."""
        out: dict[str, JSON] = {"role": self.role, "content": self.content}
        if self.calls:
            out["calls"] = [call.to_dict() for call in self.calls]
        if self.call_id is not None:
            out["call_id"] = self.call_id
        if self.blocks:
            out["blocks"] = [dict(block) for block in self.blocks]
        return out

    @classmethod
    def from_dict(cls, data: Mapping[str, JSON]) -> ChatMessage:
        """The message that ``to_dict`` was called on."""
        calls = tuple(
            CallRequest(id=call["id"], name=call["name"], input=call["input"])
            for call in data.get("calls", ())
        )
        return cls(
            role=data["role"],
            content=data["content"],
            calls=calls,
            call_id=data.get("call_id"),
            blocks=tuple(data.get("blocks", ())),
        )

    @cached_property
    def encoded(self) -> str:
        """Canonical JSON of the message."""
        return canonical(self.to_dict())

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the canonical JSON, in hex."""
        return digest(self.encoded)


@dataclass(slots=True, kw_only=True)
class ModelRequest:
    """One call of a backend: what is sent, and how; to be read, not changed.

    One is made for each call, and a frozen one would take three times as long to make.

    ``messages`` is the conversation without the system prompt, for backends that take
    ``messages=``; it is empty for the others, which are sent ``prompt`` alone.
    """

    method: Method
    prompt: str
    system_prompt: str = ""
    messages: Sequence[ChatMessage] = ()
    tools: Sequence[Mapping[str, JSON]] = ()
    max_tokens: int = 2000
    temperature: float = 0.2
    extra: Mapping[str, JSON] = field(default_factory=dict)
    """Further sampling parameters; they are part of the request's identity."""

    def conversation(self) -> tuple[ChatMessage, ...]:
        """Every message sent, the system prompt first.

        >>> request = ModelRequest(method="generate", prompt="hi", system_prompt="Be brief.")
        >>> [message.role for message in request.conversation()]
        ['system', 'user']
        """
        head = (
            (ChatMessage(role="system", content=self.system_prompt),) if self.system_prompt else ()
        )
        return head + (tuple(self.messages) or (ChatMessage(role="user", content=self.prompt),))

    def params(self) -> dict[str, JSON]:
        """Sampling parameters, as they enter the key."""
        return {"temperature": self.temperature, "max_tokens": self.max_tokens, **self.extra}


def request_key(request: ModelRequest, *, model: str | None) -> str:
    """SHA-256 of the canonical request, built from the messages' own digests.

    Two requests have equal keys exactly if method, model, messages, tools and sampling
    parameters are equal.
    """
    return RequestKeys().key(request, model=model)


class RequestKeys:
    """Keys of requests that follow one another, each hashed only from where it differs.

    A long conversation is sent anew with every call; hashing all of it each time would cost the
    square of the calls.
    """

    def __init__(self) -> None:
        self._start: tuple[str, str] | None = None
        self._messages: Sequence[ChatMessage] = ()
        self._hasher: Any = None

    def key(self, request: ModelRequest, *, model: str | None) -> str:
        """The request's key, as ``request_key`` gives it."""
        frame = canonical(
            {
                "method": request.method,
                "model": model,
                "params": request.params(),
                "tools": list(request.tools),
            }
        )
        start, messages = (frame, request.system_prompt), request.messages
        if not messages:
            messages = (ChatMessage(role="user", content=request.prompt),)
        known = same_start(self._messages, messages)
        if start != self._start or known < len(self._messages):
            import hashlib

            self._start, self._hasher = start, hashlib.sha256(frame.encode())
            if request.system_prompt:
                system = ChatMessage(role="system", content=request.system_prompt)
                self._hasher.update(_digests([system]))
            known = 0
        self._hasher.update(_digests(messages[known:]))
        self._messages = messages
        return str(self._hasher.hexdigest())


def _digests(messages: Sequence[ChatMessage]) -> bytes:
    return bytes.fromhex("".join([message.digest for message in messages]))
