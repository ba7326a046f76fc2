"""Numbers, dates and times in texts and structures, as a reader would tell them. Knows no run.

What counts as one:

- ``1234``, ``1,234.50``, ``-3``, ``.5``, ``1.2e3``: a number. A comma, a thin or no-break space, an
  apostrophe or an underscore before each group of three digits belongs to the number.
- ``€5``, ``-$1,000``, ``EUR5``, ``5 kg``, ``3rd``, ``10ms``: the number, whatever its unit.
- ``5 %`` and ``5 percent``: 5, or 0.05. ``1.2 million``: 1,200,000.
- ``2024-03-01``, ``2024/3/1``, ``March 1, 2024``, ``1 Mar 2024``: a date. ``14:30``: a time.
- ``1.2.3``, ``01/03/2024``: no number; it is compared as it is written.
- Digits of a word, as in ``Q3``, ``v1.5``, ``A17`` or ``3f2a``, are part of a name, and nothing.

With ``decimal=","`` comma and point change parts: ``1.234,50``.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date, time
from decimal import Context, Decimal
from functools import cache
from typing import Literal, TypeAlias

DecimalSign: TypeAlias = Literal[".", ","]
Reading: TypeAlias = tuple[Decimal, Decimal]
"""A number, and one unit of the last digit with which it is written."""

_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_MONTH = (
    "jan(?:uary)?|feb(?:ruary)?|mar(?:ch)?|apr(?:il)?|may|june?|july?|aug(?:ust)?|"
    "sept?(?:ember)?|oct(?:ober)?|nov(?:ember)?|dec(?:ember)?"
)
_POWERS = {"thousand": 3, "million": 6, "billion": 9, "trillion": 12}
_CODES = ("EUR", "USD", "GBP", "CHF", "JPY", "CNY", "INR", "AUD", "CAD")
"""Currencies whose letters may stand directly before the digits."""
_SIGNS = "$€£¥₹"
_SPACES = "\u00a0\u202f\u2009"
_MINUS = "\u2212"
_EXACT = Context(prec=500)
"""As many digits as any number that means an amount; a power of ten loses none of them."""
_NUMBERING = re.compile(r"^[ \t]*\d{1,3}[.)](?=[ \t])", re.MULTILINE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """One number, date or time, and all that it may be read as."""

    text: str
    """As it is written."""
    path: tuple[str, ...] = ()
    """Where it stands in a structure: names and list positions."""
    numbers: tuple[Reading, ...] = ()
    """What it may mean as a number."""
    name: str | None = None
    """What it means otherwise: a date or a time in its ISO form, or the very text."""


def figures_in(
    value: object, *, decimal: DecimalSign = ".", is_answer: bool = False
) -> Iterator[Figure]:
    """Every figure in a value, in texts, in numbers, and in keys that are figures as a whole.

    A text that is a JSON object or list is read as one, and a date tells its year too; not so in an
    answer, where keys are names, and what numbers the lines of a list (``1. Pears``) is nothing.
    Bools, NaN and infinities are no figures.

    >>> [figure.text for figure in figures_in({"note": "2 pears for $1,234.50", "n": 3})]
    ['2', '1,234.50', '3']
    """
    return _Reader(decimal=decimal, is_answer=is_answer).read(value, ())


@dataclass(frozen=True, slots=True, kw_only=True)
class _Reader:
    decimal: DecimalSign
    is_answer: bool

    def read(self, value: object, path: tuple[str, ...]) -> Iterator[Figure]:
        if isinstance(value, str):
            yield from self._text(value, path)
        elif isinstance(value, Mapping):
            for key, item in value.items():
                if not self.is_answer:
                    yield from self._key(str(key), path)
                yield from self.read(item, (*path, str(key)))
        elif isinstance(value, list | tuple | set | frozenset):
            for place, item in enumerate(value):
                yield from self.read(item, (*path, str(place)))
        elif isinstance(value, date):  # a datetime is one too
            yield from self._written(value.isoformat(), path)
        elif isinstance(value, int | float | Decimal) and not isinstance(value, bool):
            yield from _bare(value, path)

    def _key(self, key: str, path: tuple[str, ...]) -> Iterator[Figure]:
        found = _pattern(self.decimal).fullmatch(key)
        if found is not None:
            yield self._figure(found, path)

    def _text(self, text: str, path: tuple[str, ...]) -> Iterator[Figure]:
        if self.is_answer:
            yield from self._written(_NUMBERING.sub("", text), path)
        elif text.lstrip()[:1] in ("{", "["):
            try:
                inside = json.loads(text)
            except (ValueError, RecursionError):
                inside = None
            yield from self._written(text, path) if inside is None else self.read(inside, path)
        else:
            yield from self._written(text, path)

    def _written(self, text: str, path: tuple[str, ...]) -> Iterator[Figure]:
        return (self._figure(found, path) for found in _pattern(self.decimal).finditer(text))

    def _figure(self, found: re.Match[str], path: tuple[str, ...]) -> Figure:
        text = found.group()
        if found["digits"]:
            return Figure(text=text, path=path, numbers=_readings(found, self.decimal))
        if found["time"]:
            return Figure(text=text, path=path, name=_time(text))
        day = _day(found)
        if day is None:
            return Figure(text=text, path=path, name=text)
        year = () if self.is_answer else ((Decimal(day.year), Decimal(1)),)
        return Figure(text=text, path=path, name=day.isoformat(), numbers=year)


def _bare(value: float | Decimal, path: tuple[str, ...]) -> Iterator[Figure]:
    """A number that stands by itself, with the digits with which Python writes it."""
    number = Decimal(float.__repr__(value)) if isinstance(value, float) else Decimal(value)
    if number.is_finite():
        unit = min(_unit(number), Decimal(1))
        yield Figure(text=short(number), path=path, numbers=((number, unit),))


def short(number: Decimal) -> str:
    """A number for messages: its digits, or about how much it is where these are many."""
    text = str(number)
    return text if len(text) <= 30 else f"{number:.6e}"  # noqa: PLR2004 - what a line holds


def _readings(found: re.Match[str], decimal: DecimalSign) -> tuple[Reading, ...]:
    """What a written number may mean."""
    digits = found["digits"]
    kept = re.sub(rf"[^\d{re.escape(decimal)}]", "", digits).replace(decimal, ".")
    sign = "-" if found["sign"] else ""
    number = Decimal(f"{sign}{kept}{found['exponent'] or ''}")
    reading = (number, _unit(number))
    if found["scale"]:
        return (_times(reading, _POWERS[found["scale"].lower()]),)
    return (reading, _times(reading, -2)) if found["percent"] else (reading,)


def _times(reading: Reading, power: int) -> Reading:
    number, unit = reading
    return _EXACT.scaleb(number, power), _EXACT.scaleb(unit, power)


def _unit(number: Decimal) -> Decimal:
    exponent = number.as_tuple().exponent
    return Decimal((0, (1,), exponent)) if isinstance(exponent, int) else Decimal(1)


def _day(found: re.Match[str]) -> date | None:
    """The date that is written, or ``None`` where there is no such day, or none is meant."""
    parts = re.findall(r"\d+|[^\W\d]+", found.group())
    if found["iso"]:
        year, month, day = parts
    elif found["month_first"]:
        month, day, year = parts[0], parts[1], parts[-1]
    elif found["day_first"]:
        day, month, year = parts[0], parts[-2], parts[-1]
    else:
        return None
    number = int(month) if month.isdigit() else _MONTHS.index(month[:3].lower()) + 1
    try:
        return date(int(year), number, int(day))
    except ValueError:
        return None


def _time(text: str) -> str:
    try:
        hour, minute, second = map(int, f"{text}:0".split(":")[:3])
        return time(hour, minute, second).isoformat()
    except ValueError:  # a score, or a ratio
        return text


@cache
def _pattern(decimal: DecimalSign) -> re.Pattern[str]:
    """What finds a figure in a text. No part of it is tried twice on the same digits."""
    point = re.escape(decimal)
    comma = "," if decimal == "." else r"\."
    group = f"[{comma}{_SPACES}'\u2019_]"
    grouped = "" if decimal == "." else r"(?!\d{1,3}(?:\.\d{3})+(?![.\d]))"
    codes = "|".join(rf"\b{code}" for code in _CODES)
    return re.compile(
        rf"""
          (?<![\w.])(?P<iso>\d{{4}}-\d\d-\d\d|\d{{4}}/\d{{1,2}}/\d{{1,2}})(?=T\d|(?![\w/-]))
        | \b(?P<month_first>(?:{_MONTH})\.?[ ]\d{{1,2}}(?:st|nd|rd|th)?,?[ ]\d{{4}})\b
        | (?<![\w.,])(?P<day_first>\d{{1,2}}(?:st|nd|rd|th)?[ ](?:{_MONTH})\.?,?[ ]\d{{4}})\b
        | (?:(?<![\w:.,])|(?<=\dT))(?P<time>\d{{1,2}}:\d\d(?::\d\d)?)(?![\d:])
        | (?<![\w.,])(?P<verbatim>{grouped}\d++(?:\.\d++){{2,}}+|\d++/\d++/\d++)(?![\w/])
        | (?: (?<![\w)\]%-])(?P<sign>[-{_MINUS}])(?:[{_SIGNS}]|(?:{codes})[ ]?)?
            | (?<!\w)(?<!\d{point}) | (?<={codes}) )
          (?P<digits>
              (?:(?<!{comma})\d{{1,3}}(?:{group}\d{{3}})++(?!{group}?\d)|\d++)(?:{point}\d++)?
            | (?<![\w{point}]){point}\d++ )
          (?P<exponent>e[+-]?\d{{1,3}}+)?
          (?!\w*[\d_])(?!{point}\d)
          (?: [ {_SPACES}]?(?P<percent>%|per[ ]?cent\b)
            | [ {_SPACES}](?P<scale>{"|".join(_POWERS)})\b )?
        """,
        re.VERBOSE | re.IGNORECASE,
    )
