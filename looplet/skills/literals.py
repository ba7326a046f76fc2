"""JSON as Python source, laid out as formatters leave it. Knows nothing of what it writes."""

from __future__ import annotations

import re

from looplet.core.codec import JSON


def literal(value: JSON, indent: int = 0) -> str:
    r"""A Python expression for a JSON value: one entry a line, each with a comma.

    >>> print(literal({"name": "grocer", "tags": [], "steps": [1, None]}))
    {
        "name": "grocer",
        "tags": [],
        "steps": [
            1,
            None,
        ],
    }
    >>> literal('say "it"')
    '\'say "it"\''
    """
    if isinstance(value, str):
        return text_literal(value)
    if not isinstance(value, dict | list) or not value:
        return repr(value)
    pad, close = " " * 4 * (indent + 1), " " * 4 * indent
    if isinstance(value, dict):
        entries = [
            f"{text_literal(key)}: {literal(each, indent + 1)}" for key, each in value.items()
        ]
    else:
        entries = [literal(each, indent + 1) for each in value]
    lines = "".join(f"{pad}{entry},\n" for entry in entries)
    first, last = "{}" if isinstance(value, dict) else "[]"
    return f"{first}\n{lines}{close}{last}"


def text_literal(text: str) -> str:
    """A string in double quotes, unless single ones need fewer escapes."""
    quote = '"' if text.count('"') <= text.count("'") else "'"
    # Of the two quotes, only the one that ends the text is escaped; repr escapes all else.
    marks = re.findall("['\"]", text)
    first, *parts = (repr(part)[1:-1] for part in re.split("['\"]", text))
    for mark, part in zip(marks, parts, strict=True):
        first += (f"\\{mark}" if mark == quote else mark) + part
    return quote + first + quote
