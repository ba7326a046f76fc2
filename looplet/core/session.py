"""The session log: what the model is told of earlier steps. Knows no prompt and no conversation."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from looplet.core.codec import JSON

SHOWN_ENTRIES = 10
"""How many of the newest entries a rendering shows one by one."""
SHOWN_TOOLS = 20
"""How many tools the counts of older entries name."""
REASONING_CHARS = 160
SUMMARY_TOOL = "__compact_summary__"
"""The tool of an entry that sums up earlier steps."""


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


class _Row(NamedTuple):
    """An entry that nobody has asked for yet; it has no list of its own that could be added to."""

    step: int
    theory: str
    tool: str
    reasoning: str
    entities_seen: Sequence[str]
    findings: Sequence[str]
    highlights: Sequence[str]
    recall_key: str

    def entry(self) -> LogEntry:
        """What somebody who asks is given."""
        step, theory, tool, reasoning, entities, findings, highlights, recall_key = self
        return LogEntry(
            step, theory, tool, reasoning, list(entities), list(findings), list(highlights),
            recall_key,
        )  # fmt: skip


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
        """Entries, and in the place of some a row, of which one is made."""
        self._asked = False
        """Whether anybody has the list of entries, in which rows have no place."""
        self.current_theory = ""
        self.title = title
        self.highlights_label = highlights_label
        self._format_entity = entity_formatter or str
        self._lines: deque[str] = deque(maxlen=SHOWN_ENTRIES - 1)
        """The lines of the shown entries but the newest, which may still be added to."""
        self._newest = ""
        """The newest entry's line, once it was shown."""
        self._older: Counter[str] = Counter()
        """Entries that are there and too old to be shown one by one, by tool."""
        self._dropped: Counter[str] = Counter()
        """Entries that a compaction left out, by tool."""
        self._summary: LogEntry | None = None
        """What a compaction wrote of the earlier steps; shown whole."""

    @property
    def entries(self) -> list[LogEntry]:
        """The entries in order, in a list that may be changed."""
        if not self._asked:
            self._asked = True
            for place, each in enumerate(self._kept):
                if isinstance(each, _Row):
                    self._kept[place] = each.entry()
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
        self._add(entry)
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
            self._add(_Row(step, theory, tool, reasoning, seen, (), (), key))

    def _add(self, entry: LogEntry | _Row) -> None:
        kept = self._kept
        if kept:
            newest = kept[-1]
            same = self._newest and isinstance(newest, _Row)  # an entry may have been added to
            self._lines.append(self._newest if same else self._line(newest))
        kept.append(entry)
        self._newest = ""
        if len(kept) > SHOWN_ENTRIES:
            self._older[kept[-SHOWN_ENTRIES - 1].tool] += 1
        if entry.theory:
            self.current_theory = entry.theory

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
        self._dropped.update(entry.tool for entry in old if id(entry) not in preserved)
        self._older = Counter(entry.tool for entry in self.entries[:-SHOWN_ENTRIES])
        self._lines.clear()
        return True

    def shown(self) -> Sequence[LogEntry | _Row]:
        """The entries that a rendering shows one by one, to be read alone."""
        return self._kept[-SHOWN_ENTRIES:]

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
        self._dropped = Counter(dropped or {})
        self._summary = summary

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
        kept = self._kept
        if kept:
            if len(self._lines) != min(len(kept), SHOWN_ENTRIES) - 1:
                earlier_shown = kept[-SHOWN_ENTRIES:-1]
                self._lines = deque((self._line(each) for each in earlier_shown), SHOWN_ENTRIES - 1)
            lines += self._lines
            self._newest = self._line(kept[-1])
            lines.append(self._newest)
        return lines if self._summary is None else list(filter(None, lines))

    def _earlier(self) -> str:
        """How many earlier steps there were by which tool; empty if a summary says it all."""
        counts = self._older + self._dropped if self._dropped else self._older
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

    def _line(self, entry: LogEntry | _Row) -> str:
        if entry.tool == SUMMARY_TOOL:  # shown above, whole
            return ""
        text = f"S{entry.step} {entry.tool}"
        if entry.reasoning:
            text += f": {entry.reasoning[:REASONING_CHARS]}"
        if entry.highlights:
            text += f" ({self.highlights_label}: {'; '.join(entry.highlights)})"
        if entry.entities_seen:
            names = ", ".join(self._format_entity(name) for name in entry.entities_seen[:10])
            text += f" [{names}]"
        return text


def _count_of(pair: tuple[str, int]) -> int:
    return pair[1]


def facts_of(log: SessionLog) -> str:
    """Findings of the newest entries, one a line; empty if there are none."""
    found: list[str] = []
    for entry in log.shown():
        if entry.findings:
            found += entry.findings
    return "\n".join([f"- {finding}" for finding in dict.fromkeys(found)]) if found else ""
