"""SKILL.md: what it may hold, and what it says when it cannot be read."""

from __future__ import annotations

import os
import string
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from looplet import (
    BaseToolRegistry,
    MockLLMBackend,
    StaticMemorySource,
    composable_loop,
    tools_from,
)
from looplet.errors import SkillError, SkillMissing
from looplet.skills import (
    FileSkillStore,
    Skill,
    SkillActivationHook,
    SkillManager,
    discover_skill_bundles,
    install_skills,
    make_skill_tools,
)
from tests.bundles import skill_text

WHOLE = """---
name: "pdf: tools"   # a comment
description: >-
  Reads PDF files
  and fills forms.
tags:
  - documents
  - 'forms'
license: |
  MIT
  or so
version: 1.10
enabled: yes
since: 2024-01-01
note:
allowed-tools: [Read, "Write"]
summary: one line
  and another
---

# Title
---
The rest.
"""


@pytest.mark.parametrize("text", [WHOLE, WHOLE.replace("\n", "\r\n"), "\ufeff" + WHOLE])
def test_every_form_of_value_comes_as_it_was_typed(text):
    skill = Skill.from_markdown(text)

    assert skill.name == "pdf: tools"
    assert skill.description == "Reads PDF files and fills forms."
    assert skill.tags == ["documents", "forms"]
    assert skill.metadata == {
        "license": "MIT\nor so\n",
        "version": "1.10",
        "enabled": "yes",
        "since": "2024-01-01",
        "note": "",
        "allowed-tools": ["Read", "Write"],
        "summary": "one line and another",
    }
    assert skill.instructions == "# Title\n---\nThe rest."


def test_a_colon_in_a_plain_value_is_part_of_it():
    text = skill_text("fruit", "when: use it if: it's asked", "path: C:\\fruit", "time: 10:30")
    assert Skill.from_markdown(text).metadata == {
        "when": "use it if: it's asked",
        "path": "C:\\fruit",
        "time": "10:30",
    }


def test_the_folder_gives_the_name_that_is_missing(tmp_path):
    path = tmp_path / "fruit" / "SKILL.md"
    text = "---\ndescription: Prices.\n---\n"
    assert Skill.from_markdown(text, source_path=path).name == "fruit"
    assert Skill.from_markdown(text, source_path=path, default_name="other").name == "other"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("Only text.", "needs a name"),
        ("---\nname: a\n---\n", "needs a description"),
        ("---\nname:\ndescription: b\n---\n", "needs a name"),
        ("---\nname: [a]\ndescription: b\n---\n", "name is a text"),
        ("---\nname: a\ndescription: b\ntags: {a: b}\n---\n", "tags are a list of words"),
        ("---\nname: a\ndescription: b\n", "no such line at its end"),
        ("---\n- a\n---\n", "no list of `key: value`"),
        ("---\nname: a\ndescription: b\nx: [a\n---\n", "cannot be read: line"),
        ("---\nname: a\ndescription: &b c\nx: *b\n---\n", "alias"),
        ("---\nname: a\ndescription: b\nname: c\n---\n", "'name' twice, again in line 4"),
        ("---\nname: a\ndescription: b\nx: [{y: 1, y: 2}]\n---\n", "'y' twice"),
        ("---\nname: a\ndescription: b\nx: |\n" + "  y\n" * 40_000 + "---\n", "move text below"),
        ("---\nname: a\ndescription: b\n[a, b]: c\n---\n", "cannot be read|no text"),
        ("---\nname: a\ndescription: b\nx: " + "[" * 5000 + "\n---\n", "more than 50 levels deep"),
    ],
)
def test_what_cannot_be_a_skill_is_a_value_error_that_says_why(text, told):
    with pytest.raises(ValueError, match=told):
        Skill.from_markdown(text)


