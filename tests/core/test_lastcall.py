"""Whose call was the last."""

from __future__ import annotations

import asyncio
import gc
import threading
import weakref

from looplet.core.lastcall import CallOutcome, LastCall


def test_threads_and_tasks_see_their_own_last_call():
    last = LastCall()
    last.set(CallOutcome(stop_reason="mine"))
    seen = []
    thread = threading.Thread(target=lambda: seen.append(last.get().stop_reason))
    thread.start()
    thread.join()
    assert seen == [None]

    async def call(word):
        last.set(CallOutcome(stop_reason=word))
        await asyncio.sleep(0)
        return last.get().stop_reason

    async def both():
        return await asyncio.gather(call("one"), call("two"))

    assert asyncio.run(both()) == ["one", "two"]
    assert last.get().stop_reason == "mine"


def test_two_backends_do_not_share_an_outcome():
    one, two = LastCall(), LastCall()
    one.set(CallOutcome(stop_reason="one"))
    assert two.get().stop_reason is None
    one.clear()
    assert one.get() == CallOutcome()


def test_an_outcome_does_not_keep_its_backend_alive():
    last = LastCall()
    last.set(CallOutcome(stop_reason="end_turn"))
    gone = weakref.ref(last)
    del last
    gc.collect()
    assert gone() is None
