"""ATIF, harbor's Agent Trajectory Interchange Format: a run a file, versions 1.0 to 1.8.

``looplet.trajectory.atif`` names the specification. ``steps`` are messages: of the system, of the
user, or of the agent, whose steps are calls of the model, with ``tool_calls`` and the
``observation`` that has their results. A result names its call, or none: those without a name
answer the last of the step's calls that have no result, and where the step has no calls, they are
what the model was told next. Steps that were copied from another trajectory are messages, and no
calls of this run. A step that says that it stands for no call of a model is none. Embedded
trajectories of sub-agents are calls in a lane of their own.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

from looplet.core.codec import JSON
from looplet.core.messages import CallRequest, ChatMessage
from looplet.core.records import ErrorKind
from looplet.trajectory.atif import MARK, NAME, VERSIONS
from looplet.trajectory.importers import atif_own, chat
from looplet.trajectory.importers.builder import Block, RunBuilder
from looplet.trajectory.importers.nodes import Node
from looplet.trajectory.importers.problems import Malformed
from looplet.trajectory.importers.registry import Format
from looplet.trajectory.importers.sources import Source
from looplet.trajectory.model import Trajectory

_RUN_KEYS = ("steps", "session_id", "subagent_trajectories", "agent")
_STEP_KEYS = ("step_id", "source", "message")
_AGENT_KEYS = (
    *_STEP_KEYS, "timestamp", "model_name", "reasoning_effort", "reasoning_content", "tool_calls",
    "observation", "metrics",
)  # fmt: skip
_COUNTS = ("prompt_tokens", "completion_tokens", "cached_tokens")
_ERROR_MARKS = ("is_error", "tool_result_is_error")
"""Members of a result's ``extra`` by which harbor's adapters say that a tool failed."""


def sniff(source: Source) -> bool:
    """The version is the format's own name."""
    return str(source.outline.first.get("schema_version")).startswith(MARK)


def read(source: Source) -> Iterator[Trajectory]:
    """The one run of a file, or one a line or an element."""
    return source.read_each(source.records(), lambda record: _run(record, source))


def _run(record: Node, source: Source) -> Trajectory:
    version = record.need("schema_version")
    if version.text() not in VERSIONS:
        raise Malformed(
            version.place,
            f"is not a known version: {version.value!r}; known is up to {VERSIONS[-1]}",
        )
    if atif_own.is_own(record):
        return atif_own.read_run(record, source)
    conversation = Conversation(record)
    conversation.take()
    run, agent = conversation.run, record.get("agent")
    metrics = record.get("final_metrics")
    cost = metrics.get("total_cost_usd").number()
    return run.build(
        source,
        record,
        form=NAME,
        run_id=record.get("session_id").label(),
        task=None if conversation.prompt is None else {"prompt": conversation.prompt},
        agent=agent.get("name").label(),
        model=agent.get("model_name").text(),
        final_output=run.last_text(),
        started_at=conversation.first,
        ended_at=conversation.last,
        cost_usd=conversation.cost if cost is None else cost,
        metadata=record.rest(*_RUN_KEYS)
        | {
            "agent": agent.rest("name", "model_name", "tool_definitions"),
            "subagent_trajectories": conversation.beside,
        },
    )


