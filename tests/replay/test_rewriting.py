"""Cassettes written anew: smaller, in today's format, or without secrets."""

from __future__ import annotations

import base64
import json
import os
import re
import shutil
import tempfile
import warnings
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from looplet import LoopConfig, composable_loop, run_sub_loop, tool, tools_from
from looplet.core.tools import ToolContext
from looplet.errors import CassetteDamaged, CassetteError
from looplet.redaction import Redactor
from looplet.replay import (
    accept_edit,
    check_cassette,
    compact_cassette,
    read_trajectory,
    redact_cassette,
    replay_loops,
    rewriting,
    use_cassette,
)
from looplet.replay.journal import Journal, journal_path
from looplet.replay.outcomes import answer_of
from looplet.replay.persister import Serializer
from looplet.replay.playback import Player
from looplet.replay.requests import Asked, Packer, Unpacker
from looplet.replay.rewriter import plain
from looplet.replay.serializer import loads, storable
from looplet.testing import MockLLMBackend
from tests.replay.agents import call, model
from tests.trajectory.conftest import VALUES

FIXTURES = Path(__file__).resolve().parents[2] / "fixtures" / "cassettes" / "parcel_desk"
KEY = "canary-4711-key"
OTHER = "canary-0815-pin"


class Pieces:
    """A model that streams, with a secret split between two pieces; it can fail, too."""

    model = "streams"

    def __init__(self, *replies):
        self.replies = list(replies)
        self.last_usage = {"input_tokens": 7, "output_tokens": 3}

    def generate(self, prompt, *, system_prompt="", temperature=0.2, max_tokens=9, on_chunk=None):
        reply = self.replies.pop(0)
        if isinstance(reply, Exception):
            raise reply
        for start in range(0, len(reply), 9):
            if on_chunk is not None:
                on_chunk(reply[start : start + 9])
        return reply


class Hears:
    def on_chunk(self, text, step_num, attempt):
        pass


def desk(secret=KEY):
    @tool
    def open_door(key: str, ctx: ToolContext) -> dict:
        """Open it."""
        sure = ctx.llm.generate(f"May I use {secret}?")
        return {
            "opened": (key, {"with": secret}),
            "b": base64.b64encode(secret.encode()),
            "s": sure,
        }

    @tool
    def fail(key: str) -> dict:
        """Fail."""
        raise ValueError(f"{secret} does not fit {OTHER}")

    return tools_from([open_door, fail], include_done=True)


def script(secret=KEY):
    return [
        call("open_door", key=secret), f"Yes, {secret}.", call("fail", key=OTHER),
        call("done", summary=f"{secret} and {OTHER}"),
    ]  # fmt: skip


def run(llm, secret=KEY, **config):
    """Two loops; the second looks like the first."""
    steps = []
    for _ in range(2):
        task = {"goal": f"Open with {secret}", "at": (secret, 1)}
        config = LoopConfig(max_steps=9, system_prompt=f"Key: {secret}", hooks=[Hears()])
        steps.append(list(composable_loop(llm(), task, desk(secret), config=config)))
    return steps


def record(path, *, redact=False, tools="recorded", llm=lambda: Pieces(*script()), **options):
    with (
        use_cassette(path, record_mode="once", tools=tools, redact=redact, **options) as cassette,
        cassette.ambient(),
    ):
        run(llm)


def secrets():
    """One secret that is known by name, and one by its looks, which is numbered."""
    return Redactor(secrets={"key": KEY}, patterns={"pin": "canary-[0-9]{4}-pin"}, defaults=False)


def named():
    """Both by name: a tool that runs in a replay says its secrets anew."""
    return Redactor(secrets={"key": KEY, "pin": OTHER}, defaults=False)


def forms(secret):
    return (secret, base64.b64encode(secret.encode()).decode()[:12], secret.encode().hex())


def found_in(path, *secrets):
    text = path.read_text("utf-8")
    return [form for secret in secrets for form in forms(secret) if form in text]


