"""Hooks, bound once at the start of a run."""

from __future__ import annotations

import pytest

from looplet.core.listeners import SLOTS, bind


class Watcher:
    def on_event(self, payload): ...


class Before(Watcher):
    def pre_dispatch(self, *args): ...


class After(Watcher):
    def post_dispatch(self, *args): ...


@pytest.mark.parametrize("slot", SLOTS)
def test_a_method_is_found_under_its_slots_name(slot):
    hook = type("Hook", (), {slot: lambda self, *args, **keywords: slot})()
    (bound,) = getattr(bind([hook], asynchronous=False), slot)
    assert (bound.hook, bound.method()) == ("Hook", slot)


def test_hooks_keep_their_order():
    hooks = [Before(), Watcher(), After()]
    found = bind(hooks, asynchronous=False)
    assert [bound.method.__self__ for bound in found.on_event] == hooks


def test_a_hook_with_the_method_gets_no_event_for_it():
    found = bind([Before(), Watcher(), After()], asynchronous=False)
    assert [bound.hook for bound in found.before_tool] == ["Watcher", "After"]
    assert [bound.hook for bound in found.after_tool] == ["Before", "Watcher"]


@pytest.mark.parametrize(
    ("name", "words"), [("pre_promt", "did you mean 'pre_prompt'"), ("zzz", "pre_prompt")]
)
def test_a_hook_without_a_known_method_warns_and_guesses(name, words):
    hook = type("Useless", (), {name: lambda self: None})()
    with pytest.warns(UserWarning, match="Useless") as caught:
        bind([hook], asynchronous=False)
    assert words in str(caught[0].message)


@pytest.mark.parametrize("slot", SLOTS)
def test_the_sync_loop_refuses_an_async_method_by_name(slot):
    async def method(self, *args): ...

    hook = type("Hook", (), {slot: method})()
    with pytest.raises(TypeError, match=rf"Hook\.{slot}"):
        bind([hook], asynchronous=False)
    assert len(getattr(bind([hook], asynchronous=True), slot)) == 1


def test_check_done_is_given_the_call_only_if_it_takes_it():
    class Plain:
        def check_done(self, state, log, context, step_num): ...

    class Takes:
        def check_done(self, state, log, context, step_num, tool_call=None): ...

    class Anything:
        def check_done(self, *args, **keywords): ...

    found = bind([Plain(), Takes(), Anything()], asynchronous=False)
    assert found.done_takes_call == {1, 2}
