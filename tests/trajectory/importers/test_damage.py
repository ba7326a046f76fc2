"""Files that are cut, changed or strange: whatever is in them is imported, or told; never raised.

What is imported can be stored, and comes back equal.
"""

from __future__ import annotations

import copy
import gzip
import io
import json
import tempfile
import zipfile
from datetime import UTC, datetime
from pathlib import Path

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from looplet.core.messages import ChatMessage
from looplet.core.records import ErrorKind, ToolCall, ToolError, ToolResult, Usage
from looplet.trajectory import LLMCall, StepRecord, Trajectory, TrajectoryStore
from looplet.trajectory.exporters.atif import document_of
from looplet.trajectory.importers import formats, import_trajectories
from looplet.trajectory.text import to_json_text
from looplet.trajectory.trace_dir import TraceDir

CALL = {"id": "c", "type": "function", "function": {"name": "look", "arguments": '{"n": 1}'}}
TURNS = [
    {"role": "system", "content": "Use <returncode>."},
    {"role": "user", "content": [{"type": "text", "text": "Go."}]},
    {"role": "assistant", "content": "Hm.", "tool_calls": [CALL]},
    {"role": "tool", "tool_call_id": "c", "name": "look", "content": "seen"},
    {"role": "assistant", "content": "```bash\nls\n```", "reasoning": "so"},
    {"role": "user", "content": "<returncode>0</returncode>"},
]
USAGE = {"prompt_tokens": 3, "completion_tokens": 2, "input_tokens": 1, "total_tokens": 5}
EVENTS = [
    {"event": "span_begin", "id": "s", "type": "solver", "name": "x", "parent_id": None},
    {
        "event": "model",
        "timestamp": "2026-01-01T00:00:00+00:00",
        "completed": "2026-01-01T00:00:02+00:00",
        "span_id": "s",
        "model": "m",
        "input": [],
        "input_refs": [[0, 2]],
        "tools": [{"name": "look"}],
        "config": {"temperature": 0.5},
        "output": {"choices": [{"message": TURNS[2], "stop_reason": "stop"}], "usage": USAGE},
    },
    {"event": "tool", "id": "c", "function": "look", "arguments": {"n": 1}, "result": "seen"},
]
SAMPLE = {
    "id": 1,
    "epoch": 1,
    "input": TURNS[:2],
    "target": "x",
    "messages": TURNS,
    "events": EVENTS,
    "events_data": {"messages": TURNS[:2], "calls": []},
    "attachments": {"aa": "text"},
    "scores": {"match": {"value": "C"}},
    "output": {"choices": [{"message": TURNS[4]}], "completion": ""},
    "model_usage": {"m": USAGE},
    "error": {"message": "m"},
    "started_at": "2026-01-01T00:00:00+00:00",
}
SPEC = {"task": "t", "model": "m", "tags": ["a"], "dataset": {}, "revision": {"commit": "c"}}
REQUEST = {
    "model": "m",
    "messages": TURNS[:4],
    "tools": [{"name": "look"}],
    "max_tokens": 5,
    "system": [{"type": "text", "text": "s"}],
    "input": [TURNS[1], {"type": "function_call_output", "call_id": "c", "output": "seen"}],
    "prompt": ["p"],
}
REPLY = {
    "id": "r",
    "model": "m",
    "created": 7,
    "choices": [{"message": TURNS[2], "finish_reason": "stop", "text": "t"}],
    "content": [
        {"type": "thinking", "thinking": "t"},
        {"type": "tool_use", "id": "c", "name": "look", "input": {}},
    ],
    "output": [
        {"type": "reasoning", "summary": []},
        {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "t"}]},
        {"type": "function_call", "call_id": "c", "name": "look", "arguments": "{}"},
    ],
    "usage": USAGE | {"prompt_tokens_details": {"cached_tokens": 1}},
}
APIS = ["/chat/completions", "/messages", "/responses", "/completions"]
STREAMS = {
    "/chat/completions": [
        {"choices": [{"delta": {"content": "x", "reasoning": "r"}}], "id": "i", "created": 1},
        {"choices": [{"delta": {"tool_calls": [{"index": 0, **CALL}]}, "finish_reason": "stop"}]},
        {"choices": [], "usage": USAGE},
    ],
    "/messages": [
        {"type": "message_start", "message": {"content": [], "usage": USAGE}},
        {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
        {"type": "content_block_delta", "delta": {"type": "text_delta", "text": "x"}},
        {"type": "content_block_delta", "delta": {"type": "citations_delta", "citation": {}}},
        {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": USAGE},
        {"type": "message_stop"},
    ],
    "/responses": [{"type": "response.completed", "response": REPLY}],
    "/completions": [{"choices": [{"text": "x"}]}, {"choices": [{"finish_reason": "stop"}]}],
}
ASKS = {"tool_call_id": "c", "function_name": "look", "arguments": {"n": 1}, "extra": {"a": 1}}
ATIF = {
    "schema_version": "ATIF-v1.7",
    "session_id": "s",
    "agent": {"name": "a", "version": "1", "model_name": "m", "tool_definitions": [{}]},
    "steps": [
        {"step_id": 1, "source": "user", "message": "Go.", "timestamp": "2026-01-01T00:00:00Z"},
        {
            "step_id": 2,
            "source": "agent",
            "message": [{"type": "text", "text": "Hm."}],
            "reasoning_content": "so",
            "tool_calls": [ASKS],
            "observation": {
                "results": [
                    {"source_call_id": "c", "content": "x", "extra": {"is_error": True}},
                    {"content": "y", "subagent_trajectory_ref": [{"trajectory_id": "t"}]},
                ]
            },
            "metrics": {"prompt_tokens": 1, "cost_usd": 0.5},
            "llm_call_count": 1,
        },
        {"step_id": 3, "source": "agent", "message": "", "is_copied_context": True},
    ],
    "final_metrics": {"total_cost_usd": 1},
    "subagent_trajectories": [
        {"trajectory_id": "t", "steps": [{"source": "agent", "message": "in"}]}
    ],
}


def attributes(**values):
    """Attributes of a span, the parts of their names with two underscores between them."""
    kinds = {str: "stringValue", int: "intValue", float: "doubleValue", list: "arrayValue"}
    return [
        {
            "key": name.replace("__", "."),
            "value": {kinds[type(each)]: {"values": each} if isinstance(each, list) else each},
        }
        for name, each in values.items()
    ]


def span(number, told, **more):
    """A span of one trace, below the first."""
    return {
        "traceId": "0af7651916cd43dd8448eb211c80319c",
        "spanId": f"{number:016x}",
        "parentSpanId": f"{1:016x}" if number > 1 else "",
        "name": "x",
        "startTimeUnixNano": str(number * 10**9),
        "endTimeUnixNano": number * 10**9 + 5,
        "attributes": told,
        **more,
    }


ASKS = '[{"role": "assistant", "parts": [{"type": "tool_call", "id": "c", "name": "look"}]}]'
SAID = '[{"role": "tool", "parts": [{"type": "tool_call_response", "id": "c", "response": [1]}]}]'
SPANS = [
    span(
        1,
        attributes(gen_ai__operation__name="invoke_agent", looplet__stop_reason="done"),
        status={"code": 2, "message": "m"},
    ),
    span(
        2,
        attributes(
            gen_ai__operation__name="chat",
            gen_ai__input__messages='[{"role": "user", "content": "hi"}]',
            gen_ai__output__messages=ASKS,
            gen_ai__usage__input_tokens="3",
            gen_ai__request__temperature=0.5,
            gen_ai__response__finish_reasons=[{"stringValue": "stop"}],
            gen_ai__tool__definitions='[{"type": "function", "name": "look", "parameters": {}}]',
        ),
    ),
    span(
        3,
        attributes(
            gen_ai__operation__name="execute_tool",
            gen_ai__tool__name="look",
            gen_ai__tool__call__id="c",
            gen_ai__tool__call__arguments='{"n": 1}',
            looplet__step__number=2,
            error__type="timeout",
        ),
        events=[{"name": "exception", "attributes": attributes(exception__type="E")}],
    ),
    span(
        4,
        attributes(
            openinference__span__kind="LLM",
            llm__input_messages__0__message__role="user",
            llm__input_messages__0__message__contents__0__message_content__text="hi",
            llm__output_messages__0__message__tool_calls__0__tool_call__function__name="look",
        ),
    ),
    span(
        5,
        attributes(gen_ai__operation__name="chat"),
        events=[
            {"name": "gen_ai.tool.message", "attributes": attributes(content="x", id="c")},
            {"name": "gen_ai.choice", "attributes": attributes(message='[{"text": "x"}]')},
            {"name": "x", "attributes": attributes(gen_ai__input__messages=SAID)},
        ],
    ),
    span(
        6,
        attributes(traceloop__span__kind="tool", traceloop__entity__input='{"kwargs": {"n": 1}}'),
    ),
]
OWN = [
    span(
        11,
        attributes(
            gen_ai__operation__name="invoke_agent",
            looplet__run__trajectory_id='"t"',
            looplet__run__metadata='{"n": 1}',
            looplet__run__tags='["a"]',
            looplet__run__trial="1",
            looplet__unknown=[{"stringValue": "end"}],
        ),
        parentSpanId="",
    ),
    span(
        12,
        attributes(
            gen_ai__operation__name="chat",
            looplet__call__index="0",
            looplet__call__params='{"seed": 1}',
            looplet__call__first_token_ms="1.5",
        ),
        parentSpanId=f"{11:016x}",
    ),
    span(
        13,
        attributes(
            gen_ai__operation__name="execute_tool",
            gen_ai__tool__call__result='{"$looplet": "tuple", "value": [1]}',
            looplet__step__number=1,
            looplet__step__usage='{"input_tokens": 1}',
            looplet__step__error_detail='{"retriable": true}',
            looplet__step__llm_call_indices="[0]",
            error__type="timeout",
        ),
        parentSpanId=f"{11:016x}",
    ),
]

BASES = {
    "atif": ATIF,
    "tau-bench": [
        {
            "task_id": 1,
            "trial": 0,
            "reward": 1.0,
            "info": {"task": {"actions": [], "instruction": "x"}, "error": None},
            "traj": TURNS,
        }
    ],
    "intercode": {
        "0": {
            "environment": "ic_bash",
            "task_id": 0,
            "query": "q",
            "turn_history": {
                "actions": ["ls", "submit"],
                "observations": ["a", None],
                "rewards": [0, 1.0],
                "valid_action": [True, False],
                "thoughts": ["a", "b"],
            },
            "summary": {"max_reward": 1.0, "turns_max": 3},
            "info": {"eval_obs": "x"},
        }
    },
    "swe-agent": {
        "environment": "main",
        "trajectory": [
            {
                "action": "ls",
                "observation": "a",
                "thought": "t",
                "response": "Hm.",
                "execution_time": 0.1,
                "query": TURNS[:2],
            },
            {"action": "submit", "observation": "", "thought": ""},
        ],
        "history": [
            *({**turn, "agent": "main", "tool_call_ids": ["c"]} for turn in TURNS[:4]),
            {**TURNS[4], "thinking_blocks": [{"type": "thinking", "thinking": "t"}]},
        ],
        "info": {"exit_status": "submitted", "model_stats": {"instance_cost": 0.1}},
        "replay_config": '{"agent": {"model": {"name": "m"}}}',
    },
    "mini-swe-agent": {
        "info": {"mini_version": "2", "model_stats": {"instance_cost": 1}, "config": {}},
        "messages": [
            *TURNS,
            {
                "object": "response",
                "output": [{"type": "function_call", "call_id": "d", "name": "bash"}],
                "extra": {"actions": [], "response": {"choices": [{"message": {}}]}},
            },
            {"type": "function_call_output", "call_id": "d", "output": "x"},
            {"role": "exit", "content": "", "extra": {"exit_status": "Submitted"}},
        ],
        "trajectory_format": "mini-swe-agent-1.1",
    },
    "inspect": {
        "version": 2,
        "status": "success",
        "eval": SPEC,
        "plan": {"steps": [{"solver": "s"}]},
        "results": {},
        "samples": [SAMPLE],
    },
    "otlp": {
        "resourceSpans": [
            {
                "resource": {"attributes": attributes(service__name="s")},
                "scopeSpans": [
                    {"scope": {"name": "tests"}, "spans": SPANS},
                    {"scope": {"name": "looplet"}, "spans": OWN},
                ],
            }
        ]
    },
    "vcr": {
        "interactions": [
            {
                "request": {
                    "uri": f"https://x.example/v1{api}",
                    "method": "POST",
                    "headers": {"host": ["x"]},
                    "parsed_body": REQUEST,
                },
                "response": {
                    "status": {"code": 200},
                    "headers": {"date": ["Thu, 01 Jan 2026 00:00:00 GMT"]},
                    "parsed_body": REPLY,
                },
            }
            for api in APIS
        ]
        + [
            {
                "request": {"uri": "https://x.example/messages", "parsed_body": REQUEST},
                "response": {"status": 400, "body": {"string": '{"error": {"message": "m"}}'}},
            }
        ]
    },
    "anthropic-messages": {
        "system": "s",
        "tools": [{"name": "look", "input_schema": {}}],
        "messages": [
            TURNS[1],
            {"role": "assistant", "content": REPLY["content"], "usage": USAGE, "model": "m"},
            {
                "role": "user",
                "content": [
                    {"type": "tool_result", "tool_use_id": "c", "content": "seen", "is_error": True}
                ],
            },
        ],
    },
    "openai-messages": {
        "messages": [*TURNS, {"role": "assistant", "content": None, "refusal": "no"}],
        "tools": [{"type": "function", "function": {"name": "look"}}],
        "model": "m",
        "reward": 1,
        "tags": ["a"],
        "trial": 1,
        "task_id": "t",
    },
}
RECORDED = Trajectory(
    trajectory_id="t",
    run_id="r",
    task={"goal": "g"},
    reward=0.5,
    trial=1,
    tags=["a"],
    stop_reason="done",
    started_at=datetime(2026, 1, 1, tzinfo=UTC),
    ended_at=datetime(2026, 1, 1, tzinfo=UTC),
    steps=[
        StepRecord(
            step_num=1,
            tool_call=ToolCall("look", {"n": 1}, "so", "c"),
            tool_result=ToolResult("look", "n=1", {"seen": 1}, error="e", call_id="c"),
            timestamp=1.5,
            usage=Usage(1, 2, 3),
            llm_call_indices=[0],
        )
    ],
    llm_calls=[
        LLMCall(
            0, 1.0, 2.0, "generate_with_tools", "p", "s", [{"type": "text", "text": "t"}],
            tools=[{"name": "look"}], model="m", params={"n": 1}, step_num=1,
            messages=(ChatMessage(role="user", content="p"),) * 3,
        )
    ],
)  # fmt: skip
SESSION = [
    {"type": "summary", "summary": "s", "leafUuid": "x"},
    {"type": "user", "uuid": "a", "parentUuid": None, "sessionId": "s", "message": TURNS[1],
     "timestamp": "2026-01-01T00:00:00Z", "cwd": "/"},
    {"type": "assistant", "uuid": "b", "parentUuid": "a", "sessionId": "s", "requestId": "q",
     "message": {"role": "assistant", "id": "m", "content": [
         {"type": "tool_use", "id": "c", "name": "look", "input": {"n": 1}}],
         "usage": USAGE, "model": "m"}},
    {"type": "user", "uuid": "d", "parentUuid": "b", "sessionId": "s", "toolUseResult": {
        "durationMs": 1}, "message": {"role": "user", "content": [
            {"type": "tool_result", "tool_use_id": "c", "content": "seen", "is_error": False}]}},
    {"type": "system", "uuid": "e", "parentUuid": "a", "sessionId": "s", "subtype": "x"},
    {"type": "user", "uuid": "f", "parentUuid": "e", "sessionId": "s", "message": TURNS[1]},
    {"type": "user", "uuid": "g", "parentUuid": None, "sessionId": "s", "isSidechain": True,
     "message": TURNS[1], "agentId": "w"},
]  # fmt: skip
STRANGE = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.sampled_from([2**31, 2**63, 2**70, -(2**64), 10**400, 1e308, float("inf"), float("nan")]),
    st.floats(),
    st.text(st.characters(exclude_categories=()), max_size=4),
    st.sampled_from(["", "\x00", "\ud800", "2026-13-01", "9999-12-31T23:59:59-12:00", "[DONE]"]),
    st.just([]),
    st.just({}),
    st.just({"$looplet": "tuple", "value": 3}),
    st.lists(st.integers() | st.none(), max_size=2),
    st.dictionaries(
        st.sampled_from(["role", "content", "type", "id", "text"]), st.text(), max_size=2
    ),
)


def as_lines(values):
    return "".join(json.dumps(each) + "\n" for each in values)


def written_trace(folder):
    TraceDir(folder, run_id="r").complete(RECORDED, calls=RECORDED.llm_calls)
    return folder


def test_every_format_has_a_file_that_is_read_whole(tmp_path):
    sources = {name: json.dumps(base) for name, base in BASES.items()}
    sources["claude-code"] = as_lines(SESSION)
    assert {*sources, "looplet"} == set(formats())
    for name in [*sources, "looplet"]:
        path = tmp_path / name
        if name == "looplet":
            written_trace(path)
        else:
            path.write_text(sources[name])
        problems = []
        runs = list(import_trajectories(path, on_problem=problems.append))
        assert {run.source_format for run in runs} == {name}
        assert problems == []


def places(value, path=()):
    """The way to every value inside of a value."""
    yield path
    if isinstance(value, dict | list):
        for key, item in value.items() if isinstance(value, dict) else enumerate(value):
            yield from places(item, (*path, key))


def replaced(value, path, new):
    """A copy with another value at the end of a way; ``...`` takes it out."""
    if not path:
        return new
    copied = copy.copy(value)
    if len(path) == 1 and new is ...:
        del copied[path[0]]
    else:
        copied[path[0]] = replaced(value[path[0]], path[1:], new)
    return copied


@st.composite
def changed(draw, name):
    """A file's value, or a list, changed in a few places."""
    value = name if isinstance(name, list) else BASES[name]
    for _ in range(draw(st.integers(1, 3))):
        path = draw(st.sampled_from(list(places(value))))
        value = replaced(value, path, draw(STRANGE | st.just(...)) if path else draw(STRANGE))
    return value


@st.composite
def damaged(draw, data):
    """Bytes that are cut, or changed in a few places."""
    if draw(st.booleans()):
        return data[: draw(st.integers(0, len(data)))]
    data = bytearray(data)
    for _ in range(draw(st.integers(1, 4))):
        place = draw(st.integers(0, len(data) - 1))
        data[place : place + draw(st.integers(0, 2))] = draw(st.binary(max_size=3))
        data = data or bytearray(b" ")
    return bytes(data)


def in_zip(base):
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for sample in base["samples"]:
            archive.writestr("samples/1_epoch_1.json", json.dumps(sample))
        shell = {key: each for key, each in SAMPLE.items() if key != "messages"}
        archive.writestr("samples/2/sample.json", json.dumps(shell | {"message_refs": [[0, 1]]}))
        archive.writestr("samples/2/messages/0.json", json.dumps(TURNS))
        archive.writestr("header.json", json.dumps({**base, "samples": []}))
    return out.getvalue()


FILES = {
    **{name: json.dumps(base).encode() for name, base in BASES.items()},
    "lines": b"\n".join(json.dumps(base).encode() for base in BASES["tau-bench"] * 3),
    "session": as_lines(SESSION).encode(),
    "zip": in_zip(BASES["inspect"]),
    "yaml": yaml.safe_dump(BASES["vcr"]).encode(),
    "gzip": gzip.compress(json.dumps(BASES["tau-bench"]).encode()),
}
SLOW = settings(
    deadline=None,
    max_examples=40,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


def see_that_it_is_told(folder, data, names, *, empty=False):
    """Import bytes, or a folder, as each format, and store what comes of it.

    ``empty`` is a whole file that has no run.
    """
    path = data if isinstance(data, Path) else folder / "file"
    if isinstance(data, bytes):
        path.write_bytes(data)
    for name in names:
        problems = []
        runs = list(import_trajectories(path, format=name, on_problem=problems.append))
        assert runs or problems or empty, f"{name}: nothing was imported, and nobody was told"
        assert all(problem.message and str(problem) for problem in problems)
        with tempfile.TemporaryDirectory() as store:
            TrajectoryStore(store).append(runs)
            kept = list(TrajectoryStore(store))
            assert repr(kept) == repr(runs)  # NaN is not equal to itself


@pytest.mark.parametrize("name", BASES)
@given(data=st.data())
@SLOW
def test_any_change_of_a_value_is_imported_or_told(name, data, tmp_path):
    value = data.draw(changed(name))
    text = json.dumps(value).encode()
    empty = isinstance(value, dict) and value.get("samples") == []  # an evaluation of none
    see_that_it_is_told(tmp_path, text, ["auto", name], empty=empty)


@given(data=st.data())
@SLOW
def test_any_change_of_a_session_is_imported_or_told(data, tmp_path):
    lines = data.draw(changed(SESSION))
    text = as_lines(lines if isinstance(lines, list) else [lines])
    see_that_it_is_told(tmp_path, text.encode(), ["auto", "claude-code"])


@given(data=st.data())
@SLOW
def test_any_change_of_a_trace_directory_is_imported_or_told(data, tmp_path):
    with tempfile.TemporaryDirectory() as name:
        folder = written_trace(Path(name, "trace"))
        place = data.draw(st.sampled_from(sorted(each for each in folder.rglob("*.*"))))
        kept = place.read_bytes()
        if place.suffix == ".json" and data.draw(st.booleans()):
            value = data.draw(changed([json.loads(kept)]))
            place.write_text(json.dumps(value[0] if isinstance(value, list) and value else value))
        else:
            place.write_bytes(data.draw(damaged(kept)))
        see_that_it_is_told(tmp_path, folder, ["auto", "looplet"])


@given(data=st.data())
@settings(SLOW, max_examples=80)
def test_any_change_of_a_file_that_looplet_wrote_is_imported_or_told(data, tmp_path, make):
    run = make(
        "a", trial=1, tags=["b"], reward=0.5, cost_usd=1.0, expected=(1, 2), artifacts={"n": 1}
    )
    step, call = run.steps[0], run.llm_calls[0]
    step.llm_call_indices, step.usage = [0], Usage(1, 2, 3)
    step.tool_result.error_detail = ToolError(ErrorKind.TIMEOUT, "late")
    step.tool_result.error = "late"
    call.tools, call.params, call.metadata = [{"name": "price"}], {"seed": 1}, {"a": 1}
    run.llm_calls[1].messages = call.messages
    document, _ = document_of(run)
    text = json.dumps(data.draw(changed([json.loads(to_json_text(document))])))
    see_that_it_is_told(tmp_path, text.encode(), ["auto"])


@pytest.mark.parametrize("api", APIS)
@given(data=st.data())
@SLOW
def test_any_change_of_a_stream_is_imported_or_told(api, data, tmp_path):
    events = data.draw(changed(STREAMS[api]))
    lines = events if isinstance(events, list) else [events]
    text = "".join(f"data: {json.dumps(each)}\n\n" for each in lines)
    request = {"uri": f"https://x.example{api}", "parsed_body": REQUEST}
    tape = {"interactions": [{"request": request, "response": {"body": {"string": text}}}]}
    see_that_it_is_told(tmp_path, json.dumps(tape).encode(), ["vcr"])


@pytest.mark.parametrize("kind", FILES)
@given(data=st.data())
@SLOW
def test_any_damage_of_bytes_is_imported_or_told(kind, data, tmp_path):
    see_that_it_is_told(tmp_path, data.draw(damaged(FILES[kind])), ["auto"])


@pytest.mark.parametrize("name", formats())
@given(data=st.data())
@settings(SLOW, max_examples=15)
def test_any_file_can_be_insisted_to_be_of_a_format(name, data, tmp_path):
    kind = data.draw(st.sampled_from(sorted(FILES)))
    see_that_it_is_told(tmp_path, data.draw(damaged(FILES[kind])), [name])