# Without secrets


@pytest.mark.parametrize(("tools", "hide"), [("recorded", secrets), ("live", named)])
def test_secrets_are_taken_out_as_if_it_had_been_recorded_so(tmp_path, tools, hide):
    path, other = tmp_path / "run.yaml", tmp_path / "other.yaml"
    record(path, tools=tools, metadata={"door": KEY})
    record(other, tools=tools, metadata={"door": KEY}, redact=hide())
    assert found_in(path, KEY, OTHER)
    done = redact_cassette(path, hide())
    pin = "[REDACTED:pin-1]" if hide is secrets else "[REDACTED:pin]"
    assert (done.changed, done.placeholders) == (True, ("[REDACTED:key]", pin))
    assert found_in(path, KEY, OTHER) == []
    assert untimed(path) == untimed(other)
    assert check_cassette(path).whole
    # A replay works without the secret, unless a tool runs that needs it.
    for secret in (KEY,) if tools == "live" else (KEY, "[REDACTED:key]"):
        result = replay_loops(
            path, lambda secret=secret: run(Pieces, secret), tools=tools, redact=hide()
        )
        assert result.matches, str(result)


def untimed(path):
    """The cassette's text without what differs between any two recordings."""
    text = path.read_text("utf-8").split("footer:")[0]
    text = re.sub(
        r"^ +(duration_ms|started_ms|now|perf|ids|recorded|stream): .*\n",
        "",
        text,
        flags=re.MULTILINE,
    )
    return re.sub(r"^ +runtime:(?: \{\})?\n", "", text, flags=re.MULTILINE)


def test_a_secret_split_between_pieces_is_gone_and_the_pieces_stay_timed(path):
    record(path)
    before = [piece for call in streams(path) for piece in call]
    redact_cassette(path, secrets())
    after = streams(path)
    assert len([piece for call in after for piece in call]) == len(before)
    text = "".join(piece for call in after for _, piece in call)
    assert "[REDACTED:key]" in text
    assert "canary" not in text
    assert [at for at, _ in before] == [at for call in after for at, _ in call]
    for answer in answers(path):
        assert "".join(piece for _, piece in answer.pieces) in (answer.reply, "")


def answers(path):
    recorded = Player(path).recorded()
    return [answer_of(stored) for _, stored, method, _ in recorded if method == "generate"]


def streams(path):
    return [answer.pieces for answer in answers(path)]


def test_failures_and_blocks_lose_their_secrets_too(path, tool_model):
    blocks = [{"type": "tool_use", "id": "c1", "name": "find", "input": {KEY: [KEY]}}]
    tools = [{"name": "find", "description": f"Find {KEY}.", "input_schema": {"type": "object"}}]
    with use_cassette(path, record_mode="once", redact=False) as cassette:
        llm = cassette.wrap_llm(tool_model(blocks, ValueError(KEY, 3), OSError(2, KEY)))
        llm.generate_with_tools(KEY, tools=tools)
        for prompt in ("a", "b"):
            with pytest.raises((ValueError, OSError)):
                llm.generate(prompt)
    redact_cassette(path, secrets())
    assert found_in(path, KEY) == []
    with use_cassette(path, redact=secrets()) as cassette:
        llm = cassette.wrap_llm(None)
        (block,) = llm.generate_with_tools(KEY, tools=tools)
        assert block["input"] == {"[REDACTED:key]": ["[REDACTED:key]"]}
        with pytest.raises(ValueError, match="REDACTED:key"):
            llm.generate("a")
        with pytest.raises(OSError, match="REDACTED:key"):
            llm.generate("b")


