"""The benchmarks run and name what they measure; no figure is judged."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).resolve().parent.parent / "benchmarks"


def run(script, *options, given=""):
    """What a benchmark prints."""
    command = [sys.executable, str(FOLDER / script), *options]
    ran = subprocess.run(
        command, input=given, capture_output=True, text=True, check=False, timeout=100
    )
    assert ran.returncode == 0, ran.stderr
    return ran.stdout


def rows(table):
    """Cells by the name of their row."""
    lines = [line.strip("| \n").split(" | ") for line in table.splitlines()[2:]]
    return {name: cells for name, *cells in lines}


def test_the_cost_of_a_step_stands_beside_its_floor():
    found = rows(run("loop.py", "--rounds", "1", "--steps", "3", "5"))
    assert found["bare + JSON"][0] == "-"
    assert found["sync, native + body"][0] == "bare + JSON + body"
    for mode in ("text", "native"):
        for hooks in ("0 hooks", "1 hook", "10 hooks"):
            assert found[f"sync, {mode}, {hooks}"][0] == "bare + JSON"
            assert found[f"async, {mode}, {hooks}"][0] == "bare async + JSON"
    assert all(len(cells) == 3 for cells in found.values())


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="needs Linux's /proc")
def test_peak_memory_is_measured_in_a_process_of_its_own():
    assert int(run("memory.py", "--one", "text", "200")) >= 0


def test_a_crowd_is_compared_with_a_bare_one():
    found = rows(run("crowd.py", "--quick", "--runs", "3", "--steps", "2", "--latency-ms", "0"))
    assert found["bare asyncio"][1] == "100%"
    assert "looplet, async" in found


def test_a_run_is_recorded_by_looplet_and_by_vcrpy():
    options = ("--quick", "--steps", "5", "40", "--calls", "5", "10")
    tables = run("replay.py", *options, "--only", "sizes", "prompts", "calls").split("\n\n")
    sizes, prompts, calls = (rows(each) for each in tables if each.startswith("|"))
    assert "native with tools and steps, looplet: both" in calls
    for mode in ("native", "text"):
        ours, theirs = sizes[f"{mode}, looplet"], sizes[f"{mode}, vcrpy"]
        # Eight times the steps: what repeats the history grows by more than what does not.
        assert growth(ours[1]) < 9 < growth(theirs[1])
        assert {f"{mode}, looplet: {part}" for part in ("load", "replay", "save")} <= set(calls)
    assert set(prompts) >= {"native, looplet", "native, vcrpy", "text, all new, looplet"}


def growth(cell):
    """The factor in brackets."""
    return float(cell.partition("(")[2].rstrip("x)"))


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="needs Linux's /proc")
def test_replays_are_measured_one_by_one_and_by_their_memory():
    options = ("--quick", "--calls", "20", "30")
    tables = run("replay.py", *options, "--only", "single", "peaks").split("\n\n")
    single, peaks = (rows(each) for each in tables if each.startswith("|"))
    assert set(single) >= {"hash, dict, JSON", "looplet", "vcrpy", "vcrpy, matching bodies"}
    assert all(float(cell) >= 0 for cell in peaks["native, looplet"])


def test_digests_of_replays_in_other_processes_are_compared():
    printed = run("digests.py", "--pythons")
    found = rows(printed.partition("\n\n")[0])
    own = f"replayed, Python 3.{sys.version_info.minor}"
    assert set(found[own]) == {found["recorded"][0]}
    assert "All digests of a mode are equal." in printed


def test_the_store_stands_beside_json_in_three_forms():
    printed = run("store.py", "--runs", "30")
    forms, looks, queries, scans, frames = map(rows, printed.strip().split("\n\n"))
    assert forms.keys() == {"one JSON file a run", "JSONL", "JSONL.zst", "store"}
    assert {"whether it completed", "each step's tool", "each step's arguments"} <= looks.keys()
    assert len(queries) == 3
    assert scans.keys() == {"3 runs", "30 runs"} or not Path("/proc/self/clear_refs").exists()
    assert frames.keys() == {"630"}


def test_evals_stand_beside_pytest_and_beside_a_plain_loop():
    printed = run("evals_plugin.py", "--quick", "--items", "20", "--runs", "30")
    items, start, sweeps = map(rows, printed.strip().split("\n\n"))
    assert items["pytest's own, parametrized"][-1] == "1.00x"
    assert {"evals", "evals, and their scores written"} < items.keys()
    assert start.keys() == {"-p no:looplet", "with the plugin"}
    assert sweeps["plain Python over JSONL"][2] == "1.0"
    assert all(float(cells[3]) > 5 for cells in sweeps.values())


def test_what_intervals_and_gates_promise_is_simulated():
    printed = run("evals_statistics.py", "--suites", "12", "--only", "rates", "detectable")
    rates, detectable = (rows(each) for each in printed.split("\n\n") if each.startswith("|"))
    assert {"5, 1, 0.5", "50, 5, 0.8"} <= set(rates)
    assert all(0 <= float(cell) <= 100 for cells in rates.values() for cell in cells)
    found = [float(cells[0]) for name, cells in detectable.items() if name.endswith(" 0.1")]
    assert found == sorted(found, reverse=True)


def test_a_worker_answers_each_line():
    lines = [["steps", 3, 2], ["crowd", 2, 3, 0]]
    given = "".join(f"{json.dumps(line)}\n" for line in lines)
    version, *seconds = run("peers/use_looplet.py", given=given).split()
    assert version
    assert len([float(each) for each in seconds]) == 2


def test_the_page_has_a_place_for_each_table():
    code = (
        f"import sys; sys.path.insert(0, {str(FOLDER)!r}); import report\n"
        "page = report.PAGE.read_text(encoding='utf-8')\n"
        "for name in [*report.SCRIPTS, 'machine']:\n"
        "    page = report.put(page, name, f'({name})')\n"
        "    assert f'({name})' in page\n"
        "report.put(page, 'nothing', '')"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert "one place for 'nothing'" in ran.stderr
