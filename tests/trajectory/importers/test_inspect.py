"""Inspect logs: in JSON and in zips of several kinds; messages, events, scores."""

from __future__ import annotations

import io
import json
import struct
import zipfile
import zlib
from datetime import UTC, datetime

import pyarrow as pa
import pytest

from looplet.core.records import ErrorKind
from tests.trajectory.importers.counting import messages_of, shared_files

SPEC = {
    "run_id": "r1",
    "task": "fruit",
    "model": "maker/some-model",
    "tags": ["a"],
    "created": "2026-01-01T00:00:00+00:00",
    "dataset": {"name": "fruits", "sample_ids": [1, 2]},
    "revision": {"type": "git", "commit": "abc123"},
}
PLAN = {"steps": [{"solver": "use_tools"}, {"solver": "generate"}]}
ASK = {"id": "m1", "role": "user", "content": "What does a pear cost?", "source": "input"}
CALL = {"id": "c1", "type": "function", "function": "price", "arguments": {"fruit": "pear"}}
LOOK = {
    "id": "m2",
    "role": "assistant",
    "content": "I look.",
    "source": "generate",
    "tool_calls": [CALL],
}
TOLD = {
    "id": "m3",
    "role": "tool",
    "content": "0.55",
    "tool_call_id": "c1",
    "function": "price",
}
SAY = {"id": "m4", "role": "assistant", "content": "It costs 0.55.", "source": "generate"}
CONVERSATION = [ASK, LOOK, TOLD, SAY]


def log(*samples, **more):
    return {
        "version": 2,
        "status": "success",
        "eval": SPEC,
        "plan": PLAN,
        "results": {"scores": []},
        "stats": {},
        "samples": list(samples),
        **more,
    }


def sample(**more):
    return {
        "id": 1,
        "epoch": 2,
        "input": "What does a pear cost?",
        "target": "0.55",
        "messages": CONVERSATION,
        "output": {"model": "m", "choices": [{"message": SAY, "stop_reason": "stop"}]},
        "scores": {"match": {"value": "C", "answer": "0.55"}},
        "uuid": "u1",
        **more,
    }


def asked(message, sent, *, at=0, took=1, **more):
    usage = {"input_tokens": 10, "output_tokens": 2, "total_tokens": 12}
    output = {
        "model": "m",
        "choices": [{"message": message, "stop_reason": "stop"}],
        "usage": usage | more.pop("usage", {}),
    }
    return {
        "event": "model",
        "timestamp": f"2026-01-01T00:00:{at:02}+00:00",
        "completed": f"2026-01-01T00:00:{at + took:02}+00:00",
        "model": "maker/some-model",
        "input": sent,
        "tools": [{"name": "price", "description": "attachment://aa"}],
        "tool_choice": "auto",
        "config": {"temperature": 0.5, "max_tokens": 99, "seed": 7},
        "output": output,
        **more,
    }


def ran(*, at=0, took=1, **more):
    return {
        "event": "tool",
        "timestamp": f"2026-01-01T00:00:{at:02}+00:00",
        "completed": f"2026-01-01T00:00:{at + took:02}+00:00",
        "id": "c1",
        "function": "price",
        "arguments": {"fruit": "pear"},
        "result": "0.55",
        **more,
    }


def begins(name, kind, parent=None):
    span = {"event": "span_begin", "id": f"{kind}{name}", "type": kind, "name": name}
    return span if parent is None else span | {"parent_id": parent}


EVENTS = [
    asked(LOOK, [ASK], at=1, took=2),
    ran(at=3, took=1),
    asked(SAY, [ASK, LOOK, TOLD], at=5, took=1),
    {"event": "info", "data": "attachment://bb", "timestamp": "2026-01-01T00:00:09+00:00"},
]
ATTACHMENTS = {"aa": "The price of a fruit.", "bb": "Noted.", "cc": "Never named."}


def as_zip(files, *, method=zipfile.ZIP_DEFLATED):
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", method) as archive:
        for name, value in files.items():
            archive.writestr(name, value if isinstance(value, str) else json.dumps(value))
    return out.getvalue()


