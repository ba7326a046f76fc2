"""Which spans are one run, and where in it each stands. Knows kinds of spans; knows no message.

A run is a topmost agent or workflow with all that is below it. What a trace has of calls and tools
outside of any is one run more. A sub-agent's spans, and what a tool asks a model, have a lane.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace

from looplet.trajectory.importers.otlp_facts import Kind, agent_name, kind_of, tool_name
from looplet.trajectory.importers.otlp_spans import Span

IN_TOOL = "tool:"
"""How the lane of what a tool asks a model begins."""
_UNITS = frozenset({Kind.AGENT, Kind.WORKFLOW})


@dataclass(frozen=True, slots=True, kw_only=True)
class Placed:
    """A span in its run."""

    span: Span
    kind: Kind
    root: str | None
    """Span id of the run's root; ``None`` outside of any."""
    lane: tuple[str, ...] = ()
    """Agents and tools between the root and this span, the outermost first."""
    tool: str | None = None
    """Span id of the outermost tool that it is in."""
    in_chat: bool = False
    """Whether it is below a question to a model: that one's own client, traced too."""


@dataclass(slots=True, kw_only=True)
class Unit:
    """The spans of one run, in the order in which they began."""

    trace_id: str
    root: Span | None
    spans: list[Placed] = field(default_factory=list)
    """All but the root."""

    @property
    def is_run(self) -> bool:
        """Whether it has anything of an agent's."""
        if self.root is not None and kind_of(self.root) is Kind.AGENT:
            return True
        return any(each.kind in (Kind.CHAT, Kind.TOOL, Kind.AGENT) for each in self.spans)


def units_of(spans: Iterable[Span]) -> Iterator[Unit]:
    """The runs in spans of any traces, in the order in which their first spans came."""
    traces: dict[str, dict[str, Span]] = {}
    for span in spans:
        traces.setdefault(span.trace_id, {}).setdefault(span.span_id, span)
    for trace_id, trace in traces.items():
        units: dict[str | None, Unit] = {}
        for each in sorted(_placed(trace).values(), key=_beginning):
            root = trace[each.root] if each.root else None
            unit = units.setdefault(each.root, Unit(trace_id=trace_id, root=root))
            if each.span is not root:
                unit.spans.append(each)
        for unit in units.values():
            if unit.is_run:
                unit.spans = _without_lone_agent(unit)
                yield unit


def _without_lone_agent(unit: Unit) -> list[Placed]:
    """The spans, without the lane of the one agent of a workflow, which is the run's own."""
    firsts = {each.lane[:1] for each in unit.spans if each.kind in (Kind.CHAT, Kind.TOOL)}
    first = firsts.pop() if len(firsts) == 1 else ()
    if unit.root is None or kind_of(unit.root) is not Kind.WORKFLOW or not first:
        return unit.spans
    if first[0].startswith(IN_TOOL):
        return unit.spans
    return [
        replace(each, lane=each.lane[1:]) if each.lane[:1] == first else each for each in unit.spans
    ]


def _beginning(placed: Placed) -> int:
    return placed.span.start_ns or 0


def _placed(trace: dict[str, Span]) -> dict[str, Placed]:
    """Each span of a trace with its place, which follows from that of the span around it."""
    found: dict[str, Placed] = {}
    for span in trace.values():
        way = _way_up(span, trace, found)
        for each in reversed(way):
            found[each.span_id] = _place(each, found.get(each.parent_id or ""))
    return {span_id: found[span_id] for span_id in trace}


def _way_up(span: Span, trace: dict[str, Span], found: dict[str, Placed]) -> list[Span]:
    """A span and those around it that have no place yet; spans around each other end it."""
    way: dict[str, Span] = {}
    here: Span | None = span
    while here is not None and here.span_id not in found and here.span_id not in way:
        way[here.span_id] = here
        here = trace.get(here.parent_id or "")
    return list(way.values())


def _place(span: Span, around: Placed | None) -> Placed:
    kind = kind_of(span)
    if around is None or around.root is None:
        if kind in _UNITS:
            return Placed(span=span, kind=kind, root=span.span_id)
        if around is None:
            return Placed(span=span, kind=kind, root=None)
    lane, tool = around.lane, around.tool
    if around.kind is Kind.TOOL:
        lane, tool = (*lane, f"{IN_TOOL}{tool_name(around.span)}"), tool or around.span.span_id
    elif around.kind is Kind.AGENT and around.span.span_id != around.root:
        lane = (*lane, agent_name(around.span) or "agent")
    in_chat = around.in_chat or around.kind is Kind.CHAT
    if in_chat and kind is Kind.CHAT:
        kind = Kind.OTHER
    return Placed(span=span, kind=kind, root=around.root, lane=lane, tool=tool, in_chat=in_chat)
