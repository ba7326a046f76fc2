"""Guarantees 7, 8 and 9: a tool's function, its schema, its arguments and its time."""

from __future__ import annotations

import dataclasses
import json
import math
import threading
from collections.abc import Callable
from enum import Enum, IntEnum
from typing import Annotated, Any, Literal, NotRequired, Optional, TypedDict, Union

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from looplet import (
    BaseToolRegistry,
    LoopConfig,
    ToolCall,
    ToolContext,
    TrajectoryRecorder,
    tool,
    tools_from,
)
from looplet.core.codec import from_jsonable, to_jsonable
from tests.drivers import DRIVERS
from tests.guarantees.parts import DONE, call, several


@dataclasses.dataclass(frozen=True)
class Kind:
    """A type hint, what a value must be to be valid for it, and some values that are."""

    hint: Any
    takes: Callable[[Any], bool]
    valid: st.SearchStrategy[Any]


class Colour(Enum):
    RED, BLUE = "red", "blue"


class Size(IntEnum):
    SMALL, BIG = 1, 3


class Mixed(Enum):
    ONE, TWO, NO = 1, "two", False


def whole(value: Any) -> bool:
    return number(value) and float(value).is_integer()


def number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def among(choices: list[Any]) -> Callable[[Any], bool]:
    def takes(value: Any) -> bool:
        return any(
            value == each and isinstance(value, bool) == isinstance(each, bool) for each in choices
        )

    return takes


words = st.text(max_size=5)
integers = st.integers(-(10**6), 10**6)
anything = st.recursive(
    st.none() | st.booleans() | integers | st.sampled_from([0.5, 1.0, 3.0]) | words
    | st.sampled_from(["red", "blue", "two", "a", 1, 3, False]),
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(st.sampled_from(["x", "y", "name", "z"]), inner, max_size=3),
    max_leaves=5,
)  # fmt: skip
LEAVES = st.sampled_from(
    [
        Kind(str, lambda v: isinstance(v, str), words),
        Kind(int, whole, integers),
        Kind(float, number, st.sampled_from([0.5, 1, -3])),
        Kind(bool, lambda v: isinstance(v, bool), st.booleans()),
        Kind(dict, lambda v: isinstance(v, dict), st.just({"x": 1})),
        Kind(dict[str, int], lambda v: isinstance(v, dict), st.just({"x": 1})),
        Kind(list, lambda v: isinstance(v, list), st.just([1, "a"])),
        Kind(tuple[int, str], lambda v: isinstance(v, list), st.just([1, "a"])),
        Kind(None, lambda v: v is None, st.none()),
        Kind(Any, lambda v: True, anything),
        Kind(bytes, lambda v: True, anything),
        Kind(Literal["a", "b"], among(["a", "b"]), st.sampled_from(["a", "b"])),
        Kind(Literal[1, "a"] | None, among([1, "a", None]), st.sampled_from([1, "a", None])),
        Kind(Literal[True, 3], among([True, 3]), st.sampled_from([True, 3])),
        Kind(Colour, among(["red", "blue"]), st.sampled_from(["red", "blue"])),
        Kind(Size, among([1, 3]), st.sampled_from([1, 3])),
        Kind(Mixed, among([1, "two", False]), st.sampled_from([1, "two", False])),
    ]
)


def array(inner: Kind, make: Callable[[Any], Any]) -> Kind:
    return Kind(
        make(inner.hint),
        lambda value: isinstance(value, list) and all(map(inner.takes, value)),
        st.lists(inner.valid, max_size=3),
    )


def union(one: Kind, other: Kind) -> Kind:
    return Kind(
        Union[one.hint, other.hint],  # noqa: UP007 - a hint may be None
        lambda value: one.takes(value) or other.takes(value),
        one.valid | other.valid,
    )


def optional(inner: Kind) -> Kind:
    takes = lambda value: value is None or inner.takes(value)  # noqa: E731 - one of a table
    return Kind(Optional[inner.hint], takes, st.none() | inner.valid)  # noqa: UP045 - as above


