"""A sample of an Inspect log as a run: its messages, its model's and tools' events, its scores.

The conversation is the sample's ``messages``. Events tell more of its turns: what was sent, how
long it took, how many tokens it cost. Calls of models beside the conversation (a scorer's, an
agent's within the agent) have a lane of their own, named by the span that they stand in.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from looplet.core.codec import JSON, canonical
from looplet.core.messages import CallRequest, ChatMessage
from looplet.core.records import ErrorKind
from looplet.trajectory.importers import chat
from looplet.trajectory.importers.builder import RunBuilder
from looplet.trajectory.importers.inspect_events import PREFIXES, References, Spans, flat
from looplet.trajectory.importers.nodes import Node
from looplet.trajectory.importers.sources import Source
from looplet.trajectory.model import StepRecord, Trajectory

_ERROR_KINDS = {
    "parsing": ErrorKind.PARSE,
    "timeout": ErrorKind.TIMEOUT,
    "permission": ErrorKind.PERMISSION_DENIED,
    "approval": ErrorKind.PERMISSION_DENIED,
    "cancelled": ErrorKind.CANCELLED,
}
_GRADES = {"C": 1.0, "P": 0.5, "I": 0.0, "N": 0.0}
"""Correct, partial, incorrect, no answer; as Inspect itself counts them."""
_LIMITS = frozenset({"message", "token", "time", "working", "cost"})
_OWN = ("id", "epoch", "input", "choices", "target", "messages", "events", "transcript", "score",
        "attachments", "message_pool", "call_pool", "events_data", "started_at", "completed_at",
        "output")  # fmt: skip


def read_sample(sample: Node, log: Node, source: Source, form: str) -> Trajectory:
    """One run. Raises `Malformed`."""
    spec = log.get("eval")
    refs = References(sample)
    run = _Run(sample, refs, RunBuilder(model=spec.get("model").text()))
    run.take()
    error, output = sample.get("error"), sample.get("output")
    scores = sample.get("scores")
    if not scores.known and sample.get("score").known:
        scores = Node({"score": sample.get("score").value}, sample.place)
    target = sample.get("target").value
    return run.builder.build(
        source,
        sample,
        form=form,
        run_id=sample.get("uuid").label(),
        task_id=sample.get("id").label(),
        trial=sample.get("epoch").integer(bits=32),
        dataset=spec.first("task", "task_registry_name").label(),
        agent=_agent_of(spec, log.get("plan")),
        tags=[each.label() or "" for each in spec.get("tags").items()],
        task={
            name: refs.resolved(sample.get(name).value)
            for name in ("input", "choices")
            if sample.get(name).known
        },
        expected=None if target in ("", None) else target,
        final_output=_final_output(output, refs),
        reward=_reward(scores),
        stop_reason=_stop_reason(sample),
        error=_words(error),
        started_at=sample.get("started_at").time() or run.first,
        ended_at=sample.get("completed_at").time() or run.last,
        cost_usd=_cost(sample.get("model_usage")),
        git_sha=spec.get("revision").get("commit").text(),
        metadata=_metadata(sample, log, run),
    )


class _Run:
    """Goes through messages and events side by side."""

    def __init__(self, sample: Node, refs: References, builder: RunBuilder) -> None:
        self.builder = builder
        self.others: list[JSON] = []
        """Events that are neither a model's call nor a tool's."""
        self.first: datetime | None = None
        self.last: datetime | None = None
        self._refs, self._spans = refs, Spans()
        self._messages = sample.get("messages").items()
        self._next = 0
        self._given = _given(sample, self._messages)
        self._places = self._by_id()
        events = sample.get("events")
        events = events if events.known else sample.get("transcript").get("events")
        self._events = list(flat(events.items()))
        self._tools: dict[str, list[Node]] = {}
        """Events of tools that the conversation asked for, by the call's id."""
        self._asked = self._ids_asked()

    def take(self) -> None:
        """All of them, in order."""
        for event in self._events:
            self._note_time(event)
            self._spans.take(event)
            kind = event.get("event").value
            if kind == "model":
                self._take_model(event)
            elif kind == "tool":
                self._take_tool(event)
            else:
                self.others.append({k: v for k, v in event.fields().items() if k != "events"})
        self._say_until(len(self._messages))
        for events in list(self._tools.values()):
            while events and self.builder.is_waiting:
                self._answer(events[0].get("id").label(), None)

    def _note_time(self, event: Node) -> None:
        moment = event.get("timestamp").time()
        self.first = self.first or moment
        self.last = event.get("completed").time() or moment or self.last

    def _take_model(self, event: Node) -> None:
        choices = event.get("output").get("choices").items()
        message = choices[0].need("message") if choices else None
        place = None if message is None else self._place_of(message)
        if place is not None:
            self._say_until(place)
            self._next = place + 1
        said = None if message is None else self._refs.message(message)
        sent, known = self._refs.sent(event), self._known(event, choices)
        if said is None or place is None:
            lane = self._lane(event, failed=said is None)
            self.builder.add_call(said, sent, scope=lane, **known)
            return
        known["metadata"] |= {"message": self._beside(self._messages[place])}
        self._reply(said, self._messages[place], sent, known)

    def _reply(
        self,
        said: ChatMessage,
        message: Node,
        sent: Sequence[ChatMessage] | None,
        known: Mapping[str, Any],
    ) -> None:
        before = len(self.builder.steps)
        self.builder.reply(said.content, said.calls, blocks=said.blocks, sent=sent, **known)
        calls = message.get("tool_calls").items()
        for step, call in zip(self.builder.steps[before:], calls, strict=False):
            step.tool_call.metadata = call.rest("id", "function", "arguments", "type")

    def _take_tool(self, event: Node) -> None:
        call_id = event.get("id").label() or ""
        self._tools.setdefault(call_id, []).append(event)
        if call_id in self._asked:
            return
        given = self._refs.node(event.get("arguments")).fields()
        name = event.need("function").text() or ""
        step = self.builder.ask(CallRequest(id=call_id, name=name, input=given))
        self._answer(step.tool_call.call_id, None, event=self._tools[call_id].pop(0))
        step.metadata = {"spans": self._spans.around(event)}

    def _say_until(self, place: int) -> None:
        """The messages up to a place, as the conversation has them."""
        for index in range(self._next, place):
            message = self._messages[index]
            said = self._refs.message(message)
            if said.role == "assistant" and index not in self._given:
                model = message.get("model").text() or self.builder.model
                known = {"metadata": {"message": self._beside(message)}, "model": model}
                self._reply(said, message, None, known)
                continue
            self.builder.hear(said, extra=self._beside(message))
            if said.role == "tool":
                self._answer(said.call_id, message)
        self._next = max(self._next, place)

    def _answer(
        self, call_id: str | None, message: Node | None, *, event: Node | None = None
    ) -> None:
        """The result of a tool, as its message and its event have it."""
        if event is None:
            events = self._tools.get(call_id or "", [])
            event = events.pop(0) if events else Node(None)
        told = event if message is None else message
        error = told.get("error") if told.get("error").known else told.get("tool_error")
        error = error if error.known else event.get("error")
        data = self._refs.resolved(
            event.get("result").value if message is None else message.get("content").value
        )
        words = _words(self._refs.node(error))
        kind = error.get("type").label() if isinstance(error.value, dict) else None
        step = self.builder.answer(
            None if words and not data else data,
            call_id=call_id,
            tool=told.get("function").text(),
            error=words,
            kind=_ERROR_KINDS.get(kind or "", ErrorKind.EXECUTION),
            extra=_about_result(error, event),
        )
        _set_times(step, event)

    def _known(self, event: Node, choices: Sequence[Node]) -> dict[str, Any]:
        """What an event tells of its call."""
        output, config = event.get("output"), event.get("config")
        usage = output.get("usage")
        began, took = event.get("timestamp").time(), _took(event, output)
        tools = event.get("tools").items()
        return {
            "model": event.get("model").text(),
            "timestamp": None if began is None else began.timestamp(),
            "duration_ms": took,
            "method": "generate_with_tools" if tools else "generate",
            "tools": [self._refs.node(tool).fields() for tool in tools] or None,
            "params": dict(config.fields()),
            "temperature": config.get("temperature").number(),
            "max_tokens": config.get("max_tokens").count(),
            "finish_reason": choices[0].get("stop_reason").text() if choices else None,
            "input_tokens": _sent_tokens(usage),
            "output_tokens": usage.get("output_tokens").count(),
            "cached_tokens": usage.get("input_tokens_cache_read").count(),
            "error": _words(event.get("error")) or _words(output.get("error")),
            "metadata": _about_call(event, output, choices),
        }

    def _place_of(self, message: Node) -> int | None:
        """Where the conversation has this reply: by its id, or as the next one that is equal."""
        known = self._places.get(message.get("id").label() or "")
        if known is not None:
            return known if known >= self._next else None
        said = self._refs.message(message)
        for place in range(self._next, len(self._messages)):
            if self._messages[place].get("role").value == "assistant" and place not in self._given:
                return place if self._refs.message(self._messages[place]) == said else None
        return None

    def _by_id(self) -> dict[str, int]:
        found: dict[str, int] = {}
        for place, message in enumerate(self._messages):
            name = message.get("id").label()
            if name and message.get("role").value == "assistant" and place not in self._given:
                found.setdefault(name, place)
        return found

    def _ids_asked(self) -> set[str]:
        """Ids of the calls that the conversation has, or has results of."""
        ids: list[JSON] = [message.get("tool_call_id").value for message in self._messages]
        for place, message in enumerate(self._messages):
            if place not in self._given:
                ids += [call.get("id").label() for call in message.get("tool_calls").items()]
        return {each for each in ids if isinstance(each, str)}

    def _lane(self, event: Node, *, failed: bool) -> str | None:
        """Who asked, if not the conversation: a scorer, an agent, a tool."""
        names = [name for name in self._spans.around(event) if name.partition(":")[0] != "solvers"]
        scorers = [name for name in names if name.startswith("scorer")]
        if not scorers and (failed or not self._messages):
            return None
        chosen = scorers[:1] or names[-1:]
        return chosen[0] if chosen else "beside"

    def _beside(self, message: Node) -> dict[str, JSON]:
        return message.rest(
            "role", "content", "tool_calls", "tool_call_id", "function", "error", "reasoning"
        )


