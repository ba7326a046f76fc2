"""Cassettes: calls recorded once and replayed for ever. Knows no pytest."""

from looplet.replay.calls_diff import CallsDiff, diff_calls
from looplet.replay.cassette import Cassette, accept_edit, recover, use_cassette
from looplet.replay.checking import Checked, check_cassette
from looplet.replay.diff import TrajectoryDiff, diff
from looplet.replay.divergence import Divergence, SideEffectRefused
from looplet.replay.journal import LeftoverJournal
from looplet.replay.loops import LoopsResult, fork_loops, replay_loops
from looplet.replay.opening import RecordMode
from looplet.replay.reading import read_trajectory
from looplet.replay.rewriting import Rewritten, compact_cassette, redact_cassette
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
from looplet.replay.stats import CassetteStats, cassette_stats

__all__ = [
    "Agent",
    "CallsDiff",
    "Cassette",
    "CassetteStats",
    "Checked",
    "Divergence",
    "ForkResult",
    "LeftoverJournal",
    "LoopsResult",
    "RecordMode",
    "ReplayResult",
    "Rewritten",
    "SideEffectRefused",
    "TrajectoryDiff",
    "accept_edit",
    "afork",
    "agent_of",
    "areplay",
    "cassette_stats",
    "check_cassette",
    "compact_cassette",
    "diff",
    "diff_calls",
    "fork",
    "fork_loops",
    "read_trajectory",
    "recover",
    "redact_cassette",
    "replay",
    "replay_loops",
    "use_cassette",
]
