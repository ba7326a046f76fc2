"""Requests of code that calls a provider's SDK directly, recorded and replayed at HTTP.

vcrpy catches the requests and gives the file format; matching by body, redaction and what happens
to a file are looplet's. For code that takes a backend, ``looplet.replay.use_cassette`` is better:
it needs no patches, and records what the model said rather than how it was sent.
"""

from looplet.replay.http.cassette import HttpCassette, HttpRecordMode, use_cassette

__all__ = ["HttpCassette", "HttpRecordMode", "use_cassette"]
