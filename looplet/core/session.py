"""The session log: what the model is told of earlier steps. Knows no prompt and no conversation."""

from __future__ import annotations

import copy
from collections import Counter, deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from looplet.core.codec import JSON

SHOWN_ENTRIES = 10
"""How many of the newest entries a rendering shows one by one."""
SHOWN_TOOLS = 20
"""How many tools the counts of older entries name."""
REASONING_CHARS = 160
SUMMARY_TOOL = "__compact_summary__"
"""The tool of an entry that sums up earlier steps."""


Note: TypeAlias = tuple[int, str, str, str, Sequence[str], str]
"""A step whose entry is not made yet: its number, tool, reasoning, theory, entities, recall key."""


@dataclass(slots=True)
class LogEntry:
    """One step as the log keeps it."""

    step: int
    theory: str = ""
    tool: str = ""
    reasoning: str = ""
    entities_seen: list[str] = field(default_factory=list)
    findings: list[str] = field(default_factory=list)
    highlights: list[str] = field(default_factory=list)
    recall_key: str = ""


class SessionLog:
    """A log of steps that renders in bounded space, however long the run.

    >>> log = SessionLog()
    >>> entry = log.record(step=1, tool="price", reasoning="look it up")
    >>> print(log.render())
    SESSION LOG
    S1 price: look it up
    """

    def __init__(
        self,
        *,
        entity_formatter: Callable[[str], str] | None = None,
        title: str = "SESSION LOG",
        highlights_label: str = "highlights",
    ) -> None:
        self._kept: list[Any] = []
        """Entries, and in the place of some a note: a tuple of what one is made of."""
        self._asked = False
        """Whether anybody has the list of entries, in which notes have no place."""
        self.current_theory = ""
        self.title = title
        self.highlights_label = highlights_label
        self._format_entity = entity_formatter or str
        self._lines: deque[str] = deque(maxlen=SHOWN_ENTRIES)
        """The lines of the shown entries; the newest of these may still be added to."""
        self._older: dict[str, int] = {}
        """Entries that are there and too old to be shown one by one, by tool."""
        self._dropped: dict[str, int] = {}
        """Entries that a compaction left out, by tool."""
        self._summary: LogEntry | None = None
        """What a compaction wrote of the earlier steps; shown whole."""

    @property
    def entries(self) -> list[LogEntry]:
        """The entries in order, in a list that may be changed."""
        if not self._asked:
            self._asked = True
            for place, each in enumerate(self._kept):
                if isinstance(each, tuple):
                    self._kept[place] = _entry(*each)
        return self._kept

    @entries.setter
    def entries(self, entries: list[LogEntry]) -> None:
        self._kept, self._asked = entries, True

    def record(
        self,
        *,
        step: int,
        tool: str,
        reasoning: str = "",
        theory: str = "",
        entities_seen: Iterable[str] = (),
        findings: Iterable[str] = (),
        highlights: Iterable[str] = (),
        recall_key: str = "",
    ) -> LogEntry:
        """Add an entry; a theory that is not empty becomes the current one."""
        entry = LogEntry(
            step,
            theory,
            tool,
            reasoning,
            list(entities_seen) if entities_seen else [],
            list(findings) if findings else [],
            list(highlights) if highlights else [],
            recall_key,
        )
        self._add(entry, theory, self._line_of(entry))
        if tool == SUMMARY_TOOL:
            self._summary = entry
        return entry

    def note(
        self, step: int, tool: str, reasoning: str, theory: str, seen: Sequence[str], key: str
    ) -> None:
        """Record a step, whose entry is made once somebody asks for the entries."""
        if self._asked or tool == SUMMARY_TOOL or type(self).record is not SessionLog.record:
            self.record(
                step=step, tool=tool, reasoning=reasoning, theory=theory, entities_seen=seen,
                recall_key=key,
            )  # fmt: skip
        else:
            note = (step, tool, reasoning, theory, seen, key)
            self._add(note, theory, self._line(step, tool, reasoning, (), seen))

    def _add(self, entry: LogEntry | Note, theory: str, line: str) -> None:
        kept = self._kept
        if kept and not isinstance(kept[-1], tuple):
            self._see_newest()
        kept.append(entry)
        self._lines.append(line)
        if len(kept) > SHOWN_ENTRIES:
            aged = _tool_of(kept[-SHOWN_ENTRIES - 1])
            self._older[aged] = self._older.get(aged, 0) + 1
        if theory:
            self.current_theory = theory

    def _see_newest(self) -> None:
        """Bring the line of the newest entry, which may have been added to, up to date."""
        shown = self.entries[-SHOWN_ENTRIES:]
        if len(self._lines) != len(shown):
            self._lines = deque(map(self._line_of, shown), SHOWN_ENTRIES)
        else:
            self._lines[-1] = self._line_of(shown[-1])

    def compact(
        self,
        max_entries_to_keep: int = 5,
        must_preserve: Callable[[LogEntry], bool] | None = None,
    ) -> bool:
        """Keep the newest entries, and those that must be preserved; the others are only counted.

        Tells whether anything was left out.
        """
        old = self.entries[: max(0, len(self.entries) - max_entries_to_keep)]
        kept = [entry for entry in old if must_preserve is not None and must_preserve(entry)]
        if len(kept) == len(old):
            return False
        self.entries = kept + self.entries[len(old) :]
        preserved = {id(entry) for entry in kept}
        left_out = Counter(entry.tool for entry in old if id(entry) not in preserved)
        self._dropped = Counter(self._dropped) + left_out
        self._older = Counter(entry.tool for entry in self.entries[:-SHOWN_ENTRIES])
        self._lines.clear()
        return True

    def left_out(self) -> tuple[dict[str, int], LogEntry | None]:
        """What compactions left of earlier steps: how many by which tool, and their summary."""
        return dict(self._dropped), self._summary

    def restore(
        self,
        entries: Iterable[LogEntry],
        *,
        theory: str = "",
        dropped: Mapping[str, int] | None = None,
        summary: LogEntry | None = None,
    ) -> None:
        """Put other entries, and what compactions left, in the place of all."""
        self.entries = list(entries)
        self._lines.clear()
        self.current_theory = theory
        self._older = Counter(entry.tool for entry in self.entries[:-SHOWN_ENTRIES])
        self._dropped = dict(dropped or {})
        self._summary = summary

    def with_texts(self, change: Callable[[str], str]) -> SessionLog:
        """A copy with every text of every entry changed, whole, before any rendering cuts it."""
        changed = copy.copy(self)
        changed._lines = deque(maxlen=SHOWN_ENTRIES)  # noqa: SLF001 - its own kind
        changed.restore(
            [_changed(entry, change) for entry in self.entries],
            theory=change(self.current_theory),
            dropped={change(tool): count for tool, count in self._dropped.items()},
            summary=None if self._summary is None else _changed(self._summary, change),
        )
        return changed

    def render(self) -> str:
        """The log for a prompt: the newest entries, and the older ones as counts by tool."""
        body = self.body()
        return f"{self.title}\n{body}" if body else ""

    def body(self) -> str:
        """The same without its title."""
        return "\n".join(self.lines())

    def lines(self) -> list[str]:
        """The body, line by line."""
        lines = [f"theory: {self.current_theory}"] if self.current_theory else []
        if self._older or self._dropped:
            lines.append(self._earlier())
        if self._summary is not None:
            lines.append(f"summary of earlier steps: {self._summary.reasoning}")
        if self._kept:
            if not isinstance(self._kept[-1], tuple):
                self._see_newest()
            lines += self._lines
        return lines if self._summary is None else list(filter(None, lines))

    def facts(self) -> str:
        """Findings of the newest entries, one a line; empty if there are none."""
        found: list[str] = []
        for entry in self._kept[-SHOWN_ENTRIES:]:
            if not isinstance(entry, tuple) and entry.findings:
                found += entry.findings
        return "\n".join([f"- {finding}" for finding in dict.fromkeys(found)]) if found else ""

    def _earlier(self) -> str:
        """How many earlier steps there were by which tool; empty if a summary says it all."""
        counts = Counter(self._older) + Counter(self._dropped) if self._dropped else self._older
        if len(counts) == 1 and self._summary is None:
            ((tool, count),) = counts.items()
            return f"earlier: {tool} x{count}"
        known = [pair for pair in counts.items() if pair[0] != SUMMARY_TOOL]
        if len(known) > 1:
            known.sort(key=_count_of, reverse=True)
        shown = ", ".join([f"{tool} x{count}" for tool, count in known[:SHOWN_TOOLS]])
        return f"earlier: {shown}" if shown else ""

    def render_compact(self) -> str:
        """One line: how many steps by which tool."""
        counts = Counter(entry.tool for entry in self.entries)
        return ", ".join(f"{tool} x{count}" for tool, count in counts.most_common())

    def all_entities(self) -> list[str]:
        """Every entity seen, once, in the order of first sight."""
        return list(dict.fromkeys(name for entry in self.entries for name in entry.entities_seen))

    def to_list(self) -> list[dict[str, JSON]]:
        """The entries as JSON."""
        names = LogEntry.__slots__
        return [{name: getattr(entry, name) for name in names} for entry in self.entries]

    def _line_of(self, entry: LogEntry) -> str:
        return self._line(
            entry.step, entry.tool, entry.reasoning, entry.highlights, entry.entities_seen
        )

    def _line(
        self, step: int, tool: str, reasoning: str, highlights: Sequence[str], seen: Sequence[str]
    ) -> str:
        if tool == SUMMARY_TOOL:  # shown above, whole
            return ""
        text = f"S{step} {tool}"
        if reasoning:
            text += f": {reasoning[:REASONING_CHARS]}"
        if highlights:
            text += f" ({self.highlights_label}: {'; '.join(highlights)})"
        if seen:
            text += f" [{', '.join(self._format_entity(name) for name in seen[:10])}]"
        return text


def _entry(
    step: int, tool: str, reasoning: str, theory: str, seen: Sequence[str], key: str
) -> LogEntry:
    """The entry that a note is of."""
    return LogEntry(step, theory, tool, reasoning, list(seen), recall_key=key)


def _tool_of(entry: LogEntry | Note) -> str:
    return entry[1] if isinstance(entry, tuple) else entry.tool


def _changed(entry: LogEntry, change: Callable[[str], str]) -> LogEntry:
    """An entry with its texts changed."""
    values = {name: getattr(entry, name) for name in LogEntry.__slots__}
    for name, value in values.items():
        if isinstance(value, str):
            values[name] = change(value)
        elif isinstance(value, list):
            values[name] = [change(each) if isinstance(each, str) else each for each in value]
    return LogEntry(**values)


def _count_of(pair: tuple[str, int]) -> int:
    return pair[1]


def facts_of(log: SessionLog) -> str:
    """Findings of the newest entries, one a line; empty if there are none."""
    return log.facts()
