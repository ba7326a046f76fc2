"""Which functions are evals."""

from __future__ import annotations

import pytest

from looplet.errors import EvalError
from looplet.evals import eval_mark, plugin
from looplet.evals.context import EvalContext
from looplet.evals.marks import (
    ATTRIBUTE,
    NEEDABLE,
    check_parameters,
    is_eval,
    is_marked,
    mark_of,
    wants_of,
)


def test_a_marked_function_is_the_same_function_and_can_be_called():
    def eval_x(ctx):
        return ctx + 1

    marked = eval_mark("verdict", "fast", threshold=0.9, required=True, needs=["task"])(eval_x)
    assert marked is eval_x
    assert marked(1) == 2
    mark = mark_of(marked)
    assert mark.tags == ("verdict", "fast")
    assert (mark.threshold, mark.required, mark.needs) == (0.9, True, ("task",))


def test_a_mark_without_tags_marks():
    @eval_mark()
    def prices(ctx):
        return True

    assert is_marked(prices)
    assert is_eval(prices, __name__)


def test_only_functions_of_the_very_module_are_evals():
    def eval_x(ctx):
        return True

    assert is_eval(eval_x, __name__)
    assert not is_eval(eval_x, "elsewhere")
    assert not is_eval("eval_x", __name__)
    assert not is_eval(lambda ctx: True, __name__)


@pytest.mark.parametrize("tag", ["two words", "a-b", "", "1st", "and", 3])
def test_a_tag_that_cannot_be_a_pytest_mark_is_refused(tag):
    with pytest.raises(EvalError, match="pytest mark"):
        eval_mark(tag)


@pytest.mark.parametrize("tag", ["skip", "xfail", "parametrize"])
def test_a_tag_that_means_something_to_pytest_is_refused(tag):
    with pytest.raises(EvalError, match="own mark"):
        eval_mark(tag)


def test_a_mark_without_parentheses_is_refused_with_a_remedy():
    with pytest.raises(EvalError, match=r"@eval_mark\(\)"):

        @eval_mark
        def eval_x(ctx):
            return True


@pytest.mark.parametrize("threshold", [-0.1, 1.1, 80, float("nan"), True, "0.5"])
def test_a_threshold_that_is_no_rate_is_refused(threshold):
    with pytest.raises(EvalError, match="from 0 to 1"):
        eval_mark(threshold=threshold)


def test_a_need_that_no_context_has_is_refused():
    with pytest.raises(EvalError, match="final_output"):
        eval_mark(needs=("final_ouput",))


def test_every_need_is_a_field_of_the_context():
    assert all(hasattr(EvalContext([]), name) for name in NEEDABLE)


def test_the_plugin_looks_for_the_attribute_that_the_mark_puts():
    assert plugin.MARKED == ATTRIBUTE


def test_an_eval_takes_a_context_and_the_rest_by_name():
    for function in (
        lambda ctx: True,
        lambda ctx, llm, case, tmp_path: True,
        lambda ctx, limit=3, **rest: True,
    ):
        check_parameters(function)
    with pytest.raises(EvalError, match="takes no context"):
        check_parameters(lambda: True)
    with pytest.raises(EvalError, match=r"is called 'llm'.*\(ctx, llm\)"):
        check_parameters(lambda llm: True)
    with pytest.raises(EvalError, match="'tmp_path' by place"):
        check_parameters(lambda ctx, tmp_path, /: True)


def test_what_an_eval_asks_for_is_told_by_its_parameters():
    wants = wants_of(lambda ctx, tmp_path, case, llm=None, limit=3: True)
    assert (wants.takes, wants.needs) == ({"case", "llm"}, {"case"})
    assert wants.fixtures == ("tmp_path",)


def test_a_vectorized_eval_judges_many_runs_and_gets_no_case():
    assert mark_of(eval_mark(vectorized=True)(lambda runs: [])).vectorized
    with pytest.raises(EvalError, match="gets no case"):
        check_parameters(eval_mark(vectorized=True)(lambda runs, case: []))


def test_columns_are_names_and_those_of_a_table():
    assert mark_of(eval_mark(vectorized=True, columns="n_steps")(lambda runs: [])).columns == (
        "n_steps",
    )
    with pytest.raises(EvalError, match="a vectorized eval's table"):
        eval_mark(columns=("n_steps",))
    with pytest.raises(EvalError, match="names, not 3"):
        eval_mark(vectorized=True, columns=[3])


@pytest.mark.parametrize("name", ["required", "vectorized"])
def test_a_flag_that_is_none_is_refused(name):
    with pytest.raises(EvalError, match=f"{name} is True or False, not 'yes'"):
        eval_mark(**{name: "yes"})