def _given(sample: Node, messages: Sequence[Node]) -> set[int]:
    """Places of the messages that the sample began with: no model said them here."""
    given = sample.get("input")
    if not isinstance(given.value, list):
        return set()
    names = {each.get("id").label() for each in given.items()} - {None}
    texts = {_likeness(each) for each in given.items()}
    found = set()
    for place, message in enumerate(messages):
        name = message.get("id").label()
        by_text = place <= len(texts) and _likeness(message) in texts
        if name in names if names and name else by_text:
            found.add(place)
    return found


def _likeness(message: Node) -> tuple[str | None, str]:
    return message.get("role").text(), canonical(message.get("content").value)


def _agent_of(spec: Node, plan: Node) -> str | None:
    """The solver, or the last step of the plan."""
    steps = plan.get("steps").items()
    return spec.get("solver").text() or (steps[-1].get("solver").text() if steps else None)


def _final_output(output: Node, refs: References) -> JSON:
    text = output.get("completion").value
    choices = output.get("choices").items()
    if not text and choices:
        text = refs.message(choices[0].need("message")).content
    return refs.resolved(text)


def _reward(scores: Node) -> float | None:
    """The first score, as a number; a score that is none has no number."""
    first = next((score for _, score in scores.members()), Node(None))
    value = first.get("value") if isinstance(first.value, dict) else first
    if isinstance(value.value, bool):
        return float(value.value)
    if isinstance(value.value, str):
        number = chat.json_in(value.value)
        value = Node(_GRADES.get(value.value, number), value.place)
        if isinstance(number, bool):
            return float(number)
    is_number = isinstance(value.value, int | float) and value.value - value.value == 0
    return value.number() if is_number else None  # NaN is what Inspect writes for "not scored"