def test_calls_that_ask_the_same_without_their_secrets_are_numbered_as_they_began(path):
    asks = [f"hello {each}" for each in ("canary-0001-pin", "canary-0001-pin", "canary-0002-pin")]
    with use_cassette(path, record_mode="once", redact=False) as cassette:
        llm = cassette.wrap_llm(MockLLMBackend(["one", "two", "three"]))
        for each in asks:
            llm.generate(each)
    hide = Redactor(
        function=lambda text: re.sub("canary-[0-9]{4}-pin", "PIN", text), defaults=False
    )
    redact_cassette(path, hide)
    with use_cassette(path, redact=hide) as cassette:
        llm = cassette.wrap_llm(None)
        assert [llm.generate(each) for each in asks] == ["one", "two", "three"]


def test_secrets_in_what_a_provider_says_and_in_a_lane_are_gone(path, model):
    backend = model("ok")
    backend._answer = lambda prompt: (
        setattr(backend, "last_stop_reason", KEY)
        or setattr(backend, "last_usage", {KEY: 1})
        or "ok"
    )
    with use_cassette(path, record_mode="once", redact=False) as cassette:
        cassette.wrap_llm(backend, lane=f"of {KEY}").generate("hello")
    redact_cassette(path, secrets())
    assert found_in(path, KEY) == []
    with use_cassette(path) as cassette:
        llm = cassette.wrap_llm(None, lane="of [REDACTED:key]")
        assert (llm.generate("hello"), llm.last_stop_reason) == ("ok", "[REDACTED:key]")


def test_secrets_are_numbered_as_a_replay_sees_them_run_after_run(path):
    """The pin of the second run's task is first seen after all of the first run."""
    pins = ("canary-0001-pin", "canary-0002-pin")

    def loops(ask):
        first = [call("done", summary=pins[0])]
        second = [call("done", summary="over")]
        tools = tools_from([], include_done=True)
        return [
            list(composable_loop(ask(first), "Say a pin", tools)),
            list(composable_loop(ask(second), f"Forget {pins[1]}", tools)),
        ]

    with use_cassette(path, record_mode="once", redact=False) as cassette, cassette.ambient():
        loops(model)
    redact_cassette(path, secrets())
    with use_cassette(path) as cassette:
        assert cassette.runs[1].task == {"description": "Forget [REDACTED:pin-2]"}
    result = replay_loops(path, lambda: loops(lambda _: model([])), tools="live", redact=secrets())
    assert result.matches, str(result)


def test_where_nothing_is_found_the_file_is_left(path):
    record(path)
    path.write_bytes(path.read_bytes().replace(b"\n", b"\r\n"))  # it could be written smaller
    before = path.read_bytes()
    done = redact_cassette(path, Redactor(secrets=["nobody-says-this"], defaults=False))
    assert (done.changed, done.before, done.after) == (False, len(before), len(before))
    assert path.read_bytes() == before


def test_taking_secrets_out_twice_changes_nothing_more(path):
    record(path)
    redact_cassette(path, secrets())
    once = path.read_bytes()
    assert not redact_cassette(path, secrets()).changed
    assert path.read_bytes() == once


def test_an_edited_cassette_is_said_to_be_mended(path):
    record(path)
    text = path.read_text("utf-8")
    edited = text.replace("does not fit", "did not fit", 1)
    path.write_text(edited, "utf-8")
    accept_edit(path)
    (problem,) = check_cassette(path).problems
    assert redact_cassette(path, secrets()).mended == (problem,)
    assert check_cassette(path).whole
    assert "did not fit" in path.read_text("utf-8")


class Delegates:
    """A tool with a loop in it, whose own tool asks the model: three levels of calls."""

    @staticmethod
    def tools():
        @tool
        def look(key: str, ctx: ToolContext) -> dict:
            """Look."""
            return {"seen": ctx.llm.generate(f"Look for {key}")}

        @tool
        def delegate(key: str, ctx: ToolContext) -> dict:
            """Have it done."""
            own = tools_from([look], include_done=True)
            return {"answer": run_sub_loop(ctx.llm, f"Find {key}", own)["summary"]}

        return tools_from([delegate], include_done=True)


