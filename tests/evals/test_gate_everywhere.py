"""What never passes the gate, whoever asks it and whatever is demanded.

Each row is put to pytest with each kind of gate, to ``looplet eval`` and to ``assert_evals_pass``.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

import pytest

from looplet import EvalContext, assert_evals_pass, eval_cli
from looplet.errors import EvalError
from looplet.trajectory.store import TrajectoryStore


@dataclass(frozen=True, kw_only=True)
class Row:
    """What is put to the gate beside two evals that hold, and why it does not hold then."""

    cause: str
    """A pattern in what is said; empty where the gate holds."""
    source: str = ""
    """An eval of its own file."""
    store: str = "store"
    include: str = ""
    threshold: str = "0"
    allow_skipped: bool = False
    alone: bool = False
    """Whether there are no other evals."""
    asserted: bool = True
    """Whether it can happen to ``assert_evals_pass``, which knows one run and no threshold."""


MARK = "from looplet import eval_mark\n"
ROWS = {
    "everything holds": Row(cause=""),
    "metrics count neither way": Row(cause="", source="def eval_x(ctx): return {'tokens': 1}"),
    "below a threshold": Row(
        cause=r"eval_x: average 0\.250 is below 0\.500",
        source="def eval_x(ctx): return 0.25",
        threshold="0.5",
    ),
    "below the mark's threshold": Row(
        cause=r"eval_x: average 0\.700 is below 0\.900",
        source=f"{MARK}@eval_mark(threshold=0.9)\ndef eval_x(ctx): return 0.7",
    ),
    "a score of 0 is a score": Row(
        cause=r"eval_x: average 0\.000 is below 0\.500",
        source="def eval_x(ctx): return {'f1': 0}",
        threshold="0.5",
    ),
    "raised": Row(cause=r"eval_x: \d+ error", source="def eval_x(ctx): raise ValueError('bad')"),
    "None": Row(cause=r"eval_x: \d+ error", source="def eval_x(ctx): return None"),
    "NaN": Row(cause=r"eval_x: \d+ error", source="def eval_x(ctx): return float('nan')"),
    "infinity": Row(cause=r"eval_x: \d+ error", source="def eval_x(ctx): return {'f1': 1e999}"),
    "a label that does not pass": Row(
        cause=r"eval_x: \d+ runs? without a score, and without a passing label",
        source="def eval_x(ctx): return 'unsure'",
    ),
    "no evals": Row(cause=r"no evals were run|no evals in", alone=True),
    "no traces": Row(cause=r"holds no trajectory|no traces in", store="empty", asserted=False),
    "a store that cannot be read": Row(cause="damaged", store="damaged", asserted=False),
    "marks that match nothing": Row(
        cause=r"no evals were run|has the marks that were asked for", include="nothing"
    ),
    "nothing but metrics": Row(
        cause="nothing but metrics", source="def eval_x(ctx): return {'tokens': 1}", alone=True
    ),
    "a file that cannot be imported": Row(
        cause=r"could not be collected|cannot be imported", source="import nowhere_at_all"
    ),
    "no judge": Row(
        cause="eval_x: no run was evaluable", source="def eval_x(ctx, llm): return True"
    ),
    "no judge, which is allowed": Row(
        cause="", source="def eval_x(ctx, llm): return True", allow_skipped=True
    ),
    "all skipped": Row(
        cause="every eval was skipped",
        source="def eval_x(ctx, llm): return True",
        allow_skipped=True,
        alone=True,
    ),
    "a required eval without a judge": Row(
        cause=r"eval_x: it is required, and not evaluable on \d+ run",
        source=f"{MARK}@eval_mark(required=True)\ndef eval_x(ctx, llm): return True",
        allow_skipped=True,
    ),
    "a required eval that is left out": Row(
        cause="eval_x: it is required, and was not run",
        source=f"{MARK}@eval_mark(required=True)\ndef eval_x(ctx): return True",
        include="verdict",
    ),
    "sys.exit(0)": Row(
        cause=r"eval_x: \d+ error", source="import sys\ndef eval_x(ctx): sys.exit(0)"
    ),
    "a file that skips itself": Row(
        cause=r"could not import 'nowhere_at_all'",
        source="import pytest\npytest.importorskip('nowhere_at_all')\ndef eval_x(ctx): return True",
    ),
    "an eval that is no function of the file": Row(
        cause=r"eval_other.py could not be collected|eval_x is an object of partial, which is not",
        source="import functools\neval_x = functools.partial(lambda ctx, ok: ok, ok=True)",
    ),
    "an eval that a decorator hides": Row(
        cause=r"could not be collected|eval_x is the function outer.<locals>.inner",
        source=f"""{MARK}