def as_zstd_zip(files):
    """A zip of method 93, which the standard library cannot write before Python 3.14."""
    body, directory = b"", b""
    for name, value in files.items():
        plain = json.dumps(value).encode()
        packed = pa.compress(plain, codec="zstd", asbytes=True)
        sizes = struct.pack("<III", zlib.crc32(plain), len(packed), len(plain))
        head = struct.pack("<HHHHH", 20, 0, 93, 0, 0) + sizes
        head += struct.pack("<HH", len(name), 0)
        place = len(body)
        body += b"PK\x03\x04" + head + name.encode() + packed
        directory += b"PK\x01\x02" + struct.pack("<H", 20) + head
        directory += struct.pack("<HHHII", 0, 0, 0, 0, place) + name.encode()
    count = len(files)
    end = struct.pack("<HHHHIIH", 0, 0, count, count, len(directory), len(body), 0)
    return body + directory + b"PK\x05\x06" + end


def header(**more):
    return {key: value for key, value in log(**more).items() if key != "samples"}


def test_a_sample_is_a_run(write, read, stored):
    run = read(write(log(sample(events=EVENTS, attachments=ATTACHMENTS)))).run
    (step,) = run.steps
    assert (step.tool_call.tool, step.tool_call.args) == ("price", {"fruit": "pear"})
    assert (step.tool_call.reasoning, step.tool_result.data) == ("I look.", "0.55")
    assert step.duration_ms == 1000.0
    assert step.timestamp == datetime(2026, 1, 1, 0, 0, 3, tzinfo=UTC).timestamp()
    first, second = run.llm_calls
    assert [len(call.messages) for call in run.llm_calls] == [1, 3]
    assert (first.scope, first.finish_reason, first.duration_ms) == (None, "stop", 2000.0)
    assert (first.input_tokens, first.output_tokens, first.temperature) == (10, 2, 0.5)
    assert (first.max_tokens, first.params["seed"], first.method) == (
        99,
        7,
        "generate_with_tools",
    )
    assert first.tools == [{"name": "price", "description": "The price of a fruit."}]
    assert second.response == "It costs 0.55."
    assert messages_of(run) == len(CONVERSATION)
    assert (run.task_id, run.trial, run.dataset, run.run_id) == ("1", 2, "fruit", "u1")
    assert (run.agent, run.model, run.tags) == ("generate", "maker/some-model", ["a"])
    assert (run.reward, run.expected, run.stop_reason) == (1.0, "0.55", "done")
    assert (run.final_output, run.git_sha) == ("It costs 0.55.", "abc123")
    assert run.task == {"input": "What does a pear cost?"}
    assert run.started_at == datetime(2026, 1, 1, 0, 0, 1, tzinfo=UTC)
    assert run.metadata["scores"]["match"]["answer"] == "0.55"
    assert [event["event"] for event in run.metadata["events"]] == ["info"]
    assert run.metadata["attachments"] == {"bb": "Noted."}
    assert run.metadata["log"]["eval"]["dataset"] == {"name": "fruits"}
    stored([run])


def test_without_events_the_messages_are_the_run(write, read, stored):
    run = read(write(log(sample()))).run
    assert [step.tool_result.data for step in run.steps] == ["0.55"]
    assert (len(run.llm_calls), messages_of(run)) == (2, 4)
    assert (run.input_tokens, run.started_at) == (None, None)
    stored([run])


def test_messages_that_the_sample_began_with_are_no_replies(write, read):
    shot = {"role": "assistant", "content": "A fig costs 0.20."}
    given = [{"role": "user", "content": "And a fig?"}, shot]
    messages = [{"role": "system", "content": "Sell."}, *given, *CONVERSATION]
    run = read(write(log(sample(input=[*given, ASK], messages=messages)))).run
    assert len(run.llm_calls) == 2
    assert messages_of(run) == 7


def test_calls_beside_the_conversation_have_a_lane_of_their_own(write, read, stored):
    grade = {"id": "g1", "role": "assistant", "content": "GRADE: C"}
    events = [
        begins("solvers", "solvers"),
        begins("generate", "solver", "solverssolvers"),
        {**asked(SAY, CONVERSATION[:3]), "span_id": "solvergenerate"},
        begins("graded", "scorer"),
        {**asked(grade, [ASK]), "span_id": "scorergraded"},
    ]
    run = read(write(log(sample(events=events)))).run
    assert [call.scope for call in run.llm_calls] == [None, None, "scorer:graded"]
    assert messages_of(run) == 4
    old = [
        {"event": "step", "action": "begin", "type": "scorer", "name": "graded"},
        asked(grade, [ASK]),
        {"event": "step", "action": "end", "type": "scorer", "name": "graded"},
        asked(SAY, CONVERSATION[:3]),
    ]
    run = read(write(log(sample(events=old)))).run
    assert [call.scope for call in run.llm_calls] == ["scorer:graded", None, None]
    stored([run])


