"""Whatever is typed, and is in the files: a status that is known, and a line that says why."""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import os
import re
import shutil
import sys
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from looplet.__main__ import main
from tests.bundles import GROCER
from tests.cli.commands import COMMANDS
from tests.cli.conftest import AGENT, Said
from tests.cli.odd import EVALS, run_once
from tests.servers import ChatServer, completion

WHY = re.compile(r"((looplet[\w -]*: )?error|gate|note): \S.*|  - \S.*")
"""How the last line on stderr reads of a command that did not do what it was asked."""
DONE = '{"tool": "done", "args": {"summary": "nothing"}}'
VERDICTS = {
    ("diff",), ("replay",), ("record",), ("doctor",), ("store", "check"), ("cassette", "verify"),
    ("import",), ("export",),
}  # fmt: skip
"""Commands whose status 1 is a finding, with something on stdout."""


def said_by(*argv):
    """What a command says, on streams that take UTF-8 alone, as a terminal's do."""
    streams = [io.TextIOWrapper(io.BytesIO(), encoding="utf-8") for _ in range(2)]
    with contextlib.redirect_stdout(streams[0]), contextlib.redirect_stderr(streams[1]):
        try:
            status = main(argv)
        except SystemExit as end:
            status = end.code
    for each in streams:
        each.flush()
    return Said(status, *(each.buffer.getvalue().decode() for each in streams))


def see_that_it_is_told(said, command):
    """A status that scripts know; if it is not 0 the cause, in one line."""
    assert said.status in (0, 1, 2)
    assert "Traceback" not in said.out + said.err
    if said.status and not (said.status == 1 and command in VERDICTS and said.out):
        assert said.err, "it failed and said nothing"
        assert WHY.fullmatch(said.err.splitlines()[-1]), said.err
    plain = said.err.replace("\n", "")
    assert plain.isprintable()


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """A folder with one of each kind of thing that a command may be given, and what is none."""
    folder = tmp_path_factory.mktemp("world") / "all"
    folder.mkdir()
    run_once(folder)
    for each in ("one", "two"):
        next((folder / each).iterdir()).rename(folder / f"{each}.store")
        (folder / each).rmdir()
    for each in [*folder.glob("od*")]:
        each.rename(folder / ("run.yaml" if each.is_file() else "trace"))
    (folder / "agent.py").write_text(AGENT)
    (folder / "eval_it.py").write_text(EVALS)
    (folder / "cases.jsonl").write_text('{"id": "a"}\n{"id": "b", "marks": ["m"]}\n')
    (folder / "bundle").mkdir()
    (folder / "bundle" / "SKILL.md").write_text("---\nname: b\ndescription: d\n---\n")
    scripted = f"\ndef scripted_responses():\n    return [{DONE!r}]\n"
    (folder / "bundle" / "looplet.py").write_text(GROCER + scripted)
    (folder / "empty").touch()
    (folder / "binary").write_bytes(bytes(range(256)) * 9)
    (folder / "folder").mkdir()
    return folder


@pytest.fixture(scope="module")
def model():
    """A model that ends every run at once."""
    server = ChatServer()
    server.says(completion(DONE))
    yield server
    server.close()


@pytest.fixture
def desk(tmp_path, monkeypatch, model):
    """A folder to work in, with the model of the environment; nothing imported there stays."""
    monkeypatch.chdir(tmp_path)
    for name, value in {"BASE_URL": model.url, "API_KEY": "x", "MODEL": "m"}.items():
        monkeypatch.setenv(f"OPENAI_{name}", value)
    monkeypatch.setattr(sys, "path", [*sys.path])
    return tmp_path


@contextlib.contextmanager
def fresh(world, desk):
    """A copy of the world to work in, and modules as they were before."""
    place, before = desk / "w", set(sys.modules)
    shutil.copytree(world, place)
    os.chdir(place)
    try:
        yield
    finally:
        os.chdir(desk)
        shutil.rmtree(place)
        for name in set(sys.modules) - before:
            if (getattr(sys.modules[name], "__file__", None) or "").startswith(str(desk)):
                del sys.modules[name]


