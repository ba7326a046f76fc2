"""How two runs differ: what first, down to the argument, exactly, and by digests alone."""

from __future__ import annotations

import copy
import math
import subprocess
import sys

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from looplet.core.codec import exact
from looplet.core.records import ErrorKind, ToolError
from looplet.replay.diff import MOST_CHANGES, MOST_STEPS, diff
from looplet.replay.value_diff import DEEPEST, shown, value_changes
from looplet.trajectory.model import chain
from tests.trajectory.conftest import ARGS, TRAJECTORIES, VALUES, make_step, make_trajectory


def rechain(run):
    for record, link in zip(run.steps, chain(run.task, run.steps), strict=True):
        record.digest = link
    return run


def changed(change, *, steps=3):
    """A run, and the same run with something changed."""
    one, other = make_trajectory("a", steps=steps), make_trajectory("a", steps=steps)
    change(other)
    return one, rechain(other)


def set_data(run, value):
    run.steps[0].tool_result.data = value


def lines(one, other):
    return str(diff(one, other)).splitlines()


# What is said


def test_equal_runs_are_equal_whatever_their_times_ids_and_metadata():
    def change(run):
        run.trajectory_id, run.run_id, run.started_at, run.metadata = "b", "c", None, {"x": 1}
        for record in run.steps:
            record.timestamp, record.duration_ms, record.metadata = 1.0, 2.0, {"y": 1}
            record.tool_call.call_id, record.tool_result.duration_ms = "other", 3.0

    found = diff(*changed(change))
    assert (found.equal, found.step, found.changes, found.then) == (True, None, (), ())
    assert not found
    assert str(found) == "the runs are equal, with 3 steps"


def test_an_argument_is_named_by_its_path_with_what_the_runs_did_next():
    def change(run):
        run.steps[0].tool_call.args = {"items": [{}, {}, {"price": 0.5}]}
        run.steps[1:] = [make_step(2, "done", {"summary": "b"}, {}, error="no")]
        run.final_output = {"summary": "b"}

    one, other = changed(change, steps=4)
    one.steps[0].tool_call.args = {"items": [{}, {}, {"price": 0.4}]}
    found = diff(one, other)
    assert found
    assert (found.equal, found.step, found.lengths) == (False, 1, (4, 2))
    assert str(found).splitlines() == [
        "step 1 (price): args.items[2].price: 0.4 → 0.5",
        "  step 2: price(fruit='f2') | step 2: done(summary='b') ✗",
        "  step 3: price(fruit='f3') | ended (done)",
        "  step 4: done(summary='a') | ended (done)",
        "steps: 4 → 2",
        "final_output.summary: 'a' → 'b'",
    ]


@pytest.mark.parametrize(
    ("change", "first"),
    [
        (lambda run: setattr(run, "task", {"goal": "b"}), "task.goal: 'a' → 'b'"),
        (lambda run: setattr(run, "task", "b"), "task: {'goal': 'a'} → 'b'"),
        (lambda run: setattr(run.steps[1], "step_num", 5), "step 2 (price): number: 2 → 5"),
        (lambda run: setattr(run.steps[1].tool_call, "tool", "x"), "step 2: tool: 'price' → 'x'"),
        (
            lambda run: setattr(run.steps[1].tool_call, "reasoning", "For a pear."),
            "step 2 (price): reasoning: added 'For a pear.'",
        ),
        (
            lambda run: setattr(run.steps[1].tool_result, "data", {"euro": 2}),
            "step 2 (price): result.euro: 0.5 → 2",
        ),
        (
            lambda run: setattr(run.steps[1].tool_result, "error", "timed out"),
            "step 2 (price): error: None → 'timed out'",
        ),
        (
            lambda run: setattr(
                run.steps[1].tool_result, "error_detail", ToolError(ErrorKind.TIMEOUT, "x")
            ),
            "step 2 (price): error_kind: None → 'timeout'",
        ),
        (lambda run: setattr(run, "stop_reason", None), "stop_reason: 'done' → None"),
    ],
)
def test_what_differs_is_said_first(change, first):
    one, other = changed(change)
    found = diff(one, other)
    assert not found.equal
    assert lines(one, other)[0] == first
    assert found.step == (2 if first.startswith("step 2") else None)


