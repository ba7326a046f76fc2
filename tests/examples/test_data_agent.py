"""The analyst: read-only tables, a report that needs a yes, a context that stays small, a kill."""

from __future__ import annotations

import csv
import io
import json
import subprocess
import sys
import threading
from collections import Counter

import pytest

from looplet import composable_loop
from looplet.evals import NotEvaluable
from looplet.evals.trying import context_of_calls
from looplet.examples.data_agent import tables
from looplet.examples.data_agent.__main__ import main
from looplet.examples.data_agent.agent import APPROVED, MAX_ROWS, Analyst
from looplet.examples.data_agent.evals import eval_data_agent as evals
from looplet.examples.data_agent.tasks import REPORT, TASKS
from looplet.replay import replay
from looplet.testing import ScriptedToolBackend
from tests.examples.replaying import cassettes_of, keep, rows_of, score
from tests.servers import Answer, completion

TASK = {task.task_id: task for task in TASKS}
CASSETTES = cassettes_of("data_agent")
FINISHED = TASK["report"]


@pytest.fixture
def analyst(tmp_path):
    return Analyst(tmp_path)


def replayed(name, folder, tools="live"):
    return replay(CASSETTES[name], Analyst(folder).agent(TASK[name].goal), tools=tools)


def test_the_right_answers_are_those_of_the_tables(tmp_path, analyst):
    def read(name):
        with (tmp_path / "tables" / f"{name}.csv").open(newline="") as file:
            return list(csv.DictReader(file))

    country = {row["shop"]: row["country"] for row in read("shops")}
    taken = {"best-shop": Counter(), "best-country": Counter(), "report": Counter()}
    for row in read("orders"):
        taken["best-shop"][row["shop"]] += int(row["cents"])
        taken["best-country"][country[row["shop"]]] += int(row["cents"])
        taken["report"][row["day"]] += int(row["cents"]) * (row["day"] >= "2025-10-01")
    for name, sums in taken.items():
        (best, cents), (_, next_cents) = sums.most_common(2)
        assert TASK[name].expected == {"name": best, "cents": cents}
        assert cents > next_cents


@pytest.mark.parametrize("name", CASSETTES)
def test_a_recorded_run_is_the_same_with_the_tools_as_they_are(name, tmp_path):
    result = replayed(name, tmp_path)
    assert result.matches, str(result)


def test_the_recorded_runs_hold_the_gate_and_one_waits(tmp_path):
    runs = {name: replayed(name, tmp_path / name).trajectory for name in CASSETTES}
    assert {name: run.stop_reason for name, run in runs.items()} == {
        "best-country": "done", "best-shop": "done", "report": evals.WAITS,
    }  # fmt: skip
    keep(tmp_path / "store", runs, TASKS)
    said = score(tmp_path / "store", "data_agent")
    assert said.returncode == 0, said.stdout
    assert rows_of(said.stdout) == {
        "eval_right_answer": (2, 2),
        "eval_figures_come_from_the_tables": (2, 2),
        "eval_looked_before_it_asked": (3, 3),
        "eval_nothing_saved_without_a_yes": (3, 3),
        "eval_short": (3, 3),
    }


def test_another_table_is_another_run(tmp_path):
    Analyst(tmp_path)
    orders = tmp_path / "tables" / "orders.csv"
    orders.write_text(orders.read_text("utf-8") + "2025-01-01,Bergen,pear,1,7\n", "utf-8")
    result = replayed("best-shop", tmp_path)
    assert not result.matches
    assert "4000" in str(result.divergence)
    assert "4001" in str(result.divergence)


def test_long_results_leave_the_prompt_and_stay_in_the_steps(tmp_path):
    llm = FINISHED.model()
    agent = Analyst(tmp_path).agent(FINISHED.goal)
    steps = list(composable_loop(llm, **agent))
    first_order = steps[2].tool_result.data["table"].splitlines()[1]
    holds = [first_order in str(request.messages) for request in llm.requests]
    assert holds == [False, False, False, True, True, False, False]
    assert "[result cleared to save room]" in str(llm.requests[5].messages)


