"""The session log."""

from __future__ import annotations

import json

from looplet.core.session import SHOWN_ENTRIES, SessionLog, facts_of


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