def test_what_differs_is_said_in_the_order_of_what_happened():
    def change(run):
        run.task, run.stop_reason, run.final_output = {"goal": "b"}, "max_steps", None
        call, result = run.steps[0].tool_call, run.steps[0].tool_result
        call.tool, call.args, call.reasoning = "x", {"fruit": "x"}, "x"
        result.data, result.error = {"euro": 0}, "x"
        run.steps.append(make_step(4, "price", {}, 0))

    found = diff(*changed(change))
    assert [each.path for each in found.changes] == [
        "task.goal",
        "tool",
        "args.fruit",
        "reasoning",
        "result.euro",
        "error",
        "error_kind",
        "steps",
        "stop_reason",
        "final_output",
    ]
    assert [each.step for each in found.changes] == [None, *[1] * 6, *[None] * 3]


def test_a_changed_task_does_not_hide_which_step_differs():
    def change(run):
        run.task = {"goal": "b"}
        run.steps[1].tool_call.args = {"fruit": "plum"}

    assert lines(*changed(change)) == [
        "task.goal: 'a' → 'b'",
        "step 2 (price): args.fruit: 'f2' → 'plum'",
        "  step 3: done(summary='a') | step 3: done(summary='a')",
    ]


def test_a_run_that_is_longer_parts_where_the_shorter_ends():
    one, other = changed(lambda run: run.steps.append(make_step(4, "price", {}, 0)))
    found = diff(one, other)
    assert (found.equal, found.step) == (False, 4)
    assert lines(one, other) == ["  ended (done) | step 4: price()", "steps: 3 → 4"]
    assert lines(other, one) == ["  step 4: price() | ended (done)", "steps: 4 → 3"]


def test_a_final_output_that_alone_differs_is_told_beside_the_equality():
    one, other = changed(lambda run: setattr(run, "final_output", {"summary": "b"}))
    found = diff(one, other)
    assert found.equal
    assert not found
    assert lines(one, other) == [
        "the runs are equal but for what no digest tells:",
        "final_output.summary: 'a' → 'b'",
    ]


def test_digests_that_are_out_of_date_or_missing_mislead_nobody():
    one, other = make_trajectory("a"), make_trajectory("a")
    other.steps[1].tool_call.args["summary"] = "b"
    assert one.digest == other.digest
    assert diff(one, other).step == 2
    for record in one.steps:
        record.digest = ""
    assert diff(one, make_trajectory("a")).equal


def test_of_a_text_the_words_that_differ_are_shown():
    long = "Follow the rules below. " * 400
    one, other = make_trajectory("a"), make_trajectory("a")
    one.task, other.task = f"{long}Be careful, please.{long}", f"{long}Be sloppy, please.{long}"
    assert lines(one, other) == ["task: 'careful' → 'sloppy'"]


def test_what_is_shown_has_bounds():
    def change(run):
        call = run.steps[0].tool_call
        call.args = {f"name{n}": "x" * 10_000 for n in range(1000)}
        run.steps[0].tool_result.data = "y" * 100_000
        run.steps[1].tool_call.args = {"fruit": "z" * 10_000}

    one, other = changed(change, steps=50)
    one.steps[1].tool_call.args = other.steps[1].tool_call.args
    found = diff(one, other)
    assert len(found.changes) == 1002
    shown_lines = lines(one, other)
    assert len(shown_lines) == MOST_CHANGES + 1 + MOST_STEPS + 1
    assert shown_lines[MOST_CHANGES] == f"… and {1002 - MOST_CHANGES} more differ there"
    assert shown_lines[-1] == "  … and 39 more"
    assert max(map(len, shown_lines)) < 170


def test_a_terminal_stays_calm():
    one, other = make_trajectory("a", steps=4), make_trajectory("a", steps=3)
    for record in (*one.steps, *other.steps):
        record.tool_call.tool = "\x1b[31m"
    other.stop_reason = "\x1b[2J"
    one.steps[0].tool_call.args = {"\x1b": "\x1b"}
    one.steps[0].tool_result.error = "\x1b"
    said = lines(one, other) + lines(other, one)
    assert len(said) == 18
    assert all(line.isprintable() for line in said)


