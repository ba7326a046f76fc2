"""How far a judge agrees with people: Cohen's kappa. Knows labels; knows no run and no model.

Everything is counted in fractions, so that a variance of 0 is told from a very small one.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from statistics import NormalDist
from typing import Literal, TypeAlias

from looplet.errors import EvalError
from looplet.evals.judge.scales import Verdicts
from looplet.evals.results import EvalResult
from looplet.evals.statistics import Interval, wilson_interval

Weights = Literal["none", "linear", "quadratic"]
"""How much two labels that are near each other count as agreement."""
Given: TypeAlias = EvalResult | str | int | None
Pair: TypeAlias = tuple[int, int]
"""A judge's and a person's label, by their places on the scale."""

FEW = 30
"""Pairs below which the interval's large-sample formula is only a rough guide."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Kappa:
    """Cohen's kappa: agreement beyond what chance alone would give."""

    weights: Weights
    value: float | None
    """1 is full agreement, 0 what chance gives, below 0 less; ``None``: see ``undefined``."""
    standard_error: float | None = None
    interval: Interval | None = None
    undefined: str = ""
    """Why there is no value."""

    def __str__(self) -> str:
        if self.value is None or self.interval is None:
            return f"undefined ({self.undefined})"
        return f"{self.value:.2f} [{self.interval.low:.2f}, {self.interval.high:.2f}]"


@dataclass(frozen=True, slots=True, kw_only=True)
class Agreement:
    """A judge's verdicts beside those of people."""

    labels: tuple[str, ...]
    """The rows and columns of the table, from the worst to the best."""
    table: tuple[tuple[int, ...], ...]
    """How often which labels met: a row for each label of the judge, a column for each human's."""
    left_out: int
    """Pairs of which one side has no label: not evaluable, or not labelled."""
    confidence: float
    kappa: Kappa
    weighted: Kappa | None
    """Kappa that counts near misses, on a scale of more than two verdicts."""
    notes: tuple[str, ...] = ()
    """What to know before the figures are believed."""
    judge: str | None = None
    """The judge whose results were compared, with its rubric's hash and its model, if known."""
    rubric_hash: str | None = None
    model: str | None = None

    @property
    def n(self) -> int:
        """How many pairs were compared."""
        return sum(map(sum, self.table))

    @property
    def raw(self) -> float:
        """The share of pairs with equal labels, 0 to 1."""
        return sum(self.table[at][at] for at in range(len(self.labels))) / self.n

    @property
    def main(self) -> Kappa:
        """The kappa that fits the scale: the weighted one, if there is one."""
        return self.kappa if self.weighted is None else self.weighted

    def __str__(self) -> str:
        lines = [f"n={self.n}, {self.left_out} left out; raw agreement {self.raw:.2f}"]
        lines.append(f"Cohen's kappa {self.kappa} at {self.confidence:.0%}")
        if self.weighted is not None:
            lines.append(f"weighted kappa ({self.weighted.weights}) {self.weighted}")
        return "\n".join([*lines, *self._table_lines(), *(f"note: {note}" for note in self.notes)])

    def _table_lines(self) -> list[str]:
        corner = "judge \\ human"
        rows = [(corner, *self.labels)]
        rows += [
            (label, *map(str, row)) for label, row in zip(self.labels, self.table, strict=True)
        ]
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        return [
            "  ".join(f"{cell:>{width}}" for cell, width in zip(row, widths, strict=True))
            for row in rows
        ]


def agreement(
    verdicts: Iterable[Given],
    humans: Iterable[Given],
    *,
    scale: Verdicts | None = None,
    weights: Weights = "quadratic",
    confidence: float = 0.95,
) -> Agreement:
    """Compare a judge's verdicts with the labels that people gave the same runs, in order.

    Each is a label, a result whose label counts, or ``None``, which leaves its pair out; True and
    False are ``yes`` and ``no``. Without ``scale`` the labels are those that occur, and as they
    have no order nothing is weighted. ``weights`` is how near misses count on a scale.

    Sources: J. Cohen, "A coefficient of agreement for nominal scales", Educational and
    Psychological Measurement 20 (1960), 37-46; with weights J. Cohen, "Weighted kappa",
    Psychological Bulletin 70 (1968), 213-220. Standard error and interval: J. L. Fleiss, J. Cohen
    and B. S. Everitt, "Large sample standard errors of kappa and weighted kappa", Psychological
    Bulletin 72 (1969), 323-327. Where that error is 0, as in full agreement, it would claim
    certainty; then the bounds are those of the raw agreement by Wilson's interval, at the chance
    agreement that was found.

    Raises ``EvalError`` for sides of different length, nothing to compare, a label that the scale
    does not have, and results of several judges, rubrics or models.

    >>> found = agreement([True] * 45 + [False] * 15, [True] * 40 + [False] * 20)
    >>> found.raw, str(found.kappa)
    (0.9166666666666666, '0.80 [0.64, 0.96]')
    """
    if not 0 < confidence < 1:
        raise EvalError(f"confidence lies between 0 and 1, not at {confidence!r}")
    ours, theirs = list(verdicts), list(humans)
    if len(ours) != len(theirs):
        raise EvalError(
            f"there are {len(ours)} verdicts and {len(theirs)} human labels; give one for each "
            "run, in the same order, and None where there is none"
        )
    said = [(_text(one), _text(other)) for one, other in zip(ours, theirs, strict=True)]
    kept = [(one, other) for one, other in said if one is not None and other is not None]
    if not kept:
        raise EvalError(f"of {len(said)} pairs none has a verdict and a human label: label some")
    labels = scale.labels if scale else tuple(sorted({each for pair in kept for each in pair}))
    table = _count([(_place(a, scale, labels), _place(b, scale, labels)) for a, b in kept], labels)
    judge, rubric_hash, model = _origin(ours)
    return Agreement(
        labels=labels,
        table=table,
        left_out=len(said) - len(kept),
        confidence=confidence,
        kappa=kappa_of(table, confidence=confidence),
        weighted=kappa_of(table, weights=weights, confidence=confidence)
        if scale is not None and len(labels) > 2 and weights != "none"  # noqa: PLR2004 - two verdicts have no near miss
        else None,
        notes=tuple(_notes(table, labels)),
        judge=judge,
        rubric_hash=rubric_hash,
        model=model,
    )


