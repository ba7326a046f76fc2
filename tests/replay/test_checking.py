"""Whether a cassette's steps and digests fit what it holds."""

from __future__ import annotations

import re

import pytest

from looplet import LoopConfig, composable_loop
from looplet.errors import CassetteDamaged, CassetteMissing
from looplet.replay import accept_edit, check_cassette, use_cassette
from looplet.replay.persister import Serializer
from looplet.replay.serializer import loads
from looplet.testing import MockLLMBackend
from tests.replay.agents import Desk, call, model


@pytest.fixture(params=["recorded", "live"])
def run(request, path):
    """A cassette with two runs of two steps."""
    with (
        use_cassette(path, record_mode="once", tools=request.param) as cassette,
        cassette.ambient(),
    ):
        for fruit in ("pear", "fig"):
            llm = model([call("price", fruit=fruit), call("done", summary=fruit)])
            list(composable_loop(llm, fruit, Desk().tools(), config=LoopConfig(max_steps=9)))
    return path


def edit(path, old, new):
    """Edit by hand, and accept it."""
    text = path.read_text("utf-8")
    assert old in text
    path.write_text(text.replace(old, new, 1), "utf-8")
    accept_edit(path)


def resealed(path, change):
    data = loads(path.read_text("utf-8"))
    change(data)
    path.write_text(Serializer.serialize(data), "utf-8")


def test_a_whole_cassette_is_whole(run):
    found = check_cassette(run)
    assert (found.whole, found.steps, found.runs, found.interrupted) == (True, 4, 2, False)


def test_a_result_that_was_edited_is_found_at_its_step(run):
    edit(run, "euro: 0.4", "euro: 0.3")
    assert check_cassette(run).problems == (
        "run 0, step 1 (price): its arguments or its result are not those that its digest tells",
    )


def test_an_argument_and_a_task_that_were_edited_are_found(run):
    resealed(run, lambda data: data["metadata"]["runs"][1].update(task={"description": "figs"}))
    (problem,) = check_cassette(run).problems
    assert problem.startswith("run 1, step 1 (price)")

    def other(data):
        steps = [each for each in data["interactions"] if each["request"]["uri"].endswith("/step")]
        steps[0]["request"]["body"]["args"]["fruit"] = "plum"
        steps[1]["request"]["body"]["tool"] = "\x1b[31mdone"

    resealed(run, other)
    first, second, third = check_cassette(run).problems
    assert first.startswith("run 0, step 1 (price)")
    assert second.startswith("run 0, step 2 (\\x1b[31mdone)")
    assert third == problem


def test_an_end_that_was_edited_is_found(run):
    resealed(run, lambda data: data["metadata"]["runs"][1].update(stop_reason="max_steps"))
    assert check_cassette(run).problems == (
        "run 1, its digest is not that of its 2 steps and its end, max_steps",
    )


def test_a_step_less_is_found(run):
    def lose(data):
        steps = [each for each in data["interactions"] if each["request"]["uri"].endswith("/step")]
        data["interactions"].remove(steps[-1])

    resealed(run, lose)
    (problem,) = check_cassette(run).problems
    assert problem.startswith("run 1, its digest is not that of its 1 steps")


def test_a_step_whose_result_is_not_there_is_found(path):
    with (
        use_cassette(path, record_mode="once", tools="recorded") as cassette,
        cassette.ambient(),
    ):
        llm = model([call("done", summary="over")])
        list(composable_loop(llm, "Rest", Desk().tools()))

    def lose(data):
        data["interactions"] = [
            each for each in data["interactions"] if not each["request"]["uri"].endswith("dispatch")
        ]

    resealed(path, lose)
    (problem,) = check_cassette(path).problems
    assert re.match("step 1: a step names the result .* not in the cassette", problem)


def test_a_file_that_is_damaged_is_refused(run):
    data = run.read_bytes()
    for broken in (data[:-1], data.replace(b"pear", b"pare", 1), b""):
        run.write_bytes(broken)
        with pytest.raises(CassetteDamaged):
            check_cassette(run)
    run.unlink()
    with pytest.raises(CassetteMissing):
        check_cassette(run)


def test_a_cassette_without_steps_is_checked_by_its_requests(path):
    with use_cassette(path, record_mode="once") as cassette:
        cassette.wrap_llm(MockLLMBackend(["ok"])).generate("hello")
    assert (check_cassette(path).whole, check_cassette(path).calls) == (True, 1)
    text = path.read_text("utf-8").replace("hello", "hullo")
    path.write_text(text, "utf-8")
    with pytest.raises(CassetteDamaged):
        check_cassette(path)
