"""What judges said, recorded: a cassette for each eval on each run. Knows evals and cassettes.

One for all would end with the first question that was not recorded: the verdicts on all other runs
would be lost with it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from looplet.errors import CassetteError, CassetteMissing
from looplet.evals.marks import name_of, wants_of
from looplet.evals.running import Evaluation, Given, evaluate, failed

if TYPE_CHECKING:
    from looplet.evals.context import EvalContext
    from looplet.replay import RecordMode

JUDGES = "judges"
"""The folder of recorded verdicts among the cassettes of agents."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgeCassettes:
    """Where the verdicts of judges are kept, and how they are opened."""

    folder: Path
    mode: RecordMode
    backend: Any = None
    """The judge itself, for what is not recorded; a replay needs none."""

    def evaluate(
        self, function: Callable[..., Any], context: EvalContext, *, given: Given, label: str
    ) -> Evaluation:
        """What came of an eval on a run, its judge answered by the cassette of the two.

        A question that was not recorded is an error of this eval on this run.
        """
        from looplet.replay import Divergence

        if "llm" not in wants_of(function).takes:
            return evaluate(function, context, given=given)
        name = name_of(function)
        try:
            with self._opened(name, label) as judge:
                return evaluate(function, context, given=replace(given, judge=judge))
        except (CassetteError, Divergence) as error:
            text = f"{error}\n\nTo ask the judge anew: --looplet-judge, with --looplet-record=all"
            return failed(name, CassetteError(text))

    def path_of(self, name: str, label: str) -> Path:
        """The cassette of an eval on a run."""
        from looplet.evals.cassettes import file_name  # loads the replay room

        return self.folder / file_name([], f"{name}[{label}]")

    @contextmanager
    def _opened(self, name: str, label: str) -> Iterator[Any]:
        from looplet.replay import use_cassette

        path = self.path_of(name, label)
        if not path.exists() and (self.mode == "none" or self.backend is None):
            yield _Unrecorded(path) if self.mode == "none" else None
            return
        with use_cassette(path, record_mode=self.mode) as cassette:
            yield cassette.wrap_llm(self.backend)


class _Unrecorded:
    """Stands where nothing was recorded: an eval that asks nobody does without."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def generate(self, *_: Any, **__: Any) -> NoReturn:
        """Raise ``CassetteMissing``."""
        raise CassetteMissing(
            f"there is no recorded verdict in {self._path}: record it with --looplet-judge and "
            "--looplet-record=once"
        )

    generate_with_tools = generate
