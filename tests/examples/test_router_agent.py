"""The helper with two models: which is asked when, what it costs, and all of it replayed."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import pytest

from looplet import EvalContext, composable_loop
from looplet.evals.trying import context_of_calls
from looplet.examples.router_agent import agent
from looplet.examples.router_agent.__main__ import main
from looplet.examples.router_agent.agent import CHEAP, PRICES, STRONG, Helper
from looplet.examples.router_agent.evals import eval_router_agent as evals
from looplet.examples.router_agent.tasks import DOWN, TASKS
from looplet.examples.scripted import TOKENS_A_REPLY
from looplet.replay import use_cassette
from looplet.trajectory import LLMCall, Trajectory, TrajectoryRecorder
from tests.examples.replaying import cassettes_of, keep, rows_of, score
from tests.servers import completion

TASK = {task.task_id: task for task in TASKS}
CASSETTES = cassettes_of("router_agent")
ANSWERED = {
    "bread": [(1, CHEAP), (2, CHEAP), (3, STRONG), (4, CHEAP)],
    "jam": [(1, CHEAP), (2, STRONG), (3, CHEAP)],
    "soup": [(1, CHEAP), (2, CHEAP), (3, CHEAP), (4, STRONG)],
}


def replayed(name):
    """A recorded run through the agent as it is now: its trajectory and its bill."""
    recorder = TrajectoryRecorder()
    with use_cassette(CASSETTES[name], tools="recorded") as cassette:
        models = {
            role: recorder.wrap_llm(cassette.wrap_llm(None, lane=role)) for role in (CHEAP, STRONG)
        }
        helper = Helper(models)
        given = helper.agent(TASK[name].goal)
        given["tools"] = cassette.wrap_tools(given["tools"])
        given["config"] = cassette.wrap_config(given["config"])
        given["hooks"] = [*given["hooks"], recorder]
        for _ in composable_loop(**given):
            pass
        assert cassette.replayed[0].digest == cassette.runs[0].digest
        assert cassette.unplayed == 0
    return recorder.trajectory, helper


@pytest.mark.parametrize("name", CASSETTES)
def test_a_recorded_run_asks_the_same_models_and_costs_the_same(name):
    run, helper = replayed(name)
    assert [(item.step, item.model) for item in helper.bill.items] == ANSWERED[name]
    tokens = TOKENS_A_REPLY["input_tokens"], TOKENS_A_REPLY["output_tokens"]
    cost = {
        role: sum(map(math.prod, zip(tokens, prices, strict=True))) / 1000
        for role, prices in PRICES.items()
    }
    assert [item.usd for item in helper.bill.items] == pytest.approx(
        [cost[model] for _, model in ANSWERED[name]]
    )
    assert sum(item.usd for item in helper.bill.items) == pytest.approx(helper.router.total_cost)
    outages = [call.error for call in run.llm_calls if call.error is not None]
    assert outages == ([f"ConnectionError: {DOWN}"] if name == "jam" else [])


def test_the_recorded_runs_hold_the_gate(tmp_path):
    runs = {name: replayed(name)[0] for name in CASSETTES}
    keep(tmp_path / "store", runs, TASKS)
    said = score(tmp_path / "store", "router_agent")
    assert said.returncode == 0, said.stdout
    assert rows_of(said.stdout) == dict.fromkeys(
        (
            "eval_right_amount",
            "eval_amount_comes_from_a_tool",
            "eval_strong_only_in_trouble",
            "eval_mostly_cheap",
        ),
        (3, 3),
    )


def reply(call):
    name, args = call
    calls = [("c1", name, json.dumps(args))]
    return completion(None, calls=calls, finish_reason="tool_calls", usage=(1000, 100))


def test_two_models_of_a_real_server_are_asked_and_paid(server, capsys):
    cheap, strong = (iter(map(reply, TASK["bread"].replies[role])) for role in (CHEAP, STRONG))
    replies = {"small": cheap, "large": strong}
    server.says(completion("unused"))
    usual = server.answer
    server.answer = lambda body: replace(usual(body), body=next(replies[body["model"]]))
    argv = ["--base-url", server.url, "--model", "small", "--strong-model", "large"]
    assert main(argv) == 0
    assert [body["model"] for body in server.bodies] == ["small", "small", "large", "small"]
    assert capsys.readouterr().out.split("USD\n")[1].split() == [
        "1", "cheap", "0.0006", "2", "cheap", "0.0006", "3", "strong", "0.0130",
        "4", "cheap", "0.0006", "0.0149",
    ]  # fmt: skip


def test_where_neither_can_be_reached_it_is_one_line(capsys):
    import socket

    with socket.socket() as taken:  # bound, and never listening
        taken.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}/v1"
        assert main(["--base-url", url, "--model", "a", "--strong-model", "b"]) == 1
    said = capsys.readouterr().err
    assert said.startswith("error: ")
    assert said.count("\n") == 1


def test_a_run_is_recorded_and_the_next_command_replays_it(tmp_path, capsys):
    path = tmp_path / "run.yaml"
    assert main(["--scripted", "--cassette", str(path)]) == 0
    recorded = capsys.readouterr().out
    assert recorded.count("strong") == 1
    assert main(["--cassette", str(path)]) == 0
    assert capsys.readouterr().out == recorded


def test_another_rule_is_told_by_a_replay(capsys, monkeypatch):
    monkeypatch.setattr(agent, "went_badly", lambda step: False)
    assert main(["--cassette", str(CASSETTES["bread"])]) == 1
    said = capsys.readouterr().err
    assert "lane cheap" in said
    assert "step 3" in said


class StopsAtTwo:
    def should_stop(self, state, step_num, new_entities):
        return step_num == 2


def test_an_agent_that_stops_earlier_is_told_by_a_replay(capsys, monkeypatch):
    given = Helper.agent

    def changed(self, goal):
        parts = given(self, goal)
        return parts | {"hooks": [*parts["hooks"], StopsAtTwo()]}

    monkeypatch.setattr(Helper, "agent", changed)
    assert main(["--cassette", str(CASSETTES["bread"])]) == 1
    assert "came out otherwise" in capsys.readouterr().err


def called(step, model, error=None):
    return LLMCall(
        0, 0.0, 1.0, "generate_with_tools", "", "", None, step_num=step, model=model, error=error
    )


def context(*calls, steps=(), **options):
    ctx = context_of_calls(*steps, **options)
    run = Trajectory(trajectory_id="t", run_id="r", llm_calls=list(calls))
    return EvalContext(
        ctx.steps, None, ctx.final_output, expected=ctx.expected, trajectory=run, stop_reason="done"
    )


def test_the_evals_tell_good_runs_from_bad():
    fine, bad = ("convert", {}, {"amount": 35.3}), ("convert", {}, ValueError("no unit"))
    rule = evals.eval_strong_only_in_trouble
    assert rule(context(called(1, CHEAP), called(2, STRONG), steps=[bad, fine]))
    assert not rule(context(called(1, CHEAP), called(2, STRONG), steps=[fine, fine]))
    assert not rule(context(called(1, STRONG), steps=[fine]))
    assert rule(context(called(1, CHEAP, "down"), called(1, STRONG), steps=[fine]))
    assert not rule(context(called(1, STRONG, "down"), called(1, STRONG), steps=[fine]))

    share = evals.eval_mostly_cheap
    calls = [called(1, CHEAP, "down"), called(1, STRONG), called(2, CHEAP), called(3, CHEAP)]
    assert share(context(*calls)) == {
        "score": pytest.approx(2 / 3), "cheap_calls": 2, "strong_calls": 1,
    }  # fmt: skip

    right = {"final_output": {"amount": 35.3, "unit": "oz"}, "steps": [fine]}
    assert evals.eval_right_amount(context(expected={"amount": 35.3, "unit": "oz"}, **right))
    assert not evals.eval_right_amount(context(expected={"amount": 35.3, "unit": "g"}, **right))
    assert evals.eval_amount_comes_from_a_tool(context(**right))
    right["steps"] = [("convert", {}, {"amount": 35.2})]
    assert not evals.eval_amount_comes_from_a_tool(context(**right))
