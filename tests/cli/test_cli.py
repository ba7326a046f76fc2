"""The command line as a person meets it."""

from __future__ import annotations

import subprocess
import sys

import pytest

from looplet import MockLLMBackend, __version__
from looplet.__main__ import main
from looplet.replay import use_cassette


@pytest.fixture
def cassette(tmp_path):
    path = tmp_path / "greeting.yaml"
    about = {"task_id": "greet", "odd": "\x1b[31m"}
    with use_cassette(path, record_mode="once", metadata=about) as opened:
        opened.wrap_llm(MockLLMBackend(["Hello!"])).generate("Say hello.")
    return path


def test_the_version_is_told(capsys):
    with pytest.raises(SystemExit) as left:
        main(["--version"])
    assert left.value.code == 0
    assert capsys.readouterr().out == f"looplet {__version__}\n"


def test_no_command_is_a_usage_error(capsys):
    with pytest.raises(SystemExit) as left:
        main([])
    assert left.value.code == 2
    assert "COMMAND" in capsys.readouterr().err


def test_info_says_what_a_cassette_holds_and_escapes_control_characters(cassette, capsys):
    assert main(["cassette", "info", str(cassette)]) == 0
    out = capsys.readouterr().out
    assert "1 calls; task_id=greet" in out
    assert "\x1b" not in out


def test_a_missing_cassette_is_one_message_and_exit_one(tmp_path, capsys):
    assert main(["cassette", "info", str(tmp_path / "none.yaml")]) == 1
    assert capsys.readouterr().err.startswith("error: there is no cassette")


def test_an_edited_request_is_not_accepted(cassette, capsys):
    text = cassette.read_text(encoding="utf-8")
    cassette.write_text(text.replace("Say hello.", "Say goodbye."), encoding="utf-8")
    before = cassette.read_bytes()
    assert main(["cassette", "accept", str(cassette)]) == 1
    assert str(cassette) in capsys.readouterr().err
    assert cassette.read_bytes() == before


def test_the_module_and_the_script_are_one_entry(tmp_path):
    for command in ([sys.executable, "-m", "looplet"], [f"{sys.exec_prefix}/bin/looplet"]):
        ran = subprocess.run(
            [*command, "--version"], capture_output=True, text=True, cwd=tmp_path, check=True
        )
        assert ran.stdout == f"looplet {__version__}\n"
