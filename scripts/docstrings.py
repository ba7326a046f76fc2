"""Docstrings as Markdown, for the reference pages. Knows griffe; knows no page.

A doctest becomes a code block, and so does what stands indented after ``::``.
"""

from __future__ import annotations

import re
import textwrap
from typing import Any

import griffe

_DOCTEST = re.compile(r"(?m)^>>> .*\n(?:(?!\s*$).*\n)*")
_LITERAL = re.compile(r"(?m)^(.*)::\n\n((?:(?: {4}.*)?\n)+)")


def as_markdown(docstring: str) -> str:
    """The docstring with its examples and drawings fenced."""
    text = _LITERAL.sub(_drawing, f"{docstring}\n")
    return _DOCTEST.sub(lambda found: f"\n```pycon\n{found[0]}```\n", text)


def _drawing(found: re.Match[str]) -> str:
    before = f"{found[1]}:\n\n" if found[1].strip() else ""
    return f"{before}```text\n{textwrap.dedent(found[2]).rstrip()}\n```\n\n"


class Docstrings(griffe.Extension):
    """Rewrites each docstring as it is loaded."""

    def on_instance(self, *, obj: griffe.Object, **_: Any) -> None:
        """Called by griffe for each module, class, function and attribute."""
        if obj.docstring is not None:
            obj.docstring.value = as_markdown(obj.docstring.value)
