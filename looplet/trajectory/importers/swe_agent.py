"""SWE-agent: a ``.traj`` file, one run of an agent that mends a repository.

https://swe-agent.com/latest/usage/trajectories: ``trajectory`` has a step for each action, with
``response``, ``thought``, ``action``, ``observation`` and since 1.1 ``query``, what the model was
sent; ``history`` has the messages, and ``info`` the outcome. Demonstrations have a history only.
Steps come from ``trajectory`` where there is one; the model's calls from the history, and from
those steps that the history leaves out, as attempts that the model had to correct.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from looplet.core.codec import JSON
from looplet.core.messages import CallRequest, ChatMessage
from looplet.trajectory.importers import chat
from looplet.trajectory.importers.builder import RunBuilder
from looplet.trajectory.importers.nodes import Node
from looplet.trajectory.importers.registry import Format
from looplet.trajectory.importers.sources import Source
from looplet.trajectory.model import LLMCall, StepRecord, Trajectory

NAME = "swe-agent"
SUFFIX = ".traj"
LOOK_AHEAD = 20
"""How many steps the history may leave out in a row."""
OWN_COMMANDS = frozenset(
    (
        "open",
        "goto",
        "scroll_down",
        "scroll_up",
        "create",
        "edit",
        "insert",
        "append",
        "submit",
        "find_file",
        "search_dir",
        "search_file",
        "str_replace_editor",
        "view_image",
        "filemap",
        "exit_cost",
        "exit_context",
        "exit_forfeit",
    )
)
"""Commands that the agent brings; anything else is a command of the shell's."""
_STOP_REASONS = {
    "submitted": "done",
    "exit_cost": "budget_exhausted",
    "exit_total_execution_time": "budget_exhausted",
    "exit_api": "llm_error",
    "exit_error": "error",
    "exit_environment_error": "error",
}


def sniff(source: Source) -> bool:
    """Steps with action and observation, or a history of messages with an agent's name."""
    members = source.outline.members
    steps, history = members.get("trajectory"), members.get("history")
    if _has_attempts(members):
        return True
    if isinstance(steps, list) and "messages" not in members:
        first = next(iter(steps), None)
        has_steps = isinstance(first, dict) and {"action", "observation"} <= first.keys()
        return has_steps or (not steps and isinstance(history, list))
    first = next(iter(history), None) if isinstance(history, list) else None
    return isinstance(first, dict) and "role" in first and bool(first.keys() & _AGENT_KEYS)


_AGENT_KEYS = {"agent", "message_type", "is_demo"}


def read(source: Source) -> Iterator[Trajectory]:
    """The one run of a file, or of each line; or all attempts, where none was chosen."""
    return source.read_each(_records(source), lambda record: _run(record, source))


def _records(source: Source) -> Iterator[Node]:
    if _has_attempts(source.outline.members):
        for record in source.records():
            yield from record.get("attempts").items()
    else:
        yield from source.records()


def _has_attempts(members: Mapping[str, JSON]) -> bool:
    """Whether an agent tried several times, and was stopped before it chose the best."""
    attempts = members.get("attempts")
    first = attempts[0] if isinstance(attempts, list) and attempts else None
    return "trajectory" not in members and isinstance(first, dict) and "trajectory" in first


def _run(record: Node, source: Source) -> Trajectory:
    config = _config_of(record.get("replay_config"))
    problem = config.get("problem_statement")
    run = _History(record, RunBuilder(model=config.get("agent").get("model").get("name").text()))
    run.take()
    info = record.get("info")
    status = info.get("exit_status").label()
    stem = source.path.name
    return run.builder.build(
        source,
        record,
        form=NAME,
        task_id=problem.get("id").label()
        or (stem.removesuffix(SUFFIX) if stem.endswith(SUFFIX) else None),
        task=problem.value if problem.known else {"prompt": run.prompt},
        agent="SWE-agent",
        final_output=info.get("submission").value,
        stop_reason=_STOP_REASONS.get(status or ""),
        cost_usd=info.get("model_stats").get("instance_cost").number(),
        metadata=record.rest("trajectory", "history", "info") | {"info": info.rest("submission")},
    )


def _config_of(config: Node) -> Node:
    """The configuration to replay a run with, which newer versions keep as text."""
    if isinstance(config.value, str):
        return Node(chat.json_in(config.value), config.place)
    return config


