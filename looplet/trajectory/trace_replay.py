"""A recorded run again: the loop runs anew, and the trace answers for the model.

Knows the loop and a trace's records; knows no way of writing them.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from looplet.core.backend import Reply
from looplet.core.codec import JSON, from_jsonable
from looplet.core.config import LoopConfig
from looplet.core.lastcall import CallOutcome, LastCall, TellsLastCall
from looplet.core.loop import composable_loop
from looplet.core.records import Step
from looplet.core.refailing import failure_of, failure_of_text, is_interrupt
from looplet.errors import ReplyCut, TraceDamaged, TraceMissing, TraceUnplayable
from looplet.trajectory.call_texts import read_response, split_response
from looplet.trajectory.model import LLMCall
from looplet.trajectory.recording import FAILURE, LACKS_TOOLS, scope_of, step_of
from looplet.trajectory.trace_dir import CALL_FILE
from looplet.trajectory.trace_format import call_from_record
from looplet.trajectory.trace_reading import Trace, call_file, naming, open_trace


def replay_loop(
    trace_dir: str | os.PathLike[str],
    *,
    tools: Any,
    state: Any = None,
    hooks: Sequence[Any] | None = None,
    config: LoopConfig | None = None,
    task: Any = None,
) -> Generator[Step, None, Any]:
    """Run the loop anew on the replies that a trace directory holds; no model is called.

    Tools, hooks and permissions really run. ``task`` is the saved one unless given, and without
    ``config`` the run may have as many steps as calls were recorded, or steps if those are more.
    Of ``config`` the router and the checkpoints are left out, and pauses between attempts are not
    waited for. Recorded errors are raised again, and calls with a scope answer the same scope,
    within it the same step first.

    Raises ``TraceMissing``, which is a ``FileNotFoundError``, if there is no directory or no call;
    ``TraceUnplayable``, which is a ``RuntimeError``, out of the generator and at once, if the run
    asks for more calls than were recorded or by another method, or a reply was cut; and
    ``TraceDamaged``. Nothing happens before the first ``next()``.
    """
    script = _read_script(Path(trace_dir))
    player = _player_of(script)
    loop = composable_loop(
        player,
        script.task if task is None else task,
        tools,
        hooks=hooks,
        config=_own_config(config, max(len(script.calls), script.steps)),
        state=state,
    )
    try:
        return (yield from _heeding(player, loop))
    except _Leaving as leaving:
        raise leaving.error from None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Script:
    path: Path
    task: JSON
    calls: list[LLMCall]
    steps: int = 0
    takes_messages: bool = False


class _Leaving(BaseException):
    """Carries an error through code that catches ``Exception`` and tries again."""

    def __init__(self, error: TraceUnplayable) -> None:
        super().__init__(str(error))
        self.error = error


def _heeding(player: _Player, loop: Generator[Step, None, Any]) -> Generator[Step, None, Any]:
    """The loop's steps, up to the first thing that a tool asked for and was not recorded."""
    try:
        while True:
            try:
                step = next(loop)
            except StopIteration as end:
                step, value = None, end.value
            if player.error is not None:  # and somebody hid that it was raised
                raise player.error
            if step is None:
                return value
            yield step
    finally:
        loop.close()


class _Player(TellsLastCall):
    """A backend that answers from a script. Threads may share it."""

    answers_at_once = True
    """Nobody waits before asking it again."""

    def __init__(self, script: _Script) -> None:
        self.model = next((call.model for call in script.calls if call.model is not None), None)
        self.error: TraceUnplayable | None = None
        self._script = script
        self._lock = threading.Lock()
        self._left: dict[str | None, list[LLMCall]] = {}
        for call in script.calls:
            self._left.setdefault(call.scope, []).append(call)
        self._last = LastCall()

    def takes(self, method: str, keyword: str) -> bool:
        """Whether a call may carry that keyword: any, but ``messages`` only if it was recorded."""
        return hasattr(self, method) and (keyword != "messages" or self._script.takes_messages)

    def generate(self, prompt: str, **keywords: Any) -> Reply:  # noqa: ARG002 - replies come in order
        """The next reply of the scope. Raises it if it was an error."""
        return self._answer("generate", keywords)

    def _answer(self, method: str, keywords: Mapping[str, Any]) -> Reply:
        self._last.clear()
        try:
            with self._lock:
                call = self._next(method, scope_of(keywords), step_of(self, keywords))
        except TraceUnplayable as error:
            self.error = error
            raise _Leaving(error) from None
        if call.error is not None:
            raise _failure_of(call)
        usage = None
        if not call.tokens_estimated and None not in (call.input_tokens, call.output_tokens):
            usage = {
                "input_tokens": call.input_tokens or 0,
                "output_tokens": call.output_tokens or 0,
            }
        self._last.set(CallOutcome(usage=usage, stop_reason=call.finish_reason))
        reply: Any = call.response
        tell = keywords.get("on_chunk")
        if tell is not None and (text := _spoken(reply)):
            tell(text)
        return reply  # type: ignore[no-any-return]  # what was recorded

    def _next(self, method: str, scope: str | None, step: int | None) -> LLMCall:
        """Take the call that is due."""
        left, path = self._left.get(scope, []), self._script.path
        asked = f"step {step or '?'} asks for {method}" + (f" in scope {scope!r}" if scope else "")
        if not left:
            count = sum(call.scope == scope for call in self._script.calls)
            raise TraceUnplayable(
                f"{path} has {count} calls of that scope, and {asked} once more; the run is not "
                "the recorded one any longer. No model was called"
            )
        places = (place for place, each in enumerate(left) if each.step_num == step)
        place = next(places, 0) if scope is not None else 0
        call = left[place]
        if call.method != method:
            raise TraceUnplayable(
                f"{path}: call {call.index:02d} was recorded as {call.method}, and {asked}; pass "
                f"LoopConfig(use_native_tools={call.method != 'generate'}) to ask as recorded"
            )
        if call.error is not None and _was_interrupted(call):
            raise TraceUnplayable(
                f"{path}: call {call.index:02d} was interrupted when it was recorded "
                f"({call.error}), so there is no reply to it"
            )
        return left.pop(place)


