"""Model calls as columns, which ``talk`` reads back: each message once. Knows no column type.

Columns are lists of one length, a value for each call or message. How calls refer to messages is
told in ``talk``.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from operator import attrgetter
from typing import Any

from looplet.core.codec import JSON
from looplet.core.messages import ChatMessage
from looplet.core.sofar import SoFar
from looplet.trajectory import talk
from looplet.trajectory.model import LLMCall
from looplet.trajectory.text import JsonTexts, to_json_text

Columns = dict[str, Sequence[Any]]
Response = str | list[dict[str, JSON]]
_GETTERS = {name: attrgetter(name) for name in talk.PLAIN}


def to_columns(calls: Sequence[LLMCall]) -> tuple[Columns, Columns]:
    """The columns of ``messages`` and of ``calls``."""
    messages = _Messages()
    lanes: dict[str, _Lane] = defaultdict(_Lane)
    kept, added, outputs = [], [], []
    for call in calls:
        same, places = lanes[call.lane].follow(call.messages, messages.add)
        kept.append(same)
        added.append(places)
        outputs.append(None if call.response is None else messages.add_reply(call.response))
    columns: Columns = {name: list(map(getter, calls)) for name, getter in _GETTERS.items()}
    columns |= {
        "input_kept": kept,
        "input": added,
        "output": outputs,
        "output_blocks": [isinstance(call.response, list) for call in calls],
        "prompt": [_unless(talk.last_text(call.messages), call.prompt) for call in calls],
        "system_prompt": [
            _unless(talk.system_text(call.messages), call.system_prompt) for call in calls
        ],
        "latency_ms": [call.duration_ms for call in calls],
        "params": [call.params or None for call in calls],
        "metadata": [call.metadata or None for call in calls],
        "tools": _tools_texts(calls),
    }
    return messages.columns(), columns


def _unless(usual: str | None, text: str) -> str | None:
    return None if text == usual else text


def _tools_texts(calls: Iterable[LLMCall]) -> JsonTexts:
    """The schemas; calls that share them share the text."""
    texts: dict[int, str] = {}
    for call in calls:
        if call.tools is not None and id(call.tools) not in texts:
            texts[id(call.tools)] = to_json_text(call.tools)
    return JsonTexts(None if call.tools is None else texts[id(call.tools)] for call in calls)


@dataclass(slots=True)
class _Lane:
    """What a lane's last call was sent, and the places of that."""

    sent: Sequence[ChatMessage] = ()
    places: list[int] = field(default_factory=list)

    def follow(
        self, sent: Sequence[ChatMessage], add: Callable[[ChatMessage], int]
    ) -> tuple[int, list[int]]:
        """Go on to the next call: how many messages it begins with again, and the others' places.

        ``add`` gives a message's place.
        """
        kept = self._same_start(sent, add)
        added = [add(message) for message in sent[kept:]]
        self.sent = sent
        self.places[kept:] = added
        return kept, added

    def _same_start(self, sent: Sequence[ChatMessage], add: Callable[[ChatMessage], int]) -> int:
        before = self.sent
        if isinstance(sent, SoFar) and sent.shares(before):
            return min(len(sent), len(before))
        kept = 0
        for new, old, place in zip(sent, before, self.places, strict=False):
            if new is not old and add(new) != place:
                break
            kept += 1
        return kept


class _Messages:
    """The messages of one trajectory, each once, in the order in which they first appear."""

    def __init__(self) -> None:
        self._roles: list[str] = []
        self._contents, self._calls = JsonTexts(), JsonTexts()
        self._call_ids: list[str | None] = []
        self._said: list[ChatMessage | Response] = []
        """Who says what is in a place: a message with its digest computed, if any has."""
        self._by_words: dict[tuple[Any, ...], int] = {}
        self._by_id: dict[int, int] = {}
        """Objects already placed; the trajectory keeps them alive, so no id is given twice."""

    def columns(self) -> Columns:
        """All messages placed; content and calls are JSON text."""
        return {
            "role": self._roles,
            "content": self._contents,
            "tool_calls": self._calls,
            "call_id": self._call_ids,
            "digest": list(map(_digest, self._said)),
        }

    def add(self, message: ChatMessage) -> int:
        """The place of a message."""
        place = self._by_id.get(id(message))
        if place is None:
            place = self._by_id[id(message)] = self._place(message)
            if "digest" in vars(message):
                self._said[place] = message
        return place

    def add_reply(self, response: Response) -> int:
        """The place of a reply, which is the same as that of the message that repeats it."""
        if isinstance(response, str):
            return self._find("assistant", response, None, None, response)
        parts = talk.text_and_calls(response)
        if parts is not None:
            text, asked = parts
            calls = None
            if asked:
                calls = _joined(
                    [_call_text(each["id"], each["name"], each["input"]) for each in asked]
                )
            return self._find("assistant", text, calls, None, response)
        message = talk.said_in(response)
        if message is not None:
            return self._place(message)
        return self._find("assistant", response, None, None, response)

    def _place(self, message: ChatMessage) -> int:
        content: JSON = message.content
        calls = None
        if message.calls:
            calls = _joined([_call_text(each.id, each.name, each.input) for each in message.calls])
        if message.blocks:
            blocks = [dict(block) for block in message.blocks]
            usual = talk.said_in(blocks)
            if usual is not None and usual.encoded == message.encoded:
                return self._find(message.role, blocks, None, None, message)
            content = {"text": content, "blocks": blocks}
        return self._find(message.role, content, calls, message.call_id, message)

    def _find(
        self,
        role: str,
        content: JSON,
        calls: str | None,
        call_id: str | None,
        said: ChatMessage | Response,
    ) -> int:
        """The place of these words, which is a new one if they were not said before."""
        text = None if type(content) is str else to_json_text(content)
        words = (role, content if text is None else (text,), calls, call_id)
        place = self._by_words.setdefault(words, len(self._said))
        if place == len(self._said):
            self._roles.append(role)
            self._contents.append(to_json_text(content) if text is None else text)
            self._calls.append(calls)
            self._call_ids.append(call_id)
            self._said.append(said)
        return place


def _call_text(call_id: str, name: str, given: Mapping[str, JSON]) -> str:
    """A call as ``to_json_text`` of its dict would give it, put together from its parts."""
    text = to_json_text(given if type(given) is dict else dict(given))
    return f'{{"id":{to_json_text(call_id)},"name":{to_json_text(name)},"input":{text}}}'


def _joined(calls: Sequence[str]) -> str:
    return f"[{','.join(calls)}]"


def _digest(said: ChatMessage | Response) -> str:
    if isinstance(said, list):
        message = talk.reply_message(said)
        if message is None:
            return talk.digest_of_blocks(said)
        said = message
    elif isinstance(said, str):
        said = ChatMessage(role="assistant", content=said)
    return said.digest[: talk.DIGEST_CHARS]
