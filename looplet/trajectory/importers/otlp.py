"""otlp: traces of agents as OpenTelemetry writes them to files, one run an agent's root span.

https://opentelemetry.io/docs/specs/otel/protocol/file-exporter/: a file is one export request, an
array of them, or one a line, as the collector's file exporter writes. The spans of a trace may
stand anywhere in the file, so a file is held whole. Followed are OpenTelemetry's conventions for
generative AI in their versions, OpenInference's and OpenLLMetry's.
"""

from __future__ import annotations

from collections.abc import Iterator

from looplet.trajectory.importers.otlp_runs import NAME, run_of
from looplet.trajectory.importers.otlp_spans import RESOURCE_SPANS, Span, spans_of
from looplet.trajectory.importers.otlp_traces import units_of
from looplet.trajectory.importers.problems import Malformed
from looplet.trajectory.importers.registry import Format
from looplet.trajectory.importers.sources import Source
from looplet.trajectory.model import Trajectory


def sniff(source: Source) -> bool:
    """An export request of traces, or several."""
    outline = source.outline
    requests = [outline.members] if outline.kind == "object" else outline.elements
    named = (each for each in requests if isinstance(each, dict))
    return any(not each.keys().isdisjoint(RESOURCE_SPANS) for each in named)


def read(source: Source) -> Iterator[Trajectory]:
    """The runs of a file's traces, in the order in which their first spans stand there."""
    found = False
    for unit in units_of(_spans(source)):
        found = True
        yield run_of(unit, source)
    if not found and not source.problems:
        source.report(Malformed("", "it has no span of an agent, a model or a tool"))


def _spans(source: Source) -> Iterator[Span]:
    """Each span once: what is exported again after a failure is the same, or is reported."""
    known: dict[tuple[str, str], Span] = {}
    for request in source.records():
        try:
            for span in spans_of(request, source.report):
                before = known.setdefault((span.trace_id, span.span_id), span)
                if before is span:
                    yield span
                elif before.raw != span.raw:
                    source.report(
                        Malformed(span.place, f"another span of that id stands at {before.place}")
                    )
        except Malformed as error:
            source.report(error)


FORMAT = Format(name=NAME, sniff=sniff, read=read)
