"""The script that holds branch coverage to its floor."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parent.parent / "scripts" / "branch_coverage.py"


@pytest.fixture
def script(monkeypatch):
    spec = importlib.util.spec_from_file_location("branch_coverage", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "branch_coverage", module)
    spec.loader.exec_module(module)
    return module


def report(**counts):
    files = {
        f"looplet/{room}/{place}.py": {"summary": {"covered_branches": part, "num_branches": whole}}
        for room, parts in counts.items()
        for place, (part, whole) in enumerate(parts)
    }
    return {"files": files}


def test_branches_are_added_up_by_room_and_not_averaged(script):
    rooms = script.rooms_of(report(core=[(10, 10), (0, 30)], context=[(0, 0)]))
    assert rooms["looplet/core"].percent == 25
    assert rooms["looplet/context"].percent == 100


def test_a_room_below_the_floor_or_without_data_is_named(script):
    full = [(19, 20)]
    rooms = script.rooms_of(report(core=[(94, 100)], control=full, backends=full, cli=[(0, 9)]))
    assert script.below_floor(rooms) == [
        "looplet/context was not measured",
        "looplet/core has 94.00 % of its branches covered, less than 95 %",
    ]


def test_without_data_it_says_how_to_get_some(script, tmp_path, capsys):
    assert script.main(tmp_path / ".coverage") == 1
    assert "make test PYTEST_ARGS=--cov" in capsys.readouterr().err