def _stop_reason(sample: Node) -> str | None:
    """A sample that neither failed nor met a limit came to its end."""
    if sample.get("error").known:
        return "error"
    limit = sample.get("limit")
    kind = limit.get("type").label() if isinstance(limit.value, dict) else limit.label()
    if kind is None:
        return "done"
    return "budget_exhausted" if kind in _LIMITS else None


def _words(error: Node) -> str | None:
    """An error's text, which may stand in an object."""
    if isinstance(error.value, dict):
        return error.get("message").label() or canonical(error.value)
    return error.label()


def _cost(usages: Node) -> float | None:
    costs = [usage.get("total_cost").number() for _, usage in usages.members()]
    known = [cost for cost in costs if cost is not None]
    return sum(known) if known else None


def _sent_tokens(usage: Node) -> int | None:
    """All tokens sent; with those from and into a cache, where the total says so."""
    sent, total = usage.get("input_tokens").count(), usage.get("total_tokens").count()
    cached = [usage.get(f"input_tokens_cache_{way}").count() or 0 for way in ("read", "write")]
    if sent is None or total is None:
        return sent
    received = usage.get("output_tokens").count() or 0
    return sent + sum(cached) if total == sent + sum(cached) + received else sent


def _took(event: Node, output: Node) -> float | None:
    """How long an event took, in milliseconds."""
    began, ended = event.get("timestamp").time(), event.get("completed").time()
    if began is not None and ended is not None:
        return (ended - began).total_seconds() * 1000
    seconds = output.get("time").number()
    return None if seconds is None else seconds * 1000


