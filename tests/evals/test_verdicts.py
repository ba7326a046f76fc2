"""Many verdicts in little room."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from looplet.evals.identity import RunKey
from looplet.evals.results import EvalResult, Outcome
from looplet.evals.scored import EvalInfo, Scored
from looplet.evals.verdicts import Verdicts, to_text

INFO = EvalInfo(key="e.py::eval_x", name="eval_x", tags=("a",), threshold=0.5, source_hash="h")
TEXT = st.text(max_size=6)
NUMBER = st.floats(allow_nan=False, allow_infinity=False)
SCORED = st.builds(
    Scored,
    eval=st.just(INFO),
    trajectory_id=TEXT,
    outcome=st.sampled_from(Outcome),
    result=st.builds(
        EvalResult,
        st.just("eval_x") | TEXT,
        score=st.none() | NUMBER,
        label=st.none() | TEXT,
        metrics=st.dictionaries(TEXT, NUMBER, max_size=2),
        details=st.lists(TEXT, max_size=2),
        explanation=TEXT,
        duration_ms=st.floats(0, 1e6),
        metadata=st.dictionaries(TEXT, TEXT, max_size=1),
    ),
    task=TEXT,
    recording=st.none() | TEXT,
)


@given(st.lists(SCORED, max_size=6))
def test_verdicts_come_out_as_they_went_in_also_from_another_process(scored):
    made = Verdicts(INFO)
    for each in scored:
        run = RunKey(trajectory_id=each.trajectory_id, task=each.task, recording=each.recording)
        made.add(run, each.outcome, each.result)
    assert list(made) == scored
    assert made[1:] == scored[1:]
    sent = to_text(made)
    assert sent.isascii()
    assert list(Verdicts.from_text(sent)) == scored
    if scored:
        assert to_text(tuple(scored)) == sent


def test_each_look_gives_values_of_its_own():
    made = Verdicts(INFO)
    made.add(RunKey(trajectory_id="t", task="t"), Outcome.PASS, EvalResult(details=["a"]))
    made[0].result.details.append("b")
    made[0].result.metrics["m"] = 1.0
    assert (made[0].result.details, made[0].result.metrics) == (["a"], {})
