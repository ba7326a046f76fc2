"""Hooks, bound once at the start of a run: one tuple of methods a slot. Knows no engine."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Callable, Iterable
from functools import cache
from typing import Any, NamedTuple

from looplet.core.validation import suggest_similar

SLOTS = (
    "pre_loop",
    "should_compact",
    "pre_prompt",
    "build_briefing",
    "build_prompt",
    "pre_dispatch",
    "check_permission",
    "post_dispatch",
    "check_done",
    "on_step",
    "should_stop",
    "on_loop_end",
    "on_event",
    "on_chunk",
)
"""Methods that are asked and told by the engine; each may be ``async def``."""
AROUND_TOOL = "around_tool"
"""The one method that is called where a tool runs, which no engine waits for."""
METHODS = (*SLOTS, AROUND_TOOL)


class Bound(NamedTuple):
    """One method of one hook."""

    hook: str
    """The hook's class, for messages."""
    method: Callable[..., Any]


class Listeners:
    """Every hook's methods, by slot, in the order of the hooks. Never changed."""

    pre_loop: tuple[Bound, ...]
    should_compact: tuple[Bound, ...]
    pre_prompt: tuple[Bound, ...]
    build_briefing: tuple[Bound, ...]
    build_prompt: tuple[Bound, ...]
    pre_dispatch: tuple[Bound, ...]
    check_permission: tuple[Bound, ...]
    post_dispatch: tuple[Bound, ...]
    check_done: tuple[Bound, ...]
    on_step: tuple[Bound, ...]
    """``on_step(state, session_log, step, briefing)``: a step right before it is yielded."""
    should_stop: tuple[Bound, ...]
    on_loop_end: tuple[Bound, ...]
    on_event: tuple[Bound, ...]
    on_chunk: tuple[Bound, ...]
    """``on_chunk(text, step_num, attempt)``: a piece of a reply that is still being written."""
    around_tool: tuple[Bound, ...]
    """``around_tool(tool_call, step_num)``: a context manager, entered where the tool runs."""
    before_tool: tuple[Bound, ...]
    """``on_event`` of the hooks without ``pre_dispatch``."""
    after_tool: tuple[Bound, ...]
    """``on_event`` of the hooks without ``post_dispatch``."""
    brief: bool
    """Whether any has a say in the briefing."""
    gate: bool
    """Whether any has a say before a tool is run."""
    judge: bool
    """Whether any is told of a tool's result."""
    done_takes_call: frozenset[int]
    """Places in ``check_done`` whose method takes ``tool_call=``."""

    def __init__(self, *, done_takes_call: frozenset[int], **slots: tuple[Bound, ...]) -> None:
        self.done_takes_call = done_takes_call
        self.__dict__.update(slots)
        self.brief = bool(self.build_briefing or self.pre_prompt)
        self.gate = bool(self.before_tool or self.pre_dispatch or self.check_permission)
        self.judge = bool(self.post_dispatch or self.after_tool)


def bind(hooks: Iterable[Any], *, asynchronous: bool) -> Listeners:
    """Find each hook's methods.

    Warns about a hook without any. Raises ``TypeError`` for an ``async def`` method under the
    sync loop, naming hook and method.
    """
    return _bind(hooks, asynchronous=asynchronous) if hooks else _nobody()


@cache
def _nobody() -> Listeners:
    """What every run without hooks has; runs may be short and many."""
    return _bind((), asynchronous=False)


def _bind(hooks: Iterable[Any], *, asynchronous: bool) -> Listeners:
    slots: dict[str, list[Bound]] = {slot: [] for slot in METHODS}
    slots.update(before_tool=[], after_tool=[])
    for hook in hooks:
        found = _methods_of(hook)
        if not found:
            _warn_useless(hook)
        name = type(hook).__name__ if not isinstance(hook, type) else hook.__name__
        for slot, method in found.items():
            if not asynchronous or slot == AROUND_TOOL:
                _refuse_coroutine(name, slot, method)
            slots[slot].append(Bound(name, method))
        if "on_event" in found:
            listener = Bound(name, found["on_event"])
            slots["before_tool"] += [] if "pre_dispatch" in found else [listener]
            slots["after_tool"] += [] if "post_dispatch" in found else [listener]
    takes_call = (
        place for place, bound in enumerate(slots["check_done"]) if _takes_call(bound.method)
    )
    bound = {slot: tuple(methods) for slot, methods in slots.items()}
    return Listeners(**bound, done_takes_call=frozenset(takes_call))


def _methods_of(hook: object) -> dict[str, Callable[..., Any]]:
    found = ((slot, getattr(hook, slot, None)) for slot in METHODS)
    return {slot: method for slot, method in found if callable(method)}


def _warn_useless(hook: object) -> None:
    names = [
        name for name in dir(hook) if not name.startswith("_") and callable(getattr(hook, name))
    ]
    close = ((name, suggest_similar(name, METHODS)) for name in names)
    guess = "; ".join(f"{name}: did you mean {slot!r}?" for name, slot in close if slot)
    warnings.warn(
        f"hook {type(hook).__name__} has none of the hook methods"
        + (f" ({guess})" if guess else f": {', '.join(METHODS)}"),
        stacklevel=2,
    )


def _refuse_coroutine(name: str, slot: str, method: Callable[..., Any]) -> None:
    if not inspect.iscoroutinefunction(method):
        return
    if slot == AROUND_TOOL:
        raise TypeError(
            f"{name}.{slot} is async def; make it a plain method that returns a context manager"
        )
    raise TypeError(
        f"{name}.{slot} is async def and cannot be called by the sync loop; "
        "use async_composable_loop, or make it a plain method"
    )


def _takes_call(method: Callable[..., Any]) -> bool:
    parameters = inspect.signature(method).parameters.values()
    return any(
        each.name == "tool_call" or each.kind is inspect.Parameter.VAR_KEYWORD
        for each in parameters
    )
