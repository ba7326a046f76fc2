"""Check a built site: every link leads on, and nothing is fetched from elsewhere.

    python scripts/check_site.py build/site

The generator checks what it knows of the pages' sources; this reads what readers get. Each problem
is a line with the page that has it; the exit status is 1 if there are any, 2 if there is no site.
"""

from __future__ import annotations

import argparse
import re
import sys
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

_ADDRESSES = {"a": "href", "link": "href", "script": "src", "img": "src", "iframe": "src"}
"""The attribute that holds an address, for each tag that has one."""
_IN_STYLE = re.compile(r"""(?:url\(|@import)\s*["']?([^"')\s;]+)""")


@dataclass(slots=True)
class Page:
    """What a page names."""

    anchors: set[str] = field(default_factory=set)
    links: list[str] = field(default_factory=list)
    """Where the reader may go."""
    fetched: list[str] = field(default_factory=list)
    """What the browser loads by itself."""


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.page = Page()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self.page.anchors |= {value for key in ("id", "name") if (value := given.get(key))}
        address = given.get(_ADDRESSES.get(tag, ""))
        if address:
            (self.page.links if tag == "a" else self.page.fetched).append(address)
        self.page.fetched += _IN_STYLE.findall(given.get("style") or "")


def read_page(path: Path) -> Page:
    """The anchors and addresses of one page."""
    reader = _Reader()
    reader.feed(path.read_text(encoding="utf-8"))
    return reader.page


def problems_of(site: Path) -> list[str]:
    """Each link that leads nowhere and each address that is fetched from another place."""
    site = site.resolve()
    pages = {path: read_page(path) for path in sorted(site.rglob("*.html"))}
    found = []
    for path, page in pages.items():
        name = path.relative_to(site)
        found += [f"{name}: fetches {each}" for each in page.fetched if _is_elsewhere(each)]
        here = [each for each in page.links + page.fetched if not _is_elsewhere(each)]
        lost = [each for each in here if not _leads(site, path, each, pages)]
        found += [f"{name}: {each} leads nowhere" for each in dict.fromkeys(lost)]
    for style in sorted(site.rglob("*.css")):
        fetched = _IN_STYLE.findall(style.read_text(encoding="utf-8"))
        found += [f"{style.relative_to(site)}: fetches {e}" for e in fetched if _is_elsewhere(e)]
    return found


def _is_elsewhere(address: str) -> bool:
    parts = urlsplit(address)
    return bool(parts.netloc) or parts.scheme in ("http", "https")


def _leads(site: Path, path: Path, address: str, pages: dict[Path, Page]) -> bool:
    parts = urlsplit(address)
    if parts.scheme:  # mailto and data
        return True
    target = path
    if parts.path:
        start = site if parts.path.startswith("/") else path.parent
        target = (start / unquote(parts.path).lstrip("/")).resolve()
    if not target.is_relative_to(site):
        return False
    if target.is_dir():
        target /= "index.html"
    if not target.exists():
        return False
    anchor = unquote(parts.fragment)
    return not anchor or target not in pages or anchor in pages[target].anchors


def main(argv: list[str] | None = None) -> int:
    """Check the site in the given folder."""
    parser = argparse.ArgumentParser(description="Check the links of a built site.")
    parser.add_argument("site", type=Path)
    site = parser.parse_args(argv).site
    if not (site / "index.html").exists():
        print(f"{site} has no index.html; build the site first: make docs", file=sys.stderr)
        return 2
    found = problems_of(site)
    for problem in found:
        print(problem, file=sys.stderr)
    print(f"{len(list(site.rglob('*.html')))} pages, {len(found)} problems")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
