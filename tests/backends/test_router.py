"""Several backends as one, with every token counted."""

from __future__ import annotations

import asyncio
import copy
import inspect
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given
from hypothesis import strategies as st

from looplet.backends import BackendRouter, ModelProfile, OpenAIBackend, ResilientBackend
from looplet.core.backend import is_async, takes
from looplet.core.lastcall import CallOutcome, LastCall
from looplet.errors import BackendError, BackendRefused, LoopletError, UnknownBackend
from looplet.testing import (
    AsyncMockLLMBackend,
    AsyncScriptedToolBackend,
    MockLLMBackend,
    ScriptedToolBackend,
)

CALL = {"type": "tool_use", "id": "c1", "name": "price", "input": {}}


class Kind:
    """Sync or async backends, and how a call of them is made."""

    def __init__(self, mock, scripted):
        self.mock, self.scripted = mock, scripted

    @staticmethod
    def ask(backend, prompt="hi", *, method="generate", **keywords):
        answer = getattr(backend, method)(prompt, **keywords)
        return asyncio.run(answer) if inspect.iscoroutine(answer) else answer


@pytest.fixture(
    params=[
        Kind(MockLLMBackend, ScriptedToolBackend),
        Kind(AsyncMockLLMBackend, AsyncScriptedToolBackend),
    ],
    ids=["sync", "async"],
)
def kind(request):
    return request.param


def refused(status):
    return BackendRefused(f"status {status}", status=status)


# --- which backend is asked


def test_one_backend_is_asked_for_every_purpose(kind):
    router = BackendRouter(kind.mock(["a", "b", "c"]))
    replies = [kind.ask(router, purpose=purpose) for purpose in ("reasoning", "repair", "odd")]
    assert replies == ["a", "b", "c"]


def test_the_first_backend_is_the_default_unless_told(kind):
    backends = {"one": kind.mock(["1"]), "two": kind.mock(["2"])}
    assert kind.ask(BackendRouter(backends)) == "1"
    assert kind.ask(BackendRouter(backends, default="two")) == "2"


def test_a_route_is_taken_for_its_purpose_and_a_purpose_without_one_uses_the_default(kind):
    backends = [ModelProfile("big", kind.mock(["big"])), ModelProfile("small", kind.mock(["sm"]))]
    router = BackendRouter(backends, routes={"repair": "small", "tool": ["small", "big"]})
    asked = ["reasoning", "repair", "tool", "never heard of"]
    assert [kind.ask(router, purpose=each) for each in asked] == ["big", "sm", "sm", "big"]


def test_the_next_in_a_route_is_asked_when_one_fails_then_the_fallback(kind):
    backends = {
        "a": kind.mock([ConnectionError("a down")]),
        "b": kind.mock([TimeoutError("b slow")]),
        "c": kind.mock(["c"]),
    }
    router = BackendRouter(backends, routes={"reasoning": ("a", "b")}, fallback=("a", "c"))
    assert kind.ask(router) == "c"
    assert [each.calls for each in backends.values()] == [1, 1, 1]


@pytest.mark.parametrize("status", [401, 404, 429, 500, 503])
def test_a_failure_that_another_may_not_have_falls_back(kind, status):
    router = BackendRouter(
        {"a": kind.mock([refused(status)]), "b": kind.mock(["b"])}, fallback=("b",)
    )
    assert kind.ask(router) == "b"


def test_an_exhausted_backend_falls_back(kind):
    router = BackendRouter(
        {"a": kind.mock(["a"], cycle=False), "b": kind.mock(["b"])}, fallback=["b"]
    )
    assert [kind.ask(router) for _ in range(3)] == ["a", "b", "b"]


@pytest.mark.parametrize(
    "error",
    [
        refused(400),
        refused(422),
        BackendRefused("context_length_exceeded", status=500),
        TypeError("bad call"),
    ],
)
def test_a_request_that_is_wrong_in_itself_does_not_fall_back(kind, error):
    second = kind.mock(["b"])
    router = BackendRouter({"a": kind.mock([error]), "b": second}, fallback=("b",))
    with pytest.raises(type(error)) as caught:
        kind.ask(router)
    assert caught.value is error
    assert second.calls == 0


