"""Cassettes as a user holds them: modes, damage, edits, size."""

import hashlib
import random
import sys
import threading

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from looplet.core.messages import CallRequest, ChatMessage
from looplet.errors import CassetteDamaged, CassetteError, CassetteMissing, MissingExtra
from looplet.replay import Divergence, accept_edit, use_cassette

ODD = st.text(
    alphabet=st.one_of(
        st.characters(codec=None, categories=None),
        st.sampled_from("\x00\t\r\n \x85\u2028\ud800:#-"),
    ),
    max_size=60,
)
JSONS = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | ODD,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(ODD, inner, max_size=3),
    max_leaves=6,
)
BLOCKS = st.lists(
    st.one_of(
        st.fixed_dictionaries({"type": st.just("text"), "text": ODD}),
        st.fixed_dictionaries(
            {
                "type": st.just("tool_use"),
                "id": ODD,
                "name": ODD,
                "input": st.dictionaries(ODD, JSONS, max_size=3),
            }
        ),
    ),
    max_size=3,
)


def record(path, model, prompts, **options):
    with use_cassette(path, record_mode="once", **options) as cassette:
        llm = cassette.wrap_llm(model)
        return [llm.generate(prompt) for prompt in prompts]


def replay(path, prompts):
    with use_cassette(path) as cassette:
        llm = cassette.wrap_llm(None)
        return [llm.generate(prompt) for prompt in prompts]


def break_while_recording(path, model, mode):
    with use_cassette(path, record_mode=mode) as cassette:
        cassette.wrap_llm(model).generate("a")
        raise KeyError("the agent broke")


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(calls=st.lists(st.tuples(ODD, ODD, ODD | BLOCKS), min_size=1, max_size=5))
def test_a_replay_answers_as_the_recording_did(tmp_path_factory, tool_model, calls):
    path = tmp_path_factory.mktemp("random") / "run.yaml"

    def ask(llm, prompt, system, reply):
        if isinstance(reply, list):
            return llm.generate_with_tools(prompt, tools=[{"name": "t"}], system_prompt=system)
        return llm.generate(prompt, system_prompt=system)

    with use_cassette(path, record_mode="once") as cassette:
        llm = cassette.wrap_llm(tool_model(*(reply for *_, reply in calls)))
        assert [ask(llm, *call) for call in calls] == [reply for *_, reply in calls]
    with use_cassette(path) as cassette:
        llm = cassette.wrap_llm(None)
        assert [ask(llm, *call) for call in calls] == [reply for *_, reply in calls]
        assert (cassette.played, cassette.unplayed) == (len(calls), 0)


def test_once_records_and_then_replays(path, model):
    live = model("one", "two")
    assert record(path, live, ["a", "b"]) == ["one", "two"]
    assert record(path, live, ["a", "b"]) == ["one", "two"]
    assert live.asked == ["a", "b"]


def test_once_with_a_cassette_adds_nothing(path, model):
    record(path, model("one"), ["a"])
    before, live = path.read_bytes(), model("two")
    with pytest.raises(Divergence):
        record(path, live, ["b"])
    assert live.asked == []
    assert path.read_bytes() == before


def test_none_never_asks_the_model_it_is_given(path, model):
    record(path, model("one"), ["a"])
    live = model("live")
    with use_cassette(path) as cassette:
        llm = cassette.wrap_llm(live)
        assert llm.generate("a") == "one"
        with pytest.raises(Divergence):
            llm.generate("b")
    assert live.asked == []


def test_all_replaces_the_cassette(path, model):
    record(path, model("one"), ["a"])
    with use_cassette(path, record_mode="all") as cassette:
        assert cassette.wrap_llm(model("two")).generate("b") == "two"
    assert replay(path, ["b"]) == ["two"]
    with pytest.raises(Divergence):
        replay(path, ["a"])


def test_a_rerecording_that_fails_leaves_the_old_cassette(path, model):
    record(path, model("one"), ["a"])
    before = path.read_bytes()
    with pytest.raises(KeyError) as caught:
        break_while_recording(path, model("two"), "all")
    assert path.read_bytes() == before
    journal = path.with_name("run.yaml.journal")
    assert str(journal) in caught.value.__notes__[0]
    assert '"two"' in journal.read_text()


