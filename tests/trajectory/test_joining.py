"""Compacting: small parts become large ones, and no row is lost or met twice meanwhile."""

from __future__ import annotations

import fcntl
import itertools
import os
import random
import shutil
import signal
import subprocess
import sys
import time

import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from looplet.errors import StoreDamaged, StoreError
from looplet.trajectory import TrajectoryStore, joining
from looplet.trajectory.folders import LocalFolder
from looplet.trajectory.parts import OpenParts, list_parts


def ids(store):
    return [run.trajectory_id for run in store]


def files(store, dataset="trajectories"):
    folder = store.path / dataset
    return sorted(path.name for path in folder.iterdir() if path.name[0] != ".")


@pytest.fixture
def scattered(store, make):
    """Six parts of one run each."""
    for number in range(6):
        store.append(make(str(number), steps=1 + number % 3))
    return store


def test_small_parts_become_one_with_the_same_runs_in_order(scattered, make):
    live = list(map(repr, scattered))
    scattered.append_scores([{"trajectory_id": "1", "eval_name": "e"}])
    scattered.append_scores([{"trajectory_id": "2", "eval_name": "e"}])
    done = scattered.compact()
    assert (done.parts_before, done.parts_after) == (8, 2)
    assert done.bytes_after < done.bytes_before
    assert len(files(scattered)) == len(files(scattered, "scores")) == 1
    again = TrajectoryStore(scattered.path)
    assert list(map(repr, again)) == live
    assert len(again) == 6
    assert [row["trajectory_id"] for row in again.scores()] == ["1", "2"]
    assert again.check().ok
    again.append(make("new"))
    assert ids(again) == [*map(str, range(6)), "new"]
    assert again.to_arrow().num_rows == 7


def test_row_groups_are_joined_too_up_to_their_size(tmp_path, make):
    store = TrajectoryStore(tmp_path, row_group_bytes=30_000)
    for number in range(12):
        store.append(make(str(number), metadata={"text": "x" * 5_000}))
    store.compact()
    (name,) = files(store)
    assert 2 <= pq.ParquetFile(store.path / "trajectories" / name).num_row_groups <= 4


def test_large_parts_are_left_and_order_is_kept(tmp_path, make):
    store = TrajectoryStore(tmp_path)
    for number in range(3):
        store.append(make(str(number)))
    noise = random.Random(1)
    runs = [make(f"large{n}", metadata={"x": noise.randbytes(5_000).hex()}) for n in range(40)]
    large = store.append(runs).name
    for number in range(3, 6):
        store.append(make(str(number)))
    expected = ids(store)
    limit = (store.path / "trajectories" / large).stat().st_size * 3 // 2
    assert store.compact(part_bytes=limit).parts_after == 3
    assert large in files(store)
    assert ids(store) == expected


def test_compacting_again_changes_nothing(scattered):
    scattered.compact()
    before = files(scattered)
    done = scattered.compact()
    assert (done.parts_before, done.parts_after) == (1, 1)
    assert files(scattered) == before


@settings(max_examples=25)
@given(data=st.data())
def test_any_mix_of_appending_and_compacting_keeps_every_run_once(data, make, tmp_path_factory):
    store = TrajectoryStore(tmp_path_factory.mktemp("mix"), row_group_bytes=3_000)
    expected = []
    for _ in range(data.draw(st.integers(1, 8))):
        if data.draw(st.booleans()):
            store.compact(part_bytes=data.draw(st.sampled_from([1, 60_000, 2**28])))
        else:
            some = [f"{len(expected) + n}" for n in range(data.draw(st.integers(0, 3)))]
            store.append(make(name) for name in some)
            expected += some
    assert ids(store) == expected
    assert len(store) == len(expected)
    assert store.check().ok


def test_what_a_killed_compaction_left_counts_once_and_is_removed(scattered, tmp_path):
    """Killed after the joined part appeared, before the others were removed."""
    kept = tmp_path / "kept"
    shutil.copytree(scattered.path / "trajectories", kept)
    expected = ids(scattered)
    scattered.compact()
    for path in kept.iterdir():
        shutil.copy(path, scattered.path / "trajectories")
    assert len(files(scattered)) == 7
    assert ids(scattered) == expected
    assert len(scattered) == scattered.to_arrow().num_rows == 6
    assert scattered.sql("SELECT count(*) AS n FROM trajectories").to_pylist() == [{"n": 6}]
    assert scattered.info().trajectories.replaced == 6
    scattered.compact()
    assert len(files(scattered)) == 1
    assert ids(scattered) == expected


