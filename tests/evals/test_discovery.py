"""Finding evals without pytest."""

from __future__ import annotations

import sys

import pytest

from looplet.errors import EvalError
from looplet.evals import eval_discover


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "helpers_of_evals.py").write_text("def eval_helper(ctx): return True\n")
    (tmp_path / "eval_a.py").write_text(
        "from helpers_of_evals import eval_helper\n"
        "from looplet.evals import eval_mark\n"
        "def eval_second(ctx): return True\n"
        "@eval_mark('x')\n"
        "def price(ctx): return True\n"
        "def other(ctx): return True\n"
    )
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "eval_a.py").write_text("def eval_deep(ctx): return True\n")
    (tmp_path / "deep" / "test_b.py").write_text("def eval_not_here(ctx): return True\n")
    return tmp_path


def names(evals):
    return [function.__name__ for function in evals]


def test_a_directory_is_searched_to_the_bottom(folder):
    assert names(eval_discover(folder)) == ["eval_deep", "eval_second", "price"]


def test_a_file_gives_its_own_evals_in_order(folder):
    assert names(eval_discover(folder / "eval_a.py")) == ["eval_second", "price"]
    assert str(folder) not in sys.path


def test_pattern_and_prefix_can_be_others(folder):
    assert names(eval_discover(folder, pattern="test_*.py", prefix="eval_not")) == ["eval_not_here"]


@pytest.mark.parametrize("source", ["import nowhere_at_all", "def (", "raise SystemExit(0)"])
def test_a_broken_file_is_named_in_a_warning_and_hides_no_other(folder, source):
    (folder / "eval_broken.py").write_text(source)
    with pytest.warns(UserWarning, match=r"eval_broken\.py"):
        assert "eval_deep" in names(eval_discover(folder))


def test_a_broken_file_is_an_error_where_that_is_asked_for(folder):
    (folder / "eval_broken.py").write_text("1 / 0")
    with pytest.raises(EvalError, match=r"eval_broken\.py.*ZeroDivisionError"):
        eval_discover(folder, on_error="raise")


def test_a_path_that_is_not_there_is_an_error(tmp_path):
    with pytest.raises(EvalError, match="no such file"):
        eval_discover(tmp_path / "evals")
