"""A secret is in no byte that is written and in no text that is shown, wherever it came from."""

from __future__ import annotations

import base64
import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from looplet import LoopConfig, composable_loop, tools_from
from looplet.core.decisions import HookDecision
from looplet.core.records import ToolCall
from looplet.core.runtime import Runtime
from looplet.core.tools import ToolContext, tool
from looplet.errors import BackendRefused
from looplet.redaction import Redactor
from looplet.replay import Divergence, fork, replay, use_cassette
from looplet.replay.journal import journal_path, read_journal
from tests.replay.agents import call, model

CANARY, OTHER = "canary-7f3a9-sesame", "second-51cc-secret"
ROOT = Path(__file__).parents[2]


class Leaky:
    """A model in whose every reply, usage and stop reason the secret stands; it streams."""

    model = "leaky-1"

    def __init__(self, secret=CANARY):
        self.secret, self.asked = secret, 0
        self.last_usage = self.last_stop_reason = None

    def before(self):
        """Do something before each call."""

    def generate_with_tools(
        self, prompt, *, tools, max_tokens=2000, system_prompt="", temperature=0.2,
        messages=None, on_chunk=None, metadata=None,
    ):  # fmt: skip
        self.before()
        self.asked += 1
        self.last_usage = {"input_tokens": 3, "account": self.secret}
        self.last_stop_reason = f"end of {self.secret}"
        if self.asked == 1:
            text = f"not allowed:\n\tAuthorization: Basic {self.secret}\nno"
            raise BackendRefused(text, status=503)
        text = f"I look with {self.secret} now."
        for start in range(0, len(text), 5):
            if on_chunk is not None:
                on_chunk(text[start : start + 5])
        done = {"summary": f"used {self.secret}"}
        args = {"key": self.secret, "deep": {"list": [self.secret], self.secret: 1}}
        name, args = ("look", args) if self.asked == 2 else ("done", done)
        if self.asked == 3:
            name = self.secret  # a tool that the model made up
        call_id = f"c{self.asked}"
        return [
            {"type": "text", "text": text},
            {"type": "tool_use", "id": call_id, "name": name, "input": args},
        ]

    def generate(self, prompt, *, max_tokens=2000, system_prompt="", temperature=0.2):
        return f"asked {prompt}, and say {self.secret}"


class Listens:
    def on_chunk(self, text, step_num, attempt):
        """Make the model tell its pieces."""


def leaky_tools(secret, failing=True):
    @tool(description=f"Look with {secret}.")
    def look(ctx: ToolContext, key: str = secret, deep: dict | None = None) -> dict:
        """Look."""
        ctx.warn(f"used {secret}")
        ctx.report_progress("looking", {"with": secret})
        answer = ctx.llm.generate(f"May I use {secret}?")
        return {"token": secret, "raw": secret.encode(), "answer": answer, secret: (secret,)}

    @tool
    def fail(ctx: ToolContext) -> dict:
        """Fail."""
        raise ValueError(f"cannot open {secret}")

    return tools_from([look, fail], include_done=True)


def leaky_run(cassette, llm, secret, tools=None, **config):
    options = {
        "runtime": Runtime(sleep=lambda _: None),
        "max_steps": 8,
        "use_native_tools": True,
        "system_prompt": f"Know {secret}.",
    }
    return list(
        composable_loop(
            llm=cassette.wrap_llm(llm),
            tools=cassette.wrap_tools(tools or leaky_tools(secret)),
            config=cassette.wrap_config(
                LoopConfig(**options | {"generate_kwargs": {"metadata": {"user": secret}}} | config)
            ),
            task={"goal": f"open with {secret}", "headers": {"X-Key": secret}},
            hooks=[Listens()],
        )
    )


def record(path, secret=CANARY, *, redact, close=True, tools="recorded", llm=None):
    about = {"user": secret, "deep": [{secret: 1}]}
    with use_cassette(
        path, record_mode="once", tools=tools, redact=redact, metadata=about
    ) as cassette:
        steps = leaky_run(cassette, llm or Leaky(secret), secret)
        assert len(steps) > 2
        return journal_path(path).read_bytes()


def hides(data, secret=CANARY):
    """That the secret stands in none of the ways of writing it."""
    encoded = [
        secret.encode(),
        secret.encode().hex().encode(),
        base64.b64encode(secret.encode())[:-4],
        json.dumps(secret)[1:-1].encode(),
    ]
    return not any(each in data for each in encoded)