FUZZ = settings(
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
PLACES = (
    "run.yaml", "trace", "one.store", "two.store", "bundle", "cases.jsonl", "eval_it.py",
    "agent.py", "empty", "binary", "folder", ".", "nowhere", "nowhere/below", "empty/below", "new",
)  # fmt: skip
WORDS = (
    "", " ", "-", "-1", "0", "1", "2.5", "9" * 400, "1e999", "nan", "-inf", "\udcff", "ü\x1b[2J",
    "a" * 5000, "#", "run.yaml#7", "run.yaml#-1", "one.store#", "trace#0", ":", "agent.py:",
    ":build", "agent.py:build", "agent:broken", "agent.py:without", "json:dumps", "nowhere:build",
    "a:b:c", "a..b:c", "task_id", "model", "m", "*", "%s", "%(prog)s", "{}", "~", "looplet", "otlp",
    "auto", "openai-messages", "\n", "build", "class", "1x", "[", "(?P<secret>", "HOME",
)  # fmt: skip
VALUES = (
    st.sampled_from(PLACES)
    | st.sampled_from(PLACES + WORDS)
    | st.text("ab-#:./ é\udc80", max_size=6).filter(lambda text: not text.startswith(("/", "..")))
)
"""Relative all: a command may write where it is told to."""


FITTING = {
    "a": ["run.yaml", "trace"], "b": ["run.yaml", "one.store"], "agent": ["agent.py:build"],
    "baseline": ["one.store"], "bundle": ["bundle"], "candidate": ["two.store"],
    "cassette": ["run.yaml", "new"], "dir": ["new"], "evals": ["eval_it.py"], "file": ["run.yaml"],
    "files": ["run.yaml"], "format": ["openai-messages", "auto"], "id": ["a"], "into": ["new"],
    "max_steps": ["1", "3"], "out": ["new"], "path": ["cases.jsonl"], "source": ["trace"],
    "src": ["bundle"], "store": ["one.store"], "target": ["agent.py:build", "agent.py", "bundle"],
    "trace_dir": ["trace", "one.store"], "traces": ["trace", "one.store"],
}  # fmt: skip
"""What an argument is meant for, by where it is kept."""


@st.composite
def arguments(draw, parser):
    """What might be typed behind a command: most of what it needs, and some of what it knows."""
    words = []
    for action in parser._actions:
        if isinstance(action, (argparse._HelpAction, argparse._SubParsersAction)):
            continue
        wanted = action.required or not action.option_strings
        if draw(st.integers(0, 9)) < (9 if wanted else 2):
            words.append(draw(words_of(action)))
    return [each for group in draw(st.permutations(words)) for each in group]


@st.composite
def words_of(draw, action):
    """An option with values, or the values of a positional argument."""
    fitting = [str(each) for each in action.choices or FITTING.get(action.dest, ())]
    value = st.sampled_from(fitting * 3) | VALUES if fitting else VALUES
    most = {0: 0, None: 1, "?": 1}.get(action.nargs, 3)
    values = draw(st.lists(value, min_size=min(most, 1), max_size=most))
    option = [draw(st.sampled_from(action.option_strings))] if action.option_strings else []
    return [*option, *values]


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_whatever_is_typed_the_status_is_known_and_the_cause_is_told(command, world, desk):
    @settings(FUZZ, max_examples=12)
    @given(arguments(COMMANDS[command]))
    def type_it(typed):
        with fresh(world, desk):
            see_that_it_is_told(said_by(*command, *typed), command)

    type_it()


JUNK = st.binary(max_size=40) | st.sampled_from(
    [b"\xff", b"\0", b"\xef\xbb\xbf", b"\xed\xa0\x80", b"\r"]
)
SCALARS = st.text("ab:# -\n'\"{}[]&*!|>%@`\t\x85\u2028\ufeff", max_size=12) | st.sampled_from([
    "!!python/object/apply:os.system [ls]", "!!python/name:os.system", "!!binary x", "!!set {a, b}",
    "!<tag:x> y", "&a [*a]", "*a", "<<: *a", "2026-01-01", "0x_", ".inf", "~", "? - a", "|", ">-",
    "'", '"\\ud800"', '"\\x00"', "%YAML 1.1", "--- b", "...", "[" * 60, "{a: " * 99, "a" * 9000,
    "looplet.py", "../looplet.py", "/", ".", "folder", "SKILL.md", "build", "é", "\U0001f600",
])  # fmt: skip
KEYS = st.sampled_from([
    "name", "description", "tags", "entrypoint", "factory", "license", "name ", "", "? ", "- ", "'",
    "&a",
])  # fmt: skip
LAUGHS = "\n".join(f"{b}: &{b} [{', '.join([f'*{a}'] * 9)}]" for a, b in pairwise("abcdefghi"))
"""Nine times nine times nine and so on, were it taken at its word."""
LINES = st.builds("{}: {}".format, KEYS, SCALARS) | SCALARS | st.just(f"a: &a lol\n{LAUGHS}")


@st.composite
def skill_files(draw):
    """A ``SKILL.md``: one that almost is, and sometimes is cut or has bytes in it."""
    more = draw(st.lists(LINES, max_size=5))
    usual = draw(st.sampled_from([["name: b", "description: d"], ["description: d"], []]))
    first, last = draw(st.sampled_from([("\n", "\n---\n"), ("\r\n", "\r\n---\r\n"), ("\n", "")]))
    text = f"---{first}" + "\n".join(draw(st.permutations([*usual, *more]))) + f"{last}Do it.\n"
    return damaged(draw, text.encode("utf-8", "surrogatepass"))


def damaged(draw, data):
    """As it is, or cut, or with bytes put in."""
    if draw(st.booleans()):
        return data
    place = draw(st.integers(0, len(data)))
    return data[:place] + draw(JUNK) + draw(st.sampled_from([data[place:], b""]))


BUNDLE_COMMANDS = (
    ("list-bundles", "bundle"),
    ("list-bundles", "bundle", "--include-invalid", "--json"),
    ("blueprint", "bundle"),
    ("run", "bundle", "x", "--scripted", "--no-trace"),
    ("export-code", "bundle", "out.py"),
    ("wrap-claude-skill", "bundle", "wrapped"),
)


def test_whatever_is_in_a_skill_the_commands_for_bundles_tell_it(world, desk):
    @settings(FUZZ, max_examples=30)
    @given(skill_files())
    def read_it(data):
        with fresh(world, desk):
            Path("bundle/SKILL.md").write_bytes(data)
            for command in BUNDLE_COMMANDS:
                see_that_it_is_told(said_by(*command), command[:1])

    read_it()


HUGE = "a number of more digits than Python reads"
FIELDS = ("id", "task", "expected", "marks", "notes", "goal", "description", "$looplet", "value")
TAGS = ("tuple", "set", "bytes", "int", "dict", "datetime", "float", "path")
LEAVES = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=4)
VALUE = st.recursive(
    LEAVES | st.sampled_from([HUGE, "\ud800", "\x1b[2J", "$looplet"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(FIELDS), inner | st.sampled_from(TAGS), max_size=3)
        | st.fixed_dictionaries({"$looplet": st.sampled_from(TAGS)}, optional={"value": inner})
    ),
    max_leaves=8,
)
MARKS, NOTES = st.lists(st.text(max_size=3)) | VALUE, st.text() | VALUE
MORE = {"task": VALUE, "expected": VALUE, "marks": MARKS, "notes": NOTES}
CASES = st.fixed_dictionaries({"id": st.text(max_size=3)}, optional=MORE)