class Conversation:
    """Takes the steps of one trajectory in order."""

    def __init__(self, record: Node) -> None:
        self._agent = record.get("agent")
        tools = [each.fields() for each in self._agent.get("tool_definitions").items()]
        self.run = RunBuilder(model=self._agent.get("model_name").text())
        self.prompt: str | None = None
        """What the user said first."""
        self.cost: float | None = None
        """Of the steps that tell theirs, in US dollars."""
        self.first: datetime | None = None
        self.last: datetime | None = None
        self.beside: list[JSON] = []
        """Of each embedded trajectory, what its calls do not tell."""
        self._record, self._tools = record, tools or None
        self._embedded: dict[str, Node] = {}
        for number, each in enumerate(record.get("subagent_trajectories").items(), 1):
            name = each.get("trajectory_id").label() or f"{number}"
            self._embedded[f"{name}#{number}" if name in self._embedded else name] = each

    def take(self) -> None:
        """All steps; at the end the embedded trajectories that no result refers to."""
        for step in self._record.need("steps").items():
            if not step.get("is_copied_context").flag():
                self._note_time(step)
            source = step.need("source")
            if source.value not in ("system", "user", "agent"):  # no set: it may be a list
                raise source.wrong("'system', 'user' or 'agent'")
            if source.value == "agent":
                self._take_agent(step)
            else:
                self._hear(step)
        for name in list(self._embedded):
            self._take_embedded(name)

    def _note_time(self, step: Node) -> None:
        moment = step.get("timestamp").time()
        self.first, self.last = self.first or moment, moment or self.last

    def _hear(self, step: Node) -> None:
        source = step.get("source").value
        text, blocks = chat.content_of(step.get("message"))
        for result in step.get("observation").get("results").items():
            self._take_referred(result)
        if source == "user" and self.prompt is None:
            self.prompt = text
        said = ChatMessage(
            role="user" if source == "user" else "system", content=text, blocks=blocks
        )
        self.run.hear(said, extra=step.rest(*_STEP_KEYS))

    def _take_agent(self, step: Node) -> None:
        text, parts = chat.content_of(step.get("message"))
        calls = [_call(each) for each in step.get("tool_calls").items()]
        thought = step.get("reasoning_content").text()
        blocks = _blocks(text, parts, thought, calls)
        if step.get("is_copied_context").flag():
            said = ChatMessage(role="assistant", content=text, calls=tuple(calls), blocks=blocks)
            keys = (*_STEP_KEYS, "reasoning_content", "tool_calls")
            self.run.hear(said, extra=step.rest(*keys))
            self._hear_results(step)
            return
        before = len(self.run.steps)
        if step.get("llm_call_count").count() == 0:
            said = ChatMessage(role="assistant", content=text, calls=tuple(calls), blocks=blocks)
            self.run.hear(said, extra=step.rest(*_STEP_KEYS, "tool_calls", "observation"))
            for call in calls:
                self.run.ask(call, reasoning=text)
        else:
            self.run.reply(text, calls, blocks=blocks, **self._known(step))
        given = step.get("tool_calls").items()
        for record, one in zip(self.run.steps[before:], given, strict=True):
            record.tool_call.metadata = one.get("extra").fields()
        self._answer(step, before)

    def _known(self, step: Node) -> dict[str, Any]:
        """What a step tells of its call of the model."""
        metrics = step.get("metrics")
        moment = step.get("timestamp").time()
        cost = metrics.get("cost_usd").number()
        if cost is not None:
            self.cost = cost + (self.cost or 0.0)
        effort = step.get("reasoning_effort").value
        told = step.rest(*_AGENT_KEYS) | metrics.rest(*_COUNTS, "extra")
        if metrics.get("extra").known:
            told["metrics_extra"] = metrics.get("extra").value
        return {
            "model": step.get("model_name").text() or self.run.model,
            "timestamp": None if moment is None else moment.timestamp(),
            "tools": self._tools,
            "method": "generate_with_tools" if self._tools or step.get("tool_calls").value
            else "generate",
            "params": {} if effort is None else {"reasoning_effort": effort},
            "input_tokens": metrics.get("prompt_tokens").count(),
            "output_tokens": metrics.get("completion_tokens").count(),
            "cached_tokens": metrics.get("cached_tokens").count(),
            "metadata": told,
        }  # fmt: skip

    def _hear_results(self, step: Node) -> None:
        """Results of a step that was copied: what the model was told, and no step of this run."""
        for result in step.get("observation").get("results").items():
            self._take_referred(result)
            self._hear_result(result, result.get("source_call_id").label())

    def _answer(self, step: Node, before: int) -> None:
        results = step.get("observation").get("results").items()
        asked = self.run.steps[before:]
        names = {each.get("source_call_id").label() for each in results}
        ids = [each.tool_call.call_id for each in asked if each.tool_call.call_id not in names]
        nameless = sum(not each.get("source_call_id").known for each in results)
        free = ids[max(0, len(ids) - nameless) :]
        for result in results:
            self._take_referred(result)
            name = result.get("source_call_id").label()
            if name is None and free:
                name = free.pop(0)
            text = self._hear_result(result, name)
            if name is not None:
                self._give(result, name, text)

    def _give(self, result: Node, name: str, text: str) -> None:
        extra = result.get("extra").fields()
        failed = any(extra.get(mark) is True for mark in _ERROR_MARKS)
        content = result.get("content").value
        self.run.answer(
            None if failed else content,
            call_id=name,
            error=text if failed else None,
            kind=ErrorKind.EXECUTION if failed else None,
            extra=extra | result.rest("source_call_id", "content", "extra"),
        )

    def _hear_result(self, result: Node, call_id: str | None) -> str:
        """Tell the model a result; one that names no call comes as a user's message would."""
        text, blocks = chat.content_of(result.get("content"))
        if result.get("content").known:
            role = "user" if call_id is None else "tool"
            self.run.hear(
                ChatMessage(role=role, content=text, call_id=call_id, blocks=blocks)  # type: ignore[arg-type]
            )
        return text

    def _take_referred(self, result: Node) -> None:
        for reference in result.get("subagent_trajectory_ref").items():
            self._take_embedded(reference.get("trajectory_id").label())

    def _take_embedded(self, name: str | None) -> None:
        """The calls of an embedded trajectory, in a lane of its name, if it was not taken yet."""
        record = None if name is None else self._embedded.pop(name, None)
        if record is None:  # it stands in another file, or was taken before
            return
        inner = Conversation(record)
        inner.take()
        lane = f"sub:{name}"
        for call in inner.run.calls:
            call.index, call.step_num = len(self.run.calls), None
            call.scope = lane if call.scope is None else f"{lane}/{call.scope}"
            self.run.calls.append(call)
        about: Mapping[str, JSON] = record.rest("steps", "subagent_trajectories")
        self.beside.append({**about, **inner.run.told_beside(), "subagents": inner.beside})


def _call(call: Node) -> CallRequest:
    name = call.need("function_name").text() or ""
    given = chat.arguments_of(call.get("arguments").value)
    return CallRequest(id=call.get("tool_call_id").label() or "", name=name, input=given)


def _blocks(
    text: str, parts: tuple[Block, ...], thought: str | None, calls: list[CallRequest]
) -> tuple[Block, ...]:
    """The whole reply, where it is more than a text and calls."""
    if not parts and thought is None:
        return ()
    said = parts or (({"type": "text", "text": text},) if text else ())
    head = () if thought is None else ({"type": "thinking", "thinking": thought},)
    return (*head, *said, *({"type": "tool_use", **call.to_dict()} for call in calls))


FORMAT = Format(name=NAME, sniff=sniff, read=read)