class _History:
    """Goes through messages and steps side by side."""

    def __init__(self, record: Node, builder: RunBuilder) -> None:
        self.builder = builder
        self.prompt: str | None = None
        """What the user said first, demonstrations aside."""
        self._messages = record.get("history").items()
        self._steps = record.get("trajectory").items()
        self._next = 0
        self._queried = _Queries()

    def take(self) -> None:
        """All of them, in order."""
        for message in self._messages:
            self._take_message(message)
        for step in self._steps[self._next :]:
            self._take_step(step, self._said_in(step))

    def _take_message(self, message: Node) -> None:
        said = _message_of(message)
        if said.role != "assistant" or message.get("is_demo").value:
            self._hear(said, message)
            return
        matching = self._step_for(message)
        if matching is None:
            self._reply(said, message)
            return
        for step in self._steps[self._next : matching]:
            self._take_attempt(step)
        self._next = matching + 1
        self._take_step(self._steps[matching], said, message)

    def _hear(self, said: ChatMessage, message: Node) -> None:
        is_demo = bool(message.get("is_demo").value)
        if said.role == "user" and not is_demo and self.prompt is None:
            self.prompt = said.content
        answers = said.role != "assistant" and not is_demo and not self._steps
        self.builder.hear(said, extra=message.rest(*_MESSAGE_KEYS, "tool_call_ids"))
        if answers and self.builder.steps and self.builder.is_waiting:
            self.builder.answer(said.content, call_id=said.call_id)

    def _reply(self, said: ChatMessage, message: Node) -> None:
        """A turn that no step tells of; it makes steps itself where there are none."""
        call = self._call(said, message=message, sent=None)
        action = message.get("action").text()
        if self._steps:
            return
        for asked in said.calls or ([_command(action)] if action else []):
            step = self.builder.ask(asked, reasoning=message.get("thought").text() or "", call=call)
            step.metadata = {"action": action} if action else {}

    def _take_attempt(self, step: Node) -> None:
        """A step that the history leaves out: what the model said there was not sent again."""
        said = self._said_in(step)
        call = self.builder.add_call(said, self._sent(step)) if said else None
        self._record(step, said, call)

    def _take_step(self, step: Node, said: ChatMessage | None, message: Node | None = None) -> None:
        sent = self._sent(step)
        call = None if said is None else self._call(said, message=message, sent=sent)
        self._record(step, said, call)

    def _call(
        self, said: ChatMessage, *, message: Node | None, sent: Sequence[ChatMessage] | None
    ) -> LLMCall:
        extra = message.rest(*_MESSAGE_KEYS, "thinking_blocks") if message else {}
        return self.builder.reply(
            said.content, said.calls, blocks=said.blocks, sent=sent, steps=False, metadata=extra
        )

    def _record(self, step: Node, said: ChatMessage | None, call: LLMCall | None) -> None:
        action = step.get("action").text() or ""
        calls = said.calls if said else ()
        asked = calls[0] if len(calls) == 1 else _command(action)
        record = self.builder.ask(asked, reasoning=step.get("thought").text() or "", call=call)
        self.builder.answer(step.get("observation").value, call_id=record.tool_call.call_id)
        record.metadata = {"action": action} | step.rest(*_STEP_KEYS)
        _set_duration(record, step.get("execution_time").number())

    def _said_in(self, step: Node) -> ChatMessage | None:
        """What the model said before a step that the history leaves out; nothing if it failed."""
        text = step.get("response").text()
        return ChatMessage(role="assistant", content=text) if text else None

    def _sent(self, step: Node) -> Sequence[ChatMessage] | None:
        """What the model was sent; all that was said so far if the step does not tell."""
        query = step.get("query")
        query = query if query.known else step.get("messages")
        if not isinstance(query.value, list) or not query.value:
            return None
        return self._queried.messages(query)

    def _step_for(self, message: Node) -> int | None:
        """The step that a message led to: the next one, but for those that are left out."""
        for place in range(self._next, min(self._next + LOOK_AHEAD, len(self._steps))):
            if _belongs(self._steps[place].fields(), message.fields()):
                return place
        return None


class _Queries:
    """What the model was sent, step by step; each message is read once."""

    def __init__(self) -> None:
        self._known: dict[str, ChatMessage] = {}

    def messages(self, query: Node) -> list[ChatMessage]:
        return [self._message(item) for item in query.items()]

    def _message(self, item: Node) -> ChatMessage:
        name = json.dumps(item.value, sort_keys=True)
        if name not in self._known:
            self._known[name] = _message_of(item)
        return self._known[name]


_MESSAGE_KEYS = ("role", "content", "thought", "action", "tool_calls", "function_call")
_STEP_KEYS = ("action", "observation", "response", "thought", "execution_time", "query", "messages")


def _belongs(step: dict[str, Any], message: dict[str, Any]) -> bool:
    pairs = (("response", "content"), ("action", "action"), ("thought", "thought"))
    return any(step.get(one) and step.get(one) == message.get(two) for one, two in pairs)


def _message_of(message: Node) -> ChatMessage:
    """A message of the history's; its tool's results name their calls in a list."""
    said = chat.message_of(message)
    thoughts = tuple(each.fields() for each in message.get("thinking_blocks").items())
    if said.role == "assistant" and thoughts and not said.blocks:
        text: list[dict[str, JSON]] = [{"type": "text", "text": said.content}]
        calls = [{"type": "tool_use", **call.to_dict()} for call in said.calls]
        blocks = (*thoughts, *(text if said.content else []), *calls)
        return ChatMessage(role="assistant", content=said.content, calls=said.calls, blocks=blocks)
    ids = message.get("tool_call_ids").items()
    if said.role != "tool" or not ids:
        return said
    return ChatMessage(
        role="tool", content=said.content, call_id=ids[0].label(), blocks=said.blocks
    )


def _command(action: str) -> CallRequest:
    """An action in text, as a call: of a command of the agent's, or of the shell."""
    word = action.split(maxsplit=1)[0] if action.strip() else ""
    if not word:
        return CallRequest(id="", name="no_action", input={})
    name = word if word in OWN_COMMANDS else "bash"
    return CallRequest(id="", name=name, input={"command": action})


def _set_duration(record: StepRecord, seconds: float | None) -> None:
    if seconds is not None:
        record.duration_ms = record.tool_result.duration_ms = seconds * 1000


FORMAT = Format(name=NAME, sniff=sniff, read=read)
