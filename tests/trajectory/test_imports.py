"""What importing the package brings, and what is said where something is missing."""

from __future__ import annotations

import subprocess
import sys

import pytest

HIDE = """
import sys

class Hidden:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] == HIDDEN:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Hidden())
"""


def run(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_recorder_needs_no_third_party_package():
    code = """
import sys
before = set(sys.modules)
from looplet.trajectory import LLMCall, StepRecord, Trajectory, TrajectoryRecorder
new = {name.split(".")[0] for name in set(sys.modules) - before}
print(sorted(new - set(sys.stdlib_module_names) - {"looplet"}), "asyncio" in new)
"""
    assert run(code) == "[] False\n"


@pytest.mark.parametrize(
    ("package", "extra", "use"),
    [
        ("pyarrow", "evals", "from looplet.trajectory import TrajectoryStore"),
        (
            "pandas",
            "analysis",
            (
                "from looplet.trajectory import *; import tempfile;"
                "TrajectoryStore(tempfile.mkdtemp()).to_pandas()"
            ),
        ),
        (
            "duckdb",
            "analysis",
            (
                "from looplet.trajectory import *; import tempfile;"
                "TrajectoryStore(tempfile.mkdtemp()).sql('SELECT 1')"
            ),
        ),
    ],
)
def test_a_missing_package_is_named_with_the_command_that_installs_it(package, extra, use):
    code = f"HIDDEN = {package!r}{HIDE}\ntry:\n    {use}\nexcept ImportError as e:\n    print(e)\n"
    assert f'pip install "looplet[{extra}]"' in run(code)
    assert f"needs the package {package!r}" in run(code)


def test_every_name_of_the_package_resolves():
    import looplet.trajectory

    for name in looplet.trajectory.__all__:
        assert getattr(looplet.trajectory, name).__name__ == name
        assert name in dir(looplet.trajectory)
    with pytest.raises(AttributeError, match="no attribute 'Trajektory'"):
        looplet.trajectory.Trajektory  # noqa: B018 - the access is the test
