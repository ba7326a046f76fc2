"""The page that a CI job shows of evals."""

from __future__ import annotations

import html

import pytest
from hypothesis import given
from hypothesis import strategies as st

from looplet.core.records import escape_controls
from looplet.evals import markdown
from looplet.evals.gate import Verdict
from looplet.evals.results import EvalResult, Outcome
from looplet.evals.scored import EvalInfo, Scored
from looplet.evals.scoring import STEP_SUMMARY
from looplet.evals.summary import summarize

STORE = ("--looplet-store", "store", "-p", "no:cacheprovider", "evals")
NASTY = st.text(st.sampled_from("ab_*`|<>&[]()!\\~#@:/.-+=1\n\r\t \x1b\ud800é"), max_size=12)
markdown_it = pytest.importorskip("markdown_it")


def verdicts(name, outcomes, trajectory_id="t", explanation=""):
    info = EvalInfo(key=name, name=name)
    result = EvalResult(name, label="pass", explanation=explanation)
    return [
        Scored(eval=info, trajectory_id=f"{trajectory_id}{n}", outcome=outcome, result=result)
        for n, outcome in enumerate(outcomes)
    ]


def rendered(text):
    """What a reader of Markdown makes of it: cells of tables, items of lists, all as text."""
    tokens = markdown_it.MarkdownIt("gfm-like", {"linkify": False}).parse(text)
    found = {"td": [], "li": [], "kinds": {each.type for each in tokens}}
    kind = None
    for token in tokens:
        if token.type in ("td_open", "list_item_open"):
            kind = "td" if token.type == "td_open" else "li"
        elif token.type == "inline" and kind:
            found["kinds"] |= {each.type for each in token.children}
            found[kind].append("".join(each.content for each in token.children))
            kind = None
    return found


@given(NASTY, NASTY, NASTY)
def test_any_name_and_reason_is_shown_as_it_is(name, run, reason):
    name, run, reason = f"e{name}e", f"r{run}", f"r{reason}r"
    summaries = summarize(verdicts(name, [Outcome.FAIL], run, reason))
    text = markdown.report(summaries, Verdict(causes=(f"{name}: {reason}",)), lambda _: "NOT held")
    found = rendered(text)
    shown = [escape_controls(each) for each in (name, f"{run}0", reason)]
    assert found["td"] == [shown[0], "1", "0", "0.00", "0.00 to 0.79", "0", "NOT held"]
    assert found["li"] == [
        f"{shown[0]}: {shown[2]}",
        f"{shown[0]}, run {shown[1]}: label=pass: {shown[2]}",
    ]
    assert found["kinds"].isdisjoint({"html_block", "html_inline", "code_inline", "link_open"})


def test_the_page_stays_small_whatever_fails():
    many = [Outcome.FAIL, Outcome.ERROR] * 500
    text = markdown.report(
        summarize([*verdicts("eval_a", many, "x" * 5000, "y" * 5000), *verdicts("eval_b", many)]),
        Verdict(causes=("z" * 5000,) * 500),
        lambda _: "-",
    )
    assert text.count("\n- eval_") == markdown.FAILING
    assert "- … and 1980 more" in text
    assert "- … and 450 more" in text
    assert "**Failing: 2000**" in text
    assert len(text) < 40_000


def test_nothing_failing_is_not_mentioned():
    text = markdown.report(summarize(verdicts("eval_a", [Outcome.PASS])), None, lambda _: "-")
    assert "Failing" not in text
    assert "Gate" not in text


@pytest.mark.parametrize("workers", [(), ("-n", "2")])
def test_each_run_appends_its_page_once(project, monkeypatch, workers):
    page = project.path / "summary.md"
    page.write_text("## Before", encoding="utf-8")
    monkeypatch.setenv(STEP_SUMMARY, str(page))
    for gate in ((), ("--looplet-gate=threshold",)):
        project.runpytest_subprocess(*STORE, *workers, *gate)
    before, first, second = html.unescape(page.read_text(encoding="utf-8")).split("### Evals\n")
    assert before == "## Before\n"
    assert "| eval_right_price | 3 | 2 | 0.67 | 0.24 to 0.97 | 0 | - |\n" in first
    assert "Gate" not in first
    assert "| eval_ended_by_itself | 3 | 3 | 1.00 | 0.34 to 1.00 | 0 | held |\n" in second
    assert "**Gate: NOT held**\n\n- eval_right_price: average 0.667 is below 1.000\n" in second
    assert "**Failing: 1**\n\n- eval_right_price, run pears.1: score=0.00 label=fail\n" in second


def test_a_page_that_cannot_be_written_is_a_note(project, monkeypatch):
    monkeypatch.setenv(STEP_SUMMARY, str(project.path))
    result = project.runpytest_inprocess(*STORE, "-m", "not verdict")
    assert result.ret == pytest.ExitCode.OK
    result.stdout.fnmatch_lines(["step summary NOT written: *"])
    assert markdown.append("a\0b", "text").startswith("step summary NOT written: ")


def test_nothing_is_written_where_nothing_was_scored(project, monkeypatch):
    page = project.path / "summary.md"
    monkeypatch.setenv(STEP_SUMMARY, str(page))
    project.runpytest_inprocess(*STORE, "--collect-only")
    project.runpytest_inprocess("-p", "no:cacheprovider")
    assert not page.exists()
