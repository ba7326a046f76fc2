"""What PyYAML reads and writes, by its events; with libyaml and without."""

import textwrap
from contextlib import contextmanager

import pytest
import yaml
from hypothesis import example, given
from hypothesis import strategies as st

from looplet.replay.yaml_events import read, write

TEXTS = st.text(
    alphabet=st.sampled_from("\n ab1:#-|>'\"%@!&*?{}[],.~=<\t\\_0xeE+\x85\u2028\ufeff\ue000é"),
    max_size=40,
) | st.sampled_from(
    ["yes", "null", "<<", "=", "1e3", "0o7", "1:30", "2024-01-01", ".inf", "b" * 50]
)
SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | TEXTS
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4),
    max_leaves=12,
)


@contextmanager
def pure_python():
    """PyYAML as it is where libyaml is missing."""
    with pytest.MonkeyPatch.context() as patch:
        patch.delattr(yaml, "CSafeLoader")
        patch.delattr(yaml, "CSafeDumper")
        yield


def shown(text):
    return text, "|" if "\n" in text else None


def dumped(value, dumper):
    """The document as ``yaml.dump`` writes it."""

    class Whole(dumper):
        def ignore_aliases(self, _):
            return True

    Whole.add_representer(
        str,
        lambda own, text: own.represent_scalar("tag:yaml.org,2002:str", text, style=shown(text)[1]),
    )
    return yaml.dump(
        value, Dumper=Whole, sort_keys=False, allow_unicode=True, width=1 << 30, indent=2
    )


def outcome(load):
    """What comes of loading: the value, told apart down to types and order, or that it fails."""
    try:
        return repr(load())
    except (ValueError, yaml.YAMLError):
        return "refused"


@given(VALUES)
@example({})
@example({"a": {}, "b": [], "": [[]]})
@example(["ab"] * 3)
@example({"?" * 200: "long key", "two\nlines": "as key"})
def test_what_is_written_is_what_yaml_writes(value):
    assert write(value, shown) == dumped(value, yaml.CSafeDumper)
    with pure_python():
        assert write(value, shown) == dumped(value, yaml.SafeDumper)


@given(VALUES)
def test_what_was_written_is_read_as_yaml_reads_it(value):
    text = dumped(value, yaml.SafeDumper)
    assert outcome(lambda: read(text)) == outcome(lambda: yaml.load(text, Loader=yaml.CSafeLoader))
    with pure_python():
        assert outcome(lambda: read(text)) == outcome(lambda: yaml.safe_load(text))


BY_HAND = [
    "a: &x [1, 2]\nb: *x",
    "a: &x [1, 2]\nb: &x [1, 2]",
    "a: &x b\nb: &x c",
    "base: &b {a: 1}\nall: {<<: *b, c: 2}",
    "{<<: {a: 1}, b: 2}",
    "<<",
    "a: =\n",
    "=: 1",
    "a: !!str 3",
    "a: ! 3",
    "a: !!set {1, 2}",
    "a: !own 3",
    "a: !!python/object:os.x {}",
    "!!map {a: 1}",
    "a: 1\nb: 2\na: 3",
    "1: a\n1.0: b\ntrue: c",
    "? [a, b]\n: 1",
    "[a, b]: 1",
    "a: 2024-01-01\nb: 2024-01-01T10:00:00Z",
    "a: 2024-99-99",
    "a: !!binary aGk=",
    "- 0x1F\n- 0b11\n- 017\n- 1_000\n- 190:20:30\n- .nan\n- -.inf\n- ~\n- on",
    "a: 'it''s'\nb: \"tab\\t\"\nc: >-\n  folded\n  text\nd: |+\n  kept\n\n",
    "",
    "# nothing",
    "---\n",
    "a\n---\nb",
    "--- a\n...\n",
    "*x",
    "a: [",
    "a: b: c",
    "\tb: 1",
    "\ud800",
    "a: \x00",
    "[a: b, {c}]",
    "a:\nb: ",
    "%YAML 1.1\n--- a\n",
    "%TAG ! tag:x,1:\n--- !a b\n",
]


@pytest.mark.parametrize("text", BY_HAND)
def test_what_is_written_by_hand_is_read_as_yaml_reads_it(text):
    assert outcome(lambda: read(text)) == outcome(lambda: yaml.load(text, Loader=yaml.CSafeLoader))
    with pure_python():
        assert outcome(lambda: read(text)) == outcome(lambda: yaml.safe_load(text))


LINES = st.lists(
    st.sampled_from([line for text in BY_HAND for line in text.split("\n")]), max_size=5
)


@given(LINES.map("\n".join) | TEXTS)
def test_any_text_is_read_as_yaml_reads_it(text):
    assert outcome(lambda: read(text)) == outcome(lambda: yaml.load(text, Loader=yaml.CSafeLoader))
    with pure_python():
        assert outcome(lambda: read(text)) == outcome(lambda: yaml.safe_load(text))


@pytest.mark.parametrize("text", ["a: [", "a: *x", "- " * 1_100 + "x"])
def test_what_is_no_yaml_is_refused(text):
    with pytest.raises(ValueError, match="not YAML"):
        read(text)
    with pure_python(), pytest.raises(ValueError, match="not YAML"):
        read(text)


def test_many_texts_are_kept_apart():
    value = {f"key {n}": [f"text {n}", n, str(n)] for n in range(5_000)}
    assert read(write(value)) == value


def test_lists_are_made_anew_for_each_reader():
    text = textwrap.dedent("""\
        a: []
        b: []
    """)
    value = read(text)
    value["a"].append(1)
    assert read(text) == {"a": [], "b": []}
    assert value["b"] == []
