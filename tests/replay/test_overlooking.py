"""Questions that differ from a recording in what tools gave, and are answered as recorded."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from looplet import LoopConfig, composable_loop, tool, tools_from
from looplet.core.messages import CallRequest, ChatMessage, ModelRequest
from looplet.errors import CassetteError
from looplet.replay import Divergence, use_cassette
from looplet.replay.overlooking import LooseKeys
from looplet.replay.requests import LaneKeys
from looplet.testing import ScriptedToolBackend

FRUITS = ("pear", "plum", "fig")


def use(number, name, **args):
    return [{"type": "tool_use", "id": f"c{number}", "name": name, "input": args}]


def model():
    calls = [use(number, "price", fruit=fruit) for number, fruit in enumerate(FRUITS)]
    return ScriptedToolBackend([*calls, use(9, "done", summary="2 euro")])


def run(cassette, euro, *, prompt="You sell fruit.", llm=None):
    @tool
    def price(fruit: str) -> dict:
        """Price of one piece of fruit."""
        return {"fruit": fruit, "euro": euro[fruit]}

    config = LoopConfig(max_steps=6, use_native_tools=True, system_prompt=prompt)
    loop = composable_loop(
        llm=cassette.wrap_llm(llm),
        tools=tools_from([price], include_done=True),
        task={"goal": "Price the fruit."},
        config=config,
    )
    return [step.tool_result.data for step in loop]


PRICES = dict.fromkeys(FRUITS, 2.0)


@pytest.fixture
def path(tmp_path):
    place = tmp_path / "fruit.yaml"
    with use_cassette(place, record_mode="once") as cassette:
        run(cassette, PRICES, llm=model())
    return place


@pytest.mark.parametrize(("changed", "overlooked"), [("pear", 3), ("plum", 2), ("fig", 1)])
def test_a_reply_stands_although_a_tool_gave_something_else(path, changed, overlooked):
    euro = {**PRICES, changed: 5.0}
    with use_cassette(path) as cassette:
        cassette.overlook_results()
        data = run(cassette, euro)
    assert [each["euro"] for each in data[:3]] == [euro[fruit] for fruit in FRUITS]
    assert (cassette.overlooked, cassette.unplayed, cassette.divergence) == (overlooked, 0, None)


def test_without_being_asked_for_it_is_a_divergence(path):
    with pytest.raises(Divergence, match="euro"), use_cassette(path) as cassette:
        run(cassette, {**PRICES, "fig": 5.0})
    assert cassette.overlooked == 0


def test_anything_else_is_a_divergence_all_the_same(path):
    def replay():
        with use_cassette(path) as cassette:
            cassette.overlook_results()
            run(cassette, {**PRICES, "pear": 5.0}, prompt="You eat fruit.")

    with pytest.raises(Divergence, match="'sell' → 'eat'"):
        replay()


def test_what_is_as_recorded_is_not_counted(path):
    with use_cassette(path) as cassette:
        cassette.overlook_results()
        run(cassette, PRICES)
    assert cassette.overlooked == 0


def test_a_replay_that_may_go_live_overlooks_nothing(path):
    with use_cassette(path, record_mode="new_episodes") as cassette:
        with pytest.raises(CassetteError, match="goes live where a question differs"):
            cassette.overlook_results()
        run(cassette, PRICES, llm=model())


def test_a_recording_has_nothing_to_overlook(tmp_path):
    with use_cassette(tmp_path / "a.yaml", record_mode="once") as cassette:
        cassette.overlook_results()
        run(cassette, PRICES, llm=model())
    assert (cassette.recording, cassette.overlooked) == (True, 0)


# The law: equal keys where, and only where, all but the results is equal

ROUNDS = st.lists(
    st.tuples(st.sampled_from("ab"), st.sampled_from("12"), st.sampled_from("xy")), max_size=4
)
SEEDS = st.integers(1, 2)


def question(rounds, seed):
    """After rounds of what the model said, which call the tool answered, and what it gave."""
    messages = [ChatMessage(role="user", content="hi")]
    for said, answered, gave in rounds:
        call = CallRequest(id="1", name="look", input={"at": said})
        messages.append(ChatMessage(role="assistant", content=said, calls=(call,)))
        messages.append(ChatMessage(role="tool", content=gave, call_id=answered))
    return ModelRequest(
        method="generate", prompt="hi", messages=tuple(messages), extra={"seed": seed}
    )


def key_of(request, keys):
    return keys.of(LaneKeys().of_request(request, model="m"))


@given(rounds=ROUNDS, other=ROUNDS, gave=st.text("xy", min_size=4, max_size=4), seed=SEEDS)
def test_keys_are_equal_where_and_only_where_all_but_results_is(rounds, other, gave, seed):
    key = key_of(question(rounds, seed), LooseKeys())
    changed = [(*each[:2], new) for each, new in zip(rounds, gave, strict=False)]
    assert key_of(question(changed, seed), LooseKeys()) == key
    assert key_of(question(rounds, 3 - seed), LooseKeys()) != key
    same = [each[:2] for each in other] == [each[:2] for each in rounds]
    assert (key_of(question(other, seed), LooseKeys()) == key) == same


@given(talks=st.lists(st.tuples(ROUNDS, SEEDS), min_size=1, max_size=3))
def test_a_key_does_not_depend_on_what_was_asked_before(talks):
    keys = LooseKeys()
    for rounds, seed in talks:
        lane = LaneKeys()
        for length in range(len(rounds) + 1):  # as a loop asks: each time with more at the end
            request = question(rounds[:length], seed)
            asked = lane.of_request(request, model="m")
            assert keys.of(asked) == key_of(request, LooseKeys())
