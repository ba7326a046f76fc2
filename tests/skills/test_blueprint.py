"""Blueprints: whole, comparable, the same everywhere, and without secrets."""

from __future__ import annotations

import ast
import functools
import json
import string
import subprocess
import sys
from dataclasses import dataclass, field, replace
from enum import Enum
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from looplet import LoopConfig, StaticMemorySource, ToolSpec, tool, tools_from
from looplet.errors import SkillError
from looplet.skills import (
    AgentBlueprint,
    AgentPreset,
    ComponentBlueprint,
    SkillRuntime,
    SourceBlueprint,
    ToolBlueprint,
    blueprint_from_bundle,
    blueprint_from_preset,
    compare_blueprints,
    minimal_preset,
)
from looplet.skills.literals import literal, text_literal

CANARY = "can4ry-" + "x" * 9


class Mode(Enum):
    FAST = "fast"


@dataclass
class Inner:
    password: str = CANARY
    seen: set = field(default_factory=lambda: {"b", "a"})


class Hook:
    """Holds secrets under many names, and other things under others."""

    def __init__(self, secret: str = CANARY) -> None:
        self.api_key = self.apiKey = self.token = self.AUTHORIZATION = secret
        self.access_tokens = [secret]
        self.credentials = {"user": secret}
        self.headers = {"X-Api-Key": secret, "accept": "json"}
        self.client_secret = Inner(secret)
        self.note = "uses sk-proj-" + "a1B2" * 8
        self._private = secret
        self.inner = Inner(secret)
        self.max_tokens, self.limit, self.mode = 7, 0.5, Mode.FAST
        self.path, self.call, self.kind = Path("a/b"), helper, Hook
        self.itself = self

    def pre_prompt(self, state, session_log, context, step_num): ...


class Slotted:
    __slots__ = ("a", "b")

    def __init__(self):
        self.a = 1


def helper(): ...


@tool(timeout_s=3, concurrent_safe=True)
def fetch(url: str, api_key: str, password: str = CANARY) -> str:
    """Fetch a page."""
    return url


def preset(secret=CANARY):
    def closure(): ...

    tools = tools_from([fetch, ToolSpec("near", "Near.", {}, closure)], include_done=True)
    config = LoopConfig(
        max_steps=5,
        temperature=0.9,
        memory_sources=[StaticMemorySource("euro")],
        generate_kwargs={"api_key": secret},
    )
    return AgentPreset(config=config, hooks=[Hook(secret), Slotted()], tools=tools)


def test_no_secret_is_in_a_blueprint_and_all_else_is():
    blueprint = blueprint_from_preset(preset(), name="a", metadata={"auth_token": CANARY})
    text = json.dumps(blueprint.to_dict())

    assert CANARY not in text
    assert "a1B2a1B2" not in text
    config = blueprint.hooks[0].config
    assert {key: config[key] for key in ("max_tokens", "limit", "mode", "path")} == {
        "max_tokens": 7, "limit": 0.5, "mode": "fast", "path": "a/b",
    }  # fmt: skip
    assert config["call"] == f"{__name__}:helper"
    assert config["kind"] == f"{__name__}:Hook"
    assert config["headers"] == {"X-Api-Key": "[REDACTED]", "accept": "json"}
    assert config["inner"]["config"] == {"password": "[REDACTED]", "seen": ["a", "b"]}
    assert "_private" not in config
    assert blueprint.hooks[1] == ComponentBlueprint(f"{__name__}:Slotted", {"a": 1})
    assert blueprint.config == {
        "max_steps": 5, "temperature": 0.9, "generate_kwargs": {"api_key": "[REDACTED]"},
    }  # fmt: skip
    assert blueprint.memory_sources == [
        ComponentBlueprint("looplet.core.memory:StaticMemorySource", {"text": "euro"})
    ]


def test_a_tool_is_told_with_its_schema_and_its_function():
    first, near, _ = blueprint_from_preset(preset(), name="a").tools
    assert first == ToolBlueprint(
        name="fetch",
        description="Fetch a page.",
        parameters={
            "type": "object",
            "properties": {
                "url": {"type": "string"},
                "api_key": {"type": "string"},
                "password": {"type": "string", "default": "[REDACTED]"},
            },
            "required": ["url", "api_key"],
        },
        handler=f"{__name__}:fetch",
        concurrent_safe=True,
        timeout_s=3,
    )
    assert near.handler is None


