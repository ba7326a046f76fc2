"""A divergence says what differs, and nothing hides it."""

import pickle

import pytest

from looplet.core.messages import ChatMessage
from looplet.replay import Divergence, use_cassette

SYSTEM = "You are a careful assistant. " + "Follow the rules below. " * 30


def turns(llm, *, system=SYSTEM, second="And apples?", **options):
    first = ChatMessage(role="user", content="How many pears?")
    reply = ChatMessage(
        role="assistant", content=llm.generate("x", messages=(first,), system_prompt=system)
    )
    more = (first, reply, ChatMessage(role="user", content=second))
    return llm.generate("x", messages=more, system_prompt=system, **options)


@pytest.fixture
def recorded(path, model):
    with use_cassette(path, record_mode="once") as cassette:
        turns(cassette.wrap_llm(model("Seven.", "Nine.")))
    return path


def diverge(path, llm=None, **options):
    with pytest.raises(Divergence) as caught, use_cassette(path) as cassette:
        turns(cassette.wrap_llm(llm), **options)
    return caught.value


def test_a_changed_word_of_the_system_prompt_is_named(recorded):
    error = diverge(recorded, system=SYSTEM.replace("careful", "sloppy"))
    first_line = str(error).splitlines()[0]
    assert first_line == (
        f"cassette {recorded}, lane main, call 1, message 0 (system): 'careful' → 'sloppy'"
    )
    assert (error.lane, error.call, error.message_index, error.role) == ("main", 1, 0, "system")
    assert error.cassette == str(recorded)
    assert "You are a sloppy assistant." in error.diff
    assert str(error).endswith(f'use_cassette({str(recorded)!r}, record_mode="all").')


def test_a_later_call_is_compared_with_the_one_expected_next(recorded):
    error = diverge(recorded, second="And plums?")
    assert (error.call, error.message_index, error.role) == (2, 3, "user")
    assert "'apples' → 'plums'" in str(error)


def test_the_recording_expected_next_is_nearer_than_one_that_was_played(path, model):
    with use_cassette(path, record_mode="once") as cassette:
        llm = cassette.wrap_llm(model("one", "two"))
        llm.generate("first", system_prompt="You plan.")
        llm.generate("second", system_prompt="You sum up.")
    with use_cassette(path) as cassette:
        llm = cassette.wrap_llm(None)
        llm.generate("first", system_prompt="You plan.")
        with pytest.raises(Divergence) as caught:
            llm.generate("third", system_prompt="You plan.")
    assert "'second' → 'third'" in caught.value.diff


def test_with_all_played_the_longest_common_start_is_nearest(recorded):
    with use_cassette(recorded) as cassette:
        llm = cassette.wrap_llm(None)
        turns(llm)
        with pytest.raises(Divergence) as caught:
            llm.generate("And plums?", system_prompt=SYSTEM)
    assert (caught.value.call, caught.value.message_index) == (3, 1)


def test_changed_parameters_model_and_method_are_named(recorded, model):
    assert "parameter temperature: 0.2 → 0.9" in diverge(recorded, temperature=0.9).diff
    other = model()
    other.model = "scripted-2"
    error = diverge(recorded, other)
    assert "model: 'scripted-1' → 'scripted-2'" in error.diff
    assert error.message_index is None


def test_changed_tools_are_named(path, tool_model):
    old = [{"name": "add", "description": "Add numbers."}, {"name": "gone"}]
    new = [{"name": "add", "description": "Add things."}, {"name": "fresh"}]
    with use_cassette(path, record_mode="once") as cassette:
        cassette.wrap_llm(tool_model([])).generate_with_tools("a", tools=old)
    with pytest.raises(Divergence) as caught, use_cassette(path) as cassette:
        cassette.wrap_llm(None).generate_with_tools("a", tools=new)
    assert "tool add: 'numbers' → 'things'" in caught.value.diff
    assert "tool gone: was recorded and is not asked" in caught.value.diff
    assert "tool fresh: is new" in caught.value.diff


def test_a_message_more_and_a_message_less_are_named(recorded):
    longer = (
        ChatMessage(role="user", content="How many pears?"),
        ChatMessage(role="tool", content="what", call_id="c"),
    )
    with (
        pytest.raises(Divergence, match=r"message 2 \(tool\): is new") as caught,
        use_cassette(recorded) as cassette,
    ):
        cassette.wrap_llm(None).generate("x", system_prompt=SYSTEM, messages=longer)
    assert caught.value.message_index == 2
    with (
        pytest.raises(Divergence, match=r"message 1 \(user\): was recorded and is not asked"),
        use_cassette(recorded) as cassette,
    ):
        cassette.wrap_llm(None).generate(
            "x", messages=(ChatMessage(role="system", content=SYSTEM),)
        )


def test_an_unrecorded_lane_is_named(recorded):
    with (
        pytest.raises(Divergence, match=r"lane tool:x, call 1.*recorded lanes: main"),
        use_cassette(recorded) as cassette,
    ):
        cassette.wrap_llm(None).generate("a", scope="tool:x")


def test_code_that_catches_exceptions_and_retries_does_not_hide_it(recorded):
    def stubborn(llm):
        for _ in range(3):
            try:
                return llm.generate("something else")
            except Exception:
                continue
        return "gave up"

    with use_cassette(recorded) as cassette, pytest.raises(Divergence) as caught:
        stubborn(cassette.wrap_llm(None))
    assert caught.value.call == 1
    assert cassette.divergence is caught.value


def test_it_can_be_sent_to_another_process(recorded):
    error = diverge(recorded, second="And plums?")
    copy = pickle.loads(pickle.dumps(error))
    assert (str(copy), copy.lane, copy.call) == (str(error), "main", 2)


def test_a_long_rewrite_is_cut_for_reading(path, model):
    old, new = " ".join(map(str, range(2000))), " ".join(map(str, range(2000, 4000)))
    with use_cassette(path, record_mode="once") as cassette:
        cassette.wrap_llm(model("one")).generate(old)
    with pytest.raises(Divergence) as caught, use_cassette(path) as cassette:
        cassette.wrap_llm(None).generate(new)
    assert "characters)" in str(caught.value)
    assert len(str(caught.value)) < 1500
