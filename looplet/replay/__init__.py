"""Cassettes: calls recorded once and replayed for ever. Knows no pytest."""

from looplet.replay.cassette import Cassette, accept_edit, recover, use_cassette
from looplet.replay.diff import TrajectoryDiff, diff
from looplet.replay.divergence import Divergence, SideEffectRefused
from looplet.replay.journal import LeftoverJournal
from looplet.replay.loops import LoopsResult, replay_loops
from looplet.replay.opening import RecordMode
from looplet.replay.reading import read_trajectory
from looplet.replay.running import (
    Agent,
    ForkResult,
    ReplayResult,
    afork,
    agent_of,
    areplay,
    fork,
    replay,
)

__all__ = [
    "Agent",
    "Cassette",
    "Divergence",
    "ForkResult",
    "LeftoverJournal",
    "LoopsResult",
    "RecordMode",
    "ReplayResult",
    "SideEffectRefused",
    "TrajectoryDiff",
    "accept_edit",
    "afork",
    "agent_of",
    "areplay",
    "diff",
    "fork",
    "read_trajectory",
    "recover",
    "replay",
    "replay_loops",
    "use_cassette",
]
