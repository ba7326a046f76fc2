"""What a judge may say: closed sets of verdicts, in order. Knows no prompt and no run."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

from looplet.core.codec import JSON
from looplet.errors import EvalError

CANNOT_JUDGE = "cannot_judge"
"""The verdict of a judge to whom the run does not show what the rubric asks about."""


class Verdicts(ABC):
    """A closed set of verdicts. Subclasses say which, from the worst to the best."""

    __slots__ = ()

    @property
    @abstractmethod
    def values(self) -> Sequence[str | int]:
        """The verdicts as JSON has them, from the worst to the best."""

    @property
    def labels(self) -> tuple[str, ...]:
        """The verdicts as text, from the worst to the best."""
        return tuple(map(str, self.values))

    @property
    def schema(self) -> dict[str, JSON]:
        """JSON Schema of a verdict; a judge may also say that it cannot judge."""
        return {"enum": [*self.values, CANNOT_JUDGE]}

    def label_of(self, value: object) -> str | None:
        """The label that a value names; ``None`` if it is none of them.

        Case and blanks around a text do not matter. A number is not rounded, and one beyond the
        scale is not moved onto it.

        >>> Scale(1, 5).label_of(4), Scale(1, 5).label_of("4"), Scale(1, 5).label_of(6)
        ('4', '4', None)
        >>> YES_NO.label_of(" Yes"), YES_NO.label_of(True)
        ('yes', None)
        """
        text = value.strip().lower() if isinstance(value, str) else str(value)
        return next((label for label in self.labels if label.strip().lower() == text), None)

    def score(self, label: str) -> float:
        """Where a label stands between the worst (0.0) and the best (1.0).

        >>> [Scale(1, 5).score(label) for label in ("1", "4", "5")]
        [0.0, 0.75, 1.0]
        """
        labels = self.labels
        return labels.index(label) / (len(labels) - 1)


@dataclass(frozen=True, slots=True)
class Words(Verdicts):
    """Verdicts that are words, from the worst to the best.

    Raises ``EvalError`` for less than two, or two that differ by case alone.
    """

    words: tuple[str, ...]

    def __post_init__(self) -> None:
        known = {word.strip().lower() for word in self.words} - {"", CANNOT_JUDGE}
        if len(known) < max(2, len(self.words)):
            raise EvalError(f"a scale needs two different words or more, not {self.words!r}")

    @property
    def values(self) -> tuple[str, ...]:
        """The words."""
        return self.words


@dataclass(frozen=True, slots=True)
class Scale(Verdicts):
    """Whole numbers from ``low``, the worst, to ``high``, the best; both are verdicts.

    Raises ``EvalError`` if that is not two numbers or more.
    """

    low: int
    high: int

    def __post_init__(self) -> None:
        if not (type(self.low) is type(self.high) is int) or self.low >= self.high:
            raise EvalError(
                f"a scale goes from a whole number up to a greater one, not from {self.low!r} "
                f"to {self.high!r}"
            )

    @property
    def values(self) -> Sequence[int]:
        """The numbers."""
        return range(self.low, self.high + 1)


YES_NO = Words(("no", "yes"))