class Holder:
    def __init__(self, **held):
        vars(self).update(held)


NUMBER = 90215768
HELD = {
    "a variable of a process": {"env": {"PRICES_API_KEY": CANARY, "MY_PW": CANARY}},
    "variables as texts": {"env": [f"PRICES_TOKEN={CANARY}"]},
    "headers in pairs": {"headers": [("X-Api-Key", CANARY), [b"cookie", CANARY]]},
    "name and value": {"headers": [{"name": "x-api-key", "value": CANARY}]},
    "words of a command": {"command": ["serve", "--api-key", CANARY, f"--token={CANARY}"]},
    "a command": {"command": f"serve --password {CANARY} --port 80"},
    "a URL": {"url": f"https://host/?page=2&access_token={CANARY}"},
    "a connection": {"to": f"Server=x;Password={CANARY}"},
    "digits": {"pin": NUMBER, "apiKey": NUMBER, "admin_password": NUMBER},
    "other names": dict.fromkeys(("jwt", "otp", "oauth", "authHeader", "webhook_url"), CANARY),
    "a callable": {"token": functools.partial(print, CANARY), "get_token": lambda: CANARY},
    "an object under a name": {"credentials": Holder(user="ann", value=CANARY)},
    "an object that is called": {"token": Inner(CANARY), "call": functools.partial(print, CANARY)},
}


@pytest.mark.parametrize("held", HELD.values(), ids=list(HELD))
def test_a_credential_is_hidden_wherever_a_component_holds_it(held):
    agent = AgentPreset(hooks=[Holder(**held)], tools=tools_from([], include_done=True))
    agent.config = LoopConfig(generate_kwargs=held)
    text = json.dumps(blueprint_from_preset(agent, name="a", metadata=held).to_dict())
    assert CANARY not in text
    assert str(NUMBER) not in text


def test_what_only_looks_a_little_like_a_credential_stays():
    held = {
        "max_tokens": 7, "price_per_token": 0.5, "command": ["sort", "--key", "--reverse"],
        "url": "https://host/?page=2", "author": "ann", "pair": ["left", "right"],
        "fields": ["token", "key", "name"], "named": {"name": "pear", "value": "ripe"},
        "token_count": 3, "use_key": True,
    }  # fmt: skip
    agent = AgentPreset(hooks=[Holder(**held)], tools=tools_from([], include_done=True))
    words = "Call price with key=apple, or price --token now; see https://host/?key=a."
    agent.config = LoopConfig(system_prompt=words)
    blueprint = blueprint_from_preset(agent, name="a", instructions=words)
    assert blueprint.hooks[0].config == held
    assert blueprint.config["system_prompt"] == blueprint.instructions == words


def test_defaults_within_a_schema_are_hidden_and_its_words_stay():
    inner = {"type": "object", "properties": {"password": {"default": CANARY}}}
    schema = {
        "type": "object",
        "properties": {
            "token": {"description": "such as token=abc", "enum": ["a", "b"], "examples": [CANARY]},
            "options": {"anyOf": [inner, {"$ref": "#/$defs/more"}], "default": {"api_key": CANARY}},
        },
        "$defs": {"more": {"properties": {"secret": {"default": CANARY}}}},
    }
    agent = AgentPreset(tools=tools_from([ToolSpec("near", "Near.", schema, helper)]))
    (told,) = blueprint_from_preset(agent, name="a").tools
    hidden = json.loads(json.dumps(schema).replace(CANARY, "[REDACTED]"))
    assert told.parameters == hidden


