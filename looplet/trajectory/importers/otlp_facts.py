"""What a span is, and what it tells beside messages, by every convention that is read.

Knows names of attributes: OpenTelemetry's for generative AI in their versions, OpenInference's and
OpenLLMetry's. What no name here takes is left over, and kept as it is.
"""

from __future__ import annotations

from enum import Enum
from typing import Any

from looplet.core.codec import JSON
from looplet.core.records import ErrorKind
from looplet.otel import conventions as names
from looplet.trajectory.importers import chat
from looplet.trajectory.importers.nodes import Node
from looplet.trajectory.importers.otlp_messages import unflattened
from looplet.trajectory.importers.otlp_spans import Span, whole_number


class Kind(Enum):
    """What a span stands for."""

    AGENT = "agent"
    WORKFLOW = "workflow"
    """What is around agents and calls, and has no lane of its own."""
    CHAT = "chat"
    TOOL = "tool"
    OTHER = "other"


WORDS = {
    names.OPERATION: {
        names.INVOKE_AGENT: Kind.AGENT,
        "invoke_workflow": Kind.WORKFLOW,
        names.CHAT: Kind.CHAT,
        "text_completion": Kind.CHAT,
        "generate_content": Kind.CHAT,
        names.EXECUTE_TOOL: Kind.TOOL,
    },
    "openinference.span.kind": {
        "AGENT": Kind.AGENT, "CHAIN": Kind.WORKFLOW, "LLM": Kind.CHAT, "TOOL": Kind.TOOL,
    },
    "traceloop.span.kind": {
        "agent": Kind.AGENT, "workflow": Kind.WORKFLOW, "tool": Kind.TOOL,
    },
    "llm.request.type": {"chat": Kind.CHAT, "completion": Kind.CHAT},
}  # fmt: skip
"""By attribute, and by its value: the conventions in the order in which they are asked."""
_WITHOUT_DESCRIPTION = ("type", "parameters", "description")
_ERROR_KINDS = {kind.value: kind for kind in ErrorKind}

REQUEST_MODEL = (names.REQUEST_MODEL, "llm.request.model", "llm.model_name")
RESPONSE_MODEL = ("gen_ai.response.model", "llm.response.model")
INPUT_TOKENS = (
    names.INPUT_TOKENS, "gen_ai.usage.prompt_tokens", "llm.usage.prompt_tokens",
    "llm.token_count.prompt",
)  # fmt: skip
OUTPUT_TOKENS = (
    names.OUTPUT_TOKENS, "gen_ai.usage.completion_tokens", "llm.usage.completion_tokens",
    "llm.token_count.completion",
)  # fmt: skip
CACHED_TOKENS = (
    names.CACHE_READ_TOKENS, "gen_ai.usage.cache_read_input_tokens",
    "llm.token_count.prompt_details.cache_read",
)  # fmt: skip
TOTALS = ("gen_ai.usage.total_tokens", "llm.usage.total_tokens", "llm.token_count.total")
INVOCATION = "llm.invocation_parameters"
_LIMITS = ("max_tokens", "max_completion_tokens", "max_output_tokens")
REQUEST = "gen_ai.request."
TOOL_NAMES = (names.TOOL_NAME, "tool.name", "traceloop.entity.name")
TOOL_IDS = (names.TOOL_CALL_ID, "tool_call.id", "tool.id")
AGENT_NAMES = (names.AGENT_NAME, "agent.name", "traceloop.entity.name", "graph.node.id")
DEFINITIONS = (names.TOOL_DEFINITIONS, "gen_ai.agent.tools")
FINISH = (names.FINISH_REASONS, "gen_ai.completion.0.finish_reason", "llm.finish_reason")
EXCEPTION = "exception"


def kind_of(span: Span) -> Kind:
    """What a span is, by whichever convention it follows."""
    for name, words in WORDS.items():
        word = span.attributes.get(name)
        if isinstance(word, str) and word in words:
            return Kind.OTHER if span.attributes.get(names.ASKED) is False else words[word]
    return Kind.OTHER


def is_own(span: Span) -> bool:
    """Whether looplet made it."""
    return span.scope == "looplet"


def tool_name(span: Span) -> str:
    """The name of a tool; that of the span where no attribute tells it."""
    return _named(span, TOOL_NAMES) or span.name.removeprefix(f"{names.EXECUTE_TOOL} ")


def agent_name(span: Span) -> str | None:
    """The name of an agent, where an attribute tells it."""
    return _named(span, AGENT_NAMES)


