"""A cassette's interactions made anew, one after the other. Knows the tape; writes no file.

Requests are packed again, and with a redactor all texts lose their secrets, with the keys and
digests that follow from that.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from typing import Any

from looplet.core.codec import JSON, canonical
from looplet.redaction import Redactor, redact_strings
from looplet.replay.entries import (
    MODEL_METHODS,
    SHORT,
    STEP,
    address,
    header,
    name_of,
    uri_of,
)
from looplet.replay.outcomes import answer_of, stored_stream, text_in
from looplet.replay.persister import FORMAT
from looplet.replay.playback import Player
from looplet.replay.reading import Reader
from looplet.replay.requests import Asked, LaneKeys, Packer
from looplet.replay.runs import Chain
from looplet.replay.serializer import restored, storable
from looplet.replay.tooling import tool_key

_TEXTS = ("string", "text", "blocks")
"""Where a reply may stand in a response."""


class Rewriter:
    """Writes what a player holds, interaction by interaction, in the order of the file.

    Secrets are numbered as they are first seen, and a replay sees them in this order: the metadata,
    a run's task, then each request and what came of it.
    """

    def __init__(self, player: Player, redactor: Redactor | None) -> None:
        self._player, self._redactor = player, redactor
        self.found = 0
        """How many texts were changed."""
        self._keys: dict[str, LaneKeys] = {}
        self._packer = Packer()
        self._chains: list[Chain] = []
        self._calls: list[dict[str, JSON]] = []
        self._reader = Reader(None)

    def written(self) -> tuple[list[dict[str, JSON]], dict[str, JSON]]:
        """The new file's interactions and its metadata."""
        raw = dict(self._player.head)
        about = self._value(restored(raw.get("about", {})))
        last = self._survey()
        self._begin_runs(last, -1)
        for place, (request, stored, method, what) in enumerate(self._player.recorded()):
            self._calls.append(self._call(request, stored, method, what))
            self._begin_runs(last, place)
        self._name_anew()
        return self._calls, self._header(raw, about)

    def _survey(self) -> list[int]:
        """The place of each run's last step."""
        last = [-1] * len(self._player.runs)
        for place, (request, _) in enumerate(self._player._tape.data):  # noqa: SLF001 - of the same room
            if address(request.uri)[1] == STEP:
                last[request.body.get("run", 0)] = place
        return last

    def _begin_runs(self, last: list[int], place: int) -> None:
        """Begin the runs that began by then, taking them for one after the other."""
        while len(self._chains) < len(last):
            number = len(self._chains)
            if number and last[number - 1] > place:
                return
            task = self._player.runs[number].task
            self._chains.append(Chain(task, None if self._redactor is None else self._value))

    def _call(
        self, request: Any, stored: Mapping[str, Any], method: str, what: Any
    ) -> dict[str, JSON]:
        if method == STEP:
            return self._step(request, stored)
        lane = self._text(address(request.uri)[0])
        if method in MODEL_METHODS:
            asked = self._request(lane, what)
            key, body = asked.key, self._packer.pack(lane, asked)
            response = self._reply(stored)
        else:
            if self._redactor is not None:
                self._reader.take(request, stored, method, what)
            asked_tool = self._value(what)
            key, body = tool_key(asked_tool, lane), storable(asked_tool)
            response = self._with_body(stored)
        headers = {name: header(request, name) for name in ("ordinal", "step", "within")}
        return {
            "uri": uri_of(lane, method),
            "headers": {"key": key} | {name: each for name, each in headers.items() if each},
            "body": body,
            "response": response,
        }

    def _request(self, lane: str, what: Asked) -> Asked:
        if self._redactor is None:
            return what
        keys = self._keys.setdefault(lane, LaneKeys(self._value))
        return keys.of(
            what.method, model=what.model, params=what.params, tools=what.tools,
            messages=what.messages,
        )  # fmt: skip

    def _step(self, request: Any, stored: Mapping[str, Any]) -> dict[str, JSON]:
        body, response, link = dict(request.body), plain(stored), header(request, "key")
        if self._redactor is not None:
            self._reader.take(request, stored, STEP, None)
            chain = self._chains[request.body.get("run", 0)]
            kept = chain.add(self._reader.steps.pop().to_step())
            link, call = chain.log.digests[-1], kept.tool_call
            body |= {"tool": call.tool, "args": storable(call.args)}
            if call.reasoning:
                body["reasoning"] = storable(call.reasoning)
            if "of" not in stored["body"]:
                response = self._with_body(stored)
                response["summary"] = storable(kept.tool_result.args_summary)
        return {
            "uri": request.uri, "headers": {"key": link}, "body": body, "response": response,
        }  # fmt: skip

    def _with_body(self, stored: Mapping[str, Any]) -> dict[str, JSON]:
        """A tool's response without secrets."""
        response = plain(stored)
        if self._redactor is not None:
            response["body"] = storable(self._value(restored(stored["body"])))
        return response

    def _reply(self, stored: Mapping[str, Any]) -> dict[str, JSON]:
        """A model's response without secrets, those split between two pieces included."""
        response = plain(stored)
        if self._redactor is None:
            return response
        answer = answer_of(stored)
        body, text = dict(response["body"]), ""
        if "error" in body:
            body["error"] = dict(body["error"])
            for name in ("message", "args"):
                if name in body["error"]:
                    body["error"][name] = storable(self._value(restored(body["error"][name])))
        elif answer.reply is not None:
            clean = self._value(answer.reply)
            shown, text = storable(clean), text_in(clean)
            body = {name: each for name, each in body.items() if name not in _TEXTS}
            name = "text" if isinstance(clean, str) else "blocks"
            body["string" if isinstance(shown, str) else name] = shown
        response["body"] = body
        for name in ("usage", "stop_reason"):
            if name in response:
                response[name] = storable(self._value(restored(response[name])))
        if answer.pieces:
            pieces = self._pieces([piece for _, piece in answer.pieces])
            timed = [(at, piece) for (at, _), piece in zip(answer.pieces, pieces, strict=True)]
            response |= stored_stream(timed, text)
        return response

    def _name_anew(self) -> None:
        """Number calls that ask the same now, and name tool calls as they are named now."""
        renamed = self._renamed()
        for call, (request, _) in zip(self._calls, self._player._tape.data, strict=True):  # noqa: SLF001 - of the same room
            inside = header(request, "within")
            if inside:
                short, _, ordinal = inside.partition(".")
                call["headers"]["within"] = name_of(*renamed[short, int(ordinal or 0)])
            named = call["response"]["body"].get("of")
            if address(request.uri)[1] == STEP and named is not None:
                new, number = renamed[named["key"], named.get("ordinal", 0)]
                of = {"key": new} | ({"ordinal": number} if number else {})
                call["response"]["body"] = {**call["response"]["body"], "of": of}

    def _renamed(self) -> dict[tuple[str, int], tuple[str, int]]:
        """The new short key and ordinal of each old one; the calls' own are set."""
        groups: defaultdict[tuple[str, str], list[tuple[float, int, int]]] = defaultdict(list)
        data = self._player._tape.data  # noqa: SLF001 - of the same room
        for place, (request, stored) in enumerate(data):
            if address(request.uri)[1] != STEP:
                call = self._calls[place]
                ordinal = int(header(request, "ordinal") or 0)
                at = stored.get("started_ms") or 0.0
                groups[call["uri"], call["headers"]["key"]].append((at, ordinal, place))
        renamed = {}
        for (_, key), members in groups.items():
            alone = len({ordinal for _, ordinal, _ in members}) == len(members)
            for number, (_, ordinal, place) in enumerate(sorted(members)):
                new = ordinal if alone else number
                self._set_ordinal(place, new)
                renamed[_short(data[place][0]), ordinal] = key[:SHORT], new
        return renamed

    def _set_ordinal(self, place: int, ordinal: int) -> None:
        headers = self._calls[place]["headers"]
        rest = {name: each for name, each in headers.items() if name not in ("key", "ordinal")}
        numbered = {"ordinal": str(ordinal)} if ordinal else {}
        self._calls[place]["headers"] = {"key": headers["key"]} | numbered | rest

    def _header(self, raw: dict[str, JSON], about: JSON) -> dict[str, JSON]:
        out = raw | {"looplet_format": FORMAT, "about": storable(about)}
        out["lanes"] = storable(self._lanes())
        if "runs" in raw:
            pairs = zip(restored(raw["runs"]), self._chains, strict=False)
            out["runs"] = storable([self._run(run, chain) for run, chain in pairs])
        return out

    def _run(self, run: dict[str, JSON], chain: Chain) -> dict[str, JSON]:
        if self._redactor is None:
            return run
        if run.get("digest") is None:
            return run | {"task": chain.log.task}
        log = chain.end(run.get("stop_reason"))
        return run | {"task": log.task, "stop_reason": log.stop_reason, "digest": log.digest}

    def _lanes(self) -> dict[str, JSON]:
        """Shapes of backends, each written out once."""
        out: dict[str, JSON] = {}
        first: dict[str, str] = {}
        for lane, shape in self._player.lanes.items():
            name, text = self._text(lane), canonical(shape)
            like = first.setdefault(text, name)
            out[name] = shape if like == name else {"like": like}
        return out

    def _text(self, text: str) -> str:
        if self._redactor is None:
            return text
        clean = self._redactor.text(text)
        self.found += clean != text
        return clean

    def _value(self, value: Any) -> Any:
        return value if self._redactor is None else redact_strings(value, self._text)

    def _pieces(self, pieces: list[str]) -> list[str]:
        clean = pieces if self._redactor is None else self._redactor.pieces(pieces)
        self.found += clean != pieces
        return clean


def plain(stored: Mapping[str, Any]) -> dict[str, JSON]:
    """A response as it was recorded; vcrpy made bytes of its text."""
    body = stored["body"]
    if isinstance(body.get("string"), bytes):
        return {**stored, "body": {**body, "string": body["string"].decode()}}
    return dict(stored)


def _short(request: Any) -> str:
    return (header(request, "key") or "")[:SHORT]
