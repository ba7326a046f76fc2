"""CSV files as tables that can be read and not be changed. Knows SQLite; knows no agent."""

from __future__ import annotations

import csv
import sqlite3
import weakref
from collections.abc import Iterator
from datetime import date, timedelta
from itertools import islice
from pathlib import Path
from random import Random
from typing import Any, TypeAlias

Row: TypeAlias = tuple[Any, ...]

ORDERS = 4000
SHOPS = {"Bergen": "Norway", "Cadiz": "Spain", "Lisbon": "Portugal", "Porto": "Portugal"}
CENTS_A_KILO = {"apple": 180, "cherry": 720, "pear": 210, "plum": 260}
MAX_CHARS = 100_000
"""The longest text that SQL may make."""
MAX_TICKS, TICK = 200, 100_000
"""A query is given up after so many ticks of so many instructions of SQLite's machine."""
_READING = {
    sqlite3.SQLITE_SELECT,
    sqlite3.SQLITE_READ,
    sqlite3.SQLITE_FUNCTION,
    sqlite3.SQLITE_RECURSIVE,
}


def make_tables(folder: Path) -> None:
    """Write ``orders.csv`` and ``shops.csv``, the same each time, unless they are there."""
    folder.mkdir(parents=True, exist_ok=True)
    chance = Random(2025)  # noqa: S311 - made-up orders, no secret
    _write(folder / "shops.csv", ("shop", "country"), iter(SHOPS.items()))
    header = ("day", "shop", "fruit", "kilos", "cents")
    _write(folder / "orders.csv", header, (_order(chance) for _ in range(ORDERS)))


class Tables:
    """The CSV files of a folder, as tables of a database in memory.

    >>> import tempfile
    >>> make_tables(folder := Path(tempfile.mkdtemp()))
    >>> tables = Tables(folder)
    >>> tables.columns
    {'orders': ('day', 'shop', 'fruit', 'kilos', 'cents'), 'shops': ('shop', 'country')}
    >>> tables.query("SELECT shop FROM shops WHERE country = 'Spain'", limit=5)
    (('shop',), [('Cadiz',)])
    """

    def __init__(self, folder: Path) -> None:
        # Tools with a time limit run in a thread of their own; the loop never runs two at once.
        self._database = sqlite3.connect(":memory:", check_same_thread=False)
        self._end = weakref.finalize(self, self._database.close)
        self.columns: dict[str, tuple[str, ...]] = {}
        for path in sorted(folder.glob("*.csv")):
            self.columns[path.stem] = self._load(path)
        self._database.commit()
        self._database.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, MAX_CHARS)
        self._database.set_authorizer(_authorize)

    def query(self, sql: str, *, limit: int) -> tuple[tuple[str, ...], list[Row]]:
        """The names of a query's columns, and its first ``limit`` rows.

        Raises ``PermissionError`` for what does not only read, ``TimeoutError`` for what takes too
        long, and ``sqlite3.Error`` for what is wrong.
        """
        ticks = iter(range(MAX_TICKS))
        self._database.set_progress_handler(lambda: next(ticks, None) is None, TICK)
        try:
            cursor = self._database.execute(sql)
            names = tuple(column[0] for column in cursor.description or ())
            return names, list(islice(cursor, limit))
        except sqlite3.DatabaseError as error:
            if _name_of(error) == "SQLITE_AUTH":
                raise PermissionError("tables can only be read: ask with one SELECT") from error
            if _name_of(error) == "SQLITE_INTERRUPT":
                raise TimeoutError("the query takes too long: ask for less at once") from error
            raise

    def close(self) -> None:
        """Forget the tables, which happens anyway once nobody has them."""
        self._end()

    def _load(self, path: Path) -> tuple[str, ...]:
        with path.open(encoding="utf-8", newline="") as file:
            rows = csv.reader(file)
            header = tuple(next(rows))
            named = ", ".join(f"{_quoted(name)} NUMERIC" for name in header)
            self._database.execute(f"CREATE TABLE {_quoted(path.stem)} ({named})")
            places = ", ".join("?" * len(header))
            insert = f"INSERT INTO {_quoted(path.stem)} VALUES ({places})"  # noqa: S608 - quoted
            self._database.executemany(insert, rows)
        return header


def _authorize(action: int, *_names: str | None) -> int:
    return sqlite3.SQLITE_OK if action in _READING else sqlite3.SQLITE_DENY


def _name_of(error: sqlite3.Error) -> str | None:
    return getattr(error, "sqlite_errorname", None)  # missing where Python's own module refuses


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _order(chance: Random) -> Row:
    def pick(items: list[str]) -> str:
        return items[int(chance.random() * len(items))]  # random() alone is the same everywhere

    day = date(2025, 1, 1) + timedelta(days=int(chance.random() * 365))
    fruit, kilos = pick([*CENTS_A_KILO]), 1 + int(chance.random() * 20)
    return day.isoformat(), pick([*SHOPS]), fruit, kilos, kilos * CENTS_A_KILO[fruit]


def _write(path: Path, header: Row, rows: Iterator[Row]) -> None:
    if path.exists():
        return
    part = path.with_suffix(".part")  # so that a process that is killed leaves no half table
    with part.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([header, *rows])
    part.replace(path)
