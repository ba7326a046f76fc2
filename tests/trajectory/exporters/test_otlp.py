"""Runs as OTLP JSON: what the official protocol reads, and what importing gives back."""

from __future__ import annotations

import json
import tempfile
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from google.protobuf import json_format
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from looplet.core.messages import CallRequest, ChatMessage
from looplet.core.records import Usage
from looplet.trajectory.exporters.registry import known_targets
from looplet.trajectory.importers import import_trajectories
from looplet.trajectory.model import LLMCall, chain
from tests.trajectory.conftest import MESSAGES, TRAJECTORIES, VALUES, make_trajectory

TEXTS = st.text(max_size=8)
TIMES = st.none() | st.integers(1_700_000_100_000_000, 2**52).map(
    lambda microseconds: datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=microseconds)
)
REPLIES = st.none() | TEXTS | st.lists(
    st.one_of(
        st.builds(lambda name, args: {"type": "tool_use", "id": "c", "name": name, "input": args},
                  TEXTS, st.dictionaries(TEXTS, st.integers(), max_size=2)),
        st.builds(lambda text: {"type": "thinking", "thinking": text, "signature": "s"}, TEXTS),
    ),
    min_size=1, max_size=2,
)  # fmt: skip


ENGLISH = ("", "Be brief.", "0.55")
CONVERSATIONS = st.lists(
    st.one_of(
        st.builds(ChatMessage, role=st.just("user"), content=st.sampled_from(ENGLISH)),
        st.builds(ChatMessage, role=st.just("system"), content=st.sampled_from(ENGLISH[1:])),
        st.builds(
            ChatMessage, role=st.just("tool"), content=TEXTS, call_id=st.sampled_from(["a", "b"])
        ),
        st.builds(
            ChatMessage,
            role=st.just("assistant"),
            content=TEXTS,
            calls=st.lists(
                st.builds(CallRequest, id=TEXTS, name=TEXTS, input=st.just({"n": 1})), max_size=2
            ).map(tuple),
        ),
    ),
    min_size=1,
    max_size=6,
)


def export(folder, runs):
    """What is told as lost, and the requests as the file has them."""
    lost = []
    assert known_targets()["otlp"].write(iter(runs), folder, lost.append) == len(runs)
    (file,) = folder.iterdir()
    assert file.name == "traces.jsonl"
    return lost, file.read_text().splitlines()


def parsed(line):
    """A request as the official package reads it; it refuses what is not of the protocol."""
    return json_format.Parse(line, ExportTraceServiceRequest())


def there_and_back(folder, runs):
    problems = []
    found = list(import_trajectories(folder, on_problem=problems.append))
    assert problems == []
    assert len(found) == len(runs)
    return found


@st.composite
def ordered(draw):
    """A run whose steps and calls are numbered, and follow each other in time."""
    run = draw(TRAJECTORIES)
    run.started_at, run.ended_at = draw(TIMES), draw(TIMES)
    if run.started_at and run.ended_at:
        run.ended_at = max(run.started_at, run.ended_at)
    steps = []
    for number, step in enumerate(run.steps, start=1):
        step.step_num, step.timestamp, step.duration_ms = (
            number,
            1_700_000_000.009 + 10 * number,
            2.5,
        )
        step.tool_result.tool = step.tool_call.tool
        step.tool_call.call_id = step.tool_call.call_id or "c"  # the loop's is never empty
        step.tool_result.call_id = step.tool_call.call_id
        step.tool_result.duration_ms = 2.5
        if step.tool_result.error is None:
            step.tool_result.error_detail = None
        step.llm_call_indices = []
        steps.append(step)
    for index, call in enumerate(run.llm_calls):
        call.index, call.timestamp, call.duration_ms = index, 1_700_000_000.009 + 10 * index, 1.25
        call.step_num = index + 1 if index < len(steps) else None
        call.response, call.messages = draw(REPLIES), tuple(draw(CONVERSATIONS))
        call.temperature = draw(st.floats(0, 2))
        if call.step_num is not None:
            steps[index].llm_call_indices = [index]
    for step, link in zip(steps, chain(run.task, steps), strict=True):
        step.digest = link
    return run


SLOW = settings(
    deadline=None,
    max_examples=60,
    report_multiple_bugs=False,
    suppress_health_check=[HealthCheck.too_slow],
)
STEP_FIELDS = ("step_num", "timestamp", "duration_ms", "context_before", "llm_call_indices",
               "digest", "usage")  # fmt: skip
