"""What a cassette says of itself, read from its beginning alone."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from looplet import MockLLMBackend
from looplet.errors import CassetteDamaged
from looplet.replay import use_cassette
from looplet.replay.heading import read_about

TEXTS = st.text() | st.sampled_from(["interactions:", "a\ninteractions:\n  b", "- x: |\n"])
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=8,
)


def record(path, about, *, replies=("Hello!",)):
    with use_cassette(path, record_mode="all", metadata=about, redact=False) as cassette:
        llm = cassette.wrap_llm(MockLLMBackend(list(replies)))
        for _ in replies:
            llm.generate("Say hello.")


@given(about=st.dictionaries(TEXTS, VALUES, max_size=4))
def test_it_is_what_the_whole_cassette_gives(about, tmp_path_factory):
    path = tmp_path_factory.mktemp("cassettes") / "a.yaml"
    record(path, about)
    with use_cassette(path) as cassette:
        assert read_about(path) == cassette.metadata == about


def test_nothing_behind_the_beginning_is_read(tmp_path):
    path = tmp_path / "a.yaml"
    record(path, {"task_id": "pears"})
    head, mark, _ = path.read_bytes().partition(b"interactions:")
    path.write_bytes(head + mark + b"\n\xff: [")
    assert read_about(path) == {"task_id": "pears"}
    path.write_bytes(path.read_bytes().replace(b"\n", b"\r\n"))
    assert read_about(path) == {"task_id": "pears"}


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\xff",
        b"version: 1\n",
        b"interactions:\n",
        b"metadata: []\ninteractions:\n",
        b"a: [\n",
    ],
)
def test_what_is_no_cassette_is_named(tmp_path, content):
    path = tmp_path / "a.yaml"
    path.write_bytes(content)
    with pytest.raises(CassetteDamaged, match=r"a\.yaml: its beginning does not read"):
        read_about(path)


def test_metadata_that_is_no_mapping_is_damage(tmp_path):
    path = tmp_path / "a.yaml"
    path.write_bytes(b"version: 1\nmetadata:\n  about: [1]\ninteractions: []\n")
    with pytest.raises(CassetteDamaged, match="its metadata is list"):
        read_about(path)
