"""ATIF, harbor's Agent Trajectory Interchange Format: a JSON file a run, of version 1.7.

Each message that the model was told is a step of the system's or the user's, each call of the
model one of the agent's, with the tools that came of it and what they gave; ``looplet.trajectory.
atif`` names the specification. Calls of another lane than the main one (those within a tool, by a
sub-agent) are embedded as trajectories of sub-agents. What the format has no field for stands
under ``extra.looplet``, from which the importer gives back the run as it was. Lone surrogates,
which are no text to a strict reader, are escaped as in a store.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from looplet.core.codec import JSON
from looplet.core.messages import ChatMessage
from looplet.core.prompt import task_text
from looplet.trajectory.atif import (
    NAME,
    OWN,
    WRITTEN,
    call_extra,
    run_extra,
    step_extras,
    usual_blocks,
)
from looplet.trajectory.exporters.registry import Loss, OnLoss, Target
from looplet.trajectory.exporters.turns import Asked, Turn, said_by, turns_of
from looplet.trajectory.model import MAIN_LANE, LLMCall, Trajectory
from looplet.trajectory.text import to_json_text
from looplet.trajectory.trace_dir import write_whole

UNKNOWN = "unknown"
"""What stands where the format wants a name or a version and none is known."""
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MOST_TOKENS = 2**63 - 1
_UNFIT = re.compile(r"[^A-Za-z0-9._-]+")
_LONGEST_NAME = 80
_PLAIN_PARTS = frozenset({"text", "thinking", "tool_use", "tool_result"})
Step = dict[str, JSON]


def write(trajectories: Iterable[Trajectory], folder: Path, on_loss: OnLoss) -> int:
    """A file a run, named by its place and its id. A run of which nothing is known has none."""
    written = 0
    for run in trajectories:
        try:
            document, losses = document_of(run)
            text = None if document is None else to_json_text(document)
        except ValueError as error:
            text, losses = None, [f"it is left out, as it has no such form: {error}"]
        for message in losses:
            on_loss(Loss(trajectory_id=run.trajectory_id, message=message))
        if text is not None:
            written += 1
            name = _UNFIT.sub("_", run.trajectory_id)[:_LONGEST_NAME]
            write_whole(folder / f"{written:06d}-{name}.json", text.encode())
    return written


def document_of(run: Trajectory) -> tuple[dict[str, JSON] | None, list[str]]:
    """The run as ATIF has it, ``None`` if it has no step at all; and what is not in its fields."""
    writer = _Writer(run)
    steps = writer.steps()
    if not steps:
        return None, ["it is left out, as it has no task, no message and no step"]
    document: dict[str, JSON] = {
        "schema_version": WRITTEN,
        **_without_none(session_id=run.run_id),
        "trajectory_id": run.trajectory_id,
        "agent": writer.agent(),
        "steps": steps,
        "final_metrics": _without_none(
            total_prompt_tokens=_tokens(run.input_tokens),
            total_completion_tokens=_tokens(run.output_tokens),
            total_cached_tokens=_tokens(run.cached_tokens),
            total_cost_usd=_finite(run.cost_usd),
            total_steps=len(steps),
        ),
    }
    beside = writer.subagents()
    document |= {"subagent_trajectories": beside} if beside else {}
    extra = {"run": run_extra(run)} | ({"tools": writer.tools} if writer.tools else {})
    odd = sorted(writer.odd_parts)
    losses = [f"of messages, only looplet reads these parts: {', '.join(odd)}"] if odd else []
    return document | _own(extra), losses


class _Writer:
    """Makes the parts of one run's document."""

    def __init__(self, run: Trajectory) -> None:
        self.tools: list[JSON] = []
        """The lists of tools that calls were given, each once."""
        self.odd_parts: set[str] = set()
        """Types of the parts of messages that are kept under ``extra.looplet`` alone."""
        self._run = run
        self._extras = dict(zip(map(id, run.steps), step_extras(run), strict=True))
        self._places = {id(call): place for place, call in enumerate(run.llm_calls)}
        self._lanes: dict[str, list[LLMCall]] = {MAIN_LANE: []}
        self._within: dict[int, dict[str, None]] = {}
        """Lanes of the calls that were made within a step's tool, by the step's number."""
        for call in run.llm_calls:
            self._lanes.setdefault(call.lane, []).append(call)
            if call.lane != MAIN_LANE and call.step_num is not None:
                self._within.setdefault(call.step_num, {})[call.lane] = None
        self._tool_places: dict[str, int] = {}
        self._texts: dict[int, str] = {}

    def agent(self) -> dict[str, JSON]:
        """Who ran; with the tools that the last call was given."""
        run = self._run
        given = next((call.tools for call in reversed(self._lanes[MAIN_LANE]) if call.tools), ())
        tools = [_tool(each) for each in given]
        agent = {"name": run.agent or UNKNOWN, "version": run.git_sha or UNKNOWN}
        model = {"model_name": run.model} if run.model else {}
        return agent | model | ({"tool_definitions": tools} if tools else {})

    def steps(self) -> list[Step]:
        """The steps of the main conversation."""
        found: list[Step] = []
        calls = self._lanes[MAIN_LANE]
        if not any(call.messages for call in calls) and self._run.task is not None:
            task = {"source": "user", "message": _task(self._run.task)}
            found.append(task | _own({"task": True}))
        found += self._steps_of(turns_of(calls, self._run.steps))
        after = self._run.metadata.get("messages_after_last_call")
        for message in after if isinstance(after, list) else ():
            if isinstance(message, Mapping) and message.get("role") in {"user", "system"}:
                told = {"source": message["role"], "message": str(message.get("content") or "")}
                found.append(told | _own({"after": True}))
        return _numbered(found)

    def subagents(self) -> list[dict[str, JSON]]:
        """A trajectory for each lane beside the main one, named by the lane."""
        agent = {"version": self._run.git_sha or UNKNOWN}
        return [
            {
                "schema_version": WRITTEN,
                **_without_none(session_id=self._run.run_id),
                "trajectory_id": lane,
                "agent": {"name": lane, **agent},
                "steps": _numbered(self._steps_of(turns_of(calls, ()))),
            }
            for lane, calls in self._lanes.items()
            if lane != MAIN_LANE
        ]

    def _steps_of(self, turns: Sequence[Turn]) -> list[Step]:
        found: list[Step] = []
        for turn in turns:
            copied = turn.kept is not None
            for message in turn.heard:
                self._note_parts(message)
                found.append(_told(message, copied=copied))
            found.append(self._agent_step(turn))
        return found

    def _agent_step(self, turn: Turn) -> Step:
        call, reply = turn.call, turn.reply
        own: dict[str, JSON] = {}
        step: Step = {"source": "agent", "message": reply.content if reply else ""}
        if call is not None:
            step |= _without_none(timestamp=_time(call.timestamp), model_name=call.model)
            thought = _thought(call)
            if thought is not None:
                step["reasoning_content"] = thought
            own = {"call": self._call_extra(turn)}
        elif self._run.llm_calls:
            step["llm_call_count"] = 0
        if turn.asked:
            step["tool_calls"] = [self._tool_call(asked) for asked in turn.asked]
            results = [self._result(asked) for asked in turn.asked if asked.step or asked.answer]
            if results:
                step["observation"] = {"results": results}
        if call is not None:
            step["llm_call_count"] = 1
            metrics = _without_none(
                prompt_tokens=_tokens(call.input_tokens),
                completion_tokens=_tokens(call.output_tokens),
                cached_tokens=_tokens(call.cached_tokens),
                cost_usd=_finite(call.metadata.get("cost_usd")),
            )
            step |= {"metrics": metrics} if metrics else {}
        return step | _own(own)

    def _call_extra(self, turn: Turn) -> dict[str, JSON]:
        """What of a call its step does not tell."""
        call = turn.call
        assert call is not None
        place = self._places[id(call)]
        last = call.messages[-1].content if call.messages else ""
        head = call.messages[0] if call.messages else None
        system = head.content if head and head.role == "system" else ""
        extra: dict[str, JSON] = {"place": place}
        extra |= call_extra(call, prompt=last, system_prompt=system)
        extra |= {"index": call.index} if call.index != place else {}
        extra |= {"kept": turn.kept} if turn.kept is not None else {}
        extra |= {"tools": self._tools_place(call.tools)} if call.tools is not None else {}
        if isinstance(call.response, list):
            text = turn.reply.content if turn.reply else ""
            asked = [(each.id, each.name, each.input) for each in turn.asked]
            usual = usual_blocks(_thought(call), text, asked)
            extra["response"] = None if call.response == usual else call.response
        elif call.response is None:
            extra["failed"] = True
        if turn.reply is not None and turn.reply.to_dict() != _usual_reply(call):
            extra["said"] = turn.reply.to_dict()
        return extra

    def _note_parts(self, message: ChatMessage) -> None:
        kinds = {str(block.get("type")) for block in message.blocks}
        self.odd_parts |= kinds - _PLAIN_PARTS

    def _tools_place(self, tools: list[dict[str, JSON]]) -> int:
        text = self._texts.get(id(tools))
        if text is None:
            text = self._texts[id(tools)] = to_json_text(tools)
        place = self._tool_places.setdefault(text, len(self.tools))
        if place == len(self.tools):
            self.tools.append(tools)
        return place

    def _tool_call(self, asked: Asked) -> dict[str, JSON]:
        call: dict[str, JSON] = {
            "tool_call_id": asked.id,
            "function_name": asked.name,
            "arguments": asked.input,
        }
        if asked.step is None:
            return call | (_own({"told": True}) if asked.answer else {})
        extra = dict(self._extras[id(asked.step)])
        for name in ("call_id", "tool", "args"):
            extra.pop(name, None)
        if extra.get("result") == asked.told() and isinstance(extra.get("result"), str):
            del extra["result"]
        else:
            extra["result"] = asked.step.tool_result.data
        return call | _own({"step": extra})

    def _result(self, asked: Asked) -> dict[str, JSON]:
        result: dict[str, JSON] = {"source_call_id": asked.id, "content": asked.told()}
        within = {} if asked.step is None else self._within.get(asked.step.step_num, {})
        refs = [{"trajectory_id": lane} for lane in within]
        if refs:
            result["subagent_trajectory_ref"] = refs
        if asked.answer is None:
            return result
        usual = ChatMessage(role="tool", content=asked.answer.content, call_id=asked.id)
        self._note_parts(asked.answer)
        odd = asked.answer != usual
        return result | _own({"heard": asked.answer.to_dict() if odd else True})


