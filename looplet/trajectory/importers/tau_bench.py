"""tau-bench: a list of results, each a run of an agent with tools and a simulated user.

https://github.com/sierra-research/tau-bench: ``task_id``, ``trial``, ``reward``, ``info`` and
``traj``, the messages in OpenAI's chat form. A tool's result that begins with "Error" is one, as
the benchmark's tools write it.
"""

from __future__ import annotations

from collections.abc import Iterator

from looplet.core.codec import JSON
from looplet.core.messages import ChatMessage
from looplet.trajectory.importers import chat
from looplet.trajectory.importers.builder import RunBuilder
from looplet.trajectory.importers.nodes import Node
from looplet.trajectory.importers.registry import Format
from looplet.trajectory.importers.sources import Source
from looplet.trajectory.model import Trajectory

NAME = "tau-bench"
STOP = "###STOP###"
"""What the simulated user says when it is done."""
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
    for message in result.need("traj").items():
        _take(run, message)
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


def _take(run: RunBuilder, message: Node) -> None:
    said = chat.message_of(message)
    if said.role == "assistant":
        extra = message.rest("role", "content", "tool_calls", "function_call")
        run.reply(said.content, said.calls, blocks=said.blocks, metadata=extra)
        return
    run.hear(said, extra=message.rest("role", "content", "tool_call_id", "name"))
    if said.role == "tool":
        failed = said.content.startswith("Error")
        run.answer(
            None if failed else said.content,
            call_id=said.call_id,
            tool=message.get("name").text(),
            error=said.content if failed else None,
        )


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
    handed_over = last.role == "tool" and run.steps[-1].tool_call.tool == HANDING_OVER
    return "done" if handed_over or (last.role == "user" and STOP in last.content) else None


FORMAT = Format(name=NAME, sniff=sniff, read=read)
