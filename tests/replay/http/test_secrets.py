"""Secrets on their way, and in no byte of a cassette."""

from __future__ import annotations

import contextlib
import gzip
import json
import re

import pytest

from looplet.errors import CassetteError
from looplet.redaction import Redactor
from looplet.replay import Divergence
from looplet.replay.http import use_cassette
from tests.replay.http.clients import CLIENTS, KEY, post
from tests.servers import Answer

CANARY = "canary-7f3e9b-secret"


def as_lines(line):
    """The canary cut into its letters, each in a line."""
    return "".join(line(letter) + "\n" for letter in CANARY).encode()


def canaries():
    """Where a secret can hide on its way, as (what is posted, what is answered)."""
    arguments = ('{"key": "' + CANARY + '"}', '{"other": "' + "x" * 30 + '"}')
    calls = [
        {"delta": {"tool_calls": [{"index": n, "function": {"arguments": piece}}]}}
        for pieces in zip(*arguments, strict=False)
        for n, piece in enumerate(pieces)
    ]
    blocks = [
        {"type": "content_block_delta", "index": n, "delta": {"type": "text_delta", "text": piece}}
        for pair in zip(CANARY, "_" * len(CANARY), strict=True)
        for n, piece in enumerate(pair)
    ]
    deltas = [{"choices": [{"index": 0, "delta": {"content": piece}}]} for piece in CANARY]
    tokens = [{"token": piece, "bytes": list(piece.encode())} for piece in (CANARY[:6], CANARY[6:])]
    zipped = gzip.compress(json.dumps({"a": CANARY}).encode())
    lines = as_lines(lambda letter: json.dumps({"response": letter}))
    quoted = as_lines(lambda letter: f'data: "{letter}"\n')
    bare = as_lines(lambda letter: f"data: {letter}\n")
    events = "text/event-stream"
    escaped = json.dumps({"k": CANARY + '"\\'})
    return {
        "body": ({"q": CANARY}, Answer(body={"q": CANARY})),
        "key of a body": ({CANARY: 1}, Answer(body={CANARY: 2})),
        "JSON in JSON": ({"args": escaped}, Answer(body={"args": escaped})),
        "error": ({}, Answer(status=400, body={"error": {"message": f"bad key {CANARY}"}})),
        "text": ({}, Answer(body=f"say {CANARY}".encode(), content_type="text/plain")),
        "bytes": ({}, Answer(body=b"\xff\x00" + CANARY.encode(), content_type="image/x")),
        "gzip": ({}, Answer(body=zipped, headers={"content-encoding": "gzip"})),
        "response header": ({}, Answer(body={"a": CANARY}, headers={"x-debug": f"key={CANARY}"})),
        "stream": ({}, Answer(events=[*deltas, b"data: [DONE]\n\n"])),
        "stream of arguments": ({}, Answer(events=calls)),
        "stream of two blocks": ({}, Answer(events=blocks)),
        "log probabilities": ({}, Answer(body={"logprobs": {"content": tokens}})),
        "JSON lines": ({}, Answer(body=lines, content_type="application/x-ndjson")),
        "stream of texts": ({}, Answer(body=quoted, content_type=events)),
        "bare stream": ({}, Answer(body=bare, content_type=events)),
    }


def assert_absent(data, secret):
    """A secret is not in the bytes, nor in what the pieces of a stream make when joined."""
    text = data.decode().replace("\\", "")
    assert secret not in text
    names = "response|text|delta|token|content|arguments"
    for pieces in (r"(?m)^ *data: ?(.*)$", rf'(?:{names})": ?"(.*?)"', r'(?m)^ *data: "(.*?)"$'):
        assert secret not in "".join(re.findall(pieces, text))
    numbers = re.findall(r"\[([0-9, ]+)\]", text)
    assert secret not in "".join(chr(int(n) % 128) for each in numbers for n in each.split(","))


