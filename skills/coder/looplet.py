"""A programmer as a bundle: ``looplet run skills/coder "Write …" --workspace D``.

Commands that only read, and tests, run unasked. Of any other a person at the terminal is asked;
where there is none it is refused, unless the runtime's option ``yes`` allows them all.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from looplet import AgentPreset, Skill, SkillRuntime, Step, is_rejected_done
from looplet.examples.coding_agent import permissions
from looplet.skills import coding_agent_preset

_TEST = """import unittest

from leap import is_leap


class Leap(unittest.TestCase):
    def test_centuries(self):
        self.assertEqual([is_leap(year) for year in (1900, 2000, 2024, 2025)],
                         [False, True, True, False])
"""
_WRONG = "def is_leap(year):\n    return year % 4 == 0\n"
_RULE = "% 4 == 0 and (year % 100 != 0 or year % 400 == 0)"
_SCRIPT = (
    ("write", {"path": "test_leap.py", "content": _TEST}),
    ("write", {"path": "leap.py", "content": _WRONG}),
    ("bash", {"command": "python -m unittest"}),
    ("done", {"summary": "Too early: the test fails, and the loop does not take it."}),
    ("edit", {"path": "leap.py", "old": "% 4 == 0", "new": _RULE}),
    ("bash", {"command": "python -m unittest"}),
    ("done", {"summary": "is_leap follows the Gregorian rule; its test passes."}),
)


def build(runtime: SkillRuntime) -> AgentPreset:
    """The tools of a workspace; the instructions of ``SKILL.md`` are the system prompt."""
    skill = Skill.from_markdown(Path(__file__).with_name("SKILL.md").read_text(encoding="utf-8"))
    preset = coding_agent_preset(
        runtime.workspace,
        max_steps=runtime.max_steps,
        system_prompt=skill.instructions,
        require_tests=bool(runtime.option("require_tests", default=True)),
    )
    asks = permissions(yes=bool(runtime.option("yes", default=False)))
    return replace(preset, hooks=[asks, *preset.hooks])


def scripted_responses() -> Iterator[str]:
    """What ``--scripted`` answers: a test, a wrong function, and what the test makes of it."""
    for tool, args in _SCRIPT:
        yield json.dumps({"tool": tool, "args": args})


def render_step(step: Step) -> str:
    """A step as ``looplet run`` shows it: a done that came too early says why."""
    if is_rejected_done(step):
        return f"#{step.number} ✗ done: {step.tool_result.data['reason']}"
    return step.pretty()
