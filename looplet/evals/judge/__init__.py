"""Judges: a model applies a rubric to runs, and people say how far it can be believed.

Names are found when they are first used, so that pytest starts without them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from looplet.lazy import lazy_names

if TYPE_CHECKING:
    from looplet.evals.judge.judges import RubricJudge
    from looplet.evals.judge.kappa import Agreement, Kappa, agreement, kappa_of
    from looplet.evals.judge.pairwise import (
        PREFERENCE,
        PairwiseJudge,
        PositionBias,
        position_bias,
    )
    from looplet.evals.judge.scales import YES_NO, Scale, Words
    from looplet.evals.judge.validation import Validation

__all__ = [
    "PREFERENCE",
    "YES_NO",
    "Agreement",
    "Kappa",
    "PairwiseJudge",
    "PositionBias",
    "RubricJudge",
    "Scale",
    "Validation",
    "Words",
    "agreement",
    "kappa_of",
    "position_bias",
]

__getattr__, __dir__ = lazy_names(
    __name__,
    {
        "PREFERENCE": "looplet.evals.judge.pairwise",
        "YES_NO": "looplet.evals.judge.scales",
        "Agreement": "looplet.evals.judge.kappa",
        "Kappa": "looplet.evals.judge.kappa",
        "PairwiseJudge": "looplet.evals.judge.pairwise",
        "PositionBias": "looplet.evals.judge.pairwise",
        "RubricJudge": "looplet.evals.judge.judges",
        "Scale": "looplet.evals.judge.scales",
        "Validation": "looplet.evals.judge.validation",
        "Words": "looplet.evals.judge.scales",
        "agreement": "looplet.evals.judge.kappa",
        "kappa_of": "looplet.evals.judge.kappa",
        "position_bias": "looplet.evals.judge.pairwise",
    },
)
