"""SQL over the dataset: every view is a table, and nothing unchecked is answered from."""

from __future__ import annotations

import pytest

from looplet.errors import StoreDamaged, StoreError
from looplet.trajectory import TrajectoryStore

duckdb = pytest.importorskip("duckdb")
VIEWS = ["trajectories", "steps", "calls", "messages", "scores"]


@pytest.fixture
def filled(tmp_path, make):
    store = TrajectoryStore(tmp_path / "runs", row_group_bytes=8_000)
    store.append(make(str(n), steps=1 + n % 3, task_id=f"t{n % 2}", trial=n) for n in range(8))
    store.append(make("last", steps=2, reward=0.5, tags=["x", "\ud800"]))
    store.append_scores([{"trajectory_id": "1", "eval_name": "e", "passed": True, "score": 0.25}])
    return store


def rows(store, query, parameters=None):
    return [tuple(row.values()) for row in store.sql(query, parameters).to_pylist()]


@pytest.mark.parametrize("view", VIEWS)
def test_every_view_is_a_table_with_the_same_rows_and_columns(filled, view):
    found = filled.sql(f"SELECT * FROM {view}")
    expected = filled.to_arrow(view)
    assert found.column_names == expected.column_names
    assert found.to_pylist() == expected.to_pylist()
    assert found.num_rows > 0
    assert rows(filled, f"SELECT count(*) FROM {view}") == [(expected.num_rows,)]


@pytest.mark.parametrize("view", VIEWS)
def test_each_column_can_be_asked_for_alone(filled, view):
    expected = filled.to_arrow(view)
    for name in expected.column_names:
        found = filled.sql(f'SELECT "{name}" FROM {view}')
        assert found.column(0).to_pylist() == expected.column(name).to_pylist(), name


def test_groups_joins_and_a_table_used_twice(filled):
    assert rows(filled, "SELECT tool, count(*) FROM steps GROUP BY tool ORDER BY tool") == [
        ("done", 9),
        ("price", 8),
    ]
    joined = """
        SELECT t.task_id, count(*) FROM trajectories t JOIN steps s USING (trajectory_id)
        WHERE s.tool = 'price' AND t.trial > 2 GROUP BY 1 ORDER BY 1
    """
    assert rows(filled, joined) == [("t0", 1), ("t1", 3)]
    twice = "SELECT count(*) FROM steps a JOIN steps b USING (trajectory_id)"
    sizes = [1 + n % 3 for n in range(8)] + [2]
    assert rows(filled, twice) == [(sum(size**2 for size in sizes),)]
    scored = "SELECT t.trial FROM scores JOIN trajectories t USING (trajectory_id) WHERE passed"
    assert rows(filled, scored) == [(1,)]


def test_a_filter_on_a_column_that_is_not_shown_is_applied(filled):
    query = "SELECT trajectory_id FROM trajectories WHERE trial BETWEEN 2 AND 3 ORDER BY 1"
    assert rows(filled, query) == [("2",), ("3",)]
    none = "SELECT count(*) FROM steps WHERE error IS NOT NULL OR tool IN ('a', 'b')"
    assert rows(filled, none) == [(0,)]


def test_parameters_are_filled_in_by_order_or_by_name(filled):
    query = "SELECT count(*) FROM trajectories WHERE task_id = "
    assert rows(filled, f"{query}?", ["t1"]) == [(4,)]
    assert rows(filled, f"{query}$task", {"task": "t0"}) == [(4,)]
    assert rows(filled, f"{query}?", ["' OR 1=1 --"]) == [(0,)]


def test_json_columns_are_json_for_duckdb(filled):
    query = "SELECT args->>'$.fruit' FROM steps WHERE trajectory_id = 'last' AND tool = 'price'"
    assert rows(filled, query) == [("f1",)]


def test_an_empty_store_has_empty_tables(store):
    store.append([])
    for view in VIEWS:
        assert rows(store, f"SELECT count(*) FROM {view}") == [(0,)]


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("SELECT * FROM nothing", "nothing does not exist.*the tables are trajectories, steps"),
        ("SELECT nothing FROM steps", '"nothing" not found'),
        ("SELEC 1", "syntax error"),
        ("DROP TABLE steps", "takes one SELECT.*given DROP"),
        ("SELECT 1; SELECT 2", "takes one SELECT.*given SELECT, SELECT"),
        ("", "given nothing"),
        ("CREATE TABLE x AS SELECT 1", "given CREATE"),
        ("INSERT INTO scores (trajectory_id) VALUES ('x')", "given INSERT"),
        ("SET lock_configuration = false", "given SET"),
        ("COPY (SELECT 1) TO '{file}'", "given COPY"),
        ("ATTACH '{file}'", "given ATTACH"),
        ("SELECT * FROM read_csv('{file}')", "disabled by configuration"),
        ("SELECT * FROM '{file}'", "disabled by configuration|does not exist"),
        ("SELECT * FROM parameters", "parameters does not exist"),  # no variable of Python's
        ("SELECT count(*) FROM trajectories WHERE task_id = ?", "parameter"),
    ],
)
def test_what_is_no_select_over_the_views_is_refused(filled, tmp_path, query, words):
    file = tmp_path / "other.csv"
    file.write_text("a\n1\n")
    with pytest.raises(StoreError, match=f"(?s){words}"):
        filled.sql(query.format(file=file))
    assert file.read_text() == "a\n1\n"
    assert len(filled) == 9


def test_damage_in_what_is_asked_for_is_told_and_other_columns_are_answered(filled, flip):
    path = min((filled.path / "trajectories").iterdir())
    flip(path, 1, "steps.list.element.tool")
    with pytest.raises(StoreDamaged, match=path.name):
        filled.sql("SELECT tool, count(*) FROM steps GROUP BY tool")
    assert rows(filled, "SELECT count(*) FROM steps WHERE step_num = 1") == [(9,)]


def test_a_part_that_is_cut_is_told(filled):
    path = min((filled.path / "trajectories").iterdir())
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(StoreDamaged, match=path.name):
        filled.sql("SELECT 1 FROM trajectories")


def test_files_that_are_being_written_are_not_read(filled):
    part = min((filled.path / "trajectories").iterdir())
    part.with_name(".x.tmp").write_bytes(part.read_bytes())
    part.with_name(".x.parquet").write_bytes(part.read_bytes())
    assert rows(filled, "SELECT count(*) FROM trajectories") == [(9,)]


def test_where_there_is_no_store_sql_says_so(tmp_path):
    with pytest.raises(StoreError, match="no trajectory store"):
        TrajectoryStore(tmp_path / "nowhere").sql("SELECT 1")
