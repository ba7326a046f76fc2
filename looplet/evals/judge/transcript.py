"""A run as a judge reads it: titled parts, cut to a budget. Knows contexts; knows no rubric."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

from looplet.core.codec import JSON, to_jsonable
from looplet.core.records import Step
from looplet.errors import NotEvaluable
from looplet.evals.context import EvalContext

TITLES = {
    "task": "TASK",
    "expected": "EXPECTED ANSWER",
    "session_log_text": "SESSION LOG",
    "steps": "STEPS",
    "artifacts": "ARTIFACTS",
    "metadata": "METADATA",
    "final_output": "FINAL ANSWER",
    "stop_reason": "HOW IT ENDED",
}
"""What a judge can be shown of a run, in the order in which it is shown."""
ABSENT = "(none)"
ROOM_FOR_MARK = 60
"""Characters that the mark of a cut takes, at most."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Transcript:
    """The text of a run, as far as the budget went."""

    text: str
    left_out: int = 0
    """How many characters of the run are not in the text."""


def transcript_of(context: EvalContext, shows: Sequence[str], *, max_chars: int) -> Transcript:
    """Write out those fields of a run; the longest are cut first, in their middle.

    Each cut says how many characters it took. Raises ``NotEvaluable`` if the run has none of the
    fields.

    >>> ctx = EvalContext([], task="Greet.", final_output={"text": "Hello!"})
    >>> print(transcript_of(ctx, ("task", "final_output"), max_chars=1000).text)
    ## TASK
    "Greet."
    ## FINAL ANSWER
    {"text": "Hello!"}
    """
    names = [name for name in TITLES if name in shows]
    if all(context.lacks(name) for name in names):
        raise NotEvaluable(f"the run has nothing to judge: no {' and no '.join(names)}")
    whole = [_sendable(_text_of(context, name)) for name in names]
    cap = _longest_allowed([len(text) for text in whole], max_chars)
    shown = [_cut(text, cap) for text in whole]
    parts = [f"## {TITLES[name]}\n{text}" for name, (text, _) in zip(names, shown, strict=True)]
    return Transcript(text="\n".join(parts), left_out=sum(gone for _, gone in shown))


def _text_of(context: EvalContext, name: str) -> str:
    if context.lacks(name):
        return ABSENT
    if name == "steps":
        return "\n".join(map(_step_text, context.steps))
    value = getattr(context, name)
    return str(value) if name in ("session_log_text", "stop_reason") else _json_text(value)


def _step_text(step: Step) -> str:
    call, result = step.tool_call, step.tool_result
    came = f"ERROR {result.error}" if result.error is not None else _json_text(result.data)
    said = f"{step.number}. said: {call.reasoning}\n" if call.reasoning else ""
    return f"{said}{step.number}. {call.tool}({_json_text(call.args)})\n   → {came}"


def _json_text(value: JSON) -> str:
    return json.dumps(to_jsonable(value), ensure_ascii=False)


def _sendable(text: str) -> str:
    """The text without lone surrogates, which no provider can be sent."""
    return text.encode("utf-8", "backslashreplace").decode()


def _longest_allowed(lengths: Sequence[int], budget: int) -> int:
    """The length at which parts are cut so that together they keep to a budget.

    >>> _longest_allowed([10, 500, 2000], 1010)
    500
    """
    left = budget
    for place, length in enumerate(sorted(lengths)):
        share = left // (len(lengths) - place)
        if length > share:
            return share
        left -= length
    return max(lengths, default=0)


def _cut(text: str, cap: int) -> tuple[str, int]:
    """The text with its middle left out, if it is longer than ``cap``, and how much that was."""
    if len(text) <= cap:
        return text, 0
    kept = max(0, cap - ROOM_FOR_MARK)
    head, tail = kept - kept // 2, kept // 2
    gone = len(text) - kept
    mark = f"\n[... {gone} characters are left out here ...]\n"
    return f"{text[:head]}{mark}{text[len(text) - tail :]}", gone
