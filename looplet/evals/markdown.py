"""A run of evals as Markdown, for the page that a CI job shows. Knows summaries; knows no pytest.

The file is the one that ``$GITHUB_STEP_SUMMARY`` names, where GitHub Actions collects what the
steps of a job have to say: each step appends.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path

from looplet.core.records import escape_controls
from looplet.evals.caveats import caveat_lines
from looplet.evals.contrast import Contrast
from looplet.evals.contrast_table import contrast_notes, contrast_rows, heading
from looplet.evals.gate import Verdict
from looplet.evals.summary import COLUMNS, EvalSummary, cells, trial_lines

FAILING = 20
"""How many failing runs are named, over all evals."""
CAUSES = 50
"""How many causes of the gate, and how many lines of other notes, are given."""
CELL_CHARS = 200
"""A name or a reason is cut after so many characters: the whole page has a limit, too."""
_SPECIAL = re.compile(r"[&<>|`*\[\]\\~#@:]|(?<![^\W_])_|_(?![^\W_])")
"""What Markdown or HTML would take for its own; an underscore inside a word is none."""


def report(
    summaries: Sequence[EvalSummary],
    verdict: Verdict | None,
    gate_cell: Callable[[EvalSummary], str],
    contrast: Contrast | None = None,
) -> str:
    """The tables of evals, the gate's word and its causes, and the first failing runs."""
    blocks = ["### Evals", *_tables(summaries, gate_cell), *_notes(_known(summaries))]
    blocks += [] if contrast is None else _contrast(contrast)
    if verdict is not None:
        blocks.append("**Gate: held**" if verdict.held else "**Gate: NOT held**")
        blocks += _notes(verdict.causes)
    return "\n\n".join([*blocks, *_failing(summaries)]) + "\n"


def _known(summaries: Sequence[EvalSummary]) -> list[str]:
    return [*trial_lines(summaries), *caveat_lines(summaries)]


def append(path: str, text: str) -> str | None:
    """Append a text to a file, as a block of its own; why it could not be, if it could not."""
    try:
        with Path(path).open("a", encoding="utf-8", errors="backslashreplace") as file:
            file.write(("\n" if file.tell() else "") + text)
    except (OSError, ValueError) as error:
        return f"step summary NOT written: {error}"
    return None


def escape(text: str) -> str:
    r"""Text that Markdown shows as it is, on one line, also in a table.

    >>> escape("eval_a|b <i>`x`\n")
    'eval_a&#124;b &#60;i&#62;&#96;x&#96;&#92;n'
    """
    text = escape_controls(text)
    if len(text) > CELL_CHARS:
        text = f"{text[:CELL_CHARS]}…"
    return _SPECIAL.sub(lambda found: f"&#{ord(found[0])};", text)


def _tables(summaries: Sequence[EvalSummary], gate_cell: Callable[[EvalSummary], str]) -> list[str]:
    if not summaries:
        return []
    return [_table([COLUMNS, *(cells(each, gate_cell(each)) for each in summaries)])]


def _contrast(contrast: Contrast) -> list[str]:
    rows, notes = contrast_rows(contrast), [*contrast_notes(contrast)]
    tables = [_table(rows)] if contrast.evals else []
    return [f"**{escape(heading(contrast))}**", *tables, *_notes(notes)]


def _table(rows: Sequence[Sequence[str]]) -> str:
    lines = [f"| {' | '.join(map(escape, row))} |" for row in rows]
    lines.insert(1, f"|---|{'---:|' * (len(rows[0]) - 2)}---|")
    return "\n".join(lines)


def _notes(lines: Sequence[str]) -> list[str]:
    if not lines:
        return []
    shown = [f"- {escape(line)}" for line in lines[:CAUSES]]
    more = len(lines) - len(shown)
    return ["\n".join([*shown, f"- … and {more} more"] if more else shown)]


def _failing(summaries: Sequence[EvalSummary]) -> list[str]:
    count = sum(each.failed + each.errors for each in summaries)
    if not count:
        return []
    named = [each for summary in summaries for each in summary.failing][:FAILING]
    lines = [
        f"- {escape(each.eval.name)}, run {escape(each.trajectory_id)}: "
        f"{escape(each.result.verdict())}"
        for each in named
    ]
    more = count - len(named)
    lines += [f"- … and {more} more"] if more else []
    return [f"**Failing: {count}**", "\n".join(lines)]