@st.composite
def case_files(draw):
    """The name of a file and what is in it: cases, and what almost is one."""
    records = [json.dumps(each) for each in draw(st.lists(CASES | CASES | VALUE, max_size=3))]
    if draw(st.booleans()):
        name, text = "cases.json", records[0] if len(records) == 1 else f"[{', '.join(records)}]"
    else:
        name, text = "cases.jsonl", draw(st.sampled_from(["\n", "\r\n", "\n\n#\n"])).join(records)
    return name, damaged(draw, text.replace(f'"{HUGE}"', "1" * 5000).encode())


def test_whatever_is_in_a_file_of_cases_the_commands_for_cases_tell_it(desk):
    @settings(FUZZ, max_examples=60)
    @given(case_files())
    @example(("cases.json", b"[" * 100_000))
    @example(("cases.jsonl", b'{"id": "a", "task": ' + b'{"a": ' * 5000))
    @example(("cases.json", b'{"id": "a", "task": {"$looplet": "tuple", "value": 7}}'))
    def read_it(file):
        name, data = file
        (desk / name).write_bytes(data)
        for words in (("ls",), ("ls", "--json"), ("show",)):
            said = said_by("eval", "cases", *words, name)
            see_that_it_is_told(said, ("eval", "cases", words[0]))
            if said.status == 0 and words != ("ls",):
                json.loads(said.out, parse_constant=pytest.fail)

    read_it()


@pytest.mark.parametrize(("depth", "status"), [(200, 0), (700, 1), (100_000, 1)])
def test_a_case_that_is_nested_too_deep_is_told(desk, depth, status):
    # By itself, since Hypothesis lets the stack of what it runs be deeper.
    (desk / "cases.json").write_text(f'{{"id": "a", "task": {"[" * depth}{"]" * depth}}}')
    for words in (("ls",), ("show",)):
        said = said_by("eval", "cases", *words, "cases.json")
        assert said.status == status
        see_that_it_is_told(said, ("eval", "cases", words[0]))