REDACTS = {
    "a list": lambda secret: [secret],
    "a mapping": lambda secret: {"door": secret},
    "a function": lambda secret: lambda text: text.replace(secret, "***"),
    "a redactor": lambda secret: Redactor(secrets={"door": secret}, patterns={"n": r"\d{16}"}),
    "a redactor of a pattern": lambda _: Redactor(patterns={"key": r"\w+-\w+-(?:sesame|secret)"}),
}


@pytest.mark.parametrize("tools", ["recorded", "live"])
@pytest.mark.parametrize("kind", list(REDACTS))
def test_no_byte_of_cassette_or_journal_has_the_secret(path, kind, tools):
    journal = record(path, redact=REDACTS[kind](CANARY), tools=tools)
    assert hides(path.read_bytes())
    assert hides(journal)
    shown = {"a function": "***", "a redactor of a pattern": "[REDACTED:key-1]", "a list": "-1]"}
    assert shown.get(kind, "[REDACTED:door]") in path.read_text()


def test_without_redaction_it_would_be_there_in_each_place(path):
    """So that the test above tests something."""
    record(path, redact=False)
    text = path.read_text()
    for place in (
        "user: canary", "content: Know canary", "account: canary", "end of canary",
        "Authorization: Basic canary", "used canary", "X-Key: canary", "with: canary",
        "description: Look with canary", "I look with canary", "dispatch",
    ):  # fmt: skip
        assert place in text, place
    assert CANARY.encode().hex() in text


def test_a_secret_of_several_lines_is_hidden_in_an_error_too(path):
    """Which is stored line by line, where YAML cannot show it otherwise."""
    secret = "first half\nsecond\thalf of it"
    failure = BackendRefused(f"refused, since this was sent:\n{secret}\nand nothing else")
    with (
        pytest.raises(BackendRefused),
        use_cassette(path, record_mode="once", redact=[secret]) as cassette,
    ):
        cassette.wrap_llm(model([failure])).generate("a")
    assert "first half" not in path.read_text()
    assert "half of it" not in path.read_text()


def test_the_environments_secrets_are_hidden_without_being_named(path, monkeypatch):
    monkeypatch.setenv("DOOR_API_KEY", CANARY)
    journal = record(path, redact=None)
    assert hides(path.read_bytes())
    assert hides(journal)
    assert "[REDACTED:DOOR_API_KEY]" in path.read_text()


def test_two_secrets_have_two_placeholders(path):
    with use_cassette(path, record_mode="once", redact=[CANARY, OTHER]) as cassette:
        llm = cassette.wrap_llm(model(["one", "two", "three"]))
        for secret in (CANARY, OTHER, CANARY):
            llm.generate(f"Open with {secret}.")
    text = path.read_text()
    assert hides(text.encode(), CANARY)
    assert hides(text.encode(), OTHER)
    with use_cassette(path) as cassette:
        llm = cassette.wrap_llm(None)
        answers = [llm.generate(f"Open with [REDACTED:secret-{n}].") for n in (1, 2, 1)]
    assert answers == ["one", "two", "three"]


@pytest.mark.parametrize("secret", [CANARY, "[REDACTED:door]", "dummy-0000-other"])
def test_a_replay_works_without_the_secret(path, secret):
    """With it, with its placeholder in its place, and with another secret of the same name."""
    record(path, redact={"door": CANARY})
    redact = None if secret.startswith("[") else {"door": secret}

    def build():
        return {
            "llm": None,
            "tools": leaky_tools(secret),
            "config": LoopConfig(
                max_steps=8, use_native_tools=True, system_prompt=f"Know {secret}.",
                generate_kwargs={"metadata": {"user": secret}},
            ),
            "hooks": [Listens()],
            "task": {"goal": f"open with {secret}", "headers": {"X-Key": secret}},
        }  # fmt: skip

    result = replay(path, build, redact=redact)
    assert result.matches, str(result)
    assert result.unplayed == 0


def test_no_text_of_a_divergence_has_the_secret(path):
    record(path, redact={"door": CANARY})
    told = []

    def diverge(**config):
        with use_cassette(path, tools="recorded", redact={"door": CANARY}) as cassette:
            leaky_run(cassette, None, CANARY, **config)

    def ask_tool(args):
        with use_cassette(path, tools="recorded", redact={"door": CANARY}) as cassette:
            cassette.wrap_tools(leaky_tools(CANARY)).dispatch(ToolCall("look", args))

    for config in (
        {"system_prompt": f"Know {CANARY} well."},
        {"generate_kwargs": {"metadata": {"user": f"{CANARY} {CANARY}"}}},
    ):
        with pytest.raises(Divergence) as caught:
            diverge(**config)
        told.append(caught.value)
    for args in ({"key": f"{CANARY}?"}, {"new": CANARY}):
        with pytest.raises(Divergence) as caught:
            ask_tool(args)
        told.append(caught.value)
    for error in told:
        texts = [str(error), error.diff, *getattr(error, "__notes__", []), repr(error.args)]
        assert hides("\n".join(texts).encode())
    assert "[REDACTED:door]" in told[0].diff


