"""What an eval says of one run: a score, a label, the reasons. Knows values; knows no run."""

from __future__ import annotations

import inspect
import math
import numbers
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from decimal import Decimal
from enum import Enum
from typing import Any, Protocol, runtime_checkable

from looplet.core.codec import JSON, to_jsonable
from looplet.core.records import escape_controls
from looplet.errors import EvalError

PASSING_SCORE = 0.5
PASSING_LABELS = frozenset({"pass", "correct", "yes"})
SCORE_KEYS = ("score", "f1", "accuracy", "overall")
"""Keys of a returned dict that may hold its score; the first that is present does."""


class Outcome(str, Enum):
    """What came of one eval on one run."""

    PASS = "pass"  # noqa: S105 - a verdict, not a password
    FAIL = "fail"
    NOT_EVALUABLE = "not_evaluable"
    ERROR = "error"
    MEASURED = "measured"
    """Metrics without a score or a label: shown, and counted neither way."""


SKIPPED = "skipped"
"""The label of an eval that was not asked: it has no judge, or its author says so."""


@runtime_checkable
class SaysItself(Protocol):
    """What an eval may return beside plain values: something that knows its own result."""

    def to_result(self, name: str = "") -> EvalResult:
        """The result, under the eval's name."""
        ...


@dataclass(frozen=True, slots=True)
class EvalResult:
    """One eval's answer for one run.

    >>> EvalResult("eval_price", score=0.0, label="fail", explanation="1.25, not 2.30").passed
    False
    """

    name: str = ""
    score: float | None = None
    """``None`` means that there is no score, which is not a score of 0."""
    label: str | None = None
    metrics: dict[str, float] = field(default_factory=dict)
    details: list[str] = field(default_factory=list)
    explanation: str = ""
    duration_ms: float = 0
    """Wall clock of the eval, in milliseconds."""
    metadata: dict[str, JSON] = field(default_factory=dict, repr=False, kw_only=True)
    """What else is kept with the score, as a judge's name and model."""

    @property
    def passed(self) -> bool:
        """Whether the score is 0.5 or more; without a score, whether the label says so."""
        if self.score is not None:
            return self.score >= PASSING_SCORE
        return self.label is not None and self.label.strip().lower() in PASSING_LABELS

    @property
    def outcome(self) -> Outcome:
        """``pass`` or ``fail``; ``measured`` if there are metrics and nothing else to go by."""
        if self.score is None and self.label is None and self.metrics:
            return Outcome.MEASURED
        return Outcome.PASS if self.passed else Outcome.FAIL

    def pretty(self) -> str:
        """One line for a person.

        >>> EvalResult("eval_price", score=1.0, label="pass").pretty()
        '✓ eval_price score=1.00 label=pass'
        """
        line = " ".join(part for part in (self._sign(), self.name, self.verdict()) if part)
        if self.duration_ms > 0:
            line += f" [{self.duration_ms:.0f}ms]"
        return escape_controls(line)

    def verdict(self) -> str:
        """Score, label, metrics, explanation and details, as far as there are any."""
        parts = [] if self.score is None else [f"score={self.score:.2f}"]
        parts += [] if self.label is None else [f"label={self.label}"]
        parts += [f"{name}={value:g}" for name, value in self.metrics.items()]
        reasons = [reason for reason in (self.explanation, *self.details) if reason]
        return " ".join(parts) + (": " if parts and reasons else "") + "; ".join(reasons)

    def to_dict(self) -> dict[str, JSON]:
        """The fields that say something, as JSON; a score of 0 says something.

        >>> EvalResult("eval_price", score=0.0).to_dict()
        {'name': 'eval_price', 'score': 0.0}
        """
        values = {each.name: getattr(self, each.name) for each in fields(self)}
        if not self.duration_ms:
            del values["duration_ms"]
        return {
            key: to_jsonable(value)
            for key, value in values.items()
            if value is not None and value not in ("", [], {})
        }

    @classmethod
    def from_return(
        cls, value: object, *, name: str = "", duration_ms: float | None = None
    ) -> EvalResult:
        """The result that an eval's return value stands for.

        A bool is score and label, a number the score, text the label. A dict gives its numbers to
        ``metrics`` and the rest to ``details``; its score is the first of ``score``, ``f1``,
        ``accuracy``, ``overall`` that is present. What has a method ``to_result``, as a matcher's
        answer has, says itself. Anything else is the explanation. ``duration_ms`` is how long the
        eval took; ``None`` leaves what an ``EvalResult`` says of it. Raises ``EvalError`` on
        ``None``, NaN, an infinity, and what an async eval or a generator returns.

        >>> EvalResult.from_return({"f1": 0, "note": "nothing found"}, name="eval_found")
        ... # doctest: +NORMALIZE_WHITESPACE
        EvalResult(name='eval_found', score=0.0, label=None, metrics={'f1': 0.0},
                   details=['note: nothing found'], explanation='', duration_ms=0)
        """
        if isinstance(value, bool):  # by far the most frequent, and asked of every run
            return cls._of_bool(value, name, duration_ms or 0)
        result = cls._of_other(value, name)
        return result if duration_ms is None else replace(result, duration_ms=duration_ms)

    @classmethod
    def _of_bool(cls, value: bool, name: str, duration_ms: float = 0) -> EvalResult:  # noqa: FBT001
        label = "pass" if value else "fail"
        return cls(name, score=float(value), label=label, duration_ms=duration_ms)

    @classmethod
    def _of_other(cls, value: object, name: str) -> EvalResult:
        value = _plain(value)
        _refuse_nothing(value, name)
        if isinstance(value, SaysItself):
            value = value.to_result(name)
        if isinstance(value, EvalResult):
            return _checked(value, name)
        if isinstance(value, bool):
            return cls._of_bool(value, name)
        if isinstance(value, numbers.Real):
            return cls(name, score=_finite(value, name, "score"))
        if isinstance(value, str):
            return cls(name, label=str.__str__(value))
        if isinstance(value, Mapping):
            return _from_mapping(value, name)
        return cls(name, explanation=str(value))

    def _sign(self) -> str:
        if self.outcome is Outcome.MEASURED:
            return "·"
        return "✓" if self.passed else "✗"


