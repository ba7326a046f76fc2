"""The official SDK, keeping what it is told in memory."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

import pytest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from looplet.otel import OpenTelemetryHook


@dataclass
class Telemetry:
    """Providers, and what came out."""

    exporter: InMemorySpanExporter = field(default_factory=InMemorySpanExporter)
    provider: TracerProvider = field(default_factory=TracerProvider)
    reader: InMemoryMetricReader = field(default_factory=InMemoryMetricReader)
    started: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.provider.add_span_processor(SimpleSpanProcessor(self.exporter))
        self.provider.add_span_processor(_Starts(self.started))
        self.meters = MeterProvider([self.reader])
        self.tracer = self.provider.get_tracer("tests")

    def hook(self, **options: Any) -> OpenTelemetryHook:
        return OpenTelemetryHook(
            tracer_provider=self.provider, meter_provider=self.meters, **options
        )

    @property
    def spans(self) -> list[ReadableSpan]:
        return sorted(self.exporter.get_finished_spans(), key=lambda span: span.start_time)

    def of(self, start: str) -> list[ReadableSpan]:
        return [span for span in self.spans if span.name.startswith(start)]

    def tree(self) -> list[str]:
        """Each finished span as ``parent > child``, in the order of their starts."""
        names = {span.context.span_id: span.name for span in self.spans}
        return [
            f"{names.get(span.parent.span_id, '?') if span.parent else ''} > {span.name}"
            for span in self.spans
        ]

    def figures(self) -> dict[str, list[Any]]:
        """Points of each metric, by its name."""
        data = self.reader.get_metrics_data()
        told = json.loads(data.to_json()) if data else {"resource_metrics": []}
        scopes = [scope for each in told["resource_metrics"] for scope in each["scope_metrics"]]
        return {
            metric["name"]: metric["data"]["data_points"]
            for scope in scopes
            for metric in scope["metrics"]
        }


class _Starts(SimpleSpanProcessor):
    """Notes every span that is started."""

    def __init__(self, names: list[str]) -> None:
        super().__init__(InMemorySpanExporter())
        self.names = names

    def on_start(self, span: Any, parent_context: Any = None) -> None:
        self.names.append(span.name)


@pytest.fixture
def telemetry() -> Telemetry:
    """Fresh providers."""
    return Telemetry()
