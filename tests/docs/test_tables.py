"""Tables that say what the code does, against the code."""

from __future__ import annotations

import html
import json
import re
import typing
from dataclasses import dataclass
from decimal import Decimal
from enum import Enum
from pkgutil import resolve_name
from typing import TypedDict

from looplet import (
    LifecycleEvent,
    MockLLMBackend,
    ToolContext,
    ToolResult,
    composable_loop,
    tools_from,
)
from looplet.core.decisions import HONOURED, read_decision
from looplet.core.listeners import METHODS, SLOTS
from looplet.core.schema import schema_of_type
from tests.conftest import ROOT

NOTHING = "\u2013"


def table(page, *header):
    """The rows of the table whose first header cells are these."""
    lines = (ROOT / "docs" / page).read_text("utf-8").splitlines()
    start = next(
        place for place, line in enumerate(lines) if cells(line)[: len(header)] == [*header]
    )
    rows = []
    for line in lines[start + 2 :]:
        if not line.startswith("|"):
            break
        rows.append(cells(line))
    return rows


def cells(line):
    if not line.startswith("|"):
        return []
    shown = re.sub(r"<code>(.*?)</code>", r"`\1`", line)
    return [html.unescape(cell.strip()) for cell in shown.split("|")[1:-1]]


def code(cell):
    """What stands in backticks at a cell's beginning."""
    return re.match(r"`([^`]+)`", cell).group(1)


class Ripeness(Enum):
    GREEN = "green"
    RIPE = "ripe"


@dataclass
class Order:
    fruit: str
    count: int = 1


class Basket(TypedDict):
    fruits: list[str]


def test_the_table_of_schemas_is_what_hints_become():
    names = {**vars(typing), "Ripeness": Ripeness, "Order": Order, "Basket": Basket}
    names["Decimal"] = Decimal
    for hints, schema in table("tools.md", "hint", "schema"):
        for hint in re.findall(r"`([^`]+)`(?! *\))", hints.split(" (")[0]):
            made = schema_of_type(eval(hint, names))
            assert made == json.loads(code(schema)), hint


def test_the_table_of_slots_has_every_slot_with_its_parameters():
    called = set()
    methods = {}
    for row in table("hooks.md", "method", "when"):
        name, parameters = code(row[0]).removesuffix(")").split("(")
        exec(f"def {name}({parameters}): called.add({name!r})", {"called": called}, methods)
    hook = type("Hook", (), {name: staticmethod(body) for name, body in methods.items()})()
    replies = ['{"tool": "think", "args": {"analysis": "x"}}']
    llm = Streams([*replies, '{"tool": "done", "args": {"summary": "x"}}'])
    tools = tools_from([], include_think=True, include_done=True)
    assert len(list(composable_loop(llm, "Rest.", tools, hooks=[hook]))) == 2
    assert called == set(METHODS) == set(methods)


class Streams(MockLLMBackend):
    """Tells each reply as one piece."""

    def generate(self, prompt, *, on_chunk, **_):
        reply = super().generate(prompt)
        on_chunk(reply)
        return reply


def test_the_table_of_decisions_is_what_slots_honour():
    rows = table("hooks.md", "slot", "`additional_context`")
    fields = ["additional_context", "updated_args", "updated_result", "block", "stop"]
    shown = {
        code(slot): {name for name, mark in zip(fields, marks, strict=True) if mark == "✓"}
        for slot, *marks in rows
    }
    assert shown == {slot: set(names) for slot, names in HONOURED.items()}


def test_the_table_of_plain_values_is_what_slots_read():
    values = {
        "a `str`": ["text"],
        "`True` or `False`": [True, False],
        "a `ToolResult`": [ToolResult("price", "", 1)],
    }
    shown = {}
    for slot, *meanings in table("hooks.md", "slot", "a `str`"):
        for kind, meaning in zip(values, meanings, strict=True):
            shown[code(slot), kind] = meaning != NOTHING
    slots = [slot for slot in HONOURED if slot in SLOTS]
    assert shown == {
        (slot, kind): all(has_meaning(value, slot) for value in given)
        for slot in slots
        for kind, given in values.items()
    }


def has_meaning(value, slot):
    try:
        read_decision(value, slot=slot, hook="Any")
    except TypeError:
        return False
    return True


def test_the_table_of_events_names_every_event():
    rows = table("hooks.md", "event", "when")
    assert [code(row[0]) for row in rows] == [event.value for event in LifecycleEvent]


def test_the_table_of_what_was_asked_has_what_both_events_tell():
    heard = {"both": set(), "response": set()}

    class Hears:
        def on_event(self, payload):
            if payload.event == "pre_llm_call":
                heard["both"] |= set(payload.extra)
            elif payload.event == "post_llm_response":
                heard["response"] |= set(payload.extra)

    llm = MockLLMBackend(['{"tool": "think", "args": {"analysis": "x"}}', TypeError("wrong")])
    tools = tools_from([], include_think=True, include_done=True)
    assert len(list(composable_loop(llm, "Rest.", tools, hooks=[Hears()]))) == 2
    shown = {"both": set(), "response": set()}
    for row in table("hooks.md", "key", "in"):
        shown[row[1]].add(code(row[0]))
    assert shown == {"both": heard["both"], "response": heard["response"] - heard["both"]}


def test_the_hooks_that_are_there_are_there():
    for row in table("hooks.md", "hook", "does"):
        hook = resolve_name(f"looplet.{code(row[0]).removeprefix('looplet.')}")
        assert any(hasattr(hook, method) for method in METHODS)


def test_the_table_of_a_tools_context_has_only_what_it_has():
    named = [
        name.split("(")[0]
        for row in table("tools.md", "member", "is")
        for name in re.findall(r"`([^`]+)`", row[0])
    ]
    missing = [name for name in named if not hasattr(ToolContext(), name)]
    assert missing == []
