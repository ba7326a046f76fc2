"""Part files: whole or not there, and never read damaged in silence."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from looplet.errors import StoreDamaged, UnknownSchema
from looplet.trajectory import TrajectoryStore
from looplet.trajectory.folders import LocalFolder
from looplet.trajectory.parts import list_parts

WRITER = """
import sys
from looplet.trajectory import Trajectory, TrajectoryStore

store = TrajectoryStore(sys.argv[1], row_group_bytes=1)
name, count = sys.argv[2], int(sys.argv[3])

def run(number):
    return Trajectory(trajectory_id=f"{name}-{number}", run_id="r", task={"n": number})
"""


def start(code: str, *args: object) -> subprocess.Popen[str]:
    script = WRITER + textwrap.dedent(code)
    command = [sys.executable, "-c", script, *map(str, args)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def kill(process: subprocess.Popen[str]) -> None:
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert process.stdout is not None
    process.stdout.close()


def test_a_writer_killed_in_the_middle_of_a_part_leaves_nothing_visible(store, make):
    store.append(make("before"))
    code = """
    def endless():
        for number in range(count):
            yield run(number)
        print("written", flush=True)
        sys.stdin.read()

    store.append(endless())
    """
    script = WRITER + textwrap.dedent(code)
    process = subprocess.Popen(
        [sys.executable, "-c", script, str(store.path), "killed", "5"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout.readline() == "written\n"
    kill(process)
    process.stdin.close()
    left = [path.name for path in (store.path / "trajectories").iterdir()]
    assert sum(name.startswith(".") for name in left) == 1
    assert [each.trajectory_id for each in store] == ["before"]
    store.append(make("after"))
    assert [each.trajectory_id for each in store] == ["before", "after"]


def test_every_acknowledged_commit_of_a_killed_writer_is_whole(store):
    code = """
    for number in range(count):
        store.append([run(number), run(-number)])
        print(number, flush=True)
    """
    process = start(code, store.path, "w", 100_000)
    acknowledged = [int(process.stdout.readline()) for _ in range(12)][-1]
    kill(process)
    found = [each.task["n"] for each in store]
    assert found[: 2 * (acknowledged + 1)] == [
        sign * number for number in range(acknowledged + 1) for sign in (1, -1)
    ]
    assert len(found) % 2 == 0
    assert len(found) == len(store)


def test_two_processes_append_at_once(store):
    code = """
    for number in range(count):
        store.append(run(number))
    """
    writers = [start(code, store.path, name, 15) for name in ("one", "two")]
    for writer in writers:
        assert writer.wait(120) == 0
        writer.stdout.close()
    found = [each.trajectory_id for each in store]
    assert len(found) == len(set(found)) == 30
    for name in ("one", "two"):
        own = [each for each in found if each.startswith(name)]
        assert own == [f"{name}-{number}" for number in range(15)]


@pytest.fixture
def part(store, make):
    return store.append([make("a"), make("b")]).path


READS = {
    "rows": list,
    "columns": lambda store: list(store.iter_rows(["trajectory_id", "steps.tool"])),
    "view": lambda store: store.to_arrow("calls").to_pylist(),
    "tables": lambda store: [table.to_pylist() for table in store.scan_tables(["steps.tool"])],
}


@pytest.mark.parametrize("keep", [0.0, 0.001, 0.5, 0.999])
@pytest.mark.parametrize("read", [*READS.values(), len], ids=[*READS, "len"])
def test_a_truncated_part_is_refused_by_name(store, part, keep, read):
    whole = part.read_bytes()
    part.write_bytes(whole[: int(len(whole) * keep)])
    with pytest.raises(StoreDamaged, match=part.name):
        read(store)
    assert len(part.read_bytes()) == int(len(whole) * keep)


@pytest.mark.parametrize("read", READS.values(), ids=READS)
def test_a_flipped_byte_is_refused_or_changes_nothing(store, part, read):
    whole = part.read_bytes()
    expected = read(store)
    refused = 0
    for place in range(3, len(whole), 97):
        part.write_bytes(whole[:place] + bytes([whole[place] ^ 0x55]) + whole[place + 1 :])
        try:
            assert read(store) == expected, place
        except StoreDamaged:
            refused += 1
    assert refused


def test_a_flip_in_the_data_is_refused_when_all_is_read(store, part):
    whole = part.read_bytes()
    file = pq.ParquetFile(part)
    column = file.metadata.row_group(0).column(0)
    end = column.dictionary_page_offset + column.total_compressed_size
    place = end - 1
    part.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
    with pytest.raises(StoreDamaged, match=part.name):
        repr(list(store))


def test_a_row_that_refers_to_nothing_is_damage(store, part):
    table = pq.ParquetFile(part).read()
    place = table.schema.get_field_index("messages")
    none = pa.array([[]] * table.num_rows, type=table.schema.field("messages").type)
    foreign = part.with_name("0.parquet")
    pq.write_table(table.set_column(place, table.schema.field("messages"), none), foreign)
    with pytest.raises(StoreDamaged, match=r"0\.parquet.*no message"):
        repr(list(store))


@pytest.mark.parametrize(
    ("metadata", "words"),
    [
        ({b"looplet.schema_version": b"99"}, "'99'.*knows 1"),
        ({}, "no looplet.schema_version.*1"),
    ],
)
def test_an_unknown_schema_version_is_refused_by_name(store, part, metadata, words):
    table = pq.ParquetFile(part).read().replace_schema_metadata(metadata)
    foreign = part.with_name("foreign.parquet")
    pq.write_table(table, foreign)
    for read in (list, len, lambda store: store.to_arrow("steps")):
        with pytest.raises(UnknownSchema, match=f"foreign.parquet.*{words}"):
            read(store)


def test_files_that_are_no_parts_are_not_read(store, part):
    for name in (".hidden.parquet", "notes.txt", ".x.tmp"):
        part.with_name(name).write_bytes(b"not parquet")
    assert list_parts(LocalFolder(part.parent)) == [part.name]
    assert len(store) == 2


def test_plain_parquet_readers_take_a_part(store, part):
    table = pq.ParquetFile(part).read(columns=["trajectory_id", "n_steps"])
    assert table.to_pydict() == {"trajectory_id": ["a", "b"], "n_steps": [2, 2]}
    assert pq.ParquetFile(part).metadata.row_group(0).column(0).compression == "ZSTD"
    assert isinstance(TrajectoryStore(store.path), TrajectoryStore)
