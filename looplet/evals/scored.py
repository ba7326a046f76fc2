"""One eval's verdict on one run, as it travels between processes and into the scores dataset."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from looplet.core.codec import JSON, digest
from looplet.evals.identity import RunKey
from looplet.evals.marks import mark_of, wants_of
from looplet.evals.results import EvalResult, Outcome


@dataclass(frozen=True, slots=True, kw_only=True)
class EvalInfo:
    """What the summary and the gate know of an eval."""

    key: str
    """Unique in a run of pytest: the file's node id and the function's name."""
    name: str
    tags: tuple[str, ...] = ()
    threshold: float | None = None
    required: bool = False
    source_hash: str = ""
    asks_judge: bool = False
    """Whether it needs a judge: a model's word is in its verdicts, whatever they tell of it."""

    @classmethod
    def of(cls, function: Callable[..., Any], *, key: str) -> EvalInfo:
        """The facts about an eval function."""
        mark = mark_of(function)
        return cls(
            key=key,
            name=function.__name__,
            tags=mark.tags,
            threshold=mark.threshold,
            required=mark.required,
            source_hash=source_hash(function),
            asks_judge=asks_judge(function),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Scored:
    """One eval's verdict on one run."""

    eval: EvalInfo
    trajectory_id: str
    outcome: Outcome
    result: EvalResult = field(default_factory=EvalResult)
    task: str = ""
    """What the run was asked, by name, which other trials of it share; empty: its own task."""
    recording: str | None = None
    """The recording that the run replays, if it does: replays of it are one trial."""

    @classmethod
    def of(cls, info: EvalInfo, run: RunKey, outcome: Outcome, result: EvalResult) -> Scored:
        """A verdict on the run with that key."""
        return cls(
            eval=info,
            trajectory_id=run.trajectory_id,
            outcome=outcome,
            result=result,
            task=run.task,
            recording=run.recording,
        )

    @property
    def unvalidated(self) -> str | None:
        """Why nobody knows whether people would agree with a judge; ``None`` if that is known.

        ``None`` too where there is no verdict, or no judge had a word in it.
        """
        about = self.result.metadata
        judged = self.outcome in (Outcome.PASS, Outcome.FAIL)
        if not judged or not (self.eval.asks_judge or "judge" in about):
            return None
        if about.get("validated") is True:
            return None
        return str(about.get("validation") or "the eval tells of no comparison with human labels")

    def to_row(self, *, scored_at: datetime, session: str, host: str, version: str) -> JSON:
        """A row of the scores dataset."""
        result, evaluable = self.result, self.outcome is not Outcome.NOT_EVALUABLE
        judged = self.outcome in (Outcome.PASS, Outcome.FAIL)
        return {
            "trajectory_id": self.trajectory_id,
            "eval_name": self.eval.name,
            "eval_hash": self.eval.source_hash,
            "score": result.score,
            "label": result.label,
            "passed": self.outcome is Outcome.PASS if judged else None,
            "evaluable": evaluable,
            "explanation": result.explanation or None,
            "metrics": result.metrics or None,
            "marks": list(self.eval.tags),
            "judge_model": result.metadata.get("judge_model"),
            "duration_ms": result.duration_ms,
            "error": result.explanation if self.outcome is Outcome.ERROR else None,
            "scored_at": scored_at,
            "session": session,
            "host": host,
            "looplet_version": version,
            "metadata": {
                **result.metadata,
                "eval": self.eval.key,
                "required": self.eval.required,
                "details": result.details,
            },
        }


_LISTS = (list, tuple)


def sendable(value: Any) -> Any:
    """A value that every report can hold: lone surrogates of text, at any depth, are escaped."""
    if isinstance(value, str):
        return value if value.isascii() else value.encode("utf-8", "backslashreplace").decode()
    if isinstance(value, dict):
        return {sendable(key): sendable(each) for key, each in value.items()}
    return [*map(sendable, value)] if isinstance(value, _LISTS) else value


def asks_judge(function: Callable[..., Any]) -> bool:
    """Whether an eval cannot be called without a judge."""
    return "llm" in wants_of(function).needs


def source_hash(function: Callable[..., Any]) -> str:
    """SHA-256 of an eval's source, or of its whole file where the source cannot be cut out."""
    try:
        return digest(inspect.getsource(function))
    except (OSError, TypeError):
        file = Path(function.__code__.co_filename)
        return digest(file.read_text(encoding="utf-8")) if file.is_file() else ""