def test_what_a_killed_compaction_left_stays_while_the_joined_part_is_damaged(
    scattered, tmp_path, flip
):
    kept = tmp_path / "kept"
    shutil.copytree(scattered.path / "trajectories", kept)
    expected = ids(scattered)
    scattered.compact()
    (name,) = files(scattered)
    for path in kept.iterdir():
        shutil.copy(path, scattered.path / "trajectories")
    flip(scattered.path / "trajectories" / name, 0, "steps.list.element.args")
    with pytest.raises(StoreDamaged, match=name):
        scattered.compact()
    assert len(files(scattered)) == 7
    (scattered.path / "trajectories" / name).rename(tmp_path / name)  # as the error says
    assert ids(scattered) == expected


@pytest.mark.parametrize("times", [1, 2])
def test_a_reader_that_listed_the_parts_before_goes_on(scattered, make, times):
    reader = iter(scattered)
    rows = scattered.iter_rows(["trajectory_id"])
    seen = [next(reader).trajectory_id, next(reader).trajectory_id]
    found = [next(rows)["trajectory_id"]]
    for number in range(times):
        scattered.compact()
        scattered.append(make(f"later{number}"))
    assert seen + [run.trajectory_id for run in reader] == [*map(str, range(6))]
    assert found + [row["trajectory_id"] for row in rows] == [*map(str, range(6))]


