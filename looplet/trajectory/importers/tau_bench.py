"""tau-bench: a list of results, each a run of an agent with tools and a simulated user.

https://github.com/sierra-research/tau-bench: ``task_id``, ``trial``, ``reward``, ``info`` and
``traj``, the messages in OpenAI's chat form. A tool's result that begins with "Error" is one, as
the benchmark's tools write it. Agents that act in text (ReAct, Act) write ``Action:`` and a JSON
object; it called a tool if the message after it begins with ``API output:``.
"""

from __future__ import annotations

from collections.abc import Iterator

from looplet.core.codec import JSON
from looplet.core.messages import CallRequest, ChatMessage
from looplet.trajectory.importers import chat
from looplet.trajectory.importers.builder import RunBuilder
from looplet.trajectory.importers.nodes import Node
from looplet.trajectory.importers.registry import Format
from looplet.trajectory.importers.sources import Source
from looplet.trajectory.model import Trajectory

NAME = "tau-bench"
STOP = "###STOP###"
"""What the simulated user says when it is done."""
ACTION, OUTPUT = "Action:", "API output: "
HANDING_OVER = "transfer_to_human_agents"
"""The tool with which the benchmark's environments end a run."""
_OWN = frozenset({"task_id", "traj"})
_HINTS = frozenset({"reward", "trial", "info"})


def sniff(source: Source) -> bool:
    """Results have a task, messages, and a reward, a trial or what is known of the task."""
    result = source.outline.first
    return result.keys() >= _OWN and not _HINTS.isdisjoint(result)


def read(source: Source) -> Iterator[Trajectory]:
    """One run a result."""
    return source.read_each(source.records(), lambda result: _run(result, source))


def _run(result: Node, source: Source) -> Trajectory:
    run = RunBuilder()
    messages = result.need("traj").items()
    for index, message in enumerate(messages):
        _take(run, message, messages[index + 1] if index + 1 < len(messages) else None)
    info = result.get("info")
    error = info.get("error").label()
    return run.build(
        source,
        result,
        form=NAME,
        task_id=result.get("task_id").label(),
        trial=result.get("trial").integer(bits=32),
        reward=result.get("reward").number(),
        task=_task(info.get("task")),
        expected=_expected(info.get("task")),
        final_output=run.last_text(),
        stop_reason="error" if error else _stop_reason(run),
        error=error,
        metadata={"info": info.rest("task")}
        | result.rest("task_id", "trial", "reward", "info", "traj"),
    )


def _take(run: RunBuilder, message: Node, after: Node | None) -> None:
    said = chat.message_of(message)
    if said.role == "assistant":
        extra = message.rest("role", "content", "tool_calls", "function_call")
        call = run.reply(said.content, said.calls, blocks=said.blocks, metadata=extra)
        given = None if after is None else _output_in(after)
        asked = None if said.calls or given is None else _action_in(said.content)
        if asked is not None:
            thought = said.content.partition(ACTION)[0].strip()
            run.ask(asked, reasoning=thought, call=call)
            _answer(run, given or "")
        return
    run.hear(said, extra=message.rest("role", "content", "tool_call_id", "name"))
    if said.role == "tool":
        _answer(run, said.content, call_id=said.call_id, tool=message.get("name").text())


def _answer(
    run: RunBuilder, text: str, *, call_id: str | None = None, tool: str | None = None
) -> None:
    failed = text.startswith("Error")
    run.answer(None if failed else text, call_id=call_id, tool=tool, error=text if failed else None)


def _output_in(message: Node) -> str | None:
    """What a tool gave to an agent that acts in text."""
    text = message.get("content").value
    if message.get("role").value != "user" or not isinstance(text, str):
        return None
    return text.removeprefix(OUTPUT) if text.startswith(OUTPUT) else None


def _action_in(text: str) -> CallRequest | None:
    action = chat.json_in(text.rpartition(ACTION)[2])
    if not isinstance(action, dict) or not isinstance(action.get("name"), str):
        return None
    return CallRequest(id="", name=action["name"], input=chat.arguments_of(action.get("arguments")))


def _task(task: Node) -> JSON:
    """What was asked: all of the task but what is checked."""
    return task.rest("actions", "outputs") if isinstance(task.value, dict) else task.value


def _expected(task: Node) -> JSON:
    """The actions and outputs that the reward is computed from."""
    known = task.fields() if isinstance(task.value, dict) else {}
    return {name: known[name] for name in ("actions", "outputs") if name in known} or None


def _stop_reason(run: RunBuilder) -> str | None:
    """``done`` where the user, or a tool that hands over, ended it; otherwise not known."""
    last = run.messages[-1] if run.messages else ChatMessage(role="user")
    given = last.role == "tool" or last.content.startswith(OUTPUT)
    handed_over = given and bool(run.steps) and run.steps[-1].tool_call.tool == HANDING_OVER
    return "done" if handed_over or (last.role == "user" and STOP in last.content) else None


FORMAT = Format(name=NAME, sniff=sniff, read=read)
