"""Why a call is missing, or one too many: the nearest call, and the arguments that differ.

Knows calls; decides nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from looplet.evals.matchers.calls import Made, Want
from looplet.evals.matchers.match import Miss
from looplet.evals.matchers.showing import ArgumentMiss, difference_text


def nearest_miss(want: Want, left: Iterable[Made], made: Sequence[Made]) -> Miss:
    """An expected call that no call is, beside the call that comes nearest.

    ``left`` are the calls that could still be it.
    """
    if want.tool is not None:
        candidates = [(call, want.differences(call)) for call in left if want.is_of(call.tool)]
        if candidates:
            return _differs(*min(candidates, key=lambda each: len(each[1])))
    if any(want.fits(call) for call in made):
        return Miss(text=f"expected {want.text} once more than it is called")
    if any(want.is_of(call.tool) for call in made) and want.tool is not None:
        return Miss(text=f"expected {want.text}, and no further call of {want.tool} is made")
    return Miss(text=f"expected {want.text}, which is never called")


def unexpected(call: Made, wants: Iterable[Want] = ()) -> Miss:
    """A call that is none of those expected, beside the expected one that comes nearest."""
    candidates = [
        (call, want.differences(call)) for want in wants if want.tool and want.is_of(call.tool)
    ]
    if candidates:
        return _differs(*min(candidates, key=lambda each: len(each[1])))
    return Miss(text=f"step {call.number}: {call.text} is not expected", step=call.number)


def instead(call: Made, want: Want) -> Miss:
    """A call that stands where another is expected."""
    if want.tool is not None and want.is_of(call.tool):
        return _differs(call, want.differences(call))
    return Miss(text=f"step {call.number}: {call.text} expected {want.text}", step=call.number)


def missing(want: Want, last: Made | None) -> Miss:
    """An expected call after the end of all calls."""
    if last is None:
        return Miss(text=f"expected {want.text}, and no call is made")
    return Miss(text=f"expected {want.text} after step {last.number}, the last call")


def wrong_place(want: Want, earlier: Made, before: Made) -> Miss:
    """An expected call that comes, but before the call that it should follow."""
    text = (
        f"step {earlier.number}: {earlier.text} comes too early; expected {want.text} after "
        f"step {before.number}: {before.text}"
    )
    return Miss(text=text, step=earlier.number)


def _differs(call: Made, differences: Sequence[ArgumentMiss]) -> Miss:
    return Miss(
        text=f"step {call.number}: {difference_text(call.tool, call.args, differences)}",
        step=call.number,
        arguments=tuple(differences),
    )
