"""Which rows an expression takes: row groups by their statistics, then the rows themselves.

``pyarrow.dataset`` reads the statistics here, and nothing else; rows are read with the part's own
checks.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from looplet.errors import StoreError
from looplet.trajectory.arrow import load_compute, load_dataset, pa
from looplet.trajectory.damage import reading
from looplet.trajectory.schema import schema_of

if TYPE_CHECKING:
    import pyarrow.compute as pc

    from looplet.trajectory.parts import Part, Span

_BY_PLACE = re.compile(r"(?<![\w\"])FieldPath\(\d+\)")
"""How an expression's text names a column by its place."""
_NO_FIELD = re.compile(r"No match for FieldRef\.Name\((.*?)\) in ")


class Filter:
    """An expression over the columns of a dataset that are no lists.

    Raises ``TypeError`` if it is no expression, ``StoreError`` if it cannot be evaluated on the
    dataset's columns.
    """

    def __init__(self, expression: pc.Expression, dataset: str) -> None:
        if not isinstance(expression, load_compute().Expression):
            raise TypeError(
                "where is an expression of pyarrow.compute, such as pc.field('reward') < 1, "
                f"not {type(expression).__name__}: {expression!r:.80}"
            )
        if _BY_PLACE.search(str(expression)):
            raise StoreError(f"where={expression} names a column by its place; use its name")
        self._expression = expression
        self._schema = schema_of(dataset)
        names = [field.name for field in self._schema if not pa.types.is_nested(field.type)]
        self._columns = columns_in(expression, names)
        self._try()

    def spans(self, part: Part) -> Iterable[Span]:
        """The spans that may have a row which matches, by their statistics."""
        form = load_dataset().ParquetFileFormat()
        folder = part.folder
        with reading(part.path):
            try:
                fragment = form.make_fragment(f"{folder.path}/{part.name}", folder.filesystem)
                found = fragment.subset(self._expression).row_groups
            except FileNotFoundError:  # it was just joined to others, where its rows are found
                return part.spans
        return part.spans_in(group.id for group in found)

    def rows(self, part: Part, span: Span) -> list[int]:
        """The rows of a span that match."""
        matches = self._evaluate(part.read(span, self._columns)).to_pylist()
        return [row for row, match in enumerate(matches) if match]

    def _try(self) -> None:
        """Evaluate it on no rows, so that what is wrong with it is not taken for damage."""
        empty = self._schema.empty_table().select(self._columns)
        try:
            kind = self._evaluate(empty).type
        except (pa.ArrowException, TypeError) as error:
            raise StoreError(self._refusal(str(error))) from error
        if not pa.types.is_boolean(kind):
            raise StoreError(f"where={self._expression} is {kind}, not true or false")

    def _evaluate(self, table: pa.Table) -> pa.ChunkedArray[Any]:
        dataset = load_dataset().dataset(table)
        matches: pa.Table = dataset.scanner(columns={"match": self._expression}).to_table()
        return matches.column("match")

    def _refusal(self, said: str) -> str:
        found = _NO_FIELD.search(said)
        if found is None:
            return f"where={self._expression} cannot be evaluated: {said}"
        near = difflib.get_close_matches(found[1], self._schema.names, 1)
        hint = f"did you mean {near[0]!r}?" if near else "see docs/store.md for the columns"
        if found[1] in self._schema.names:
            hint = "it is a list; expressions are over single values"
        return f"where={self._expression} cannot use the column {found[1]!r}: {hint}"


def columns_in(expression: pc.Expression, names: Iterable[str]) -> list[str]:
    """Those of ``names`` that an expression may refer to: all whose names stand in its text.

    >>> import pyarrow.compute as pc
    >>> columns_in((pc.field("reward") < 1) & pc.field("model").is_valid(), ["model", "trial"])
    ['model']
    """
    words = set(re.findall(r"\w+", str(expression)))
    return [name for name in names if name in words]