@given(st.text(alphabet=st.characters(codec="utf-8")) | st.text(string.printable + "-:\n&*[]{}#|>"))
def test_no_text_is_worse_than_a_value_error(text):
    for each in (text, f"---\n{text}\n---\n", f"---\nname: a\ndescription: b\n{text}\n---\n"):
        try:
            skill = Skill.from_markdown(each, default_name="a")
        except SkillError:
            continue
        assert skill.name
        assert skill.description


WORDS = st.text(string.ascii_letters + "äß_- .:#'\"[]{}&*!|>%@`,?", min_size=1)
VALUES = st.recursive(
    WORDS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORDS, inner, max_size=3),
    max_leaves=6,
)


@given(st.dictionaries(WORDS.filter(lambda key: key not in ("name", "tags")), VALUES, max_size=4))
def test_metadata_written_by_yaml_are_read_as_they_were(metadata):
    metadata.pop("description", None)
    front = yaml.safe_dump({"name": "a", "description": "b", **metadata}, allow_unicode=True)
    assert Skill.from_markdown(f"---\n{front}---\n").metadata == metadata


def price(fruit: str) -> dict:
    return {"euro": 0.4}


def test_a_skill_registers_its_tools():
    registry = BaseToolRegistry()
    skill = Skill("fruit", tools=[price], description="Prices.", tags=["shop"])

    assert skill.register(registry) == 1
    assert registry.tool_names == skill.tool_names() == ["price"]
    assert skill.as_catalog_entry() == "fruit: Prices. [shop]"
    assert skill.card().to_dict() == {
        "name": "fruit",
        "description": "Prices.",
        "path": None,
        "tags": ["shop"],
        "metadata": {},
    }


def write(folder, name, *lines, body=""):
    folder.mkdir(parents=True)
    (folder / "SKILL.md").write_text(skill_text(name, *lines, body=body))


def test_one_bad_skill_does_not_hide_the_others(tmp_path, caplog):
    write(tmp_path / "b", "beta")
    write(tmp_path / "deep" / "er" / "a", "alpha")
    write(tmp_path / ".hidden" / "c", "gamma")
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / "SKILL.md").write_bytes(b"\xff\xfe---")
    store = FileSkillStore(tmp_path)

    assert [card.name for card in store.list()] == ["alpha", "beta"]
    assert list(store.errors) == [str(tmp_path / "bad" / "SKILL.md")]
    assert "bad" in caplog.text
    (tmp_path / "bad" / "SKILL.md").write_text(skill_text("good"))
    assert len(store.list()) == 2
    store.refresh()
    assert [card.name for card in store.list()] == ["alpha", "beta", "good"]
    assert store.errors == {}


def test_files_that_are_none_hide_no_other(tmp_path):
    write(tmp_path / "good", "good", body="word " * 2_000_000)
    for name in ("loop", "pipe", "gone", "device", "folder"):
        (tmp_path / name).mkdir()
    (tmp_path / "loop" / "SKILL.md").symlink_to("SKILL.md")
    os.mkfifo(tmp_path / "pipe" / "SKILL.md")
    (tmp_path / "gone" / "SKILL.md").symlink_to("nothing")
    (tmp_path / "device" / "SKILL.md").symlink_to("/dev/zero")
    (tmp_path / "folder" / "SKILL.md").mkdir()
    store = FileSkillStore(tmp_path)

    assert [card.name for card in store.list()] == ["good"]
    assert [Path(path).parent.name for path in store.errors] == ["device", "gone", "loop", "pipe"]
    cards = discover_skill_bundles(tmp_path, include_invalid=True)
    assert [(card.name, card.ok) for card in cards] == [
        (name, False) for name in ("device", "gone", "good", "loop", "pipe")
    ]


def test_a_folder_that_cannot_be_looked_into_is_told(tmp_path, caplog):
    write(tmp_path / "closed", "a")
    write(tmp_path / "open", "b")
    (tmp_path / "closed").chmod(0)
    try:
        if os.access(tmp_path / "closed", os.R_OK):
            pytest.skip("nothing is closed to this user")
        assert [card.name for card in FileSkillStore(tmp_path).list()] == ["b"]
    finally:
        (tmp_path / "closed").chmod(0o700)
    assert str(tmp_path / "closed") in caplog.text


