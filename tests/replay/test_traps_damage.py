"""Damaged files: an error that names the file, its bytes untouched, no live call, nothing lost."""

from __future__ import annotations

import json

import pytest

from looplet import LoopConfig, composable_loop, tools_from
from looplet.core.tools import tool
from looplet.errors import CassetteDamaged, CassetteError
from looplet.replay import fork, recover, replay, use_cassette
from looplet.replay.journal import journal_path, read_journal
from looplet.replay.playback import verify
from tests.replay.agents import agent, call, model

ALL_BITS = [1 << bit for bit in range(8)]


class Streaming:
    """A model that tells its reply in pieces."""

    model = "streaming-1"

    def __init__(self, *replies):
        self.replies = list(replies)

    def generate(
        self, prompt, *, max_tokens=2000, system_prompt="", temperature=0.2, on_chunk=None
    ):
        reply = self.replies.pop(0)
        for piece in (reply[:5], reply[5:]) if on_chunk else ():
            on_chunk(piece)
        return reply


class Listens:
    def on_chunk(self, text, step_num, attempt):
        """Make the model tell its pieces."""


def run(path, *, close=True):
    """A cassette of format 2 with a stream, tools, steps and a clock; or its journal."""

    @tool
    def price(fruit: str) -> dict:
        """Price it."""
        return {"euro": 0.4}

    with use_cassette(path, record_mode="all", tools="recorded") as cassette:
        llm = Streaming(call("price", fruit="pear"), call("done", summary="0.40"))
        steps = composable_loop(
            llm=cassette.wrap_llm(llm),
            tools=cassette.wrap_tools(tools_from([price], include_done=True)),
            config=cassette.wrap_config(LoopConfig(max_steps=3)),
            task="Price it",
            hooks=[Listens()],
        )
        assert len(list(steps)) == 2
        if not close:
            return journal_path(path).read_bytes()
    return path.read_bytes()


def test_every_truncation_is_noticed(path):
    whole = run(path)
    assert verify(path, whole) == 4
    for length in range(len(whole)):
        with pytest.raises(CassetteDamaged, match=r"run\.yaml"):
            verify(path, whole[:length])


def test_every_changed_byte_is_noticed(path):
    """One bit of every byte, and every bit of the footer, whose own text no hash covers."""
    whole = run(path)
    footer = whole.rindex(b"footer:")
    for place in range(len(whole)):
        for flip in (1 << place % 8,) if place < footer else ALL_BITS:
            changed = bytearray(whole)
            changed[place] ^= flip
            with pytest.raises(CassetteError, match=r"run\.yaml"):
                verify(path, bytes(changed))


def test_what_is_added_behind_is_noticed(path):
    whole = run(path)
    for more in (b"\n", b" ", b"#", whole):
        with pytest.raises(CassetteError, match=r"run\.yaml"):
            verify(path, whole + more)


def damaged(whole):
    middle = len(whole) // 2
    return {
        "cut short": whole[:middle],
        "a byte changed": whole[:middle] + bytes([whole[middle] ^ 1]) + whole[middle + 1 :],
        "nothing left": b"",
    }


@pytest.mark.parametrize("how", ["cut short", "a byte changed", "nothing left"])
@pytest.mark.parametrize("mode", ["none", "once", "new_episodes"])
def test_a_damaged_cassette_is_left_alone_and_nothing_is_asked(path, mode, how):
    bad = damaged(run(path))[how]
    path.write_bytes(bad)
    live = model()
    with (
        pytest.raises(CassetteDamaged, match=r"run\.yaml"),
        use_cassette(path, record_mode=mode) as cassette,
    ):
        cassette.wrap_llm(live).generate("a")
    for use in (
        lambda: replay(path, agent()),
        lambda: fork(path, at=1, agent=agent(), llm=live, into=path.with_name("b.yaml")),
    ):
        with pytest.raises(CassetteDamaged, match=r"run\.yaml"):
            use()
    assert live.calls == 0
    assert path.read_bytes() == bad
    assert [each.name for each in path.parent.iterdir()] == ["run.yaml"]


def journal_of(tmp_path):
    place = tmp_path / "run.yaml.journal"
    return place, run(tmp_path / "run.yaml", close=False)


def test_every_changed_byte_of_a_journal_is_noticed(tmp_path):
    place, whole = journal_of(tmp_path)
    place.write_bytes(whole)
    assert read_journal(place).count == 4
    for at in range(len(whole)):
        changed = bytearray(whole)
        changed[at] ^= 1 << at % 8
        with pytest.raises(CassetteError, match=r"run\.yaml\.journal"):
            read_journal(place, bytes(changed))


def test_every_bit_of_a_journals_line_ends_is_noticed(tmp_path):
    """A last line without its end looks like one that a killed process was writing."""
    place, whole = journal_of(tmp_path)
    for at in [at for at, byte in enumerate(whole) if byte == ord("\n")]:
        for flip in ALL_BITS:
            changed = bytearray(whole)
            changed[at] ^= flip
            with pytest.raises(CassetteDamaged, match=r"run\.yaml\.journal"):
                read_journal(place, bytes(changed))


def test_a_journal_cut_anywhere_has_every_call_whose_line_is_whole(tmp_path):
    place, whole = journal_of(tmp_path)
    lines = whole.split(b"\n")[:-1]
    ends = [sum(len(line) + 1 for line in lines[: n + 1]) for n in range(len(lines))]
    calls = [b'"looplet://' in line and b"/step" not in line for line in lines]
    for length in range(len(whole)):
        there = sum(is_call for end, is_call in zip(ends, calls, strict=True) if end <= length)
        assert read_journal(place, whole[:length]).count == there


@pytest.mark.parametrize("mode", ["once", "all"])
def test_a_damaged_journal_is_left_alone_and_nothing_is_asked(tmp_path, mode):
    place, whole = journal_of(tmp_path)
    (tmp_path / "run.yaml").unlink(missing_ok=True)
    bad = damaged(whole)["a byte changed"]
    place.write_bytes(bad)
    live = model()
    with (
        pytest.raises(CassetteDamaged, match=r"run\.yaml\.journal"),
        use_cassette(tmp_path / "run.yaml", record_mode=mode) as cassette,
    ):
        cassette.wrap_llm(live).generate("a")
    with pytest.raises(CassetteDamaged, match=r"run\.yaml\.journal"):
        recover(place, into=tmp_path / "other.yaml")
    assert live.calls == 0
    assert place.read_bytes() == bad
    assert [each.name for each in tmp_path.iterdir()] == ["run.yaml.journal"]


def test_a_journal_of_the_first_version_is_still_read(tmp_path):
    place, whole = journal_of(tmp_path)
    lines = [line.partition(b" ")[2] for line in whole.split(b"\n")[:-1]]
    head = json.loads(lines[0])
    head["looplet_journal"] = 1
    place.write_bytes(b"\n".join([json.dumps(head).encode(), *lines[1:], b""]))
    assert read_journal(place).count == 4
