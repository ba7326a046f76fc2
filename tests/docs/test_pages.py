"""Every page under ``docs/``: its snippets run, its outputs are right, its links lead on."""

from __future__ import annotations

import re
import shutil

import pytest

from tests.conftest import ROOT
from tests.docs import fruit_model
from tests.pages import RUN, blocks_of, run_page

DOCS = ROOT / "docs"
PAGES = sorted(path.relative_to(ROOT).as_posix() for path in DOCS.rglob("*.md"))
NOT_RUN = {
    (
        "docs/judges.md",
        (
            "pytest evals/ --looplet-store runs --looplet-judge judges.py:make "
            "--looplet-judge-cassettes judged   # asks, and records"
        ),
    ): "a form; test_plugin_given.py runs it",
    (
        "docs/quickstart.md",
        'pip install "looplet[openai]"  # or looplet[anthropic], looplet[mcp], looplet[all]',
    ): "needs a package index; make test-install does so",
    ("docs/recordings.md", "make record"): "installs a model and records for minutes",
}
"""Blocks that are marked ``{.no-run}``: page and first line, and why."""
CHECKOUT = {"docs/examples.md": ("fixtures", "looplet")}
"""Pages whose commands are those of a checkout, and the folders of it that they use and change."""
WRITTEN = "docs/cli.md"
"""Its blocks that are not run are the commands' examples, which `tests/cli/test_help.py` parses."""
UNLABELLED = ["docs/architecture.md"]
"""The pages of blocks without a language: a drawing."""
PACKAGES = ("pyarrow", "scipy", "mcp", "openai", "anthropic", "genai_prices", "opentelemetry.sdk")
WIDTH = 100
LINK = re.compile(r"\]\(([^)#\s]*)(#[^)]*)?\)")


def read(page):
    return (ROOT / page).read_text("utf-8")


@pytest.mark.parametrize("page", PAGES)
def test_the_page_does_what_it_says(page, server, tmp_path, monkeypatch):
    for package in PACKAGES:
        pytest.importorskip(package, reason=f"the pages need {package}")
    server.answer = fruit_model.answer
    environment = {
        "OPENAI_BASE_URL": server.url,
        "OPENAI_API_KEY": "not-checked-locally",
        "OPENAI_MODEL": "m",
        "ANTHROPIC_BASE_URL": server.root,
        "ANTHROPIC_API_KEY": "not-checked-locally",
        "ANTHROPIC_MODEL": "m",
        "COLUMNS": "100",
        "NO_COLOR": "1",
    }
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    folder = tmp_path / "page"
    folder.mkdir()
    if page in CHECKOUT:
        monkeypatch.setenv("PYTHONPATH", str(folder))
    for each in CHECKOUT.get(page, ()):
        shutil.copytree(ROOT / each, folder / each, ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.chdir(folder)
    monkeypatch.syspath_prepend(str(folder))
    run_page(read(page), name=str(ROOT / page), folder=folder, environment=environment)


def test_what_is_not_run_is_listed_with_its_reason():
    found = {
        (page, block.head)
        for page in PAGES
        for block in blocks_of(read(page))
        if block.language in RUN and not block.is_run and page != WRITTEN
    }
    assert found == set(NOT_RUN)


def test_every_block_says_what_it_is():
    found = [page for page in PAGES for block in blocks_of(read(page)) if not block.language]
    assert found == UNLABELLED


@pytest.mark.parametrize("page", PAGES)
def test_the_pages_code_is_as_wide_as_ours(page):
    blocks = (block for block in blocks_of(read(page)) if block.language == "python")
    wide = [line for block in blocks for line in block.text.splitlines() if len(line) > WIDTH]
    assert wide == []


@pytest.mark.parametrize("page", PAGES)
def test_the_pages_links_lead_somewhere(page):
    place = ROOT / page
    missing = []
    for link, anchor in LINK.findall(prose_of(read(page))):
        target = place.parent / link if link else place
        if "://" in link:
            continue
        if not target.exists() or (anchor and anchor[1:] not in anchors_of(target)):
            missing.append(link + anchor)
    assert missing == []


def prose_of(page):
    return re.sub(r"`[^`\n]*`", "", re.sub(r"(?s)```.*?\n```", "", page))


def anchors_of(page):
    """What a heading is called in a link, as GitHub does it."""
    headings = re.findall(r"(?m)^#+ (.*)$", re.sub(r"(?s)```.*?\n```", "", page.read_text("utf-8")))
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_the_map_names_every_page():
    linked = {link for link, _ in LINK.findall(read("docs/README.md"))}
    assert {f"docs/{link}" for link in linked} >= set(PAGES) - {"docs/README.md"}
