"""Trajectories to try: Hypothesis strategies for any that can be stored, and one plain one."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from hypothesis import strategies as st

from looplet.core.messages import CallRequest, ChatMessage
from looplet.core.records import ErrorKind, ToolCall, ToolError, ToolResult, Usage
from looplet.trajectory import LLMCall, StepRecord, Trajectory, TrajectoryStore
from looplet.trajectory.model import chain

TEXT = st.text(
    st.one_of(
        st.characters(exclude_categories=()),
        st.sampled_from("\x00\x1a\ud800\udc00\\\"'{}0a8d"),
    ),
    max_size=12,
)
FLOATS = st.floats(allow_nan=False)
KEYS = TEXT | st.integers() | st.tuples(st.integers(), st.booleans()) | st.none()
SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(min_value=-(2**80), max_value=2**80),
    FLOATS,
    TEXT,
    st.binary(max_size=4),
    st.datetimes(timezones=st.just(UTC)),
    st.sets(st.text("abc", max_size=3), max_size=3),
    st.frozensets(st.integers(), max_size=2),
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.tuples(inner, inner),
        st.dictionaries(KEYS, inner, max_size=3),
        st.dictionaries(st.just("$looplet"), inner, max_size=1),
    ),
    max_leaves=6,
)
ARGS = st.dictionaries(TEXT, VALUES, max_size=2)
MAYBE_TEXT = st.none() | TEXT
COUNTS = st.integers(min_value=0, max_value=2**56)
"""Their sum over all calls of a run fits a column as well."""
SMALL = st.integers(min_value=0, max_value=2**31 - 1)
MAYBE_FLOAT = st.none() | FLOATS

DETAILS = st.none() | st.builds(
    ToolError,
    st.sampled_from(ErrorKind),
    TEXT,
    retriable=st.booleans(),
    context=ARGS,
    recovery_hint=VALUES,
)
TOOL_CALLS = st.builds(ToolCall, TEXT, ARGS, TEXT, TEXT, ARGS)
TOOL_RESULTS = st.builds(
    ToolResult,
    TEXT,
    TEXT,
    VALUES,
    error=MAYBE_TEXT,
    error_detail=DETAILS,
    duration_ms=FLOATS,
    result_key=MAYBE_TEXT,
    call_id=MAYBE_TEXT,
    warnings=st.lists(TEXT, max_size=2),
    metadata=ARGS,
)
STEPS = st.builds(
    StepRecord,
    step_num=SMALL,
    tool_call=TOOL_CALLS,
    tool_result=TOOL_RESULTS,
    timestamp=MAYBE_FLOAT,
    duration_ms=MAYBE_FLOAT,
    pretty=TEXT,
    context_before=TEXT,
    llm_call_indices=st.lists(SMALL, max_size=3),
    metadata=ARGS,
    digest=TEXT,
    usage=st.none() | st.builds(Usage, SMALL, SMALL, SMALL, st.booleans()),
)
BLOCKS = st.one_of(
    st.builds(lambda text: {"type": "text", "text": text}, TEXT),
    st.builds(
        lambda name, args: {"type": "tool_use", "id": "c", "name": name, "input": args}, TEXT, ARGS
    ),
    st.builds(lambda text: {"type": "thinking", "thinking": text, "signature": "s"}, TEXT),
    st.dictionaries(st.sampled_from(["type", "text", "other"]), VALUES, max_size=2),
)
MESSAGES = st.builds(
    ChatMessage,
    role=st.sampled_from(["system", "user", "assistant", "tool"]),
    content=st.sampled_from(["", "a", "b"]) | TEXT,
    calls=st.lists(st.builds(CallRequest, id=TEXT, name=TEXT, input=ARGS), max_size=2).map(tuple),
    call_id=MAYBE_TEXT,
    blocks=st.just(()) | st.lists(BLOCKS, max_size=3).map(tuple),
)
CALLS = st.builds(
    LLMCall,
    index=SMALL,
    timestamp=FLOATS,
    duration_ms=FLOATS,
    method=st.sampled_from(["generate", "generate_with_tools"]),
    prompt=st.sampled_from(["", "a"]) | TEXT,
    system_prompt=st.sampled_from(["", "a"]) | TEXT,
    response=st.none() | TEXT | st.lists(BLOCKS, max_size=3),
    temperature=FLOATS,
    max_tokens=COUNTS,
    tools=st.none() | st.lists(ARGS, max_size=2),
    step_num=st.none() | SMALL,
    error=MAYBE_TEXT,
    scope=st.sampled_from([None, "main", "", "tool:a"]) | TEXT,
    metadata=ARGS,
    input_tokens=COUNTS,
    output_tokens=COUNTS,
    cached_tokens=st.none() | COUNTS,
    tokens_estimated=st.booleans(),
    model=MAYBE_TEXT,
    messages=st.lists(MESSAGES, max_size=4).map(tuple),
    params=ARGS,
    finish_reason=MAYBE_TEXT,
    first_token_ms=MAYBE_FLOAT,
    key=MAYBE_TEXT,
)
TIMES = st.none() | st.datetimes(timezones=st.just(UTC))
TRAJECTORIES = st.builds(
    Trajectory,
    trajectory_id=TEXT,
    run_id=TEXT,
    task=VALUES,
    steps=st.lists(STEPS, max_size=2),
    llm_calls=st.lists(CALLS, max_size=2),
    task_id=MAYBE_TEXT,
    trial=st.none() | SMALL,
    tags=st.lists(TEXT, max_size=2),
    started_at=TIMES,
    ended_at=TIMES,
    stop_reason=st.none() | st.just("done") | TEXT,
    reward=MAYBE_FLOAT,
    expected=VALUES,
    final_output=VALUES,
    artifacts=ARGS,
    metadata=ARGS,
    source_format=TEXT,
    git_sha=MAYBE_TEXT,
)


def make_step(number: int, tool: str, args: dict[str, Any], data: Any, **more: Any) -> StepRecord:
    call = ToolCall(tool, args, call_id=f"call{number}")
    result = ToolResult(tool, "", data, duration_ms=1.5, call_id=call.call_id, **more)
    return StepRecord(
        step_num=number, tool_call=call, tool_result=result, timestamp=100.25, duration_ms=1.5
    )


def make_trajectory(name: str, *, steps: int = 2, **fields: Any) -> Trajectory:
    """A run that asked for prices, and is done with its last step."""
    records = [
        make_step(number, "price", {"fruit": f"f{number}"}, {"euro": number / 4})
        for number in range(1, steps)
    ]
    records.append(make_step(steps, "done", {"summary": name}, {"status": "completed"}))
    fields.setdefault("task", {"goal": name})
    for record, link in zip(records, chain(fields["task"], records), strict=True):
        record.digest = link
    return Trajectory(
        trajectory_id=name,
        run_id=f"run-{name}",
        steps=records,
        llm_calls=make_calls(steps),
        model="scripted",
        stop_reason="done",
        final_output={"summary": name},
        started_at=datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC),
        ended_at=datetime(2026, 1, 2, 3, 4, 7, tzinfo=UTC),
        **fields,
    )


def make_calls(count: int) -> list[LLMCall]:
    """Calls of a native conversation, each of which sends all that went before."""
    messages = [
        ChatMessage(role="system", content="Be brief."),
        ChatMessage(role="user", content="Price the stock."),
    ]
    calls = []
    for index in range(count):
        reply = [{"type": "tool_use", "id": f"c{index}", "name": "price", "input": {"n": index}}]
        calls.append(
            LLMCall(
                index=index,
                timestamp=100.0 + index,
                duration_ms=5.0,
                method="generate_with_tools",
                prompt=messages[-1].content,
                system_prompt="Be brief.",
                response=reply,
                model="scripted",
                messages=tuple(messages),
                input_tokens=10,
                output_tokens=2,
            )
        )
        asked = (CallRequest(id=f"c{index}", name="price", input={"n": index}),)
        messages.append(ChatMessage(role="assistant", calls=asked))
        messages.append(ChatMessage(role="tool", content=f"{index} euro", call_id=f"c{index}"))
    return calls


@pytest.fixture(scope="session")
def make() -> Callable[..., Trajectory]:
    return make_trajectory


@pytest.fixture(scope="session")
def step() -> Callable[..., StepRecord]:
    return make_step


@pytest.fixture(scope="session")
def trajectories() -> st.SearchStrategy[Trajectory]:
    return TRAJECTORIES


@pytest.fixture(scope="session")
def values() -> st.SearchStrategy[Any]:
    return VALUES


def flip_byte(path: Path, group: int, column: str) -> None:
    """Change the last byte of a column's pages in one row group of a part."""
    footer = pq.ParquetFile(path).metadata.row_group(group)
    chunks = (footer.column(place) for place in range(footer.num_columns))
    chunk = next(each for each in chunks if each.path_in_schema == column)
    begin = chunk.dictionary_page_offset or chunk.data_page_offset
    raw = bytearray(path.read_bytes())
    raw[begin + chunk.total_compressed_size - 1] ^= 1
    path.write_bytes(raw)


@pytest.fixture(scope="session")
def flip() -> Callable[[Path, int, str], None]:
    return flip_byte


@pytest.fixture
def store(tmp_path: Any) -> TrajectoryStore:
    return TrajectoryStore(tmp_path / "runs")
