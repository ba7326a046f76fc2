"""Whether two cassettes say the same, in whatever form."""

from __future__ import annotations

import pytest

from looplet import LoopConfig, composable_loop
from looplet.replay import use_cassette
from looplet.replay.persister import Serializer
from looplet.replay.playback import Player
from looplet.replay.sameness import says_the_same
from looplet.replay.serializer import loads
from tests.replay.agents import Desk, model


@pytest.fixture
def data(path):
    with (
        use_cassette(path, record_mode="once", tools="recorded") as cassette,
        cassette.ambient(),
    ):
        list(composable_loop(model(), "Price", Desk().tools(), config=LoopConfig(max_steps=9)))
    return loads(path.read_text("utf-8"))


def changed(path, data, change):
    change(data["interactions"])
    return Player(path, Serializer.serialize(data).encode())


def test_a_cassette_says_what_it_says(path, data):
    assert says_the_same(Player(path), changed(path, data, lambda calls: None))


@pytest.mark.parametrize(
    "change",
    [
        lambda calls: calls.pop(),
        lambda calls: calls.append(calls[-1]),
        lambda calls: calls[1]["request"]["headers"].update(step=["7"]),
        lambda calls: calls[1]["request"]["headers"].update(ordinal=["1"]),
        lambda calls: calls[1]["request"]["headers"].update(within=["0" * 16]),
        lambda calls: calls[1]["response"]["body"]["data"].update(euro=0.5),
        lambda calls: calls[0]["response"]["body"].update(string="{}"),
        lambda calls: calls[0]["response"].update(duration_ms=7),
        lambda calls: calls[0]["response"].update(runtime={"perf": "1 2"}),
        lambda calls: calls[2]["request"]["body"]["args"].update(fruit="fig"),
        lambda calls: calls[2]["response"]["body"]["of"].update(ordinal=1),
        lambda calls: calls[2]["request"]["headers"].update(key=["0" * 64]),
    ],
)
def test_whatever_changes_is_seen(path, data, change):
    assert not says_the_same(Player(path), changed(path, data, change))


def test_less_its_secrets_addresses_do_not_count_and_all_else_does(path, data):
    def hide(value):
        return value

    old = Player(path)
    renumbered = changed(
        path, data, lambda calls: calls[1]["request"]["headers"].update(ordinal=["1"])
    )
    assert says_the_same(old, renumbered, hide)
    priced = changed(path, data, lambda calls: calls[1]["response"]["body"]["data"].update(euro=2))
    assert not says_the_same(old, priced, hide)
