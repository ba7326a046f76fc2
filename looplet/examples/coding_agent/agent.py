"""The programmer: the tools of a folder, and what of them runs unasked."""

from __future__ import annotations

import re
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

from looplet import AgentPreset, PermissionDecision, PermissionEngine, PermissionHook, ToolCall
from looplet.core.records import escape_controls
from looplet.skills import coding_agent_preset

_WORD = r"-{0,2}[A-Za-z0-9_][A-Za-z0-9_./-]*"
_PLACE = re.compile(r'(File \\?")[^"]*/')
_TIME = re.compile(r"\b\d+\.\d+s\b")
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


def permissions(*, yes: bool, alone: bool = False) -> PermissionHook:
    """What is allowed, what is asked about; ``alone`` there is nobody to ask, at a terminal too."""
    handler = ask if not alone and sys.stdin.isatty() else None
    engine = PermissionEngine(default=PermissionDecision.ALLOW, ask_handler=handler)
    if not yes:
        engine.allow("bash", arg_matcher=is_safe, reason="it only reads, or tests")
        engine.ask("bash", reason="it may change something: run with --yes, or at a terminal")
    return PermissionHook(engine)


def redact(text: str) -> str:
    """What tests print, without what tells of the machine: folders, and the time that they took.

    >>> redact('File "/home/me/work/test_a.py", line 3'), redact("Ran 1 test in 0.004s")
    ('File "test_a.py", line 3', 'Ran 1 test in 0s')
    """
    return _TIME.sub("0s", _PLACE.sub(r"\1", text))


def build(
    workspace: str | Path, *, yes: bool = False, alone: bool = False, max_steps: int = 15
) -> AgentPreset:
    """The agent of a folder; ``yes`` and ``alone`` as for ``permissions``."""
    preset = coding_agent_preset(workspace, max_steps=max_steps)
    return replace(
        preset,
        config=replace(preset.config, use_native_tools=True),
        hooks=[permissions(yes=yes, alone=alone), *preset.hooks],
    )
