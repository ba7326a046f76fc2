"""``looplet cassette``: looking at recorded calls, checking and tidying them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from looplet.redaction import Redactor
from looplet.replay import read_trajectory, replay
from tests.cli.conftest import process

SECRET = "canary-4711-key"


@pytest.fixture
def recorded(looplet):
    looplet("record", "script.py", "--cassette", "run.yaml", "--", "pear", SECRET)
    return looplet


@pytest.fixture
def one(looplet):
    looplet("record", "agent:build", "--cassette", "run.yaml")
    return looplet


# Looking


def test_show_reads_as_a_conversation(recorded):
    said = recorded("cassette", "show", "run.yaml")
    assert said.status == 0
    lines = said.out.splitlines()
    assert lines[0] == "run.yaml: 8 calls; agent=script.py"
    assert lines[1].startswith("[1] main, step 1, ")
    assert any(line.startswith("run 0 #1 ✓ price(fruit=pear)") for line in lines)
    steps = recorded("cassette", "show", "run.yaml", "--steps").out.splitlines()[1:]
    assert [line[:8] for line in steps] == ["run 0 #1", "run 0 #2", "run 1 #1", "run 1 #2"]
    calls = recorded("cassette", "show", "run.yaml", "--calls").out
    assert "run 0 #1" not in calls
    assert "[2] tool:price, step 1" in calls


def test_show_says_where_there_are_no_steps(recorded):
    Path("calls.yaml").write_bytes(calls_alone())
    said = recorded("cassette", "show", "calls.yaml", "--steps")
    assert (said.status, "no steps are in calls.yaml" in said.err) == (1, True)
    assert recorded("cassette", "show", "calls.yaml").status == 0


def calls_alone(lines=3000):
    from looplet.replay import use_cassette
    from looplet.testing import MockLLMBackend

    with use_cassette("alone.yaml", record_mode="once") as cassette:
        cassette.wrap_llm(MockLLMBackend(["\x1b[31mHello!\n" * lines])).generate("Say hello.")
    return Path("alone.yaml").read_bytes()


def test_show_escapes_control_characters_and_cuts_long_texts(recorded):
    Path("calls.yaml").write_bytes(calls_alone())
    said = recorded("cassette", "show", "calls.yaml")
    assert "\x1b" not in said.out
    assert "… (36,000 characters in all)" in said.out
    full = recorded("cassette", "show", "calls.yaml", "--full")
    assert full.out.count("\\x1b[31mHello!") == 3000


def test_stats_count(recorded):
    said = recorded("cassette", "stats", "run.yaml")
    assert said.status == 0
    lines = said.out.splitlines()
    assert lines[0] == "run.yaml"
    assert "  4 model calls, 4 tool calls" in lines
    assert "  4 steps, 2 runs (done, done)" in lines
    assert max(map(len, lines)) <= 40
    both = json.loads(recorded("cassette", "stats", "run.yaml", "run.yaml", "--json").out)
    assert [each["model_calls"] for each in both] == [4, 4]
    assert both[0]["bytes"] == Path("run.yaml").stat().st_size


def test_stats_tell_of_forks_and_of_recordings_that_were_broken_off(one):
    one("replay", "run.yaml", "--agent", "agent:build", "--fork-at", "2", "--into", "fork.yaml")
    one("record", "script.py", "--cassette", "broken.yaml", "--", "pear", "boom")
    out = one("cassette", "stats", "fork.yaml", "broken.yaml").out
    assert "  forked at step 2\n" in out
    assert "  its recording was interrupted\n" in out


def test_info_is_a_line_each(recorded):
    said = recorded("cassette", "info", "run.yaml", "run.yaml")
    assert said.out == "run.yaml: 8 calls; agent=script.py\n" * 2


# Checking


def test_verify_says_that_all_is_whole(recorded):
    said = recorded("cassette", "verify", "run.yaml")
    assert (said.status, said.out) == (0, "run.yaml: whole, 8 calls, 4 steps, 2 runs\n")


def test_verify_names_what_is_wrong_in_each_file_and_goes_on(recorded, desk):
    text = Path("run.yaml").read_text("utf-8")
    Path("edited.yaml").write_text(text.replace("euro: 0.4", "euro: 0.3"), "utf-8")
    recorded("cassette", "accept", "edited.yaml")
    Path("changed.yaml").write_text(text.replace("pear", "pare", 1), "utf-8")
    Path("cut.yaml").write_text(text[:-1], "utf-8")
    (desk / "folder").mkdir()
    names = ["edited.yaml", "changed.yaml", "cut.yaml", "none.yaml", "folder", "run.yaml"]
    said = recorded("cassette", "verify", *names)
    assert said.status == 1
    assert said.out == "run.yaml: whole, 8 calls, 4 steps, 2 runs\n"
    errors = said.err.splitlines()
    assert "cassette edited.yaml: run 0, step 1 (price): its arguments or its result" in errors[0]
    assert all(name in said.err for name in names[:-1])
    assert all(line.startswith("error: ") for line in errors)


# Rewriting


def test_redact_takes_out_what_the_environment_and_patterns_say(recorded, monkeypatch):
    monkeypatch.setenv("DOOR", SECRET)
    given = ("--secret-env", "DOOR", "--pattern", "p[e]ar", "--pattern", "(?P<secret>nowhere)")
    said = recorded("cassette", "redact", "run.yaml", *given)
    assert said.status == 0, said.err
    assert said.out.startswith("run.yaml: redacted, 2 placeholders, ")
    text = Path("run.yaml").read_text("utf-8")
    assert (SECRET in text, "pear" in text) == (False, False)
    assert "[REDACTED:DOOR]" in text
    assert recorded("cassette", "verify", "run.yaml").status == 0


def test_a_redacted_cassette_replays_with_the_same_redactor(one, monkeypatch):
    monkeypatch.setenv("DOOR", "fig-tree")
    one("record", "agent:build", "--cassette", "plain.yaml")
    monkeypatch.setenv("SAY", "Look under the fig-tree.")
    one("record", "agent:build", "--cassette", "door.yaml")
    assert one("cassette", "redact", "door.yaml", "--secret-env", "DOOR").status == 0
    assert "fig-tree" not in Path("door.yaml").read_text("utf-8")
    sys.path.insert(0, "")
    import agent

    assert replay("door.yaml", agent.build, redact=Redactor(env=["DOOR"])).matches
    assert not replay("door.yaml", agent.build).matches


def test_redact_leaves_a_file_without_secrets(one):
    before = Path("run.yaml").read_bytes()
    said = one("cassette", "redact", "run.yaml", "--pattern", "nobody-says-this")
    assert (said.status, said.out) == (0, "run.yaml: nothing was found, left as it was\n")
    assert Path("run.yaml").read_bytes() == before


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (("--secret-env", "NOT_SET_HERE"), "NOT_SET_HERE is not set here"),
        (("--pattern", "("), "the pattern '(' cannot be used"),
        (("--secret-env", "SHORT"), "SHORT has 2 characters"),
    ],
)
def test_redact_refuses_what_it_cannot_look_for(one, monkeypatch, given, said):
    monkeypatch.setenv("SHORT", "ab")
    before = Path("run.yaml").read_bytes()
    result = one("cassette", "redact", "run.yaml", "run.yaml", *given)
    assert (result.status, result.err.count("\n"), result.out) == (1, 1, "")
    assert said in result.err
    assert Path("run.yaml").read_bytes() == before


def test_redact_and_compact_do_the_others_where_one_cannot_be_done(one, monkeypatch):
    monkeypatch.setenv("DOOR", "priced")
    Path("cut.yaml").write_bytes(Path("run.yaml").read_bytes()[:-1])
    for command in (("redact", "--secret-env", "DOOR"), ("compact",)):
        part, *given = command
        said = one("cassette", part, "none.yaml", "cut.yaml", "run.yaml", *given)
        assert said.status == 1
        assert "there is no cassette none.yaml" in said.err
        assert "cassette cut.yaml" in said.err
        assert said.out.startswith("run.yaml: ")
    assert "priced" not in Path("run.yaml").read_text("utf-8")


def test_redact_warns_of_what_it_did_not_redact_and_of_what_had_been_edited(one, monkeypatch):
    monkeypatch.setenv("DOOR", "priced")
    text = Path("run.yaml").read_text("utf-8")
    Path("run.yaml").write_text(text.replace("euro: 0.4", "euro: 0.3", 1), "utf-8")
    one("cassette", "accept", "run.yaml")
    Path("run.yaml.journal.1").write_text("a secret")
    said = one("cassette", "redact", "run.yaml", "--secret-env", "DOOR")
    assert said.status == 0
    warnings = said.err.splitlines()
    assert warnings[0].startswith("warning: run.yaml had been edited")
    assert warnings[1].startswith("warning: run.yaml.journal.1 holds calls that are not in")
    assert warnings[1].endswith("and was not redacted")


def test_compact_writes_todays_smallest_form(one):
    data = Path("run.yaml").read_bytes()
    Path("run.yaml").write_bytes(data.replace(b"\n", b"\r\n"))
    said = one("cassette", "compact", "run.yaml")
    assert said.out == (
        f"run.yaml: compacted, {len(data) + data.count(bytes([10])):,} → {len(data):,} bytes\n"
    )
    assert Path("run.yaml").read_bytes() == data
    again = one("cassette", "compact", "run.yaml")
    assert again.out == "run.yaml: it is in that form, left as it was\n"


def test_compact_drops_a_journal_that_the_cassette_holds(one, desk):
    """As a process leaves it that is killed before it removes the journal."""
    code = (
        "import os\nfrom looplet.replay.journal import Journal\n"
        "Journal.remove = lambda self: os._exit(9)\n"
        "from looplet.__main__ import main\n"
        "main(['record', 'agent.py:build', '--cassette', 'killed.yaml'])"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, check=False)
    assert ran.returncode == 9
    assert Path("killed.yaml.journal").exists()
    said = one("cassette", "compact", "killed.yaml")
    assert said.status == 0
    assert "killed.yaml.journal: removed, the cassette has everything in it" in said.out
    assert not Path("killed.yaml.journal").exists()
    assert len(read_trajectory("killed.yaml").steps) == 3


# A user's mistakes, and what stands around


def test_what_is_missing_or_no_cassette_is_one_line_everywhere(one):
    for part in ("show", "verify", "stats", "redact", "compact", "accept", "info"):
        for name in ("none.yaml", "agent.py", "."):
            said = one("cassette", part, name)
            assert (said.status, said.err.count("\n"), said.out) == (1, 1, ""), (part, name)
            assert said.err.startswith("error: ")


def test_nothing_opens_a_socket(one, monkeypatch):
    """Every part, with a guard in the process against any connection, and any look-up."""
    code = (
        "import socket, sys\n"
        "def refuse(*_, **__):\n    print('a socket', file=sys.stderr); sys.exit(99)\n"
        "socket.socket.connect = socket.getaddrinfo = refuse\n"
        # urllib3 (vcrpy loads it where botocore is installed) looks so whether there is IPv6.
        "socket.socket.bind = lambda _, address: address == ('::1', 0) or refuse()\n"
        "from looplet.__main__ import main\nsys.exit(main(sys.argv[1:]))"
    )
    for part in ("show", "verify", "stats", "redact", "compact", "info"):
        argv = [sys.executable, "-c", code, "cassette", part, "run.yaml"]
        ran = subprocess.run(argv, capture_output=True, text=True, check=False)
        assert (ran.returncode, ran.stderr) == (0, ""), part


def test_a_reader_that_goes_away_is_no_error(one):
    Path("long.yaml").write_bytes(calls_alone(lines=30_000))  # far more than a pipe holds
    command = [sys.executable, "-m", "looplet", "cassette", "show", "--full", "long.yaml"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as shown:
        assert shown.stdout.readline() == b"long.yaml: 1 calls\n"
        shown.stdout.close()
        assert shown.stderr.read() == b""
    assert shown.returncode == 141


def test_a_reader_that_was_never_there_is_no_error(one):
    """What is printed waits in a buffer, which the interpreter empties at its end."""
    command = [sys.executable, "-m", "looplet", "cassette", "stats", "run.yaml"]
    buffered = {name: each for name, each in os.environ.items() if name != "PYTHONUNBUFFERED"}
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "env": buffered}
    with subprocess.Popen(command, **pipes) as shown:
        shown.stdout.close()
        assert shown.stderr.read() == b""
    assert shown.returncode == 141


def test_in_a_process_without_colours_and_with_few_columns(one):
    environment = {"NO_COLOR": "1", "COLUMNS": "40", "TERM": "dumb", "LC_ALL": "C"}
    for part in ("show", "verify", "stats", "compact"):
        said = process("cassette", part, "run.yaml", **environment)
        assert (said.status, said.err) == (0, "")
        assert "\x1b" not in said.out