def test_a_failed_call_is_a_call_of_the_conversation(write, read):
    failed = asked(SAY, [ASK]) | {"output": {"choices": []}, "error": "overloaded"}
    run = read(write(log(sample(events=[failed, *EVENTS])))).run
    first = run.llm_calls[0]
    assert (first.scope, first.error, first.response) == (None, "overloaded", None)


def test_tools_that_an_agent_within_used_are_steps_with_their_span(write, read):
    other = ran(id="z9", function="dig", result={"found": 1}) | {"span_id": "agentminer"}
    events = [EVENTS[0], begins("miner", "agent"), other, *EVENTS[1:3]]
    run = read(write(log(sample(events=events)))).run
    assert [step.tool_call.tool for step in run.steps] == ["price", "dig"]
    assert run.steps[1].tool_result.data == {"found": 1}
    assert run.steps[1].metadata == {"spans": ["agent:miner"]}


def test_events_within_events_of_older_logs_are_found(write, read):
    outer = ran() | {"events": [asked({"role": "assistant", "content": "inner"}, [ASK])]}
    run = read(write(log(sample(transcript={"events": [outer], "content": {}})))).run
    assert len(run.llm_calls) == 3


def test_a_result_that_only_its_event_has_is_found(write, read):
    run = read(write(log(sample(messages=[ASK, LOOK], events=EVENTS[:2])))).run
    assert [step.tool_result.data for step in run.steps] == ["0.55"]
    assert run.steps[0].tool_result.warnings == []


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("timeout", ErrorKind.TIMEOUT),
        ("parsing", ErrorKind.PARSE),
        ("approval", ErrorKind.PERMISSION_DENIED),
        ("unknown", ErrorKind.EXECUTION),
    ],
)
def test_errors_of_tools_have_their_kind(kind, expected, write, read, stored):
    told = TOLD | {"content": "", "error": {"type": kind, "message": "no"}}
    run = read(write(log(sample(messages=[ASK, LOOK, told])))).run
    (step,) = run.steps
    assert (step.tool_result.error, step.tool_result.error_kind) == ("no", expected)
    assert step.tool_result.metadata["error"]["type"] == kind
    stored([run])


def test_texts_that_stand_among_the_attachments_are_put_in(write, read):
    ask = ASK | {"content": "attachment://dd"}
    event = asked(SAY, [ask])
    run = read(
        write(log(sample(messages=[ASK, SAY], events=[event], attachments={"dd": ASK["content"]})))
    ).run
    assert run.llm_calls[0].messages[0].content == ASK["content"]
    assert "attachments" not in run.metadata
    old = {"events": [asked(SAY, [ASK | {"content": "tc://dd"}])], "content": {"dd": "hi"}}
    run = read(write(log(sample(messages=[ASK, SAY], transcript=old)))).run
    assert run.llm_calls[0].messages[0].content == "hi"


@pytest.mark.parametrize("where", ["message_pool", "events_data"])
def test_messages_that_stand_in_a_pool_are_put_in(where, write, read, stored):
    pool = CONVERSATION[:3]
    first, _, second, _ = EVENTS
    events = [
        first | {"input": [], "input_refs": [[0, 1]]},
        second | {"input": [], "input_refs": [[0, 2], [2, 3]]},
    ]
    held = pool if where == "message_pool" else {"messages": pool, "calls": []}
    run = read(write(log(sample(events=events, **{where: held})))).run
    assert [len(call.messages) for call in run.llm_calls] == [1, 3]
    stored([run])
    wrong = [first | {"input": [], "input_refs": [[0, 9]]}]
    found = read(write(log(sample(events=wrong, **{where: held}))))
    assert found.told == ["$.samples[0].events[0].input_refs[0]: names 0 to 9 of 3 messages"]


def test_what_a_model_thought_is_kept_and_stands_once(write, read, stored):
    parts = [{"type": "reasoning", "reasoning": "Hm."}, {"type": "text", "text": "I look."}]
    look, say = LOOK | {"content": parts}, SAY | {"content": parts}
    ask = ASK | {"content": [{"type": "text", "text": "See"}, {"type": "image", "image": "data:"}]}
    run = read(write(log(sample(messages=[ask, look, TOLD, say])))).run
    assert run.llm_calls[0].response[0] == parts[0]
    assert run.llm_calls[0].messages[0].content == "See"
    assert run.llm_calls[1].response == parts
    older = LOOK | {"reasoning": "Hm."}
    run = read(write(log(sample(messages=[ASK, older])))).run
    assert run.llm_calls[0].response[0] == parts[0]
    stored([run])


