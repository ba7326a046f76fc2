"""Cassettes: model calls recorded once and replayed for ever. Knows no pytest."""

from looplet.replay.cassette import Cassette, RecordMode, accept_edit, recover, use_cassette
from looplet.replay.divergence import Divergence
from looplet.replay.journal import LeftoverJournal

__all__ = [
    "Cassette",
    "Divergence",
    "LeftoverJournal",
    "RecordMode",
    "accept_edit",
    "recover",
    "use_cassette",
]
