"""Sources: which files are read, what is told of those that cannot be, and in which order."""

from __future__ import annotations

import gzip
import json
import os
import threading

import pyarrow as pa
import pytest

from looplet.errors import SourceMissing, UnknownFormat
from looplet.trajectory.importers import formats, import_trajectories

RUN = {"task_id": 1, "trial": 0, "reward": 1.0, "info": {}, "traj": []}


def runs(*tasks):
    return [{**RUN, "task_id": task} for task in tasks]


def test_an_unknown_format_is_refused_at_once_with_the_known_ones(write):
    with pytest.raises(UnknownFormat, match=r"'tau'.*auto.*tau-bench"):
        import_trajectories(write([]), format="tau")
    assert "tau-bench" in formats()


def test_a_missing_source_is_refused_at_once(tmp_path):
    with pytest.raises(SourceMissing, match="nowhere"):
        import_trajectories(tmp_path / "nowhere")


def test_a_folder_is_read_in_the_order_of_its_names(write, read, tmp_path):
    write(runs("c"), "b/1.json")
    write(runs("b"), "a/z.json")
    write(runs("a"), "a/10.json")
    write(runs("no"), ".hidden/x.json")
    write(runs("no"), "a/.x.json")
    found = read(tmp_path)
    assert [run.task_id for run in found.runs] == ["a", "b", "c"]
    assert found.problems == []


def test_runs_are_read_one_at_a_time(write, tmp_path):
    write(runs("a", "b"), "1.json")
    write("not read yet", "2.json")
    problems = []
    found = import_trajectories(tmp_path, on_problem=problems.append)
    assert next(found).task_id == "a"
    assert next(found).task_id == "b"
    assert problems == []
    assert list(found) == []
    assert len(problems) == 1


def test_a_file_that_no_format_knows_is_a_problem(write, read, tmp_path):
    write("Licence of sorts", "LICENSE")
    write(runs("a"), "runs.json")
    write(b"\xff\xfe\x00\xd8", "odd.bin")
    found = read(tmp_path)
    assert [run.task_id for run in found.runs] == ["a"]
    files = [problem.file for problem in found.problems]
    assert files == [str(tmp_path / "LICENSE"), str(tmp_path / "odd.bin")]
    assert all("no format knows it" in problem.message for problem in found.problems)


def test_without_a_listener_a_problem_is_a_warning_and_the_rest_is_imported(write, tmp_path):
    write("nothing", "a.txt")
    write(runs("b"), "b.json")
    with pytest.warns(UserWarning, match=r"not imported: .*a\.txt: no format knows it"):
        found = list(import_trajectories(tmp_path))
    assert [run.task_id for run in found] == ["b"]


@pytest.mark.parametrize(
    "pack", [gzip.compress, lambda data: pa.compress(data, codec="zstd", asbytes=True)]
)
def test_packed_files_are_unpacked_whatever_their_name(pack, write, read):
    path = write(pack(json.dumps(runs("a")).encode()), "runs.json")
    assert read(path).run.task_id == "a"


@pytest.mark.parametrize("cut", [3, 20, 40])
@pytest.mark.parametrize(
    "pack", [gzip.compress, lambda data: pa.compress(data, codec="zstd", asbytes=True)]
)
def test_damage_to_packed_files_is_told(pack, cut, write, read):
    path = write(pack(json.dumps(runs(*"abc")).encode())[:-cut], "runs.json.gz")
    found = read(path)
    assert found.runs == []
    assert "damaged" in found.told[0] or "ends" in found.told[0]


def test_a_list_that_breaks_off_gives_what_stands_before(write, read):
    text = json.dumps(runs("a", "b", "c"), indent=1)
    found = read(write(text[:-30]))
    assert [run.task_id for run in found.runs] == ["a", "b"]
    (problem,) = found.problems
    assert problem.place == "$[2]"
    assert "line" in problem.message


def test_broken_lines_are_told_and_passed(write, read):
    one, two = (json.dumps(run) for run in runs("a", "b"))
    found = read(write(f'{one}\n{{"task_id": \n\n{two}\n[1, 2\n', "runs.jsonl"))
    assert [run.task_id for run in found.runs] == ["a", "b"]
    assert [problem.place for problem in found.problems] == ["line 2", "line 5"]


def test_a_malformed_record_is_told_with_its_path_and_the_rest_imported(write, read):
    broken = {**RUN, "traj": [{"role": "user"}, {"role": "assistant", "content": 3}]}
    found = read(write([*runs("a"), broken, 7, *runs("b")]))
    assert [run.task_id for run in found.runs] == ["a", "b"]
    assert found.told == [
        "$[1].traj[1].content: is not a list: 3",
        "$[2]: is not an object: 7",
    ]


def test_a_format_that_is_insisted_on_reads_whatever_it_is_given(write, read):
    found = read(write([{"id": 1}]), format="tau-bench")
    assert found.told == ["$[0]: has no 'traj'"]
    found = read(write("nothing"), format="tau-bench")
    assert found.told == [": it is not JSON"]


@pytest.mark.parametrize("depth", [300, 5000])
def test_nesting_without_end_is_a_problem(depth, write, read):
    deep = "[" * depth + "]" * depth
    for text in (deep, f'[{{"task_id": 1, "traj": [], "note": {deep}}}]'):
        assert "nested" in read(write(text), format="tau-bench").told[0]


def test_numbers_of_endless_digits_are_a_problem(write, read):
    found = read(write('[{"task_id": 1, "traj": [], "trial": ' + "9" * 5000 + "}]"))
    assert found.runs == []
    assert "digits" in found.told[0] or "limit" in found.told[0]


def test_pipes_are_not_waited_for_and_links_not_followed_for_ever(write, read, tmp_path):
    write(runs("a"), "in/a.json")
    os.mkfifo(tmp_path / "in" / "pipe")
    (tmp_path / "in" / "loop").symlink_to(tmp_path)
    found = []
    thread = threading.Thread(target=lambda: found.append(read(tmp_path)), daemon=True)
    thread.start()
    thread.join(timeout=20)
    assert not thread.is_alive()
    assert [run.task_id for run in found[0].runs] == ["a"]
    assert [problem.message for problem in found[0].problems] == [
        "it is neither a file nor a folder"
    ]


def test_importing_again_gives_equal_runs(write, read, stored):
    path = write(runs("a", "a"))
    first, again = read(path).runs, read(path).runs
    assert first == again
    assert len({run.trajectory_id for run in first}) == 2
    stored(first)
