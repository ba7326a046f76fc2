"""A baseline under pytest: what is refused, what is shown, what lets the gate hold."""

from __future__ import annotations

import html
import re
import shutil

import pytest

from looplet.trajectory.store import TrajectoryStore
from tests.evals.conftest import make_run

OK, FAILED, USAGE = (
    pytest.ExitCode.OK,
    pytest.ExitCode.TESTS_FAILED,
    pytest.ExitCode.USAGE_ERROR,
)
STORE = ("evals", "--looplet-store", "store", "-p", "no:cacheprovider")
BASELINE = ("--looplet-baseline", "main")
NO_WORSE = (*BASELINE, "--looplet-gate=no-worse")
BESIDE = ("--looplet-baseline", "main", "--looplet-margin=0.2", "--looplet-gate=no-worse")


def score(desk, *args):
    """Put the evals to ``store``, and let its scores be as they are."""
    return desk.runpytest_inprocess(*STORE, "--looplet-no-scores", *args)


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (("--looplet-gate=no-worse",), "*=no-worse looks at a baseline: add --looplet-baseline *"),
        (("--looplet-gate=better",), "*=better looks at a baseline: add --looplet-baseline *"),
        (("--looplet-margin=0.1",), "*--looplet-margin is of a comparison: add --looplet-basel*"),
        (("--looplet-alpha=0.1",), "*--looplet-alpha is of a comparison: add --looplet-baseline*"),
        ((*NO_WORSE, "--looplet-margin=0"), "*--looplet-margin: '0' is not between 0 and 1"),
        ((*NO_WORSE, "--looplet-alpha=half"), "*--looplet-alpha: 'half' is not between 0 and 1"),
        (("--looplet-gate=worse",), "*--looplet-gate: invalid choice: 'worse'*"),
        (("--looplet-baseline", "nowhere"), "*: there is no directory *nowhere, and no session *"),
        (("--looplet-baseline", "store"), "*: store is the store that is scored: name another *"),
        (("--looplet-baseline", "empty"), "*-baseline: *no *scores*"),
        (("--looplet-baseline", "fresh"), "*: score them with pytest EVALS --looplet-store fresh"),
        (("--looplet-baseline", "damaged"), "*--looplet-baseline: *"),
        (("--looplet-baseline", "others"), "*: others and the runs to be scored share no task*"),
    ],
)
def test_what_cannot_be_compared_is_a_usage_error_before_anything_is_scored(desk, args, message):
    for name, task in (("fresh", "task-0"), ("others", "pears")):
        TrajectoryStore(desk.path / name).append(make_run(task, 0, 2.0))
    TrajectoryStore(desk.path / "others").append_scores(
        [{"trajectory_id": "pears.0", "eval_name": "eval_right_price", "score": 1.0}]
    )
    result = score(desk, *args)
    assert result.ret == USAGE
    result.stderr.fnmatch_lines([message])
    assert "passed" not in result.stdout.str()


def test_a_baseline_needs_a_store_to_be_scored(desk):
    result = desk.runpytest_inprocess("--looplet-baseline", "main")
    assert result.ret == USAGE
    result.stderr.fnmatch_lines(["*--looplet-baseline is compared with: add --looplet-store DIR*"])


def test_the_table_stands_below_the_summary_and_decides_nothing_by_itself(desk, monkeypatch):
    monkeypatch.setenv("COLUMNS", "120")
    result = score(desk, *BASELINE, "--looplet-margin=0.2")
    assert result.ret == OK
    result.stdout.fnmatch_lines(
        [
            "eval *not evaluable  gate",
            "beside the baseline main (margin 0.2)",
            "eval                  tasks  baseline  candidate  difference * p  verdict",
            "eval_right_price         20      0.00       1.00       +1.00 *  better",
            "eval_ended_by_itself     20      1.00       1.00 * 1.000  no worse (margin 0.2)",
        ],
    )
    assert "gate:" not in result.stdout.str()
    assert score(desk, *BESIDE).ret == OK


def test_what_is_worse_fails_although_it_reaches_its_threshold(desk):
    args = ("evals", "--looplet-no-scores", "--looplet-store", "main", "-p", "no:cacheprovider")
    desk.runpytest_inprocess("evals", "--looplet-store", "store")
    held = desk.runpytest_inprocess(*args, "--looplet-gate=threshold", "--looplet-threshold=0")
    assert held.ret == OK
    beside = ("--looplet-baseline", "store", "--looplet-margin=0.2")
    for name in ("no-worse", "better"):
        result = desk.runpytest_inprocess(*args, *beside, f"--looplet-gate={name}")
        assert result.ret == FAILED
        result.stdout.fnmatch_lines(
            [
                "eval_right_price * NOT held",
                "eval_ended_by_itself * held",
                "gate: NOT held",
                "  - eval_right_price: worse than the baseline: -1.000 (*) on 20 tasks, margin 0.2",
            ]
        )


def test_too_little_data_fails_and_says_what_would_do(desk):
    result = score(desk, *NO_WORSE)
    assert result.ret == FAILED
    result.stdout.fnmatch_lines(
        ["  - eval_ended_by_itself: not shown to be no worse than the baseline: *about * would do*"]
    )


def test_better_wants_something_better(desk):
    better = (*BASELINE, "--looplet-margin=0.2", "--looplet-gate=better")
    assert score(desk, *better).ret == OK
    result = score(desk, *better, "-k", "ended")
    assert result.ret == FAILED
    result.stdout.fnmatch_lines(["  - no eval is shown to be better than the baseline"])
    assert score(desk, *BESIDE, "-k", "ended").ret == OK


