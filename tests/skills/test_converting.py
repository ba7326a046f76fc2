"""Bundles in other forms: as code, around a function, around somebody's skill."""

from __future__ import annotations

import json
import os
import runpy
import subprocess
import sys
from contextlib import contextmanager

import pytest

from looplet import MockLLMBackend, SkillRuntime
from looplet.errors import SkillError
from looplet.skills import (
    blueprint_from_bundle,
    blueprint_from_preset,
    claude_skill_compatibility,
    compare_blueprints,
    export_bundle_to_library_code,
    load_skill_bundle,
    minimal_preset,
    package_agent_factory_as_bundle,
    run_skill_bundle,
    validate_skill_bundle,
    wrap_claude_skill_as_bundle,
)
from tests.bundles import GROCER, skill_text

ODD_TEXTS = [
    "a" * 200, "it's", 'say "it"', "\"'\"", "\\ and \\u00e9", "é\U00020000", "tab\tand\nline",
    "\x7f\x85", "word " * 60, "{braces}", "#comment",
]  # fmt: skip
EVIL = "x\nentrypoint: evil.py\n---\nfactory: 'os:system' # \"{}\" é\u2028 *a &b"


@pytest.fixture
def module(tmp_path, monkeypatch):
    """Makes a module that can be imported by a name of its own."""
    count = 0

    def make(text=GROCER):
        nonlocal count
        count += 1
        name = f"grocer_module_{tmp_path.name}_{count}"
        (tmp_path / f"{name}.py").write_text(text)
        return name

    monkeypatch.syspath_prepend(str(tmp_path))
    return make