@pytest.mark.parametrize("where", canaries())
def test_a_secret_is_in_no_byte_of_the_cassette(where, server, path):
    asked, answer = canaries()[where]
    server.says(answer)
    with use_cassette(path, record_mode="once", redact={"canary": CANARY}):
        live = post(server.chat, asked)
    assert_absent(path.read_bytes(), CANARY)
    made = server.connections
    with use_cassette(path, redact={"canary": CANARY}):
        again = post(server.chat, asked)
    assert server.connections == made
    assert again.status == live.status
    assert b"[REDACTED:canary]" in again.body


def test_cookies_that_a_server_sets_are_not_kept(server, path):
    server.says(Answer(body={}, headers={"set-cookie": "session=9f8e7d6c5b4a"}))
    with use_cassette(path, record_mode="once"):
        assert post(server.chat, {}).headers["set-cookie"] == "session=9f8e7d6c5b4a"
    assert "9f8e7d6c5b4a" not in path.read_text()
    with use_cassette(path):
        assert "set-cookie" not in post(server.chat, {}).headers


@pytest.mark.parametrize(
    "pieces",
    [
        [f'data: {{"delta": "{c}"}}\n\n' for c in CANARY],
        [f"data: {c}\n\n" for c in CANARY],
        [f'data: "{c}"\n\n' for c in CANARY],
        [f'{{"response": "{c}"}}\n' for c in CANARY],
        [f'{{"bytes": {list(CANARY[n : n + 6].encode())}}}' for n in range(0, len(CANARY), 6)],
        [json.dumps({"token": CANARY[n : n + 6]}) for n in range(0, len(CANARY), 6)],
    ],
)
def test_the_check_for_canaries_finds_what_was_cut_to_pieces(pieces):
    with pytest.raises(AssertionError):
        assert_absent("".join(pieces).encode(), CANARY)


@pytest.mark.parametrize(
    "header",
    [
        "authorization",
        "proxy_authorization",
        "x_api_key",
        "api_key",
        "cookie",
        "openai_organization",
        "x_tenant",
    ],
)
def test_a_secret_in_a_header_is_hidden_there_and_where_it_is_echoed(header, server, path):
    value = {"authorization": f"Bearer {CANARY}", "cookie": f"a=b; s={CANARY}"}.get(header, CANARY)
    credential = header not in {"openai_organization", "x_tenant"}
    server.says({"error": f"bad key {CANARY}" if credential else "bad key"})
    with use_cassette(path, record_mode="once"):
        post(server.chat, {"n": 1}, **{header: value})
    text = path.read_text()
    assert CANARY not in text
    assert f"{header.replace('_', '-')}:\n      - '[REDACTED:{header.replace('_', '-')}]'" in text
    with use_cassette(path):
        assert post(server.chat, {"n": 1}).status == 200


def test_a_key_of_known_looks_has_one_placeholder_whether_it_is_sent_or_not(server, path):
    body = {"q": f"what is {KEY}?"}
    with use_cassette(path, record_mode="once"):
        post(server.chat, body, authorization=f"Bearer {KEY}")
    with use_cassette(path) as cassette:
        post(server.chat, body, authorization="Bearer nothing")
    assert cassette.played == 1


def test_headers_that_a_user_names_are_kept(server, path):
    server.says(Answer(body={}, headers={"x-account": "acme"}))
    with use_cassette(path, record_mode="once", keep_headers=["X-Tenant", "x-account"]):
        post(server.chat, {"n": 1}, x_tenant="acme", x_other="acme-2")
    text = path.read_text()
    assert "x-tenant:\n      - acme\n" in text
    assert "x-account:\n      - acme\n" in text
    assert "acme-2" not in text


def test_a_secret_of_the_environment_is_hidden_and_the_replay_works_without_it(
    server, path, monkeypatch
):
    monkeypatch.setenv("ACME_API_KEY", CANARY)
    with use_cassette(path, record_mode="once"):
        post(server.chat, {"q": f"use {CANARY}"})
    assert "use [REDACTED:ACME_API_KEY]" in path.read_text()
    monkeypatch.setenv("ACME_API_KEY", "a stand-in")
    with use_cassette(path) as cassette:
        post(server.chat, {"q": "use a stand-in"})
    assert cassette.played == 1
    monkeypatch.delenv("ACME_API_KEY")
    with use_cassette(path), pytest.raises(Divergence) as caught:
        post(server.chat, {"q": f"use no key of {KEY}"})
    assert KEY not in str(caught.value)


