"""Stores elsewhere than in a folder of this machine, and addresses of stores."""

from __future__ import annotations

from datetime import UTC, datetime

import pyarrow.compute as pc
import pytest
from pyarrow import fs

from looplet.errors import StoreDamaged, StoreError
from looplet.trajectory import TrajectoryStore


@pytest.fixture(params=["memory", "subtree"])
def elsewhere(request, tmp_path):
    """A filesystem that is reached through pyarrow alone."""
    if request.param == "memory":
        from pyarrow._fs import _MockFileSystem

        return _MockFileSystem(datetime.now(UTC))
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


def test_addresses_of_object_stores_are_known():
    place = "s3://access:secret@bucket/runs?region=eu-central-1&endpoint_override=127.0.0.1:9"
    store = TrajectoryStore(place)
    assert "S3FileSystem" in type(store._folder.filesystem).__name__
    assert store._folder.path == "bucket/runs"
    assert "secret" not in repr(store)
    assert repr(store) == "TrajectoryStore('s3://bucket/runs')"
