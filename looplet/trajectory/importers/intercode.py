"""InterCode: an object of tasks, each with the actions of an agent and what they gave.

https://github.com/princeton-nlp/intercode, ``data/results``: ``query``, ``turn_history`` with
``actions``, ``observations``, ``rewards`` and ``valid_action`` (and ``thoughts``, where the agent
thinks aloud), ``summary``. Some files have the tasks under ``logs``; those that people solved have
a ``trajectory`` of ``action`` and ``observation`` instead. No message is kept, so there are no
calls of a model. An action that is not valid failed, and what it gave is its error.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from looplet.core.codec import JSON, canonical
from looplet.core.messages import CallRequest
from looplet.trajectory.importers.builder import RunBuilder
from looplet.trajectory.importers.nodes import Node
from looplet.trajectory.importers.problems import Malformed
from looplet.trajectory.importers.registry import Format
from looplet.trajectory.importers.sources import Source
from looplet.trajectory.model import Trajectory

NAME = "intercode"
SUBMIT = "submit"
_TASK = frozenset({"query", "environment"})
_LISTS = ("actions", "observations", "rewards", "valid_action", "thoughts")


def sniff(source: Source) -> bool:
    """The first task has a history of turns, or actions with observations."""
    members = source.outline.members
    if source.outline.kind != "object":
        return False
    tasks = members.get("logs", members)
    first = next(iter(tasks.values()), None) if isinstance(tasks, dict) else None
    return _is_task(first)


def read(source: Source) -> Iterator[Trajectory]:
    """One run a task."""
    return source.read_each(_tasks(source), lambda task: _run(task, source))


def _is_task(value: JSON) -> bool:
    if not isinstance(value, Mapping):
        return False
    history = value.get("turn_history")
    if isinstance(history, Mapping):
        return "actions" in history
    return value.keys() >= _TASK and isinstance(value.get("trajectory"), list)


def _tasks(source: Source) -> Iterator[Node]:
    if source.outline.kind != "object":
        source.report(source.outline.broken or Malformed("", "it is no object of tasks"))
        return
    if "logs" in source.outline.members:
        for _, task in Node(source.outline.members["logs"], "$.logs").members():
            yield task
        if source.outline.broken is not None:
            source.report(source.outline.broken)
        return
    for _, task in source.members():
        yield task


def _run(task: Node, source: Source) -> Trajectory:
    run = RunBuilder()
    tool = (task.get("environment").text() or "environment").removeprefix("ic_")
    history = task.get("turn_history")
    turns = _turns(history) if history.known else _pairs(task.need("trajectory"))
    for turn in turns:
        _take(run, turn, tool)
    summary, given = task.get("summary"), ("task_id", "query_idx", "dataset", "turn_history")
    best = summary.get("max_reward").number()
    reward = task.get("reward").number() if best is None else best
    return run.build(
        source,
        task,
        form=NAME,
        task_id=task.first("task_id", "query_idx").label(),
        dataset=task.get("dataset").label(),
        reward=reward,
        task={"query": task.get("query").value, "environment": task.get("environment").value},
        expected=_expected(task),
        final_output=_last_result(run),
        stop_reason=_stop_reason(run, reward, summary.get("turns_max").number()),
        metadata=task.rest(*given, "query", "environment", "gold", "reward", "trajectory")
        | history.rest(*_LISTS),
    )


def _turns(history: Node) -> Iterator[dict[str, Node]]:
    """What each turn has, by the names of the lists."""
    lists = {name: history.get(name).items() for name in _LISTS}
    count = len(lists["actions"])
    for name, items in lists.items():
        if len(items) > count:
            raise Malformed(history.place, f"has {len(items)} {name} for {count} actions")
    for index in range(count):
        yield {name: items[index] for name, items in lists.items() if index < len(items)}


def _pairs(trajectory: Node) -> Iterator[dict[str, Node]]:
    for turn in trajectory.items():
        yield {"actions": turn.need("action"), "observations": turn.get("observation")}


def _take(run: RunBuilder, turn: Mapping[str, Node], tool: str) -> None:
    action = turn["actions"].label() or ""
    thought, seen = turn.get("thoughts", _ABSENT).text(), turn.get("observations", _ABSENT)
    submits = action == SUBMIT or action.startswith(f"{SUBMIT} ")
    asked = CallRequest(id="", name=SUBMIT if submits else tool, input={"action": action})
    step = run.ask(asked, reasoning=thought or "")
    if "observations" in turn:
        failed = turn.get("valid_action", _ABSENT).flag() is False
        error = seen.value if isinstance(seen.value, str) else canonical(seen.value)
        run.answer(None if failed else seen.value, error=error if failed else None)
    rewards = turn.get("rewards", _ABSENT)
    step.metadata = {"reward": rewards.number()} if rewards.known else {}


_ABSENT = Node(None)


def _expected(task: Node) -> JSON:
    """The right answer: the query of a reference, or what it gave."""
    gold, seen = task.get("gold"), None
    if isinstance(task.get("info").value, dict):
        seen = task.get("info").get("eval_obs").value
    return gold.value if gold.known else seen


def _last_result(run: RunBuilder) -> JSON:
    if not run.steps:
        return None
    result = run.steps[-1].tool_result
    return result.data if result.error is None else result.error


def _stop_reason(run: RunBuilder, reward: float | None, turns_max: float | None) -> str | None:
    """The environment ends a run that is solved, or submitted, and one that has had its turns."""
    if not run.steps:
        return None
    if reward == 1 or run.steps[-1].tool_call.tool == SUBMIT:
        return "done"
    return "budget_exhausted" if turns_max is not None and len(run.steps) >= turns_max else None


FORMAT = Format(name=NAME, sniff=sniff, read=read)
