"""Bodies of HTTP in one form."""

from __future__ import annotations

import contextlib
import gzip
import json
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from looplet.redaction import Redactor
from looplet.replay.http.bodies import (
    Content,
    Unreadable,
    canonical_request,
    plain,
    redacted_response,
)

NOTHING = Redactor(defaults=False)
HIDING = Redactor(secrets={"door": "sesame99"}, defaults=False)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
objects = st.dictionaries(st.text(), json_values, max_size=4)


def raw(value, **keywords):
    return json.dumps(value, **keywords).encode()


def turned(value):
    """The same value, the keys of its objects the other way round."""
    if isinstance(value, dict):
        return {key: turned(item) for key, item in reversed(value.items())}
    return [turned(item) for item in value] if isinstance(value, list) else value


@given(objects)
def test_json_that_means_the_same_is_the_same(value):
    ways = [
        Content(data=raw(value)),
        Content(data=raw(turned(value), indent=2)),
        Content(data=gzip.compress(raw(value)), encoding="gzip"),
    ]
    with contextlib.suppress(UnicodeEncodeError):  # a lone surrogate has no form but an escape
        ways.append(Content(data=raw(value, ensure_ascii=False)))
    forms = {canonical_request(way, NOTHING) for way in ways}
    assert len(forms) == 1
    (form,) = forms
    assert json.loads(form) == value
    assert canonical_request(Content(data=form), NOTHING) == form


@given(objects, objects)
def test_json_that_differs_differs(one, other):
    forms = {canonical_request(Content(data=raw(each)), NOTHING) for each in (one, other)}
    same = json.dumps(one, sort_keys=True) == json.dumps(other, sort_keys=True)
    assert (len(forms) == 1) == same


@pytest.mark.parametrize(
    ("data", "kind", "form"),
    [
        (b"say sesame99", "text/plain", b"say [REDACTED:door]"),
        (b'{"a": "sesame99", broken', "application/json", b'{"a": "[REDACTED:door]", broken'),
        (b"\xff sesame99", "", b"\xff [REDACTED:door]"),
        (b"", "", b""),
        (
            b"b=sesame99&a=1+2&c=",
            "application/x-www-form-urlencoded",
            b"b=[REDACTED:door]&a=1+2&c=",
        ),
        (
            b"--x7\r\nsesame99\r\n--x7--",
            'multipart/form-data; boundary="x7"',
            b"--boundary\r\n[REDACTED:door]\r\n--boundary--",
        ),
        (b"--x7\r\n\xff", "multipart/form-data; boundary=x7", b"--boundary\r\n\xff"),
        (b"[" * 100_000, "application/json", b"[" * 100_000),
    ],
)  # fmt: skip
def test_other_bodies_have_one_form_too(data, kind, form):
    assert canonical_request(Content(data=data, type=kind), HIDING) == form


@pytest.mark.parametrize(
    ("encoding", "compress"),
    [
        ("gzip", gzip.compress),
        ("x-gzip", gzip.compress),
        ("deflate", zlib.compress),
        ("deflate", lambda data: zlib.compress(data)[2:-4]),
        ("identity", bytes),
        ("", bytes),
        ("gzip, deflate", lambda data: zlib.compress(gzip.compress(data))),
        ("GZIP", gzip.compress),
    ],
)
def test_compression_is_undone(encoding, compress):
    data = b'{"a": "pear"}' * 9
    assert plain(Content(data=compress(data), encoding=encoding)) == data


@pytest.mark.parametrize("name", ["brotli", "zstandard"])
def test_compression_by_other_packages_is_undone_where_they_are(name):
    module = pytest.importorskip(name)
    encoding = {"brotli": "br", "zstandard": "zstd"}[name]
    assert plain(Content(data=module.compress(b"pear"), encoding=encoding)) == b"pear"


def test_a_body_that_is_no_longer_compressed_is_taken_as_it_is():
    assert plain(Content(data=b"a pear", encoding="gzip")) == b"a pear"
    assert plain(Content(data=b"", encoding="br")) == b""


@pytest.mark.parametrize("encoding", ["gzip", "br", "zstd", "compress", "deflate"])
def test_what_cannot_be_undone_is_refused(encoding):
    with pytest.raises(Unreadable, match=encoding):
        plain(Content(data=b"\xff\x00\x81\x8d", encoding=encoding))


def test_a_response_without_secrets_stays_to_the_last_byte():
    for data in (b'{ "a" :\t"pear"}\n', b"data: {}\r\n\r\n", b"\xff\x00", b"text ", b"[1, 2]"):
        assert redacted_response(Content(data=data), HIDING) == data


def test_a_response_with_a_secret_is_still_json():
    data = raw({"a": [{"sesame99": 'say "sesame99"'}], "b": "\ud800"})
    redacted = json.loads(redacted_response(Content(data=data), HIDING))
    assert redacted == {"a": [{"[REDACTED:door]": 'say "[REDACTED:door]"'}], "b": "\ud800"}


def test_a_secret_that_items_of_an_array_share_is_hidden():
    chunks = [{"text": piece} for piece in ("say ses", "ame", "99!")]
    redacted = json.loads(redacted_response(Content(data=raw(chunks)), HIDING))
    assert [each["text"] for each in redacted] == ["say [REDACTED:door]", "", "!"]
