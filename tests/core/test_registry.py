"""Tools by name: what is checked before a call, and what a result says."""

from __future__ import annotations

import asyncio
import contextvars
import logging
import threading
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from looplet.core.cancel import CancelToken
from looplet.core.records import ErrorKind, ToolCall
from looplet.core.registry import BaseToolRegistry, register_done_tool, tools_from
from looplet.core.tools import ToolContext, ToolSpec, clean_args, tool
from looplet.core.validation import surely_valid
from looplet.errors import ToolValidationError


def echo(text: str, other: str = "x") -> dict:
    return {"text": text, "other": other}


def registry_of(*items, **options):
    return tools_from(items, **options)


def dispatch(registry, name, /, **args):
    return registry.dispatch(ToolCall(name, args))


@given(st.text(st.characters(exclude_categories=())).filter(bool))
def test_a_text_reaches_the_tool_as_it_is(text):
    assert dispatch(registry_of(echo), "echo", text=text).data["text"] == text


def spec(parameters, function=lambda **kw: kw):
    return ToolSpec("t", "", parameters, function)


@pytest.mark.parametrize(
    ("name", "args", "words", "hint"),
    [
        ("ehco", {}, ["Unknown tool", "Did you mean 'echo'"], "echo"),
        ("zzz", {}, ["Unknown tool", "echo"], "echo"),
        ("echo", {}, ["missing required argument", "'text'", "Expected:"],
         {"missing": ["text"], "provided": [], "expected": ["text", "other"]}),
        ("echo", {"other": "1"}, ["missing required argument", "'text'", "'other'", "Expected:"],
         {"missing": ["text"], "provided": ["other"], "expected": ["text", "other"]}),
        ("echo", {"text": "1", "otter": "1"}, ["unexpected argument", "'otter'", "Did you mean"],
         {"unexpected": ["otter"], "did_you_mean": {"otter": "other"},
          "expected": ["text", "other"]}),
        ("echo", {"text": ""}, ["empty", "'text'"],
         {"empty_param": "text", "expected": ["text", "other"]}),
        ("echo", {"text": None}, ["empty", "'text'"],
         {"empty_param": "text", "expected": ["text", "other"]}),
    ],
)  # fmt: skip
def test_a_call_that_cannot_be_run_says_why_and_what_to_do(name, args, words, hint):
    result = registry_of(echo).dispatch(ToolCall(name, args, call_id="c1"))
    assert all(word in result.error for word in words)
    assert result.error_kind is ErrorKind.VALIDATION
    detail = result.error_detail.recovery_hint
    assert hint in detail if isinstance(hint, str) else detail == hint
    assert result.error_retriable == ("empty" in words)
    assert (result.call_id, result.data) == ("c1", None)


STRING, NULLABLE = {"type": "string"}, {"type": ["string", "null"]}


@pytest.mark.parametrize(
    ("properties", "args", "empty"),
    [
        ({"a": STRING, "b": STRING}, {"a": "", "b": ""}, "a"),
        ({"a": STRING, "b": STRING}, {"a": "", "b": "x"}, None),
        ({"a": STRING, "b": {"type": "integer"}}, {"a": "", "b": 0}, None),
        ({"a": {**STRING, "minLength": 1}, "b": STRING}, {"a": "", "b": "x"}, "a"),
        ({"a": {**STRING, "minLength": 0}, "b": STRING}, {"a": "", "b": ""}, None),
        ({"a": NULLABLE, "b": STRING}, {"a": None, "b": "x"}, None),
        ({"a": {"anyOf": [STRING, {"type": "null"}]}}, {"a": None}, None),
        ({"a": {}}, {"a": None}, None),
        ({"a": {"enum": ["x", None]}}, {"a": None}, None),
        ({"a": STRING, "b": STRING}, {"a": "x", "b": None}, "b"),
    ],
)
def test_empty_means_that_nothing_was_said(properties, args, empty):
    schema = {"type": "object", "properties": properties, "required": list(properties)}
    result = registry_of(spec(schema)).dispatch(ToolCall("t", args))
    found = result.error_detail.recovery_hint["empty_param"] if result.error else None
    assert found == empty


def test_types_are_checked_for_json_schema_alone():
    @tool
    def count(n: int, kind: Literal["a", "b"] = "a"): ...

    registry = registry_of(count)
    result = dispatch(registry, "count", n="3")
    assert result.error_kind is ErrorKind.VALIDATION
    assert all(word in result.error for word in ("'n'", "integer", "string"))
    assert "one of" in dispatch(registry, "count", n=1, kind="c").error
    assert dispatch(registry, "count", n=1, kind=None).error_kind is ErrorKind.VALIDATION
    assert dispatch(registry_of(spec({"n": "int"})), "t", n="3").data == {"n": "3"}


