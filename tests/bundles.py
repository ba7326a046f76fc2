"""Bundles as users write them."""

from __future__ import annotations

from pathlib import Path
from textwrap import dedent

GROCER = '''
from looplet import AgentPreset, DefaultState, LoopConfig, SkillRuntime, tool, tools_from

@tool
def price(fruit: str) -> dict:
    """Price of one piece of fruit, in euro."""
    return {"fruit": fruit, "euro": {"apple": 0.40, "pear": 0.55}[fruit]}

def build(runtime: SkillRuntime) -> AgentPreset:
    steps = runtime.max_steps
    return AgentPreset(config=LoopConfig(max_steps=steps), hooks=[],
                       state=DefaultState(max_steps=steps),
                       tools=tools_from([price], include_done=True))
'''


def skill_text(name: str, *lines: str, body: str = "") -> str:
    return "\n".join(["---", f"name: {name}", "description: Prices fruit.", *lines, "---", body])


def write_bundle(
    folder: Path,
    name: str = "grocer",
    *,
    front: tuple[str, ...] = (),
    where: str = "",
    **files: str,
) -> Path:
    """A bundle in ``folder/skills``; files are given by their names, ``__`` for a slash."""
    root = folder / "skills" / (where or name)
    root.mkdir(parents=True)
    (root / "SKILL.md").write_text(skill_text(name, *front))
    for stem, code in ({"looplet": GROCER} | files).items():
        path = root / (stem.replace("__", "/") + ".py")
        path.parent.mkdir(exist_ok=True)
        if code is not None:
            path.write_text(dedent(code))
    return root
