"""Ways to record and replay a model's calls: looplet's, vcrpy's, and the least that does it.

Each opens a model to be measured with: as it is, while it is recorded, or answered from a file.
"""

from __future__ import annotations

import gc
import hashlib
import importlib
import json
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from recorded import Script, completion

from looplet.backends import OpenAIBackend
from looplet.replay import use_cassette

Model = Any


class Tape(Protocol):
    """One way to record and replay."""

    def bare(self) -> AbstractContextManager[Model]:
        """The model, not recorded."""

    def recording(self, path: Path) -> AbstractContextManager[Model]:
        """The model, recorded into a new file."""

    def replaying(self, path: Path) -> AbstractContextManager[Model]:
        """What answers from the file; every recorded call is to be replayed."""


class Looplet:
    """A cassette around the model; ``whole``: around the run's tools, steps and clock, too."""

    def __init__(self, *, whole: bool = False) -> None:
        self._whole = whole
        self._tools: Any = "recorded" if whole else "live"

    def bare(self) -> AbstractContextManager[Model]:
        return nullcontext(Script())

    @contextmanager
    def recording(self, path: Path) -> Iterator[Model]:
        with use_cassette(path, record_mode="all", tools=self._tools) as cassette:
            yield self._wrapped(cassette, Script())

    @contextmanager
    def replaying(self, path: Path) -> Iterator[Model]:
        with use_cassette(path, tools=self._tools) as cassette:
            yield self._wrapped(cassette, None)
            _check(path, unplayed=cassette.unplayed)

    def _wrapped(self, cassette: Any, model: Model | None) -> Model:
        wrapped = cassette.wrap_llm(model)
        if self._whole:
            wrapped.cassette = cassette  # for whoever makes the run
        return wrapped


class Vcr:
    """vcrpy as it comes, under OpenAI's SDK; ``bodies`` has it compare what is asked, too."""

    def __init__(self, url: str, *, bodies: bool = False) -> None:
        import vcr

        self.model = OpenAIBackend(base_url=url, api_key="x", model="scripted")
        self._begin = urllib.request.Request(f"{url}/begin", data=b"{}", method="POST")
        self._vcr = vcr.VCR()
        if bodies:
            self._vcr.match_on = (*self._vcr.match_on, "body")

    @contextmanager
    def bare(self) -> Iterator[Model]:
        urllib.request.urlopen(self._begin).close()
        yield self.model

    @contextmanager
    def recording(self, path: Path) -> Iterator[Model]:
        path.unlink(missing_ok=True)
        with self.bare() as model, self._vcr.use_cassette(str(path), record_mode="once"):
            yield model

    @contextmanager
    def replaying(self, path: Path) -> Iterator[Model]:
        with self._vcr.use_cassette(str(path), record_mode="none") as tape:
            yield self.model
            _check(path, unplayed=len(tape) - tape.play_count)


class Sdk:
    """OpenAI's SDK alone, answered from memory: what every replay below it costs at least."""

    def replaying(self, path: Path) -> AbstractContextManager[Model]:
        from openai import DefaultHttpxClient, OpenAI

        # The SDK's HTTP library has another name in newer versions.
        httpx = importlib.import_module(DefaultHttpxClient.__base__.__module__.partition(".")[0])
        reply = completion(1, native=False)
        transport = httpx.MockTransport(lambda _: httpx.Response(200, json=reply))
        client = DefaultHttpxClient(transport=transport)
        sdk = OpenAI(base_url="http://127.0.0.1/v1", api_key="x", http_client=client)
        return nullcontext(OpenAIBackend(sdk, model="scripted"))


class Floor:
    """The least that finds an answer by what is asked: a hash, a dict, lines of JSON."""

    @contextmanager
    def recording(self, path: Path) -> Iterator[Model]:
        answers: dict[str, str] = {}
        yield _Hashing(answers, Script())
        path.write_text("".join(f"{json.dumps(each)}\n" for each in answers.items()))

    @contextmanager
    def replaying(self, path: Path) -> Iterator[Model]:
        yield _Hashing(dict(map(json.loads, path.read_text().splitlines())))


class _Hashing:
    def __init__(self, answers: dict[str, str], model: Script | None = None) -> None:
        self._answers, self._model = answers, model

    def generate(self, prompt: str, **keywords: Any) -> Any:
        asked = json.dumps({"prompt": prompt, **keywords}, sort_keys=True)
        key = hashlib.sha256(asked.encode()).hexdigest()
        if self._model is not None:
            self._answers[key] = json.dumps(self._model.generate(prompt, **keywords))
        return json.loads(self._answers[key])


def _check(path: Path, *, unplayed: int) -> None:
    if unplayed:
        raise AssertionError(f"{unplayed} calls of {path.name} were not replayed")


class Seconds(NamedTuple):
    """One span of time, by two clocks."""

    wall: float
    cpu: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Times:
    """How long it took to open a tape, to work with its model, and to close it."""

    open: Seconds
    work: Seconds
    close: Seconds

    def least(self, other: Times | None) -> Times:
        """Each figure at its best."""
        if other is None:
            return self
        parts = {}
        for part in ("open", "work", "close"):
            pair = zip(getattr(self, part), getattr(other, part), strict=True)
            parts[part] = Seconds(*map(min, pair))
        return Times(**parts)


def timed(tape: AbstractContextManager[Model], work: Callable[[Model], object]) -> Times:
    """Open, work and close once."""
    gc.collect()
    marks = [_now()]
    with ExitStack() as stack:
        model = stack.enter_context(tape)
        marks.append(_now())
        work(model)
        marks.append(_now())
    marks.append(_now())
    spans = [
        Seconds(after.wall - before.wall, after.cpu - before.cpu)
        for before, after in pairwise(marks)
    ]
    return Times(open=spans[0], work=spans[1], close=spans[2])


def _now() -> Seconds:
    return Seconds(time.perf_counter(), time.process_time())
