"""Verdicts in replies: found in prose, and never guessed."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from looplet.errors import EvalError
from looplet.evals.judge import YES_NO, Scale, Words
from looplet.evals.judge.scales import CANNOT_JUDGE
from looplet.evals.judge.verdicts import Unreadable, Verdict, read_verdict

scales = st.sampled_from([YES_NO, Scale(1, 5), Scale(-1, 1), Words(("poor", "fair ", "good"))])
prose = st.text(st.characters(blacklist_characters='{["', blacklist_categories=["Cs"]))


@given(scales, st.data(), prose, prose, st.text().filter(str.strip))
def test_every_verdict_is_found_in_prose(scale, data, before, after, reason):
    value = data.draw(st.sampled_from([*scale.values, CANNOT_JUDGE]))
    text = before + json.dumps({"reason": reason, "verdict": value}) + after
    read = Verdict(label=str(value), reason=reason.strip())
    assert read_verdict(text, scale) == read
    call = {"type": "tool_use", "name": "verdict", "input": {"reason": reason, "verdict": value}}
    assert read_verdict([{"type": "text", "text": text}, call], scale) == read


@given(scales, st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text()))
def test_what_is_no_label_is_never_moved_to_one(scale, value):
    read = read_verdict(json.dumps({"reason": "so", "verdict": value}), scale)
    known = {label.lower() for label in (*scale.labels, CANNOT_JUDGE)}
    given_ = str(value).strip().lower() if type(value) in (int, str) else None
    if given_ in known:
        assert read.label.lower() == given_
    else:
        assert isinstance(read, Unreadable)


@pytest.mark.parametrize(
    ("reply", "complaint"),
    [
        ("", "no JSON object"),
        ("yes", "no JSON object"),
        ('{"verdict": "yes"}', '"reason" is no text'),
        ('{"reason": " ", "verdict": "yes"}', '"reason" is no text'),
        ('{"reason": "so", "verdict": "maybe"}', 'is "maybe", which is none of "no", "yes"'),
        ('{"answer": {"reason": "so", "verdict": "yes"}}', "no JSON object"),
        (
            'It has {"reason": "a", "verdict": "yes"}; I say {"reason": "b", "verdict": "no"}',
            "different verdicts: no, yes",
        ),
        ([{"type": "tool_use", "name": "other", "input": {"verdict": "yes"}}], "no JSON object"),
    ],
)
def test_a_reply_without_one_clear_verdict_is_complained_of(reply, complaint):
    read = read_verdict(reply, YES_NO)
    assert isinstance(read, Unreadable)
    assert complaint in read.complaint


@pytest.mark.parametrize("words", [(), ("yes",), ("yes", "Yes"), ("yes", ""), ("no", CANNOT_JUDGE)])
def test_words_that_are_no_scale_are_refused(words):
    with pytest.raises(EvalError, match="different words"):
        Words(words)


@pytest.mark.parametrize("ends", [(1, 1), (5, 1), (True, 5), (1, 5.0)])
def test_ends_that_are_no_scale_are_refused(ends):
    with pytest.raises(EvalError, match="a scale goes from"):
        Scale(*ends)
