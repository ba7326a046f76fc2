"""Clients of every kind: ones that post JSON and get status, headers, body; and the SDK."""

from __future__ import annotations

import asyncio
import http.client
import json
import threading
import urllib.error
import urllib.request
from dataclasses import dataclass
from urllib.parse import urlsplit

import httpx2
import openai

from looplet.replay.http import use_cassette

KEY = "sk-proj-Zx81kQw92mLp04TtVb77"
MESSAGES = [
    {"role": "system", "content": "You are a careful clerk. " * 9},
    {"role": "user", "content": "How much is a pear?"},
]


@dataclass
class Got:
    status: int
    headers: dict
    body: bytes

    @property
    def json(self):
        return json.loads(self.body)


def with_httpx(url, body, headers):
    answer = httpx2.post(url, content=body, headers=headers, timeout=20)
    return Got(answer.status_code, dict(answer.headers), answer.content)


def with_httpx_stream(url, body, headers):
    with httpx2.stream("POST", url, content=body, headers=headers, timeout=20) as answer:
        parts = list(answer.iter_bytes())
    return Got(answer.status_code, dict(answer.headers), b"".join(parts))


def with_async_httpx(url, body, headers):
    async def ask():
        async with httpx2.AsyncClient(timeout=20) as client:
            return await client.post(url, content=body, headers=headers)

    answer = asyncio.run(ask())
    return Got(answer.status_code, dict(answer.headers), answer.content)


def with_urllib(url, body, headers):
    request = urllib.request.Request(url, body, headers)
    try:
        with urllib.request.urlopen(request, timeout=20) as answer:
            return Got(answer.status, dict(answer.headers), answer.read())
    except urllib.error.HTTPError as error:
        return Got(error.code, dict(error.headers), error.read())


def with_http_client(url, body, headers):
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname, parts.port, timeout=20)
    try:
        connection.request("POST", url.partition(parts.netloc)[2], body, headers)
        answer = connection.getresponse()
        return Got(answer.status, dict(answer.headers), answer.read())
    finally:
        connection.close()


CLIENTS = {
    "httpx": with_httpx,
    "httpx stream": with_httpx_stream,
    "async httpx": with_async_httpx,
    "urllib": with_urllib,
    "http.client": with_http_client,
}


def post(url, body, *, client=with_httpx, **headers):
    """Post JSON, or bytes as they are."""
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return client(url, raw, {"content-type": "application/json", **named})


def in_thread(function):
    """What a function gives, or raises, in a thread of its own."""
    out = {}

    def run():
        try:
            out["value"] = function()
        except BaseException as error:
            out["error"] = error

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    if "error" in out:
        raise out["error"]
    return out["value"]


def record(path, server, *bodies, **keywords):
    """Post bodies to a server and keep what it says; a cassette to replay."""
    with use_cassette(path, record_mode="once", **keywords):
        return [post(server.chat, body) for body in bodies]


def text_of(got):
    """The text of a chat completion."""
    return got.json["choices"][0]["message"]["content"]


class OpenAIClient:
    """The official SDK, asked in one of its four ways."""

    def __init__(self, *, asynchronous, stream):
        self.asynchronous, self.stream = asynchronous, stream

    def ask(self, url, *, key=KEY, messages=MESSAGES, retries=2):
        keywords = {"api_key": key, "base_url": url, "max_retries": retries}
        request = {"model": "m", "messages": messages}
        if self.asynchronous:
            return asyncio.run(self._ask_async(keywords, request))
        with openai.OpenAI(**keywords) as client:
            if not self.stream:
                return client.chat.completions.create(**request).choices[0].message.content
            chunks = list(client.chat.completions.create(**request, stream=True))
        return _joined(chunks)

    async def _ask_async(self, keywords, request):
        async with openai.AsyncOpenAI(**keywords) as client:
            if not self.stream:
                return (await client.chat.completions.create(**request)).choices[0].message.content
            stream = await client.chat.completions.create(**request, stream=True)
            return _joined([chunk async for chunk in stream])


def _joined(chunks):
    return "".join(each.choices[0].delta.content or "" for each in chunks if each.choices)
