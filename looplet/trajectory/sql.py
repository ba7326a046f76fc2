"""SQL over a store's views, by DuckDB, which is handed only what a query asks for.

DuckDB reads Parquet itself, but checks no page, and reads all of a step where a query wants its
tool. Each view is therefore given to it as a dataset of Arrow's: DuckDB says which columns it
wants and which rows, and gets them from the store's own reader, a row group at a time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from looplet.errors import MissingExtra, StoreError
from looplet.trajectory.arrow import load_dataset, pa
from looplet.trajectory.filtering import columns_in
from looplet.trajectory.views import VIEWS

if TYPE_CHECKING:
    import duckdb

Read = Callable[[str, Sequence[str]], Iterable[pa.Table]]
"""Reads columns of a view, as tables of any size."""
_SETTINGS: Mapping[str, Any] = {
    "enable_external_access": "false",
    "autoinstall_known_extensions": "false",
    "autoload_known_extensions": "false",
}
"""No file, no network, no extension, and so none of the caller's own variables either."""


def run_query(
    query: str, parameters: object, *, schemas: Mapping[str, pa.Schema], read: Read
) -> pa.Table:
    """The answer to one SELECT over the views.

    ``parameters`` are a list for ``?``, or a dict for ``$name``. Raises ``MissingExtra`` without
    DuckDB, ``StoreError`` on a query that is no single SELECT or that DuckDB refuses, and what
    ``read`` raises.
    """
    try:
        import duckdb
    except ImportError as error:
        raise MissingExtra("duckdb", needed_for="store.sql", extra="analysis") from error
    with duckdb.connect(":memory:", config=dict(_SETTINGS)) as connection:
        views = {name: _view(name, schemas[name], read) for name in VIEWS}
        for name, view in views.items():
            connection.register(name, view)
        connection.execute("SET lock_configuration=true")
        try:
            _check_select(connection, query)
            return _answer(connection, query, parameters)
        except duckdb.Error as error:
            for view in views.values():
                if view.failure is not None:
                    raise view.failure from None
            raise StoreError(f"{error} (the tables are {', '.join(VIEWS)})") from error


def _check_select(connection: duckdb.DuckDBPyConnection, query: str) -> None:
    statements: list[Any] = connection.extract_statements(query)
    kinds = [statement.type.name for statement in statements]
    if kinds != ["SELECT"]:
        given = ", ".join(kinds) or "nothing"
        raise StoreError(f"a store takes one SELECT, and nothing that writes; it was given {given}")


def _answer(connection: duckdb.DuckDBPyConnection, query: str, parameters: object) -> pa.Table:
    relation: Any = connection.sql(query, params=parameters)
    read = getattr(relation, "to_arrow_table", None) or relation.fetch_arrow_table
    table: pa.Table = read()
    return table


def _view(name: str, schema: pa.Schema, read: Read) -> Any:
    """A view as a dataset of Arrow's. DuckDB asks it for a scanner each time it reads it."""
    ds = load_dataset()

    class View(ds.InMemoryDataset):  # type: ignore[misc, name-defined] # loaded when it is used
        failure: Exception | None = None
        """What went wrong in reading, which DuckDB tells as text only."""

        def scanner(self, columns: Any = None, filter: Any = None, **_: Any) -> Any:  # noqa: A002 - as Arrow names it
            wanted = list(schema.names if columns is None else columns)
            needed = [*wanted]
            if filter is not None:
                needed += [each for each in columns_in(filter, schema.names) if each not in wanted]
            part = pa.schema([schema.field(each) for each in needed])
            batches = self._batches(needed)
            return ds.Scanner.from_batches(batches, schema=part, columns=wanted, filter=filter)

        def _batches(self, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
            try:
                for table in read(name, columns):
                    yield from table.to_batches()
            except Exception as error:
                self.failure = error
                raise

    return View(schema.empty_table())