RESULT_FIELDS = ("data", "error", "error_kind", "error_retriable", "warnings", "metadata",
                 "result_key")  # fmt: skip
CALL_FIELDS = ("index", "timestamp", "duration_ms", "method", "response", "temperature",
               "max_tokens", "step_num", "error", "metadata", "input_tokens",
               "output_tokens", "cached_tokens", "tokens_estimated", "params", "finish_reason",
               "first_token_ms", "key")  # fmt: skip
RUN_FIELDS = ("task", "task_id", "trial", "tags", "started_at", "ended_at", "stop_reason", "reward",
              "expected", "final_output", "artifacts", "git_sha", "input_tokens", "output_tokens",
              "digest")  # fmt: skip


def fields(value, names):
    return {name: getattr(value, name) for name in names}


def encodable(run):
    """The run without lone surrogates, which protobuf's texts cannot hold."""
    texts = [run.stop_reason, *[call.scope for call in run.llm_calls]]
    texts += [each.finish_reason for each in run.llm_calls]
    texts += [text for step in run.steps for text in (step.tool_call.tool, step.tool_call.call_id)]
    texts += [step.tool_result.error_message for step in run.steps]
    try:
        "".join(text or "" for text in texts).encode()
    except UnicodeEncodeError:
        return False
    return True


@SLOW
@given(run=ordered().filter(encodable))
def test_importing_what_was_exported_gives_the_run_again(run):
    with tempfile.TemporaryDirectory() as name:
        _, (line,) = export(Path(name), [run])
        spans = parsed(line).resource_spans[0].scope_spans[0].spans
        assert len(spans) == 1 + len(run.steps) + len(run.llm_calls)
        (found,) = there_and_back(Path(name), [run])
    assert fields(found, RUN_FIELDS) == fields(run, RUN_FIELDS)
    for ours, theirs in zip(run.steps, found.steps, strict=True):
        assert fields(theirs, STEP_FIELDS) == fields(ours, STEP_FIELDS)
        assert theirs.tool_call == ours.tool_call
        told, given_ = theirs.tool_result, ours.tool_result
        assert fields(told, RESULT_FIELDS) == fields(given_, RESULT_FIELDS)
    for ours, theirs in zip(run.llm_calls, found.llm_calls, strict=True):
        assert fields(theirs, CALL_FIELDS) == fields(ours, CALL_FIELDS)


@SLOW
@given(messages=CONVERSATIONS, told=st.sampled_from(["description", "schema"]))
def test_every_conversation_and_its_tools_come_back(messages, told):
    tools = {
        "description": [{"name": "look", "description": "d", "input_schema": {"type": "object"}}],
        "schema": [{"type": "function", "function": {"name": "look", "parameters": {}}}],
    }[told]
    head = messages[0].content if messages[0].role == "system" else ""
    call = LLMCall(0, 1.0, 1.0, "generate_with_tools", messages[-1].content, head, "ok",
                   tools=tools, messages=tuple(messages))  # fmt: skip
    run = replace(make_trajectory("a"), llm_calls=[call])
    with tempfile.TemporaryDirectory() as name:
        export(Path(name), [run])
        (found,) = there_and_back(Path(name), [run])
    (again,) = found.llm_calls
    assert list(again.messages) == messages
    assert (again.prompt, again.system_prompt, again.tools) == (call.prompt, head, tools)


def test_names_and_shapes_are_those_of_the_conventions(tmp_path):
    run = make_trajectory("a", agent="grocer")
    _, (line,) = export(tmp_path, [run])
    request = parsed(line)
    (scope_spans,) = request.resource_spans[0].scope_spans
    assert scope_spans.schema_url.startswith("https://opentelemetry.io/schemas/")
    names = [span.name for span in scope_spans.spans]
    assert names == ["invoke_agent grocer", "chat scripted", "chat scripted",
                     "execute_tool price", "execute_tool done"]  # fmt: skip
    root = scope_spans.spans[0]
    assert {span.parent_span_id for span in scope_spans.spans[1:]} == {root.span_id}
    assert len({span.span_id for span in scope_spans.spans}) == len(names)
    assert root.start_time_unix_nano == 1_767_323_045_678_901_000
    chat = {each.key: each.value for each in scope_spans.spans[1].attributes}
    assert chat["gen_ai.usage.input_tokens"].int_value == 10
    assert json.loads(chat["gen_ai.input.messages"].string_value) == [
        {"role": "user", "parts": [{"type": "text", "content": "Price the stock."}]}
    ]


