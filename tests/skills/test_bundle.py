"""Bundles: loaded apart from everything else, validated, run and found."""

from __future__ import annotations

import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import ModuleType

import pytest

from looplet import AgentPreset, MockLLMBackend, SkillRuntime
from looplet.__main__ import main
from looplet.errors import EntrypointMissing, NoAgent, SkillError
from looplet.provenance import read_trace
from looplet.skills import (
    blueprint_from_bundle,
    discover_skill_bundles,
    export_bundle_to_library_code,
    load_skill_bundle,
    minimal_preset,
    run_skill_bundle,
    validate_skill_bundle,
)
from looplet.skills.bundle import safe_name
from tests.bundles import GROCER

HELPED = """
import prices
from shop.stock import FRUIT
from looplet import AgentPreset, tools_from
LOADED = []
def build(runtime):
    import later
    LOADED.append(later.WORD)
    def price(fruit: str) -> dict:
        import lazy
        return {"euro": prices.PRICES[fruit], "lazy": lazy.WORD}
    return AgentPreset(tools=tools_from([price], include_done=True))
"""


def helped(word):
    return {
        "looplet": HELPED,
        "prices": f'PRICES = {{"apple": "{word}"}}',
        "shop__stock": "from prices import PRICES\nfrom . import names\nFRUIT = list(PRICES)",
        "shop____init__": "",
        "shop__names": "import prices",
        "later": f'WORD = "{word}"',
        "lazy": f'WORD = "{word}"',
    }


def ask(bundle, fruit):
    call = json.dumps({"tool": "price", "args": {"fruit": fruit}})
    done = '{"tool": "done", "args": {"summary": "x"}}'
    llm = MockLLMBackend([call, done])
    steps = list(run_skill_bundle(bundle, llm=llm, task="Price it", provenance=False))
    return steps[0].tool_result.data


def test_two_bundles_have_modules_of_the_same_names_and_leave_nothing_behind(
    make_bundle, monkeypatch
):
    prices = ModuleType("prices")  # the project has one, too
    monkeypatch.setitem(sys.modules, "prices", prices)
    roots = [make_bundle(name, **helped(name)) for name in ("one", "two")]
    before, places = dict(sys.modules), list(sys.path)
    bundles = [load_skill_bundle(root) for root in roots]
    answers = [ask(bundle, "apple") for bundle in (*bundles, *bundles)]

    assert answers == [{"euro": name, "lazy": name} for name in ("one", "two", "one", "two")]
    assert [bundle.module.LOADED for bundle in bundles] == [["one"] * 2, ["two"] * 2]
    assert sys.path == places
    assert sys.modules["prices"] is prices
    assert {
        name for name in ("shop", "later", "lazy", "shop.stock") if name in sys.modules
    } == set()
    assert all(sys.modules[name] is module for name, module in before.items())
    assert not list(roots[0].rglob("__pycache__"))


def test_a_bundle_cannot_take_the_place_of_python_pytest_or_looplet(make_bundle):
    root = make_bundle(
        json="raise RuntimeError('shadowed')", pytest="raise RuntimeError('shadowed')",
        looplet=GROCER + "\nimport json, pytest, looplet\nassert looplet.__version__",
    )  # fmt: skip
    bundle = load_skill_bundle(root)
    assert bundle.module.json is json
    assert bundle.module.pytest is pytest


def test_bundles_that_work_at_the_same_time_each_have_their_own_modules(make_bundle):
    bundles = [load_skill_bundle(make_bundle(name, **helped(name))) for name in ("one", "two")]
    with ThreadPoolExecutor(4) as pool:
        answers = [*pool.map(lambda bundle: ask(bundle, "apple"), bundles * 10)]
    assert answers == [{"euro": name, "lazy": name} for name in ("one", "two")] * 10
    assert not {"prices", "lazy", "later", "shop"} & set(sys.modules)


def test_the_import_context_leads_names_into_the_bundle_for_a_while(make_bundle):
    bundle = load_skill_bundle(make_bundle(**helped("one")))
    with bundle.import_context():
        import later  # type: ignore[import-not-found]

        sys.path.append("nowhere")
    assert later.WORD == "one"
    assert "nowhere" not in sys.path
    with pytest.raises(ImportError):
        import later


def test_a_bundle_with_dataclasses_and_postponed_annotations_loads(make_bundle):
    code = "from __future__ import annotations\nfrom dataclasses import dataclass, KW_ONLY\n"
    code += "@dataclass\nclass A:\n    _: KW_ONLY\n    x: int = 1\n" + GROCER
    assert load_skill_bundle(make_bundle(looplet=code)).module.A(x=2).x == 2


