"""The commands that bring a bundle into another form, as the quickstart types them."""

from __future__ import annotations

import json
import runpy
import sys
from pathlib import Path

import pytest

from tests.bundles import skill_text


def test_the_quickstart_s_commands(looplet, make_bundle):
    root = str(make_bundle().relative_to(Path.cwd()))
    shown = looplet("blueprint", root, "--workspace", ".")
    assert (shown.status, shown.err) == (0, "")
    blueprint = json.loads(shown.out)
    assert (blueprint["name"], blueprint["config"]) == ("grocer", {"max_steps": 20})

    shown = looplet("blueprint", root, "-w", ".", "--max-steps", "7")
    assert json.loads(shown.out)["config"] == {"max_steps": 7}

    assert looplet("export-code", root, "made.py", "--function-name", "make").status == 0
    assert runpy.run_path("made.py")["make"]().config.max_steps == 20
    said = looplet("export-code", root, "grocer_agent.py")
    assert (said.status, said.out) == (0, f"exported {root} -> grocer_agent.py\n")
    options = ("--name", "grocer-2", "--description", "Prices fruit.", "--tag", "a", "--tag", "b")
    said = looplet("package", "grocer_agent:build", "./skills/grocer-2", *options)
    assert (said.status, said.out) == (0, "packaged grocer_agent:build -> skills/grocer-2\n")
    again = looplet("package", "grocer_agent:build", "./skills/grocer-2", *options)
    assert again.status == 1
    assert "--force" in again.err
    assert (
        looplet("package", "grocer_agent:build", "skills/grocer-2", *options, "--force").status == 0
    )
    other = json.loads(looplet("blueprint", "skills/grocer-2").out)
    assert other["tags"] == ["a", "b"]
    for key in ("tools", "config", "hooks", "state"):
        assert other[key] == blueprint[key]
    sys.modules.pop("grocer_agent")

    folder = Path("claude-skills/invoices")
    folder.mkdir(parents=True)
    (folder / "SKILL.md").write_text(skill_text("invoices"))
    (folder / "sum.py").write_text("1 / 0")
    said = looplet("wrap-claude-skill", "./claude-skills/invoices", "./skills/invoices")
    assert (said.status, said.err) == (0, "")
    assert said.out.splitlines() == [
        "wrapped claude-skills/invoices -> skills/invoices",
        "compatibility: scripts-present",
        "warning: sum.py is a script; it needs a tool that runs it",
    ]


@pytest.mark.parametrize(
    "argv",
    [
        ("blueprint", "absent"),
        ("blueprint", "broken"),
        ("export-code", "broken", "x.py"),
        ("export-code", ".", "x.py", "--function-name", "def"),
        ("package", "absent:build", "p", "--name", "a", "--description", "b"),
        ("wrap-claude-skill", "absent", "p"),
    ],
)
def test_a_user_s_mistake_is_one_line(looplet, make_bundle, argv):
    make_bundle("broken", looplet="1 / 0").rename("broken")
    said = looplet(*argv)
    assert (said.status, said.out) == (1, "")
    assert said.err.startswith("error: ")
    assert said.err.count("\n") == 1
    assert not Path("x.py").exists()
    assert not Path("p").exists()