def test_dunder_arguments_never_reach_a_tool():
    result = dispatch(registry_of(echo), "echo", text="x", __theory__="t")
    assert result.error is None
    assert "__theory__" not in result.args_summary


def test_a_bare_text_goes_to_the_only_required_parameter():
    assert dispatch(registry_of(echo), "echo", _raw_arg=" hi ").data["text"] == " hi "
    two = registry_of(spec({"a": "str", "b": "str"}))
    assert dispatch(two, "t", _raw_arg="x").error_kind is ErrorKind.VALIDATION


def test_broken_native_arguments_are_a_validation_error():
    result = dispatch(registry_of(echo), "echo", _raw_arguments='{"text": "x')
    assert result.error_kind is ErrorKind.VALIDATION
    assert '{"text": "x' in result.error
    assert result.error_retriable


def test_further_arguments_pass_only_where_the_schema_says_so():
    open_schema = {"type": "object", "properties": {}, "additionalProperties": True}
    assert dispatch(registry_of(spec(open_schema)), "t", a=1).data == {"a": 1}


def test_a_context_is_passed_exactly_if_it_is_named():
    def with_ctx(ctx):
        return ctx.session_id

    def without(**kw):
        return sorted(kw)

    registry = registry_of(with_ctx, without)
    ctx = ToolContext(session_id="s")
    assert registry.dispatch(ToolCall("with_ctx"), ctx=ctx).data == "s"
    assert registry.dispatch(ToolCall("without"), ctx=ctx).data == []
    assert registry.dispatch(ToolCall("with_ctx")).error is None


def test_resources_reach_tools_and_an_unset_one_is_named():
    def read(ctx):
        return ctx.resources["db"]

    registry = registry_of(ToolSpec("read", "", {}, read, requires=["db"]))
    result = registry.dispatch(ToolCall("read"))
    assert (result.error_kind, "'db'" in result.error) == (ErrorKind.VALIDATION, True)
    registry.set_resources({"db": 1})
    assert registry.dispatch(ToolCall("read")).data == 1
    assert registry.dispatch(ToolCall("read"), ctx=ToolContext(resources={"x": 2})).data == 1


def test_a_cancelled_token_keeps_the_tool_from_running():
    token = CancelToken()
    token.cancel()
    result = registry_of(echo).dispatch(
        ToolCall("echo", {"text": "x"}), ctx=ToolContext(cancel_token=token)
    )
    assert result.error_kind is ErrorKind.CANCELLED


def noisy(ctx, text: str = "careful"):
    ctx.warn(text)
    raise ToolValidationError("no such fruit")


def test_warnings_are_kept_when_the_tool_raises():
    result = registry_of(noisy).dispatch(ToolCall("noisy"))
    assert (result.warnings, result.error) == (["careful"], "no such fruit")


def test_calls_that_share_a_context_keep_their_own_warnings():
    ctx = ToolContext()
    calls = [ToolCall("noisy", {"text": "one"}), ToolCall("noisy", {"text": "two"})]
    results = registry_of(noisy).dispatch_batch(calls, ctx=ctx)
    assert [result.warnings for result in results] == [["one"], ["two"]]
    assert ctx.warnings == ["one", "two"]


@pytest.mark.parametrize("args", [{1: "x"}, {"text": "x", 2: 3}])
def test_dispatch_never_raises_an_exception_whatever_the_arguments(args):
    assert registry_of(echo).dispatch(ToolCall("echo", args)).error_kind is ErrorKind.VALIDATION


def test_what_is_no_exception_escapes():
    def stop():
        raise KeyboardInterrupt

    safe = tool(name="safe", concurrent_safe=True)(stop)
    registry = registry_of(stop, safe)
    with pytest.raises(KeyboardInterrupt):
        registry.dispatch(ToolCall("stop"))
    with pytest.raises(KeyboardInterrupt):
        registry.dispatch_batch([ToolCall("safe"), ToolCall("safe")])


def test_a_batch_keeps_its_order_and_runs_safe_neighbours_in_at_most_ten_threads():
    seen, both = set(), threading.Barrier(2, timeout=10)

    @tool(concurrent_safe=True)
    def quick(n: int):
        seen.add(threading.get_ident())
        if n < 2:
            both.wait()
        return n

    calls = [ToolCall("quick", {"n": n}) for n in range(40)]
    results = registry_of(quick).dispatch_batch(calls)
    assert [result.data for result in results] == list(range(40))
    assert 2 <= len(seen) <= 10
    assert threading.get_ident() not in seen