def test_an_eval_that_has_changed_since_does_not_hold(desk, write):
    file = desk.path / "evals" / "eval_price.py"
    file.write_text(file.read_text().replace("ctx.completed", "bool(ctx.completed)"))
    result = score(desk, *BESIDE)
    assert result.ret == FAILED
    result.stdout.fnmatch_lines(
        [
            "  eval_ended_by_itself: the eval has changed since the baseline was scored",
            "  - eval_ended_by_itself: the eval has changed since *: score the baseline again",
        ]
    )
    assert desk.runpytest_inprocess("evals", "--looplet-store", "main").ret == FAILED
    assert score(desk, *BESIDE).ret == OK


def test_evals_of_one_side_are_named_and_required_ones_are_missed(desk, write):
    write("def eval_new(ctx): return True\n", "eval_new.py")
    result = score(desk, *BESIDE, "--deselect", "evals/eval_price.py::eval_right_price")
    assert result.ret == OK
    result.stdout.fnmatch_lines(
        [
            "  scores of the baseline alone: eval_right_price",
            "  scores of the candidate alone: eval_new",
        ]
    )
    write(
        "from looplet import eval_mark\n"
        "@eval_mark(required=True)\ndef eval_new(ctx): return True\n",
        "eval_new.py",
    )
    result = score(desk, *BESIDE)
    assert result.ret == FAILED
    result.stdout.fnmatch_lines(
        ["  - eval_new: it is required, and the baseline main has no score of it"]
    )
    desk.runpytest_inprocess("evals", "--looplet-store", "main")
    assert score(desk, *BESIDE).ret == OK
    write("def eval_other(ctx): return True\n", "eval_new.py")
    result = score(desk, *BESIDE)
    assert result.ret == FAILED
    result.stdout.fnmatch_lines(
        ["  - eval_new: it was required in the baseline, and is no longer there"]
    )


def session_of(result):
    return re.search(r"scores: .* \(session (\w+)\)", result.stdout.str())[1]


def test_a_session_is_the_baseline_of_the_runs_that_came_after(desk):
    args = ("evals", "--looplet-store", "main", "-p", "no:cacheprovider")
    session = session_of(desk.runpytest_inprocess(*args))
    beside = ("--looplet-baseline", session, "--looplet-margin=0.2", "--looplet-gate=better")
    again = desk.runpytest_inprocess(*args, *beside)
    assert again.ret == FAILED
    again.stdout.fnmatch_lines(
        [
            f"  the runs are those of {session}: what can differ is the scoring alone",
            f"  - every run is one of the baseline {session}: a run beside itself *",
        ]
    )
    new = (make_run(f"task-{n}", 1, 2.0) for n in range(20))
    TrajectoryStore(desk.path / "main").append(new)
    result = desk.runpytest_inprocess(*args, *beside)
    assert result.ret == OK
    result.stdout.fnmatch_lines(["  20 runs are the baseline's, and are not the candidate's too"])


def test_a_copy_of_the_baseline_is_no_candidate_and_thins_none_out(desk):
    shutil.copytree(desk.path / "main", desk.path / "copy")
    args = ("--looplet-store", "copy", *BESIDE)
    result = score(desk, *args)
    assert result.ret == FAILED
    result.stdout.fnmatch_lines(
        ["  - every run is one of the baseline main: a run beside itself *"]
    )
    TrajectoryStore(desk.path / "copy").append(make_run(f"task-{n}", 1, 2.0) for n in range(20))
    result = score(desk, *args)
    assert result.ret == OK
    result.stdout.fnmatch_lines(
        [
            "eval_right_price *",
            "* 20      0.00       1.00       +1.00 *",
            "  20 runs are the baseline's, and are not the candidate's too",
        ]
    )


def test_a_run_that_was_cut_short_does_not_hold(desk, write):
    write("def eval_a(ctx): return False\n", "eval_a.py")
    result = score(desk, *BESIDE, "-x")
    assert result.ret == FAILED
    result.stdout.fnmatch_lines(["  - the run ended before every eval had run"])


def test_workers_and_items_over_all_runs_come_to_the_same_table_and_verdict(desk):
    args = (*BASELINE, "--looplet-margin=0.1", "--looplet-gate=better")
    told = []
    for how in ((), ("-n", "2"), ("--looplet-items=eval",)):
        result = desk.runpytest_subprocess(*STORE, "--looplet-no-scores", *args, *how)
        lines = result.outlines
        start = lines.index("beside the baseline main (margin 0.1)")
        told.append((result.ret, lines[start:-1]))
    assert told[0] == told[1] == told[2]
    assert told[0][0] == FAILED


def test_a_usage_error_is_one_with_workers_too(desk):
    result = desk.runpytest_subprocess(*STORE, "--looplet-baseline", "nowhere", "-n", "2")
    assert result.ret == USAGE
    result.stderr.fnmatch_lines(["*: there is no directory *nowhere, and no session *"])


def test_the_page_of_a_job_has_the_comparison_too(desk, monkeypatch):
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(desk.path / "page.md"))
    desk.runpytest_inprocess(*STORE, "--looplet-no-scores", *BESIDE, "-k", "right")
    page = (desk.path / "page.md").read_text().splitlines()
    start = page.index("**beside the baseline main (margin 0.2)**")
    header, line, row = page[start + 2 : start + 5]
    assert header.startswith("| eval | tasks | baseline | candidate | difference | 95% interval |")
    assert line.count("|") == header.count("|") == row.count("|")
    assert row.startswith("| eval_right_price | 20 | 0.00 | 1.00 | +1.00 |")
    assert row.endswith(" better |")
    assert html.unescape(page[start + 6]) == "- scores of the baseline alone: eval_ended_by_itself"
