"""Cassettes that somebody else recorded with stock vcrpy, read and replayed as they are."""

from __future__ import annotations

import asyncio
import json

import httpx2
import openai
import pytest
import yaml

from looplet.errors import CassetteDamaged
from looplet.replay import Divergence
from looplet.replay.http import use_cassette
from tests.conftest import SHARED
from tests.servers import completion

FOLDER = SHARED / "vcr-simonw-llm"
FILES = sorted(FOLDER.rglob("*.yaml"))

if not FILES:
    pytest.skip("the stock cassettes are not on this machine", allow_module_level=True)

NOT_SENT = {"content-length", "host", "accept-encoding", "connection"}


def requests_of(path):
    """What was recorded, as (method, address, body, headers), read without looplet."""
    for each in yaml.safe_load(path.read_text())["interactions"]:
        asked = each["request"]
        headers = {
            name: values[0]
            for name, values in asked["headers"].items()
            if name.lower() not in NOT_SENT
        }
        yield asked["method"], asked["uri"], asked["body"], headers


def answers_of(path):
    """The first characters of what was answered, decompressed by hand."""
    import gzip

    for each in yaml.safe_load(path.read_text())["interactions"]:
        body = each["response"]["body"]["string"]
        yield gzip.decompress(body).decode() if isinstance(body, bytes) else body


def reordered(body):
    """The same JSON with its keys the other way round."""
    return json.dumps(dict(reversed(json.loads(body).items())))


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_a_stock_cassette_is_replayed_whole_to_its_recorded_requests(file):
    before = file.read_bytes()
    with use_cassette(file) as cassette:
        for (method, uri, body, headers), answer in zip(
            requests_of(file), answers_of(file), strict=True
        ):
            with httpx2.stream(method, uri, content=reordered(body), headers=headers) as got:
                assert got.status_code == 200
                assert "".join(got.iter_text()) == answer
        assert (cassette.played, cassette.unplayed) == (len(cassette), 0)
    assert file.read_bytes() == before


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_one_changed_word_is_refused(file):
    method, uri, body, headers = next(requests_of(file))
    changed = body.replace('"content":"', '"content":"Kindly, ', 1)
    assert changed != body
    with use_cassette(file), pytest.raises(Divergence, match="Kindly, "):
        httpx2.request(method, uri, content=changed, headers=headers)


@pytest.mark.parametrize("asynchronous", [False, True], ids=["sync", "async"])
@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_the_sdk_reads_a_stock_cassette(file, asynchronous):
    def call(client, uri):
        return (
            client.responses.create
            if uri.endswith("/responses")
            else client.chat.completions.create
        )

    async def ask(client, uri, request):
        got = await call(client, uri)(**request)
        return [event async for event in got] if request.get("stream") else [got]

    with use_cassette(file) as cassette:
        for _, uri, body, _ in requests_of(file):
            request = json.loads(body)
            base = uri.partition("/responses")[0].partition("/chat/")[0]
            if asynchronous:
                client = openai.AsyncOpenAI(api_key="no key", base_url=base)
                events = asyncio.run(ask(client, uri, request))
            else:
                got = call(openai.OpenAI(api_key="no key", base_url=base), uri)(**request)
                events = list(got) if request.get("stream") else [got]
            assert events
            assert all(each.model_dump() for each in events)
        assert cassette.unplayed == 0


def test_a_stock_cassette_that_is_added_to_becomes_looplets_and_still_replays(server, tmp_path):
    file = FOLDER / "tests/cassettes/test_tools/test_tool_use_chain_of_two_calls.yaml"
    copy = tmp_path / file.name
    copy.write_bytes(file.read_bytes())
    server.says(completion("new"))
    with use_cassette(copy, record_mode="new_episodes", redact={"tool": "lookup_population"}):
        for method, uri, body, headers in requests_of(file):
            httpx2.request(method, uri, content=body, headers=headers)
        httpx2.post(server.chat, json={"n": 1})
    assert copy.read_text().startswith("# An HTTP recording by looplet.")
    assert "lookup_population" in file.read_text()
    assert "lookup_population" not in copy.read_text()
    with use_cassette(copy, redact={"tool": "lookup_population"}) as cassette:
        for (method, uri, body, headers), answer in zip(
            requests_of(file), answers_of(file), strict=True
        ):
            got = httpx2.request(method, uri, content=body, headers=headers)
            wanted = json.loads(answer.replace("lookup_population", "[REDACTED:tool]"))
            assert got.json() == wanted
        assert httpx2.post(server.chat, json={"n": 1}).json() == completion("new")
        assert cassette.unplayed == 0


@pytest.mark.parametrize(
    "change",
    [
        lambda text: text[: len(text) // 2],
        lambda text: text.replace("  response:", "  respond:", 1),
        lambda text: text.replace("interactions:", "interaction:", 1),
        lambda text: text.replace("code: 200", "code: OK", 1),
        lambda text: text.replace("uri: https", "uri: 17 #", 1),
        lambda text: "\t" + text,
    ],
    ids=["cut", "no response", "no interactions", "no status", "no address", "no YAML"],
)
def test_a_damaged_stock_cassette_is_an_error_and_stays(change, tmp_path):
    path = tmp_path / "stock.yaml"
    path.write_text(change(FILES[0].read_text()))
    before = path.read_bytes()
    for mode in ("none", "once", "new_episodes"):
        with (
            pytest.raises(CassetteDamaged, match=r"stock\.yaml"),
            use_cassette(path, record_mode=mode),
        ):
            pass
    assert path.read_bytes() == before