def test_a_call_that_is_not_safe_runs_alone():
    registry = registry_of(
        tool(name="s", concurrent_safe=True)(lambda: 1), tool(name="u")(lambda: 1)
    )
    calls = [ToolCall(name) for name in ("s", "s", "u", "s", "u", "u")]
    assert list(registry.runs(calls)) == [(0, 2), (2, 3), (3, 4), (4, 5), (5, 6)]


def test_tools_of_a_batch_see_the_callers_context_variables():
    label = contextvars.ContextVar("label", default="none")
    label.set("mine")
    read = tool(name="read", concurrent_safe=True)(lambda: f"{label.get()}")
    results = registry_of(read).dispatch_batch([ToolCall("read"), ToolCall("read")])
    assert [result.data for result in results] == ["mine", "mine"]


def test_as_many_contexts_as_calls_are_needed():
    with pytest.raises(ValueError, match="1 contexts for 2 calls"):
        registry_of(echo).dispatch_batch([ToolCall("a"), ToolCall("b")], ctx=[None])


def test_a_name_that_is_registered_again_is_replaced_and_logged(caplog):
    registry = registry_of(echo)
    before = registry.tool_catalog_text()
    with caplog.at_level(logging.WARNING, logger="looplet"):
        registry.register(ToolSpec("echo", "Another.", {}, lambda: 2))
    assert "'echo'" in caplog.text
    assert dispatch(registry, "echo").data == 2
    assert registry.tool_catalog_text() != before


def test_a_registry_registers_decorated_functions():
    registry = BaseToolRegistry()

    @registry.tool
    def one(): ...

    @registry.tool(name="two", free=True)
    def other(): ...

    assert registry.tool_names == ["one", "two"]
    assert registry.introspect()["tool_count"] == 2
    assert registry.introspect()["tools"][1] == {
        "name": "two", "description": "", "parameters": other.parameters,
        "concurrent_safe": False, "free": True,
    }  # fmt: skip
    assert [schema["name"] for schema in registry.tool_schemas()] == ["one", "two"]


def test_think_and_done_come_when_asked_for():
    registry = tools_from([echo], include_think=True, include_done=True)
    assert registry.tool_names == ["echo", "think", "done"]
    assert dispatch(registry, "think", analysis="hm").data == {
        "acknowledged": True,
        "analysis": "hm",
    }
    think = registry.get("think")
    assert think.free
    assert think.concurrent_safe
    assert dispatch(registry, "done", summary="ok").data == {"status": "completed", "summary": "ok"}
    assert "completion" in registry.get("done").description


def test_done_may_have_another_name_and_other_parameters():
    registry = tools_from([], include_done=True, done_name="end", done_parameters={"n": "int"})
    assert dispatch(registry, "end", n=3).data == {"status": "completed", "n": 3}
    register_done_tool(registry)
    assert registry.tool_names == ["end", "done"]


def test_something_that_is_no_tool_is_refused():
    with pytest.raises(TypeError, match="str"):
        tools_from(["price"])


def test_a_copy_is_changed_without_its_original():
    registry = registry_of(echo)
    other = registry.copy()
    register_done_tool(other)
    assert registry.tool_names == ["echo"]
    assert "done" in other


async def later(n: int):
    await asyncio.sleep(0)
    return n


def test_a_coroutine_tool_runs_with_and_without_a_running_loop():
    registry = registry_of(later)
    assert dispatch(registry, "later", n=1).data == 1

    async def inside():
        return dispatch(registry, "later", n=2), await registry.adispatch(
            ToolCall("later", {"n": 3})
        )

    one, other = asyncio.run(inside())
    assert (one.data, other.data) == (2, 3)


@given(
    args=st.dictionaries(
        st.sampled_from(["text", "count", "rate", "flag", "other", "__note__"]),
        st.one_of(st.text(max_size=2), st.integers(), st.floats(), st.booleans(), st.none(),
                  st.lists(st.integers(), max_size=1)),
    )
)  # fmt: skip
def test_what_is_valid_at_a_glance_is_valid_when_looked_at_closely(args):
    registry = BaseToolRegistry()

    @registry.tool
    def work(text: str, count: int, rate: float = 1.0, flag: bool = False) -> dict:
        return {}

    spec = registry.get("work")
    call = ToolCall("work", args)
    clean = clean_args(call, spec)
    closely = registry._look_closer(spec, dict(clean))
    if surely_valid(clean, spec.quick, spec.required):
        assert closely is None
    assert (registry._check(clean, spec, None) is None) == (closely is None)
