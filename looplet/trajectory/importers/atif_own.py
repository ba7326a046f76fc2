"""An ATIF file that looplet wrote: the run as it was, out of the fields and what stands beside.

The columns under ``extra.looplet`` are read by their kinds, since whoever edits a file may put
anything there. Knows the exporter's columns; `atif` knows the format.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any

from looplet.core.codec import JSON, from_jsonable
from looplet.core.messages import CallRequest, ChatMessage
from looplet.trajectory.atif import (
    CALL_COLUMNS,
    NAME,
    OWN,
    RUN_COLUMNS,
    STEP_COLUMNS,
    Row,
    empty_call,
    empty_run,
    empty_step,
    usual_blocks,
)
from looplet.trajectory.importers import chat
from looplet.trajectory.importers.builder import RunBuilder
from looplet.trajectory.importers.nodes import Node
from looplet.trajectory.importers.problems import Malformed
from looplet.trajectory.importers.replies import in_parts
from looplet.trajectory.importers.sources import Source
from looplet.trajectory.model import LLMCall, Trajectory
from looplet.trajectory.rows import from_row
from looplet.trajectory.text import map_strings, unescape_text

_DAMAGE = (ValueError, TypeError, AttributeError, LookupError)
"""What values raise that are not those that were written."""
_METHODS = frozenset({"generate", "generate_with_tools"})


def is_own(record: Node) -> bool:
    """Whether looplet wrote it."""
    extra = record.get("extra")
    own = extra.value.get(OWN) if isinstance(extra.value, dict) else None
    return isinstance(own, dict) and isinstance(own.get("run"), dict)


def read_run(record: Node, source: Source) -> Trajectory:
    """The run. Raises `Malformed`."""
    try:
        record = Node(from_jsonable(map_strings(record.value, unescape_text)), record.place)
    except _DAMAGE as error:
        raise Malformed(record.place, f"a value that looplet wrote is damaged: {error}") from None
    own = _own(record)
    tools = [_tools(each) for each in own.get("tools").items()]
    main = _Lane(tools)
    main.take(record)
    calls = list(main.calls)
    for each in record.get("subagent_trajectories").items():
        lane = _Lane(tools)
        lane.take(each)
        calls += lane.calls
    row = empty_run() | _columns(own.get("run"), RUN_COLUMNS)
    row |= {"source_format": NAME, "source_uri": source.uri, "messages": [], "calls": []}
    try:
        run = from_row(row | {"steps": main.steps})
    except _DAMAGE as error:
        raise Malformed(record.place, f"what looplet added is damaged: {error}") from None
    return replace(run, llm_calls=[call for _, call in sorted(calls, key=lambda pair: pair[0])])


class _Lane:
    """Takes the steps of one trajectory: its calls with their places in the run, and rows."""

    def __init__(self, tools: list[list[dict[str, JSON]]]) -> None:
        self.calls: list[tuple[int, LLMCall]] = []
        self.steps: list[Row] = []
        self._tools = tools
        self._run = RunBuilder()
        self._known = 0
        """How many messages there were with the last call."""

    def take(self, record: Node) -> None:
        """All steps."""
        for step in record.need("steps").items():
            own = _own(step)
            if own.get("task").known or own.get("after").known:
                continue
            source = step.need("source").text()
            if source == "agent" and not step.get("is_copied_context").flag():
                self._take_agent(step, own)
            elif own.get("message").known:
                self._run.hear(_message(own.get("message")))
            else:
                role = chat.role_of(Node({"role": source}, step.place))
                text = step.get("message").text() or ""
                self._run.hear(ChatMessage(role=role, content=text))  # type: ignore[arg-type]

    def _take_agent(self, step: Node, own: Node) -> None:
        asked = step.get("tool_calls").items()
        if own.get("call").known:
            self._take_call(step, own.get("call"), asked)
        results = step.get("observation").get("results").items()
        answered = [call for call in asked if _own(call).value]
        if len(results) != len(answered):
            raise Malformed(step.place, f"has {len(results)} results of {len(answered)} calls")
        for call, result in zip(answered, results, strict=True):
            if _own(call).get("step").known:
                self.steps.append(_step_row(call, result))
            heard = _own(result).get("heard")
            if isinstance(heard.value, dict):
                self._run.hear(_message(heard))
            elif heard.known:
                name = result.get("source_call_id").text()
                text = result.get("content").text() or ""
                self._run.hear(ChatMessage(role="tool", content=text, call_id=name))

    def _take_call(self, step: Node, own: Node, asked: list[Node]) -> None:
        kept = own.get("kept").count()
        if kept is not None:
            new = self._run.messages[self._known :]
            self._run.messages = self._run.messages[: min(kept, self._known)] + new
        response = None if own.get("failed").known else _response(step, own, asked)
        reply = None if response is None else _as_message(response)
        metrics = step.get("metrics")
        call = self._run.add_call(
            reply,
            model=step.get("model_name").text(),
            tools=self._given(own.get("tools")),
            input_tokens=metrics.get("prompt_tokens").integer(),
            output_tokens=metrics.get("completion_tokens").integer(),
            cached_tokens=metrics.get("cached_tokens").integer(),
        )
        call.response = response
        usual = empty_call() | {"prompt": call.prompt, "system_prompt": call.system_prompt}
        for name, value in (usual | _columns(own, CALL_COLUMNS)).items():
            setattr(call, name, value)
        if call.method not in _METHODS:
            raise own.get("method").wrong("a method")
        place = own.need("place").integer(bits=32) or 0
        index = own.get("index").integer(bits=32)
        call.index = place if index is None else index
        self.calls.append((place, call))
        self._known = len(self._run.messages)
        if reply is not None:
            said_so = own.get("said")
            self._run.messages.append(_message(said_so) if said_so.known else reply)
            self._known += 1

    def _given(self, place: Node) -> list[dict[str, JSON]] | None:
        index = place.count()
        if index is not None and index >= len(self._tools):
            raise place.wrong(f"one of {len(self._tools)} lists of tools")
        return None if index is None else self._tools[index]


def _own(node: Node) -> Node:
    return node.get("extra").get(OWN)


def _tools(node: Node) -> list[dict[str, JSON]]:
    return [each.fields() for each in node.items()]


def _response(step: Node, own: Node, asked: list[Node]) -> str | list[dict[str, JSON]]:
    text = step.need("message").text() or ""
    if "response" not in own.fields():
        return text
    if own.get("response").known:
        return [block.fields() for block in own.get("response").items()]
    calls = [
        (call.get("tool_call_id").text() or "", call.get("function_name").text() or "",
         call.get("arguments").fields())
        for call in asked
    ]  # fmt: skip
    return usual_blocks(step.get("reasoning_content").text(), text, calls)


def _as_message(response: str | list[dict[str, JSON]]) -> ChatMessage:
    if isinstance(response, str):
        return ChatMessage(role="assistant", content=response)
    parts = in_parts(tuple(response))
    return ChatMessage(
        role="assistant", content=parts["text"], calls=parts["calls"], blocks=parts["blocks"]
    )


def _step_row(call: Node, result: Node) -> Row:
    own = _own(call).get("step")
    row = empty_step() | _columns(own, STEP_COLUMNS)
    if "result" not in own.fields():
        row["result"] = result.get("content").text()
    return row | {
        "tool": call.need("function_name").text(),
        "args": call.need("arguments").fields(),
        "call_id": call.need("tool_call_id").text(),
    }


def _message(node: Node) -> ChatMessage:
    calls = [
        CallRequest(
            id=each.need("id").text() or "",
            name=each.need("name").text() or "",
            input=each.need("input").fields(),
        )
        for each in node.get("calls").items()
    ]
    return ChatMessage(
        role=chat.role_of(node),  # type: ignore[arg-type]  # one of the four
        content=node.get("content").text() or "",
        calls=tuple(calls),
        call_id=node.get("call_id").text(),
        blocks=tuple(block.fields() for block in node.get("blocks").items()),
    )


def _columns(own: Node, names: Iterable[str]) -> Row:
    """The columns that stand in an object, each of its kind."""
    given = own.fields()
    return {name: _read(name, own.get(name)) for name in names if name in given}


def _read(name: str, node: Node) -> Any:
    if not node.known and name not in _OBLIGATORY:
        return None
    read = next((read for read, those in _KINDS.items() if name in those), Node.text)
    value = read(node)
    if value is None:
        raise node.wrong("a value")
    return value


def _anything(node: Node) -> JSON:
    return node.value


def _texts(node: Node) -> list[str]:
    return [each.text() or "" for each in node.items()]


def _places(node: Node) -> list[int]:
    return [each.integer(bits=32) or 0 for each in node.items()]


def _small(node: Node) -> int | None:
    return node.integer(bits=32)


def _float(node: Node) -> float | None:
    """A number, infinities among them."""
    return node.value if isinstance(node.value, float) else node.number()


def _moment(node: Node) -> datetime:
    if isinstance(node.value, datetime) and node.value.tzinfo is not None:
        return node.value
    raise node.wrong("a time with its zone")


_KINDS: Mapping[Callable[[Node], Any], frozenset[str]] = {
    _anything: frozenset({"task", "expected", "final_output", "result"}),
    Node.fields: frozenset({
        "args", "artifacts", "metadata", "params", "error_detail", "call_metadata",
        "result_metadata", "extra",
    }),
    _texts: frozenset({"tags", "warnings"}),
    _places: frozenset({"call_indices"}),
    _small: frozenset({"trial", "step_num"}),
    Node.integer: frozenset({"max_tokens"}),
    _float: frozenset({
        "reward", "cost_usd", "temperature", "timestamp", "duration_ms", "result_duration_ms",
        "first_token_ms",
    }),
    Node.flag: frozenset({"tokens_estimated"}),
    _moment: frozenset({"started_at", "ended_at"}),
}  # fmt: skip
"""How columns are read; those that are not named are texts."""
_OBLIGATORY = frozenset({
    "trajectory_id", "tags", "step_num", "tool", "args", "reasoning", "call_id",
    "warnings", "result_duration_ms", "call_indices", "digest", "context_before", "method",
    "params", "tokens_estimated", "prompt", "system_prompt", "metadata",
})  # fmt: skip
"""Columns that no record of looplet's is without, where they are not left out."""
