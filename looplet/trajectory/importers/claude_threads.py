"""One thread of a Claude Code session, taken into a run line by line. Knows its lines alone."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from typing import NamedTuple, TypeVar

from looplet.core.codec import JSON
from looplet.core.messages import ChatMessage
from looplet.trajectory.importers import anthropic_turns, chat, replies
from looplet.trajectory.importers.builder import RunBuilder
from looplet.trajectory.importers.nodes import Node
from looplet.trajectory.importers.problems import Malformed
from looplet.trajectory.importers.sources import Source
from looplet.trajectory.model import StepRecord, Trajectory

SYNTHETIC = "<synthetic>"
"""The model of messages that no model wrote."""
_ABOUT = ("version", "cwd", "gitBranch")
_ENVELOPE = (
    *_ABOUT, "type", "uuid", "parentUuid", "logicalParentUuid", "sessionId", "session_id",
    "timestamp", "message", "isSidechain", "agentId", "parent_tool_use_id", "userType",
    "toolUseResult", "tool_use_result", "slug", "entrypoint",
)  # fmt: skip
_TEXTS = {"summary": "summary", "ai-title": "aiTitle", "custom-title": "customTitle"}
"""Lines that name the session, and where the name stands in them."""
Kind = TypeVar("Kind")


class _Place(NamedTuple):
    """How far the conversation was with a line."""

    replies: int
    said: Sequence[ChatMessage]


class Thread:
    """The lines of a session, or of one sub-agent in it."""

    def __init__(self, *, session: str | None, agent: str | None) -> None:
        self.session, self.agent, self.is_side = session, agent, agent is not None
        self.lines: list[Node] = []
        self._noted: list[Node] = []
        self._others: Counter[str] = Counter()
        self._builder = RunBuilder()
        self._replies: dict[str, list[Node]] = {}
        """Lines of each reply of the model's."""
        self._places: dict[str | None, _Place] = {None: _Place(0, ())}
        self._taken = 0
        """Replies so far."""
        self._system: list[JSON] = []
        self._prompt: str | None = None
        self._failure: str | None = None
        """What the last reply failed with, if it did."""

    def note(self, line: Node) -> None:
        """A line that is about the session, and no part of what was said."""
        self._noted.append(line)

    def count(self, what: str) -> None:
        """Note that there was a line that is not kept."""
        self._others[what] += 1

    def run(self, source: Source, *, form: str) -> Trajectory:
        """All of it; a line that is malformed is reported and passed."""
        for line in self.lines:
            if line.get("type").value == "assistant":
                self._replies.setdefault(_reply_id(line), []).append(line)
        for line in self.lines:
            try:
                self._take(line)
            except Malformed as error:
                source.report(error)
        times = [*self._times(source)]
        known, metadata = self._about()
        record = Node([line.value for line in self.lines], f"$ {self.agent or ''}")
        return self._builder.build(
            source,
            record,
            form=form,
            task={"prompt": self._prompt} if self._prompt else None,
            agent="Claude Code",
            started_at=times[0] if times else None,
            ended_at=times[-1] if times else None,
            final_output=self._builder.last_text(),
            stop_reason="llm_error" if self._failure else None,
            error=self._failure,
            metadata=metadata,
            **known,
        )

    def _times(self, source: Source) -> Iterator[datetime]:
        """When the lines were written; a time that is none is reported, and its line kept."""
        for line in self.lines:
            try:
                moment = line.get("timestamp").time()
            except Malformed as error:
                source.report(error)
                continue
            if moment is not None:
                yield moment

    def _take(self, line: Node) -> None:
        kind, name = line.get("type").value, line.get("uuid").text()
        parent = line.first("parentUuid", "logicalParentUuid").text()
        if kind == "assistant":
            self._take_reply(line)
        elif kind == "user":
            self._take_heard(line, parent)
        else:
            self._take_other(line)
            if name:  # it stands between two messages, wherever the one before is
                self._places[name] = self._places.get(parent, self._now())
            return
        if name:
            self._places[name] = self._now()

    def _now(self) -> _Place:
        return _Place(self._taken, self._builder.mark())

    def _take_heard(self, line: Node, parent: str | None) -> None:
        message = line.need("message")
        has_results = _has_results(message)
        if line.get("isCompactSummary").value:
            self._builder.rewind(())
        elif not has_results and "parentUuid" in line.fields():
            before = self._places.get(parent)
            if before is not None and before.replies < self._taken:
                self._builder.rewind(before.said)
        if self._prompt is None and not has_results and not line.get("isMeta").value:
            self._prompt = chat.content_of(message.get("content"))[0] or None
        steps = anthropic_turns.hear(self._builder, message, extra=_extra(line))
        for step in steps:
            moment = _moment(line)
            step.timestamp = None if moment is None else moment.timestamp()
        result = line.first("toolUseResult", "tool_use_result")
        if len(steps) == 1 and result.known:
            _tell(steps[0], result)

    def _take_reply(self, line: Node) -> None:
        """A reply with its first line; its others are passed."""
        lines = self._replies.pop(_reply_id(line), None)
        if lines is None:
            return
        self._taken += 1
        messages = [each.need("message") for each in lines]
        last = {key: value for each in messages for key, value in each.fields().items()
                if value is not None}  # fmt: skip
        whole = Node({**last, "content": _content(messages)}, messages[0].place)
        reply = replies.anthropic_reply(whole)
        self._failure = None
        if lines[0].get("isApiErrorMessage").value:
            self._failure = reply.text or "the API gave an error"
            self._builder.add_call(None, error=self._failure, metadata=_extra(lines[0]))
        elif reply.known["model"] == SYNTHETIC:
            self._builder.hear(reply.said(), extra=_extra(lines[0]) | {"model": SYNTHETIC})
        else:
            moment = _moment(lines[0])
            known = {name: value for name, value in reply.known.items() if value is not None}
            self._builder.reply(
                reply.text,
                reply.calls,
                blocks=reply.blocks,
                timestamp=None if moment is None else moment.timestamp(),
                metadata=reply.extra | _extra(lines[-1]),
                **known,
            )

    def _take_other(self, line: Node) -> None:
        if line.get("type").value == "system":
            self._system.append(line.rest(*_ENVELOPE))
        else:
            self.count(str(line.get("type").value))

    def _about(self) -> tuple[dict[str, object], dict[str, JSON]]:
        """Fields of the run that its lines tell, and what they tell beside."""
        metadata: dict[str, JSON] = {}
        for name in _ABOUT:
            values = (line.get(name).value for line in self.lines)
            metadata[name] = next((value for value in values if value), None)
        known: dict[str, object] = {}
        for line in self._noted:
            kind = line.get("type").value
            title = _TEXTS.get(kind) if isinstance(kind, str) else None
            if title is not None:
                metadata.setdefault("titles", []).append(line.get(title).value)
            elif kind == "result":
                metadata["result"] = line.rest(*_ENVELOPE)
                known["cost_usd"] = _told(line.get("total_cost_usd").number)
            else:
                self._take_other(line)
        metadata |= {"system": self._system or None, "other_lines": dict(self._others)}
        if self.is_side:
            metadata |= {"is_sidechain": True, "agent_id": self.agent, "session_id": self.session}
        if self.session:
            known["run_id"] = f"{self.session}/{self.agent}" if self.is_side else self.session
        return known, metadata


