"""InterCode results: actions and what they gave, rewards."""

from __future__ import annotations

import json

import pytest

HISTORY = {
    "actions": ["ls", "cat x", "ls -a"],
    "observations": ["a\n", "no such file", "a\n.b\n"],
    "rewards": [0.2, 0, 1.0],
    "valid_action": [True, False, True],
}


def task(**more):
    return {
        "environment": "ic_bash",
        "dataset": "./files.json",
        "task_id": 4,
        "query": "List all.",
        "turn_history": HISTORY,
        "summary": {"max_reward": 1.0, "turns_taken": 3, "turns_max": 10},
        **more,
    }


def test_turns_are_steps_with_results_errors_and_rewards(write, read, stored):
    run = read(write({"0": task(info={"eval_obs": "a\n.b\n"}, hardness="easy")})).run
    assert [step.tool_call.tool for step in run.steps] == ["bash"] * 3
    assert run.steps[0].tool_call.args == {"action": "ls"}
    assert [step.tool_result.data for step in run.steps] == ["a\n", None, "a\n.b\n"]
    assert [step.tool_result.error for step in run.steps] == [None, "no such file", None]
    assert [step.metadata["reward"] for step in run.steps] == [0.2, 0.0, 1.0]
    assert (run.task_id, run.dataset, run.reward) == ("4", "./files.json", 1.0)
    assert run.task == {"query": "List all.", "environment": "ic_bash"}
    assert (run.stop_reason, run.final_output, run.expected) == ("done", "a\n.b\n", "a\n.b\n")
    assert run.metadata["hardness"] == "easy"
    assert run.metadata["summary"]["turns_taken"] == 3
    assert (run.llm_calls, run.input_tokens) == ([], None)
    stored([run])


def test_thoughts_plans_and_submissions(write, read):
    history = HISTORY | {"thoughts": ["a", "b", "c"], "steps": ["list them"]}
    history["actions"] = ["execute[ls]", "cat x", "submit"]
    run = read(write({"meta": {"env": "bash"}, "logs": {"7": task(turn_history=history)}})).run
    assert [step.tool_call.reasoning for step in run.steps] == ["a", "b", "c"]
    assert [step.tool_call.tool for step in run.steps] == ["bash", "bash", "submit"]
    assert run.metadata["steps"] == ["list them"]


def test_pairs_that_people_made_are_steps(write, read):
    source = {
        "environment": "ic_sql",
        "query_idx": 809,
        "query": "Which?",
        "gold": "SELECT 1",
        "reward": 0.0,
        "trajectory": [{"action": "show tables;", "observation": "('city',)"}],
    }
    run = read(write({"809": source})).run
    (step,) = run.steps
    assert (step.tool_call.tool, step.tool_result.data) == ("sql", "('city',)")
    assert (run.task_id, run.reward, run.expected) == ("809", 0.0, "SELECT 1")


def test_what_is_absent_is_null(write, read):
    source = {"query": "q", "turn_history": {"actions": ["ls"], "valid_action": [None]}}
    run = read(write({"0": source})).run
    assert (run.reward, run.task_id, run.dataset, run.stop_reason) == (None,) * 4
    assert "no result" in run.steps[0].tool_result.warnings[0]


def test_a_run_that_has_had_its_turns_says_so(write, read):
    summary = {"max_reward": 0.5, "turns_taken": 3, "turns_max": 3}
    assert read(write({"0": task(summary=summary)})).run.stop_reason == "budget_exhausted"


def test_a_malformed_task_is_told_and_the_rest_imported(write, read):
    longer = task(turn_history=HISTORY | {"observations": ["a", "b", "c", "d"]})
    strange = task(turn_history=HISTORY | {"rewards": ["much", 0, 0]})
    found = read(write({"0": task(), "1": longer, "2": strange, "3": 5, "4": task(task_id=9)}))
    assert [run.task_id for run in found.runs] == ["4", "9"]
    assert found.told == [
        "$.1.turn_history: has 4 observations for 3 actions",
        "$.2.turn_history.rewards[0]: is not a number: 'much'",
        "$.3: is not an object: 5",
    ]


def test_a_file_that_breaks_off_gives_what_stands_before(write, read):
    text = json.dumps({"0": task(), "1": task()})
    found = read(write(text[:-80]))
    assert len(found.runs) == 1
    assert found.problems[0].place == "$.1"


@pytest.mark.parametrize("given", [[], [1], {}, {"logs": 3}, {"0": {}}, "null", '"x"', "7"])
def test_what_is_no_result_is_a_problem_whoever_insists(given, write, read):
    found = read(write(given), format="intercode")
    assert found.runs == []
    assert found.problems or given == {}


def test_the_published_success_comes_out(shared, read, stored):
    folder = shared("intercode-bash/gpt-4")
    found = read(folder)
    assert found.problems == []
    runs = stored(found.runs)
    raw = [
        record
        for path in sorted(folder.glob("*.json"))
        for record in json.loads(path.read_text()).values()
    ]
    assert len(runs) == len(raw) == 200
    assert sum(run.reward == 1 for run in runs) == 97
    assert [len(run.steps) for run in runs] == [each["summary"]["turns_taken"] for each in raw]
    failed = sum(each["turn_history"]["valid_action"].count(False) for each in raw)
    assert sum(run.n_tool_errors for run in runs) == failed
