"""Cassettes: model calls recorded once and replayed for ever. Knows no pytest."""

from looplet.replay.cassette import Cassette, accept_edit, recover, use_cassette
from looplet.replay.divergence import Divergence, SideEffectRefused
from looplet.replay.journal import LeftoverJournal
from looplet.replay.opening import RecordMode

__all__ = [
    "Cassette",
    "Divergence",
    "LeftoverJournal",
    "RecordMode",
    "SideEffectRefused",
    "accept_edit",
    "recover",
    "use_cassette",
]