def test_calls_inside_of_a_tool_still_belong_to_it(path):
    replies = [
        call("delegate", key=KEY), call("look", key=KEY), "seen", call("done", summary="there"),
        call("done", summary="found"),
    ]  # fmt: skip

    def loop(llm):
        return list(composable_loop(llm, f"Find {KEY}", Delegates.tools(), max_steps=5))

    with (
        use_cassette(path, record_mode="once", tools="recorded", redact=False) as cassette,
        cassette.ambient(),
    ):
        loop(model(replies))
    redact_cassette(path, secrets())
    assert found_in(path, KEY) == []
    inside = [request.headers.get("within") for request, *_ in Player(path).recorded()]
    named = {
        request.headers["key"][:16]
        for request, _, method, _ in Player(path).recorded()
        if method == "dispatch"
    }
    assert {each.partition(".")[0] for each in inside if each} <= named
    assert len([each for each in inside if each]) >= 3
    assert replay_loops(path, lambda: loop(model([])), redact=secrets()).matches


def test_calls_inside_of_tools_that_are_asked_the_same_now_belong_to_each_still(path):
    pins = ("canary-0001-pin", "canary-0002-pin")

    @tool
    def enter(pin: str, ctx: ToolContext) -> dict:
        """Enter it."""
        return {"may": ctx.llm.generate(f"May I use {pin}?")}

    def loop(llm):
        return list(composable_loop(llm, "Enter", tools_from([enter], include_done=True)))

    replies = [
        call("enter", pin=pins[0]), "yes", call("enter", pin=pins[1]), "no",
        call("done", summary="over"),
    ]  # fmt: skip
    with (
        use_cassette(path, record_mode="once", tools="recorded", redact=False) as cassette,
        cassette.ambient(),
    ):
        loop(model(replies))
    hide = Redactor(
        function=lambda text: re.sub("canary-[0-9]{4}-pin", "PIN", text), defaults=False
    )
    redact_cassette(path, hide)
    inside = [request.headers.get("within") for request, *_ in Player(path).recorded()]
    first, second = [each for each in inside if each]
    assert second == f"{first}.1"
    assert replay_loops(path, lambda: loop(model([])), redact=hide).unplayed == 0


@settings(max_examples=40)
@given(values=st.lists(VALUES, min_size=1, max_size=3), live=st.booleans())
@example(values=[{KEY: (KEY, {KEY.encode()})}], live=False)
def test_whatever_a_tool_takes_and_gives_is_rewritten_as_it_was(values, live):
    """Compacting changes nothing; taking a secret out that is not there neither."""

    @tool
    def find(n: int) -> dict:
        """Find it."""
        return {"found": values[n], "key": KEY}

    def loop(llm):
        return list(composable_loop(llm, "Find", tools_from([find], include_done=True)))

    replies = [*(call("find", n=n) for n in range(len(values))), call("done", summary="found")]
    mode = "live" if live else "recorded"
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        path = Path(folder, "run.yaml")
        with (
            use_cassette(path, record_mode="once", tools=mode, redact=False) as cassette,
            cassette.ambient(),
        ):
            loop(model(replies))
        before = path.read_bytes()
        compact_cassette(path)
        assert path.read_bytes() == before
        hide = Redactor(secrets={"key": KEY}, defaults=False)
        assert redact_cassette(path, hide).changed
        assert found_in(path, KEY)[:1] == []
        assert check_cassette(path).whole
        if not live:
            assert replay_loops(path, lambda: loop(model([])), redact=hide).matches


# Compacting


def test_a_fresh_cassette_is_in_its_smallest_form(path):
    record(path)
    before = path.read_bytes()
    assert not compact_cassette(path).changed
    assert path.read_bytes() == before