def _reply_id(line: Node) -> str:
    """What the lines of one reply share; of old, and of messages that no model wrote, the line."""
    message = line.get("message").value
    names = (message.get("id") if isinstance(message, dict) else None,
             line.get("requestId").value, line.get("uuid").value)  # fmt: skip
    return next((name for name in names if isinstance(name, str)), line.place)


def _content(messages: list[Node]) -> list[JSON]:
    """The blocks of all lines of a reply. Some versions write what there is so far, and again."""
    whole: list[JSON] = []
    ids: set[str] = set()
    for message in messages:
        content = message.need("content")
        blocks = (
            content.items()
            if not isinstance(content.value, str)
            else [Node({"type": "text", "text": content.value}, content.place)]
        )
        values = [block.value for block in blocks]
        if whole and values[: len(whole)] == whole:
            whole, ids = [], set()
        for block in blocks:
            call = block.get("id").value if block.get("type").value == "tool_use" else None
            if isinstance(call, str) and call in ids:
                continue
            ids |= {call} if isinstance(call, str) else set()
            whole.append(block.value)
    return whole


def _has_results(message: Node) -> bool:
    content = message.get("content").value
    blocks = content if isinstance(content, list) else []
    return any(isinstance(each, dict) and each.get("type") == "tool_result" for each in blocks)


def _extra(line: Node) -> dict[str, JSON]:
    """What a line tells beside its message; that something is not so tells nothing."""
    return {name: value for name, value in line.rest(*_ENVELOPE).items() if value is not False}


def _tell(step: StepRecord, result: Node) -> None:
    """Keep what Claude Code itself notes of a result, and how long its tool took."""
    step.tool_result.metadata["toolUseResult"] = result.value
    if not isinstance(result.value, dict):
        return
    duration = _told(result.first("totalDurationMs", "durationMs").number)
    if duration is not None:
        step.duration_ms = step.tool_result.duration_ms = duration


def _moment(line: Node) -> datetime | None:
    return _told(line.get("timestamp").time)


def _told(read: Callable[[], Kind | None]) -> Kind | None:
    """What a reader gives; ``None`` where the value is of another kind."""
    try:
        return read()
    except Malformed:
        return None
