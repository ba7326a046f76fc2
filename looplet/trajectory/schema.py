"""The columns of a dataset, their Arrow types and the schema's version. Knows no file and no run.

Four tables of columns stand here: a trajectory's own, and those of its steps, messages and calls,
which are nested in it as lists of structs. A fifth is the scores dataset. Everything else, Arrow
schemas and readers and views, is derived from them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any

from looplet.errors import UnknownSchema
from looplet.trajectory.arrow import pa

SCHEMA_VERSION = "1"
KNOWN_VERSIONS = (SCHEMA_VERSION,)
"""Every version that this looplet reads."""
VERSION_KEY = b"looplet.schema_version"
DATASET_KEY = b"looplet.dataset"
WRITER_KEY = b"looplet.version"
REPLACES_KEY = b"looplet.replaces"
"""The parts whose rows a part holds, as JSON: name, first row, rows, Unix time of the joining."""


class Kind(Enum):
    """What a column holds, and so its Arrow type."""

    TEXT = "text"
    """A string, surrogates escaped as ``looplet.trajectory.text`` says."""
    JSON = "json"
    """A string that holds JSON."""
    INT32 = "int32"
    INT64 = "int64"
    FLOAT = "float"
    FLAG = "flag"
    TIME = "time"
    """Microseconds, in UTC."""
    TEXTS = "texts"
    INDICES = "indices"
    """Places in another list of the same row, from 0."""


_ARROW_TYPES: Mapping[Kind, pa.DataType] = {
    Kind.TEXT: pa.string(),
    Kind.JSON: pa.string(),
    Kind.INT32: pa.int32(),
    Kind.INT64: pa.int64(),
    Kind.FLOAT: pa.float64(),
    Kind.FLAG: pa.bool_(),
    Kind.TIME: pa.timestamp("us", tz="UTC"),
    Kind.TEXTS: pa.list_(pa.string()),
    Kind.INDICES: pa.list_(pa.int32()),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """One column: its name, what it holds, and what it means."""

    name: str
    kind: Kind
    meaning: str = ""
    various: bool = False
    """Whether values hardly repeat, so that a dictionary of them and their extremes are no use."""

    def field(self) -> pa.Field[Any]:
        """The column as Arrow knows it; JSON columns say so in the field's metadata."""
        metadata = {"looplet.kind": "json"} if self.kind is Kind.JSON else None
        return pa.field(self.name, _ARROW_TYPES[self.kind], metadata=metadata)


def _columns(kind: Kind, **meanings: str) -> tuple[Column, ...]:
    return tuple(
        Column(name=name, kind=kind, meaning=text, various=name in _VARIOUS)
        for name, text in meanings.items()
    )


_VARIOUS = frozenset(
    {
        *("expected", "final_output", "artifacts", "metadata", "digest", "source_uri"),
        *("args", "result", "reasoning", "context_before", "extra", "error_detail"),
        *("content", "tool_calls", "prompt", "key", "explanation", "metrics"),
        *("timestamp", "duration_ms", "result_duration_ms", "latency_ms", "first_token_ms"),
    }
)


TRAJECTORY_COLUMNS = (
    *_columns(
        Kind.TEXT,
        trajectory_id="names the row",
        run_id="names the run",
        task_id="what was asked, by name; runs of one task share it",
    ),
    *_columns(Kind.INT32, trial="which attempt at the task"),
    *_columns(
        Kind.TEXT,
        dataset="where the task comes from",
        agent="who ran it",
        model="the model that was asked",
    ),
    *_columns(Kind.TEXTS, tags="free words"),
    *_columns(Kind.TIME, started_at="when the run began", ended_at="when it ended"),
    *_columns(Kind.FLOAT, duration_ms="wall clock, in milliseconds"),
    *_columns(Kind.TEXT, stop_reason="why it ended"),
    *_columns(Kind.FLAG, completed="whether stop_reason is done"),
    *_columns(Kind.TEXT, error="what broke the run"),
    *_columns(Kind.FLOAT, reward="null is not known, and not 0"),
    *_columns(
        Kind.JSON,
        task="what was asked",
        expected="the right answer",
        final_output="arguments of the accepted done-call",
        artifacts="what else the run left",
        metadata="anything else",
    ),
    *_columns(
        Kind.INT32,
        n_steps="length of steps",
        n_calls="length of calls",
        n_tool_errors="steps with an error",
    ),
    *_columns(
        Kind.INT64,
        input_tokens="sent, over all calls",
        output_tokens="received, over all calls",
        cached_tokens="of those sent, cached by the provider; null is not told",
    ),
    *_columns(Kind.FLOAT, cost_usd="price of the calls"),
    *_columns(Kind.FLAG, tokens_estimated="whether any count is an estimate"),
    *_columns(
        Kind.TEXT,
        digest="hash of task, steps and stop reason",
        cassette="file that the model calls were recorded to, or came from",
        cassette_hash="hash of that file",
        replay_of="the run that this one replays",
        source_format="where the row was imported from",
        source_uri="its address there",
        git_sha="commit of the code that ran",
        looplet_version="version that recorded it",
    ),
)

