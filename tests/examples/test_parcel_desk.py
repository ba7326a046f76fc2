"""The parcel desk: its answers, its tools, its evals, and the examples that its model is shown."""

from pathlib import Path

import pytest

from looplet import EvalContext, MockLLMBackend, ToolCall, TrajectoryRecorder
from looplet.core.prompt import native_instruction
from looplet.evals import NotEvaluable
from looplet.examples.parcel_desk import desk
from looplet.examples.parcel_desk.agent import build_tools, run_task
from looplet.examples.parcel_desk.evals import eval_parcel_desk as evals
from looplet.examples.parcel_desk.tasks import TASKS, TRIALS, Task

TEMPLATE = Path(__file__).parents[2] / "recordings" / "parcel_desk.jinja"
PAY = next(task for task in TASKS if task.task_id == "pay-b42")
FIND = [{"type": "tool_use", "id": "1", "name": "find_order", "input": {"order_id": "B42"}}]
PRICE = [
    {
        "type": "tool_use",
        "id": "2",
        "name": "shipping_price",
        "input": {"weight": "4.0 kg", "country": "Italy"},
    }
]


def done(answer: str) -> list[dict]:
    return [{"type": "tool_use", "id": "3", "name": "done", "input": {"answer": answer}}]


def ran(task: Task, *replies: list[dict]) -> EvalContext:
    recorder = TrajectoryRecorder(task_id=task.task_id, expected=task.expected)
    llm = MockLLMBackend(list(replies), cycle=False)
    list(run_task(llm, task, trial=1, hooks=[recorder]))
    return EvalContext.from_trajectory(recorder.trajectory)


@pytest.mark.parametrize("task", TASKS, ids=lambda task: task.task_id)
def test_the_right_tools_lead_to_the_right_answer(task):
    told = []
    for name in task.tools:
        args = {"order_id": task.goal[-4:-1]} if name == "find_order" else arguments(task, told)
        told.append(build_tools().dispatch(ToolCall(name, args)).data)
    assert task.answer in told[-1].values()


def arguments(task: Task, told: list[dict]) -> dict[str, str]:
    if told:
        return {key: told[0][key] for key in ("weight", "country")}
    weight, country = task.goal.removesuffix("?").split(" of ")[1].split(" to ")
    return {"weight": weight, "country": country}


def test_tasks_and_seeds_are_told_apart():
    assert len({task.task_id for task in TASKS}) == len(TASKS)
    seeds = {task.seed(trial) for task in TASKS for trial in TRIALS}
    assert len(seeds) == len(TASKS) * len(TRIALS)


@pytest.mark.parametrize("weight", ["2.5", "2.5 pounds", "B42", "-1 kg"])
def test_a_weight_without_its_unit_is_refused(weight):
    result = build_tools().dispatch(
        ToolCall("shipping_price", {"weight": weight, "country": "Italy"})
    )
    assert repr(weight) in result.error


def test_the_model_is_shown_the_loops_own_opening_and_no_task_of_the_desk():
    shown = TEMPLATE.read_text(encoding="utf-8")
    assert native_instruction("done") in shown
    assert not [task.goal for task in TASKS if task.goal in shown]
    assert not [order for order in desk.ORDERS if order in shown]


def test_a_right_run_passes_every_eval():
    ctx = ran(PAY, FIND, PRICE, done("10.5 euro"))
    assert evals.eval_right_answer(ctx)
    assert evals.eval_grounded_answer(ctx)
    assert evals.eval_took_the_right_tools(ctx)
    assert evals.eval_no_tool_refused(ctx)
    assert evals.eval_ended_by_itself(ctx)


def test_a_weight_for_an_answer_is_wrong_but_not_made_up():
    ctx = ran(PAY, FIND, done("4.0 kg"))
    assert not evals.eval_right_answer(ctx)
    assert evals.eval_grounded_answer(ctx)
    assert not evals.eval_took_the_right_tools(ctx)


def test_a_made_up_number_is_told():
    assert not evals.eval_grounded_answer(ran(PAY, FIND, done("1.00 euro")))
    assert not evals.eval_grounded_answer(ran(PAY, done("1.00 EUR")))


def test_an_answer_without_a_quantity_has_no_source_to_look_for():
    with pytest.raises(NotEvaluable):
        evals.eval_grounded_answer(ran(PAY, FIND, done("no order")))


def test_a_run_that_never_ends_has_no_right_answer():
    ctx = ran(PAY, *[FIND] * 6)
    assert not evals.eval_ended_by_itself(ctx)
    assert not evals.eval_right_answer(ctx)
    with pytest.raises(NotEvaluable):
        evals.eval_grounded_answer(ctx)
