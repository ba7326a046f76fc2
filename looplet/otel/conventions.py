"""Names of the semantic conventions for generative AI, as far as looplet uses them.

Version 1.41.1 of the OpenTelemetry semantic conventions, ``docs/gen-ai/``: the last release that
has them, and all of it in development. They moved to a repository of their own since, which has
no release yet; the Python package ``opentelemetry-semantic-conventions`` marks its constants as
moved, so the names stand here. Those that begin with ``looplet.`` are our own.
"""

from __future__ import annotations

SCHEMA_URL = "https://opentelemetry.io/schemas/1.41.1"
CAPTURE_VARIABLE = "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT"
"""The variable by which OpenTelemetry's own instrumentations are allowed to record content."""
CAPTURE_WORDS = frozenset({"true", "span_only", "span_and_event"})
"""Its values that allow it on spans, in lower case."""

OPERATION = "gen_ai.operation.name"
CHAT, INVOKE_AGENT, EXECUTE_TOOL = "chat", "invoke_agent", "execute_tool"
PROVIDER = "gen_ai.provider.name"
AGENT_NAME = "gen_ai.agent.name"
CONVERSATION_ID = "gen_ai.conversation.id"
ERROR_TYPE = "error.type"

REQUEST_MODEL = "gen_ai.request.model"
REQUEST_MAX_TOKENS = "gen_ai.request.max_tokens"
REQUEST_TEMPERATURE = "gen_ai.request.temperature"
REQUEST_OTHERS = {
    name: f"gen_ai.request.{name}"
    for name in ("top_p", "top_k", "seed", "frequency_penalty", "presence_penalty")
}
"""Keywords of a call that have an attribute of their own."""
FINISH_REASONS = "gen_ai.response.finish_reasons"
INPUT_TOKENS = "gen_ai.usage.input_tokens"
OUTPUT_TOKENS = "gen_ai.usage.output_tokens"
CACHE_READ_TOKENS = "gen_ai.usage.cache_read.input_tokens"

TOOL_NAME = "gen_ai.tool.name"
TOOL_CALL_ID = "gen_ai.tool.call.id"
TOOL_TYPE = "gen_ai.tool.type"

INPUT_MESSAGES = "gen_ai.input.messages"
OUTPUT_MESSAGES = "gen_ai.output.messages"
SYSTEM_INSTRUCTIONS = "gen_ai.system_instructions"
TOOL_DEFINITIONS = "gen_ai.tool.definitions"
TOOL_ARGUMENTS = "gen_ai.tool.call.arguments"
TOOL_RESULT = "gen_ai.tool.call.result"

DURATION = "gen_ai.client.operation.duration"
DURATION_BUCKETS = (
    0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92,
)  # fmt: skip
"""In seconds."""
TOKEN_USAGE = "gen_ai.client.token.usage"  # noqa: S105 - a metric's name
TOKEN_BUCKETS = tuple(4**power for power in range(14))
TOKEN_TYPE = "gen_ai.token.type"  # noqa: S105 - an attribute's name

STEP_NUMBER = "looplet.step.number"
STEP_COUNT = "looplet.step.count"
STOP_REASON = "looplet.stop_reason"
PURPOSE = "looplet.purpose"
SCOPE = "looplet.scope"
ASKED = "looplet.asked"
"""False on a question that a hook stopped before the model was asked."""

FINISH_WORDS = {"end_turn": "stop", "max_tokens": "length", "tool_use": "tool_call"}
"""looplet's stop reasons of a reply in the conventions' words."""


def finish_reason(stop_reason: str) -> str:
    """A reply's stop reason in the conventions' words; a provider's own word stays.

    >>> finish_reason("max_tokens"), finish_reason("refusal")
    ('length', 'refusal')
    """
    return FINISH_WORDS.get(stop_reason, stop_reason)