def _told(message: ChatMessage, *, copied: bool) -> Step:
    """A message that the model was told. One of a tool's is an observation of the system's."""
    own: dict[str, JSON] = {}
    step: Step = {"source": message.role, "message": message.content}
    if message.role == "assistant":
        step |= {"source": "agent", "is_copied_context": True}
        calls = [
            {"tool_call_id": call.id, "function_name": call.name, "arguments": dict(call.input)}
            for call in message.calls
        ]
        step |= {"tool_calls": calls} if calls else {}
    elif message.role == "tool":
        observation = {"results": [{"content": message.content}]}
        step |= {"source": "system", "message": "", "observation": observation}
        step |= {"is_copied_context": True} if copied else {}
    plain = ChatMessage(role=message.role, content=message.content)
    if message != plain or message.role not in {"system", "user"}:
        own = {"message": message.to_dict()}
    return step | _own(own)


def _usual_reply(call: LLMCall) -> dict[str, JSON] | None:
    said = said_by(call)
    return None if said is None else said.to_dict()


def _thought(call: LLMCall) -> str | None:
    blocks = call.response if isinstance(call.response, list) else []
    thoughts = [block.get("thinking") for block in blocks if block.get("type") == "thinking"]
    texts = [each for each in thoughts if isinstance(each, str)]
    return "\n".join(texts) if texts else None


