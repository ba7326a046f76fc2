"""What every test may use."""

from __future__ import annotations

import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from tests.bundles import write_bundle
from tests.drivers import DRIVERS, Clock
from tests.servers import ChatServer

pytest_plugins = ["pytester"]

# No test asserts a time, and a slow machine is no failure.
UNTIMED = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("untimed", UNTIMED)
# A gate says the same of the same code: CI draws the same cases each time, and we others.
settings.register_profile("gate", UNTIMED, derandomize=True)
settings.load_profile("untimed")

ROOT = Path(__file__).resolve().parent.parent
SHARED = next(
    (data for up in (ROOT.parent, ROOT.parent.parent) if (data := up / "shared" / "data").is_dir()),
    ROOT.parent / "shared" / "data",
)
"""Real data beside the project, or beside the folder of its worktrees; a user has none."""


def run_demo(*arguments: str, before: str = "") -> subprocess.CompletedProcess[str]:
    """The demo in a process of its own, after a line of code that changes something."""
    code = (
        f"import sys; sys.path.insert(0, {str(ROOT / 'scripts')!r}); {before}\n"
        "import demo; sys.exit(demo.main(sys.argv[1:]))"
    )
    command = [sys.executable, "-c", code, *arguments]
    return subprocess.run(
        command, capture_output=True, text=True, cwd=ROOT, check=False, timeout=100
    )


@pytest.fixture(scope="session")
def demo_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The store that the demo writes, with its scores."""
    folder = tmp_path_factory.mktemp("demo") / "store"
    ran = run_demo("--store", str(folder))
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return folder


@pytest.fixture
def server():
    """A real server on loopback that speaks Chat Completions."""
    chat = ChatServer()
    yield chat
    chat.close()


@pytest.fixture(params=DRIVERS.values(), ids=DRIVERS.keys())
def drive(request: pytest.FixtureRequest):
    """Each driver of the loop in turn, behind one face: ``drive(llm, tools=..., ...)``."""
    return request.param


@pytest.fixture
def clock() -> Clock:
    """Time that passes only when somebody pauses."""
    return Clock()


@pytest.fixture
def make_bundle(tmp_path):
    """Writes a bundle, as ``tests.bundles`` says."""
    return partial(write_bundle, tmp_path)
