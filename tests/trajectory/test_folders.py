"""Stores elsewhere than in a folder of this machine, and addresses of stores."""

from __future__ import annotations

import logging
import os
import re
import signal
import subprocess
import sys
from datetime import UTC, datetime

import pyarrow.compute as pc
import pytest
from pyarrow import fs

from looplet.errors import StoreDamaged, StoreError
from looplet.trajectory import TrajectoryStore

BUCKET = "bucket"


@pytest.fixture(scope="module")
def s3():
    """A server that speaks the protocol of S3; its address as pyarrow takes it."""
    server = pytest.importorskip("moto.server").ThreadedMotoServer("127.0.0.1", 0)
    server.start()
    host, port = server.get_host_and_port()
    options = f"scheme=http&endpoint_override={host}:{port}&region=us-east-1"
    yield f"s3://access:secret@{BUCKET}/{{}}?{options}"
    server.stop()


@pytest.fixture
def bucket(s3, request):
    """An empty bucket there, as a filesystem."""
    found, _ = fs.FileSystem.from_uri(f"{s3.format('')}&allow_bucket_creation=true")
    found.create_dir(BUCKET)
    yield found
    found.delete_dir_contents(BUCKET)


@pytest.fixture(params=["memory", "subtree", "s3"])
def elsewhere(request, tmp_path):
    """A filesystem that is reached through pyarrow alone."""
    if request.param == "memory":
        from pyarrow._fs import _MockFileSystem

        return _MockFileSystem(datetime.now(UTC))
    if request.param == "s3":
        return request.getfixturevalue("bucket")
    return fs.SubTreeFileSystem(str(tmp_path / "elsewhere"), fs.LocalFileSystem())


def test_a_store_works_in_any_filesystem_of_pyarrow(elsewhere, make):
    store = TrajectoryStore("bucket/runs/", filesystem=elsewhere)
    with pytest.raises(StoreError, match="no trajectory store at bucket/runs"):
        list(store)
    live = [make(str(n), trial=n) for n in range(4)]
    commit = store.append(live[:2])
    store.append(live[2:])
    store.append_scores([{"trajectory_id": "1", "eval_name": "e"}])
    assert commit.path.startswith("bucket/runs/trajectories/")
    assert list(store) == live
    assert len(store) == 4
    assert [run.trial for run in store.scan(where=pc.field("trial") > 2)] == [3]
    assert store.to_arrow("steps").num_rows == 8
    assert store.sql("SELECT count(*) AS n FROM steps").to_pylist() == [{"n": 8}]
    assert store.check().ok
    assert store.info().trajectories.parts == 2
    assert repr(store) == "TrajectoryStore('bucket/runs')"


def test_nothing_is_seen_there_of_a_commit_that_fails(elsewhere, make, monkeypatch, tmp_path):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    store = TrajectoryStore("bucket/runs", filesystem=elsewhere, row_group_bytes=1)
    store.append(make("a"))

    def breaks():
        yield make("b")
        raise RuntimeError("the source broke")

    with pytest.raises(RuntimeError, match="the source broke"):
        store.append(breaks())
    selector = fs.FileSelector("bucket/runs", recursive=True)
    found = [info.path for info in elsewhere.get_file_info(selector) if info.is_file]
    assert len(found) == len(store) == 1
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith("looplet-")] == []


def test_damage_there_is_told(elsewhere, make):
    store = TrajectoryStore("bucket/runs", filesystem=elsewhere)
    path = store.append(make("a")).path
    with elsewhere.open_input_file(path) as file:
        whole = file.read()
    with elsewhere.open_output_stream(path) as file:
        file.write(whole[:-30])
    with pytest.raises(StoreDamaged, match=path.rpartition("/")[2]):
        list(store)


@pytest.mark.parametrize("elsewhere", ["memory", "subtree"], indirect=True)
def test_half_of_an_upload_is_not_seen_where_uploads_can_be_seen(elsewhere, make, monkeypatch):
    store = TrajectoryStore("bucket/runs", filesystem=elsewhere)
    store.append(make("a"))

    def copy_half(source, target, here, there):
        with here.open_input_file(source) as read, there.open_output_stream(target) as write:
            write.write(read.read(100))
        raise OSError("the network went away")

    monkeypatch.setattr("pyarrow.fs.copy_files", copy_half)
    with pytest.raises(OSError, match="went away"):
        store.append(make("b"))
    assert [run.trajectory_id for run in store] == ["a"]
    assert store.check().ok
    assert store.info().trajectories.temporary == 1


