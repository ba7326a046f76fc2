"""The spans of a recorded run: its root, and below it one for each step. Knows no record."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Any

from looplet.core.records import Step, ToolCall
from looplet.core.tracing import TracingHook
from looplet.trajectory.redacting import Redaction


class RunSpans(TracingHook):
    """``TracingHook`` for a recorder, which tells it of tools and steps; its spans are redacted.

    A tool's span begins where the tool does, so that calls that are not run have none before
    their step.
    """

    def __init__(self, tracer: Any, redaction: Redaction) -> None:
        super().__init__(tracer)
        self._redaction = redaction

    @property
    def roots(self) -> list[Any]:
        """The tracer's root spans; a tracer of another kind shows none."""
        return getattr(self._tracer, "root_spans", [])

    def around_call(self, call: ToolCall, number: int) -> AbstractContextManager[None] | None:
        """Begin a call's span; what is to be around the tool."""
        if self._root is None:
            return None
        self._ask(call, number)
        around: AbstractContextManager[None] | None = self.around_tool(call, number)
        return around

    def take_step(self, step: Step) -> None:
        """End a step's span."""
        if self._root is not None:
            self._take(step)

    def _start(self, above: Any, name: str, attributes: dict[str, Any]) -> Any:
        return super()._start(above, self._redaction.text(name), self._clean(attributes))

    def _end(self, span: Any, status: str, attributes: dict[str, Any]) -> None:
        super()._end(span, status, self._clean(attributes))

    def _clean(self, attributes: dict[str, Any]) -> dict[str, Any]:
        texts = {"tool": self._redaction.text, "stop_reason": self._redaction.stop_reason}
        return {
            name: texts[name](each) if name in texts else each for name, each in attributes.items()
        }
