"""Runs as OpenTelemetry traces and metrics. Knows OpenTelemetry's API; knows no exporter.

Spans, attributes and metrics are those of the semantic conventions for generative AI; see
``looplet.otel.conventions`` for which and whence. Install with ``pip install "looplet[otel]"``,
and beside it the SDK and the exporter of your choice.
"""

from __future__ import annotations

from looplet.errors import MissingExtra

try:
    import opentelemetry.trace  # noqa: F401 - looked for here, so that its absence is told once
except ImportError as error:  # pragma: no cover - the extra is installed where tests run
    raise MissingExtra("opentelemetry-api", needed_for="looplet.otel", extra="otel") from error

from looplet.otel.hook import OpenTelemetryHook

__all__ = ["OpenTelemetryHook"]