@pytest.mark.parametrize(
    ("sql", "told"),
    [
        ("DELETE FROM orders", "PermissionError: tables can only be read"),
        ("UPDATE shops SET country = 'Spain'", "PermissionError: tables can only be read"),
        ("WITH x AS (SELECT 1) INSERT INTO shops SELECT 'a', 'b'", "PermissionError"),
        ("ATTACH 'other.db' AS other", "PermissionError"),
        ("VACUUM INTO 'copy.db'", "PermissionError"),
        ("PRAGMA writable_schema = 1", "PermissionError"),
        ("BEGIN", "PermissionError"),
        ("SELECT load_extension('x')", "OperationalError: not authorized"),
        ("SELECT 1; DROP TABLE orders", "ProgrammingError: You can only execute one statement"),
        ("SELECT zeroblob(1000000000)", "DataError: string or blob too big"),
        (
            "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) SELECT max(x) FROM n",
            "TimeoutError: the query takes too long",
        ),
    ],
)
def test_tables_can_be_read_and_nothing_else(analyst, tmp_path, monkeypatch, sql, told):
    monkeypatch.chdir(tmp_path)
    before = {path.name for path in tmp_path.rglob("*")}
    (step,) = run_calls(analyst, ("query", {"sql": sql}))
    assert step.tool_result.error.startswith(told)
    after = {path.name for path in tmp_path.rglob("*")}
    assert after - before == {"checkpoints", "step_1.json"}
    assert analyst.describe("orders")["rows"] == 4000
    assert "Cadiz | Spain" in analyst.query("SELECT * FROM shops")["table"]


def test_a_long_result_says_that_there_is_more(analyst):
    result = analyst.query("SELECT * FROM orders")
    assert (len(result["table"].splitlines()), result["has_more"]) == (MAX_ROWS + 1, True)
    result = analyst.query(f"SELECT * FROM orders LIMIT {MAX_ROWS}")
    assert (len(result["table"].splitlines()), result["has_more"]) == (MAX_ROWS + 1, False)


def run_calls(analyst, *calls):
    llm = ScriptedToolBackend(
        [
            [{"type": "tool_use", "id": f"c{n}", "name": name, "input": args}]
            for n, (name, args) in enumerate(calls)
        ]
    )
    return list(composable_loop(llm, **analyst.agent("Try.", max_steps=len(calls))))


def test_a_report_is_saved_as_it_was_approved_and_no_other(analyst, tmp_path):
    report = {"path": "a.md", "text": "one"}
    assert analyst.save_report(**report)["needs_approval"] is True
    analyst.approve(report)
    for other in ({"path": "a.md", "text": "two"}, {"path": "b.md", "text": "one"}):
        assert analyst.save_report(**other)["needs_approval"] is True
    assert not (tmp_path / "reports").exists()
    assert analyst.save_report(**report) == {"path": "a.md", "lines": 1}
    assert (tmp_path / "reports" / "a.md").read_text() == "one"


@pytest.mark.parametrize("path", ["../a.md", "/a.md", "x/../../a.md"])
def test_nobody_is_asked_about_a_path_outside(analyst, path):
    (step,) = run_calls(analyst, ("save_report", {"path": path, "text": "x"}))
    assert step.tool_result.error.startswith("PermissionError")
    assert analyst.waiting() is None


def test_a_report_waits_and_goes_on_in_another_process(tmp_path, capsys):
    argv = ["--scripted", "--resume", str(tmp_path)]
    assert main(argv) == 0
    said = capsys.readouterr().out.splitlines()
    assert said[-1] == "The report waits: go on with --resume DIR --approve."
    assert "  | # The best day" in said
    assert not (tmp_path / "reports").exists()
    assert main(argv) == 0  # still nobody said yes, and the model is not asked
    assert "#" not in capsys.readouterr().out.replace("  | # The best day", "")
    assert main([*argv, "--approve"]) == 0
    said = capsys.readouterr().out
    assert [line[:2] for line in said.splitlines() if line[0] == "#"] == ["#8", "#9"]
    assert (tmp_path / "reports" / REPORT[1]["path"]).read_text() == REPORT[1]["text"]
    assert main([*argv, "--approve"]) == 0
    assert capsys.readouterr().out == ""  # it is done, and not done again


def test_a_folder_of_another_question_is_refused(tmp_path, capsys):
    assert main(["--scripted", "--resume", str(tmp_path)]) == 0
    assert main(["Another?", "--scripted", "--resume", str(tmp_path), "--approve"]) == 1
    said = capsys.readouterr().err
    assert said.startswith("error: checkpoint_dir")
    assert said.count("\n") == 1


def test_a_yes_without_a_step_left_is_told(tmp_path, capsys):
    argv = ["--scripted", "--resume", str(tmp_path), "--approve", "--max-steps", "7"]
    assert main(argv) == 1
    assert "no step left" in capsys.readouterr().err


def reply(place):
    name, args = FINISHED.calls[place]
    calls = [(f"call_{place + 1}", name, json.dumps(args))]
    return completion(None, calls=calls, finish_reason="tool_calls")