def test_objects_without_a_json_form_are_compared_by_their_repr_without_a_warning():
    one, other = changed(lambda run: None)
    one.steps[0].tool_result.data = {"z": 1j}
    other.steps[0].tool_result.data = {"z": 2j}
    assert lines(one, other)[0] == "step 1 (price): result.z: '1j' → '2j'"
    assert diff(one, one).equal


# Values, exactly


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        (1, 1.0, ["v: 1 → 1.0"]),
        (1, True, ["v: 1 → True"]),
        (0.0, -0.0, ["v: 0.0 → -0.0"]),
        (None, False, ["v: None → False"]),
        ({"a": None}, {}, ["v.a: removed None"]),
        ({}, {"a": None}, ["v.a: added None"]),
        ((1, 2), [1, 2], ["v: (1, 2) → [1, 2]"]),
        ((), [], ["v: () → []"]),
        ((1,), (2,), ["v[0]: 1 → 2"]),
        ([(1,)], [[1]], ["v[0]: (1,) → [1]"]),
        (math.nan, math.nan, []),
        ([math.nan], [None], ["v[0]: nan → None"]),
        (math.inf, -math.inf, ["v: inf → -inf"]),
        ("nan", math.nan, ["v: 'nan' → nan"]),
        ({1: "a"}, {"1": "a"}, ["v[1]: removed 'a'", "v['1']: added 'a'"]),
        ({1: "a", "b": 0}, {1: "c", "b": 0}, ["v[1]: 'a' → 'c'"]),
        ({(1, True): {"x": 0}}, {(1, True): {"x": 1}}, ["v[(1, True)].x: 0 → 1"]),
        ({float("nan"): 1, float("nan"): 2}, {float("nan"): 1}, ["v[nan]: removed 2"]),
        ({float("nan"): 1, float("nan"): 2}, {float("nan"): 2, float("nan"): 1}, []),
        ({"two words": 1}, {"two words": 2}, ["v['two words']: 1 → 2"]),
        ({"$looplet": "set", "value": [1]}, {1}, ["v: {'$looplet': 'set', 'value': [1]} → {1}"]),
        ({1, 2}, {2, 3, 4}, ["v: removed 1, added 3, 4"]),
        ({1}, frozenset({1}), ["v: {1} → frozenset({1})"]),
        (set(), frozenset(), ["v: set() → frozenset()"]),
        (
            {frozenset({1, frozenset({"a"})})},
            {frozenset({1, frozenset({"b"})})},
            ["v: removed frozenset({1, frozenset({'a'})}), added frozenset({1, frozenset({'b'})})"],
        ),
        (set(range(9)), set(), ["v: removed 0, 1, 2 and 6 more"]),
        (b"\x00a", b"\x00b", [r"v: b'\x00a' → b'\x00b'"]),
        ([1, 2, 3], [0, 1, 2, 3], ["v[0]: added 0"]),
        ([1, 2, 3], [1, 3], ["v[1]: removed 2"]),
        ([1, 2, 3, 4], [1, 9, 4], ["v[1]: 2 → 9", "v[2]: removed 3"]),
        ([1, 1], [1], ["v[1]: removed 1"]),
        (["\ud800"], ["\ud801"], [r"v[0]: '\ud800' → '\ud801'"]),
    ],
)
def test_values_are_compared_exactly(old, new, said):
    assert [f"{path}: {text}" for path, text in value_changes("v", old, new)] == said


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        (
            "a" * 5000 + "b",
            "a" * 5000 + "c",
            f"from character 4980 on '{'a' * 20}b' → '{'a' * 20}c'",
        ),
        (
            b"a" * 5000 + b"b",
            b"a" * 5000 + b"c",
            f"… {'a' * 20}b' → … {'a' * 20}c'",
        ),
        (1 << 20_000, (1 << 20_000) + 1, f"… {'0' * 20}0 → … {'0' * 20}1"),
        ([1] * 5000, (1,) * 5000, None),
    ],
    ids=["text", "bytes", "integer", "list"],
)
def test_a_difference_far_behind_what_is_shown_of_a_value_is_seen(old, new, said):
    ((_, text),) = value_changes("v", old, new)
    left, right = text.split(" → ")
    assert left != right
    assert len(text) < 250
    assert said in (None, text)


