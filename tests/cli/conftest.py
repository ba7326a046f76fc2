"""A user's files, and the command line as a user meets it, in this process or in one of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from looplet.__main__ import main

AGENT = '''
"""Prices fruit; each question to its model and each use of its tool is noted in a file."""
import os
from pathlib import Path

from looplet import LoopConfig, MockLLMBackend, tool, tools_from
from looplet.testing import AsyncMockLLMBackend

def note(file, text):
    with Path(file).open("a") as out:
        out.write(text + "\\n")

def replies(fruit):
    yield from ('{"tool": "price", "args": {"fruit": "%s"}}' % each for each in fruit)
    yield '{"tool": "done", "args": {"summary": "priced"}}'

class Model(MockLLMBackend):
    def generate(self, prompt, *, max_tokens=2000, system_prompt="", temperature=0.2):
        note("asked.txt", prompt.split("STEP")[1][:2])
        return super().generate(prompt, system_prompt=system_prompt)

@tool
def price(fruit: str) -> dict:
    """Price of one piece."""
    note("did.txt", fruit)
    return {"fruit": fruit, "euro": float(os.environ.get("EURO", "0.4"))}

def build(*fruit, task="Price fruit"):
    return {
        "llm": Model([*replies(fruit or ("pear", "fig"))], cycle=False),
        "tools": tools_from([price], include_done=True),
        "config": LoopConfig(max_steps=6, system_prompt=os.environ.get("SAY", "")),
        "task": {"goal": task},
    }

def abuild():
    llm = AsyncMockLLMBackend([*replies(("pear", "fig"))], cycle=False)
    return build() | {"llm": llm}

def without():
    return {name: part for name, part in build().items() if name != "llm"}

def broken():
    return {}["OPENAI_API_KEY"]
'''
SCRIPT = '''
"""Starts a loop for each word that it is given."""
import sys

from looplet import composable_loop
from neighbour import build

for word in sys.argv[1:]:
    if word == "boom":
        raise KeyError("boom")
    if word.isdigit():
        sys.exit(int(word))
    for step in composable_loop(**build(word, task=word)):
        print("own", step.number)
'''


@dataclass(frozen=True)
class Said:
    """What a command said."""

    status: int
    out: str
    err: str


@pytest.fixture
def desk(tmp_path, monkeypatch):
    """A folder with an agent and a script, in which commands are run."""
    (tmp_path / "agent.py").write_text(AGENT)
    (tmp_path / "neighbour.py").write_text(AGENT)
    (tmp_path / "script.py").write_text(SCRIPT)
    monkeypatch.chdir(tmp_path)
    before = dict(sys.modules)
    monkeypatch.setattr(sys, "path", [*sys.path])
    yield tmp_path
    for name in [*sys.modules]:
        if name not in before:
            path = getattr(sys.modules[name], "__file__", None) or ""
            if path.startswith(str(tmp_path)):
                del sys.modules[name]


@pytest.fixture
def looplet(desk, capsys):
    """Run a command in this process."""

    def run(*argv: str) -> Said:
        capsys.readouterr()
        status = main([*argv])
        said = capsys.readouterr()
        return Said(status, said.out, said.err)

    return run


def process(*argv: str, **environment: str) -> Said:
    """Run a command in a process of its own, its output in pipes."""
    ran = subprocess.run(
        [sys.executable, "-m", "looplet", *argv],
        capture_output=True,
        check=False,
        env=dict(os.environ) | environment,
    )
    return Said(ran.returncode, ran.stdout.decode(), ran.stderr.decode())


def noted(file: str) -> list[str]:
    """What the agent noted."""
    path = Path(file)
    return path.read_text().split() if path.exists() else []