@pytest.mark.parametrize("name", sorted(each.name for each in FIXTURES.glob("*.yaml")))
def test_a_cassette_of_format_1_gets_todays_and_says_the_same(tmp_path, name):
    path = tmp_path / name
    shutil.copy(FIXTURES / name, path)
    old = read_trajectory(path)
    assert "looplet_format: 1" in path.read_text("utf-8")
    done = compact_cassette(path)
    assert done.changed
    assert "looplet_format: 2" in path.read_text("utf-8")
    assert done.after <= done.before
    new = read_trajectory(path)
    assert [each.key for each in new.llm_calls] == [each.key for each in old.llm_calls]
    assert [each.response for each in new.llm_calls] == [each.response for each in old.llm_calls]
    assert new.metadata == old.metadata


def test_a_cassette_in_a_wordy_form_gets_smaller(path):
    """As somebody else might have written it: each request and each backend in full."""
    long = "The history so far. " * 200
    with use_cassette(path, record_mode="once") as cassette:
        for lane in ("one", "two"):
            llm = cassette.wrap_llm(MockLLMBackend(["ok"]), lane=lane)
            for n in range(4):
                llm.generate(f"{long}{n}")
    small = path.read_bytes()
    wordy = _wordy(path)
    assert len(wordy) > 2 * len(small)
    path.write_bytes(wordy)
    done = compact_cassette(path)
    assert (done.changed, done.before, done.after) == (True, len(wordy), len(small))
    assert path.read_bytes() == small


def _wordy(path):
    data = loads(path.read_text("utf-8"))
    whole = [
        (each, what)
        for each, (*_, what) in zip(data["interactions"], Player(path).recorded(), strict=True)
    ]
    for each, what in whole:
        body = Packer().pack("main", what)
        body["messages"] = [message.to_dict() for message in what.messages]
        each["request"]["body"] = body
    data["metadata"]["lanes"] = storable(dict(Player(path).lanes))
    return Serializer.serialize(data).encode()


def test_a_checkout_with_other_line_ends_is_written_with_ours(path):
    record(path)
    before = path.read_bytes()
    path.write_bytes(before.replace(b"\n", b"\r\n"))
    assert compact_cassette(path).changed
    assert path.read_bytes() == before


def test_a_broken_off_recording_stays_marked(path):
    def stops():
        with use_cassette(path, record_mode="once") as cassette:
            cassette.wrap_llm(MockLLMBackend(["ok"])).generate(KEY)
            raise KeyError("stop")

    with pytest.raises(KeyError):
        stops()
    compact_cassette(path)
    redact_cassette(path, secrets())
    assert Player(path).interrupted


# What could be lost


def leave_journal(path, calls=None):
    """The journal of a recording that was killed right before it was removed."""
    journal = Journal(journal_path(path), metadata={})
    for request, stored, *_ in Player(path).recorded():
        headers = {name: str(request.headers[name]) for name in request.headers}
        told = {"uri": request.uri, "headers": headers, "body": {}, "response": plain(stored)}
        journal.append(told)
    for each in calls or ():
        journal.append(each)
    journal.close()


NEW = {"uri": "looplet://main/generate", "headers": {"key": "0" * 64}, "body": {}, "response": {}}


def test_a_journal_that_is_whole_in_the_cassette_is_removed(path):
    record(path)
    leave_journal(path)
    shutil.copy(journal_path(path), f"{path}.journal.1")
    done = compact_cassette(path)
    assert {each.name for each in done.removed} == {"run.yaml.journal", "run.yaml.journal.1"}
    assert [each.name for each in path.parent.iterdir()] == ["run.yaml"]


@pytest.mark.parametrize(
    "rewrite", [compact_cassette, lambda path: redact_cassette(path, secrets())]
)
def test_a_journal_with_more_in_it_is_left_and_named(path, rewrite):
    record(path)
    leave_journal(path, [NEW])
    for number, text in enumerate(("no journal\n", "nor this", "")):
        Path(f"{path}.journal.{number}").write_text(text)
    before = journal_path(path).read_bytes()
    done = rewrite(path)
    assert {each.name for each in done.left} == {
        "run.yaml.journal", *(f"run.yaml.journal.{number}" for number in range(3)),
    }  # fmt: skip
    assert journal_path(path).read_bytes() == before


