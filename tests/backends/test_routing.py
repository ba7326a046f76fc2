"""Small routers, and a backend over any router."""

from __future__ import annotations

import asyncio
import inspect

import pytest

from looplet.backends import (
    FallbackRouter,
    ModelProfile,
    RoutingLLMBackend,
    SimpleRouter,
)
from looplet.core.backend import is_async, takes
from looplet.errors import BackendRefused, UnknownBackend
from looplet.testing import (
    AsyncMockLLMBackend,
    AsyncScriptedToolBackend,
    MockLLMBackend,
    ScriptedToolBackend,
)


@pytest.fixture(params=[MockLLMBackend, AsyncMockLLMBackend], ids=["sync", "async"])
def mock(request):
    return request.param


def ask(llm, prompt="hi", *, method="generate", **keywords):
    answer = getattr(llm, method)(prompt, **keywords)
    return asyncio.run(answer) if inspect.isawaitable(answer) else answer


def test_the_first_profile_with_that_strength_is_taken_else_the_default(mock):
    profiles = [
        ModelProfile("big", mock(["deep"])),
        ModelProfile("small", mock(["quick"]), strengths=["repair", "tool"]),
        ModelProfile("other", mock(["never"]), strengths=["tool"]),
    ]
    router = SimpleRouter(profiles, default_profile="big")
    said = [ask(router.select(purpose)) for purpose in ("reasoning", "repair", "tool", "odd")]
    assert said == ["deep", "quick", "quick", "deep"]
    assert router.report()["backends"]["small"]["call_count"] == 2


def test_a_default_profile_that_is_not_there_is_refused():
    with pytest.raises(UnknownBackend, match="did you mean 'big'"):
        SimpleRouter([ModelProfile("big", MockLLMBackend())], default_profile="bug")


def test_the_fallback_is_asked_when_the_primary_fails(mock):
    router = FallbackRouter(primary=mock([ConnectionError("down")]), fallback=mock(["here"]))
    assert ask(router.select()) == "here"
    assert list(router.report()["backends"]) == ["fallback"]


def test_the_fallback_is_not_asked_for_a_request_that_is_wrong_in_itself(mock):
    wrong = BackendRefused("wrong", status=400)
    router = FallbackRouter(primary=ModelProfile("a", mock([wrong])), fallback=mock(["here"]))
    with pytest.raises(BackendRefused, match="wrong"):
        ask(router.select())


class ByPurpose:
    """A router of one's own."""

    def __init__(self, **backends):
        self.backends = backends

    def select(self, purpose="reasoning"):
        return self.backends.get(purpose) or self.backends["reasoning"]


def test_each_call_goes_to_the_backend_for_its_purpose(mock):
    llm = RoutingLLMBackend(ByPurpose(reasoning=mock(["deep"]), repair=mock(["quick"])))
    assert [ask(llm), ask(llm, purpose="repair"), ask(llm, purpose="odd")] == [
        "deep",
        "quick",
        "deep",
    ]
    assert is_async(llm) == is_async(mock())
    assert takes(llm, "generate", "purpose")


def test_a_call_without_a_purpose_is_for_the_default_one(mock):
    router = ByPurpose(reasoning=mock(["deep"]), repair=mock(["quick"]))
    assert ask(RoutingLLMBackend(router, default_purpose="repair")) == "quick"


@pytest.mark.parametrize("kind", [ScriptedToolBackend, AsyncScriptedToolBackend])
def test_native_calls_go_by_purpose_too(kind):
    call = {"type": "tool_use", "id": "c", "name": "f", "input": {}}
    llm = RoutingLLMBackend(ByPurpose(reasoning=kind([[call]]), repair=kind(["text"])))
    tools = [{"name": "f"}]
    assert ask(llm, method="generate_with_tools", tools=tools) == [call]
    assert ask(llm, method="generate_with_tools", tools=tools, purpose="repair") == [
        {"type": "text", "text": "text"}
    ]


def test_messages_are_taken_only_if_every_backend_that_may_be_asked_takes_them():
    tells, plain = ScriptedToolBackend(["ok"]), MockLLMBackend(["ok"])
    assert takes(RoutingLLMBackend(ByPurpose(reasoning=tells)), "generate", "messages")
    mixed = RoutingLLMBackend(ByPurpose(reasoning=tells, repair=plain))
    assert not takes(mixed, "generate", "messages")
