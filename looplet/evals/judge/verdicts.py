"""A judge's reply read strictly: one verdict with its reason, or why there is none.

Knows replies; knows no model.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from looplet.core.backend import Reply
from looplet.core.codec import JSON, canonical
from looplet.core.parse import outermost_values, text_of
from looplet.evals.judge.prompts import TOOL
from looplet.evals.judge.scales import CANNOT_JUDGE, Verdicts

SHOWN_CHARS = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What a judge said."""

    label: str
    """A label of the scale, or ``CANNOT_JUDGE``."""
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Unreadable:
    """A reply without one clear verdict."""

    complaint: str


def read_verdict(reply: Reply, verdicts: Verdicts) -> Verdict | Unreadable:
    r"""Find the verdict in a reply: JSON, alone or in prose, or the arguments of a native call.

    Several verdicts count only if they are equal: a judge may quote the run, and the run may hold
    a verdict.

    >>> from looplet.evals.judge.scales import YES_NO
    >>> read_verdict('Well: {"reason": "It greets.", "verdict": "yes"}', YES_NO)
    Verdict(label='yes', reason='It greets.')
    >>> read_verdict("Yes.", YES_NO)
    Unreadable(complaint='there is no JSON object with a "verdict" in it')
    """
    said = [value for value in _objects(reply) if "verdict" in value]
    if not said:
        return Unreadable(complaint='there is no JSON object with a "verdict" in it')
    read = [_read_one(value, verdicts) for value in said]
    bad = next((each for each in read if isinstance(each, Unreadable)), None)
    if bad is not None:
        return bad
    clear = [each for each in read if isinstance(each, Verdict)]
    labels = {each.label for each in clear}
    if len(labels) > 1:
        return Unreadable(complaint=f"it has different verdicts: {', '.join(sorted(labels))}")
    return clear[-1]


def verdict_tool(verdicts: Verdicts) -> dict[str, JSON]:
    """The native tool whose arguments are a verdict."""
    return {
        "name": TOOL,
        "description": "Give your verdict.",
        "input_schema": {
            "type": "object",
            "properties": {"reason": {"type": "string"}, "verdict": verdicts.schema},
            "required": ["reason", "verdict"],
            "additionalProperties": False,
        },
    }


def _objects(reply: Reply) -> Iterator[Mapping[str, JSON]]:
    """The arguments of native calls, or without one the JSON objects in the text."""
    text = text_of(reply)
    if text is not None:
        yield from (value for value in outermost_values(text) if isinstance(value, dict))
    elif isinstance(reply, list):
        for block in reply:
            given = block.get("input") if block.get("name") == TOOL else None
            if isinstance(given, Mapping):
                yield given


def _read_one(value: Mapping[str, JSON], verdicts: Verdicts) -> Verdict | Unreadable:
    given, reason = value["verdict"], value.get("reason")
    if not isinstance(reason, str) or not reason.strip():
        return Unreadable(complaint='its "reason" is no text')
    if isinstance(given, str) and given.strip().lower() == CANNOT_JUDGE:
        return Verdict(label=CANNOT_JUDGE, reason=reason.strip())
    label = verdicts.label_of(given)
    if label is None:
        choices = ", ".join(canonical(choice) for choice in verdicts.values)
        shown = canonical(given)[:SHOWN_CHARS]
        return Unreadable(complaint=f'its "verdict" is {shown}, which is none of {choices}')
    return Verdict(label=label, reason=reason.strip())