def _set_times(step: StepRecord, event: Node) -> None:
    began, took = event.get("timestamp").time(), _took(event, Node(None))
    if began is not None:
        step.timestamp = began.timestamp()
    if took is not None:
        step.duration_ms = step.tool_result.duration_ms = took


def _about_result(error: Node, event: Node) -> dict[str, JSON]:
    about = event.rest(
        "event", "type", "id", "function", "arguments", "result", "error", "events",
        "timestamp", "completed", "view",
    )  # fmt: skip
    return about | ({"error": error.value} if isinstance(error.value, dict) else {})


def _about_call(event: Node, output: Node, choices: Sequence[Node]) -> dict[str, JSON]:
    """All else that is told of a call: the provider's own request and answer among it."""
    usage = output.get("usage").rest(
        "input_tokens", "output_tokens", "total_tokens", "input_tokens_cache_read"
    )
    about: dict[str, JSON] = event.rest(
        "event", "model", "input", "input_refs", "tools", "config", "output", "timestamp",
        "completed", "error",
    )  # fmt: skip
    beside = {
        "usage": usage,
        "output": output.rest("model", "choices", "completion", "usage", "error"),
        "choices": [choice.value for choice in choices[1:]],
    }
    return about | {name: value for name, value in beside.items() if value}


def _metadata(sample: Node, log: Node, run: _Run) -> dict[str, JSON]:
    """What no field takes: of the sample, of its log, the other events, and what they refer to."""
    spec, results = log.get("eval"), log.get("results")
    about: dict[str, JSON] = sample.rest(*_OWN)
    about["output"] = sample.get("output").rest("choices", "completion", "usage", "model")
    about["events"] = run.others
    about["calls"] = sample.get("events_data").get("calls").value or sample.get("call_pool").value
    about["log"] = {
        **log.rest("eval", "results", "reductions", "samples"),
        "eval": spec.rest("dataset") | {"dataset": spec.get("dataset").rest("sample_ids")},
        "results": results.rest("sample_reductions"),
    }
    named = _named_in([about, [call.metadata for call in run.builder.calls]])
    attachments = sample.get("attachments")
    about["attachments"] = {
        name: text for name, text in attachments.fields().items() if name in named
    }
    return {name: value for name, value in about.items() if value}


def _named_in(value: JSON) -> set[str]:
    """Names of the attachments that are referred to."""
    return set(_REFERENCE.findall(canonical(value)))


_REFERENCE = re.compile("(?:" + "|".join(map(re.escape, PREFIXES)) + ")([0-9A-Za-z]+)")