def _task(task: JSON) -> str:
    """The task as text; what importers keep as a prompt is that prompt."""
    if isinstance(task, Mapping) and task.keys() == {"prompt"}:
        task = task["prompt"]
    return task_text(task)


def _tool(schema: Mapping[str, JSON]) -> dict[str, JSON]:
    """A tool's schema in OpenAI's form, if it is in looplet's; another is left as it is."""
    if not isinstance(schema.get("name"), str) or not isinstance(schema.get("input_schema"), dict):
        return dict(schema)
    function = {"name": schema["name"], "description": schema.get("description") or ""}
    return {"type": "function", "function": function | {"parameters": schema["input_schema"]}}


def _numbered(steps: Iterable[Step]) -> list[Step]:
    return [{"step_id": number, **step} for number, step in enumerate(steps, 1)]


def _own(extra: Mapping[str, JSON]) -> dict[str, JSON]:
    return {"extra": {OWN: dict(extra)}} if extra else {}


def _without_none(**fields: JSON) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value is not None}


def _finite(number: object) -> float | None:
    plain = isinstance(number, int | float) and not isinstance(number, bool)
    return number if plain and math.isfinite(number) else None  # type: ignore[return-value,arg-type]


def _tokens(count: int | None) -> int | None:
    return count if count is None or abs(count) <= _MOST_TOKENS else None


def _time(seconds: float | None) -> str | None:
    """ISO 8601, where a calendar reaches."""
    if seconds is None:
        return None
    try:
        return (_EPOCH + timedelta(seconds=seconds)).isoformat()
    except (OverflowError, ValueError):
        return None


TARGET = Target(name=NAME, write=write)
