"""Record modes, and what becomes of the file."""

from __future__ import annotations

import multiprocessing

import httpx2
import pytest

from looplet.errors import CassetteError, CassetteMissing
from looplet.replay import Divergence
from looplet.replay.http import use_cassette
from tests.replay.http.clients import post, record, text_of
from tests.servers import completion


def test_a_missing_cassette_names_the_file_and_nothing_is_asked(server, path):
    missing = pytest.raises(CassetteMissing, match=r"fruit\.yaml.*record_mode=\"once\"")
    with missing, use_cassette(path):
        post(server.chat, {})
    assert server.connections == 0
    assert not path.exists()


def test_an_unknown_mode_is_refused(path):
    unknown = pytest.raises(CassetteError, match="'sometimes' is not known")
    with unknown, use_cassette(path, record_mode="sometimes"):
        pass


def test_once_replays_what_is_there_and_records_nothing_more(server, path):
    record(path, server, {"n": 1})
    before = path.read_bytes()
    with use_cassette(path, record_mode="once") as cassette:
        assert not cassette.recording
        post(server.chat, {"n": 1})
        with pytest.raises(Divergence):
            post(server.chat, {"n": 2})
    assert path.read_bytes() == before
    assert len(server.bodies) == 1


@pytest.mark.parametrize("mode", ["all", "rewrite"])
def test_a_recording_anew_replaces_the_cassette_when_the_block_ends_well(mode, server, path):
    record(path, server, {"n": 1}, {"n": 2})
    with use_cassette(path, record_mode=mode):
        post(server.chat, {"n": 2})
        post(server.chat, {"n": 3})
    assert len(server.bodies) == 4
    with use_cassette(path) as cassette:
        post(server.chat, {"n": 3})
        post(server.chat, {"n": 2})
        assert len(cassette) == 2


@pytest.mark.parametrize("mode", ["all", "rewrite", "new_episodes"])
@pytest.mark.parametrize("error", [ZeroDivisionError, KeyboardInterrupt])
def test_a_failed_block_leaves_the_cassette_and_keeps_what_it_recorded(mode, error, server, path):
    record(path, server, {"n": 1})
    before = path.read_bytes()

    def fail():
        with use_cassette(path, record_mode=mode):
            post(server.chat, {"n": 2})
            raise error

    with pytest.raises(error) as caught:
        fail()
    assert path.read_bytes() == before
    assert any("fruit.yaml.partial" in note for note in caught.value.__notes__)
    path.with_name("fruit.yaml.partial").replace(path)
    with use_cassette(path) as cassette:
        post(server.chat, {"n": 2})
    assert cassette.played == 1


def test_a_first_recording_that_fails_makes_no_cassette(server, path):
    def fail():
        with use_cassette(path, record_mode="once"):
            post(server.chat, {"n": 1})
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert not path.exists()


def test_a_block_that_fails_without_a_request_leaves_nothing(path):
    with pytest.raises(ZeroDivisionError), use_cassette(path, record_mode="once"):
        raise ZeroDivisionError
    assert not path.parent.exists()


def test_new_episodes_plays_what_is_there_and_adds_what_is_not(server, path):
    server.says(*(completion(str(number)) for number in range(1, 9)))
    record(path, server, {"n": 1}, {"n": 2})
    with use_cassette(path, record_mode="new_episodes") as cassette:
        said = [text_of(post(server.chat, {"n": n})) for n in (1, 2, 3)]
    assert said == ["1", "2", "3"]
    assert (cassette.played, cassette.recorded, len(server.bodies)) == (2, 1, 3)
    with use_cassette(path) as cassette:
        assert [text_of(post(server.chat, {"n": n})) for n in (1, 2, 3)] == said


def test_new_episodes_mixes_no_old_answer_in_behind_a_change(server, path):
    server.says(*(completion(str(number)) for number in range(1, 9)))
    record(path, server, {"n": 1}, {"n": 2}, {"n": 3}, {"n": 4})
    bodies = [{"n": 1}, {"n": "changed"}, {"n": 3}]
    with use_cassette(path, record_mode="new_episodes"):
        said = [text_of(post(server.chat, body)) for body in bodies]
    assert said == ["1", "5", "6"]
    with use_cassette(path) as cassette:
        again = [text_of(post(server.chat, body)) for body in bodies]
        assert again == said
        assert cassette.unplayed == 2  # the second and the fourth, which others may ask
        assert text_of(post(server.chat, {"n": 4})) == "4"


def test_new_episodes_without_news_leaves_the_file_alone(server, path):
    record(path, server, {"n": 1})
    before = path.stat()
    with use_cassette(path, record_mode="new_episodes") as cassette:
        post(server.chat, {"n": 1})
    assert (path.stat().st_ino, path.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)
    assert cassette.content_hash is not None


def test_a_cassette_is_not_replaced_by_an_empty_one(server, path):
    record(path, server, {"n": 1})
    before = path.read_bytes()
    unseen = pytest.raises(CassetteError, match="no request was seen")
    with unseen, use_cassette(path, record_mode="rewrite"):
        pass
    assert path.read_bytes() == before


def test_a_block_without_a_request_is_recorded_and_replayed(path):
    for mode in ("once", "none"):
        with use_cassette(path, record_mode=mode) as cassette:
            assert len(cassette) == 0
    with use_cassette(path), pytest.raises(Divergence, match="nothing was recorded"):
        httpx2.get("http://127.0.0.1:9/")


def _record_slowly(path, url, opened, go, out):
    try:
        with use_cassette(path, record_mode="once"):
            opened.set()
            go.wait(60)
            post(url, {"n": 1})
        out.put("written")
    except CassetteError as error:
        out.put(str(error))


def test_two_processes_that_record_one_cassette_lose_nothing(server, path):
    context = multiprocessing.get_context("fork")
    go, out = context.Event(), context.Queue()
    opened = [context.Event(), context.Event()]
    workers = [
        context.Process(target=_record_slowly, args=(path, server.chat, each, go, out))
        for each in opened
    ]
    for worker in workers:
        worker.start()
    assert all(each.wait(60) for each in opened)
    go.set()
    said = sorted([out.get(timeout=60), out.get(timeout=60)])
    for worker in workers:
        worker.join()
    assert said[1] == "written"
    assert "was written by somebody else" in said[0]
    assert path.with_name("fruit.yaml.partial").exists()
    with use_cassette(path) as cassette:
        assert len(cassette) == 1