@pytest.mark.parametrize(
    "url",
    ["/chat/completions?api_key={}", "/chat/completions?X-Amz-Signature={}", "/bot{}/send"],
)
def test_a_secret_in_an_address_is_hidden_and_needs_not_be_the_same(url, server, path):
    with use_cassette(path, record_mode="once", redact={"bot": CANARY}):
        post(server.url + url.format(CANARY), {"n": 1})
    assert CANARY not in path.read_text()
    other = CANARY if "bot" in url else "another"
    with use_cassette(path, redact={"bot": CANARY}) as cassette:
        post(server.url + url.format(other), {"n": 1})
    assert cassette.played == 1


def test_parameters_that_are_no_secrets_tell_requests_apart(server, path):
    with use_cassette(path, record_mode="once"):
        post(f"{server.url}/chat/completions?key=pears&page_token=1", {"n": 1})
    for query in ("key=apples&page_token=1", "key=pears&page_token=2"):
        with use_cassette(path), pytest.raises(Divergence):
            post(f"{server.url}/chat/completions?{query}", {"n": 1})


def test_a_replay_that_is_handed_placeholders_numbers_new_secrets_as_the_recording_did(
    server, path
):
    keys = [f"sk-proj-{number}-Zx81kQw92mLp04TtVb77" for number in range(3)]
    url = server.chat
    server.says({"key": keys[0]}, {"ok": True})
    for mode in ("once", "none"):
        with use_cassette(path, record_mode=mode):
            handed = post(url, {"n": 1}).json["key"]
            post(url, {"new": keys[1], "old": handed})
            post(url, {"new": keys[2]})
    assert handed == "[REDACTED:sk-1]"
    assert '"new":"[REDACTED:sk-2]","old":"[REDACTED:sk-1]"' in path.read_text()
    assert '"new":"[REDACTED:sk-3]"' in path.read_text()


def test_a_redactor_that_does_nothing_still_hides_headers(server, path):
    with use_cassette(path, record_mode="once", redact=False):
        post(server.chat, {"q": KEY}, authorization=f"Bearer {CANARY}")
    text = path.read_text()
    assert KEY in text
    assert CANARY not in text


def test_a_function_redacts_what_is_kept_and_what_is_matched(server, path):
    redactor = Redactor(function=lambda text: text.replace("Ada", "[REDACTED:name]"))
    url = server.chat
    server.says({"hello": "Ada"})
    with use_cassette(path, record_mode="once", redact=redactor):
        assert post(url, {"from": "Ada"}).json == {"hello": "Ada"}  # live code gets what was said
    assert "Ada" not in path.read_text()
    with use_cassette(path, redact=redactor):
        assert post(url, {"from": "Ada"}).json == {"hello": "[REDACTED:name]"}


def test_what_cannot_be_read_is_not_recorded(server, path):
    server.says(Answer(body=b"\xff\x00\x81", headers={"content-encoding": "zip-of-our-own"}))
    refused = pytest.raises(CassetteError, match="zip-of-our-own cannot be undone")
    with refused, use_cassette(path, record_mode="once"), contextlib.suppress(Exception):
        post(server.chat, {"n": 1}, client=CLIENTS["urllib"])
    assert not path.exists()


def test_a_compressed_answer_is_kept_readable_and_replayed(client, server, path):
    answer = gzip.compress(json.dumps({"fruit": "pear"}).encode())
    server.says(Answer(body=answer, headers={"content-encoding": "gzip"}))
    url = server.chat
    with use_cassette(path, record_mode="once"):
        live = post(url, {"n": 1}, client=client)
    text = path.read_text()
    assert '{"fruit": "pear"}' in text
    assert "content-encoding" not in text
    with use_cassette(path):
        again = post(url, {"n": 1}, client=client)
    assert again.json == {"fruit": "pear"}
    assert live.body in (again.body, answer)
    assert {name.lower(): value for name, value in again.headers.items()}["content-length"] == str(
        len(again.body)
    )