def test_redacting_removes_a_journal_that_is_whole_in_it(path):
    record(path)
    leave_journal(path)
    assert len(redact_cassette(path, secrets()).removed) == 1
    assert not journal_path(path).exists()


def test_a_damaged_journal_is_left(path):
    record(path)
    leave_journal(path)
    journal = journal_path(path)
    journal.write_bytes(journal.read_bytes().replace(b"canary", b"kanary", 1))
    assert compact_cassette(path).left == (journal,)
    assert journal.exists()


def test_a_cassette_that_is_being_recorded_is_left_alone(path):
    record(path)
    before = path.read_bytes()
    with use_cassette(path, record_mode="all") as cassette:
        cassette.wrap_llm(MockLLMBackend(["ok"])).generate("hello")
        for rewrite in (compact_cassette, lambda path: redact_cassette(path, secrets())):
            with pytest.raises(CassetteError, match="is in use"):
                rewrite(path)
        assert path.read_bytes() == before


@pytest.mark.parametrize(
    "rewrite", [compact_cassette, lambda path: redact_cassette(path, secrets())]
)
def test_a_damaged_cassette_is_refused_and_left(path, rewrite):
    record(path)
    data = path.read_bytes()
    for broken in (data[:-1], data[: len(data) // 2], data.replace(b"canary", b"kanary", 1), b""):
        path.write_bytes(broken)
        with pytest.raises(CassetteDamaged):
            rewrite(path)
        assert path.read_bytes() == broken


@pytest.mark.parametrize(
    "rewrite", [compact_cassette, lambda path: redact_cassette(path, secrets())]
)
def test_a_new_file_that_does_not_say_the_same_is_not_kept(path, rewrite, monkeypatch):
    """A fault in the writer, put there on purpose: it loses an interaction, or a reply."""
    record(path)
    path.write_bytes(path.read_bytes().replace(b"\n", b"\r\n"))
    before = path.read_bytes()
    written = rewriting.Rewriter.written

    def faulty(change):
        def write(self):
            calls, metadata = written(self)
            return change(calls), metadata

        return write

    def swaps(calls):
        named = [each["response"] for each in calls if "of" in each["response"]["body"]]
        named[0]["body"], named[-1]["body"] = named[-1]["body"], named[0]["body"]
        return calls

    def answers_otherwise(calls):
        calls[0]["response"]["body"] = {"string": "something else"}
        return calls

    def asks_otherwise(calls):
        asked = [(n, what) for n, (*_, what) in enumerate(Player(path).recorded())
                 if isinstance(what, Asked)]  # fmt: skip
        place, what = asked[-1]
        body = Packer().pack("main", what) | {"model": "another"}
        calls[place]["headers"]["key"] = Unpacker().unpack("main", what.method, body).key
        calls[place]["body"] = body
        return calls

    faults = (swaps, answers_otherwise, asks_otherwise, lambda calls: calls[:-1])
    for fault in map(faulty, faults):
        monkeypatch.setattr(rewriting.Rewriter, "written", fault)
        with pytest.raises(CassetteError, match="left as it was"):
            rewrite(path)
        assert path.read_bytes() == before
    assert [each.name for each in path.parent.iterdir()] == ["run.yaml"]


def test_a_disk_that_is_full_loses_nothing(path, monkeypatch):
    record(path)
    before = path.read_bytes()

    def full(_handle):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        redact_cassette(path, secrets())
    assert path.read_bytes() == before
    assert [each.name for each in path.parent.iterdir()] == ["run.yaml"]


def test_rewriting_says_how_much_it_did(path):
    record(path)
    done = redact_cassette(path, secrets())
    assert (done.before, done.after) != (0, 0)
    assert done.after == len(path.read_bytes())
    assert done.calls == len(Player(path))
    assert json.dumps(done.placeholders)
