"""What every command keeps to: odd characters are escaped, and JSON is one document, no more."""

from __future__ import annotations

import json
import shutil

import pytest

from tests.cli.commands import COMMANDS
from tests.cli.odd import NAME, write_all

CASSETTE, TRACE, STORE, BUNDLE = f"{NAME}.yaml", NAME, f"one/{NAME}", f"skills/{NAME}"
SHOWN = [
    (0, "show", TRACE),
    (0, "show", STORE),
    (1, "show", "nothing" + NAME),
    (0, "diff", CASSETTE, TRACE),
    (1, "diff", CASSETTE, f"other/{NAME}"),
    (2, "diff", CASSETTE, "nothing" + NAME),
    (0, "cassette", "show", CASSETTE, "--full"),
    (0, "cassette", "show", CASSETTE, "--steps"),
    (0, "cassette", "info", CASSETTE),
    (0, "cassette", "verify", CASSETTE),
    (1, "cassette", "verify", CASSETTE, "damaged.yaml"),
    (0, "cassette", "stats", CASSETTE),
    (0, "cassette", "compact", CASSETTE),
    (0, "cassette", "redact", CASSETTE),
    (0, "cassette", "accept", CASSETTE),
    (0, "store", "info", STORE),
    (0, "store", "check", STORE),
    (0, "store", "compact", STORE),
    (0, "stats", STORE, "--by", "task_id"),
    (0, "compare", STORE, f"two/{NAME}"),
    (1, "compare", STORE, "nothing" + NAME),
    (1, "eval", ".", "--evals", "eval_odd.py", "-v"),
    (0, "eval", "cases", "ls", "cases.jsonl"),
    (0, "eval", "cases", "show", "cases.jsonl"),
    (1, "eval", "cases", "show", "cases.jsonl", NAME),
    (0, "list-bundles", "skills", "--include-invalid"),
    (0, "run", BUNDLE, NAME, "--scripted", "--no-trace"),
    (1, "run", "skills/broken", NAME, "--scripted"),
    (0, "blueprint", BUNDLE),
    (0, "export-code", BUNDLE, NAME + ".py"),
    (1, "package", NAME + ":build", "out", "--name", "x", "--description", NAME),
    (0, "wrap-claude-skill", BUNDLE, "wrapped" + NAME),
    (0, "export", STORE, "--format", "openai-messages", "--out", "out" + NAME),
    (0, "import", TRACE, "--store", "in" + NAME),
    (2, "import", "damaged.yaml", "--store", "in" + NAME),
    (1, "record", NAME + ":build", "--cassette", "new.yaml"),
    (2, "replay", CASSETTE, "--agent", NAME + ":build"),
    (0, "doctor", "--no-backend"),
    (0, "completion", "bash"),
]
"""Each command with the status that it ends with."""


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    folder = tmp_path_factory.mktemp("odd")
    write_all(folder)
    return folder


@pytest.fixture
def odd(written, desk, monkeypatch):
    """A folder of its own with everything that is odd."""
    shutil.copytree(written, desk, dirs_exist_ok=True)
    monkeypatch.setenv("OPENAI_MODEL", NAME)
    return desk


def command_of(row):
    """The words of a row that name its command."""
    return max((name for name in COMMANDS if row[1 : 1 + len(name)] == name), key=len)


def test_every_command_is_in_the_table():
    assert set(map(command_of, SHOWN)) == set(COMMANDS)


@pytest.mark.parametrize("row", SHOWN, ids=lambda row: ascii(" ".join(row[1:])))
def test_control_characters_are_escaped_whatever_is_shown(odd, looplet, row):
    said = looplet(*row[1:])
    assert said.status == row[0], said.err
    for text in (said.out, said.err):
        plain = text.replace("\n", "").replace("\t", "")
        assert plain.isprintable(), ascii(text)
    assert "Traceback" not in said.err


def has_json(row):
    return "--json" in COMMANDS[command_of(row)]._option_string_actions


JSON = [row for row in SHOWN if has_json(row)]
PRINTED_FOR_SCRIPTS = {
    "cassette info", "cassette show", "cassette stats", "cassette verify", "compare", "diff",
    "doctor", "eval cases ls", "list-bundles", "replay", "show", "stats", "store check",
    "store compact", "store info",
}  # fmt: skip


def test_what_a_script_may_want_to_read_there_is_as_json():
    assert {" ".join(command_of(row)) for row in JSON} == PRINTED_FOR_SCRIPTS


@pytest.mark.parametrize("row", JSON, ids=lambda row: ascii(" ".join(row[1:])))
def test_json_is_one_document_and_all_that_is_on_stdout(odd, looplet, row):
    said = looplet(*row[1:], "--json")
    assert said.status == row[0], said.err
    if said.out or said.status == 0:
        json.loads(said.out, parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))
        assert said.out.isascii()
    else:
        assert said.err.startswith("error: ")
