"""What a tool is, and how a function becomes one."""

from __future__ import annotations

import inspect

import pytest

from looplet.core.cancel import CancelToken
from looplet.core.tools import ToolContext, ToolSpec, tool


def price(fruit: str, count: int = 1) -> float:
    """Price of fruit, in euro.

    More of the docstring.
    """
    return 0.4 * count


def test_a_decorated_function_stays_the_function_it_was():
    spec = tool(price)
    assert spec("apple", 2) == spec(fruit="apple", count=2) == 0.8
    assert spec.__name__ == "price"
    assert spec.__doc__ == price.__doc__
    assert spec.__wrapped__ is price
    assert inspect.signature(spec) == inspect.signature(price)


def test_name_and_description_come_from_the_function_unless_given():
    assert (tool(price).name, tool(price).description) == ("price", "Price of fruit, in euro.")
    other = tool(name="cost", description="", concurrent_safe=True, free=True, timeout_s=2)(price)
    assert (other.name, other.description, other.timeout_s) == ("cost", "", 2)
    assert other.concurrent_safe
    assert other.free


@pytest.mark.parametrize(
    ("text", "schema", "required"),
    [
        ("str", {"type": "string"}, True),
        ("string: its name", {"type": "string", "description": "its name"}, True),
        ("int - how many", {"type": "integer", "description": "how many"}, True),
        ("integer, how many", {"type": "integer", "description": "how many"}, True),
        ("float (in euro)", {"type": "number", "description": "in euro"}, True),
        ("number", {"type": "number"}, True),
        ("bool", {"type": "boolean"}, True),
        ("boolean: x", {"type": "boolean", "description": "x"}, True),
        ("list", {"type": "array"}, True),
        ("array: a, b", {"type": "array", "description": "a, b"}, True),
        ("dict", {"type": "object"}, True),
        ("object", {"type": "object"}, True),
        ("(optional) int: how many", {"type": "integer", "description": "how many"}, False),
        ("(optional)", {"type": "string"}, False),
        ("(optional) the name", {"type": "string", "description": "the name"}, False),
        ("number of items", {"type": "string", "description": "number of items"}, True),
        ("the name", {"type": "string", "description": "the name"}, True),
        ("", {"type": "string"}, True),
    ],
)
def test_shorthand_names_a_type_and_a_description(text, schema, required):
    spec = ToolSpec("t", "", {"a": text}, price)
    assert spec.to_json_schema() == {
        "type": "object",
        "properties": {"a": schema},
        "required": ["a"] if required else [],
    }
    assert not spec.is_json_schema


def test_json_schema_is_passed_on_as_it_is():
    schema = {"type": "object", "properties": {"a": {"$ref": "#/x"}}, "required": ["a"], "x": 1}
    spec = ToolSpec("t", "Does it.", schema, price)
    assert spec.is_json_schema
    assert spec.to_json_schema() == schema
    assert spec.to_api_schema() == {"name": "t", "description": "Does it.", "input_schema": schema}
    assert (spec.parameter_names(), spec.required_parameters()) == (["a"], ["a"])


def test_a_line_for_the_prompt_names_each_argument():
    schema = {
        "type": "object",
        "properties": {
            "a": {"type": ["string", "null"], "description": "a note"},
            "b": {"enum": ["x", 1]},
            "c": True,
        },
        "required": ["a"],
    }
    line = ToolSpec("t", "Does it.", schema, price).spec_text()
    assert line == "t(a: string|null (a note), b?: 'x'|1, c?: any): Does it."


def test_a_context_without_a_run_behind_it_says_no():
    ctx = ToolContext()
    assert ctx.approve("Pay?") is None
    ctx.report_progress("half")
    assert (ctx.llm, ctx.metadata, ctx.resources) == (None, {}, {})


def test_a_context_hands_progress_and_approval_on():
    told = []
    ctx = ToolContext(
        on_progress=lambda stage, data: told.append((stage, data)),
        request_approval=lambda prompt, options: f"{prompt} {options}",
        cancel_token=CancelToken(),
    )
    ctx.report_progress("half", 0.5)
    assert told == [("half", 0.5)]
    assert ctx.approve("Pay?", ["yes"]) == "Pay? ['yes']"