def test_a_run_that_came_out_otherwise_is_compared_without_the_secret(path):
    record(path, redact={"door": CANARY})

    class Rounds:
        def post_dispatch(self, state, session_log, tool_call, tool_result, step_num):
            if tool_call.tool == "done":
                tool_result.data["summary"] = f"opened otherwise with {CANARY}, I said {CANARY}"

    def build():
        return {
            "tools": leaky_tools(CANARY),
            "config": LoopConfig(
                max_steps=8, use_native_tools=True, system_prompt=f"Know {CANARY}.",
                generate_kwargs={"metadata": {"user": CANARY}},
            ),
            "hooks": [Listens(), Rounds()],
            "task": {"goal": f"open with {CANARY}", "headers": {"X-Key": CANARY}},
        }  # fmt: skip

    result = replay(path, build, redact={"door": CANARY})
    assert not result.matches
    assert "otherwise with [REDACTED:door]" in result.divergence.diff
    assert hides(f"{result} {result.divergence} {result.divergence.diff}".encode())


def test_a_fork_hides_it_too(tmp_path):
    path, into = tmp_path / "a.yaml", tmp_path / "b.yaml"
    record(path, redact={"door": CANARY})
    live = Leaky()
    live.asked = 3

    def build():
        return {
            "tools": leaky_tools(CANARY),
            "config": LoopConfig(
                max_steps=8, use_native_tools=True, system_prompt=f"Know {CANARY}.",
                generate_kwargs={"metadata": {"user": CANARY}},
            ),
            "hooks": [Listens()],
            "task": {"goal": f"open with {CANARY}", "headers": {"X-Key": CANARY}},
        }  # fmt: skip

    fork(path, at=2, agent=build, llm=live, into=into, redact={"door": CANARY},
         metadata={"user": CANARY})  # fmt: skip
    assert live.asked > 3
    assert hides(into.read_bytes())
    assert replay(into, build, redact={"door": CANARY}).matches


KILLED = """
import os, signal, sys
from tests.replay import test_traps_secrets as secrets
from looplet.replay import use_cassette

class Dies(secrets.Leaky):
    def before(self):
        if self.asked == 3:
            os.kill(os.getpid(), signal.SIGKILL)

secrets.record(__import__("pathlib").Path(sys.argv[1]), redact={"door": secrets.CANARY}, llm=Dies())
"""


def test_a_leftover_journal_has_no_byte_of_it(path):
    done = subprocess.run(
        [sys.executable, "-c", KILLED, str(path)], check=False, timeout=60, cwd=ROOT
    )
    assert done.returncode == -signal.SIGKILL
    journal = journal_path(path)
    assert read_journal(journal).count >= 4
    for each in path.parent.iterdir():
        assert hides(each.read_bytes()), each


def test_a_failed_recording_and_its_notes_hide_it(path):
    record(path, redact={"door": CANARY})

    def fails():
        with use_cassette(
            path, record_mode="all", tools="recorded", redact={"door": CANARY}
        ) as cassette:
            leaky_run(cassette, Leaky(), CANARY)
            raise RuntimeError("stop")

    with pytest.raises(RuntimeError) as caught:
        fails()
    assert hides("\n".join(caught.value.__notes__).encode())
    for each in path.parent.iterdir():
        assert hides(each.read_bytes()), each


def test_a_stop_reason_and_a_lane_hide_it(path):
    """A hook says why it stops; a caller names its lane after a key."""

    class Stops:
        def should_stop(self, state, step_num, new_entities):
            return HookDecision(stop=f"found {CANARY}")

    def run(cassette, llm):
        return list(
            composable_loop(
                llm=cassette.wrap_llm(llm, lane=f"user:{CANARY}"),
                tools=cassette.wrap_tools(leaky_tools("x" * 9), lane=f"user:{CANARY}"),
                config=cassette.wrap_config(LoopConfig(max_steps=3)),
                task="x",
                hooks=[Stops()],
            )
        )

    with use_cassette(
        path, record_mode="once", tools="recorded", redact={"door": CANARY}
    ) as cassette:
        run(cassette, model([call("fail")]))
        journal = journal_path(path).read_bytes()
    assert hides(journal)
    assert hides(path.read_bytes())
    with use_cassette(path, tools="recorded", redact={"door": CANARY}) as cassette:
        run(cassette, None)
        assert cassette.unplayed == 0
        assert cassette.replayed[0].digest == cassette.runs[0].digest