@pytest.mark.parametrize(
    ("value", "reward"),
    [
        ("C", 1.0),
        ("I", 0.0),
        ("P", 0.5),
        (True, 1.0),
        (0.25, 0.25),
        ("0.75", 0.75),
        (float("nan"), None),
        ({"a": 1}, None),
        ("fine", None),
        (None, None),
    ],
)
def test_the_first_score_is_the_reward_as_far_as_it_is_a_number(value, reward, write, read):
    scores = {"one": {"value": value}, "two": {"value": 0.1}}
    assert read(write(log(sample(scores=scores)))).run.reward == reward


def test_the_single_score_of_older_logs_is_the_reward(write, read):
    old = sample(score={"value": "I"})
    del old["scores"]
    assert read(write(log(old))).run.reward == 0.0


@pytest.mark.parametrize(
    ("more", "reason"),
    [
        ({}, "done"),
        ({"error": {"message": "boom", "traceback": "deep"}}, "error"),
        ({"limit": {"type": "token", "limit": 9}}, "budget_exhausted"),
        ({"limit": {"type": "custom", "limit": 9}}, None),
    ],
)
def test_how_a_sample_ended(more, reason, write, read):
    run = read(write(log(sample(**more)))).run
    assert run.stop_reason == reason
    assert run.error == ("boom" if "error" in more else None)


def test_tokens_sent_count_those_from_the_cache_where_the_total_does(write, read):
    usage = {"input_tokens_cache_read": 5, "total_tokens": 17}
    events = [asked(SAY, [ASK], usage=usage)]
    run = read(write(log(sample(messages=[ASK, SAY], events=events)))).run
    assert (run.llm_calls[0].input_tokens, run.llm_calls[0].cached_tokens) == (15, 5)


@pytest.mark.parametrize("pack", [as_zip, as_zstd_zip])
def test_a_zip_has_a_file_for_each_sample(pack, write, read, stored):
    files = {
        "_journal/start.json": {"version": 2, "eval": SPEC, "plan": PLAN},
        "samples/1_epoch_1.json": sample(epoch=1),
        "samples/1_epoch_2.json": sample(),
        "summaries.json": [],
        "header.json": header(),
    }
    found = read(write(pack(files), "log.eval"))
    assert found.problems == []
    assert [run.trial for run in found.runs] == [1, 2]
    assert {run.dataset for run in found.runs} == {"fruit"}
    stored(found.runs)


def test_a_zip_that_was_not_finished_has_its_journal(write, read):
    start = {"version": 2, "eval": SPEC, "plan": PLAN}
    files = {"_journal/start.json": start, "samples/1_epoch_1.json": sample()}
    assert read(write(as_zip(files), "log.eval")).run.model == "maker/some-model"


def test_a_sample_in_pieces_is_put_together(write, read, stored):
    shell = {key: value for key, value in sample().items() if key != "messages"}
    first, tool, second, info = EVENTS
    folder = "samples/1_epoch_2"
    events = [first | {"input": [], "input_refs": [[0, 1]]}, tool]
    later = [second | {"input": [], "input_refs": [[0, 3]]}, info | {"data": "attachment://1"}]
    files = {
        "header.json": header(version=3),
        f"{folder}/sample.json": shell | {"message_refs": [[0, 2], [2, 4]]},
        f"{folder}/metadata.json": {"hardness": 3},
        f"{folder}/skeleton.json": {},
        f"{folder}/messages/0.json": [ASK | {"content": "attachment://0"}, LOOK],
        f"{folder}/messages/2.json": [TOLD, SAY],
        f"{folder}/events/2.json": later,
        f"{folder}/events/0.json": events,
        f"{folder}/events/stats.json": {},
        f"{folder}/attachments/0.json": [ASK["content"], "Noted."],
    }
    run = read(write(as_zip(files), "log.eval")).run
    assert run.llm_calls[0].messages[0].content == ASK["content"]
    assert (messages_of(run), len(run.steps), len(run.llm_calls)) == (4, 1, 2)
    assert run.metadata["metadata"] == {"hardness": 3}
    assert run.metadata["attachments"] == {"1": "Noted."}
    stored([run])


