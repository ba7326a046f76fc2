"""The eval gate fails closed: each row of its table, at the command line, under pytest, in a test.

Guarantee 27: the eval gate fails closed; a loaded context equals the live one.
"""

from __future__ import annotations

import pytest

import tests.loaded  # noqa: F401 - first: runs inside this process find it loaded
from looplet import (
    EvalContext,
    EvalHook,
    MockLLMBackend,
    ProvenanceSink,
    TrajectoryStore,
    assert_evals_pass,
    composable_loop,
)
from looplet.__main__ import main
from looplet.errors import LoopletError
from looplet.evals import scoring
from looplet.evals.recorded import read_recorded
from looplet.evals.statistics import wilson_interval
from tests.guarantees.parts import APPLE, DONE, call, hook, shop

# What pytest loads inside of this process is loaded before, since scipy cannot be loaded twice.
LOADED = scoring, wilson_interval(1, 2)
PASSING = "def eval_good(ctx): return ctx.completed"


def record(folder, *replies, **options):
    """A run in a trace directory, with what a hook and a sink made of it."""
    sink = ProvenanceSink(dir=folder)
    recorder = sink.trajectory_hook()
    live, same = EvalHook([]), EvalHook([], recorder=recorder)
    hooks = [*options.pop("hooks", ()), recorder, live, same]
    llm = sink.wrap_llm(MockLLMBackend([*replies]))
    list(composable_loop(llm, {"goal": "Price."}, shop(), hooks=hooks, **options))
    sink.flush()
    return live.context, same.context, recorder.trajectory


@pytest.fixture
def desk(pytester):
    """Two runs, in trace directories and in a store, and a folder for evals."""
    runs = [record(pytester.path / "traces" / name, APPLE, DONE)[2] for name in ("a", "b")]
    TrajectoryStore(pytester.path / "store").append(runs)
    (pytester.path / "evals").mkdir()
    return pytester


def at_the_command_line(desk, threshold, *options, capsys):
    arguments = ["eval", "traces", "--evals", "evals", "--threshold", str(threshold), *options]
    capsys.readouterr()
    status = main(arguments)
    said = capsys.readouterr()
    assert status in (0, 1)
    assert ("PASS" in said.out) is (status == 0)
    return status == 0, said.out + said.err


def under_pytest(desk, threshold, *options, capsys):
    names = {"--include": "-m", "--allow-skipped": "--looplet-allow-skipped"}
    result = desk.runpytest_inprocess(
        *("evals", "--looplet-store", "store", "--looplet-gate=threshold", "--looplet-no-scores"),
        *("-p", "no:cacheprovider", f"--looplet-threshold={threshold}"),
        *(names.get(option, option) for option in options),
    )
    said = result.stdout.str()
    assert ("gate: held" in said) is (result.ret == 0)
    return result.ret == 0, said


def in_a_test(desk, threshold, *options, capsys):
    """The threshold is half a point, where a single result passes or not."""
    options = {
        "include": [options[1]] if "--include" in options else None,
        "allow_skipped": "--allow-skipped" in options,
    }
    try:
        assert_evals_pass(EvalContext.from_trajectory_dir("traces/a"), "evals", **options)
    except (AssertionError, LoopletError) as error:
        return False, str(error)
    return True, ""


FRONT_ENDS = [at_the_command_line, under_pytest, in_a_test]
ANY = 0  # a threshold that everything reaches
CLOSED = [
    ("below", "def eval_x(ctx): return 0.3", 0.5, (), "average 0.300 is below 0.500"),
    ("no", "def eval_x(ctx): return False", 0.5, (), "average 0.000 is below 0.500"),
    ("zero", "def eval_x(ctx): return {'f1': 0, 'score': 0}", 0.5, (), "is below 0.500"),
    (
        "mark",
        "@eval_mark(threshold=0.9)\ndef eval_x(ctx): return 0.8",
        ANY,
        (),
        "average 0.800 is below 0.900",
    ),
    ("raised", "def eval_x(ctx): raise ValueError('bad')", ANY, (), "ValueError: bad"),
    (
        "raised once",
        "seen = []\ndef eval_x(ctx):\n    seen.append(1)\n    return 1 / (len(seen) - 1)",
        ANY,
        (),
        "1 error",
    ),
    ("none", "def eval_x(ctx): pass", ANY, (), "returned nothing"),
    ("nan", "def eval_x(ctx): return float('nan')", ANY, (), "gave nan"),
    ("inf", "def eval_x(ctx): return {'score': 1, 'loss': float('inf')}", ANY, (), "gave inf"),
    ("fixture", "def eval_x(ctx, no_such_thing): return True", ANY, (), "no_such_thing"),
    ("label", "def eval_x(ctx): return 'unsure'", ANY, (), "without a passing label"),
    ("words", "def eval_x(ctx): return ['well']", ANY, (), "without a passing label"),
    ("no evals", "", ANY, (), "no"),
    ("no marks", PASSING, ANY, ("--include", "nope"), "no"),
    ("metrics", "def eval_x(ctx): return {'tokens': 3}", ANY, (), "nothing but metrics"),
    ("import", "import nowhere_at_all", ANY, (), "nowhere_at_all"),
    ("exit", "raise SystemExit(0)", ANY, (), "eval_rows.py"),
    ("judge", f"{PASSING}\ndef eval_x(ctx, llm): return 1", ANY, (), "it needs a judge"),
    ("judge alone", "def eval_x(ctx, llm): return 1", ANY, ("--allow-skipped",), "skipped"),
    (
        "required judge",
        f"{PASSING}\n@eval_mark(required=True)\ndef eval_x(ctx, llm): return 1",
        ANY,
        ("--allow-skipped",),
        "it is required",
    ),
    (
        "needs",
        f"{PASSING}\n@eval_mark(needs=['expected'])\ndef eval_x(ctx): return True",
        ANY,
        (),
        "the run has no expected",
    ),
    (
        "required mark",
        f"@eval_mark('a')\n{PASSING}\n@eval_mark('b', required=True)\ndef eval_x(ctx): return 1",
        ANY,
        ("--include", "a"),
        "it is required, and was not run",
    ),
    (
        "vectorized",
        "@eval_mark(vectorized=True)\ndef eval_x(runs): return [0.3] * len(runs)",
        0.5,
        (),
        "average 0.300 is below 0.500",
    ),
    ("class", "def eval_x(): return True", ANY, (), "takes no context"),
]
OPEN = [
    ("reached", "def eval_x(ctx): return 0.5", 0.5, ()),
    ("label", "def eval_x(ctx): return 'Correct'", 0.5, ()),
    ("metrics beside", f"{PASSING}\ndef eval_x(ctx): return {{'tokens': 3}}", 0.5, ()),
    ("skipped", f"{PASSING}\ndef eval_x(ctx, llm): return 1", 0.5, ("--allow-skipped",)),
    ("mark", "@eval_mark(threshold=0.2)\ndef eval_x(ctx): return 0.3", 0.5, ()),
    (
        "vectorized",
        "@eval_mark(vectorized=True)\ndef eval_x(runs): return [1] * len(runs)",
        0.5,
        (),
    ),
]