def fields_of(x: Kind, y: Kind, *, typed_dict: bool) -> Kind:
    """A type with a required ``x`` and an optional ``y``."""
    if typed_dict:
        hint: Any = TypedDict("Row", {"x": x.hint, "y": NotRequired[y.hint]})
    else:
        hint = dataclasses.make_dataclass(
            "Row", [("x", x.hint), ("y", y.hint, dataclasses.field(default=None))]
        )

    def takes(value: Any) -> bool:
        return isinstance(value, dict) and "x" in value and x.takes(value["x"]) and (
            "y" not in value or y.takes(value["y"])
        )  # fmt: skip

    return Kind(hint, takes, st.fixed_dictionaries({"x": x.valid}, optional={"y": y.valid}))


KINDS = st.recursive(
    LEAVES,
    lambda inner: st.one_of(
        st.builds(lambda kind: array(kind, lambda hint: list[hint]), inner),
        st.builds(lambda kind: array(kind, lambda hint: set[hint]), inner),
        st.builds(lambda kind: array(kind, lambda hint: tuple[hint, ...]), inner),
        st.builds(union, inner, inner),
        st.builds(optional, inner),
        st.builds(
            lambda kind: Kind(Annotated[kind.hint, "a note", 3], kind.takes, kind.valid), inner
        ),
        st.builds(lambda x, y, td: fields_of(x, y, typed_dict=td), inner, inner, st.booleans()),
    ),
    max_leaves=5,
)


def tool_of(kind: Kind, *, default: bool) -> tuple[BaseToolRegistry, list[Any]]:
    got: list[Any] = []

    def take(anchor: int, x: Any) -> dict:
        got.append(x)
        return {"ok": True}

    def take_or_not(anchor: int, x: Any = "nothing") -> dict:
        got.append(x)
        return {"ok": True}

    function = take_or_not if default else take
    function.__annotations__ = {"anchor": int, "x": kind.hint}
    function.__name__ = "take"
    return tools_from([function], include_done=True), got


@settings(max_examples=400)
@given(kind=KINDS, default=st.booleans(), data=st.data())
def test_a_schema_accepts_exactly_what_the_hint_does(kind, default, data):
    registry, got = tool_of(kind, default=default)
    schema = registry.get("take").to_json_schema()
    Draft202012Validator.check_schema(schema)
    json.dumps(schema)
    judge = Draft202012Validator(schema)
    value = data.draw(kind.valid | anything, label="value")
    result = registry.dispatch(ToolCall("take", {"anchor": 1, "x": value}))
    accepted = result.error is None
    assert accepted is kind.takes(value), result.error
    assert judge.is_valid({"anchor": 1, "x": value}) is accepted
    assert got == ([value] if accepted else [])
    assert accepted or result.error_kind.value == "validation"
    assert accepted or "'x" in result.error


@settings(max_examples=100)
@given(kind=KINDS, data=st.data())
def test_a_valid_value_reaches_the_function_from_a_models_reply(kind, data):
    registry, got = tool_of(kind, default=False)
    value = data.draw(kind.valid)
    drive = DRIVERS["sync"]
    drive(drive.text([call("take", anchor=1, x=value), DONE]), tools=registry)
    assert got == [value]


def test_the_decorated_function_stays_callable_with_its_own_arguments(drive):
    def plain(first: int, /, second: int = 2, *rest: int, third: int, **more: int) -> tuple:
        """Add up."""
        return first, second, rest, third, more

    made = [tool(plain), tool(name="other", description="d", timeout_s=1)(plain)]
    for spec in made:
        assert spec(1, third=3) == (1, 2, (), 3, {})
        assert spec(1, 5, 6, third=3, fourth=4) == (1, 5, (6,), 3, {"fourth": 4})
        assert (spec.__name__, spec.__doc__, spec.__wrapped__) == ("plain", "Add up.", plain)

    @tool
    def price(fruit: str, count: int = 1) -> dict:
        return {"fruit": fruit, "count": count}

    registry = tools_from([price], include_done=True)
    ran = drive(drive.text([call("price", fruit="pear"), DONE]), tools=registry)
    assert ran.steps[0].tool_result.data == price("pear") == price(fruit="pear")


any_text = st.text(st.characters(exclude_categories=()))


