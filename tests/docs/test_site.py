"""The site that ``make docs`` builds of the pages, and what checks it."""

from __future__ import annotations

import importlib.util
import re
import shutil
import subprocess
import sys

import pytest
import yaml

from tests.conftest import ROOT
from tests.docs.test_pages import DOCS, LINK, PAGES, prose_of, read

ZENSICAL = ROOT / ".bench" / "docs" / "bin" / "zensical"
LIST = re.compile(r"( *)(?:[-*]|\d+\.) ")
MARKUP = "<p id='here'>x</p>"


def pages_of(nav):
    """The pages that a table of contents names, in order."""
    for entry in nav:
        for title, place in entry.items():
            yield from pages_of(place) if isinstance(place, list) else [(title, f"docs/{place}")]


def test_the_table_of_contents_names_every_page_once():
    nav = yaml.load((ROOT / "mkdocs.yml").read_text("utf-8"), yaml.BaseLoader)["nav"]
    named = [place for _, place in pages_of(nav)]
    assert sorted(named) == PAGES


@pytest.mark.parametrize("page", PAGES)
def test_a_pages_links_stay_among_the_pages(page):
    """The site is made of the pages alone, and a link out of them would lead nowhere in it."""
    links = [link for link, _ in LINK.findall(prose_of(read(page))) if "://" not in link]
    outside = [
        link for link in links if not ((ROOT / page).parent / link).resolve().is_relative_to(DOCS)
    ]
    assert outside == []


@pytest.mark.parametrize("page", PAGES)
def test_the_site_takes_the_pages_lists_for_lists(page):
    """Where GitHub forgives: a list needs a line before it, and four spaces for one within it."""
    wrong = []
    before = ""
    for line in prose_of(read(page)).splitlines():
        found = LIST.match(line)
        begins = found and before.strip() and not (LIST.match(before) or before.startswith(" "))
        if begins or (found and len(found[1]) % 4):
            wrong.append(line)
        before = line
    assert wrong == []


@pytest.mark.parametrize("page", PAGES)
def test_no_backslash_is_shown_in_a_cell(page):
    """GitHub takes it away before a bar in code, the site does not; ``&#124;`` serves both."""
    assert [
        line for line in read(page).splitlines() if line.startswith("|") and r"\|" in line
    ] == []


@pytest.fixture
def script(monkeypatch):
    place = ROOT / "scripts" / "check_site.py"
    spec = importlib.util.spec_from_file_location("check_site", place)
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "check_site", module)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def site(tmp_path):
    """A folder for a site; a page stands outside of it, where no link may lead."""
    (tmp_path / "outside.html").write_text(MARKUP, encoding="utf-8")
    folder = tmp_path / "site"
    (folder / "parts").mkdir(parents=True)
    return folder


@pytest.fixture
def check(script, site):
    """The problems of a site of one page, and another in a folder."""

    def check(markup, style="", other=MARKUP):
        (site / "index.html").write_text(markup, encoding="utf-8")
        (site / "parts" / "other.html").write_text(other, encoding="utf-8")
        (site / "parts" / "style.css").write_text(style, encoding="utf-8")
        return script.problems_of(site)

    return check


@pytest.mark.parametrize(
    "address",
    [
        "parts/other.html",
        "parts/other.html#here",
        "/parts/other.html",
        "./index.html?q=1",
        "parts/style.css#any",
        "mailto:a@example.org",
        "https://example.org/nowhere",
        "#",
    ],
)
def test_links_that_lead_on_are_no_problem(check, address):
    assert check(f'<a href="{address}">x</a>') == []


@pytest.mark.parametrize(
    "address",
    ["other.html", "parts/other.html#there", "#here", "/other.html", "../outside.html", "parts"],
)
def test_a_link_that_leads_nowhere_is_named_with_its_page(check, address):
    assert check(f'<a href="{address}">x</a>') == [f"index.html: {address} leads nowhere"]


def test_an_address_from_the_root_begins_at_the_site(check):
    assert check("", other='<a href="/index.html">x</a><a href="../index.html">x</a>') == []
    problems = check("", other='<a href="index.html">x</a>')
    assert problems == ["parts/other.html: index.html leads nowhere"]


@pytest.mark.parametrize(
    "markup",
    [
        '<script src="https://example.org/x"></script>',
        '<link rel="stylesheet" href="//example.org/x">',
        '<img src="http://example.org/x">',
        "<p style=\"background: url('https://example.org/x')\">",
    ],
)
def test_what_is_fetched_from_elsewhere_is_a_problem(check, markup):
    (problem,) = check(markup)
    assert problem.startswith("index.html: fetches ")
    assert problem.endswith("//example.org/x")


def test_what_a_style_fetches_from_elsewhere_is_a_problem(check):
    (problem,) = check("", style='@import "https://example.org/x.css";')
    assert problem == "parts/style.css: fetches https://example.org/x.css"
    assert check("", style="p { background: url(data:image/png;base64,AA) }") == []


def test_the_exit_status_says_what_was_found(script, check, site, capsys):
    check("")
    assert script.main([str(site)]) == 0
    check('<a href="nowhere.html">x</a>')
    assert script.main([str(site)]) == 1
    assert "nowhere.html leads nowhere" in capsys.readouterr().err
    assert script.main([str(site / "parts")]) == 2


@pytest.mark.site
@pytest.mark.timeout(500)
def test_the_site_is_built_strictly_and_every_link_of_it_leads_on():
    done = subprocess.run(
        ["make", "docs"], cwd=ROOT, capture_output=True, text=True, check=False, timeout=400
    )
    assert done.returncode == 0, done.stdout + done.stderr
    site = ROOT / "build" / "site"
    built = {path.relative_to(site).with_suffix(".md").as_posix() for path in site.rglob("*.html")}
    assert {f"docs/{name}" for name in built - {"404.md", "index.md"}} == {*PAGES} - {
        "docs/README.md"
    }
    reference = (site / "reference" / "loop.html").read_text("utf-8")
    assert 'id="looplet.composable_loop"' in reference
    assert "<blockquote>" not in reference  # a doctest is code
    assert "Generator" in reference  # a signature has its types


@pytest.mark.site
@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("[x](nowhere.md)", "does not exist"),
        ("[x](tutorial.md#nowhere)", "does not exist"),
        ("::: looplet.composable_lop", "Could not collect"),
    ],
)
def test_a_page_that_promises_what_is_not_there_fails_the_build(tmp_path, text, word):
    if not ZENSICAL.exists():
        pytest.skip("make docs installs what builds the site")
    for name in ("docs", "scripts", "looplet"):
        shutil.copytree(ROOT / name, tmp_path / name)
    shutil.copy(ROOT / "mkdocs.yml", tmp_path)
    page = tmp_path / "docs" / "recordings.md"
    page.write_text(f"{page.read_text('utf-8')}\n{text}\n", encoding="utf-8")
    done = subprocess.run(
        [ZENSICAL, "build", "--strict"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode != 0
    assert word in done.stdout + done.stderr