def test_a_recording_without_calls_writes_nothing(path):
    with use_cassette(path, record_mode="once"):
        pass
    assert list(path.parent.iterdir()) == []


def test_a_first_recording_that_fails_is_kept_and_says_so(path, model):
    with pytest.raises(KeyError):
        break_while_recording(path, model("one"), "once")
    assert replay(path, ["a"]) == ["one"]
    with pytest.raises(Divergence) as caught:
        replay(path, ["a", "b"])
    assert "interrupted" in caught.value.__notes__[0]


def test_equal_requests_play_in_order_and_not_once_more(path, model):
    record(path, model("one", "two", "three"), ["a", "a", "a"])
    assert replay(path, ["a", "a", "a"]) == ["one", "two", "three"]
    with pytest.raises(Divergence, match="recorded 3 times and is asked once more"):
        replay(path, ["a"] * 4)


def test_a_missing_cassette_says_how_to_record(path):
    with pytest.raises(CassetteMissing, match=r"run\.yaml.*record_mode=\"once\""):
        replay(path, ["a"])
    assert not path.exists()


def test_an_unknown_mode_is_named(path):
    with (
        pytest.raises(CassetteError, match="'sometimes' is not known"),
        use_cassette(path, record_mode="sometimes"),
    ):
        pass


def test_metadata_and_hash_are_there_in_a_replay(path, model):
    about = {"task": "refund\n", "trial": 2, "odd": "\ud800"}
    with use_cassette(path, record_mode="once", metadata=about) as cassette:
        cassette.wrap_llm(model("one")).generate("a")
        assert cassette.recording
        assert cassette.content_hash is None
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    assert cassette.content_hash == digest
    with use_cassette(path) as cassette:
        assert cassette.metadata == about
        assert cassette.content_hash == digest
        assert (len(cassette), cassette.played, cassette.unplayed) == (1, 0, 1)
        assert cassette.path == path


def test_a_cassette_is_yaml_and_vcrpy_reads_it(path, model):
    import vcr.serialize
    from vcr.serializers import yamlserializer

    record(path, model("one\ntwo"), ["a"], metadata={"task": "t"})
    plain = yaml.safe_load(path.read_text())
    assert plain["version"] == 1
    assert plain["metadata"]["about"] == {"task": "t"}
    assert "      string: |-\n        one\n        two\n" in path.read_text()
    requests, responses, _ = vcr.serialize.deserialize(path.read_text(), yamlserializer)
    assert requests[0].uri == "looplet://main/generate"
    assert responses[0]["body"]["string"] == b"one\ntwo"


def test_a_damaged_cassette_is_not_recorded_over_in_once(path, model):
    path.write_bytes(b"")
    live = model("live")
    with pytest.raises(CassetteDamaged, match="is empty"):
        record(path, live, ["a"])
    assert live.asked == []
    assert path.read_bytes() == b""


def test_line_ends_of_another_system_are_no_damage(path, model):
    record(path, model("one\r\ntwo"), ["a"])
    path.write_bytes(path.read_bytes().replace(b"\n", b"\r\n"))
    assert replay(path, ["a"]) == ["one\r\ntwo"]


def test_an_unknown_format_is_refused_by_name(path, model):
    record(path, model("one"), ["a"])
    path.write_text(path.read_text().replace("looplet_format: 2", "looplet_format: 7"))
    with pytest.raises(CassetteError, match="format 7"):
        replay(path, ["a"])


def test_an_edited_reply_is_refused_until_it_is_accepted(path, model):
    record(path, model("the answer is 41"), ["a"])
    edited = path.read_text().replace("41", "42")
    path.write_text(edited)
    with pytest.raises(CassetteDamaged, match="looplet cassette accept"):
        replay(path, ["a"])
    assert accept_edit(path) == 1
    assert replay(path, ["a"]) == ["the answer is 42"]
    assert path.read_text().split("footer:")[0] == edited.split("footer:")[0]
    assert [each.name for each in path.parent.iterdir()] == ["run.yaml"]


@pytest.mark.parametrize(
    ("length", "named"), [(10, "request is not the one"), (400, "message .*eight.* was changed")]
)
def test_an_edited_request_is_not_accepted(path, model, length, named):
    question = "What is seven? " + "x" * length
    record(path, model("one"), [question])
    edited = path.read_text().replace("seven", "eight")
    path.write_text(edited)
    with pytest.raises(CassetteDamaged, match=f"interaction 1: .*{named}"):
        accept_edit(path)
    assert path.read_text() == edited
    assert [each.name for each in path.parent.iterdir()] == ["run.yaml"]


