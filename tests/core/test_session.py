"""The session log."""

from __future__ import annotations

import json

import pytest

from looplet import LogEntry, LoopConfig, tools_from
from looplet.core.session import (
    REASONING_CHARS,
    SHOWN_ENTRIES,
    SUMMARY_TOOL,
    SessionLog,
    facts_of,
)


def filled(count):
    log = SessionLog()
    for step in range(1, count + 1):
        log.record(step=step, tool="price" if step % 2 else "stock", reasoning=f"reason {step}")
    return log


def test_an_empty_log_renders_as_nothing():
    assert SessionLog().render() == ""
    assert SessionLog().render_compact() == ""
    assert facts_of(SessionLog()) == ""


def test_a_line_holds_what_is_known_of_a_step():
    log = SessionLog(entity_formatter=str.upper, title="LOG", highlights_label="good")
    log.record(step=1, tool="price", reasoning="why", entities_seen=["a"], highlights=["h", "i"])
    assert log.render() == "LOG\nS1 price: why (good: h; i) [A]"


def test_a_theory_stays_the_current_one_until_the_next():
    log = SessionLog()
    log.record(step=1, tool="t", theory="first")
    log.record(step=2, tool="t")
    assert log.current_theory == "first"
    assert "theory: first" in log.render()


def test_a_long_log_shows_the_newest_and_counts_the_rest():
    log = filled(SHOWN_ENTRIES + 5)
    lines = log.body().splitlines()
    assert lines[0] == "earlier: price x3, stock x2"
    assert [line.split()[0] for line in lines[1:]] == [f"S{n}" for n in range(6, 16)]
    assert log.render_compact() == "price x8, stock x7"


def test_a_rendering_does_not_grow_with_the_run():
    assert len(filled(2000).render()) < len(filled(20).render()) + 100


def test_long_reasoning_is_cut_in_the_rendering_alone():
    log = SessionLog()
    entry = log.record(step=1, tool="t", reasoning="r" * 1000)
    assert len(log.render()) < 300
    assert len(entry.reasoning) == 1000


def test_entities_are_listed_once_and_facts_too():
    log = SessionLog()
    log.record(step=1, tool="t", entities_seen=["b", "a"], findings=["f"])
    log.record(step=2, tool="t", entities_seen=["a", "c"], findings=["g", "f"])
    assert log.all_entities() == ["b", "a", "c"]
    assert facts_of(log) == "- f\n- g"


def test_the_entries_as_json_have_the_contracts_keys():
    (entry,) = filled(1).to_list()
    assert list(json.loads(json.dumps(entry))) == [
        "step", "theory", "tool", "reasoning", "entities_seen", "findings", "highlights",
        "recall_key",
    ]  # fmt: skip


def noted(count, log):
    for step in range(1, count + 1):
        log.note(step, "price" if step % 2 else "stock", f"reason {step}", "", (), "")
    return log


@pytest.mark.parametrize("count", [1, 2, SHOWN_ENTRIES, SHOWN_ENTRIES + 5])
@pytest.mark.parametrize("read", [False, True])
def test_what_the_loop_notes_is_what_it_would_record(count, read):
    log, recorded = SessionLog(), filled(count)
    if read:
        assert log.entries == []
    noted(count, log)
    assert log.render() == recorded.render()
    assert log.entries == recorded.entries
    assert log.render() == recorded.render()
    assert {type(entry) for entry in log.entries} == {LogEntry}


def test_a_list_of_entries_that_somebody_has_grows_on():
    log = noted(2, SessionLog())
    entries = log.entries
    noted(1, log)
    assert [entry.step for entry in entries] == [1, 2, 1]
    assert log.entries is entries


def test_what_is_added_to_a_noted_entry_is_shown_from_then_on():
    log = noted(2, SessionLog())
    assert "[" not in log.render()
    log.entries[-1].entities_seen.append("pear")
    assert log.render().endswith("S2 stock: reason 2 [pear]")
    log.note(3, "price", "", "", (), "")
    assert log.render().endswith("S2 stock: reason 2 [pear]\nS3 price")


def test_what_is_added_to_the_entry_that_was_recorded_is_shown_though_it_was_shown_without():
    log = SessionLog()
    entry = log.record(step=1, tool="price")
    assert log.render().endswith("S1 price")
    entry.highlights.append("cheap")
    log.note(2, "stock", "", "", (), "")
    assert log.render().endswith("S1 price (highlights: cheap)\nS2 stock")


def test_a_log_with_a_record_of_its_own_is_given_every_step(drive):
    class Told(SessionLog):
        def record(self, **fields):
            told.append(fields["tool"])
            return super().record(**fields)

    told: list[str] = []
    replies = ['{"tool": "think", "args": {"analysis": "hm"}}', '{"tool": "done", "args": {}}']
    tools = tools_from([], include_think=True, include_done=True)
    drive(drive.text(replies), tools=tools, session_log=Told(), max_steps=2)
    assert told == ["think", "done"]


def test_entries_of_a_run_have_theory_reasoning_and_entities(drive):
    log = SessionLog()
    reply = {"tool": "think", "args": {"analysis": "hm"}, "reasoning": "why", "theory": "so"}
    config = LoopConfig(extract_entities=lambda data: [data["analysis"]], max_steps=1)
    tools = tools_from([], include_think=True, include_done=True)
    drive(drive.text([json.dumps(reply)]), tools=tools, session_log=log, config=config)
    assert log.entries == [LogEntry(1, "so", "think", "why", ["hm"])]
    assert log.current_theory == "so"


def test_a_noted_step_of_a_summarys_name_is_a_summary_as_a_recorded_one_is():
    log = SessionLog()
    log.note(1, SUMMARY_TOOL, "all that was", "", (), "")
    assert log.left_out() == ({}, log.entries[0])
    assert log.render() == "SESSION LOG\nsummary of earlier steps: all that was"


def test_steps_of_one_turn_have_lines_of_their_own():
    log = noted(1, SessionLog())
    assert log.render().endswith("S1 price: reason 1")
    for step in (2, 3):
        log.note(step, "stock", "", "", (), "")
    assert log.render().splitlines()[1:] == ["S1 price: reason 1", "S2 stock", "S3 stock"]


def test_entries_that_somebody_took_out_are_not_shown():
    log = noted(3, SessionLog())
    log.render()
    log.entries.clear()
    assert log.render() == ""
    log.note(4, "stock", "", "", (), "")
    assert log.render() == "SESSION LOG\nS4 stock"


def test_a_copy_with_other_texts_leaves_the_log_and_renders_whole_texts_cut():
    log = SessionLog(title="LOG", highlights_label="good")
    secret = "x" * (REASONING_CHARS - 3) + "hunter2"
    for step in range(1, SHOWN_ENTRIES + 3):
        log.record(
            step=step, tool="hunter2", reasoning=secret, theory="hunter2", findings=["hunter2"],
            entities_seen=["hunter2"], highlights=["hunter2"], recall_key="hunter2",
        )  # fmt: skip
    log.compact(max_entries_to_keep=SHOWN_ENTRIES + 1)
    before = log.render()
    changed = log.with_texts(lambda text: text.replace("hunter2", "?"))
    assert "hun" not in changed.render()
    assert "hun" not in str(changed.to_list()) + changed.current_theory
    assert before.replace("hunter2", "?").replace("hun", "?") == changed.render()
    assert log.render() == before
    assert "hunter2" in before
