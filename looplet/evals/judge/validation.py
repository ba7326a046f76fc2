"""The record that a judge was compared with people. Knows agreements; knows no run and no model."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from looplet.errors import EvalError
from looplet.evals.judge.kappa import Agreement
from looplet.evals.statistics import Interval

FORMAT = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Validation:
    """How far one rubric, as one model applies it, agrees with people."""

    judge: str
    rubric_hash: str
    model: str | None
    """The model that judged; ``None`` if its backend does not say."""
    kappa: float
    interval: Interval
    confidence: float
    weights: str
    """How near misses counted: ``none``, ``linear`` or ``quadratic``."""
    raw: float
    """The share of equal labels, 0 to 1."""
    n: int
    """Pairs that were compared."""

    def __str__(self) -> str:
        low, high = self.interval
        return f"kappa {self.kappa:.2f} [{low:.2f}, {high:.2f}], n={self.n}"

    def mismatch(self, *, rubric_hash: str, model: str | None) -> str | None:
        """Why this says nothing of that rubric and model; ``None`` if it does."""
        if rubric_hash != self.rubric_hash:
            return "its rubric was changed since it was validated"
        if model != self.model:
            return f"it was validated with the model {self.model}, not {model}"
        return None

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write it as JSON, whole; ``Validation.load`` reads it."""
        place = Path(path)
        place.parent.mkdir(parents=True, exist_ok=True)
        beside = place.with_name(f".{place.name}.{os.getpid()}")
        text = json.dumps({"looplet_validation": FORMAT, **asdict(self)}, indent=2) + "\n"
        beside.write_text(text, encoding="utf-8")
        beside.replace(place)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Validation:
        """Read what ``save`` wrote. Raises ``EvalError`` for anything else."""
        try:
            data: Any = json.loads(Path(path).read_text(encoding="utf-8"))
        except ValueError as error:
            raise EvalError(f"{path} is no JSON, so no validation: {error}") from error
        if not isinstance(data, dict) or "looplet_validation" not in data:
            raise EvalError(f"{path} is no validation of a judge; write one with Validation.save")
        version = data.pop("looplet_validation")
        if version != FORMAT:
            raise EvalError(f"{path} has the format {version!r}; this looplet reads {FORMAT}")
        try:
            return cls(**{**data, "interval": Interval(*data["interval"])})
        except (KeyError, TypeError) as error:
            raise EvalError(f"{path} is a damaged validation: {error}; validate again") from error


def validation_of(
    agreement: Agreement, *, judge: str, rubric_hash: str, model: str | None, at_least: float
) -> Validation:
    """The record of an agreement that is good enough.

    Raises ``EvalError`` if kappa is undefined, not above ``at_least`` with its whole interval, or
    if the agreement is known to be another rubric's.
    """
    if agreement.rubric_hash not in (None, rubric_hash):
        raise EvalError(
            f"the agreement is that of the judge {agreement.judge!r} with another rubric than "
            f"{judge!r} has now: let it judge the labelled runs again"
        )
    kappa = agreement.main
    if kappa.value is None or kappa.interval is None:
        raise EvalError(f"the judge {judge!r} is not validated: kappa is {kappa}")
    if kappa.interval.low <= at_least:
        raise EvalError(
            f"the judge {judge!r} is not validated: kappa is {kappa}, n={agreement.n}, and the "
            f"interval is not above {at_least:g}; mend the rubric, or label more runs"
        )
    return Validation(
        judge=judge,
        rubric_hash=rubric_hash,
        model=model if agreement.rubric_hash is None else agreement.model,
        kappa=kappa.value,
        interval=kappa.interval,
        confidence=agreement.confidence,
        weights=kappa.weights,
        raw=agreement.raw,
        n=agreement.n,
    )
