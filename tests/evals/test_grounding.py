"""Whether the numbers of an answer come from the tools."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from looplet.errors import EvalError, NotEvaluable
from looplet.evals import library
from looplet.evals.grounding import grounded
from looplet.evals.trying import context_of_calls

INTEGERS = st.integers(-(10**6), 10**6)
FACTS = st.lists(INTEGERS | st.decimals(0, 10**6, places=2).map(float), min_size=1, max_size=5)


def run(result, answer, **more):
    return context_of_calls(("look", {}, result), ("done", {}), final_output=answer, **more)


@given(FACTS, INTEGERS, st.data())
def test_what_the_tools_gave_is_grounded_and_nothing_else_is(facts, other, data):
    said = data.draw(st.lists(st.sampled_from(facts), min_size=1, max_size=3))
    results = [{"rows": [{"n": each} for each in facts]}, ", ".join(f" {each}" for each in facts)]
    for result in results:
        answer = {"summary": "The numbers: " + " and ".join(map(str, said)), "first": said[0]}
        match = grounded(run(result, answer))
        assert match
        assert match.metrics == {"numbers": len(said) + 1, "grounded": len(said) + 1}
        invented = grounded(run(result, [*said, other]))
        assert invented.passed == (other in facts)


@pytest.mark.parametrize(
    ("result", "answer", "options", "holds"),
    [
        ({"n": 15}, "5", {}, False),
        ("15 or 5.5 or 0.5 or 2005", "5", {}, False),
        ("EUR 1,234.50", "1234.5", {}, True),
        ({"share": 0.5}, "50 %", {}, True),
        ("50 %", {"share": 0.5}, {}, True),
        ({"share": 0.5}, "50", {}, False),
        ({"loss": -3}, "3", {}, False),
        ({"at": "2024-03-01T10:00:00Z"}, "On March 1, 2024 at 10:00.", {}, True),
        ({"at": "2024-03-01"}, "in 2024", {}, True),
        ({"at": "2024-03-01"}, "3 of them", {}, False),
        ({"at": "2024"}, "2024-01-01", {}, False),
        ({"n": 1_200_000}, "1.2 million", {}, True),
        ({"n": 1_234_567}, "1.2 million", {}, False),
        ({"n": 1_234_567}, "1.2 million", {"rounded": True}, True),
        ({"n": 1_334_567}, "1.2 million", {"rounded": True}, False),
        ({"n": 2.346}, "2.35", {"rounded": True}, True),
        ({"n": 2.344}, "2.35", {"rounded": True}, False),
        ({"n": 2.346}, "2.350", {"rounded": True}, False),
        ({"n": 0.333}, "33 %", {"rounded": True}, True),
        ({"n": 0.1 + 0.2}, "0.3", {}, False),
        ({"n": 0.1 + 0.2}, "0.3", {"tolerance": 1e-9}, True),
        ({"n": 101}, "100", {"tolerance": 0.01}, True),
        ({"n": 102}, "100", {"tolerance": 0.01}, False),
        ("1.234,50", "1234,5", {"decimal": ","}, True),
        ({"n": 1}, {"n": 1, "confidence": 0.9}, {}, False),
        ({"n": 1}, {"n": 1, "confidence": 0.9}, {"ignore": "confidence"}, True),
    ],
)
def test_a_number_is_looked_up_by_its_value(result, answer, options, holds):
    assert grounded(run(result, answer), **options).passed is holds


def test_the_models_own_words_prove_nothing():
    ctx = context_of_calls(
        ("think", {"analysis": "it must be 7"}, {"acknowledged": True, "analysis": "it must be 7"}),
        ("say", {"text": "7"}, "7"),
        ("price", {"n": 7}, ValueError("argument 'n' must be below 5, got 7")),
        ("__parse_error__", {}, "7"),
        ("note", {}, "7 is noted"),
        ("done", {"summary": "7"}, {"status": "completed", "said": "7"}),
        final_output={"summary": "7"},
    )
    ctx.steps[2].tool_result.data = {"euro": 7}
    assert not grounded(ctx, ignore_tools="note")
    assert grounded(ctx)
    finish = context_of_calls(("finish", {"n": 7}, {"said": 7}), final_output={"n": 7})
    assert not grounded(finish), "the tool that ended the run, whatever its name"


def test_the_task_counts_where_it_is_asked_to():
    ctx = run({"euro": 0.55}, "3 pears are 0.55 each", task={"goal": "3 pears"})
    match = grounded(ctx)
    assert match.explanation == "3 in the final output is in no tool result; nearest: 0.55"
    assert grounded(ctx, task=True)


def test_the_place_in_the_output_is_named():
    match = library.grounded(run({"n": [1, 5]}, {"items": [{"n": 1}, {"n": 4}], "at": "9:30"}))
    assert [miss.text for miss in match.misses] == [
        "4 in the final output (items.1.n) is in no tool result; nearest: 5",
        "9:30 in the final output (at) is in no tool result",
    ]


def test_without_an_answer_or_a_number_there_is_nothing_to_judge():
    with pytest.raises(NotEvaluable, match="no final output"):
        grounded(run({"n": 1}, None))
    with pytest.raises(NotEvaluable, match="no number"):
        grounded(run({"n": 1}, {"summary": "All is well.", "ok": True}))
    assert not grounded(context_of_calls(final_output=0))
    for tolerance in (-0.1, 1, float("nan"), True):
        with pytest.raises(EvalError, match="tolerance"):
            grounded(run({"n": 1}, 1), tolerance=tolerance)