def _named(span: Span, where: tuple[str, ...]) -> str | None:
    given = (span.attributes.get(name) for name in where)
    return next((each for each in given if isinstance(each, str) and each), None)


def count(node: Node) -> int | None:
    """A count, which some write as a text."""
    number = whole_number(node)
    return Node(number, node.place).count()


def number(node: Node) -> float | None:
    """A number, which some write as a text."""
    if isinstance(node.value, str):
        try:
            return Node(float(node.value), node.place).number()
        except ValueError:
            raise node.wrong("a number") from None
    return node.number()


def of_call(span: Span) -> dict[str, Any]:
    """Fields of the `LLMCall` that a chat's span tells, but for messages. Raises `Malformed`."""
    settings = _settings(span)
    limit = next((settings[name] for name in _LIMITS if settings.get(name) is not None), None)
    where = f"{span.place}.request"
    return {
        "timestamp": span.start_s,
        "duration_ms": span.duration_ms,
        "model": span.get(*REQUEST_MODEL, *RESPONSE_MODEL).text(),
        "temperature": number(Node(settings.get("temperature"), f"{where}.temperature")),
        "max_tokens": count(Node(limit, f"{where}.max_tokens")),
        "params": settings,
        "input_tokens": count(span.get(*INPUT_TOKENS)),
        "output_tokens": count(span.get(*OUTPUT_TOKENS)),
        "cached_tokens": count(span.get(*CACHED_TOKENS)),
        "finish_reason": _finish_reason(span),
        "error": failure_of(span),
        "tools": _tools(span),
    }


def failure_of(span: Span) -> str | None:
    """What went wrong, as ``type: message``; ``None`` if nothing did."""
    kind = span.get(names.ERROR_TYPE).label()
    if not span.failed and kind is None:
        return None
    raised = next((each.attributes for each in span.events if each.name == EXCEPTION), {})
    kind = kind or Node(raised.get("exception.type")).label()
    message = span.message or Node(raised.get("exception.message")).label()
    told = [each for each in (kind, message) if each]
    return ": ".join(told) if told else "its span has the status of an error"


def tool_failure_of(span: Span) -> tuple[str, ErrorKind | None] | None:
    """A tool's error, and its kind where looplet has a word for it."""
    failure = failure_of(span)
    kind = span.get(names.ERROR_TYPE).label()
    if failure is None:
        return None
    if kind not in _ERROR_KINDS:
        return failure, None
    return span.message or failure, _ERROR_KINDS[kind]


def _settings(span: Span) -> dict[str, JSON]:
    """Sampling parameters and what else was asked of the model, by their short names."""
    given = span.attributes.get(INVOCATION)
    parsed = chat.json_in(given) if isinstance(given, str) else given
    settings: dict[str, JSON] = {}
    if isinstance(parsed, dict):
        dropped = ("messages", "tools", "model", "input", "contents")
        settings = {name: each for name, each in parsed.items() if name not in dropped}
    for name, value in span.attributes.items():
        if name.startswith(REQUEST) and name != names.REQUEST_MODEL:
            settings[name.removeprefix(REQUEST)] = value
    return settings


def _finish_reason(span: Span) -> str | None:
    reasons = span.get(*FINISH)
    if isinstance(reasons.value, list):
        return next((each.label() for each in reasons.items() if each.known), None)
    return reasons.label()


def _tools(span: Span) -> list[dict[str, JSON]] | None:
    """The tools that the model was offered, in looplet's form where they are told in OTel's."""
    given = span.get(*DEFINITIONS).value
    if given is None:
        given = unflattened(span.attributes, "llm.tools.")
    if given is None:
        given = unflattened(span.attributes, "llm.request.functions.")
    value = chat.json_in(given) if isinstance(given, str) else given
    if not isinstance(value, list):
        return None
    return [_tool(tool) for tool in value if isinstance(tool, dict)] or None


def _tool(tool: dict[str, JSON]) -> dict[str, JSON]:
    wrapped = tool.get("tool")
    if isinstance(wrapped, dict) and isinstance(wrapped.get("json_schema"), str):
        schema = chat.json_in(wrapped["json_schema"])
        return schema if isinstance(schema, dict) else tool
    if "name" not in tool or "parameters" not in tool:
        return tool
    dropped = ("type", "parameters") if tool.get("description") else _WITHOUT_DESCRIPTION
    rest = {key: value for key, value in tool.items() if key not in dropped}
    schema = tool["parameters"]
    parsed = chat.json_in(schema) if isinstance(schema, str) else schema
    return {**rest, "input_schema": schema if parsed is None else parsed}
