"""JSON Schema from type hints."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from enum import Enum, IntEnum
from typing import Annotated, Any, Literal, NotRequired, Optional, Required, TypedDict, Union

import pytest
from hypothesis import given
from hypothesis import strategies as st

from looplet.core.schema import schema_of_function, schema_of_type
from looplet.core.validation import mismatch


class Colour(Enum):
    RED = "red"
    BLUE = "blue"


class Size(IntEnum):
    BIG = 3


class Mixed(Enum):
    ONE = 1
    TWO = "two"


class Odd(Enum):
    THING = b"x"


class Order(TypedDict):
    fruit: str
    count: NotRequired[int]


class Loose(TypedDict, total=False):
    fruit: Required[str]
    count: int


@dataclasses.dataclass
class Point:
    x: float
    y: float = 0.0
    tags: list[str] = dataclasses.field(default_factory=list)


@dataclasses.dataclass
class Node:
    name: str
    children: list[Node]


@pytest.mark.parametrize(
    ("hint", "schema"),
    [
        (str, {"type": "string"}),
        (int, {"type": "integer"}),
        (float, {"type": "number"}),
        (bool, {"type": "boolean"}),
        (None, {"type": "null"}),
        (dict, {"type": "object"}),
        (dict[str, int], {"type": "object"}),
        (Mapping[str, int], {"type": "object"}),
        (list, {"type": "array", "items": {}}),
        (list[int], {"type": "array", "items": {"type": "integer"}}),
        (list[None], {"type": "array", "items": {"type": "null"}}),
        (Sequence[str], {"type": "array", "items": {"type": "string"}}),
        (set[str], {"type": "array", "items": {"type": "string"}}),
        (tuple[int, ...], {"type": "array", "items": {"type": "integer"}}),
        (tuple[int, str], {"type": "array"}),
        (list[list[bool]], {"type": "array", "items": schema_of_type(list[bool])}),
        (Literal["a", "b"], {"type": "string", "enum": ["a", "b"]}),
        (Literal["a", 1], {"enum": ["a", 1]}),
        (Literal[Colour.RED], {"type": "string", "enum": ["red"]}),
        (Colour, {"type": "string", "enum": ["red", "blue"]}),
        (Size, {"type": "integer", "enum": [3]}),
        (Mixed, {"enum": [1, "two"]}),
        (Odd, {}),
        (Optional[int], {"type": ["integer", "null"]}),  # noqa: UP045 - the other spelling
        (int | None, {"type": ["integer", "null"]}),
        (Literal["a"] | None, {"type": ["string", "null"], "enum": ["a", None]}),
        (Mixed | None, {"anyOf": [{"enum": [1, "two"]}, {"type": "null"}]}),
        (Union[int, str], {"anyOf": [{"type": "integer"}, {"type": "string"}]}),  # noqa: UP007
        (int | str | None, {"anyOf": [*({"type": t} for t in ("integer", "string", "null"))]}),
        (int | bytes, {}),
        (Any, {}),
        (object, {}),
        (bytes, {}),
        (Annotated[int, "how many"], {"type": "integer", "description": "how many"}),
        (Annotated[int, {"unhashable": 1}], {"type": "integer"}),
        (Annotated[int, 5, "how many"] | None, {"type": ["integer", "null"],
                                                "description": "how many"}),
        (Annotated[None, "nothing"] | None, {"type": "null", "description": "nothing"}),
        (Literal[None] | None, {"type": "null", "enum": [None]}),  # noqa: PYI061 - the other spelling
        (Order, {"type": "object", "properties": {"fruit": {"type": "string"},
                 "count": {"type": "integer"}}, "required": ["fruit"]}),
        (Loose, {"type": "object", "properties": {"fruit": {"type": "string"},
                 "count": {"type": "integer"}}, "required": ["fruit"]}),
        (Point, {"type": "object", "properties": {"x": {"type": "number"},
                 "y": {"type": "number"}, "tags": {"type": "array", "items": {"type": "string"}}},
                 "required": ["x"]}),
        (Node, {"type": "object", "properties": {"name": {"type": "string"},
                "children": {"type": "array", "items": {"type": "object"}}},
                "required": ["name", "children"]}),
    ],
)  # fmt: skip
def test_a_hint_becomes_its_schema(hint, schema):
    assert schema_of_type(hint) == schema


def test_parameters_without_a_default_are_required():
    def tool(a, b: int, c: str = "x", *args: int, ctx: Any, d: list[int] = [1], **kw: int): ...  # noqa: B006

    assert schema_of_function(tool) == {
        "type": "object",
        "properties": {
            "a": {"type": "string"},
            "b": {"type": "integer"},
            "c": {"type": "string", "default": "x"},
            "d": {"type": "array", "items": {"type": "integer"}, "default": [1]},
        },
        "required": ["a", "b"],
    }


@pytest.mark.parametrize(
    ("default", "shown"), [(None, [None]), (Colour.RED, ["red"]), ((1, 2), [[1, 2]]), (b"x", []),
                           (math.inf, []), ({"a": 1}, [{"a": 1}]), ({1: "a"}, [])]
)  # fmt: skip
def test_a_default_is_shown_if_json_has_a_form_for_it(default, shown):
    def tool(a: Any = default): ...

    schema = schema_of_function(tool)
    assert [schema["properties"]["a"][key] for key in schema["properties"]["a"]] == shown
    assert schema["required"] == []


def test_a_hint_that_cannot_be_resolved_is_any_value_and_leaves_the_others():
    def tool(a: int, b: Missing, c: list[Missing], d: "not a type!"): ...  # noqa: F821, F722

    properties = schema_of_function(tool)["properties"]
    assert properties["a"] == {"type": "integer"}
    assert properties["b"] == properties["c"] == properties["d"] == {}


SCALARS = [(str, st.text()), (int, st.integers()), (bool, st.booleans()), (None, st.none()),
           (float, st.floats(allow_nan=False).filter(lambda x: not x.is_integer()))]  # fmt: skip
LITERAL = (Literal["a", "b"], st.sampled_from(["a", "b"]))
typed = st.recursive(
    st.sampled_from([*SCALARS, LITERAL]),
    lambda inner: (
        inner.map(lambda pair: (list[pair[0]], st.lists(pair[1], max_size=3)))
        | inner.map(lambda pair: (Optional[pair[0]], pair[1] | st.none()))  # noqa: UP045
        | inner.map(
            lambda pair: (dict[str, pair[0]], st.dictionaries(st.text(), pair[1], max_size=2))
        )
        | st.tuples(inner, inner).map(
            lambda two: (Union[two[0][0], two[1][0]], two[0][1] | two[1][1])  # noqa: UP007
        )
    ),
    max_leaves=3,
)


def fits(value, hint):
    """Whether a value is of a type, by the types' own rules."""
    origin, parts = getattr(hint, "__origin__", None), getattr(hint, "__args__", ())
    if origin is Union:
        return any(fits(value, part) for part in parts)
    if origin is Literal:
        return isinstance(value, str) and value in parts
    if origin is list:
        return isinstance(value, list) and all(fits(item, parts[0]) for item in value)
    if origin is dict:  # the schema says object, and no more
        return isinstance(value, dict)
    if hint in (None, type(None)):
        return value is None
    if hint is float:
        return isinstance(value, int | float) and not isinstance(value, bool)
    return type(value) is hint


@given(st.data())
def test_a_schema_accepts_exactly_what_the_type_says(data):
    hint, _ = data.draw(typed)
    _, others = data.draw(typed)
    value = data.draw(others)
    assert (mismatch(value, schema_of_type(hint), "a") is None) == fits(value, hint)


@given(st.data())
def test_a_schema_accepts_every_value_of_its_type(data):
    hint, own = data.draw(typed)
    assert mismatch(data.draw(own), schema_of_type(hint), "a") is None
