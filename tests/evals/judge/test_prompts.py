"""The run as data: fenced, cut to a budget, and nothing of it lost in silence."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from looplet.errors import NotEvaluable
from looplet.evals import EvalContext
from looplet.evals.judge.prompts import fenced
from looplet.evals.judge.transcript import TITLES, transcript_of

FIELDS = tuple(TITLES)


@given(st.text())
def test_no_text_can_end_its_own_fence(text):
    once = fenced("RUN", text)
    begin, *_, end = once.split("\n")
    mark = begin.removeprefix("BEGIN RUN ")
    assert end == f"END RUN {mark}"
    assert once == f"BEGIN RUN {mark}\n{text}\nEND RUN {mark}"
    assert mark not in text
    assert fenced("RUN", text) == once
    assert fenced("RUN", text + "x").split("\n")[0] != begin
    inside = fenced("RUN", once)  # who knows how marks are made can write one, and not the outer
    assert inside.count(inside.split("\n")[-1]) == 1


@given(st.text(max_size=3000), st.text(max_size=3000), st.integers(500, 4000))
def test_a_transcript_keeps_to_its_budget_and_counts_what_it_leaves_out(task, log, budget):
    ctx = EvalContext([], task=f"t{task}", session_log_text=f"l{log}")
    names = ("task", "session_log_text")
    whole = transcript_of(ctx, names, max_chars=10**6)
    cut = transcript_of(ctx, names, max_chars=budget)
    titles = sum(len(f"## {TITLES[name]}\n") for name in names) + 1
    assert whole.left_out == 0
    assert len(cut.text) <= budget + titles
    if len(whole.text) <= budget + titles:
        assert cut == whole
    else:
        assert cut.left_out > 0
        assert "characters are left out here" in cut.text


def test_the_longest_part_is_cut_and_the_others_are_not(make_ctx):
    ctx = make_ctx("x" * 5000 + "the end", artifacts={"note": "kept"})
    cut = transcript_of(ctx, FIELDS, max_chars=2000)
    assert '{"goal": "Price of a pear?"}' in cut.text
    assert '1. price({"fruit": "pear"})\n   → {"euro": 0.4}' in cut.text
    assert "1. said: I will look." in cut.text
    assert '{"note": "kept"}' in cut.text
    assert cut.text.count("left out here") == 1
    assert "the end" in cut.text
    assert f"[... {cut.left_out} characters are left out here ...]" in cut.text


def test_what_is_not_shown_is_not_there_and_what_is_absent_says_so(make_ctx):
    ctx = make_ctx(expected={"euro": 0.55})
    assert "0.55" not in transcript_of(ctx, ("task", "steps"), max_chars=9999).text
    assert "0.55" in transcript_of(ctx, ("task", "expected"), max_chars=9999).text
    text = transcript_of(ctx, ("task", "session_log_text"), max_chars=9999).text
    assert text.endswith("## SESSION LOG\n(none)")


def test_a_run_without_anything_to_show_is_not_evaluable():
    with pytest.raises(NotEvaluable, match="no task and no final_output"):
        transcript_of(EvalContext([]), ("task", "final_output"), max_chars=9999)


def test_a_failed_step_shows_its_error_and_lone_surrogates_can_be_sent():
    from looplet.core.records import Step, ToolCall, ToolResult

    step = Step(1, ToolCall("read", {}), ToolResult("read", "", None, error="gone \ud800"))
    text = transcript_of(EvalContext([step]), ("steps",), max_chars=9999).text
    assert "→ ERROR gone \\ud800" in text
    assert text.encode()