STEP_COLUMNS = (
    *_columns(Kind.INT32, index="place in the run, from 0", step_num="the loop's number, from 1"),
    *_columns(Kind.TEXT, tool="name of the tool"),
    *_columns(Kind.JSON, args="its arguments", result="its data, uncut"),
    *_columns(Kind.TEXT, error="text of the error", error_kind="its kind"),
    *_columns(Kind.JSON, error_detail="message, retriable, context and hint, where known"),
    *_columns(
        Kind.TEXT,
        reasoning="the model's reason for the call",
        call_id="identifier of the tool call",
        result_key="where the result is kept",
    ),
    *_columns(Kind.TEXTS, warnings="of the tool or the loop"),
    *_columns(
        Kind.FLOAT,
        timestamp="when it was recorded, in Unix seconds",
        duration_ms="wall clock of the step, in milliseconds",
        result_duration_ms="wall clock of the tool, in milliseconds",
    ),
    *_columns(Kind.INDICES, call_indices="the model calls that led to it"),
    *_columns(
        Kind.TEXT, digest="hash chain up to this step", context_before="briefing before the prompt"
    ),
    *_columns(
        Kind.JSON,
        call_metadata="of the tool call",
        result_metadata="of the result",
        metadata="of the step",
        extra="what is not derived: result_tool, result_call_id, args_summary, pretty",
    ),
)

MESSAGE_COLUMNS = (
    *_columns(Kind.TEXT, role="system, user, assistant or tool"),
    *_columns(
        Kind.JSON,
        content="text as a JSON string, a reply's blocks, or a message's text and blocks",
        tool_calls="calls that the assistant asks for: id, name, input",
    ),
    *_columns(
        Kind.TEXT,
        call_id="the call that a tool's message answers",
        digest="first 32 hex digits of its hash",
    ),
)

CALL_COLUMNS = (
    *_columns(Kind.INT32, index="place in the run, from 0"),
    *_columns(
        Kind.TEXT,
        lane="who asked; main is the loop itself",
        scope="the same, null for the loop itself",
        model="the model that was asked",
        method="generate or generate_with_tools",
    ),
    *_columns(Kind.JSON, params="sampling parameters", tools="schemas that were sent"),
    *_columns(Kind.FLOAT, temperature=""),
    *_columns(Kind.INT64, max_tokens=""),
    *_columns(Kind.INT32, input_kept="messages kept from the lane's call before this one"),
    *_columns(Kind.INDICES, input="the messages after those, as places in messages"),
    *_columns(Kind.INT32, output="the reply, as a place in messages; null if the call failed"),
    *_columns(Kind.FLAG, output_blocks="whether the reply came as blocks"),
    *_columns(
        Kind.TEXT,
        prompt="null: the last message's content",
        system_prompt="null: the first message's content if it is the system's, else empty",
    ),
    *_columns(Kind.INT32, step_num="the step that it led to"),
    *_columns(Kind.TEXT, finish_reason="the provider's word"),
    *_columns(
        Kind.INT64,
        input_tokens="sent",
        output_tokens="received",
        cached_tokens="of those sent, cached; null is not told",
    ),
    *_columns(Kind.FLAG, tokens_estimated="whether a count is an estimate"),
    *_columns(
        Kind.FLOAT,
        timestamp="when it began, in Unix seconds",
        latency_ms="until the reply was whole, in milliseconds",
        first_token_ms="until its first part, in milliseconds",  # noqa: S106 - a column's meaning
    ),
    *_columns(Kind.TEXT, error="type and text", key="digest of the canonical request"),
    *_columns(Kind.JSON, metadata="anything else"),
)

