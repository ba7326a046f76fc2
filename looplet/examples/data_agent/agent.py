"""The analyst: tools over tables, a report that needs a yes, and a context that stays small."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from looplet import (
    ApprovalHook,
    ContextBudget,
    FileCheckpointStore,
    InjectContext,
    LoopConfig,
    PruneToolResults,
    Step,
    ThresholdCompactHook,
    TruncateCompact,
    compact_chain,
    resume_loop_state,
    tools_from,
)
from looplet.core.codec import JSON
from looplet.examples.data_agent.tables import Row, Tables, make_tables
from looplet.skills.workspace import Workspace

SYSTEM_PROMPT = """You answer questions about tables. Look at the tables, then ask them in SQL. Give
figures as the tables have them, in cents. Save a report only if you are asked for one."""
CONTEXT_WINDOW = 8_000
"""Tokens: small on purpose, as a local model's is, so that long results must go."""
MAX_ROWS = 200
SAMPLE_ROWS = 3
APPROVED = "The report was approved: call save_report once more, with the same path and text."


class Analyst:
    """The tools, and all that is kept of one piece of work in a folder.

    ``tables/`` has the CSV files, ``reports/`` what was saved, ``checkpoints/`` the steps.
    """

    def __init__(self, folder: Path) -> None:
        make_tables(folder / "tables")
        self.tables = Tables(folder / "tables")
        self.checkpoints = folder / "checkpoints"
        self._reports = Workspace(folder / "reports")
        self._approved: list[dict[str, Any]] = []

    def agent(self, goal: str, *, max_steps: int = 15) -> dict[str, Any]:
        """What ``composable_loop`` is given beside a model."""
        budget = ContextBudget(context_window=CONTEXT_WINDOW)
        return {
            "task": {"goal": goal},
            "tools": tools_from(
                [self.list_tables, self.describe, self.query, self.save_report],
                include_done=True,
                done_parameters={"answer": "str: the answer, with its figures"},
            ),
            "hooks": [ThresholdCompactHook(budget, fire_tier="warning"), ApprovalHook(), self],
            "config": LoopConfig(
                max_steps=max_steps,
                system_prompt=SYSTEM_PROMPT,
                use_native_tools=True,
                context_window=CONTEXT_WINDOW,
                compact_service=compact_chain(PruneToolResults(keep_recent=2), TruncateCompact()),
                checkpoint_dir=self.checkpoints,
            ),
        }

    def list_tables(self) -> dict[str, JSON]:
        """Which tables there are, with their columns."""
        return {name: list(columns) for name, columns in self.tables.columns.items()}

    def describe(self, table: str) -> dict[str, JSON]:
        """How many rows a table has, and the first of them."""
        if table not in self.tables.columns:
            raise ValueError(f"there is no table {table}, but {', '.join(self.tables.columns)}")
        _, [(count,)] = self.tables.query(f'SELECT count(*) FROM "{table}"', limit=1)  # noqa: S608
        columns, rows = self.tables.query(f'SELECT * FROM "{table}"', limit=SAMPLE_ROWS)  # noqa: S608
        return {"rows": count, "first_rows": _shown(columns, rows)}

    def query(self, sql: str) -> dict[str, JSON]:
        """Ask the tables with one SELECT of SQLite's SQL; gives 200 rows at most."""
        columns, rows = self.tables.query(sql, limit=MAX_ROWS + 1)
        return {"table": _shown(columns, rows[:MAX_ROWS]), "has_more": len(rows) > MAX_ROWS}

    def save_report(self, path: str, text: str) -> dict[str, JSON]:
        """Save a report in Markdown. A person sees it first, and may say no."""
        self._reports.place(path)  # a path that leads outside is refused, and nobody is asked
        if {"path": path, "text": text} not in self._approved:
            about = f"save {len(text)} characters as {path}"
            return {"needs_approval": True, "approval_description": about}
        return self._reports.write(path, text)

    @property
    def steps(self) -> list[Step]:
        """The steps that were taken so far, by whichever process."""
        checkpoint = FileCheckpointStore(self.checkpoints).load_latest()
        return [] if checkpoint is None else list(resume_loop_state(checkpoint).steps)

    def waiting(self) -> dict[str, Any] | None:
        """Path and text of the report that waits for a yes, if the last step asked for one."""
        return _asked_for(self.steps)

    def approve(self, report: dict[str, Any]) -> None:
        """Let this report be saved, under this path and with this text alone."""
        self._approved.append(report)

    def pre_prompt(self, state: Any, session_log: Any, context: Any, step_num: int) -> Any:  # noqa: ARG002 - the slot's signature
        """Tell the model that it may go on with what it asked for."""
        return InjectContext(APPROVED) if _asked_for(state.steps) in self._approved else None


def _shown(columns: Row, rows: list[Row]) -> str:
    """A table as a model reads it with the fewest tokens: a line a row."""
    return "\n".join(" | ".join(map(str, row)) for row in (columns, *rows))


def _asked_for(steps: list[Step]) -> dict[str, Any] | None:
    data = steps[-1].tool_result.data if steps else None
    if not isinstance(data, dict) or not data.get("needs_approval"):
        return None
    return dict(steps[-1].tool_call.args)
