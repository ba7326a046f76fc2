"""mini-swe-agent: one run of an agent that has nothing but a shell.

https://mini-swe-agent.com: ``messages`` with ``info`` and ``trajectory_format``; the first
versions wrote the list of messages alone. Actions stand in a fenced block of the reply, in its
native tool calls, or in the items of a response of OpenAI's Responses API; what an action gave is
the message after it. ``extra`` of a message holds what the agent made of it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from looplet.core.codec import JSON
from looplet.core.messages import CallRequest, ChatMessage
from looplet.trajectory.importers import chat
from looplet.trajectory.importers.builder import RunBuilder
from looplet.trajectory.importers.nodes import Node
from looplet.trajectory.importers.registry import Format
from looplet.trajectory.importers.replies import Reply, chat_reply, response_reply
from looplet.trajectory.importers.sources import Source
from looplet.trajectory.model import StepRecord, Trajectory

NAME = "mini-swe-agent"
SUFFIX = ".traj.json"
TOOL = "bash"
MARKERS = ("COMPLETE_TASK_AND_SUBMIT_FINAL_OUTPUT", "MINI_SWE_AGENT_FINAL_OUTPUT", "<returncode>")
"""Words of the agent's own protocol with its model."""
FORMAT_KEY = "trajectory_format"
_BLOCK = re.compile(r"```(?:mswea_bash_command|bash|sh)[ \t]*\n(.*?)\n?```", re.DOTALL)
_RETURN_CODE = re.compile(r"<returncode>\s*(-?\d{1,9})\s*</returncode>")
_STOP_REASONS = {
    "Submitted": "done",
    "LimitsExceeded": "budget_exhausted",
    "TimeExceeded": "budget_exhausted",
}


def sniff(source: Source) -> bool:
    """The format's own name, what the agent tells of itself, or its words in a list of messages."""
    outline = source.outline
    if outline.kind == "array":
        return any(_speaks_of_protocol(message) for message in outline.elements)
    members, info = outline.members, outline.members.get("info")
    if str(members.get(FORMAT_KEY)).startswith(NAME):
        return True
    has_info = isinstance(info, dict) and bool(info.keys() & {"mini_version", "model_stats"})
    return has_info and isinstance(members.get("messages"), list)


def read(source: Source) -> Iterator[Trajectory]:
    """The one run of a file, or of each line."""
    records = source.records()
    if source.outline.kind == "array":
        messages = list(records)
        whole = Node({"messages": [each.value for each in messages]})
        records = iter([whole] if messages else [])
    return source.read_each(records, lambda record: _run(record, source))


def _speaks_of_protocol(message: JSON) -> bool:
    content = message.get("content") if isinstance(message, dict) else None
    return isinstance(content, str) and any(marker in content for marker in MARKERS)


def _run(record: Node, source: Source) -> Trajectory:
    info = record.get("info")
    config = info.get("config")
    run = _Messages(RunBuilder(model=config.get("model").get("model_name").text()))
    for message in record.need("messages").items():
        run.take(message)
    status = info.get("exit_status").label() or run.exit.get("exit_status")
    ended = _STOP_REASONS.get(str(status)) if status else run.submitted
    error = info.get("traceback").text()
    name = source.path.name
    return run.builder.build(
        source,
        record,
        form=NAME,
        task_id=record.get("instance_id").label()
        or (name.removesuffix(SUFFIX) if name.endswith(SUFFIX) else None),
        task={"prompt": run.prompt},
        agent=NAME,
        final_output=run.final_output(info.get("submission").value),
        stop_reason="error" if error and ended is None else ended,
        error=error,
        cost_usd=info.get("model_stats").get("instance_cost").number(),
        metadata=record.rest("messages", "info", "instance_id")
        | {"info": info.rest("submission", "traceback"), "exit": run.exit},
    )


