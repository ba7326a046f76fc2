"""A real server on loopback that speaks the APIs of OpenAI and Anthropic, and errs if told."""

from __future__ import annotations

import contextlib
import gzip
import json
import socket
import threading
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from tests.streams import events_of, sse

EVENTS = "text/event-stream"


@dataclass
class Answer:
    """What the server sends back; ``drop`` closes the connection after so many bytes.

    ``events`` are sent one after the other instead of a body, as a stream: dicts as JSON, bytes
    as they are; an ``Event`` of threading is waited for. ``drop`` then counts events.
    """

    status: int = 200
    body: object = None
    headers: dict = field(default_factory=dict)
    drop: int | None = None
    wait: threading.Event | None = None
    content_type: str = "application/json"
    events: list | None = None


def completion(
    content="ok", *, calls=None, finish_reason="stop", usage=(7, 3), model="m", **message
):
    """The body of a chat completion; ``calls`` are (id, name, arguments)."""
    body = {"role": "assistant", "content": content, **message}
    if calls is not None:
        body["tool_calls"] = [
            {"id": id_, "type": "function", "function": {"name": name, "arguments": arguments}}
            for id_, name, arguments in calls
        ]
    out = {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 0,
        "model": model,
        "choices": [{"index": 0, "message": body, "finish_reason": finish_reason}],
    }
    if usage is not None:
        sent, received = usage
        out["usage"] = {
            "prompt_tokens": sent,
            "completion_tokens": received,
            "total_tokens": sent + received,
        }
    return out


def message(*blocks, stop_reason="end_turn", usage=(7, 3), model="m", **counts):
    """The body of a reply of the Messages API; a block is a text or a dict."""
    out = {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": model,
        "content": [
            {"type": "text", "text": each} if isinstance(each, str) else each
            for each in blocks or ("ok",)
        ],
        "stop_reason": stop_reason,
        "stop_sequence": None,
    }
    if usage is not None:
        sent, received = usage
        out["usage"] = {"input_tokens": sent, "output_tokens": received, **counts}
    return out


def response(*items, usage=(7, 3), cached=None, status="completed", model="m", **fields):
    """The body of a reply of the Responses API; an item is a text or a dict."""
    out = {
        "id": "resp_1",
        "object": "response",
        "created_at": 0,
        "model": model,
        "status": status,
        "output": [said(each) if isinstance(each, str) else each for each in items or ("ok",)],
        **fields,
    }
    if usage is not None:
        sent, received = usage
        out["usage"] = {"input_tokens": sent, "output_tokens": received, "total_tokens": 0}
        if cached is not None:
            out["usage"]["input_tokens_details"] = {"cached_tokens": cached}
    return out


def said(text, **fields):
    """An item of the Responses API that says a text."""
    part = {"type": "output_text", "text": text, "annotations": []}
    return {"type": "message", "id": "msg_1", "role": "assistant", "content": [part], **fields}


def usual_answer(body):
    """What is answered where a test says nothing: ``ok``, in the words of the asker."""
    replies = {"messages": message, "responses": response}
    return Answer(body=replies.get(body["path"].rpartition("/")[2], completion)())


class ChatServer:
    """``answer(body)`` makes each answer; ``bodies`` and ``headers`` hold what was asked.

    A reply is sent as a stream where one was asked for. ``connections`` counts those that were
    made. ``hung_up`` is set when a client leaves before a stream is at its end.
    """

    def __init__(self):
        self.bodies, self.headers, self.connections = [], [], 0
        self.hung_up = threading.Event()
        self.answer = usual_answer
        handler = type("Handler", (_Handler,), {"chat": self})
        self._http = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self._http.daemon_threads = True
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.01,))
        self._thread.start()

    @property
    def root(self):
        return f"http://127.0.0.1:{self._http.server_port}"

    @property
    def url(self):
        return f"{self.root}/v1"

    @property
    def chat(self):
        return f"{self.url}/chat/completions"

    def says(self, *answers):
        """Give these answers in turn, the last one for ever."""
        left = [each if isinstance(each, Answer) else Answer(body=each) for each in answers]
        self.answer = lambda _body: left.pop(0) if len(left) > 1 else left[0]

    def close(self):
        self._http.shutdown()
        self._http.server_close()
        self._thread.join()


class _Handler(BaseHTTPRequestHandler):
    """Answers as its `chat` says."""

    protocol_version = "HTTP/1.1"

    def handle(self):
        self.chat.connections += 1
        with contextlib.suppress(ConnectionError):  # the client did not wait
            super().handle()

    def do_POST(self):
        raw = self.rfile.read(int(self.headers["content-length"]))
        if self.headers["content-encoding"] == "gzip":
            raw = gzip.decompress(raw)
        body = json.loads(raw)
        self.chat.bodies.append(body)
        self.chat.headers.append(self.headers)
        answer = self.chat.answer({**body, "path": self.path})
        if answer.events is not None:
            self._stream(answer)
        elif body.get("stream") and answer.status == 200 and events_of(answer.body):
            raw = b"".join(map(sse, events_of(answer.body)))
            self._send(replace(answer, body=raw, content_type=EVENTS))
        else:
            self._send(answer)

    def _send(self, answer):
        if answer.wait is not None:
            answer.wait.wait(30)
        raw = answer.body if isinstance(answer.body, bytes) else json.dumps(answer.body).encode()
        if answer.drop == 0:
            self._hang_up()
            return
        self._head(answer, {"content-length": str(len(raw))})
        self.wfile.write(raw[: answer.drop])
        if answer.drop is not None:
            self._hang_up()

    def _stream(self, answer):
        self._head(answer, {"content-type": EVENTS, "transfer-encoding": "chunked"})
        for event in answer.events[: answer.drop]:
            if isinstance(event, threading.Event):
                event.wait(30)
            else:
                self._chunk(sse(event))
        if answer.drop is not None:
            self._hang_up()
        else:
            self._chunk(b"")

    def _chunk(self, raw):
        try:
            self.wfile.write(f"{len(raw):x}\r\n".encode() + raw + b"\r\n")
        except ConnectionError:
            self.chat.hung_up.set()
            raise

    def _head(self, answer, more):
        self.send_response(answer.status)
        headers = {"content-type": answer.content_type, **answer.headers, **more}
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()

    def _hang_up(self):
        self.close_connection = True
        self.wfile.flush()
        self.connection.shutdown(socket.SHUT_RDWR)

    def log_message(self, *_):
        pass
