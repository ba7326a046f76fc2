"""A run put together from its messages in order: calls of the model, steps, and their links.

Knows messages, calls and steps; knows no format. What is sent with each call is all that was said
before it, as chats work; a format that says otherwise gives the messages itself.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from operator import is_
from typing import Any

from looplet.core.codec import JSON, canonical, digest
from looplet.core.messages import CallRequest, ChatMessage
from looplet.core.records import ErrorKind, ToolCall, ToolError, ToolResult, summarize_args
from looplet.core.sofar import SoFar
from looplet.trajectory.importers.nodes import Node
from looplet.trajectory.importers.sources import Source
from looplet.trajectory.model import LLMCall, StepRecord, Trajectory, chain

Block = dict[str, JSON]
NO_RESULT = "the source has no result of this call"
NO_CALL = "the source has no call for this result"


class RunBuilder:
    """Takes the messages of one run in their order.

    >>> run = RunBuilder()
    >>> run.hear(ChatMessage(role="user", content="What does a pear cost?"))
    >>> ask = CallRequest(id="c1", name="price", input={"fruit": "pear"})
    >>> _ = run.reply("I look.", [ask])
    >>> _ = run.answer("0.55", call_id="c1")
    >>> [(step.tool_call.tool, step.tool_result.data) for step in run.steps]
    [('price', '0.55')]
    """

    def __init__(self, *, model: str | None = None) -> None:
        self.model = model
        self.messages: list[ChatMessage] = []
        """All that was said so far."""
        self.calls: list[LLMCall] = []
        self.steps: list[StepRecord] = []
        self._open: list[StepRecord] = []
        """Steps whose result has not come."""
        self._replied = 0
        """How many messages there were with the last reply."""
        self._extras: dict[str, JSON] = {}
        self._told = 0
        """How many messages there were in all, those that were taken back too."""

    def hear(self, message: ChatMessage, *, extra: Mapping[str, JSON] | None = None) -> None:
        """Something that the model is told: by the system, the user, or a tool.

        ``extra`` is what the source says of the message beside.
        """
        if extra:
            self._extras[str(self._told)] = dict(extra)
        self._say(message)

    def mark(self) -> Sequence[ChatMessage]:
        """All that was said so far; what is said later is not in it."""
        return self._so_far()

    def rewind(self, mark: Sequence[ChatMessage]) -> None:
        """Go back to what was said at a mark; calls and steps since then have happened."""
        self.messages = list(mark)  # a new list, since calls hold on to the one that there was
        places = [place for place, each in enumerate(mark, 1) if each.role == "assistant"]
        self._replied = places[-1] if places else 0

    def reply(
        self,
        text: str,
        calls: Sequence[CallRequest] = (),
        *,
        blocks: Sequence[Mapping[str, JSON]] = (),
        sent: Sequence[ChatMessage] | None = None,
        steps: bool = True,
        **known: Any,
    ) -> LLMCall:
        """A turn of the model: one call of it, and a step for each tool it asks for.

        ``blocks`` is the whole reply where it is more than text and calls. ``sent`` are the
        messages sent, all that was said so far without it. ``steps=False`` makes no steps.
        ``known`` are further fields of the `LLMCall`; what is not named is not known.
        """
        said = ChatMessage(role="assistant", content=text, calls=tuple(calls), blocks=tuple(blocks))
        call = self.add_call(said, sent, **known)
        self._say(said)
        self._replied = len(self.messages)
        if steps:
            for asked in calls:
                self.ask(asked, reasoning=text or _thought(blocks), call=call)
        return call

    def add_call(
        self, said: ChatMessage | None, sent: Sequence[ChatMessage] | None = None, **known: Any
    ) -> LLMCall:
        """A call of the model; ``said`` is ``None`` if it failed.

        ``sent`` are the messages sent, all that was said so far without it.
        """
        messages = self._as_sent(sent) if sent is not None else self._so_far()
        fields: dict[str, Any] = {
            "timestamp": None,
            "duration_ms": None,
            "method": "generate_with_tools" if said and said.calls else "generate",
            "temperature": None,
            "max_tokens": None,
            "input_tokens": None,
            "output_tokens": None,
            "model": self.model,
            **known,
        }
        call = LLMCall(
            index=len(self.calls),
            prompt=messages[-1].content if messages else "",
            system_prompt=_system_prompt(messages),
            response=None if said is None else _response(said),
            messages=messages,
            **fields,
        )
        self.calls.append(call)
        return call

    def ask(
        self, asked: CallRequest, *, reasoning: str = "", call: LLMCall | None = None
    ) -> StepRecord:
        """A tool call; its result is told by ``answer``."""
        number = len(self.steps) + 1
        call_id = asked.id or f"call-{number}"
        step = StepRecord(
            step_num=number,
            tool_call=ToolCall(asked.name, dict(asked.input), reasoning, call_id),
            tool_result=ToolResult(
                asked.name,
                summarize_args(dict(asked.input)),
                None,
                call_id=call_id,
                warnings=[NO_RESULT],
            ),
            llm_call_indices=[] if call is None else [call.index],
        )
        if call is not None and call.step_num is None:
            call.step_num = number
        self.steps.append(step)
        self._open.append(step)
        return step

    def answer(
        self,
        data: JSON,
        *,
        call_id: str | None = None,
        tool: str | None = None,
        error: str | None = None,
        kind: ErrorKind | None = None,
        extra: Mapping[str, JSON] | None = None,
    ) -> StepRecord:
        """The result of the call with that id, of the first open one without an id.

        A result that nothing asked for is a step of its own, with a warning.
        """
        step = self._take_open(call_id)
        if step is None:
            step = self.ask(CallRequest(id=call_id or "", name=tool or "unknown", input={}))
            self._open.pop()
            step.tool_result.warnings = [NO_CALL]
        else:
            step.tool_result.warnings = []
        step.tool_result.data = data
        step.tool_result.error = error
        if error is not None and kind is not None:
            step.tool_result.error_detail = ToolError(kind, error)
        step.tool_result.metadata = dict(extra or {})
        return step

    @property
    def is_waiting(self) -> bool:
        """Whether a step has no result yet."""
        return bool(self._open)

    def waiting_for(self, call_id: str | None, tool: str | None = None) -> str | None:
        """The call id of the open step that a result with that id answers.

        Where none has the id, it is the first step of that tool: some servers give no ids, and
        some clients make up others.
        """
        known = [step.tool_call for step in self._open]
        by_id = (each.call_id for each in known if each.call_id == call_id)
        by_tool = (each.call_id for each in known if tool is not None and each.tool == tool)
        return next(by_id, None) or next(by_tool, None)

    @property
    def waiting(self) -> set[str]:
        """The ids of the calls that have no result yet."""
        return {step.tool_call.call_id for step in self._open}

    def step_waiting(self, call_id: str) -> StepRecord:
        """The open step that ``answer`` would give the result of that id to."""
        return next(step for step in self._open if step.tool_call.call_id == call_id)

    def last_text(self) -> str | None:
        """What the model said last, if that was a text and no call."""
        said = next((each for each in reversed(self.messages) if each.role == "assistant"), None)
        return said.content or None if said and not said.calls else None

    def told_beside(self) -> dict[str, JSON]:
        """What was said after the last reply, and what the source says of messages, if anything."""
        after = [message.to_dict() for message in self.messages[self._replied :]]
        about: dict[str, JSON] = {}
        if after:
            about["messages_after_last_call"] = after
        if self._extras:
            about["message_extras"] = self._extras
        return about

    def build(self, source: Source, record: Node, *, form: str, **known: Any) -> Trajectory:
        """The trajectory. ``form`` is the format's name, ``known`` are fields of `Trajectory`.

        Its id is a hash of file name, place and content, so that importing again gives the same.
        What was said after the last reply is kept in the metadata, as no call sends it.
        """
        name = digest(f"{form} {source.path.name} {record.place} {canonical(record.value)}")[:24]
        task = known.pop("task", None)
        for step, link in zip(self.steps, chain(task, self.steps), strict=True):
            step.digest = link
            step.pretty = step.to_step().pretty()
        told = {**(known.pop("metadata", None) or {}), **self.told_beside()}
        metadata = {key: value for key, value in told.items() if value not in (None, {})}
        run_id = known.pop("run_id", None) or name  # some versions of a format name no run
        fields = {"model": self._first_model(), **known}
        return Trajectory(
            trajectory_id=name,
            run_id=run_id,
            task=task,
            steps=self.steps,
            llm_calls=self.calls,
            metadata=metadata,
            source_format=form,
            source_uri=source.uri,
            **fields,
        )

    def _say(self, message: ChatMessage) -> None:
        self.messages.append(message)
        self._told += 1

    def _so_far(self) -> SoFar[ChatMessage]:
        return SoFar(self.messages, len(self.messages))

    def _as_sent(self, sent: Sequence[ChatMessage]) -> Sequence[ChatMessage]:
        """The messages of a call, without a copy where they are those that were said so far.

        A copy for each call of a run of thousands of turns would take gigabytes.
        """
        if len(sent) <= len(self.messages) and all(map(is_, sent, self.messages)):
            return SoFar(self.messages, len(sent))
        return tuple(sent)

    def _take_open(self, call_id: str | None) -> StepRecord | None:
        for index, step in enumerate(self._open):
            if call_id is None or step.tool_call.call_id == call_id:
                return self._open.pop(index)
        return None

    def _first_model(self) -> str | None:
        return self.model or next((call.model for call in self.calls if call.model), None)


def _system_prompt(messages: Sequence[ChatMessage]) -> str:
    return messages[0].content if messages and messages[0].role == "system" else ""


def _response(said: ChatMessage) -> str | list[Block]:
    if said.blocks:
        return [dict(block) for block in said.blocks]
    if not said.calls:
        return said.content
    head: list[Block] = [{"type": "text", "text": said.content}] if said.content else []
    return head + [{"type": "tool_use", **call.to_dict()} for call in said.calls]


def _thought(blocks: Sequence[Mapping[str, JSON]]) -> str:
    thoughts = (block.get("thinking") for block in blocks if block.get("type") == "thinking")
    return "\n".join(thought for thought in thoughts if isinstance(thought, str))