def kappa_of(
    table: Sequence[Sequence[int]], *, weights: Weights = "none", confidence: float = 0.95
) -> Kappa:
    """Cohen's kappa of a square table of counts, whose labels are in order.

    See ``agreement`` for the sources. Raises ``EvalError`` for unknown weights.

    >>> str(kappa_of([[20, 5], [10, 15]]))
    '0.40 [0.15, 0.65]'
    """
    n, size = sum(map(sum, table)), len(table)
    share = [[Fraction(count, n) for count in row] for row in table]
    rows = [sum(row, Fraction()) for row in share]
    columns = [sum(column, Fraction()) for column in zip(*share, strict=True)]
    cells = [(i, j) for i in range(size) for j in range(size)]
    weight = {cell: _weight(*cell, size, weights) for cell in cells}
    observed = sum((weight[i, j] * share[i][j] for i, j in cells), Fraction())
    chance = sum((weight[i, j] * rows[i] * columns[j] for i, j in cells), Fraction())
    if chance == 1:
        why = "judge and humans gave one and the same label every time, as chance would"
        return Kappa(weights=weights, value=None, undefined=why)
    by_row = [
        sum((columns[j] * weight[i, j] for j in range(size)), Fraction()) for i in range(size)
    ]
    by_column = [
        sum((rows[i] * weight[i, j] for i in range(size)), Fraction()) for j in range(size)
    ]
    spread = sum(
        (
            share[i][j]
            * (weight[i, j] * (1 - chance) - (by_row[i] + by_column[j]) * (1 - observed)) ** 2
            for i, j in cells
        ),
        Fraction(),
    )
    variance = (spread - (observed * chance - 2 * chance + observed) ** 2) / (n * (1 - chance) ** 4)
    value = (observed - chance) / (1 - chance)
    error = math.sqrt(variance)
    if variance:
        half = NormalDist().inv_cdf((1 + confidence) / 2) * error
        low, high = float(value) - half, float(value) + half
    else:
        low = wilson_interval(math.floor(observed * n), n, confidence).low
        high = wilson_interval(math.ceil(observed * n), n, confidence).high
        low, high = ((bound - float(chance)) / (1 - float(chance)) for bound in (low, high))
    interval = Interval(max(-1.0, low), min(1.0, high))
    return Kappa(weights=weights, value=float(value), standard_error=error, interval=interval)


def _weight(i: int, j: int, size: int, weights: Weights) -> Fraction:
    """How much labels at two places count as agreement: 1 for the same."""
    if weights == "none":
        return Fraction(i == j)
    apart = Fraction(abs(i - j), size - 1)
    if weights == "linear":
        return 1 - apart
    if weights == "quadratic":
        return 1 - apart * apart
    raise EvalError(f"weights are none, linear or quadratic, not {weights!r}")


def _text(given: Given) -> str | None:
    if isinstance(given, EvalResult):
        return given.label
    if isinstance(given, bool):
        return "yes" if given else "no"
    return None if given is None else str(given)


def _place(label: str, scale: Verdicts | None, labels: tuple[str, ...]) -> int:
    known = label if scale is None else scale.label_of(label)
    if known is None:
        raise EvalError(f"the scale has no {label!r}; its labels are {', '.join(labels)}")
    return labels.index(known)


def _count(pairs: Iterable[Pair], labels: tuple[str, ...]) -> tuple[tuple[int, ...], ...]:
    table = [[0] * len(labels) for _ in labels]
    for one, other in pairs:
        table[one][other] += 1
    return tuple(map(tuple, table))


def _origin(verdicts: Iterable[Given]) -> tuple[str | None, str | None, str | None]:
    """The judge, rubric and model of the results among the verdicts."""
    judged = (each.metadata for each in verdicts if isinstance(each, EvalResult) and each.metadata)
    keys = ("judge", "rubric_hash", "judge_model")
    found = {tuple(about.get(key) for key in keys) for about in judged}
    if len(found) > 1:
        kinds = "; ".join(sorted(" ".join(map(str, each)) for each in found))
        raise EvalError(f"compare one judge, rubric and model at a time, not: {kinds}")
    judge, rubric_hash, model = next(iter(found), (None, None, None))
    return judge, rubric_hash, model


def _notes(table: Sequence[Sequence[int]], labels: tuple[str, ...]) -> Iterable[str]:
    n = sum(map(sum, table))
    if n < FEW:
        yield f"{n} pairs are few; the interval is a large-sample one"
    for whose, rows in (("the judge", table), ("the humans", list(zip(*table, strict=True)))):
        used = [label for label, row in zip(labels, rows, strict=True) if sum(row)]
        if len(used) == 1:
            yield f"{whose} said {used[0]!r} every time, so kappa tells nothing of the rest"
