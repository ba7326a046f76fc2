"""What tests of importers share: real files, and counts of what a run holds.

The same is counted in the source by other means.
"""

from __future__ import annotations

from looplet.trajectory import Trajectory
from tests.conftest import SHARED


def shared_files(pattern: str) -> list[str]:
    """Names of real files; the pattern itself where there are none, so that a test is skipped."""
    found = sorted(path.relative_to(SHARED).as_posix() for path in SHARED.glob(pattern))
    return found or [pattern]


def messages_of(run: Trajectory) -> int:
    """Messages of a run's conversation: sent with the last call, its reply, and those after."""
    main = [call for call in run.llm_calls if call.scope is None]
    said = len(main[-1].messages) + (main[-1].response is not None) if main else 0
    return said + len(run.metadata.get("messages_after_last_call", ()))