@given(text=any_text, name=st.sampled_from([*DRIVERS]), native=st.booleans())
def test_string_arguments_reach_the_tool_byte_for_byte(text, name, native):
    got: list[str] = []
    tools = tools_from([], include_done=True)

    @tools.tool
    def write(path: str, text: str) -> dict:
        got.append(text)
        return {}

    drive, args = DRIVERS[name], {"path": "p", "text": text}
    blocks = [{"type": "tool_use", "id": "c", "name": "write", "input": args}]
    llm = drive.native([blocks]) if native else drive.text([call("write", **args)])
    ran = drive(llm, tools=tools, config=LoopConfig(max_steps=1, use_native_tools=native))
    assert got == [text]
    assert ran.steps[0].tool_call.args["text"] == text


@pytest.mark.parametrize("concurrent", [False, True], ids=["alone", "batch"])
def test_a_timed_out_tool_never_blocks_the_loop(drive, concurrent):
    release, told = threading.Event(), threading.Event()
    tools = tools_from([], include_done=True)

    @tools.tool(timeout_s=0.05, concurrent_safe=True)
    def stuck(n: int, ctx: ToolContext) -> dict:
        ctx.warn("about to hang")
        if ctx.cancel_token.wait(60):
            told.set()
        release.wait(60)
        return {}

    replies = [several(call("stuck", n=1), call("stuck", n=2)), DONE]
    ran = drive(drive.text(replies), tools=tools, config=LoopConfig(concurrent_dispatch=concurrent))
    assert ran.stop_reason == "done"
    for step in ran.steps[:2]:
        assert step.tool_result.error_kind.value == "timeout"
        assert step.tool_result.error_retriable
        assert step.tool_result.warnings == ["about to hang"]
    assert told.wait(60), "its own cancel token was set"
    release.set()


odd_text = st.sampled_from(["\ud800", "\x00", "a\x1b[31m", "\u2028", "é", "$looplet", ""])
leaves = (
    st.none() | st.booleans() | st.integers(-(10**400), 10**400) | st.floats() | odd_text
    | st.binary(max_size=4) | st.datetimes().map(lambda each: each.replace(fold=0))
    | st.integers(14_000, 17_000).map(lambda bits: -(1 << bits))
)  # fmt: skip
keys = odd_text | st.integers() | st.booleans() | st.none() | st.tuples(odd_text, st.integers())
odd_values = st.recursive(
    leaves,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(keys, inner, max_size=3)
        | st.lists(inner, max_size=3).map(tuple)
        | st.sets(st.integers() | odd_text, max_size=3)
    ),
    max_leaves=8,
)


@given(value=odd_values, depth=st.integers(0, 60))
def test_odd_values_come_back_from_json_as_they_were(value, depth):
    for _ in range(depth):
        value = [value]
    text = json.dumps(to_jsonable(value), allow_nan=False)
    text.encode()
    assert exactly(from_jsonable(json.loads(text))) == exactly(value)


def test_a_number_of_thousands_of_digits_breaks_no_run(drive, tmp_path):
    tools = tools_from([], include_done=True)

    @tools.tool
    def factorial(n: int) -> dict:
        return {"value": math.factorial(n), "list": [math.factorial(n)]}

    @tools.tool
    def bare(n: int) -> int:
        return math.factorial(n)

    recorder = TrajectoryRecorder()
    config = LoopConfig(checkpoint_dir=tmp_path)
    replies = [call("factorial", n=3000), call("bare", n=3000), DONE]
    task = {"beat": 10**5000, "list": [10**5000]}
    ran = drive(drive.text(replies), tools=tools, hooks=[recorder], config=config, task=task)
    assert (ran.error, ran.stop_reason) == (None, "done")
    assert ran.steps[1].tool_result.data == math.factorial(3000)
    assert [len(step.pretty()) < 400 for step in ran.steps] == [True] * 3
    assert json.loads(json.dumps(ran.steps[1].to_dict()))
    again = drive(drive.text([]), tools=tools, config=config, task=task)
    assert again.state.steps[1].tool_result.data == math.factorial(3000)


def exactly(value: Any) -> Any:
    """A value with the types of its parts, sets in one order, and NaN equal to itself."""
    if isinstance(value, dict):
        return [(exactly(key), exactly(item)) for key, item in value.items()]
    if isinstance(value, list | tuple):
        return type(value), [exactly(item) for item in value]
    if isinstance(value, set):
        return type(value), sorted(map(repr, value))
    return hex(value) if type(value) is int else repr(value)