def test_the_last_error_is_raised_with_the_earlier_ones_as_notes(kind):
    last = refused(503)
    backends = {
        "a": kind.mock([ConnectionError("a down")]),
        "b": kind.mock([refused(500)]),
        "c": kind.mock([last]),
    }
    with pytest.raises(BackendRefused) as caught:
        kind.ask(BackendRouter(backends, fallback=("b", "c")))
    assert caught.value is last
    notes = " ".join(last.__notes__)
    assert "'a' failed: ConnectionError: a down" in notes
    assert "'b' failed: BackendRefused: status 500" in notes


def test_a_cancellation_is_not_a_failure():
    async def run():
        second = AsyncMockLLMBackend(["b"])
        router = BackendRouter(
            {"a": AsyncMockLLMBackend([asyncio.CancelledError()]), "b": second}, fallback=("b",)
        )
        with pytest.raises(asyncio.CancelledError):
            await router.generate("hi")
        return second.calls

    assert asyncio.run(run()) == 0


# --- that it is a backend


def test_it_has_native_tools_exactly_if_the_default_backend_has_them(kind):
    plain, native = kind.mock(), kind.scripted([[CALL]])
    assert not hasattr(BackendRouter(plain), "generate_with_tools")
    assert not hasattr(BackendRouter({"p": plain, "n": native}), "generate_with_tools")
    router = BackendRouter({"n": native, "p": plain})
    assert hasattr(router, "generate_with_tools")  # by which the loop finds it
    assert kind.ask(router, method="generate_with_tools", tools=[]) == [CALL]


def test_a_backend_without_native_tools_is_passed_over_for_a_native_call(kind):
    backends = {"n": kind.scripted([ConnectionError("down")]), "p": kind.mock(["p"])}
    router = BackendRouter(backends, routes={"repair": "p"}, fallback=("p",))
    with pytest.raises(ConnectionError):
        kind.ask(router, method="generate_with_tools", tools=[])
    backends = {"n": kind.scripted([[CALL]]), "p": kind.mock(["p"])}
    router = BackendRouter(backends, routes={"repair": "p"})
    asked = {"method": "generate_with_tools", "tools": [], "purpose": "repair"}
    assert kind.ask(router, **asked) == [CALL]


def test_messages_are_taken_only_if_every_backend_takes_them(kind):
    with_messages, without = kind.scripted(["a"]), kind.mock(["b"])
    assert takes(BackendRouter(with_messages), "generate", "messages")
    mixed = BackendRouter({"a": with_messages, "b": without}, routes={"repair": "b"})
    assert not takes(mixed, "generate", "messages")
    assert takes(mixed.select("reasoning"), "generate", "messages")
    assert not takes(mixed.select("repair"), "generate", "messages")
    assert takes(mixed, "generate_with_tools", "messages")  # b cannot be asked so


def test_keywords_reach_the_backends_that_take_them(kind):
    a, b = kind.scripted(["a"], cycle=True), kind.mock(["b"])
    router = BackendRouter({"a": a, "b": b}, routes={"repair": "b"})
    assert takes(router, "generate", "seed")
    assert takes(router, "generate", "purpose")
    kind.ask(router, seed=7, scope="tool:x", system_prompt="s")
    assert kind.ask(router, seed=7, scope="tool:x", purpose="repair", system_prompt="s") == "b"
    wanted = {"seed": 7, "scope": "tool:x", "purpose": "reasoning", "system_prompt": "s"}
    assert a.keywords == (wanted,)
    assert b.last_system_prompt == "s"


def test_a_router_may_stand_inside_a_router(kind):
    inner = BackendRouter({"a": kind.mock(["a"]), "b": kind.mock(["b"])}, routes={"repair": "b"})
    outer = BackendRouter(inner)
    assert [kind.ask(outer), kind.ask(outer, purpose="repair")] == ["a", "b"]
    assert (inner.call_count, outer.call_count) == (2, 2)


def test_async_backends_make_an_async_router():
    router = BackendRouter(AsyncMockLLMBackend())
    assert isinstance(router, BackendRouter)
    assert is_async(router)
    assert is_async(router.select("tool"))
    assert not is_async(BackendRouter(MockLLMBackend()))
    assert not is_async(BackendRouter(MockLLMBackend()).select())


def test_an_attribute_that_is_not_its_own_is_the_default_backends(kind):
    router = BackendRouter({"a": kind.scripted([], model="m1"), "b": kind.scripted([], model="m2")},
                           routes={"repair": "b"})  # fmt: skip
    assert (router.model, router.select("repair").model) == ("m1", "m2")
    with pytest.raises(AttributeError, match="no_such"):
        _ = router.no_such
    assert not hasattr(router, "_nothing")
    assert copy.copy(router.select("repair")).model == "m2"