def write(desk, source):
    text = f"from looplet import eval_mark\n{source}\n"
    (desk.path / "evals" / "eval_rows.py").write_text(text)


@pytest.mark.parametrize("front_end", FRONT_ENDS)
@pytest.mark.parametrize(
    ("source", "threshold", "options", "cause"),
    [pytest.param(*row, id=name) for name, *row in CLOSED],
)
def test_the_gate_falls_and_says_why(desk, capsys, front_end, source, threshold, options, cause):
    write(desk, source)
    held, said = front_end(desk, threshold, *options, capsys=capsys)
    assert not held
    assert cause in said


@pytest.mark.parametrize("front_end", FRONT_ENDS)
@pytest.mark.parametrize(
    ("source", "threshold", "options"), [pytest.param(*row, id=name) for name, *row in OPEN]
)
def test_the_gate_holds_where_all_was_evaluated(
    desk, capsys, front_end, source, threshold, options
):
    write(desk, source)
    held, said = front_end(desk, threshold, *options, capsys=capsys)
    assert held, said


@pytest.mark.parametrize("front_end", FRONT_ENDS[:2])
def test_the_gate_judges_the_average_of_the_runs(desk, capsys, front_end):
    # 0.2 on the first and 0.8 on the second, which alone would not and would pass.
    write(
        desk,
        "seen = []\ndef eval_x(ctx):\n    seen.append(1)\n    return (0.2, 0.8)[len(seen) > 1]",
    )
    assert front_end(desk, 0.5, capsys=capsys)[0]
    assert not front_end(desk, 0.51, capsys=capsys)[0]


@pytest.mark.parametrize("front_end", FRONT_ENDS[:2])
@pytest.mark.parametrize("what", ["empty", "damaged"])
def test_the_gate_falls_without_runs_and_with_one_that_cannot_be_read(
    desk, capsys, front_end, what
):
    write(desk, PASSING)
    if what == "empty":
        for folder in ("traces", "store"):
            (desk.path / folder).rename(desk.path / f"other_{folder}")
            (desk.path / folder).mkdir()
    else:
        (desk.path / "traces" / "b" / "trajectory.json").write_text("{")
        (part,) = desk.path.glob("store/trajectories/*.parquet")
        part.write_bytes(part.read_bytes()[:-40])
    if front_end is at_the_command_line:
        status = main(["eval", "traces", "--evals", "evals"])
        out, err = capsys.readouterr()
        assert status == 1
        assert {"empty": "no traces in traces", "damaged": "b/trajectory.json"}[what] in err
        assert ("(1 run)" in out) is (what == "damaged"), "what can be read is evaluated"
    else:
        assert not front_end(desk, 0, capsys=capsys)[0]


PARTS = tuple(name for name in EvalContext.__slots__ if name not in ("_steps", "trajectory"))


@pytest.mark.parametrize(
    ("replies", "options"),
    [
        ([APPLE, DONE], {}),
        ([APPLE], {"max_steps": 2}),
        ([call("price", fruit="fig"), DONE], {}),
        ([DONE], {"hooks": [hook(check_done=lambda *a: "no")], "max_steps": 1}),
        ([DONE], {"max_steps": 0}),
    ],
)
def test_a_loaded_context_equals_the_live_one(tmp_path, replies, options):
    live, recorded, trajectory = record(tmp_path / "run", *replies, **options)
    TrajectoryStore(tmp_path / "store").append(trajectory)
    loaded = EvalContext.from_trajectory_dir(tmp_path / "run")
    ((_, stored),) = read_recorded(tmp_path / "store").runs
    for ctx in (recorded, stored):
        for name in ("steps", *PARTS):
            assert getattr(ctx, name) == getattr(loaded, name), name
    for name in ("steps", *PARTS):
        if name != "metadata":  # without a recorder, a run has no identifier that others know
            assert getattr(live, name) == getattr(loaded, name), name
    assert set(live.metadata) == set(loaded.metadata)
    assert [step.pretty() for step in live.steps] == [step.pretty() for step in loaded.steps]
    for name in ("completed", "tool_sequence", "errors", "step_count"):
        assert getattr(live, name) == getattr(stored, name) == getattr(loaded, name)
