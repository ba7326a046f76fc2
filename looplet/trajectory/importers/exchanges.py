"""One HTTP exchange of a cassette: whether a model was asked, what it was sent, what it said.

Knows vcrpy's forms of a body, and streams of events; knows no file. `prompts` and `replies` read
what the bodies say.
"""

from __future__ import annotations

import base64
import binascii
import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from looplet.backends.anthropic_events import MessageAssembly
from looplet.backends.openai_chunks import ChatAssembly
from looplet.core.codec import JSON
from looplet.core.messages import ChatMessage
from looplet.trajectory.importers import chat, prompts, replies
from looplet.trajectory.importers.nodes import Node
from looplet.trajectory.importers.problems import Malformed
from looplet.trajectory.importers.replies import Reply
from looplet.trajectory.importers.sources import PACKED, decoded, unpacked

FIRST_ERROR_STATUS = 400
OVER, _TAIL = "[DONE]", 100
"""What stands at the end of a stream that is whole, also where no chunk gives a reason."""
SECRET_HEADERS = frozenset(
    {"authorization", "proxy-authorization", "x-api-key", "api-key", "x-goog-api-key", "cookie",
     "set-cookie", "openai-organization", "openai-project", "anthropic-organization-id"}
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Exchange:
    """What an exchange was."""

    sent: list[ChatMessage] | None = None
    """What a model was sent; ``None`` if none was asked."""
    reply: Reply | None = None
    """What it said; ``None`` if it failed."""
    known: dict[str, Any] = field(default_factory=dict)
    """Fields of the `LLMCall`."""
    about: dict[str, JSON] = field(default_factory=dict)
    """The exchange itself, where no model was asked."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Api:
    """One form of asking a model."""

    path: str
    """How the address ends."""
    given: tuple[str, ...]
    """The members of the body that hold what is sent, one of which must be there."""
    messages: Callable[[Node], list[ChatMessage]]
    reply: Callable[[Node], Reply]
    joined: Callable[[list[Node]], JSON]
    """A stream's events as the reply would be in one; ``None`` if it breaks off.

    A last event ``OVER`` stands for the word that the stream is over.
    """


def exchange_of(interaction: Node) -> Exchange:
    """Read an interaction. Raises `Malformed`."""
    request, response = interaction.need("request"), interaction.get("response")
    uri = request.get("uri").text() or ""
    asked, told = Node(_body(request), request.get("body").place), _body(response)
    api = _api_of(uri, asked)
    status = response.get("status")
    code = (status.get("code") if isinstance(status.value, dict) else status).integer()
    about: dict[str, JSON] = {
        "method": request.get("method").value,
        "uri": _without_query(uri),
        "status": code,
    }
    if api is None:
        return Exchange(about=about | {"request": asked.value, "response": told})
    about["request_headers"] = _headers_told(request)
    about["response_headers"] = _headers_told(response)
    known = _of_request(asked, api, interaction, about)
    sent = api.messages(asked)
    if code is not None and code >= FIRST_ERROR_STATUS:
        failed = {"error": f"HTTP {code}: {_words_of(told)}"}
        return Exchange(sent=sent, known=known | failed)
    return _answered(api, sent, known, Node(told, response.get("body").place))


def _answered(api: _Api, sent: list[ChatMessage], known: dict[str, Any], told: Node) -> Exchange:
    """The exchange with what the provider said, in one piece or as a stream."""
    body = told.value
    if isinstance(body, str) and _is_stream(body):
        body = _joined(api, body, told)
        if body is None:
            known["metadata"]["body"] = told.value
            return Exchange(
                sent=sent, known=known | {"error": "the stream ends before the reply is whole"}
            )
    if not isinstance(body, dict):
        raise told.wrong("a reply")
    reply = api.reply(Node(body, told.place))
    known["metadata"] |= reply.extra
    given = {name: value for name, value in reply.known.items() if value is not None}
    return Exchange(sent=sent, reply=reply, known=known | given)


def _joined(api: _Api, body: str, told: Node) -> JSON:
    events = list(_events_in(body, told.place))
    if OVER in body[-_TAIL:]:
        events.append(Node({OVER: True}, told.place))
    try:
        return api.joined(events)
    except TypeError:  # what puts streams together trusts the members that it repeats
        raise Malformed(told.place, "its stream of events is not what the API sends") from None


def _of_request(
    asked: Node, api: _Api, interaction: Node, about: dict[str, JSON]
) -> dict[str, Any]:
    """What the request tells of its call."""
    tools = asked.get("tools")
    schemas = [tool.fields() for tool in tools.items()]
    date = _header(interaction.get("response"), "date")
    limits = ("max_tokens", "max_completion_tokens", "max_output_tokens")
    return {
        "model": asked.get("model").text(),
        "timestamp": _moment(date),
        "method": "generate_with_tools" if schemas else "generate",
        "tools": schemas or None,
        "params": asked.rest(*api.given, "model", "tools", "system", "instructions"),
        "temperature": asked.get("temperature").number(),
        "max_tokens": asked.first(*limits).count(),
        "metadata": {"http": about},
    }


def _api_of(uri: str, asked: Node) -> _Api | None:
    if not isinstance(asked.value, dict):
        return None
    try:
        path = urlsplit(uri).path.rstrip("/")
    except ValueError:
        return None
    fitting = (api for api in _APIS if path.endswith(api.path))
    return next((api for api in fitting if any(asked.get(name).known for name in api.given)), None)


def _body(message: Node) -> JSON:
    """A body: JSON if it is that, else its text; ``None`` without one."""
    parsed = message.get("parsed_body")
    if parsed.known:
        return parsed.value
    body = message.get("body")
    data = body.value
    if isinstance(data, dict):
        packed = body.first("base64_string", "base64")
        data = _from_base64(packed) if packed.known else body.get("string").value
    if isinstance(data, bytes):
        data = _text_of(data, _header(message, "content-encoding") or "", body.place)
    if not isinstance(data, str):
        return data
    value = chat.json_in(data)
    return data if value is None else value


def _from_base64(node: Node) -> bytes:
    try:
        return base64.b64decode(node.text() or "", validate=False)
    except (binascii.Error, ValueError):
        raise node.wrong("base64") from None


def _text_of(data: bytes, encoding: str, place: str) -> str:
    """Bytes of a body, unpacked as their header or their beginning says, as text."""
    known = data.startswith(PACKED)
    if encoding == "br" and not known:
        raise Malformed(place, "it is packed by brotli, which cannot be read here")
    try:
        if known:
            data = unpacked(data)
        elif encoding == "deflate":  # with the header of zlib, or without
            data = zlib.decompressobj(15 if data[:1] == b"\x78" else -15).decompress(data)
        return decoded(data)
    except zlib.error as error:
        raise Malformed(place, f"its packed bytes are damaged: {error}") from None
    except Malformed as error:
        raise Malformed(place, error.message) from None


def _headers(message: Node) -> Iterator[tuple[str, JSON]]:
    headers = message.get("headers").value
    return iter(headers.items()) if isinstance(headers, Mapping) else iter(())


def _header(message: Node, name: str) -> str | None:
    for key, value in _headers(message):
        if str(key).lower() == name:
            first = value[0] if isinstance(value, list) and value else value
            return first if isinstance(first, str) else None
    return None


def _headers_told(message: Node) -> dict[str, JSON]:
    """The headers, but for those that carry keys or cookies."""
    return {
        str(key): value
        for key, value in _headers(message)
        if str(key).lower() not in SECRET_HEADERS
    }


def _without_query(uri: str) -> str:
    """An address without its query, in which some providers want their keys."""
    try:
        return urlunsplit(urlsplit(uri)._replace(query="", fragment=""))
    except ValueError:
        return uri.partition("?")[0]


def _moment(date: str | None) -> float | None:
    try:
        return None if date is None else parsedate_to_datetime(date).timestamp()
    except (ValueError, OverflowError, TypeError):
        return None


def _words_of(told: JSON) -> str:
    """A provider's words for what went wrong."""
    if isinstance(told, dict):
        error = told.get("error", told)
        words = error.get("message") if isinstance(error, dict) else error
        if isinstance(words, str):
            return words
    return told if isinstance(told, str) else "it gives no reason"


def _is_stream(body: str) -> bool:
    return body.lstrip().startswith(("data:", "event:", ":", "id:", "retry:"))


def _events_in(body: str, place: str) -> Iterator[Node]:
    """The events of a stream that are JSON; the one that only says that it is over is passed."""
    lines: list[str] = []
    for line in [*body.splitlines(), ""]:
        if line.startswith("data:"):
            lines.append(line.removeprefix("data:").removeprefix(" "))
        elif not line and lines:
            value = chat.json_in("\n".join(lines))
            if isinstance(value, dict):
                yield Node(value, place)
            lines = []


def _joined_chunks(events: list[Node]) -> JSON:
    assembly = ChatAssembly()
    for event in events:
        assembly.add(event.value)
    whole = assembly.whole()
    if whole is None and events and OVER in events.pop().value:
        assembly.add({"choices": [{"finish_reason": OVER}]})
        whole = assembly.whole() or {}
        whole["choices"][0]["finish_reason"] = None
    if whole is None:
        return None
    thought = {name: _pieces(events, name) for name in ("reasoning", "reasoning_content")}
    message = whole["choices"][0]["message"]
    message |= {name: text for name, text in thought.items() if text}
    head = {key: value for event in reversed(events) for key, value in event.fields().items()}
    return {**head, **whole}


def _pieces(events: list[Node], name: str) -> str:
    """A text that comes in pieces beside the content, as some servers send what a model thinks."""
    return "".join(
        choice.get("delta").get(name).text() or ""
        for event in events
        for choice in event.get("choices").items()
    )


def _joined_texts(events: list[Node]) -> JSON:
    choices = [choice for event in events for choice in event.get("choices").items()]
    reasons = [choice.get("finish_reason").text() for choice in choices]
    reason = next((each for each in reasons if each), None)
    if reason is None:
        return None
    text = "".join(choice.get("text").text() or "" for choice in choices)
    head = {key: value for event in events for key, value in event.fields().items() if value}
    return {**head, "choices": [{"text": text, "finish_reason": reason}]}


def _joined_response(events: list[Node]) -> JSON:
    ends = ("response.completed", "response.incomplete", "response.failed")
    last = next((each for each in reversed(events) if each.get("type").value in ends), None)
    return None if last is None else last.get("response").value


def _joined_message(events: list[Node]) -> JSON:
    assembly = MessageAssembly()
    for event in events:
        assembly.add(event.value)
    return assembly.whole()


_APIS = (
    _Api(
        path="/chat/completions",
        given=("messages",),
        messages=prompts.chat_messages,
        reply=replies.chat_reply,
        joined=_joined_chunks,
    ),
    _Api(
        path="/responses",
        given=("input", "instructions", "previous_response_id", "prompt"),
        messages=prompts.response_messages,
        reply=replies.response_reply,
        joined=_joined_response,
    ),
    _Api(
        path="/completions",
        given=("prompt",),
        messages=prompts.completion_messages,
        reply=replies.completion_reply,
        joined=_joined_texts,
    ),
    _Api(
        path="/messages",
        given=("messages",),
        messages=prompts.anthropic_messages,
        reply=replies.anthropic_reply,
        joined=_joined_message,
    ),
)