def test_a_reader_goes_on_where_joined_parts_were_joined_again(scattered):
    reader = iter(scattered)
    seen = [next(reader).trajectory_id]
    size = sum(path.stat().st_size for path in (scattered.path / "trajectories").glob("*.parquet"))
    assert TrajectoryStore(scattered.path).compact(part_bytes=size * 2 // 3).parts_after == 2
    scattered.compact()
    assert len(files(scattered)) == 1
    assert seen + [run.trajectory_id for run in reader] == [*map(str, range(6))]


def test_runs_that_were_loaded_before_are_read_after(tmp_path, make):
    store = TrajectoryStore(tmp_path, row_group_bytes=1)
    live = [make(str(number), steps=3) for number in range(9)]
    for place in (0, 3, 6):
        store.append(live[place : place + 3])
    store._open_parts = OpenParts(limit=1)
    runs = list(store)
    TrajectoryStore(tmp_path).compact()  # row groups of all nine
    assert len(files(store)) == 1
    assert runs == live


def test_a_reader_is_told_if_its_parts_were_joined_too_long_ago(scattered, monkeypatch, make):
    reader = iter(scattered)
    next(reader)
    scattered.compact()
    scattered.append(make("later"))
    monkeypatch.setattr(joining, "REMEMBERED_S", -1)
    scattered.compact()
    with pytest.raises(StoreError, match="went away while the dataset was read"):
        list(reader)


def test_a_damaged_part_is_not_compacted_and_nothing_is_removed(scattered, flip):
    name = files(scattered)[3]
    path = scattered.path / "trajectories" / name
    flip(path, 0, "steps.list.element.args")
    before = files(scattered)
    with pytest.raises(StoreDamaged, match=name):
        scattered.compact()
    assert files(scattered) == before
    assert list((scattered.path / "trajectories").glob(".*.tmp")) == []


WAITING_WRITER = """
import sys
from looplet.trajectory import Trajectory, TrajectoryStore

def runs():
    yield Trajectory(trajectory_id="slow", run_id="r")
    print("written", flush=True)
    sys.stdin.readline()

TrajectoryStore(sys.argv[1], row_group_bytes=1).append(runs())
"""


def test_temporary_files_go_if_their_writer_is_killed_and_stay_if_it_is_at_work(scattered):
    command = [sys.executable, "-c", WAITING_WRITER, str(scattered.path)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    killed, slow = (subprocess.Popen(command, **pipes) for _ in range(2))
    for writer in (killed, slow):
        assert writer.stdout.readline() == "written\n"
    os.kill(killed.pid, signal.SIGKILL)
    killed.communicate()
    assert scattered.info().trajectories.temporary == 2
    scattered.compact()
    assert scattered.info().trajectories.temporary == 1
    slow.communicate("\n")
    assert slow.returncode == 0
    assert ids(scattered) == [*map(str, range(6)), "slow"]


def test_what_was_joined_is_read_back_before_it_appears(scattered, monkeypatch):
    """As a disk would do it that does not keep what it was given."""
    before, closed = files(scattered), pq.ParquetWriter.close

    def close_and_spoil(writer):
        closed(writer)
        path = next(iter((scattered.path / "trajectories").glob(".*.tmp")))
        whole = path.read_bytes()
        path.write_bytes(whole[:300] + bytes([whole[300] ^ 0xFF]) + whole[301:])

    monkeypatch.setattr(pq.ParquetWriter, "close", close_and_spoil)
    with pytest.raises(StoreDamaged):
        scattered.compact()
    assert files(scattered) == before
    assert scattered.check().ok


def test_two_do_not_compact_at_once(scattered):
    with (scattered.path / "trajectories" / ".compact.lock").open("wb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        with pytest.raises(StoreError, match="being compacted by another process"):
            scattered.compact()
    assert scattered.compact().parts_after == 1


def test_a_joined_part_that_is_damaged_is_told(scattered):
    scattered.compact()
    (name,) = files(scattered)
    path = scattered.path / "trajectories" / name
    path.write_bytes(path.read_bytes()[:-9])
    for read in (list, len, lambda store: store.to_arrow()):
        with pytest.raises(StoreDamaged, match=name):
            read(scattered)
    assert scattered.check().damaged == [name]


def test_names_joined_while_they_are_listed_are_listed_again(scattered):
    """A listing that missed a part which was joined, and what it was joined to."""
    before = LocalFolder(scattered.path / "trajectories").names()
    scattered.compact()
    folder = LocalFolder(scattered.path / "trajectories")
    after = folder.names()
    torn = iter([{min(before)}, after, after, after])
    folder.names = lambda: next(torn)
    assert list_parts(folder) == sorted(after)


WORKER = """
import sys
import time
from looplet.trajectory import Trajectory, TrajectoryStore

store = TrajectoryStore(sys.argv[1], row_group_bytes=4_000)
name = sys.argv[2]
if name == "compact":
    while True:
        store.compact(part_bytes=120_000)
        print("done", flush=True)
number = 0
while True:
    runs = [
        Trajectory(trajectory_id=f"{name}-{each}", run_id="r", task={"n": each, "text": "x" * 300})
        for each in range(number, number + 3)
    ]
    store.append(runs)
    number += 3
    print(number, flush=True)
    time.sleep(0.03)
"""


class Workers:
    """Writers and a compactor in processes of their own, and what they acknowledged."""

    def __init__(self, folder):
        self.folder, self.running, self.acknowledged = folder, {}, {}

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for name in [*self.running]:
            self.kill(name)

    def begin(self, name):
        command = [sys.executable, "-c", WORKER, str(self.folder), name]
        self.running[name] = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)

    def kill(self, name):
        process = self.running.pop(name)
        os.kill(process.pid, signal.SIGKILL)
        printed, _ = process.communicate()
        numbers = [int(line) for line in printed.split("\n")[:-1] if line.isdigit()]
        self.acknowledged[name] = numbers[-1] if numbers else 0

    def check(self):
        check_rows(ids(TrajectoryStore(self.folder)), self.acknowledged)


def test_killed_at_any_moment_every_acknowledged_commit_is_there_once(tmp_path):
    dice = random.Random(5)
    TrajectoryStore(tmp_path).append([])
    ends = time.monotonic() + 8
    with Workers(tmp_path) as workers:
        for name in ("compact", *(f"w{number}.0" for number in range(8))):
            workers.begin(name)
        for generation in itertools.count(1):
            time.sleep(dice.uniform(0.3, 1.5))
            name = dice.choice([*workers.running])
            workers.kill(name)
            if name == "compact":
                workers.begin(name)
            else:
                workers.begin(f"{name.partition('.')[0]}.{generation}")
            workers.check()
            is_written = sum(workers.acknowledged.values()) > 0  # on a busy machine that takes long
            if time.monotonic() > ends + (0 if is_written else 60):
                break
    workers.check()
    assert sum(workers.acknowledged.values()) > 0
    store = TrajectoryStore(tmp_path)
    assert store.check().ok
    store.compact()
    workers.check()


def check_rows(found, acknowledged):
    assert len(found) == len(set(found))
    by_writer = {}
    for each in found:
        name, _, number = each.rpartition("-")
        by_writer.setdefault(name, []).append(int(number))
    for name, numbers in by_writer.items():
        assert numbers == [*range(len(numbers))], name  # in order, none missing
        assert len(numbers) % 3 == 0, name  # commits are whole
    for name, count in acknowledged.items():
        if name != "compact":
            assert len(by_writer.get(name, ())) >= count, name
