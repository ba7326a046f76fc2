"""``looplet completion``, by the shells themselves as far as they are here."""

from __future__ import annotations

import shutil
import subprocess
import sys

import pytest

from tests.cli.conftest import process

ASK = """
source "$1"
shift
COMP_WORDS=("$@") COMP_CWORD=$(($# - 1))
_shtab_looplet
printf '%s\\n' "${COMPREPLY[@]}"
"""


@pytest.fixture(scope="module")
def scripts(tmp_path_factory):
    folder = tmp_path_factory.mktemp("completion")
    for shell in ("bash", "zsh", "fish"):
        said = process("completion", shell)
        assert (said.status, said.err) == (0, "")
        (folder / shell).write_text(said.out)
    return folder


def bash(script, folder, *words):
    ran = subprocess.run(
        ["bash", "--norc", "-c", ASK, "bash", str(script), "looplet", *words],
        capture_output=True, text=True, cwd=folder, check=True,
    )  # fmt: skip
    return {each for each in ran.stdout.splitlines() if each}


@pytest.fixture
def complete(scripts, tmp_path):
    """What bash would complete the last of some words to, in a folder with a cassette."""
    (tmp_path / "basket.yaml").touch()
    (tmp_path / "runs").mkdir()
    return lambda *words: bash(scripts / "bash", tmp_path, *words)


def test_bash_completes_commands_and_their_parts(complete):
    assert complete("re") == {"record", "replay"}
    assert complete("ev") == {"eval"}
    assert complete("cassette", "re") == {"redact"}
    assert complete("store", "") == {"info", "check", "compact"}


def test_bash_completes_options_and_what_they_may_be(complete):
    assert complete("replay", "--a") == {"--agent"}
    assert complete("cassette", "show", "--f") == {"--full"}
    assert complete("record", "x.py", "--record-mode", "") >= {"once", "new_episodes"}
    assert complete("completion", "") == {"bash", "zsh", "fish"}


@pytest.mark.parametrize(
    "words",
    [["diff"], ["cassette", "info"], ["cassette", "show"], ["stats"], ["show"], ["eval"],
     ["record"], ["record", "x.py", "--cassette"], ["compare", "a"], ["store", "info"]],
    ids=" ".join,
)  # fmt: skip
def test_bash_completes_paths(complete, words):
    assert complete(*words, "") >= {"basket.yaml", "runs"}
    assert complete(*words, "ba") == {"basket.yaml"}


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_shell_can_read_its_script(scripts, shell):
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not here")
    subprocess.run([shell, "-n", str(scripts / shell)], check=True)


@pytest.mark.skipif(shutil.which("fish") is None, reason="fish is not here")
def test_fish_completes_commands(scripts):
    code = f"source {scripts / 'fish'}; complete -C 'looplet rep'"
    ran = subprocess.run(["fish", "-c", code], capture_output=True, text=True, check=True)
    assert [line.split()[0] for line in ran.stdout.splitlines()] == ["replay"]


def test_without_shtab_it_says_what_to_install(looplet, monkeypatch):
    monkeypatch.setitem(sys.modules, "shtab", None)
    said = looplet("completion", "bash")
    assert (said.status, said.out) == (1, "")
    assert said.err.endswith('pip install "looplet[completion]"\n')