def test_a_bundle_as_code_builds_the_same_agent_and_is_formatted(make_bundle, tmp_path):
    notes = [f"note-{n}: {json.dumps(text)}" for n, text in enumerate(ODD_TEXTS)]
    root = make_bundle(front=('note: "it\'s \\"so\\""', "tags: [a]", *notes))
    path = export_bundle_to_library_code(root, tmp_path / "made" / "grocer_agent.py")
    code = (
        "import grocer_agent as g; from looplet import *\n"
        "a = AgentBlueprint.from_dict(g.BLUEPRINT); p = g.build()\n"
        "b = blueprint_from_preset(p, name=a.name, description=a.description, tags=a.tags,"
        " instructions=a.instructions, metadata=a.metadata)\n"
        "print(compare_blueprints(a, b), g.build(SkillRuntime(max_steps=3)).config.max_steps)"
    )
    ran = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=path.parent, check=False
    )
    assert ran.stdout == "BlueprintComparison(ok=True, differences=()) 3\n", ran.stderr
    for command in (
        ["format", "--check", "--isolated"],
        ["check", "--isolated", "--select=F,I,ANN,UP,Q"],
    ):
        done = subprocess.run(
            [sys.executable, "-m", "ruff", *command, path],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout
    assert export_bundle_to_library_code(root, path) == path


def test_a_long_name_of_a_function_is_formatted_too(make_bundle, tmp_path):
    name = "build_" + "the_grocer_" * 5
    path = export_bundle_to_library_code(make_bundle(), tmp_path / "a.py", function_name=name)
    command = [sys.executable, "-m", "ruff", "format", "--check", "--isolated", path]
    assert subprocess.run(command, capture_output=True, check=False).returncode == 0
    made = runpy.run_path(str(path))
    assert made[name]().config.max_steps == 20


def test_export_replaces_nothing_that_it_did_not_write(make_bundle, tmp_path):
    path = tmp_path / "mine.py"
    path.write_text("X = 1")
    with pytest.raises(FileExistsError, match="did not write it"):
        export_bundle_to_library_code(make_bundle(), path)
    assert path.read_text() == "X = 1"
    own = ("BLUEPRINT", "load_skill_bundle", "SkillRuntime")
    for name in ("class", "a b", "", "1", "\ufb01", *own):
        with pytest.raises(ValueError, match=r"name of a function|name another function"):
            export_bundle_to_library_code(tmp_path, path, function_name=name)


def test_a_function_as_a_bundle_builds_the_same_agent(make_bundle, tmp_path, module):
    name = module()
    own = package_agent_factory_as_bundle(
        f"{name}:build", tmp_path / "own", name="grocer", description="Prices fruit.", tags=["a"]
    )
    twice = tmp_path / "twice"
    package_agent_factory_as_bundle(
        f"{name}:build", twice, name="grocer", description="Prices fruit.", tags=["a"]
    )
    one, two = map(blueprint_from_bundle, (own, twice))
    assert compare_blueprints(one, two)
    assert one.source.factory_ref == f"{name}:build"
    (handler,) = {tool.handler for tool in one.tools if tool.name == "price"}
    assert handler == f"{name}:price"
    assert validate_skill_bundle(own).ok


def test_export_and_package_bring_a_bundle_round(make_bundle, tmp_path, monkeypatch):
    root = make_bundle()
    exported = export_bundle_to_library_code(root, tmp_path / "grocer_round.py")
    monkeypatch.syspath_prepend(str(tmp_path))
    again = package_agent_factory_as_bundle(
        f"{exported.stem}:build", tmp_path / "again", name="grocer", description="Prices fruit."
    )
    found = compare_blueprints(blueprint_from_bundle(root), blueprint_from_bundle(again))
    assert found.differences == ()


@pytest.mark.parametrize("field", ["name", "description", "tags"])
def test_no_value_of_a_package_can_add_a_key(tmp_path, module, field):
    given = {"name": "a", "description": "b", "tags": ["c"]}
    given[field] = [EVIL] if field == "tags" else EVIL
    root = package_agent_factory_as_bundle(f"{module()}:build", tmp_path / "p", **given)
    skill = load_skill_bundle(root).skill
    assert skill.metadata["entrypoint"] == "looplet.py"
    assert set(skill.metadata) == {"entrypoint", "factory"}
    assert given[field] == getattr(skill, field)


def test_a_package_replaces_nothing_unless_it_is_told_to(tmp_path, module):
    given = {"factory": f"{module()}:build", "name": "a", "description": "b"}
    out = tmp_path / "p"
    out.mkdir()
    (out / "looplet.py").write_text("X = 1")
    with pytest.raises(FileExistsError, match=r"looplet\.py"):
        package_agent_factory_as_bundle(out_dir=out, **given)
    assert [each.name for each in out.iterdir()] == ["looplet.py"]
    package_agent_factory_as_bundle(out_dir=out, overwrite=True, **given)
    assert validate_skill_bundle(out).ok


@pytest.mark.parametrize(
    ("factory", "told"),
    [
        ("absent_module:build", "ModuleNotFoundError"),
        ("json:absent", "AttributeError"),
        ("json", "names no function"),
        ("sys:path", "is list, not a function"),
        (":build", "names no function"),
    ],
)
def test_a_factory_that_is_none_is_a_value_error(tmp_path, factory, told):
    with pytest.raises(ValueError, match=told):
        package_agent_factory_as_bundle(factory, tmp_path / "p", name="a", description="b")
    for entrypoint in ("../a.py", "a", "a/b.py", ""):
        with pytest.raises(ValueError, match=r"\.py file"):
            package_agent_factory_as_bundle(
                "json:loads", tmp_path / "p", name="a", description="b", entrypoint=entrypoint
            )
    for hiding in ("json.py", "os.py"):
        with pytest.raises(ValueError, match="would hide the module"):
            package_agent_factory_as_bundle(
                f"{hiding[:-3]}{'.path:join' if hiding == 'os.py' else ':loads'}", tmp_path / "p",
                name="a", description="b", entrypoint=hiding,
            )  # fmt: skip
    assert not (tmp_path / "p").exists()


def test_a_factory_may_take_nothing_or_be_an_agent(tmp_path, module):
    text = (
        GROCER
        + "\nclass A:\n    @staticmethod\n    def make():\n        return build(SkillRuntime())"
    )
    name = module(text + "\nAGENT = A.make()\n")
    for place, attribute in enumerate(("A.make", "AGENT")):
        root = package_agent_factory_as_bundle(
            f"{name}:{attribute}", tmp_path / str(place), name="a", description="b"
        )
        assert validate_skill_bundle(root).ok


def make_skill(folder, text=None, **files):
    folder.mkdir(parents=True)
    (folder / "SKILL.md").write_text(text or skill_text("invoices", body="Sum {the} invoices."))
    for name, content in files.items():
        path = folder / name.replace("__", "/")
        path.parent.mkdir(exist_ok=True)
        path.write_text(content)
    return folder


LEVELS = {
    "instruction-only": ({}, True, 0),
    "resources-present": ({"table__prices.csv": "a", "NOTE": "b"}, False, 2),
    "scripts-present": (
        {"scripts__run": "a", "help__b.sh": "b", "yaml.py": "1 / 0", "c.csv": ""},
        False,
        3,
    ),
}


@pytest.mark.parametrize("level", LEVELS)
def test_a_skill_becomes_a_bundle_whose_agent_reads_its_instructions(tmp_path, level):
    files, exact, warnings = LEVELS[level]
    src = make_skill(tmp_path / "src", **files)
    found = claude_skill_compatibility(src / "SKILL.md")
    assert (found.level, found.can_wrap, found.can_run_exactly) == (level, True, exact)
    assert len(found.warnings) == warnings
    before = {path: path.read_bytes() for path in src.rglob("*") if path.is_file()}
    out = wrap_claude_skill_as_bundle(src, tmp_path / "new" / "out")

    assert {path: path.read_bytes() for path in src.rglob("*") if path.is_file()} == before
    for path, content in before.items():
        if path.name != "SKILL.md":
            assert (out / path.relative_to(src)).read_bytes() == content
    assert [each.name for each in out.parent.iterdir()] == ["out"]
    bundle = load_skill_bundle(out)
    assert bundle.skill.name == "invoices"
    llm = MockLLMBackend(['{"tool": "done", "args": {"summary": "x"}}'])
    list(run_skill_bundle(bundle, llm=llm, task="Do", provenance=False))
    assert llm.last_system_prompt == "Sum {the} invoices."
    preset = minimal_preset(max_steps=7, system_prompt="Sum {the} invoices.")
    plain = blueprint_from_preset(
        preset, name="invoices", description="Prices fruit.", instructions="Sum {the} invoices."
    )
    built = blueprint_from_bundle(out, SkillRuntime(max_steps=7))
    assert compare_blueprints(built, plain).differences == ()
    assert claude_skill_compatibility(out).level == "looplet-bundle"


def test_a_bundle_is_copied_unchanged_and_builds_the_same_agent(make_bundle, tmp_path):
    root = make_bundle(front=("entrypoint: looplet.py",))
    found = claude_skill_compatibility(root)
    assert (found.level, found.can_run_exactly) == ("looplet-bundle", True)
    out = wrap_claude_skill_as_bundle(root, tmp_path / "out")
    assert {p.name: p.read_bytes() for p in out.iterdir()} == {
        p.name: p.read_bytes() for p in root.iterdir()
    }
    assert compare_blueprints(blueprint_from_bundle(root), blueprint_from_bundle(out))


@pytest.mark.parametrize(
    ("front", "kept"),
    [
        ("description: b", "src"),
        ("description: |\n  entrypoint\nname: >-\n  a\n  b", "a b"),
        ("name: a\r\ndescription: b\r", "a"),
        ("description: b", "[x] 'y' #1: \"z\" & *ö"),
    ],
)
def test_an_entrypoint_is_added_to_any_front_matter_and_the_name_stays(tmp_path, front, kept):
    folder = kept if "name" not in front else "src"
    src = make_skill(tmp_path / folder, f"---\n{front}\n---\nBody.", **{"looplet.py": "boom("})
    out = wrap_claude_skill_as_bundle(src, tmp_path / "out")
    bundle = load_skill_bundle(out)
    assert bundle.skill.name == kept
    assert bundle.skill.instructions == "Body."
    assert (out / "looplet.py").read_text() == "boom("


def test_nothing_is_made_where_it_must_not_be(tmp_path):
    src = make_skill(tmp_path / "a" / "src")
    (tmp_path / "there").mkdir()
    for out in (src, src / "in", tmp_path / "a", tmp_path / "there"):
        with pytest.raises(ValueError, match=r"one folder|already|lies in"):
            wrap_claude_skill_as_bundle(src, out)
    bad = make_skill(tmp_path / "bad", "no front matter")
    assert not claude_skill_compatibility(bad).can_wrap
    flow = make_skill(tmp_path / "flow", "---\n{name: a, description: b}\n---\n")
    for source in (bad, flow, tmp_path / "absent"):
        with pytest.raises(SkillError):
            wrap_claude_skill_as_bundle(source, tmp_path / "out")
    assert sorted(each.name for each in tmp_path.iterdir()) == ["a", "bad", "flow", "there"]


@pytest.mark.parametrize("leads", ["..", "{src}/table", "../src/table", "/dev/null"])
def test_a_link_that_leads_out_of_the_new_folder_is_refused_and_one_within_it_kept(tmp_path, leads):
    src = make_skill(tmp_path / "src", table="1")
    (src / "near").symlink_to("table")
    (src / "loop").symlink_to("loop")
    out = wrap_claude_skill_as_bundle(src, tmp_path / "out")
    assert (out / "near").readlink().name == "table"
    (src / "link").symlink_to(leads.format(src=src))
    with pytest.raises(SkillError, match=rf"{src}.link is a link that leads out"):
        wrap_claude_skill_as_bundle(src, tmp_path / "other")
    assert not (tmp_path / "other").exists()


def test_what_is_no_plain_file_is_refused_and_not_read(tmp_path):
    src = make_skill(tmp_path / "src")
    os.mkfifo(src / "pipe")
    with pytest.raises(SkillError, match="pipe is no plain file"):
        wrap_claude_skill_as_bundle(src, tmp_path / "out")
    assert [each.name for each in tmp_path.iterdir()] == ["src"]


@contextmanager
def read_only(folder):
    paths = [folder, *folder.rglob("*")]
    modes = [path.stat().st_mode for path in paths]
    for path, mode in zip(paths, modes, strict=True):
        path.chmod(mode & ~0o222)
    try:
        yield
    finally:
        for path, mode in zip(paths, modes, strict=True):
            path.chmod(mode)


def test_a_skill_that_is_read_only_is_wrapped_and_the_bundle_can_be_written(tmp_path, make_bundle):
    skill, bundle = make_skill(tmp_path / "src", table__prices="1"), make_bundle()
    for place, src in enumerate((skill, bundle)):
        with read_only(src):
            out = wrap_claude_skill_as_bundle(src, tmp_path / str(place))
        assert out.stat().st_mode & (out / "SKILL.md").stat().st_mode & 0o200
        assert validate_skill_bundle(out).ok


def test_a_bundle_without_its_entrypoint_does_not_run_exactly(make_bundle):
    for where, entrypoint in (("a", "agent.py"), ("b", "../looplet.py")):
        root = make_bundle(where=where, front=(f"entrypoint: {entrypoint}",))
        found = claude_skill_compatibility(root)
        assert (found.level, found.can_run_exactly) == ("looplet-bundle", False)
        assert entrypoint in found.warnings[0]
