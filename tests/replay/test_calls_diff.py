"""Model calls of two runs compared, by lane and key."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from looplet.core.messages import ChatMessage
from looplet.replay import diff_calls, read_trajectory, use_cassette
from looplet.replay.calls_diff import MOST_CHANGES
from looplet.testing import MockLLMBackend
from looplet.trajectory import LLMCall, Trajectory


def run(*calls, at=0.0):
    """A run whose model was asked that, in that order: lane, prompt and reply of each."""
    found = []
    for n, (lane, prompt, reply) in enumerate(calls):
        message = ChatMessage(role="user", content=prompt)
        found.append(
            LLMCall(
                index=n, timestamp=at + n, duration_ms=1.0, method="generate", prompt=prompt,
                system_prompt="", response=reply, scope=None if lane == "main" else lane,
                messages=(message,), key=message.digest,
            )
        )  # fmt: skip
    return Trajectory(trajectory_id="t", run_id="t", llm_calls=found)


A, B, C = (
    ("main", "How much is a pear?", "0.4"),
    ("main", "And a fig?", "0.7"),
    ("judge", "Ok?", "y"),
)


def test_equal_calls_are_equal_whatever_turns_the_lanes_took():
    found = diff_calls(run(A, B, C), run(C, A, B, at=7.0))
    assert (found.equal, bool(found)) == (True, False)
    assert str(found) == "the model calls are equal, 3 of them"


def test_a_request_that_differs_is_shown_beside_the_one_in_its_place():
    found = diff_calls(run(A, B, C), run(A, ("main", "And a kiwi?", "0.7"), C))
    (change,) = found.changes
    assert (change.lane, change.call, found.different) == ("main", 2, 1)
    assert str(found).startswith("lane main, call 2: message 0 (user): 'fig' → 'kiwi'")


def test_a_reply_that_differs_is_shown():
    other = run(A, ("main", "And a fig?", "0.8\x1b[31m"), C)
    assert str(diff_calls(run(A, B, C), other)) == ("lane main, call 2: reply: '7' → '8\\x1b[31m'")
    other.llm_calls[2].scope = "\x1b"
    assert "lane \\x1b, call 1: asked in the second alone" in str(diff_calls(run(A, B, C), other))
    other.llm_calls[1].response, other.llm_calls[1].error = None, "TimeoutError: too late"
    assert "error: None → 'TimeoutError: too late'" in str(diff_calls(run(A, B, C), other))


def test_calls_that_one_run_alone_has_are_told():
    assert str(diff_calls(run(A, C), run(A, B))) == (
        "lane main, call 2: asked in the second alone: 'And a fig?'\n"
        "lane judge, call 1: asked in the first alone: 'Ok?'"
    )


def test_alike_calls_are_compared_in_the_order_they_began(path):
    one = run(("main", "Again", "a"), ("main", "Again", "b"))
    other = run(("main", "Again", "a"), ("main", "Again", "b"))
    other.llm_calls.reverse()  # they ended the other way round
    assert diff_calls(one, other).equal
    assert diff_calls(one, run(("main", "Again", "b"), ("main", "Again", "a"))).different == 2


def test_many_differences_are_counted_and_a_few_shown():
    one = run(*(("main", f"Ask {n}", "a") for n in range(50)))
    found = diff_calls(one, run(*(("main", f"Ask {n}", "b") for n in range(50))))
    assert (found.different, len(found.changes)) == (50, MOST_CHANGES)
    assert str(found).endswith("… and 30 more calls differ")


def test_keys_that_differ_without_a_reason_that_is_known_are_told():
    one, other = run(A), run(A)
    other.llm_calls[0].key = "0"
    assert str(diff_calls(one, other)).endswith("the requests have different keys")


def test_calls_of_two_cassettes_are_compared(tmp_path):
    for name, replies in (("a", ["one", "two"]), ("b", ["one", "2"])):
        with use_cassette(tmp_path / f"{name}.yaml", record_mode="once") as cassette:
            llm = cassette.wrap_llm(MockLLMBackend(replies))
            llm.generate("first")
            llm.generate("second", scope="judge")
    a, b = (read_trajectory(tmp_path / f"{name}.yaml") for name in "ab")
    assert str(diff_calls(a, b)) == "lane judge, call 1: reply: 'two' → '2'"


CALLS = st.lists(
    st.tuples(st.sampled_from(["main", "judge"]), st.sampled_from("ab"), st.sampled_from("xy")),
    max_size=6,
)


@given(CALLS, CALLS)
def test_the_comparison_is_symmetric_and_sees_what_each_lane_has(one, other):
    there, back = diff_calls(run(*one), run(*other)), diff_calls(run(*other), run(*one))
    assert there.different == back.different

    def lanes(calls):
        """Of each lane and prompt the replies in their order."""
        told = {}
        for lane, prompt, reply in calls:
            told.setdefault((lane, prompt), []).append(reply)
        return told

    assert there.equal == (lanes(one) == lanes(other))


@pytest.mark.parametrize("calls", [[], [A]])
def test_a_run_equals_itself(calls):
    assert diff_calls(run(*calls), run(*calls)).equal