def test_usage_and_stop_reason_are_those_of_the_backend_that_answered():
    backends = {
        "a": ScriptedToolBackend([ConnectionError("down")], usage={"input_tokens": 1}),
        "b": ScriptedToolBackend(["b"], usage={"input_tokens": 2, "output_tokens": 3}),
    }
    router = BackendRouter(backends, fallback=("b",))
    selected = router.select()
    assert selected.generate("hi") == "b"
    assert router.last_usage == selected.last_usage == {"input_tokens": 2, "output_tokens": 3}
    assert router.last_stop_reason == selected.last_stop_reason == "end_turn"
    with pytest.raises(LookupError):
        router.generate("hi")
    assert router.last_usage is None


def test_a_selected_backend_keeps_to_its_purpose(kind):
    backends = {"a": kind.scripted(["a"]), "b": kind.scripted(["b", [CALL]])}
    router = BackendRouter(backends, routes={"repair": "b"})
    selected = router.select("repair")
    assert kind.ask(selected, purpose="reasoning") == "b"
    assert kind.ask(selected, method="generate_with_tools", tools=[]) == [CALL]
    assert list(router.report()["purposes"]) == ["repair"]
    assert router.call_count == 2
    assert not hasattr(BackendRouter(kind.mock()).select(), "generate_with_tools")


# --- what it counts


def test_the_providers_usage_is_counted_when_given(kind):
    class Told(kind.mock):
        last_usage = {"input_tokens": 100, "output_tokens": 10}  # noqa: RUF012

    router = BackendRouter(Told(["a"]))
    kind.ask(router)
    assert (router.total_input_tokens, router.total_output_tokens) == (100, 10)
    assert router.tokens_estimated is False


def test_tokens_are_estimated_from_what_was_sent_otherwise(kind):
    router = BackendRouter(kind.mock(["12345"]))
    assert router.tokens_estimated is False
    kind.ask(router, "123456789", system_prompt="1234")
    assert (router.total_input_tokens, router.total_output_tokens) == (4, 2)
    assert router.tokens_estimated is True


def test_prices_of_a_profile_count_and_prices_by_name_win(kind):
    class Told(kind.mock):
        last_usage = {"input_tokens": 2000, "output_tokens": 1000}  # noqa: RUF012

    profiles = [ModelProfile("a", Told(), 0.5, 1.0), ModelProfile("b", Told(), 9, 9)]
    router = BackendRouter(profiles, routes={"repair": "b"}, prices={"b": (0.1, 0.2)})
    kind.ask(router)
    kind.ask(router, purpose="repair")
    report = router.report()
    assert report["backends"]["a"]["total_cost"] == pytest.approx(2.0)
    assert report["purposes"]["repair"]["total_cost"] == pytest.approx(0.4)
    assert router.total_cost == report["total_cost"] == pytest.approx(2.4)


def test_a_single_backend_is_priced_by_the_one_name_given(kind):
    router = BackendRouter(kind.mock(["1234"]), prices={"gpt-4o": (1000.0, 0.0)})
    kind.ask(router, "1234")
    assert router.total_cost == 1.0


def test_calls_that_failed_are_not_counted(kind):
    router = BackendRouter({"a": kind.mock([ConnectionError("x")]), "b": kind.mock(["b"])},
                           fallback=("b",))  # fmt: skip
    kind.ask(router)
    assert router.call_count == 1
    assert list(router.report()["backends"]) == ["b"]


def test_reset_counts_from_zero(kind):
    router = BackendRouter(kind.mock(["a"]))
    kind.ask(router)
    router.reset()
    assert router.report() == {
        "call_count": 0,
        "total_input_tokens": 0,
        "total_output_tokens": 0,
        "total_cost": 0.0,
        "tokens_estimated": False,
        "backends": {},
        "purposes": {},
    }


@given(
    st.lists(
        st.tuples(st.sampled_from(["reasoning", "repair", "tool"]), st.text("ab", max_size=20)),
        max_size=12,
    )
)
def test_the_parts_of_a_report_add_up_to_the_whole(calls):
    router = BackendRouter({"a": MockLLMBackend(["x" * 9]), "b": MockLLMBackend(["y"])},
                           routes={"repair": "b"}, prices={"a": (1, 2), "b": (3, 4)})  # fmt: skip
    for purpose, prompt in calls:
        router.generate(prompt, purpose=purpose)
    report = router.report()
    for part in ("backends", "purposes"):
        for figure in ("call_count", "total_input_tokens", "total_output_tokens"):
            assert sum(each[figure] for each in report[part].values()) == report[figure]
        costs = sum(each["total_cost"] for each in report[part].values())
        assert costs == pytest.approx(report["total_cost"])
    assert router.call_count == len(calls)


