"""The schema that a done-call's arguments are held to."""

from __future__ import annotations

import json
import subprocess
import sys

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from looplet import LoopConfig, tools_from
from looplet.core.output import judge_of

SCALARS = (
    st.none() | st.booleans() | st.integers(-3, 3) | st.sampled_from([0.5, 2.0]) | st.text("ab")
)
KINDS = st.sampled_from(["null", "boolean", "integer", "number", "string", "array", "object"])
LEAVES = st.one_of(
    st.just({}),
    st.builds(lambda kind: {"type": kind, "description": "…"}, KINDS),
    st.builds(lambda kinds: {"type": kinds}, st.lists(KINDS, min_size=1, unique=True)),
    st.builds(lambda values: {"enum": values}, st.lists(SCALARS, min_size=1, max_size=3)),
)


def fields(inner, required, closed):
    return {"type": "object", "properties": inner, "required": required, **closed}


SCHEMAS = st.recursive(
    LEAVES,
    lambda inner: st.one_of(
        st.builds(lambda each: {"type": "array", "items": each}, inner),
        st.builds(lambda each: {"anyOf": each}, st.lists(inner, min_size=1, max_size=3)),
        st.builds(
            fields,
            st.dictionaries(st.sampled_from("xyz"), inner, max_size=3),
            st.lists(st.sampled_from("xyz"), unique=True, max_size=2),
            st.sampled_from([{}, {"additionalProperties": False}, {"additionalProperties": True}]),
        ),
    ),
    max_leaves=6,
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("xyzw"), inner, max_size=3)
    ),
    max_leaves=6,
)


@given(
    st.dictionaries(st.sampled_from("ab"), SCHEMAS, max_size=2),
    st.dictionaries(st.sampled_from("abc"), VALUES, max_size=3),
)
def test_our_own_check_accepts_what_jsonschema_accepts(properties, args):
    schema = {"type": "object", "properties": properties, "required": sorted(properties)}
    ours = judge_of(schema, tool="done")(args)
    assert (ours is None) == jsonschema.Draft202012Validator(schema).is_valid(args)


@pytest.mark.parametrize(
    ("schema", "args", "complaint"),
    [
        ({"properties": {"n": {"minimum": 1}}}, {"n": 0}, "done.n': 0 is less than the minimum"),
        ({"properties": {"s": {"pattern": "^a"}}}, {"s": "b"}, "done.s'"),
        ({"properties": {"l": {"items": {"maximum": 1}}}}, {"l": [0, 2]}, "done.l[1]'"),
        ({"oneOf": [{"required": ["a"]}, {"required": ["b"]}]}, {}, "done'"),
        ({"$defs": {"n": {"type": "integer"}}, "properties": {"n": {"$ref": "#/$defs/n"}}},
         {"n": "x"}, "done.n'"),
        ({"additionalProperties": {"type": "integer"}}, {"n": "x"}, "done.n'"),
        ({"properties": {"n": {"$ref": "https://example.invalid/n.json"}}}, {"n": 1}, "not in it"),
    ],
)  # fmt: skip
def test_no_keyword_of_a_schema_is_passed_over(schema, args, complaint):
    assert complaint in (judge_of(schema, tool="done")(args) or "")


def test_a_done_that_a_schema_refuses_is_told_why_and_asked_again(drive):
    config = LoopConfig(output_schema={"properties": {"summary": {"minLength": 2}}})
    said = [json.dumps({"tool": "done", "args": {"summary": text}}) for text in ("x", "fine")]
    ran = drive(drive.text(said), tools=tools_from([], include_done=True), config=config)
    assert [step.tool_result.data.get("rejected") for step in ran.steps] == [True, None]
    assert ran.stop_reason == "done"


def test_what_is_no_schema_is_refused_before_the_model_is_asked(drive):
    llm = drive.text(["never"])
    config = LoopConfig(output_schema={"minLength": "two"})
    ran = drive(llm, tools=tools_from([], include_done=True), config=config)
    assert isinstance(ran.error, ValueError)
    assert "output_schema is no JSON Schema" in str(ran.error)
    assert llm.calls == 0


def test_without_jsonschema_the_error_names_the_keywords_and_the_extra():
    code = (
        "import sys; sys.modules['jsonschema'] = None\n"
        "from looplet.core.output import judge_of\n"
        "assert judge_of({'required': ['n']}, tool='done')({'n': 1}) is None\n"
        "judge_of({'properties': {'n': {'minimum': 1, 'type': 'integer'}}}, tool='done')"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert "an output_schema with minimum needs the package" in ran.stderr
    assert 'pip install "looplet[schema]"' in ran.stderr