def test_two_skills_of_one_name_are_refused_and_an_unknown_one_names_the_nearest(tmp_path):
    write(tmp_path / "a", "fruit")
    with pytest.raises(SkillMissing, match="did you mean 'fruit'"):
        FileSkillStore(tmp_path).load("friut")
    with pytest.raises(KeyError):
        FileSkillStore(tmp_path).load("nothing")
    write(tmp_path / "b", "fruit")
    with pytest.raises(ValueError, match=r"a.SKILL\.md and .*b.SKILL\.md"):
        FileSkillStore(tmp_path).list()
    with pytest.raises(ValueError, match="no folder"):
        FileSkillStore(tmp_path / "none").list()


def test_a_search_counts_a_name_more_than_a_tag_more_than_a_description_more_than_a_body(tmp_path):
    for name, lines, body in (
        ("exact", (), ""),
        ("not-exact", (), ""),
        ("tagged", ("tags: exact",), ""),
        ("described", (), ""),
        ("told", (), "An exact thing."),
        ("other", (), "Nothing."),
    ):
        write(tmp_path / name, name, *lines, body=body)
    path = tmp_path / "described" / "SKILL.md"
    path.write_text(path.read_text().replace("Prices fruit.", "An exact one."))
    store = FileSkillStore(tmp_path)

    found = [card.name for card in store.search("EXACT!", limit=9)]
    assert found == ["exact", "not-exact", "tagged", "described", "told"]
    assert [card.name for card in store.search("exact", limit=2)] == found[:2]
    assert store.search("exact", limit=0) == store.search("") == []


def test_a_model_finds_a_skill_takes_it_up_and_reads_it_in_the_next_prompt(tmp_path):
    write(tmp_path / "fruit", "fruit", body="Prices are in {euro}.")
    manager = SkillManager(FileSkillStore(tmp_path))
    both = make_skill_tools(manager)
    assert [(spec.name, spec.free) for spec in both] == [
        ("search_skills", True), ("activate_skill", True),
    ]  # fmt: skip
    tools = tools_from(both, include_done=True)
    llm = MockLLMBackend(
        [
            '{"tool": "search_skills", "args": {"query": "fruit"}}',
            '{"tool": "activate_skill", "args": {"name": "friut"}}',
            '{"tool": "activate_skill", "args": {"name": "fruit"}}',
            '{"tool": "done", "args": {"summary": "ripe"}}',
        ]
    )
    steps, told = [], []
    for step in composable_loop(llm, "Rest", tools, hooks=[SkillActivationHook(manager)]):
        steps.append(step)
        told.append("Prices are in {euro}." in llm.last_prompt)

    assert steps[0].tool_result.data["skills"][0]["name"] == "fruit"
    assert "did you mean 'fruit'" in steps[1].tool_result.error
    assert steps[2].tool_result.data == {
        "activated": "fruit",
        "description": "Prices fruit.",
        "active_skills": ["fruit"],
    }
    assert told == [False] * 3 + [True]
    assert [skill.name for skill in manager.active_skills()] == manager.active_names == ["fruit"]


def test_skills_that_are_there_from_the_start_join_prompt_tools_and_memory():
    registry, source = BaseToolRegistry(), StaticMemorySource("base")
    skills = [
        Skill("a", tools=[price], instructions="Be brief.", memory="All in euro."),
        Skill("b", instructions="Be kind."),
    ]
    prompt, memory = install_skills(
        skills, registry, base_system_prompt="Help.", base_memory_sources=[source]
    )
    assert prompt == "Help.\n\nBe brief.\n\nBe kind."
    assert [each.load(None) for each in memory] == ["base", "All in euro."]
    assert registry.tool_names == ["price"]