def test_a_fingerprint_is_the_same_in_every_run_and_wherever_the_bundle_lies(make_bundle, tmp_path):
    roots = [make_bundle(), make_bundle(where="elsewhere/grocer")]
    prints = {blueprint_from_bundle(root).fingerprint() for root in roots}
    code = (
        "import sys; from looplet import *\nprint(blueprint_from_bundle(sys.argv[1]).fingerprint())"
    )
    for seed in ("1", "2"):
        ran = subprocess.run(
            [sys.executable, "-c", code, roots[0]],
            capture_output=True, text=True, check=True, env={"PYTHONHASHSEED": seed}, cwd=tmp_path,
        )  # fmt: skip
        prints.add(ran.stdout.strip())
    assert len(prints) == 1
    assert len(prints.pop()) == 64


def test_metadata_count_unless_they_are_left_out():
    one = blueprint_from_preset(minimal_preset(), name="a", metadata={"license": "MIT"})
    other = replace(one, metadata={"license": "BSD"}, source=SourceBlueprint("bundle", "/x"))

    assert compare_blueprints(one, other).differences == ("metadata.license: 'MIT' and 'BSD'",)
    assert compare_blueprints(one, other, ignore_metadata=True)
    assert one.fingerprint() != other.fingerprint()
    assert one.fingerprint(include_metadata=False) == other.fingerprint(include_metadata=False)


def test_a_difference_is_told_with_its_place():
    one = blueprint_from_preset(minimal_preset(tools=[fetch]), name="a")
    other = blueprint_from_preset(minimal_preset(max_steps=3, tools=[helper]), name="a")
    found = compare_blueprints(one, other)
    assert not found.ok
    assert "config.max_steps: 10 and 3" in found.differences
    assert "tools[0].name: 'fetch' and 'helper'" in found.differences
    assert "state.config.max_steps: 10 and 3" in found.differences
    fewer = replace(one, tools=one.tools[:1])
    assert compare_blueprints(one, fewer).differences == ("tools: 2 and 1 entries",)


NAMES = st.text(string.printable, max_size=5)
LEAVES = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | NAMES
)
JSONS = st.dictionaries(NAMES, LEAVES | st.lists(LEAVES, max_size=3), max_size=3)
COMPONENTS = st.builds(ComponentBlueprint, NAMES, JSONS)
BLUEPRINTS = st.builds(
    AgentBlueprint,
    NAMES,
    tags=st.lists(NAMES, max_size=2),
    source=st.none() | st.builds(SourceBlueprint, NAMES, NAMES, NAMES, NAMES),
    config=JSONS,
    tools=st.lists(st.builds(ToolBlueprint, NAMES, NAMES, JSONS), max_size=2),
    hooks=st.lists(COMPONENTS, max_size=2),
    state=st.none() | COMPONENTS,
    metadata=JSONS,
)


@given(BLUEPRINTS, BLUEPRINTS)
def test_a_blueprint_survives_json_and_is_equal_to_itself_alone(one, other):
    again = AgentBlueprint.from_dict(json.loads(json.dumps(one.to_dict())))
    assert again == one
    assert compare_blueprints(one, again)
    assert again.fingerprint() == one.fingerprint()
    equal = compare_blueprints(one, other).ok
    assert equal == compare_blueprints(other, one).ok
    assert equal == (one.fingerprint() == other.fingerprint())


@pytest.mark.parametrize(
    ("data", "told"),
    [
        ({"name": "a", "schema_version": "v2"}, "schema version 'v2'"),
        ({"name": "a", "colour": 1}, "no field colour"),
        ({}, "not whole"),
        ({"name": "a", "tools": [{}]}, "not whole"),
        ({"name": "a", "tools": ["x"]}, "is a mapping"),
        ({"name": "a", "state": {"kind": "x", "size": 1}}, "no field size"),
    ],
)
def test_what_is_no_blueprint_is_refused(data, told):
    with pytest.raises(SkillError, match=told):
        AgentBlueprint.from_dict(data)


@given(st.text())
def test_a_text_is_written_so_that_python_reads_it_again(text):
    assert ast.literal_eval(text_literal(text)) == text


@given(JSONS)
def test_json_is_written_so_that_python_reads_it_again(value):
    assert ast.literal_eval(literal(value)) == value


def test_the_runtime_reaches_the_bundle(make_bundle):
    runtime = SkillRuntime(max_steps=4)
    assert blueprint_from_bundle(make_bundle(), runtime).config["max_steps"] == 4