class _NativePlayer(_Player):
    def generate_with_tools(self, prompt: str, **keywords: Any) -> Reply:  # noqa: ARG002 - as above
        """The next reply of the scope, as blocks."""
        return self._answer("generate_with_tools", keywords)


def _player_of(script: _Script) -> _Player:
    """A backend that has native tools unless the recorded one was asked for them in vain."""
    lacks_tools = any(call.metadata.get(LACKS_TOOLS) for call in script.calls)
    return _Player(script) if lacks_tools else _NativePlayer(script)


def _own_config(config: LoopConfig | None, max_steps: int) -> LoopConfig:
    config = LoopConfig(max_steps=max_steps) if config is None else config
    return replace(config, router=None, checkpoint_dir=None, initial_checkpoint=None)


def _spoken(reply: Any) -> str:
    """The text that a listener of pieces is told of a reply, in one."""
    if not isinstance(reply, list):
        return str(reply)
    return "".join(block["text"] for block in reply if block.get("type") == "text")


def _failure_of(call: LLMCall) -> Exception:
    described = call.metadata.get(FAILURE)
    return failure_of(described) if described else failure_of_text(call.error or "")


def _was_interrupted(call: LLMCall) -> bool:
    described = call.metadata.get(FAILURE)
    return bool(described.get("interrupt")) if described else is_interrupt(call.error or "")


def _read_script(path: Path) -> _Script:
    """The calls of a trace with their replies. Raises as ``replay_loop`` does."""
    if not path.is_dir():
        raise TraceMissing(f"{path} does not exist, so there is nothing to replay")
    try:
        trace = open_trace(path)
    except TraceMissing:  # there may be replies all the same
        return _script_of_replies(path, {})
    task = from_jsonable(trace.run.get("task", {}))
    if not trace.calls:
        return _script_of_replies(path, task)
    with naming(path):
        calls = [_call_of(trace, record) for record in trace.calls]
    takes_messages = any("messages" in record for record in trace.calls)
    return _Script(
        path=path, task=task, calls=calls, steps=len(trace.steps), takes_messages=takes_messages
    )


def _call_of(trace: Trace, record: Mapping[str, JSON]) -> LLMCall:
    call = call_from_record(dict(record))
    place = call_file(trace.path, call.index, "response")
    cut = call.metadata.get("cut")
    if call.metadata.get("truncated") and (cut is None or "response" in cut):
        raise ReplyCut(
            f"{place} was cut by max_chars_per_call and cannot be replayed; record again with a "
            "higher limit"
        )
    if place.is_file():
        with naming(place):
            read_response(call, place.read_bytes().decode(), record.get("exact") or {})
    elif call.error is None:
        raise TraceDamaged(f"{place} is missing, and {trace.path} says that the call had a reply")
    return call


def _script_of_replies(path: Path, task: JSON) -> _Script:
    """A script of response files alone, as plain replies in order."""
    found = ((CALL_FILE.fullmatch(place.name), place) for place in path.iterdir())
    places = {int(name[1]): place for name, place in found if name and name[2] == "response"}
    if not places:
        raise TraceMissing(f"{path} holds no recorded call, so there is nothing to replay")
    calls = []
    for index in sorted(places):
        with naming(places[index]):
            shown = split_response(places[index].read_bytes().decode())
        error = shown.error or "BackendRefused: no reply" if shown.failed else None
        calls.append(LLMCall(index, 0.0, 0.0, "generate", "", "", shown.body, error=error))
    return _Script(path=path, task=task, calls=calls)
