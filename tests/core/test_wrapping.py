"""A backend around a backend, and what a backend takes."""

from __future__ import annotations

import asyncio
import copy
import functools
import pickle

import pytest

from looplet.core.backend import is_async, only_taken, takes
from looplet.core.history import History
from looplet.core.scoped import scoped
from looplet.core.wrapping import AsyncWrapper, SyncWrapper, request_of


class Plain:
    model = "plain-1"

    def generate(self, prompt, *, max_tokens=1, temperature=0.0):
        return f"{prompt} {max_tokens} {temperature}"


class Caller:
    def generate(self, prompt, *, scope, caller):
        return {"scope": scope, "caller": caller}


class TakesAll:
    def generate(self, prompt, **keywords):
        return keywords


class Native(Plain):
    last_stop_reason = "end_turn"

    def generate(self, prompt, **keywords):
        return keywords

    def generate_with_tools(self, prompt, *, tools, scope=None, purpose=None):
        return [{"tools": tools, "scope": scope, "purpose": purpose}]


class Later:
    async def generate(self, prompt, *, scope=None, max_tokens=1):
        return f"{prompt} {scope} {max_tokens}"

    async def generate_with_tools(self, prompt, *, tools):
        return [{"tools": tools}]


class Copied(Plain):
    def __deepcopy__(self, memo):
        return Plain()

    def __reduce__(self):
        return (Plain, ())


def nested(inner, depth=3, kind=SyncWrapper):
    return functools.reduce(lambda backend, _: kind(backend), range(depth), inner)


@pytest.mark.parametrize("depth", [1, 3])
def test_every_keyword_that_the_inner_one_takes_is_forwarded_and_no_other(depth):
    asked = {"max_tokens": 7, "temperature": 0.5, "scope": "x", "top_p": 1}
    assert nested(Plain(), depth).generate("hi", **asked) == "hi 7 0.5"
    assert nested(Native(), depth).generate("hi", **asked) == asked


@pytest.mark.parametrize("depth", [1, 3])
def test_native_calls_are_there_exactly_if_the_inner_one_has_them(depth):
    assert not hasattr(nested(Plain(), depth), "generate_with_tools")
    wrapper = nested(Native(), depth)
    assert wrapper.generate_with_tools("hi", tools=[1], scope="s", max_tokens=3) == [
        {"tools": [1], "scope": "s", "purpose": None}
    ]


def test_other_attributes_are_the_inner_ones():
    wrapper = nested(Native())
    assert (wrapper.model, wrapper.last_stop_reason) == ("plain-1", "end_turn")
    with pytest.raises(AttributeError):
        wrapper.nothing  # noqa: B018


def test_a_wrapper_says_what_a_call_may_carry():
    wrapper = nested(Plain())
    assert wrapper.takes("generate", "max_tokens")
    assert not wrapper.takes("generate", "scope")
    assert not wrapper.takes("generate_with_tools", "tools")
    assert takes(nested(Native()), "generate", "anything")

    class Own(SyncWrapper):
        own_keywords = frozenset({"scope"})

    assert takes(SyncWrapper(Own(Plain())), "generate", "scope")


def test_what_is_not_taken_is_left_out():
    assert only_taken(Plain(), "generate", {"max_tokens": 1, "scope": 2}) == {"max_tokens": 1}
    assert only_taken(Plain(), "missing", {"max_tokens": 1}) == {}


def test_an_async_wrapper_does_the_same():
    wrapper = nested(Later(), kind=AsyncWrapper)
    assert is_async(wrapper)
    assert asyncio.run(wrapper.generate("hi", scope="s", temperature=1)) == "hi s 1"
    assert asyncio.run(wrapper.generate_with_tools("hi", tools=[2])) == [{"tools": [2]}]


@pytest.mark.parametrize("inner", [Plain, Native, Copied])
@pytest.mark.parametrize(
    "again", [copy.copy, copy.deepcopy, lambda it: pickle.loads(pickle.dumps(it))],
    ids=["copy", "deepcopy", "pickle"],
)  # fmt: skip
def test_a_copy_of_a_wrapper_is_a_wrapper(inner, again):
    other = again(SyncWrapper(inner()))
    assert type(other) is SyncWrapper
    assert other.model == "plain-1"


def test_a_scoped_backend_says_for_whom_it_asks_where_that_is_taken():
    backend = scoped(Native(), "tool:search")
    (block,) = backend.generate_with_tools("hi", tools=[])
    assert (block["scope"], block["purpose"]) == ("tool:search", "tool")
    assert backend.generate("hi", scope="own")["scope"] == "tool:search/own"
    assert backend.generate("hi", scope="tool:search")["scope"] == "tool:search"


def test_who_asks_is_a_path_that_only_wrappers_are_told():
    backend = scoped(scoped(Caller(), "tool:delegate", caller="3"), "tool:search", caller="1")
    assert backend.generate("hi") == {"scope": "tool:delegate/tool:search", "caller": "3/1"}
    takes_all = scoped(TakesAll(), "tool:search", caller="1")
    assert takes_all.generate("hi") == {"scope": "tool:search", "purpose": "tool"}
    assert scoped(Plain(), "tool:x").generate("hi") == "hi 1 0.0"
    assert asyncio.run(scoped(Later(), "tool:x").generate("hi")) == "hi tool:x 1"


def test_a_request_tells_what_is_asked_and_leaves_out_how():
    request = request_of(
        "generate",
        "hi",
        {"max_tokens": 3, "scope": "x", "cancel_token": 1, "top_p": 1, "seed": None},
    )
    assert request.params() == {"temperature": 0.2, "max_tokens": 3, "top_p": 1}


def test_messages_that_only_grow_are_named_and_not_copied():
    history = History()
    history.open("TASK")
    messages = history.messages()
    assert request_of("generate", "hi", {"messages": messages}).messages is messages
    given = [*messages]
    request = request_of("generate", "hi", {"messages": given})
    given.clear()
    assert request.messages == (*messages,)
