"""What no field of a run takes of a span: kept as it is. Knows which attributes are taken."""

from __future__ import annotations

from looplet.core.codec import JSON
from looplet.otel import conventions as names
from looplet.trajectory import own_attributes as own
from looplet.trajectory.importers import otlp_facts as facts
from looplet.trajectory.importers.otlp_content import TOLD
from looplet.trajectory.importers.otlp_spans import Event, Span

_TAKEN = frozenset(
    {
        *facts.WORDS, *facts.REQUEST_MODEL, *facts.INPUT_TOKENS, *facts.OUTPUT_TOKENS,
        *facts.CACHED_TOKENS, *facts.TOTALS, *facts.TOOL_NAMES, *facts.TOOL_IDS, *facts.FINISH,
        facts.INVOCATION, names.AGENT_NAME, names.TOOL_DEFINITIONS, names.INPUT_MESSAGES,
        names.OUTPUT_MESSAGES, names.SYSTEM_INSTRUCTIONS, names.TOOL_ARGUMENTS, names.TOOL_RESULT,
        names.ERROR_TYPE, names.STEP_NUMBER, names.STEP_COUNT, names.STOP_REASON, names.SCOPE,
        names.PURPOSE, names.CONVERSATION_ID, own.UNKNOWN, "gen_ai.prompt", "gen_ai.completion",
    }
)  # fmt: skip
_USUAL = {names.TOOL_TYPE: "function"}
"""What goes without saying."""
_TAKEN_BELOW = (
    facts.REQUEST, "gen_ai.prompt.", "gen_ai.completion.", "llm.input_messages.",
    "llm.output_messages.", "llm.tools.", "llm.request.functions.", own.RUN, own.STEP, own.CALL,
)  # fmt: skip


def about(span: Span, *, but: frozenset[str] = frozenset()) -> dict[str, JSON]:
    """What a span tells that no field takes; ``but`` are further attributes that one took."""
    left = {name: value for name, value in _left_over(span).items() if name not in but}
    told: dict[str, JSON] = {"attributes": left} if left else {}
    events = [_event(each) for each in span.events if each.name not in TOLD]
    return told | ({"events": events} if events else {})


def _event(event: Event) -> JSON:
    return {"name": event.name, "time_unix_nano": event.ns, "attributes": dict(event.attributes)}


def whole(span: Span) -> JSON:
    """A span that is neither a call nor a step."""
    return {
        "name": span.name,
        "span_id": span.span_id,
        "parent_span_id": span.parent_id,
        "start_time_unix_nano": span.start_ns,
        "end_time_unix_nano": span.end_ns,
        "error": (span.message or True) if span.failed else None,
        "attributes": dict(span.attributes),
        "events": [_event(each) for each in span.events],
    }


def _left_over(span: Span) -> dict[str, JSON]:
    """The attributes that no field takes."""
    return {
        name: value
        for name, value in span.attributes.items()
        if name not in _TAKEN and not name.startswith(_TAKEN_BELOW) and _USUAL.get(name) != value
    }
