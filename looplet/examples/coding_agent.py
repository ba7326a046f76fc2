"""A programmer in a folder: bash, read, write, edit, glob, grep, think, done.

    python -m looplet.examples.coding_agent [task] [--workspace D] [--trace D] [--scripted] [--yes]

The model is found by OPENAI_BASE_URL, OPENAI_API_KEY and OPENAI_MODEL; ``--scripted`` needs
neither network nor SDK, and works in a folder of its own unless it is given one. No path leaves the
workspace. Commands that only read, and tests, run unasked; of any other a person is asked at the
terminal, and without one it is denied; ``--yes`` allows them all.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from looplet import (
    MockLLMBackend,
    PermissionDecision,
    PermissionEngine,
    PermissionHook,
    ProvenanceSink,
    ToolCall,
)
from looplet.core.records import escape_controls
from looplet.examples.terminal import add_model_options, command, complain, model_at, show
from looplet.skills import coding_agent_preset

TASK = "Write basket.py with euro(n), the price of n apples at 0.40 each, and test it."
_CODE = 'def euro(n: int) -> float:\n    """Price of n apples."""\n    return round(n * 0.4, 2)\n'
_TEST = "import unittest\n\nfrom basket import euro\n\n\nclass Basket(unittest.TestCase):\n"
_TEST += "    def test_three_apples(self):\n        self.assertEqual(euro(3), 1.2)\n"
SCRIPT = [
    json.dumps({"tool": tool, "args": args})
    for tool, args in (
        ("think", {"analysis": "An empty folder; a function and a test will do."}),
        ("glob", {"pattern": "**/*.py"}),
        ("write", {"path": "basket.py", "content": _CODE.replace("0.4", "0.5")}),
        ("write", {"path": "test_basket.py", "content": _TEST}),
        ("bash", {"command": "python -m unittest"}),
        ("grep", {"pattern": "0\\.5"}),
        ("edit", {"path": "basket.py", "old": "n * 0.5", "new": "n * 0.4"}),
        ("done", {"summary": "Too early: the test was not run again."}),
        ("bash", {"command": "python -m unittest"}),
        ("read", {"path": "basket.py"}),
        ("done", {"summary": "basket.euro gives the price of n apples; its test passes."}),
    )
]
_WORD = r"-{0,2}[A-Za-z0-9_][A-Za-z0-9_./-]*"
_SAFE = re.compile(
    rf"(?:ls|cat|head|tail|wc|pwd|python3? -m (?:pytest|unittest)|pytest)"
    rf"(?: {_WORD})*"
)
"""Commands that only read, and tests: plain words, nothing that a shell makes more of.

Tests run what the agent wrote; git is not among them, since what it runs stands in files that
the agent can write.
"""


def is_safe(args: dict[str, Any]) -> bool:
    """Whether a command runs unasked.

    >>> is_safe({"command": "ls -l"}), is_safe({"command": "ls; rm -rf /"})
    (True, False)
    """
    command = str(args["command"])
    return _SAFE.fullmatch(command) is not None and ".." not in command


def ask(call: ToolCall, rule: Any) -> PermissionDecision:  # noqa: ARG001 - the handler's signature
    """Ask at the terminal."""
    print(f"The agent wants to run: {escape_controls(str(call.args.get('command')))}")
    answer = input("Let it? [y/N] ").strip().lower()
    return PermissionDecision.ALLOW if answer in ("y", "yes") else PermissionDecision.DENY


def permissions(*, yes: bool) -> PermissionHook:
    """What is allowed, what is asked about."""
    handler = ask if sys.stdin.isatty() else None
    engine = PermissionEngine(default=PermissionDecision.ALLOW, ask_handler=handler)
    if not yes:
        engine.allow("bash", arg_matcher=is_safe, reason="it only reads, or tests")
        engine.ask("bash", reason="it may change something: run with --yes, or at a terminal")
    return PermissionHook(engine)


@command
def main(argv: Sequence[str] | None = None) -> int:
    """Run the example; 1 if the provider cannot be reached or the model's call fails."""
    given = _arguments(argv)
    if given.workspace is None and given.scripted:
        with tempfile.TemporaryDirectory() as folder:
            return _run(given, folder)
    return _run(given, given.workspace or ".")


def _run(given: argparse.Namespace, workspace: str) -> int:
    if not Path(workspace).is_dir():
        return complain(f"there is no folder {workspace} to work in")
    scripted = MockLLMBackend(SCRIPT, cycle=False) if given.scripted else None
    llm: Any = scripted or model_at(given.base_url, given.model)
    sink = None if given.trace is None else ProvenanceSink(given.trace)
    preset = coding_agent_preset(workspace, max_steps=given.max_steps)
    hooks = [permissions(yes=given.yes), *preset.hooks]
    if sink is not None:
        llm, hooks = sink.wrap_llm(llm), [*hooks, sink.trajectory_hook()]
    try:
        return show(replace(preset, hooks=hooks).run(llm, task={"goal": given.task}))
    finally:
        if sink is not None:
            print(f"trace: {sink.flush()}")


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m looplet.examples.coding_agent", description="A programmer in a folder."
    )
    parser.add_argument("task", nargs="?", default=TASK)
    add_model_options(parser)
    parser.add_argument("--trace", metavar="DIR", help="keep the run there")
    parser.add_argument("--workspace", metavar="D", help="the folder to work in (default: this)")
    parser.add_argument("--max-steps", type=int, default=15)
    parser.add_argument("--yes", action="store_true", help="run every command without asking")
    return parser.parse_args(argv)


if __name__ == "__main__":
    sys.exit(main())