def test_a_damaged_member_is_told_and_the_rest_imported(write, read):
    files = {
        "header.json": header(),
        "samples/1_epoch_1.json": sample(),
        "samples/2_epoch_1.json": '{"id": 2, "messages": [',
        "samples/3_epoch_1.json": {"id": 3, "messages": 7},
        "samples/4_epoch_1.json": sample(id=4),
    }
    found = read(write(as_zip(files, method=zipfile.ZIP_STORED), "log.eval"))
    assert [run.task_id for run in found.runs] == ["1", "4"]
    assert [problem.file.rpartition("!")[2] for problem in found.problems] == [
        "samples/2_epoch_1.json",
        "samples/3_epoch_1.json",
    ]
    data = as_zip(files, method=zipfile.ZIP_STORED).replace(b"I look.", b"I lock.", 1)
    found = read(write(data, "log.eval"))
    assert "cannot be unpacked" in found.problems[0].message
    assert [run.task_id for run in found.runs] == ["4"]


def test_a_zip_that_breaks_off_is_told(write, read):
    data = as_zip({"header.json": header(), "samples/1_epoch_1.json": sample()})
    found = read(write(data[:-40], "log.eval"))
    assert found.runs == []
    assert "zip is damaged" in found.told[0]


def test_other_zips_are_no_logs(write, read):
    found = read(write(as_zip({"word/document.xml": "x"}), "letter.eval"))
    assert "no format knows it" in found.told[0]


def test_a_log_that_breaks_off_gives_the_samples_before(write, read):
    text = json.dumps(log(sample(id=1), sample(id=2), sample(id=3)))
    found = read(write(text[:-300], "log.json"))
    assert [run.task_id for run in found.runs] == ["1", "2"]
    assert found.problems[0].place == "$.samples[2]"


def test_a_malformed_sample_is_told_and_the_rest_imported(write, read):
    found = read(write(log(sample(), 5, sample(epoch="x"), sample(id=9))))
    assert [run.task_id for run in found.runs] == ["1", "9"]
    assert found.told == [
        "$.samples[1]: is not an object: 5",
        "$.samples[2].epoch: is not a whole number: 'x'",
    ]


def test_a_log_without_samples_has_no_run_and_no_problem(write, read):
    found = read(write(log(status="cancelled")))
    assert (found.runs, found.problems) == ([], [])


def test_a_log_s_head_alone_is_told(write, read):
    head = log(sample())
    del head["samples"]
    found = read(write(head))
    assert found.runs == []
    assert found.told == ["$.samples: is missing: a log's head alone has no run"]


@pytest.mark.parametrize("name", shared_files("inspect-eval-logs/**/*.json"))
def test_real_logs_in_json_have_all_that_they_say(name, shared, read, stored):
    path = shared(name)
    raw = json.loads(path.read_text())
    found = read(path)
    assert found.problems == []
    compare(stored(found.runs), raw["samples"])


@pytest.mark.parametrize("name", shared_files("inspect-eval-logs/**/*.eval"))
def test_real_logs_in_zips_have_all_that_they_say(name, shared, read, stored):
    path = shared(name)
    with zipfile.ZipFile(path) as archive:
        names = [each for each in archive.namelist() if each.startswith("samples/")]
        raw = [json.loads(archive.read(each)) for each in names]
    found = read(path)
    assert found.problems == []
    assert len(found.runs) > 0
    compare(stored(found.runs), raw)


def compare(runs, samples):
    """Steps, calls, messages, tokens and scores of runs, counted anew in the samples."""
    assert len(runs) == len(samples)
    for run, raw in zip(runs, samples, strict=True):
        assert (run.task_id, run.trial) == (str(raw["id"]), raw["epoch"])
        assert messages_of(run) == len(raw["messages"])
        results = [each for each in raw["messages"] if each["role"] == "tool"]
        assert len(run.steps) == len(results)
        assert run.n_tool_errors == sum("error" in each for each in results)
        events = raw.get("events") or raw.get("transcript", {}).get("events", [])
        turns = [each for each in events if each["event"] == "model"]
        assert len(run.llm_calls) == len(turns)
        usage = raw.get("model_usage") or {}
        if usage and all("usage" in each["output"] for each in turns):
            assert run.output_tokens == sum(each["output_tokens"] for each in usage.values())
        score = next(iter(raw.get("scores", {}).values()), {"value": None})["value"]
        assert run.reward == {"C": 1.0, "I": 0.0}.get(score, score)
