"""The gate inside a test."""

from __future__ import annotations

import os

import pytest

from looplet import EvalContext, MockLLMBackend, assert_evals_pass, eval_mark
from looplet.errors import EvalError

DONE = EvalContext([], stop_reason="done", final_output={"euro": 2})


def eval_good(ctx):
    return ctx.completed


@eval_mark("price")
def eval_low(ctx):
    return {"score": 0.25, "note": "too cheap"}


@eval_mark("price")
def eval_label(ctx):
    return "unsure"


def test_each_failed_result_has_a_line_of_its_own():
    with pytest.raises(AssertionError) as caught:
        assert_evals_pass(DONE, [eval_good, eval_low, eval_label])
    lines = str(caught.value).splitlines()
    assert lines[0] == "the gate does not hold: 2 of 3 evals"
    assert [line.split(" [")[0] for line in lines[1:3]] == [
        "✗ eval_low score=0.25 score=0.25: note: too cheap",
        "✗ eval_label label=unsure",
    ]
    assert lines[3:] == [
        "eval_low: average 0.250 is below 0.500",
        "eval_label: 1 run without a score, and without a passing label",
    ]


def test_it_holds_quietly_and_marks_and_judges_count():
    assert assert_evals_pass(DONE, [eval_good]) is None
    assert_evals_pass(DONE, [eval_good, eval_low], exclude=["price"])
    judge = MockLLMBackend(["yes"])
    assert_evals_pass(DONE, [lambda ctx, llm: llm.generate("Good?")], judge_llm=judge)
    with pytest.raises(AssertionError, match="label=skipped: it needs a judge"):
        assert_evals_pass(DONE, [lambda ctx, llm: True])


def test_evals_are_found_once_and_again_when_a_file_has_changed(tmp_path):
    file = tmp_path / "evals" / "eval_price.py"
    file.parent.mkdir()
    count = tmp_path / "imports"
    source = f"""
with open({str(count)!r}, "a") as out:
    out.write("x")

def eval_euro(ctx):
    return ctx.final_output["euro"] == 2
"""
    file.write_text(source)
    for path in (file.parent, str(file.parent), file):
        for _ in range(3):
            assert_evals_pass(DONE, path)
    assert count.read_text() == "xx", "once for the directory, once for the file"
    file.write_text(source.replace("== 2", "== 3000"))
    with pytest.raises(AssertionError, match="eval_euro"):
        assert_evals_pass(DONE, file.parent)


def test_what_cannot_be_found_or_called_is_an_error(tmp_path):
    with pytest.raises(EvalError, match="no such file"):
        assert_evals_pass(DONE, tmp_path / "evals")
    (tmp_path / "eval_broken.py").write_text("import nowhere_at_all\n")
    with pytest.raises(EvalError, match=r"eval_broken\.py cannot be imported"):
        assert_evals_pass(DONE, os.fspath(tmp_path))
    marked = "from looplet import eval_mark\n@eval_mark('a-b')\ndef eval_a(ctx): ..."
    (tmp_path / "eval_broken.py").write_text(marked)
    with pytest.raises(EvalError, match=r"select it\. Mend it, or move it away\."):
        assert_evals_pass(DONE, os.fspath(tmp_path))
    with pytest.raises(EvalError, match="takes no context"):
        assert_evals_pass(DONE, [lambda: True])
