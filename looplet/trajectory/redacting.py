"""Records without secrets, as they are kept. Knows records and a redactor; knows no file.

Every string of a record is redacted, keys of tool data included. Names of looplet's own fields,
numbers, identifiers, kinds of blocks and errors, and looplet's own stop reasons stay.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, TypeAlias

from looplet.core.codec import JSON, from_jsonable, to_jsonable
from looplet.core.messages import CallRequest, ChatMessage, ModelRequest
from looplet.core.records import Step, ToolCall, ToolError, ToolResult, summarize_args
from looplet.core.session import SessionLog
from looplet.redaction import Redactor

Redact: TypeAlias = "Callable[[str], str] | Redactor"
"""What a user gives: a function of a text, or a ``Redactor``."""

STOP_REASONS = frozenset(
    {
        "done",
        "hook_stop",
        "budget_exhausted",
        "waiting_for_approval",
        "cancelled",
        "llm_error",
        "stream_closed",
        "error",
        "interrupted",
    }
)
"""The loop's own; others are texts of hooks."""
_KEPT_OF_BLOCKS = frozenset({"type", "id", "tool_use_id"})


def snapshot(value: Any) -> Any:
    """A copy of a value as a store gives it back, which later changes do not reach."""
    return value if type(value) in _ATOMS else from_jsonable(to_jsonable(value))


_ATOMS = frozenset({str, int, float, bool, type(None)})
"""Types of values that cannot change, and come back as they are."""


class Redaction:
    """Copies records without secrets; without ``redact``, as they are.

    >>> Redaction(lambda text: text.replace("hunter2", "[…]")).value({"hunter2": ["hunter2", 2]})
    {'[…]': ['[…]', 2]}
    """

    def __init__(self, redact: Redact | None = None) -> None:
        if redact is not None and not isinstance(redact, Redactor):
            redact = Redactor(function=redact, defaults=False)
        self._redactor = redact
        self._tools: tuple[Sequence[Mapping[str, JSON]], Sequence[Mapping[str, JSON]]] = ((), ())

    @property
    def active(self) -> bool:
        """Whether there is anything that it could change."""
        return self._redactor is not None

    def text(self, text: str) -> str:
        """A text."""
        return text if self._redactor is None else self._redactor.text(text)

    def maybe(self, text: str | None) -> str | None:
        """A text that may be missing."""
        return None if text is None else self.text(text)

    def value(self, value: Any) -> Any:
        """Any value, in a copy as a store gives it back, which later changes do not reach."""
        if self._redactor is None:
            return snapshot(value)
        return from_jsonable(self._redactor.value(to_jsonable(value)))

    def fields(self, fields: Mapping[str, Any]) -> dict[str, Any]:
        """Values under names that are looplet's own, or a protocol's, and stay."""
        return {name: self.value(each) for name, each in fields.items()}

    def stop_reason(self, reason: str | None) -> str | None:
        """A stop reason; the loop's own words stay."""
        return reason if reason in STOP_REASONS else self.maybe(reason)

    def request(self, request: ModelRequest, messages: Sequence[ChatMessage]) -> ModelRequest:
        """What is asked of a model, with messages that are redacted already."""
        return ModelRequest(
            method=request.method,
            prompt=self.text(request.prompt),
            system_prompt=self.text(request.system_prompt),
            messages=messages,
            tools=self._schemas(request.tools),
            max_tokens=request.max_tokens,
            temperature=request.temperature,
            extra=self.fields(request.extra),
        )

    def message(self, message: ChatMessage) -> ChatMessage:
        """One message."""
        calls = (
            CallRequest(id=call.id, name=self.text(call.name), input=self.value(dict(call.input)))
            for call in message.calls
        )
        return ChatMessage(
            role=message.role,
            content=self.text(message.content),
            calls=tuple(calls),
            call_id=message.call_id,
            blocks=tuple(self._block(block) for block in message.blocks),
        )

    def reply(self, reply: Any) -> Any:
        """What a model answered: a text, blocks, or what a broken backend gives."""
        if isinstance(reply, list):
            return [self._block(block) for block in reply]
        return self.value(reply)

    def call(self, call: ToolCall) -> ToolCall:
        """A tool call."""
        return ToolCall(
            self.text(call.tool),
            self.value(call.args),
            self.text(call.reasoning),
            call.call_id,
            self.value(call.metadata),
        )

    def step(self, step: Step) -> Step:
        """A step; what sums up its arguments is made anew of the redacted ones.

        A summary is cut, and a cut secret could not be told from anything else.
        """
        call, result = self.call(step.tool_call), step.tool_result
        if self._redactor is None:
            kept = replace(result, data=self.value(result.data))
            kept.metadata, kept.warnings = self.value(result.metadata), list(result.warnings)
            return Step(step.number, call, kept, usage=step.usage)
        summary = result.args_summary
        if summary == summarize_args(step.tool_call.args):
            summary = summarize_args(call.args)
        kept = ToolResult(
            self.text(result.tool),
            self.text(summary),
            self.value(result.data),
            self.maybe(result.error),
            self._error(result.error_detail),
            result.duration_ms,
            self.maybe(result.result_key),
            result.call_id,
            [self.text(warning) for warning in result.warnings],
            self.value(result.metadata),
        )
        return Step(step.number, call, kept, usage=step.usage)

    def log_text(self, log: Any) -> str:
        """A session log's text, rendered of redacted entries, since a rendering cuts."""
        if log is None:
            return ""
        if self._redactor is not None and isinstance(log, SessionLog):
            log = log.with_texts(self.text)
        return self.text(log.render())

    def _error(self, error: ToolError | None) -> ToolError | None:
        if error is None:
            return None
        return ToolError(
            error.kind,
            self.text(error.message),
            error.retriable,
            self.value(error.context),
            self.value(error.recovery_hint),
        )

    def _schemas(self, tools: Sequence[Mapping[str, JSON]]) -> Sequence[Mapping[str, JSON]]:
        """Schemas of tools, made once for all calls that send the same ones."""
        given, redacted = self._tools
        if given is not tools and list(given) != list(tools):
            redacted = tuple(self._block(tool) for tool in tools)
        self._tools = (tools, redacted)
        return redacted

    def _block(self, block: Any) -> Any:
        """A block, or a schema: the names of its fields, and what kind it is, stay."""
        if not isinstance(block, Mapping):
            return self.value(block)
        kept = {name: each for name, each in block.items() if name in _KEPT_OF_BLOCKS}
        return {**self.fields(block), **kept}