def requests(caplog, method):
    """What the server was asked by that method: paths and queries."""
    asked = (re.search(r'"(?:\x1b\[[0-9;]*m)*(\S+) (\S+) HTTP', line) for line in caplog.messages)
    return [each[2] for each in asked if each and each[1] == method]


def test_a_part_in_an_object_store_is_one_object_from_the_first_byte_on(s3, bucket, make, caplog):
    store = TrajectoryStore(s3.format("runs"))
    with caplog.at_level(logging.INFO, "werkzeug"):
        path = store.append(make(str(n)) for n in range(3)).path
    sent = [*requests(caplog, "PUT"), *requests(caplog, "POST")]
    assert {each.partition("?")[0] for each in sent} == {path.removeprefix("s3:/")}
    assert requests(caplog, "DELETE") == []


def test_columns_in_an_object_store_are_fetched_together(s3, bucket, make, caplog):
    store = TrajectoryStore(s3.format("runs"))
    store.append(make(str(n)) for n in range(3))
    with caplog.at_level(logging.INFO, "werkzeug"):
        table = store.to_arrow("steps")
    assert table.num_columns > 20
    assert len(requests(caplog, "GET")) < 10


WRITER = """
import sys
from looplet.trajectory import Trajectory, TrajectoryStore

store = TrajectoryStore(sys.argv[1])
for number in range(10_000):
    runs = [Trajectory(trajectory_id=f"{number}.{n}", run_id=sys.argv[2]) for n in range(2)]
    store.append(runs)
    print(number + 1, flush=True)
"""


def test_what_killed_writers_acknowledged_is_in_the_object_store(s3, bucket):
    place, names = s3.format("killed"), ("one", "two", "three")
    commands = [[sys.executable, "-c", WRITER, place, name] for name in names]
    writers = [subprocess.Popen(each, stdout=subprocess.PIPE, text=True) for each in commands]
    acknowledged = {}
    for name, writer in zip(names, writers, strict=True):
        lines = [writer.stdout.readline() for _ in range(3)]
        os.kill(writer.pid, signal.SIGKILL)
        lines += writer.communicate()[0].splitlines(keepends=True)
        acknowledged[name] = int([each for each in lines if each.endswith("\n")][-1])
    store = TrajectoryStore(place)
    assert store.check().ok
    rows = list(store)
    for name, count in acknowledged.items():
        found = [run.trajectory_id for run in rows if run.run_id == name]
        commits = len(found) // 2
        assert commits >= count >= 3
        assert found == [f"{number}.{n}" for number in range(commits) for n in range(2)]


def test_there_nothing_is_compacted(elsewhere, make):
    store = TrajectoryStore("bucket/runs", filesystem=elsewhere)
    store.append(make("a"))
    with pytest.raises(StoreError, match="does not keep two processes"):
        store.compact()


def test_a_file_address_is_a_folder_of_this_machine(tmp_path, make):
    store = TrajectoryStore((tmp_path / "runs").as_uri())
    store.append(make("a"))
    assert store.path == tmp_path / "runs"
    assert list(TrajectoryStore(tmp_path / "runs")) == list(store)
    assert store.compact().parts_after == 1


def test_an_address_that_nobody_knows_is_refused():
    with pytest.raises(StoreError, match="'gopher://runs' is no address that pyarrow can open"):
        TrajectoryStore("gopher://runs")
    with pytest.raises(StoreError) as told:
        TrajectoryStore("gopher://access:secret@runs?key=secret")
    assert "secret" not in str(told.value)


def test_a_folder_may_have_a_colon_in_its_name(tmp_path, make, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("runs:may", "ab:", "5:30/runs", "s3:/runs"):
        store = TrajectoryStore(name)
        store.append([make("a"), make("b")])
        store.append([make("c")])
        store.compact()
        found = TrajectoryStore(name).scan(pc.field("trajectory_id") > "a")
        assert [run.trajectory_id for run in found] == ["b", "c"]
        assert (tmp_path / name / "trajectories").is_dir()


def test_a_folder_whose_name_is_not_utf_8_is_refused(tmp_path):
    with pytest.raises(StoreError, match="not UTF-8"):
        TrajectoryStore(tmp_path / "\udc80")


def test_addresses_of_object_stores_are_known():
    place = "s3://access:secret@bucket/runs?region=eu-central-1&endpoint_override=127.0.0.1:9"
    store = TrajectoryStore(place)
    assert "S3FileSystem" in type(store._folder.filesystem).__name__
    assert store._folder.path == "bucket/runs"
    assert "secret" not in repr(store)
    assert repr(store) == "TrajectoryStore('s3://bucket/runs')"
