"""Runs put together from messages: links, results that come late, what is shared."""

from __future__ import annotations

from pathlib import Path

import pytest

from looplet.core.history import SoFar
from looplet.core.messages import CallRequest, ChatMessage
from looplet.trajectory.importers.builder import RunBuilder
from looplet.trajectory.importers.nodes import Node
from looplet.trajectory.importers.problems import Malformed
from looplet.trajectory.importers.sources import Source
from looplet.trajectory.model import chain


def heard(text):
    return ChatMessage(role="user", content=text)


def built(run, tmp_path, **known):
    source = Source(tmp_path / "run.json", on_problem=print)
    return run.build(source, Node({"id": 1}, "$[0]"), form="own", **known)


def test_calls_of_a_long_run_share_their_messages(tmp_path, stored):
    run = RunBuilder()
    for turn in range(50):
        run.hear(heard(f"say {turn}"))
        run.reply(f"said {turn}")
    made = built(run, tmp_path)
    calls = made.llm_calls
    assert [len(call.messages) for call in calls] == [2 * turn + 1 for turn in range(50)]
    assert all(call.messages.shares(calls[0].messages) for call in calls)
    (kept,) = stored([made])
    calls = kept.llm_calls
    assert all(call.messages.shares(calls[0].messages) for call in calls)


def test_calls_that_send_fewer_messages_again_come_back_as_they_were(tmp_path, stored):
    run = RunBuilder()
    for text in "abc":
        run.hear(heard(text))
    said = run.messages
    for sent in (said, said[:1], said[:2], [said[0], said[2]], [], said):
        run.add_call(ChatMessage(role="assistant", content="hm"), sent)
    made = built(run, tmp_path)
    run.hear(heard("later"))
    assert [len(call.messages) for call in made.llm_calls] == [3, 1, 2, 2, 0, 3]
    stored([made])


def test_results_find_their_calls_by_id_and_in_order_without(tmp_path):
    run = RunBuilder()
    asked = [CallRequest(id=name, name="look", input={}) for name in ("", "b", "")]
    run.reply("", asked)
    run.answer("two", call_id="b")
    run.answer("one")
    assert [step.tool_result.data for step in run.steps] == ["one", "two", None]
    assert [step.tool_call.call_id for step in run.steps] == ["call-1", "b", "call-3"]
    assert (run.is_waiting, run.waiting_for("z", "look")) == (True, "call-3")
    assert run.waiting_for("z", "dig") is None


def test_digests_are_the_chain_of_what_happened(tmp_path):
    run = RunBuilder()
    run.reply("", [CallRequest(id="a", name="look", input={"n": 1})])
    run.answer("seen")
    made = built(run, tmp_path, task={"goal": "x"})
    assert [step.digest for step in made.steps] == list(chain({"goal": "x"}, made.steps))
    assert made.steps[0].pretty == "#1 ✓ look(n=1) → seen"
    digest = made.digest
    assert built(run, tmp_path, task={"goal": "y"}).digest != digest


def test_a_run_that_its_source_does_not_name_is_named_by_its_content(tmp_path):
    made = built(RunBuilder(), tmp_path, run_id=None)
    assert made.run_id == made.trajectory_id
    assert built(RunBuilder(), tmp_path, run_id="r1").run_id == "r1"


def test_ids_tell_file_place_and_content():
    def name(path, node, form="own"):
        source = Source(path, on_problem=print)
        return RunBuilder().build(source, node, form=form).trajectory_id

    one = name(Path("a/x.json"), Node({"n": 1}, "$[0]"))
    assert one == name(Path("b/x.json"), Node({"n": 1}, "$[0]"))
    assert len({one, name(Path("y.json"), Node({"n": 1}, "$[0]"))}) == 2
    assert len({one, name(Path("x.json"), Node({"n": 1}, "$[1]"))}) == 2
    assert len({one, name(Path("x.json"), Node({"n": 2}, "$[0]"))}) == 2


@pytest.mark.parametrize(
    ("value", "reader"),
    [
        (True, "number"),
        (float("nan"), "number"),
        (10**400, "number"),
        (1.5, "integer"),
        (2**63, "integer"),
        (-1, "count"),
        ("1", "integer"),
        (1, "flag"),
        (1, "text"),
        ([], "label"),
        ({}, "items"),
        ([], "fields"),
        ("yesterday", "time"),
        (1e300, "time"),
    ],
)
def test_a_value_of_another_kind_is_malformed_with_its_place(value, reader):
    with pytest.raises(Malformed, match=r"^\$\.x: is not"):
        getattr(Node(value, "$.x"), reader)()


def test_what_is_absent_is_none():
    node = Node({"x": None})
    for name in ("number", "integer", "count", "flag", "text", "label", "time"):
        assert getattr(node.get("x"), name)() is None
        assert getattr(node.get("x").get("y"), name)() is None
    assert (node.get("x").items(), node.get("y").fields()) == ([], {})


def test_messages_that_a_call_gives_itself_are_shared_where_they_are_the_same():
    run = RunBuilder()
    run.hear(heard("a"))
    assert isinstance(run.add_call(None, [run.messages[0]]).messages, SoFar)
    assert isinstance(run.add_call(None, [heard("a")]).messages, tuple)
