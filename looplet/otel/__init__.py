"""Runs as OpenTelemetry traces and metrics. Knows OpenTelemetry's API; knows no exporter.

Spans, attributes and metrics are those of the semantic conventions for generative AI; see
``looplet.otel.conventions`` for which and whence. Install with ``pip install "looplet[otel]"``,
and beside it the SDK and the exporter of your choice. The conventions themselves, ``conventions``
and ``content``, need no package.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from looplet.errors import MissingExtra

if TYPE_CHECKING:
    from looplet.otel.hook import OpenTelemetryHook as OpenTelemetryHook

__all__ = ["OpenTelemetryHook"]


def __getattr__(name: str) -> Any:
    """The hook, whose package is looked for when it is first used, so that its absence is told."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        import opentelemetry.trace  # noqa: F401 - looked for here, before any part of it is used
    except ImportError as error:
        raise MissingExtra("opentelemetry-api", needed_for="looplet.otel", extra="otel") from error
    from looplet.otel.hook import OpenTelemetryHook

    globals()[name] = OpenTelemetryHook
    return OpenTelemetryHook


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
