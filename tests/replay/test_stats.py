"""What a cassette amounts to."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from looplet import LoopConfig, composable_loop
from looplet.errors import CassetteDamaged
from looplet.replay import accept_edit, cassette_stats, read_trajectory, use_cassette
from looplet.testing import ScriptedToolBackend
from tests.replay.agents import Desk

FIXTURES = Path(__file__).resolve().parents[2] / "fixtures" / "cassettes" / "parcel_desk"


def use(name, **given):
    return [{"type": "tool_use", "id": name, "name": name, "input": given}]


@pytest.fixture
def run(path):
    llm = ScriptedToolBackend(
        [use("price", fruit="fig" * 50), use("price", fruits=1), use("done", summary="priced")],
        usage={"input_tokens": 5, "output_tokens": 2},
    )
    with (
        use_cassette(path, record_mode="once", tools="recorded", metadata={"n": 1}) as cassette,
        cassette.ambient(),
    ):
        config = LoopConfig(max_steps=6, use_native_tools=True)
        list(composable_loop(llm, "Price", Desk().tools(), config=config))
    return path


def test_calls_tokens_and_bytes_are_counted_by_lane(run):
    stats = cassette_stats(run)
    assert (stats.model_calls, stats.tool_calls, stats.steps) == (3, 3, 3)
    assert (stats.input_tokens, stats.output_tokens, stats.bytes) == (15, 6, run.stat().st_size)
    assert {name: (lane.calls, lane.failures) for name, lane in stats.lanes.items()} == {
        "main": (3, 0), "tool:price": (2, 1), "tool:done": (1, 0),
    }  # fmt: skip
    assert stats.runs[0]["stop_reason"] == "done"
    assert stats.runs[0]["digest"] == read_trajectory(run).digest
    assert (stats.tools, stats.interrupted, stats.parent) == ("recorded", False, None)
    assert stats.metadata == {"n": 1}
    lanes = [lane.duration_ms for lane in stats.lanes.values()]
    assert 0 < max(lanes) <= stats.duration_ms


def test_sizes_are_those_of_the_file(run):
    stats = cassette_stats(run)
    text = run.read_text("utf-8")
    body = text[text.index("- request:\n") : text.index("footer:")]
    steps = [each for each in body.split("- request:\n")[1:] if "/step\n" in each]
    told = sum(lane.bytes for lane in stats.lanes.values())
    assert told + sum(len(each.encode()) + len("- request:\n") for each in steps) == len(
        body.encode()
    )
    sizes = [each.bytes for each in stats.biggest]
    assert sizes == sorted(sizes, reverse=True)
    assert (stats.biggest[0].place, stats.biggest[0].lane, stats.biggest[0].step) == (
        1,
        "main",
        "1",
    )


def test_a_file_in_somebody_elses_form_has_sizes_too(run):
    text = run.read_text("utf-8").replace("- request:\n", "- # a remark\n  request:\n")
    run.write_text(text, "utf-8")
    accept_edit(run)
    assert all(each.bytes > 0 for each in cassette_stats(run).biggest)


def test_the_figures_are_json(run):
    told = json.loads(json.dumps(cassette_stats(run).to_dict()))
    assert told["path"] == str(run)
    assert told["lanes"]["main"]["calls"] == 3
    assert len(told["biggest"]) == 5


def test_format_1_has_figures_too(tmp_path):
    path = tmp_path / "run.yaml"
    shutil.copy(min(FIXTURES.glob("*.yaml")), path)
    stats = cassette_stats(path)
    assert stats.duration_ms == stats.lanes["main"].duration_ms > 0
    assert stats.input_tokens == sum(each.input_tokens for each in read_trajectory(path).llm_calls)


def test_a_damaged_file_is_refused(run):
    run.write_bytes(run.read_bytes()[:-1])
    with pytest.raises(CassetteDamaged):
        cassette_stats(run)