def test_a_bundle_whose_import_fails_leaves_nothing_behind_and_can_be_mended(make_bundle):
    root = make_bundle(looplet="import prices\nraise RuntimeError('no')", prices="X = 1")
    places = list(sys.path)
    for _ in range(2):
        with pytest.raises(RuntimeError, match="no"):
            load_skill_bundle(root)
    assert "prices" not in sys.modules
    assert sys.path == places
    (root / "looplet.py").write_text(GROCER)
    assert load_skill_bundle(root).card.name == "grocer"


@pytest.mark.parametrize(
    "where", ["../out.py", "/etc/passwd", "a\x00b", "link.py", "loop.py", "x" * 300]
)
def test_no_entrypoint_lies_outside_of_its_folder(make_bundle, where):
    root = make_bundle()
    (root.parent / "out.py").write_text("raise RuntimeError('was run')")
    (root / "link.py").symlink_to(root.parent / "out.py")
    (root / "loop.py").symlink_to("loop.py")
    (root / "SKILL.md").write_text(
        f"---\nname: a\ndescription: b\nentrypoint: {json.dumps(where)}\n---\n"
    )
    with pytest.raises(ValueError, match=r"outside|no file's name|cannot be read"):
        load_skill_bundle(root)
    assert discover_skill_bundles(root.parent) == []


def test_a_missing_file_a_missing_build_and_a_wrong_build_are_told_apart(make_bundle, tmp_path):
    with pytest.raises(EntrypointMissing, match=r"SKILL\.md"):
        load_skill_bundle(tmp_path)
    with pytest.raises(FileNotFoundError, match=r"entrypoint 'agent\.py'"):
        load_skill_bundle(make_bundle("a", front=("entrypoint: agent.py",)))
    with pytest.raises(NoAgent, match="no function build"):
        load_skill_bundle(make_bundle("b", looplet="X = 1"))
    wrong = load_skill_bundle(
        make_bundle("c", looplet="def build(runtime): return {}") / "SKILL.md"
    )
    with pytest.raises(TypeError, match="gave dict"):
        wrong.build_preset()


BROKEN = {
    "SyntaxError": "def",
    "SystemExit: 3": "import sys; sys.exit(3)",
    "ZeroDivisionError": "def build(runtime): 1 / 0",
    "AgentPreset": "def build(runtime): return None",
    "no done tool 'done'": (
        "from looplet import *\ndef build(r): return AgentPreset(tools=tools_from([]))"
    ),
    "two tools are named 'a'": (
        "from looplet import *\ndef a(): ...\n"
        "def build(r): return AgentPreset(tools=tools_from([a, a], include_done=True))"
    ),
    "max_steps is 0": "from looplet import *\ndef build(r): return minimal_preset(max_steps=0)",
    "no registry": "from looplet import *\ndef build(r): return AgentPreset()",
}  # fmt: skip


@pytest.mark.parametrize(("told", "code"), BROKEN.items(), ids=list(BROKEN))
def test_validation_never_raises_and_says_what_is_wrong(make_bundle, told, code):
    found = validate_skill_bundle(make_bundle(looplet=code))
    assert not found.ok
    assert told in found.errors[0]
    assert found.skill_name in (None, "grocer")


def test_a_good_bundle_is_valid_and_a_disagreement_about_steps_is_a_warning(make_bundle):
    root = make_bundle()
    found = validate_skill_bundle(root, SkillRuntime(max_steps=7))
    assert (found.ok, found.errors, found.warnings) == (True, (), ())
    assert isinstance(found.preset, AgentPreset)
    stubborn = make_bundle("b", looplet=GROCER.replace("runtime.max_steps", "3"))
    found = validate_skill_bundle(load_skill_bundle(stubborn))
    assert found.ok
    assert found.warnings == (
        "max_steps disagree: 3 in its config, 20 in its runtime, 3 in its state",
    )
    assert not validate_skill_bundle("/nowhere").ok


def test_a_run_leaves_a_whole_trace_however_it_ends(make_bundle, tmp_path):
    bundle = load_skill_bundle(make_bundle("../../Grocer"[6:], where="g"))
    runtime = SkillRuntime(workspace=tmp_path)
    replies = ['{"tool": "price", "args": {"fruit": "pear"}}'] * 3
    run = run_skill_bundle(bundle, llm=MockLLMBackend(replies), task="Price it", runtime=runtime)
    assert next(run).tool_result.data["euro"] == 0.55
    run.close()

    (trace,) = (tmp_path / ".looplet" / "traces").iterdir()
    trajectory = read_trace(trace)
    assert trajectory.task == {"description": "Price it"}
    assert (trajectory.stop_reason, len(trajectory.steps)) == ("stream_closed", 1)
    assert trace.name.startswith("Grocer-")

    runtime = SkillRuntime(output_dir=tmp_path / "out")
    list(
        run_skill_bundle(
            bundle, llm=MockLLMBackend(replies[:1], cycle=False), task={}, runtime=runtime
        )
    )
    assert read_trace(tmp_path / "out").stop_reason == "llm_error"


