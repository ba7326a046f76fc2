"""HTTP cassettes on disk: what is written comes back, and damage is never read."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from looplet.errors import CassetteDamaged, CassetteError, CassetteMissing
from looplet.redaction import Redactor
from looplet.replay.http import use_cassette
from looplet.replay.http.files import read, sealed_text, write
from looplet.replay.http.interactions import Asked, Censor, key_of, stored

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)
bodies = (
    texts.map(str.encode)
    | st.binary(max_size=30)
    | st.sampled_from([b"data: a\n\ndata: b\n\n", b" x \n y \n\n", b"a\r\nb\r\n", b"\xc2\x85\n"])
)


def interaction(asked=b"{}", answered=b"{}", *, uri="http://h/v1", method="POST"):
    request = Asked(
        method=method, uri=uri, body=asked, headers={"accept": "*/*"},
        key=key_of(method, uri, asked),
    )  # fmt: skip
    response = {
        "status": {"code": 200, "message": "OK"},
        "headers": {"content-type": ["text/plain"]},
        "body": {"string": answered},
    }
    return stored(request, response)


@given(st.lists(st.tuples(bodies, bodies), max_size=4))
def test_what_is_written_comes_back(tmp_path_factory, pairs):
    path = tmp_path_factory.mktemp("files") / "a.yaml"
    written = write(path, [interaction(*pair) for pair in pairs], instead_of=None)
    found = read(path)
    assert found.own
    assert found.content_hash == written
    got = [
        (request.body or b"", response["body"]["string"])
        for request, response in found.interactions
    ]
    assert got == pairs
    for request, _ in found.interactions:
        assert (request.method, request.uri) == ("POST", "http://h/v1")


@given(st.lists(st.tuples(bodies, bodies), min_size=1, max_size=3))
def test_stock_vcrpy_reads_what_is_written(tmp_path_factory, pairs):
    from vcr.persisters.filesystem import FilesystemPersister
    from vcr.serializers import yamlserializer

    path = tmp_path_factory.mktemp("files") / "a.yaml"
    write(path, [interaction(*pair) for pair in pairs], instead_of=None)
    requests, responses, metadata = FilesystemPersister.load_cassette(path, yamlserializer)
    assert [each.body or b"" for each in requests] == [asked for asked, _ in pairs]
    assert [each["body"]["string"] for each in responses] == [answered for _, answered in pairs]
    assert metadata == {"looplet_http": 1}


@pytest.fixture(scope="module")
def good():
    stream = b'data: {"a": "pear"}\n\ndata: [DONE]\n\n'
    text = sealed_text([interaction(b'{"q":"pear"}', stream), interaction(b"", b"\x00\xff")])
    return text.encode()


def refuse(path, data):
    path.write_bytes(data)
    with pytest.raises(CassetteError, match=r"a\.yaml"):
        read(path)
    assert path.read_bytes() == data


def test_a_file_cut_anywhere_is_refused_and_left_alone(good, tmp_path):
    path = tmp_path / "a.yaml"
    for length in range(len(good)):
        refuse(path, good[:length])


@pytest.mark.parametrize("bit", range(8))
def test_a_file_with_one_bit_turned_is_refused_and_left_alone(bit, good, tmp_path):
    path = tmp_path / "a.yaml"
    for place in range(len(good)):
        refuse(path, good[:place] + bytes([good[place] ^ 1 << bit]) + good[place + 1 :])


def test_a_file_with_something_behind_its_end_is_refused(good, tmp_path):
    refuse(tmp_path / "a.yaml", good + b"\n")
    refuse(tmp_path / "a.yaml", good + good)


def test_line_ends_that_git_has_changed_do_no_harm(good, tmp_path):
    path = tmp_path / "a.yaml"
    path.write_bytes(good.replace(b"\n", b"\r\n"))
    assert len(read(path).interactions) == 2


def test_a_damaged_file_is_refused_in_each_mode_that_reads_and_stays(good, tmp_path):
    path = tmp_path / "a.yaml"
    path.write_bytes(good[:-1])
    for mode in ("none", "once", "new_episodes"):
        with pytest.raises(CassetteDamaged), use_cassette(path, record_mode=mode):
            pass
    assert path.read_bytes() == good[:-1]


def test_a_later_version_is_refused_by_name(tmp_path):
    import hashlib

    path = tmp_path / "a.yaml"
    body = sealed_text([]).partition("footer:")[0].replace("looplet_http: 1", "looplet_http: 7")
    sha256 = hashlib.sha256(body.encode()).hexdigest()
    path.write_text(f"{body}footer:\n  count: 0\n  sha256: {sha256}\n")
    with pytest.raises(CassetteError, match="format 7, and this looplet knows format 1"):
        read(path)


def test_a_count_that_does_not_fit_is_refused(good, tmp_path):
    refuse(tmp_path / "a.yaml", good.replace(b"count: 2", b"count: 3"))


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(CassetteMissing, match=r"a\.yaml"):
        read(tmp_path / "a.yaml")


def test_a_cassette_is_written_beside_its_place_and_renamed(tmp_path):
    path, link = tmp_path / "a.yaml", tmp_path / "link"
    first = write(path, [interaction()], instead_of=None)
    link.hardlink_to(path)  # shows what the old file holds, whoever has its name
    write(path, [], instead_of=first)
    assert read(link).content_hash == first
    assert sorted(each.name for each in tmp_path.iterdir()) == ["a.yaml", "link"]


def test_what_somebody_else_has_written_is_not_replaced(tmp_path):
    path = tmp_path / "a.yaml"
    first = write(path, [], instead_of=None)
    second = write(path, [interaction()], instead_of=first)
    for other in (None, first):
        with pytest.raises(CassetteError, match="written by somebody else"):
            write(path, [], instead_of=other)
    assert read(path).content_hash == second


@given(
    bodies, st.sampled_from(["application/json", "text/plain", "multipart/form-data; boundary=b7"])
)
def test_a_request_has_the_key_it_had_when_it_was_kept(tmp_path_factory, data, kind):
    from vcr.request import Request

    path = tmp_path_factory.mktemp("files") / "a.yaml"
    censor = Censor(Redactor(defaults=False))
    asked = censor.request(Request("POST", "http://h/v1?b=2&a=1", data, {"content-type": kind}))
    response = {"status": {"code": 200, "message": "OK"}, "headers": {}, "body": {"string": b""}}
    write(path, [stored(asked, response)], instead_of=None)
    ((request, _),) = read(path).interactions
    assert censor.of_redacted().request(request).key == asked.key
