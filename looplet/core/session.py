"""The session log: what the model is told of earlier steps. Knows no prompt and no conversation."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

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
        self.entries: list[LogEntry] = []
        self.current_theory = ""
        self.title = title
        self.highlights_label = highlights_label
        self._format_entity = entity_formatter or str
        self._lines: deque[str] = deque(maxlen=SHOWN_ENTRIES - 1)
        """The lines of the shown entries but the newest, which may still be added to."""
        self._newest = ""
        """The newest entry's line, as it was shown last."""
        self._older: Counter[str] = Counter()
        """Entries that are there and too old to be shown one by one, by tool."""
        self._dropped: Counter[str] = Counter()
        """Entries that a compaction left out, by tool."""
        self._summary: LogEntry | None = None
        """What a compaction wrote of the earlier steps; shown whole."""

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
        if self.entries:
            line = self._line(self.entries[-1])
            # Mostly what was shown of it, and then the text that prompts hold already.
            self._lines.append(self._newest if line == self._newest else line)
        self.entries.append(entry)
        if tool == SUMMARY_TOOL:
            self._summary = entry
        if len(self.entries) > SHOWN_ENTRIES:
            self._older[self.entries[-SHOWN_ENTRIES - 1].tool] += 1
        if theory:
            self.current_theory = theory
        return entry

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
        if self.entries:
            if len(self._lines) != min(len(self.entries), SHOWN_ENTRIES) - 1:
                earlier_shown = self.entries[-SHOWN_ENTRIES:-1]
                self._lines = deque((self._line(each) for each in earlier_shown), SHOWN_ENTRIES - 1)
            lines += self._lines
            self._newest = self._line(self.entries[-1])
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

    def _line(self, entry: LogEntry) -> str:
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


def facts_of(log: Any) -> str:
    """Findings of the newest entries, one a line; empty if there are none."""
    found: list[str] = []
    for entry in log.entries[-SHOWN_ENTRIES:]:
        if entry.findings:
            found += entry.findings
    return "\n".join([f"- {finding}" for finding in dict.fromkeys(found)]) if found else ""