@pytest.mark.parametrize(
    "name",
    ["../../x", "/etc", "a/b\\c", "...", "CON\x00", "x" * 400, "𠀀" * 99, "äöü", "\udcff", ""],
)
def test_no_name_leads_out_of_a_directory(name):
    safe = safe_name(name)
    assert Path(safe).name == safe
    assert safe.strip(".") == safe != ""
    assert len(safe.encode()) < 200


def test_a_preset_that_runs_twice_begins_anew():
    preset = minimal_preset(max_steps=2)
    done = '{"tool": "done", "args": {"summary": "x"}}'
    for _ in range(3):
        assert [step.number for step in preset.run(MockLLMBackend([done]))] == [1]
    assert preset.state.steps == []


def test_discovery_runs_nothing_and_one_bad_bundle_hides_no_other(make_bundle):
    boom = "raise SystemExit('was imported')"
    roots = [make_bundle(name, looplet=boom, front=("tags: [a]",)) for name in ("b", "a")]
    skills = roots[0].parent
    (skills / "bad").mkdir()
    (skills / "bad" / "SKILL.md").write_text("---\n")
    make_bundle("plain", looplet=None)

    assert [card.name for card in discover_skill_bundles(skills)] == ["a", "b"]
    cards = discover_skill_bundles(skills, include_invalid=True)
    assert [(card.name, card.ok) for card in cards] == [
        ("a", True), ("b", True), ("bad", False), ("plain", False),
    ]  # fmt: skip
    assert "no such line at its end" in cards[2].errors[0]
    assert "no entrypoint 'looplet.py'" in cards[3].errors[0]
    assert json.loads(json.dumps(cards[0].to_dict())) == {
        "name": "a",
        "description": "Prices fruit.",
        "path": str(roots[1]),
        "entrypoint": "looplet.py",
        "tags": ["a"],
        "metadata": {},
        "ok": True,
        "errors": [],
    }


COUNTED = """
from pathlib import Path
def note(what):
    with Path({file!r}).open("a") as out:
        print(what, file=out)
note("imported")
""" + GROCER.replace("    steps =", "    note('built')\n    steps =")
DONE = '{"tool": "done", "args": {"summary": "x"}}'
NOTED = {
    "discover_skill_bundles": (lambda root: discover_skill_bundles(root.parent), []),
    "load_skill_bundle": (load_skill_bundle, ["imported"]),
    "validate_skill_bundle": (validate_skill_bundle, ["imported", "built"]),
    "blueprint_from_bundle": (blueprint_from_bundle, ["imported", "built"]),
    "export_bundle_to_library_code": (
        lambda root: export_bundle_to_library_code(root, root.parent / "out.py"),
        ["imported", "built"],
    ),
    "run_skill_bundle": (
        lambda root: [
            *run_skill_bundle(root, llm=MockLLMBackend([DONE]), task="x", provenance=False)
        ],
        ["imported", "built"],
    ),
    "list-bundles": (lambda root: main(["list-bundles", str(root.parent)]), []),
    "run": (
        lambda root: main(["run", str(root), "x", "--scripted-response", DONE, "--no-trace"]),
        ["imported", "built"],
    ),
}


@pytest.mark.parametrize("name", NOTED)
def test_a_bundle_is_imported_and_built_as_often_as_it_must_be(make_bundle, tmp_path, name):
    look, noted = NOTED[name]
    file = tmp_path / "noted.txt"
    file.touch()
    look(make_bundle(looplet=COUNTED.replace("{file!r}", repr(str(file)))))
    assert file.read_text().split() == noted


def test_two_bundles_of_one_name_are_refused_unless_one_is_to_win(make_bundle, caplog):
    first, second = make_bundle("a", where="1"), make_bundle("a", where="2")
    with pytest.raises(SkillError, match="two bundles are named 'a'"):
        discover_skill_bundles(first.parent)
    for rule in ("first_wins", "warn"):
        caplog.clear()
        (card,) = discover_skill_bundles(first.parent, on_duplicate=rule)
        assert card.path == str(first)
        assert (str(second) in caplog.text) is (rule == "warn")
    for folder in ("3/a", "4/a"):  # what cannot be loaded is told, and takes no name
        (first.parent / folder).mkdir(parents=True)
        (first.parent / folder / "SKILL.md").write_text("---\n")
    cards = discover_skill_bundles(first.parent, include_invalid=True, on_duplicate="first_wins")
    assert [(card.name, card.ok) for card in cards] == [("a", True), ("a", False), ("a", False)]
    with pytest.raises(ValueError, match="not 'both'"):
        discover_skill_bundles(first.parent, on_duplicate="both")


def test_the_room_loads_without_a_third_party_package():
    code = (
        "import sys, looplet.skills\nfrom looplet.skills import *\n"
        "from looplet import AgentPreset, minimal_preset\nminimal_preset()\n"
        "print([n for n in ('yaml', 'vcr', 'pyarrow', 'pytest') if n in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