def _plain(value: Any) -> Any:
    """A decimal, and a scalar of numpy and its kind, as Python's own."""
    if isinstance(value, Decimal):
        return float(value)
    if getattr(value, "shape", None) == () and callable(getattr(value, "item", None)):
        return value.item()
    return value


def _refuse_nothing(value: object, name: str) -> None:
    if value is None:
        raise EvalError(
            f"{name or 'the eval'} returned nothing (None). Return a bool, a number, a label, a "
            "dict or an EvalResult, or raise NotEvaluable if the data is missing."
        )
    if inspect.isawaitable(value) or inspect.isasyncgen(value):
        if inspect.iscoroutine(value):
            value.close()
        raise EvalError(f"{name or 'the eval'} is async. Write it as a plain function.")
    if inspect.isgenerator(value):
        value.close()
        raise EvalError(f"{name or 'the eval'} is a generator. Return once, and yield nothing.")


def _finite(value: Any, name: str, what: str) -> float:
    try:
        number = float(value)
    except OverflowError:  # an integer of more than 308 digits
        number = math.inf if value > 0 else -math.inf
    if not math.isfinite(number):
        raise EvalError(
            f"{name or 'the eval'} gave {number} as {what}. Return a finite number, "
            "or raise NotEvaluable if there is nothing to count."
        )
    return number


def _checked(result: EvalResult, name: str) -> EvalResult:
    named = str(result.name or name)
    if not isinstance(result.label, str | None):
        raise EvalError(f"{named or 'the eval'} gave {result.label!r} as label, which is no text.")
    score = _plain(result.score)
    if score is not None:
        score = _number(score, named, "score")
    metrics = {
        str(key): _number(_plain(value), named, str(key)) for key, value in result.metrics.items()
    }
    details = [str(detail) for detail in result.details]
    metadata = to_jsonable({str(key): value for key, value in result.metadata.items()})
    return replace(
        result,
        name=named,
        score=score,
        metrics=metrics,
        details=details,
        explanation=str(result.explanation or ""),
        metadata=metadata,
    )


def _number(value: object, name: str, what: str) -> float:
    if not isinstance(value, numbers.Real):
        raise EvalError(f"{name or 'the eval'} gave {value!r} as {what}, which is not a number.")
    return _finite(value, name, what)


def _from_mapping(value: Mapping[Any, Any], name: str) -> EvalResult:
    items = {str(key): _plain(item) for key, item in value.items()}
    metrics = {
        key: _finite(item, name, key)
        for key, item in items.items()
        if isinstance(item, numbers.Real)
    }
    details = [f"{key}: {item}" for key, item in items.items() if key not in metrics]
    key = next((key for key in SCORE_KEYS if key in items), None)
    score = None if key is None else _number(items[key], name, key)
    return EvalResult(name, score=score, metrics=metrics, details=details)