def test_two_threads_lose_nothing(path, model):
    class Echo:
        def generate(self, prompt, *, max_tokens=2000, system_prompt="", temperature=0.2):
            return f"{prompt} {random.random()}"

    given: dict[str, list[str]] = {}
    with use_cassette(path, record_mode="once") as cassette:
        llm = cassette.wrap_llm(Echo())

        def ask(name):
            given[name] = [llm.generate(f"{name} {n}", scope=name) for n in range(20)]

        threads = [threading.Thread(target=ask, args=(name,)) for name in ("one", "two")]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    with use_cassette(path) as cassette:
        llm = cassette.wrap_llm(None)
        for name, replies in given.items():
            assert [llm.generate(f"{name} {n}", scope=name) for n in range(20)] == replies
        assert cassette.unplayed == 0


def test_a_cassette_is_recorded_once_at_a_time(path, model):
    with use_cassette(path, record_mode="once") as cassette:
        with (
            pytest.raises(CassetteError, match="recorded already"),
            use_cassette(path, record_mode="all"),
        ):
            pass
        cassette.wrap_llm(model("one")).generate("a")
    assert replay(path, ["a"]) == ["one"]


def test_a_closed_cassette_asks_no_model(path, model):
    live = model("one")
    with use_cassette(path, record_mode="once") as cassette:
        llm = cassette.wrap_llm(live)
    with pytest.raises(CassetteError, match="closed"):
        llm.generate("a")
    assert live.asked == []


def grown_text(llm, steps):
    log = ""
    for step in range(steps):
        llm.generate(
            f"STEP {step + 1} of {steps}\nLOG\n{log}" + "Answer in JSON only, nothing else.\n" * 5
        )
        log += f"S{step} looked at shelf {step * 7919 % 1000} and found {step} pears on it.\n"


def grown_messages(llm, steps):
    history: tuple[ChatMessage, ...] = (ChatMessage(role="user", content="Count the pears."),)
    for step in range(steps):
        llm.generate("unused", messages=history, system_prompt="You count pears. " * 20)
        call = CallRequest(id=f"c{step}", name="shelf", input={"number": step})
        history += (
            ChatMessage(role="assistant", calls=(call,)),
            ChatMessage(role="tool", content=f"{step} pears", call_id=f"c{step}"),
        )


@pytest.mark.parametrize("run", [grown_text, grown_messages])
def test_the_file_grows_linearly_with_the_steps(tmp_path, model, monkeypatch, run):
    monkeypatch.setattr("os.fsync", lambda _: None)  # 600 flushes tell nothing here
    sizes = {}
    for steps in (200, 400):
        path = tmp_path / f"{steps}.yaml"
        with use_cassette(path, record_mode="once") as cassette:
            run(cassette.wrap_llm(model(*["ok"] * steps)), steps)
        sizes[steps] = path.stat().st_size
        with use_cassette(path) as cassette:
            run(cassette.wrap_llm(None), steps)
            assert cassette.unplayed == 0
    assert sizes[400] <= 2.2 * sizes[200]
    assert sizes[400] < 400 * 1200


def test_a_change_of_the_working_directory_moves_no_file(tmp_path, model, monkeypatch):
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path)
    with use_cassette("run.yaml", record_mode="once") as cassette:
        cassette.wrap_llm(model("one")).generate("a")
        monkeypatch.chdir(tmp_path / "elsewhere")
    assert [each.name for each in tmp_path.iterdir() if each.is_file()] == ["run.yaml"]
    with use_cassette(tmp_path / "run.yaml", record_mode="all") as cassette:
        cassette.wrap_llm(model("two")).generate("a")
    assert replay(tmp_path / "run.yaml", ["a"]) == ["two"]


@pytest.mark.parametrize("module", ["vcr", "yaml"])
def test_a_missing_package_is_named_with_its_remedy(path, model, monkeypatch, module):
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(MissingExtra, match=r"vcrpy.*looplet\[replay\]") as caught:
        record(path, model("one"), ["a"])
    assert module in str(caught.value.__cause__)  # vcrpy itself needs the other
    assert list(path.parent.iterdir()) == []
