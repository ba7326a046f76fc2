"""What a matcher says of a run: whether it matches, and where it does not. Knows no run."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from looplet.core.records import escape_controls
from looplet.evals.matchers.showing import ArgumentMiss
from looplet.evals.results import EvalResult

MOST_MISSES = 10
"""Misses that are described; the others are counted."""

Item = TypeVar("Item")


@dataclass(frozen=True, slots=True, kw_only=True)
class Miss:
    """One thing in which a run is not what was expected."""

    text: str
    step: int | None = None
    """Number of the step; ``None`` where it is a step that is missing, or the run as a whole."""
    arguments: tuple[ArgumentMiss, ...] = ()
    """The arguments that differ, if a call of the expected tool is there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Match:
    """A matcher's answer. It is true if the run matches, and an eval may return it.

    >>> match = Match(matcher="exact", misses=(Miss(text="step 3: stock() is not expected"),))
    >>> bool(match), match.explanation
    (False, 'step 3: stock() is not expected')
    >>> match.to_result().score
    0.0
    """

    matcher: str
    """The name of what was asked: ``exact``, ``in_order`` …"""
    misses: tuple[Miss, ...] = ()
    """The first ten misses in the order of the run; none if the run matches."""
    more: int = 0
    """How many further misses there are."""
    held: str = ""
    """What was found, if the run matches."""
    metrics: Mapping[str, float] = field(default_factory=dict)

    @property
    def passed(self) -> bool:
        """Whether nothing was missed."""
        return not self.misses

    @property
    def explanation(self) -> str:
        """The first miss, and how many more there are; what was found if there is none."""
        if not self.misses:
            return self.held
        others = len(self.misses) - 1 + self.more
        return self.misses[0].text + (f" (and {others} more)" if others else "")

    def __bool__(self) -> bool:
        return self.passed

    def __repr__(self) -> str:
        return f"<{self.matcher} {'holds' if self else 'fails'}: {self.explanation}>"

    def to_result(self, name: str = "") -> EvalResult:
        """The match as an eval's result: score 1 or 0, every miss in its details."""
        details = [miss.text for miss in self.misses[1:]]
        if self.more:
            details.append(f"and {self.more} more")
        return EvalResult(
            name,
            score=float(self.passed),
            label="pass" if self.passed else "fail",
            metrics=dict(self.metrics),
            details=details,
            explanation=self.misses[0].text if self.misses else self.held,
        )


def match_of(
    matcher: str,
    missed: Sequence[Item],
    describe: Callable[[Item], Miss],
    *,
    held: str,
    metrics: Mapping[str, float] | None = None,
) -> Match:
    """A match by what was missed, of which the first ten are described."""
    misses = tuple(_visible(describe(item)) for item in missed[:MOST_MISSES])
    more = max(0, len(missed) - MOST_MISSES)
    return Match(matcher=matcher, misses=misses, more=more, held=held, metrics=metrics or {})


def _visible(miss: Miss) -> Miss:
    text = escape_controls(miss.text)
    return Miss(text=text, step=miss.step, arguments=miss.arguments)