def outer(function):
    def inner(ctx): return function(ctx)
    return inner
@outer
def eval_x(ctx): return True""",
    ),
    "an eval in a class": Row(
        cause=r"eval_other.py could not be collected|Evals.price is an eval in a class",
        source=f"{MARK}class Evals:\n    @eval_mark()\n    def price(self, ctx): return True",
    ),
    "an eval that is defined twice": Row(
        cause=r"eval_other.py could not be collected|eval_x is defined twice, in lines 1 and 2,",
        source="def eval_x(ctx): return False\ndef eval_x(ctx): return True",
    ),
    "what was imported, and what is no eval": Row(
        cause="",
        source="""
import pytest
from looplet import eval_mark as eval_label
from shared import eval_hidden
eval_limit = 3
@pytest.fixture
def eval_data(): return 3
class Judge:
    def eval_text(self): return 3
@eval_label()
def price(ctx): return True""",
    ),
    "an eval that takes no context": Row(
        cause=r"could not be collected|takes no context", source="def eval_x(): return True"
    ),
}


def by_pytest(*demanded: str) -> Callable[..., tuple[bool, str]]:
    def ask(desk, row):
        result = desk.runpytest_inprocess(
            *(
                "evals",
                "--looplet-store",
                row.store,
                "--looplet-no-scores",
                "-p",
                "no:cacheprovider",
            ),
            *(f"--looplet-threshold={row.threshold}", *demanded),
            *(("-m", row.include) if row.include else ()),
            *(("--looplet-allow-skipped",) if row.allow_skipped else ()),
        )
        assert ("gate: held" in result.outlines) is (result.ret == 0)
        return result.ret == 0, result.stdout.str() + result.stderr.str()

    return ask


def by_command(desk, row):
    status = eval_cli(
        [
            *(row.store, "--evals", "evals", "--threshold", row.threshold),
            *(("--include", row.include) if row.include else ()),
            *(("--allow-skipped",) if row.allow_skipped else ()),
        ]
    )
    return status == 0, ""


def by_assertion(desk, row):
    context = EvalContext.from_trajectory(next(TrajectoryStore(desk.path / row.store).scan()))
    include = [row.include] if row.include else None
    try:
        assert_evals_pass(context, "evals", include=include, allow_skipped=row.allow_skipped)
    except (AssertionError, EvalError) as error:
        return False, str(error)
    return True, ""


BESIDE = ("--looplet-baseline", "main", "--looplet-margin=0.2")
FRONTS = {
    "threshold": by_pytest("--looplet-gate=threshold"),
    "no-worse": by_pytest("--looplet-gate=no-worse", *BESIDE),
    "better": by_pytest("--looplet-gate=better", *BESIDE),
    "command": by_command,
    "assertion": by_assertion,
}


@pytest.mark.parametrize(
    ("front", "name"),
    [
        (front, name)
        for name, row in ROWS.items()
        for front in FRONTS
        if row.asserted or front != "assertion"
    ],
)
def test_it_holds_or_not_alike(desk, write, capsys, front, name):
    row = ROWS[name]
    if row.alone:
        (desk.path / "evals" / "eval_price.py").unlink()
    hidden = "def outer(function):\n    return lambda ctx: function(ctx)\n"
    write(f"{hidden}@outer\ndef eval_hidden(ctx): return False", "shared.py")
    if row.source:
        write(row.source, "eval_other.py")
    held, text = FRONTS[front](desk, row)
    said = capsys.readouterr()
    assert held is (not row.cause)
    assert re.search(row.cause, text + said.out + said.err)