def test_what_is_nested_deeply_is_compared_too():
    one, other = [0], [1]
    for _ in range(DEEPEST + 100):
        one, other = [one], [other]
    ((path, text),) = value_changes("v", one, other)
    assert path == "v" + "[0]" * DEEPEST
    old, new = text.split(" → ")
    assert (old.strip("[ …")[0], new.strip("[ …")[0]) == ("0", "1")


def test_a_set_is_shown_alike_in_every_process():
    code = "from looplet.replay.value_diff import shown; print(shown({'a', 'b', 'c', 'd', 'e'}))"
    said = {
        subprocess.run(
            [sys.executable, "-c", code],
            env={"PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2", "3")
    }
    assert said == {"{'a', 'b', 'c', 'd', 'e'}\n"}


# Laws


@given(VALUES, VALUES)
def test_values_have_changes_exactly_if_their_exact_texts_differ(one, other):
    for left, right in ((one, other), (one, copy.deepcopy(one)), ([one, one], [other, one])):
        found = list(value_changes("v", left, right))
        assert (found == []) == (exact(left) == exact(right))
        assert all(path.startswith("v") and text for path, text in found)


@given(TRAJECTORIES)
def test_a_run_is_equal_to_itself_and_its_copy(run):
    assert diff(run, run).equal
    found = diff(run, copy.deepcopy(run))
    assert (found.equal, found.step, found.changes) == (True, None, ())


@given(data=st.data(), one=TRAJECTORIES)
def test_equal_is_equal_digests_and_both_ways_alike(data, one):
    other = data.draw(st.just(copy.deepcopy(one)) | TRAJECTORIES)
    if data.draw(st.booleans()):
        other.task = copy.deepcopy(one.task)
    if data.draw(st.booleans()):
        other.steps = copy.deepcopy(one.steps[: data.draw(st.integers(0, 2))])
    if data.draw(st.booleans()):
        other.stop_reason = one.stop_reason
    there, back = diff(one, other), diff(other, one)
    assert there.equal == (rechain(one).digest == rechain(other).digest)
    assert (there.equal, there.step) == (back.equal, back.step)
    assert len(there.changes) == len(back.changes)
    assert [each.path for each in there.changes if "→" in each.text] == [
        each.path for each in back.changes if "→" in each.text
    ]
    assert there.equal or there.changes
    assert str(there)


@given(data=st.data(), args=ARGS, values=st.tuples(VALUES, VALUES))
def test_a_changed_argument_is_named_by_its_path(data, args, values):
    old, new = values
    assume(exact(old) != exact(new))
    one, other = make_trajectory("a", steps=4), make_trajectory("a", steps=4)
    place = data.draw(st.integers(0, 3))
    keys = data.draw(st.lists(st.sampled_from(["a", 1, (2,), "two words"]), max_size=3))
    path = "".join(".a" if key == "a" else f"[{key!r}]" for key in keys)
    for key in reversed(keys):
        old, new = {**args, key: old}, {**args, key: new}
    one.steps[place].tool_call.args = {**args, "changed": old}
    other.steps[place].tool_call.args = {**args, "changed": new}
    found = diff(one, other)
    assert found.step == place + 1
    in_args = [each for each in found.changes if each.path.startswith("args")]
    assert in_args
    assert all(each.path.startswith(f"args.changed{path}") for each in in_args)
    assert all((each.step, each.tool) == (place + 1, found.changes[0].tool) for each in in_args)


@given(VALUES)
def test_every_value_can_be_shown_in_little_room(value):
    assert 0 < len(shown(value)) < 120


@pytest.mark.filterwarnings("ignore:a dict contains itself, or is too deep")
@pytest.mark.parametrize("depth", range(100, 500, 25))
def test_a_value_that_is_nested_deeply_can_be_shown(depth):
    deep = {}
    for _ in range(depth):
        deep = {"a": deep}
    assert "{'a': {'a': {'a': " in shown(deep)
