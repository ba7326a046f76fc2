"""Copies of the examples, run by pytest on their cassettes, in which tests break something."""

from __future__ import annotations

import shutil
from pathlib import Path

import looplet.examples
import tests.loaded  # noqa: F401 - first: runs inside this process find it loaded
from looplet.trajectory.store import TrajectoryStore
from tests.examples.replaying import CASSETTES

EXAMPLES = Path(looplet.examples.__file__).parent


class Copy:
    """An example in a project of its own, under a name of its own."""

    def __init__(self, pytester, example):
        self.pytester, self.name = pytester, f"{example}_copy"
        self.cassettes = CASSETTES / example
        self.folder = pytester.path / self.name
        shutil.copytree(EXAMPLES / example, self.folder)
        for path in self.folder.rglob("*.py"):
            path.write_text(path.read_text().replace(f"looplet.examples.{example}", self.name))
        pytester.makeini("[pytest]\npythonpath = .\n")

    def change(self, old, new, name="agent.py"):
        """Put ``new`` in the place of ``old``, which stands once in a file."""
        place = self.folder / name
        text = place.read_text()
        assert text.count(old) == 1
        place.write_text(text.replace(old, new))

    def score(self, store, *args):
        """Run the agent and put the evals to its runs, which are kept in a store."""
        return self.pytester.runpytest_inprocess(
            f"{self.name}/evals", "--looplet-cassettes", self.cassettes, "--looplet-out", store,
            "-p", "no:cacheprovider", *args,
        )  # fmt: skip

    def verdicts(self, store):
        """What each eval says of each run: passed, failed, not evaluable, or why there is none."""
        found = TrajectoryStore(self.pytester.path / store)
        return {
            (row["eval_name"], row["trajectory_id"].rpartition("-")[0]): row["error"]
            or row["label"]
            for row in found.scores()
        }

    def changes(self):
        """What verdicts are in ``after`` that were others in ``before``."""
        before, after = self.verdicts("before"), self.verdicts("after")
        assert before.keys() == after.keys()
        return {pair: after[pair] for pair in before if after[pair] != before[pair]}

    def runs(self, store):
        """The runs that are kept, by what ids show of them."""
        return {
            f"{run.task_id}-{run.trial}": run for run in TrajectoryStore(self.pytester.path / store)
        }