def test_counters_are_right_under_concurrent_calls(server, completion, Answer):
    server.answer = lambda body: Answer(
        body=completion("ok", usage=(int(body["messages"][-1]["content"]), 1))
    )
    llm = OpenAIBackend(base_url=server.url, model="m")
    router = BackendRouter(llm)

    def ask(n):
        router.generate(str(n), purpose="tool" if n % 2 else "reasoning")
        return router.last_usage == {"input_tokens": n, "output_tokens": 1}

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(ask, range(40)))
    assert (router.call_count, router.total_input_tokens) == (40, sum(range(40)))
    assert (router.total_output_tokens, router.tokens_estimated) == (40, False)
    assert router.report()["purposes"]["tool"]["total_input_tokens"] == sum(range(1, 40, 2))
    llm.close()


# --- what it refuses


def test_counters_are_right_for_tasks_that_interleave():
    class Slow:
        def __init__(self):
            self._last = LastCall()

        async def generate(self, prompt):
            await asyncio.sleep(0)
            usage = {"input_tokens": int(prompt), "output_tokens": 1}
            self._last.set(CallOutcome(usage=usage))
            await asyncio.sleep(0)
            return prompt

        @property
        def last_usage(self):
            return self._last.get().usage

    router = BackendRouter({"a": Slow(), "b": Slow()}, routes={"repair": "b"})

    async def ask(number):
        purpose = "repair" if number % 3 == 0 else "reasoning"
        reply = await router.generate(str(number), purpose=purpose)
        return int(reply), router.last_usage["input_tokens"]

    async def all_of(count):
        return await asyncio.gather(*(ask(number) for number in range(1, count + 1)))

    seen = asyncio.run(all_of(60))
    assert seen == [(number, number) for number in range(1, 61)]
    assert (router.call_count, router.total_input_tokens) == (60, sum(range(1, 61)))
    purposes = router.report()["purposes"]
    assert purposes["repair"]["total_input_tokens"] == sum(range(3, 61, 3))
    assert router.tokens_estimated is False


def test_a_backend_that_gave_up_retrying_falls_back(kind):
    tired = ResilientBackend(kind.mock([refused(503)]), retries=2, sleep=lambda _: None)
    router = BackendRouter({"a": tired, "b": kind.mock(["b"])}, fallback=("b",))
    assert kind.ask(router) == "b"
    assert router.report()["backends"].keys() == {"b"}


@pytest.mark.parametrize(
    "keywords",
    [
        {"default": "smal"},
        {"routes": {"repair": "smal"}},
        {"fallback": ("smal",)},
        {"prices": {"smal": (1, 1)}},
    ],
)
def test_a_name_that_it_does_not_have_is_refused_with_the_nearest(kind, keywords):
    with pytest.raises(UnknownBackend, match="did you mean 'small'") as caught:
        BackendRouter({"big": kind.mock(), "small": kind.mock()}, **keywords)
    assert isinstance(caught.value, ValueError)
    assert isinstance(caught.value, LoopletError)


@pytest.mark.parametrize(
    ("backends", "says"),
    [
        ({}, "at least one"),
        ([], "at least one"),
        ([MockLLMBackend()], "ModelProfile"),
        ({"a": object()}, "has no generate"),
        ({"a": MockLLMBackend(), "b": AsyncMockLLMBackend()}, "all sync or all async"),
        ([ModelProfile("a", MockLLMBackend()), ModelProfile("a", MockLLMBackend())], "same name"),
    ],
)
def test_backends_that_cannot_be_routed_are_refused(backends, says):
    with pytest.raises((BackendError, TypeError), match=says):
        BackendRouter(backends)


def test_a_mapping_may_hold_profiles_and_its_names_count(kind):
    profile = ModelProfile("inner", kind.mock(["1234"]), 1000, 1000)
    router = BackendRouter({"outer": profile})
    kind.ask(router, "1234")
    assert router.report()["backends"]["outer"]["total_cost"] == 2.0
    assert BackendRouter(profile)._default == "inner"