def test_exporting_again_writes_the_same_and_equal_ids_are_two_traces(tmp_path):
    runs = [make_trajectory("a"), make_trajectory("a"), make_trajectory("b")]
    written = []
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        written.append(export(tmp_path / name, runs)[1])
    assert written[0] == written[1]
    traces = [
        parsed(line).resource_spans[0].scope_spans[0].spans[0].trace_id for line in written[0]
    ]
    assert len(set(traces)) == 3
    found = there_and_back(tmp_path / "one", runs)
    assert [run.metadata["exported"]["trajectory_id"] for run in found] == ["a", "a", "b"]


def test_times_that_are_not_known_stay_so(tmp_path):
    run = make_trajectory("a")
    run.started_at = run.ended_at = None
    run.steps[0].timestamp = run.steps[0].duration_ms = None
    run.steps[1].duration_ms = None
    run.llm_calls[0].duration_ms = None
    run.llm_calls[1].timestamp = run.llm_calls[1].duration_ms = None
    _, (line,) = export(tmp_path, [run])
    spans = parsed(line).resource_spans[0].scope_spans[0].spans
    assert all(span.start_time_unix_nano <= span.end_time_unix_nano for span in spans)
    (found,) = there_and_back(tmp_path, [run])
    assert (found.started_at, found.ended_at) == (None, None)
    assert [(step.timestamp, step.duration_ms) for step in found.steps] == [
        (None, None), (100.25, None),
    ]  # fmt: skip
    assert [(call.timestamp, call.duration_ms) for call in found.llm_calls] == [
        (100.0, None), (None, None),
    ]  # fmt: skip


def test_what_the_protocol_cannot_hold_is_told(tmp_path):
    run = make_trajectory("a", task={"goal": "\ud800"})
    run.steps[0].tool_call.tool = "\ud800"
    run.llm_calls[0].timestamp = -5.0
    lost, (line,) = export(tmp_path, [run])
    assert parsed(line).resource_spans
    assert sorted(str(each) for each in lost) == [
        "a: lone surrogates in names and messages are written as their escapes",
        "a: times before 1970, or far ahead, are written as the nearest",
    ]
    (found,) = there_and_back(tmp_path, [run])
    assert found.task == {"goal": "\ud800"}
    assert found.steps[0].tool_call.tool == "\\ud800"


def test_estimated_tokens_stay_estimates_and_are_not_told_as_the_providers(tmp_path):
    run = make_trajectory("a")
    run.llm_calls[0].tokens_estimated = True
    run.steps[0].usage = Usage(10, 2, 12, estimated=True)
    _, (line,) = export(tmp_path, [run])
    spans = parsed(line).resource_spans[0].scope_spans[0].spans
    told = [{each.key for each in span.attributes} for span in spans[1:3]]
    assert ["gen_ai.usage.input_tokens" in keys for keys in told] == [False, True]
    (found,) = there_and_back(tmp_path, [run])
    assert [call.tokens_estimated for call in found.llm_calls] == [True, False]
    assert (found.input_tokens, found.steps[0].usage) == (20, run.steps[0].usage)


def test_a_call_that_a_tool_made_stands_below_its_step(tmp_path):
    run = make_trajectory("a")
    run.llm_calls[1].scope, run.llm_calls[1].step_num = "tool:price", 1
    _, (line,) = export(tmp_path, [run])
    spans = {span.name: span for span in parsed(line).resource_spans[0].scope_spans[0].spans}
    assert spans["chat scripted"].parent_span_id == spans["execute_tool price"].span_id
    (found,) = there_and_back(tmp_path, [run])
    assert [call.scope for call in found.llm_calls] == [None, "tool:price"]
    assert found.steps[0].llm_call_indices == [1]


@SLOW
@given(value=VALUES, message=MESSAGES)
def test_any_value_and_message_is_written_as_the_protocol_wants(value, message):
    run = make_trajectory("a", task=value)
    run.llm_calls[0].messages = (message,)
    with tempfile.TemporaryDirectory() as name:
        _, (line,) = export(Path(name), [run])
        assert len(parsed(line).resource_spans[0].scope_spans[0].spans) == 5


def test_a_run_that_breaks_while_it_is_read_leaves_no_file(tmp_path):
    def broken():
        yield make_trajectory("a")
        raise OSError("the store is gone")

    with pytest.raises(OSError, match="gone"):
        known_targets()["otlp"].write(broken(), tmp_path, print)
    assert list(tmp_path.iterdir()) == []
