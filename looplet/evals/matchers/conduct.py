"""What a run should not do: call what is forbidden, repeat itself, stand still, fail.

Knows steps and contexts; knows nothing of what the run was asked.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import replace

from looplet.control.stagnation import Fingerprint, tool_call_fingerprint
from looplet.core.codec import canonical
from looplet.core.records import ErrorKind, Step, ToolCall, ToolResult, tail_text
from looplet.errors import EvalError
from looplet.evals.context import EvalContext
from looplet.evals.matchers import globs
from looplet.evals.matchers.arguments import ArgumentMode, Rules
from looplet.evals.matchers.calls import ExpectedCall, Made, calls_made, is_call, wants_of
from looplet.evals.matchers.match import Match, Miss, match_of
from looplet.evals.matchers.showing import call_text


def never(
    ctx: EvalContext,
    *forbidden: ExpectedCall,
    args: ArgumentMode = "subset",
    ignore: str | Iterable[str] = (),
) -> Match:
    """Whether no forbidden call is made.

    What is forbidden is written like an expected call: a tool's name or pattern, also with
    arguments that the call has among others. A call that was refused was made too. Raises
    ``EvalError`` if nothing is forbidden.

    >>> from looplet.evals.trying import context_of_calls
    >>> never(context_of_calls("search", ("delete_user", {"id": 7})), "delete_*")
    <never fails: step 2: delete_user(id=7) is forbidden (delete_*)>
    """
    rules = Rules.of(args, ignore, None)
    wants = wants_of(forbidden, rules)
    if not wants:
        raise EvalError('never() forbids nothing; write for example never(ctx, "delete_*")')
    made = calls_made(ctx, rules)
    found = [
        (call, want)
        for call in made
        if (want := next((each for each in wants if each.fits(call)), None)) is not None
    ]
    return match_of(
        "never",
        found,
        lambda pair: _miss(pair[0], f"is forbidden ({pair[1].text})"),
        held=f"none of {len(made)} calls is forbidden",
        metrics={"forbidden": len(found)},
    )


def no_repeats(
    ctx: EvalContext,
    *,
    times: int = 1,
    count_failed: bool = True,
    ignore: str | Iterable[str] = (),
    ignore_tools: str | Iterable[str] = (),
) -> Match:
    """Whether no call is made more than ``times`` times with the same arguments.

    With ``count_failed=False`` calls that failed do not count, so that trying again is no
    repetition. Raises ``EvalError`` for ``times`` below 1.

    >>> from looplet.evals.trying import context_of_calls
    >>> no_repeats(context_of_calls("search", ("price", {"n": 1}), ("price", {"n": 1})))
    <no_repeats fails: step 3: price(n=1) is the same call as step 2>
    """
    _check_count("times", times)
    rules = Rules.of("exact", ignore, None)
    ignored = globs.names_of(ignore_tools, "ignore_tools")
    steps = [step for step in ctx.steps if is_call(step, ignored)]
    made = calls_made(ctx, rules, ignored)
    seen: Counter[str] = Counter()
    first: dict[str, int] = {}
    repeats: list[tuple[Made, int]] = []
    for step, call in zip(steps, made, strict=True):
        if not count_failed and step.tool_result.error is not None:
            continue
        mark = tool_call_fingerprint(replace(call.call, args=dict(call.args)))
        seen[mark] += 1
        first.setdefault(mark, call.number)
        if seen[mark] > times:
            repeats.append((call, first[mark]))
    return match_of(
        "no_repeats",
        repeats,
        lambda pair: _miss(pair[0], f"is the same call as step {pair[1]}"),
        held=f"no call is made more than {times} time{'s' * (times > 1)}",
        metrics={"repeats": len(repeats)},
    )


def call_and_result(tool_call: ToolCall, tool_result: ToolResult) -> str:
    """A fingerprint: tool, arguments, and what came of it.

    >>> call_and_result(ToolCall("find"), ToolResult("find", "", []))
    'find {} []'
    """
    said = tool_result.data if tool_result.error is None else {"error": tool_result.error}
    return f"{tool_call_fingerprint(tool_call)} {canonical(said)}"


def progresses(
    ctx: EvalContext,
    *,
    patience: int = 3,
    fingerprint: Fingerprint = call_and_result,
    ignore_tools: str | Iterable[str] = (),
) -> Match:
    """Whether there are never ``patience`` steps in a row that bring nothing new.

    A step brings something new if no step before it had the same fingerprint, so that going round
    in circles is no progress either. ``fingerprint`` is as in ``StagnationHook``. Replies that were
    no call are steps here. Raises ``EvalError`` for a patience below 1.

    >>> from looplet.evals.trying import context_of_calls
    >>> calls = [("look", {}, "nothing"), ("wait", {}, None)] * 3
    >>> progresses(context_of_calls(*calls))
    <progresses fails: step 3: look() and the 3 steps after it bring nothing new>
    """
    _check_count("patience", patience)
    ignored = globs.names_of(ignore_tools, "ignore_tools")
    seen: set[object] = set()
    rows: list[list[Step]] = [[]]
    for step in ctx.steps:
        if any(globs.fits(step.tool_call.tool, each) for each in ignored):
            continue
        mark = fingerprint(step.tool_call, step.tool_result)
        if mark in seen:
            rows[-1].append(step)
        elif rows[-1]:
            rows.append([])
        seen.add(mark)
    stale = [row for row in rows if len(row) >= patience]
    return match_of(
        "progresses",
        stale,
        _stale_miss,
        held=f"never {patience} steps in a row bring nothing new",
        metrics={"longest_standstill": max(map(len, rows))},
    )


def first_error(ctx: EvalContext, *, ignore_tools: str | Iterable[str] = ()) -> Step | None:
    """The first step that failed, whose ``number`` is its position; ``None`` if none did.

    >>> from looplet.evals.trying import context_of_calls
    >>> ctx = context_of_calls("search", ("price", {"fruit": "fig"}, KeyError("no figs")))
    >>> first_error(ctx).number
    2
    """
    ignored = globs.names_of(ignore_tools, "ignore_tools")
    return next(iter(_failed(ctx, ignored)), None)


def no_errors(
    ctx: EvalContext,
    *,
    kinds: Iterable[ErrorKind | str] | None = None,
    ignore_tools: str | Iterable[str] = (),
) -> Match:
    """Whether no step failed; ``kinds`` are the kinds of error that count, all without it.

    The metrics name the first step that failed. Raises ``EvalError`` for an unknown kind.

    >>> from looplet.evals.trying import context_of_calls
    >>> no_errors(context_of_calls(("price", {"fruit": "fig"}, KeyError("no figs"))))
    <no_errors fails: step 1: price(fruit='fig') → ERROR: 'no figs'>
    """
    counted = None if kinds is None else {_kind(each) for each in kinds}
    failed = [
        step
        for step in _failed(ctx, globs.names_of(ignore_tools, "ignore_tools"))
        if counted is None or step.tool_result.error_kind in counted
    ]
    metrics = {"errors": float(len(failed))}
    if failed:
        metrics["first_error"] = failed[0].number
    return match_of(
        "no_errors",
        failed,
        lambda step: _step_miss(step, f" → {tail_text(step.tool_result)}"),
        held=f"none of {ctx.step_count} steps failed",
        metrics=metrics,
    )


def _failed(ctx: EvalContext, ignored: Iterable[str]) -> Iterable[Step]:
    return (
        step
        for step in ctx.steps
        if step.tool_result.error is not None
        and not any(globs.fits(step.tool_call.tool, each) for each in ignored)
    )


def _kind(kind: ErrorKind | str) -> ErrorKind:
    try:
        return ErrorKind(kind)
    except ValueError:
        known = ", ".join(each.value for each in ErrorKind)
        raise EvalError(f"there is no kind of error {kind!r}; the kinds are {known}") from None


def _check_count(name: str, count: object) -> None:
    if isinstance(count, bool) or not isinstance(count, int) or count < 1:
        raise EvalError(f"{name} is a whole number from 1 on, not {count!r}")


def _stale_miss(row: list[Step]) -> Miss:
    others = f" and the {len(row) - 1} steps after it" if len(row) > 1 else ""
    return _step_miss(row[0], f"{others} bring{'' if others else 's'} nothing new")


def _miss(call: Made, what: str) -> Miss:
    return Miss(text=f"step {call.number}: {call.text} {what}", step=call.number)


def _step_miss(step: Step, what: str) -> Miss:
    shown = call_text(step.tool_call.tool, step.tool_call.args)
    return Miss(text=f"step {step.number}: {shown}{what}", step=step.number)