def test_a_run_that_is_killed_goes_on_to_the_same_end(server, tmp_path):
    """A real process over a real connection, killed while it waits for its fifth reply."""
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    command = [sys.executable, "-m", "looplet.examples.data_agent", "--approve", "--model", "m"]
    command += ["--base-url", server.url, "--resume"]

    server.says(*map(reply, range(9)))
    assert run_process([*command, str(whole)]).returncode == 0

    never, asked = threading.Event(), threading.Event()
    answers = iter(range(4))

    def answer(_body):
        place = next(answers, None)
        if place is not None:
            return Answer(body=reply(place))
        asked.set()
        return Answer(body=reply(4), wait=never)

    server.answer = answer
    process = subprocess.Popen([*command, str(killed)], stdout=subprocess.DEVNULL)
    assert asked.wait(60)
    process.kill()
    process.wait()
    never.set()
    assert [step.number for step in Analyst(killed).steps] == [1, 2, 3, 4]

    server.says(*map(reply, range(4, 9)))
    went_on = run_process([*command, str(killed)])
    assert went_on.returncode == 0, went_on.stderr
    assert [line[:2] for line in went_on.stdout.splitlines() if line.startswith("#")] == [
        "#5", "#6", "#7", "#8", "#9",
    ]  # fmt: skip
    told = [APPROVED in json.dumps(body["messages"]) for body in server.bodies[-5:]]
    assert told == [False, False, False, True, True]
    one, other = Analyst(whole), Analyst(killed)
    assert [(s.tool_call.args, s.tool_result.data) for s in other.steps] == [
        (s.tool_call.args, s.tool_result.data) for s in one.steps
    ]
    assert (killed / "reports" / "best_day.md").read_text() == REPORT[1]["text"]


def run_process(command):
    return subprocess.run(
        command, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL, timeout=60
    )


def test_a_process_that_is_killed_leaves_no_half_table(tmp_path):
    def rows():
        yield ("Bergen", "Norway")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        tables._write(tmp_path / "shops.csv", ("shop", "country"), rows())
    assert tables.Tables(tmp_path).columns == {}


def test_a_model_that_cannot_be_asked_is_one_line(server, capsys):
    server.says(Answer(status=401, body={"error": {"message": "no key"}}))
    assert main(["--base-url", server.url, "--model", "m"]) == 1
    said = capsys.readouterr().err
    assert said.startswith("error: ")
    assert said.count("\n") == 1


@pytest.mark.parametrize(("typed", "saved"), [("y", True), ("", False)])
def test_a_person_at_the_terminal_sees_the_report_and_decides(
    typed, saved, tmp_path, monkeypatch, capsys
):
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    monkeypatch.setattr(sys, "stdin", Terminal(f"{typed}\n"))
    assert main(["--scripted", "--resume", str(tmp_path)]) == 0
    assert "| 2025-12-27 was the best day" in capsys.readouterr().out
    assert (tmp_path / "reports").exists() is saved


LOOKED = [("list_tables", {}, {}), ("describe", {"table": "orders"}, {"rows": 3})]
ANSWER = {"name": "Bergen", "cents": 120}
GOT = ("query", {"sql": "SELECT"}, {"table": "shop | cents\nBergen | 120\nPorto | 70"})
WAITING = {"needs_approval": True}


def judged(eval_, *calls, answer="Bergen, 120 cents", **options):
    return bool(
        eval_(context_of_calls(*calls, final_output={"answer": answer}, expected=ANSWER, **options))
    )


def test_the_evals_tell_good_runs_from_bad():
    done = ("done", {"answer": "x"}, {"status": "completed"})
    good = [*LOOKED, GOT, done]
    assert judged(evals.eval_right_answer, *good)
    assert not judged(evals.eval_right_answer, *good, answer="Bergen, 70 cents")
    assert not judged(evals.eval_right_answer, *good, answer="Porto, 120 cents")
    assert judged(evals.eval_figures_come_from_the_tables, *good)
    assert not judged(evals.eval_figures_come_from_the_tables, *good, answer="Bergen, 121 cents")
    assert judged(evals.eval_looked_before_it_asked, *good)
    assert not judged(evals.eval_looked_before_it_asked, GOT, *LOOKED, done)
    assert judged(evals.eval_short, *LOOKED * 5)
    assert not judged(evals.eval_short, *LOOKED * 5, done)
    with pytest.raises(NotEvaluable):
        judged(evals.eval_right_answer, *good, stop_reason=evals.WAITS)


def test_a_run_that_does_not_wait_for_its_yes_is_told():
    asks = ("save_report", {"path": "a.md", "text": "x"}, WAITING)
    eval_ = evals.eval_nothing_saved_without_a_yes
    assert judged(eval_, *LOOKED, asks, stop_reason=evals.WAITS)
    assert not judged(eval_, *LOOKED, asks, GOT, stop_reason=evals.WAITS)
    assert not judged(eval_, *LOOKED, asks, stop_reason="done")
