"""A run of evals beside its baseline, as lines to be read. Knows text; decides nothing."""

from __future__ import annotations

from collections.abc import Iterator

from looplet.core.records import escape_controls
from looplet.core.wording import counted
from looplet.evals.columns import aligned
from looplet.evals.contrast import Beside, Contrast

NOT_COMPARED = "not compared"
SAME = "the same on each recording"
LEAST = 0.001
"""The smallest p-value that is shown as it is."""


def contrast_lines(contrast: Contrast, *, width: int = 80) -> list[str]:
    """The table, and below it what its numbers do not say."""
    header, *rows = contrast_rows(contrast)
    lines = [heading(contrast), *(aligned(header, rows, width=width) if rows else ())]
    notes = (f"  {note}" for note in contrast_notes(contrast))
    return [escape_controls(line) for line in (*lines, *notes)]


def heading(contrast: Contrast) -> str:
    """What the table is of."""
    return f"beside the baseline {contrast.baseline} (margin {contrast.margin:g})"


def contrast_rows(contrast: Contrast) -> list[tuple[str, ...]]:
    """The table's header, and a row an eval that both sides have."""
    interval = f"{100 * (1 - contrast.alpha):g}% interval"
    names = ("eval", "tasks", "baseline", "candidate", "difference", interval, "p", "verdict")
    return [names, *map(_cells, contrast.evals)]


def _cells(each: Beside) -> tuple[str, ...]:
    found = each.found
    if found is None or found.interval is None or found.corrected_p_value is None:
        return (each.eval.name, "0", "-", "-", "-", "-", "-", NOT_COMPARED)
    low, high = found.interval
    return (
        each.eval.name,
        str(len(found.tasks)),
        f"{each.baseline:.2f}",
        f"{each.candidate:.2f}",
        f"{found.difference:+.2f}",
        f"{low:+.2f} to {high:+.2f}",
        _chance(found.corrected_p_value),
        SAME if each.same else found.verdict,
    )


def _chance(p_value: float) -> str:
    return "<0.001" if p_value < LEAST else f"{p_value:.3f}"


def contrast_notes(contrast: Contrast) -> Iterator[str]:
    """What the numbers do not say, one line each."""
    for each in contrast.evals:
        yield from (f"{each.eval.name}: {text}" for text in _notes_of(each))
    if contrast.same_runs:
        yield f"the runs are those of {contrast.baseline}: what can differ is the scoring alone"
    if contrast.left_out:
        yield f"{contrast.left_out} runs are the baseline's, and are not the candidate's too"
    for count, side in (
        (contrast.tasks_only_baseline, "the baseline"),
        (contrast.tasks_only_here, "the candidate"),
    ):
        if count:
            tasks = counted(count, "task")
            yield f"{tasks} of {side} alone: not compared"
    for names, side in (
        ([side.name for side in contrast.only_baseline], "the baseline"),
        ([info.name for info in contrast.only_here], "the candidate"),
    ):
        if names:
            yield f"scores of {side} alone: {', '.join(sorted(names))}"


def _notes_of(each: Beside) -> Iterator[str]:
    if each.changed:
        yield f"{each.changed} has changed since the baseline was scored"
    if each.why_not:
        yield f"not compared: {each.why_not}"
    if each.less_evaluable:
        word = "less" if each.less_evaluable > 0 else "more"
        share = abs(each.less_evaluable)
        yield f"evaluable on {word} of its runs than of the baseline's, by a share of {share:.2f}"
    if each.found and each.found.same_recording and not each.same:
        same, tasks = len(each.found.same_recording), len(each.found.tasks)
        yield (
            f"{same} of {tasks} tasks replay one recording on both sides: only what is not in it, "
            "such as tools and evals, can differ there"
        )
