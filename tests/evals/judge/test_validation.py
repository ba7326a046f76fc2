"""What a judge must show before it is called validated, and the file that says so."""

from __future__ import annotations

import json

import pytest

from looplet.errors import EvalError
from looplet.evals import EvalResult
from looplet.evals.judge import RubricJudge, Scale, Validation, agreement

JUDGE = RubricJudge("helpful", rubric="How helpful?", scale=Scale(1, 3))
JUDGED = [1, 2, 3, 3, 2, 1] * 10
HUMANS = [1, 2, 3, 2, 2, 1] * 10


def test_a_validation_is_saved_whole_and_read_again(tmp_path):
    found = agreement(JUDGED, HUMANS, scale=JUDGE.scale)
    record = JUDGE.validated(found, model="m").validation
    assert (record.kappa, record.weights) == (found.weighted.value, "quadratic")
    assert (record.model, record.n, record.raw) == ("m", 60, pytest.approx(5 / 6))
    path = tmp_path / "judges" / "helpful.json"
    record.save(path)
    assert Validation.load(path) == record
    assert [each.name for each in path.parent.iterdir()] == ["helpful.json"]


def test_agreement_that_may_be_chance_is_no_validation():
    with pytest.raises(EvalError, match=r"not validated: kappa is .* not above 0;"):
        JUDGE.validated(agreement(JUDGED[:6], [1, 2, 3, 1, 2, 3], scale=JUDGE.scale))
    with pytest.raises(EvalError, match=r"not above 0\.9;"):
        JUDGE.validated(agreement(JUDGED, HUMANS, scale=JUDGE.scale), at_least=0.9)
    with pytest.raises(EvalError, match=r"undefined .judge and humans gave one"):
        JUDGE.validated(agreement([1] * 50, [1] * 50, scale=JUDGE.scale))


def test_the_agreement_of_another_rubric_is_no_validation():
    about = {"judge": "helpful", "rubric_hash": "other", "judge_model": "m"}
    results = [EvalResult(label=str(label), metadata=about) for label in JUDGED]
    with pytest.raises(EvalError, match="another rubric than 'helpful' has now"):
        JUDGE.validated(agreement(results, HUMANS, scale=JUDGE.scale))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda data: "{", "is no JSON"),
        (lambda data: "[]", "is no validation"),
        (lambda data: json.dumps({**data, "looplet_validation": 9}), "has the format 9"),
        (lambda data: json.dumps({**data, "interval": 1}), "is a damaged validation"),
        (lambda data: json.dumps({**data, "more": 1}), "is a damaged validation"),
    ],
)
def test_a_file_that_is_no_validation_is_refused(tmp_path, change, said):
    path = tmp_path / "helpful.json"
    JUDGE.validated(agreement(JUDGED, HUMANS, scale=JUDGE.scale)).validation.save(path)
    path.write_text(change(json.loads(path.read_text())))
    with pytest.raises(EvalError, match=said):
        Validation.load(path)