class _Messages:
    """Takes the messages of a run in their order."""

    def __init__(self, builder: RunBuilder) -> None:
        self.builder = builder
        self.prompt: str | None = None
        """What the user said first."""
        self.exit: dict[str, JSON] = {}
        """What the agent said of its end."""
        self.submitted: str | None = None
        """``done`` if the last command submits, which a bare list of messages tells by itself."""

    def take(self, message: Node) -> None:
        """One message."""
        if message.get("object").value == "response":
            self._reply(response_reply(message), message)
        elif message.get("type").value == "function_call_output":
            text, blocks = chat.content_of(message.get("output"))
            call_id = message.get("call_id").label()
            said = ChatMessage(role="tool", content=text, call_id=call_id, blocks=blocks)
            self._answer(said, message)
        elif message.get("role").value == "exit":
            self._exit(message)
        else:
            self._take_said(chat.message_of(message), message)

    def final_output(self, submission: JSON) -> JSON:
        """What was submitted; a bare list of messages has it as what the last command gave."""
        if submission is not None or "submission" in self.exit:
            return self.exit.get("submission") if submission is None else submission
        steps = self.builder.steps
        return steps[-1].tool_result.data if self.submitted and steps else None

    def _take_said(self, said: ChatMessage, message: Node) -> None:
        if said.role == "assistant":
            self._reply(Reply(text=said.content, calls=said.calls, blocks=said.blocks), message)
            return
        if said.role == "user" and self.prompt is None:
            self.prompt = said.content
        if said.role == "tool" or (said.role == "user" and self.builder.is_waiting):
            self._answer(said, message)
        else:
            self.builder.hear(said, extra=message.rest(*_MESSAGE_KEYS))

    def _reply(self, reply: Reply, message: Node) -> None:
        known = {"metadata": _told(message)} | _known(message, reply)
        call = self.builder.reply(reply.text, reply.calls, blocks=reply.blocks, **known)
        commands = [asked.input.get("command") for asked in reply.calls]
        for command in () if reply.calls else _commands(reply.text, message):
            asked = CallRequest(id="", name=TOOL, input={"command": command})
            self.builder.ask(asked, reasoning=_BLOCK.sub("", reply.text).strip(), call=call)
            commands.append(command)
        submits = any(marker in str(each) for each in commands for marker in MARKERS[:2])
        self.submitted = "done" if submits else None

    def _answer(self, said: ChatMessage, message: Node) -> None:
        extra = message.get("extra")
        self.builder.hear(said)
        failure = extra.get("exception_info").text()
        code = extra.get("returncode").value
        if code is None and (found := _RETURN_CODE.search(said.content)):
            code = int(found[1])
        told = message.rest(*_MESSAGE_KEYS, "extra", "output", "call_id", "type")
        told |= extra.rest("raw_output", "returncode", "exception_info", "timestamp")
        whole = extra.get("raw_output").value
        if isinstance(whole, str) and whole.strip() not in said.content:  # it was cut for the model
            told["raw_output"] = whole
        step = self.builder.answer(
            None if failure else said.content,
            call_id=said.call_id,
            tool=TOOL,
            error=f"{failure}\n{said.content}" if failure else None,
            extra=told if code is None else {"returncode": code} | told,
        )
        _set_time(step, extra.get("timestamp").number())

    def _exit(self, message: Node) -> None:
        """The end; what the last command gave is in it."""
        self.exit = message.rest("role", "content") | message.get("extra").fields()
        self.exit.pop("extra", None)
        while self.builder.is_waiting:
            self.builder.answer(message.get("content").value)


_MESSAGE_KEYS = ("role", "content", "tool_calls", "function_call", "tool_call_id")


def _told(message: Node) -> dict[str, JSON]:
    """What a reply has beside; of the provider's own answer, what is not in the message."""
    extra, response = message.get("extra"), message.get("extra").get("response")
    told = message.rest(*_MESSAGE_KEYS, "extra", "object", "output", "usage", "model", "created_at")
    told |= extra.rest("response", "actions")
    if isinstance(response.value, Mapping):
        told["response"] = response.rest("choices", "usage", "model", "object", "created")
    return told


def _known(message: Node, reply: Reply) -> dict[str, Any]:
    """Tokens, model and time, as the provider's answer has them."""
    response = message.get("extra").get("response")
    if isinstance(response.value, Mapping) and response.get("choices").value:
        return chat_reply(response).known
    return reply.known


def _commands(text: str, message: Node) -> list[str]:
    """The commands of a reply without native calls: as the agent read it, or the one block."""
    actions = message.get("extra").get("actions")
    if actions.known:
        given = [
            each.get("command") if isinstance(each.value, dict) else each
            for each in actions.items()
        ]
        return [each.text() or "" for each in given]
    found = _BLOCK.findall(text)
    return found if len(found) == 1 else []


def _set_time(step: StepRecord, seconds: float | None) -> None:
    step.timestamp = seconds


FORMAT = Format(name=NAME, sniff=sniff, read=read)
