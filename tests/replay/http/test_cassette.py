"""Requests recorded from a real server, and replayed without it."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import json
import threading
import time

import httpx2
import openai
import pytest

from looplet.errors import CassetteError
from looplet.replay import Divergence
from looplet.replay.http import HttpCassette, use_cassette
from tests.replay.http.clients import CLIENTS, KEY, MESSAGES, in_thread, post, record, text_of
from tests.servers import Answer, completion


def test_every_client_is_recorded_and_replayed_without_a_connection(client, server, path):
    url = server.chat
    server.says(completion("a pear"), completion("an apple"))
    with use_cassette(path, record_mode="once") as cassette:
        assert cassette.recording
        first = [post(url, {"n": n}, client=client) for n in (1, 2)]
    assert (len(cassette), cassette.recorded, cassette.played) == (2, 2, 0)
    made, asked = server.connections, len(server.bodies)
    assert asked == 2
    with use_cassette(path) as cassette:
        again = [post(url, {"n": n}, client=client) for n in (1, 2)]
    assert [(each.status, each.json) for each in again] == [
        (each.status, each.json) for each in first
    ]
    assert (len(cassette), cassette.played, cassette.unplayed) == (2, 2, 0)
    assert not cassette.recording
    assert (server.connections, len(server.bodies)) == (made, asked)


def test_the_sdk_is_recorded_and_replayed_without_key_and_connection(sdk, server, path):
    server.says(completion("A pear costs 0.40."))
    with use_cassette(path, record_mode="once"):
        recorded = sdk.ask(server.url)
    made = server.connections
    with use_cassette(path):
        assert sdk.ask(server.url, key="no key") == recorded == "A pear costs 0.40."
    assert server.connections == made
    assert KEY.encode() not in path.read_bytes()


def test_one_changed_word_of_a_prompt_is_a_divergence_that_shows_it(sdk, server, path):
    with use_cassette(path, record_mode="once"):
        sdk.ask(server.url)
    made = server.connections
    changed = [{**MESSAGES[0], "content": "You are a sloppy clerk. " * 9}, MESSAGES[1]]
    with use_cassette(path) as cassette, pytest.raises(Divergence) as caught:
        sdk.ask(server.url, messages=changed)
    assert server.connections == made
    assert cassette.divergence is caught.value
    assert caught.value.call == 1
    assert caught.value.cassette == str(path)
    assert "body.messages[0].content" in caught.value.diff
    assert "careful" in caught.value.diff
    assert "sloppy" in caught.value.diff
    assert 'record_mode="rewrite"' in str(caught.value)


def test_a_divergence_survives_code_that_catches_exceptions_and_tries_again(server, path):
    record(path, server, {"n": 1})
    tries = []

    def stubborn():
        while len(tries) < 5:
            tries.append(1)
            with contextlib.suppress(Exception):
                post(server.chat, {"n": 2})

    with use_cassette(path), pytest.raises(Divergence):
        stubborn()
    assert len(tries) == 1


def test_a_divergence_in_another_thread_ends_the_block(server, path):
    record(path, server, {"n": 1})

    def work():
        with contextlib.suppress(BaseException):
            post(server.chat, {"n": 2})

    with pytest.raises(Divergence), use_cassette(path):
        in_thread(work)


def test_equal_requests_are_answered_in_the_order_of_the_recording(server, path):
    server.says(*(completion(word) for word in ("one", "two", "three")))
    record(path, server, {"n": 1}, {"n": 1}, {"n": 1})
    url = server.chat
    with use_cassette(path) as cassette:
        said = [text_of(post(url, {"n": 1})) for _ in range(3)]
        with pytest.raises(Divergence, match="recorded 3 times, and is asked once more"):
            post(url, {"n": 1})
    assert said == ["one", "two", "three"]
    assert cassette.unplayed == 0


def test_the_last_answer_is_repeated_where_that_is_allowed(server, path):
    server.says(completion("one"), completion("two"))
    record(path, server, {"n": 1}, {"n": 1})
    with use_cassette(path, allow_playback_repeats=True) as cassette:
        said = [text_of(post(server.chat, {"n": 1})) for _ in range(4)]
    assert said == ["one", "two", "two", "two"]
    assert (cassette.played, cassette.unplayed) == (4, 0)


def test_threads_share_out_the_answers(server, path):
    count = [0]
    lock = threading.Lock()

    def answer(_body):
        with lock:
            count[0] += 1
            return Answer(body=completion(f"answer {count[0]}"))

    server.answer = answer
    url = server.chat

    def all_at_once(number):
        said = []
        threads = [
            threading.Thread(target=lambda: said.append(post(url, {"n": 1}).json))
            for _ in range(number)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return sorted(each["choices"][0]["message"]["content"] for each in said)

    with use_cassette(path, record_mode="once"):
        recorded = all_at_once(16)
    assert len(set(recorded)) == 16
    for _ in range(3):
        with use_cassette(path):
            assert all_at_once(16) == recorded
    assert count[0] == 16


def test_what_a_client_does_to_an_answer_changes_no_later_play(server, path):
    server.says(Answer(events=[{"a": 1}]))  # http.client takes out the header of chunks
    record(path, server, {"n": 1})
    with use_cassette(path, allow_playback_repeats=True):
        post(server.chat, {"n": 1}, client=CLIENTS["http.client"])
        assert post(server.chat, {"n": 1}).headers["transfer-encoding"] == "chunked"


def test_one_request_at_a_time_is_looked_up(server, path):
    inside, most = [], []

    def look(text):
        inside.append(text)
        most.append(len(inside))
        time.sleep(0.001)
        inside.pop()
        return text

    record(path, server, *({"n": n} for n in range(4)))
    with use_cassette(path, redact=look):
        threads = [threading.Thread(target=post, args=(server.chat, {"n": n})) for n in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert max(most) == 1
    assert len(most) > 4


@pytest.mark.parametrize(
    "change",
    [
        {"body": {"b": [1, {"y": 2, "x": 1}], "a": "é"}},
        {"raw": b'{ "b": [1, {"x": 1, "y": 2}],\n "a": "\\u00e9"}'},
        {"content_encoding": "gzip"},
        {"headers": {"authorization": "Bearer other", "x_trace": "17", "user_agent": "me"}},
    ],
    ids=["order of keys", "spaces and escapes", "compressed", "headers"],
)
def test_what_means_the_same_matches(change, server, path):
    body = {"a": "é", "b": [1, {"x": 1, "y": 2}]}
    record(path, server, body)
    raw = change.get("raw") or json.dumps(change.get("body", body)).encode()
    headers = dict(change.get("headers", {}))
    if "content_encoding" in change:
        raw, headers["content_encoding"] = gzip.compress(raw), "gzip"
    with use_cassette(path) as cassette:
        assert post(server.chat, raw, **headers).status == 200
    assert cassette.played == 1


@pytest.mark.parametrize(
    ("changed", "shown"),
    [
        ({"method": "PUT"}, "method: POST → PUT"),
        ({"place": "/completions?a=1"}, "address: "),
        ({"place": "/chat/completions?a=2"}, "a=2"),
        ({"place": "/chat/completions"}, "address: "),
        ({"host": "localhost"}, "localhost"),
        ({"body": {"n": 1.5}}, "body.n: '1' → '1.5'"),
        ({"body": {"n": 1, "m": "new"}}, "body.m: is new: 'new'"),
        ({"body": {}}, "body.n: was recorded and is not asked"),
        ({"body": "n"}, "body: is new"),
    ],
)
def test_what_differs_is_a_divergence_that_names_it(changed, shown, server, path):
    def ask(*, method="POST", host="127.0.0.1", place="/chat/completions?a=1", body=None):
        url = server.url.replace("127.0.0.1", host) + place
        raw = json.dumps({"n": 1} if body is None else body)
        httpx2.request(method, url, content=raw, headers={"content-type": "application/json"})

    with use_cassette(path, record_mode="once"):
        ask()
    with use_cassette(path), pytest.raises(Divergence) as caught:
        ask(**changed)
    assert shown in caught.value.diff


def test_the_nearest_recording_is_shown(server, path):
    record(path, server, {"q": "pears", "n": 1}, {"q": "apples", "n": 2}, {"q": "plums", "n": 3})
    with use_cassette(path), pytest.raises(Divergence) as caught:
        post(server.chat, {"q": "apple", "n": 2})
    assert caught.value.diff == "body.q: 'apples' → 'apple'"


@pytest.mark.parametrize("status", [429, 500, 503, 408])
@pytest.mark.parametrize("told", [{}, {"retry-after": "20"}, {"retry-after-ms": "9000"}])
def test_a_recorded_failure_is_replayed_without_sleeping(
    status, told, sdk, server, path, monkeypatch
):
    slept = []

    async def sleep_async(seconds, *_):
        slept.append(seconds)

    # The recording need not wait either; what is asked of both is looked at in the replay.
    monkeypatch.setattr(time, "sleep", slept.append)
    monkeypatch.setattr("anyio.sleep", sleep_async)
    error = Answer(status=status, body={"error": {"message": "slow down"}}, headers=told)
    server.says(error, error, completion("at last"))
    with use_cassette(path, record_mode="once"):
        assert sdk.ask(server.url) == "at last"
    assert sum(slept) > 0.1
    slept.clear()
    asked = len(server.bodies)
    with use_cassette(path) as cassette:
        assert sdk.ask(server.url) == "at last"
    assert cassette.played == 3
    assert len(slept) == 2
    assert sum(slept) <= 0.01
    assert len(server.bodies) == asked


def test_a_delay_at_which_the_client_gave_up_stays(sdk, server, path):
    server.says(Answer(status=429, body={"error": {}}, headers={"retry-after": "900"}))
    for mode in ("once", "none"):
        with use_cassette(path, record_mode=mode), pytest.raises(openai.RateLimitError) as caught:
            sdk.ask(server.url)
        assert caught.value.response.headers["retry-after"] == "900"
    assert len(server.bodies) == 1


def test_a_failure_that_is_final_is_replayed_as_it_was(sdk, server, path):
    server.says(Answer(status=401, body={"error": {"message": "who are you?"}}))
    for mode in ("once", "none"):
        with (
            use_cassette(path, record_mode=mode),
            pytest.raises(openai.AuthenticationError, match="who are you"),
        ):
            sdk.ask(server.url)
    assert len(server.bodies) == 1


def test_the_cassette_tells_of_itself(server, path):
    record(path, server, {"n": 1})
    with use_cassette(path) as cassette:
        assert isinstance(cassette, HttpCassette)
        assert cassette.path == path
        assert len(cassette.content_hash) == 64
        assert cassette.divergence is None


def test_a_cassette_is_put_before_functions_async_ones_too(server, path):
    @use_cassette(path, record_mode="once")
    def ask():
        """Ask."""
        return post(server.chat, {"n": 1}).json

    @use_cassette(path)
    async def ask_async():
        async with httpx2.AsyncClient() as client:
            return (await client.post(server.chat, json={"n": 1})).json()

    recorded = ask()
    assert ask() == asyncio.run(ask_async()) == asyncio.run(ask_async()) == recorded
    assert (ask.__name__, ask.__doc__) == ("ask", "Ask.")
    assert len(server.bodies) == 1


def test_a_generator_is_refused_since_it_would_run_outside(path):
    def ask():
        yield

    with pytest.raises(CassetteError, match="ask is a generator"):
        use_cassette(path)(ask)