SCORE_COLUMNS = (
    *_columns(
        Kind.TEXT,
        trajectory_id="the run that was scored",
        eval_name="the eval",
        eval_hash="hash of its source",
    ),
    *_columns(Kind.FLOAT, score="null if not evaluable, or if the eval gives none"),
    *_columns(Kind.TEXT, label="a word instead of a number"),
    *_columns(Kind.FLAG, passed="null if not evaluable", evaluable="false where data was missing"),
    *_columns(Kind.TEXT, explanation="why"),
    *_columns(Kind.JSON, metrics="further numbers"),
    *_columns(Kind.TEXTS, marks="the eval's marks"),
    *_columns(Kind.TEXT, judge_model="the model that judged, if one did"),
    *_columns(Kind.FLOAT, duration_ms="of the scoring, in milliseconds"),
    *_columns(Kind.TEXT, error="what broke the eval"),
    *_columns(Kind.TIME, scored_at="when"),
    *_columns(
        Kind.TEXT,
        session="one scoring session; its scores share it",
        host="the machine",
        looplet_version="version that scored",
        git_sha="commit of the evals",
    ),
    *_columns(Kind.JSON, metadata="anything else"),
)

NESTED: Mapping[str, tuple[Column, ...]] = {
    "steps": STEP_COLUMNS,
    "messages": MESSAGE_COLUMNS,
    "calls": CALL_COLUMNS,
}
"""The lists of structs in a trajectory's row."""

TRAJECTORIES, SCORES = "trajectories", "scores"
"""The two datasets, which are folders of a store."""
FLAT: Mapping[str, tuple[Column, ...]] = {
    TRAJECTORIES: TRAJECTORY_COLUMNS,
    SCORES: SCORE_COLUMNS,
}
"""Each dataset's columns that are not such lists."""


def schema_of(dataset: str) -> pa.Schema:
    """The Arrow schema of ``trajectories`` or ``scores``."""
    return _SCHEMAS[dataset]


def various_columns(dataset: str) -> set[str]:
    """Leaves of a dataset, as Parquet names them, whose values hardly repeat."""
    return _leaves(dataset, lambda column: column.various)


def float_columns(dataset: str) -> set[str]:
    """Leaves of a dataset, as Parquet names them, that may hold NaN."""
    return _leaves(dataset, lambda column: column.kind is Kind.FLOAT)


def _leaves(dataset: str, wanted: Callable[[Column], bool]) -> set[str]:
    found = {column.name for column in FLAT[dataset] if wanted(column)}
    if dataset == TRAJECTORIES:
        for head, columns in NESTED.items():
            found |= {f"{head}.list.element.{each.name}" for each in columns if wanted(each)}
    return found


def check_version(metadata: Mapping[bytes, bytes] | None, *, where: str) -> None:
    """Raise ``UnknownSchema`` unless a file's metadata names a version that can be read."""
    found = (metadata or {}).get(VERSION_KEY)
    known = ", ".join(KNOWN_VERSIONS)
    if found is None:
        raise UnknownSchema(
            f"{where} has no {VERSION_KEY.decode()} in its metadata, so looplet did not write it. "
            f"Known versions: {known}. Move the file out of the dataset."
        )
    if found.decode(errors="replace") not in KNOWN_VERSIONS:
        raise UnknownSchema(
            f"{where} has schema version {found.decode(errors='replace')!r}; this looplet knows "
            f"{known}. Install the looplet that wrote it, or a newer one."
        )


def _schema(dataset: str, fields: list[pa.Field[Any]]) -> pa.Schema:
    from looplet import __version__

    return pa.schema(
        fields,
        metadata={
            VERSION_KEY: SCHEMA_VERSION.encode(),
            DATASET_KEY: dataset.encode(),
            WRITER_KEY: __version__.encode(),
        },
    )


def _nested_field(name: str, columns: tuple[Column, ...]) -> pa.Field[Any]:
    return pa.field(name, pa.list_(pa.struct([column.field() for column in columns])))


_SCHEMAS: Mapping[str, pa.Schema] = {
    TRAJECTORIES: _schema(
        TRAJECTORIES,
        [column.field() for column in TRAJECTORY_COLUMNS]
        + [_nested_field(name, columns) for name, columns in NESTED.items()],
    ),
    SCORES: _schema(SCORES, [column.field() for column in SCORE_COLUMNS]),
}
