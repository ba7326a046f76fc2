"""Claude Code: session files, a line for each message and much else, and the stream of its SDK.

Lines of ``type`` ``user`` and ``assistant`` have a message of Anthropic's form. A reply of the
model's is spread over several lines with one message id, the results of its tools between them.
``parentUuid`` names the line before: where it leads back past a reply, the user has gone back. A
sub-agent's lines are a ``sidechain``, and a run of their own. The files change from version to
version, so that what is not known is counted and passed.
"""

from __future__ import annotations

from collections.abc import Iterator

from looplet.trajectory.importers.claude_threads import Thread
from looplet.trajectory.importers.nodes import Node
from looplet.trajectory.importers.problems import Malformed
from looplet.trajectory.importers.registry import Format
from looplet.trajectory.importers.sources import Source
from looplet.trajectory.model import Trajectory

NAME = "claude-code"
_MARKS = frozenset({"sessionId", "session_id", "parentUuid", "leafUuid", "messageId"})
_SPOKEN = ("user", "assistant")


def sniff(source: Source) -> bool:
    """Lines that all have a type, of which one names a session or another line."""
    outline = source.outline
    found = [outline.members] if outline.kind == "object" else outline.elements
    lines = [each for each in found if isinstance(each, dict)]
    if outline.kind == "array" or not all(isinstance(each.get("type"), str) for each in lines):
        return False
    spoken = [each for each in lines if each["type"] in _SPOKEN]
    has_messages = any(isinstance(each.get("message"), dict) for each in spoken)
    return any(not _MARKS.isdisjoint(each) for each in lines) and (has_messages or not spoken)


def read(source: Source) -> Iterator[Trajectory]:
    """The session's run, and one for each sub-agent; a file without messages has none."""
    threads = _Threads()
    for line in source.records():
        try:
            threads.add(line)
        except Malformed as error:
            source.report(error)
    threads.hand_out_notes()
    for thread in threads.found:
        yield thread.run(source, form=NAME)


class _Threads:
    """Lines, sorted into those of the session and of its sub-agents."""

    def __init__(self) -> None:
        self.found: list[Thread] = []
        self._by_key: dict[tuple[str | None, str | None], Thread] = {}
        """By the session, and the sub-agent in it."""
        self._by_line: dict[str, Thread] = {}
        self._notes: list[tuple[str | None, Node]] = []

    def add(self, line: Node) -> None:
        """Put a line where it belongs; one that was there before, as after a resume, is counted."""
        kind, name = line.get("type").text(), line.get("uuid").text()
        session = line.first("sessionId", "session_id").label()
        if kind not in _SPOKEN and not (name and "parentUuid" in line.fields()):
            self._notes.append((session, line))
            return
        thread = self._thread_of(line, session)
        if name and name in self._by_line:
            thread.count("repeated")
            return
        if name:
            self._by_line[name] = thread
        thread.lines.append(line)

    def hand_out_notes(self) -> None:
        """Give lines that are about a session to its run; to the first where none is named."""
        for session, line in self._notes:
            thread = self._by_key.get((session, None)) or next(iter(self.found), None)
            if thread is not None:
                thread.note(line)

    def _thread_of(self, line: Node, session: str | None) -> Thread:
        """The thread of the line before, or of the sub-agent that is named.

        Sub-agents of old have no name; the first line of each stands for it.
        """
        agent = line.first("parent_tool_use_id", "agentId").label()
        side = bool(line.get("isSidechain").value) or line.get("parent_tool_use_id").known
        before = self._by_line.get(line.first("parentUuid", "logicalParentUuid").text() or "")
        if before is not None and before.is_side == side:
            return before
        key = (session, (agent or line.get("uuid").text() or line.place) if side else None)
        if key not in self._by_key:
            self._by_key[key] = Thread(session=session, agent=key[1])
            self.found.append(self._by_key[key])
        return self._by_key[key]


FORMAT = Format(name=NAME, sniff=sniff, read=read)
