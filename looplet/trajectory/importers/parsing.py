"""JSON text, value by value: arrays, objects and lines, as far as they can be read.

A file that breaks off, or is damaged somewhere, gives what stands before that place, and says
where it is. Knows text; knows no file and no format.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TypeAlias

from looplet.core.codec import JSON
from looplet.trajectory.importers.nodes import Node
from looplet.trajectory.importers.problems import Malformed

DEEPEST = 200
"""Lists and objects within each other that a value may have; no format comes near it."""
PEEKED = 5
"""How many elements or lines a format is shown to tell whether they are its own."""
Report: TypeAlias = Callable[[Malformed], None]
_DECODER = json.JSONDecoder()
_SPACE = re.compile(r"[ \t\r\n]*")
_TOO_DEEP = f"lists and objects are nested more than {DEEPEST} deep"
_NESTED = (dict, list)


@dataclass(slots=True, kw_only=True)
class Outline:
    """What a text is like, for a format to recognise: enough of it, not all of it."""

    kind: str = "other"
    """``object``, ``array``, ``lines`` (objects one after another), or ``other``."""
    members: dict[str, JSON] = field(default_factory=dict)
    """Of an object: those before the place where the text is broken, if it is."""
    elements: list[JSON] = field(default_factory=list)
    """The first few elements of an array, or values of lines."""
    broken: Malformed | None = None
    """Where and how the text that was looked at is not JSON."""
    cut: tuple[str, int] | None = None
    """Of an object whose last member is broken: its name, and where its value begins."""

    @property
    def first(self) -> dict[str, JSON]:
        """The object itself, or the first object among elements or lines; empty without one."""
        if self.kind == "object":
            return self.members
        return next((each for each in self.elements if isinstance(each, dict)), {})


def outline_of(text: str) -> Outline:
    r"""What a text is like; never raises.

    >>> outline_of('[{"a": 1}, {"b"').elements, outline_of('{"a": 1}\n{"a": 2}\n').kind
    ([{'a': 1}], 'lines')
    """
    outline = Outline()

    def note(error: Malformed) -> None:
        outline.broken = error

    cursor = _Cursor(text)
    if cursor.at("["):
        outline.kind = "array"
        outline.elements = _peek(elements(text, note))
    elif cursor.at("{"):
        outline.kind = "object"
        outline.members.update((key, node.value) for key, node in _members(cursor, note))
        outline.cut = cursor.cut
        whole_object = outline.broken is None
        if (whole_object and not cursor.at("")) or (
            not whole_object and _is_record_next(text, text.find("\n") + 1)
        ):
            outline = Outline(kind="lines")
            outline.elements = _peek(lines(text, note))
    return outline


def elements(text: str, report: Report, *, start: int = 0, whose: str = "$") -> Iterator[Node]:
    """The elements of the array that a text is, up to where it is broken.

    ``start`` and ``whose`` are place and name of an array inside of another value.
    """
    cursor, index = _Cursor(text, start=start), 0
    try:
        cursor.take("[", whose)
        more = not cursor.passes("]")
        while more:
            where = f"{whose}[{index}]"
            yield Node(cursor.value(where), where)
            index += 1
            more = cursor.goes_on("]", where)
        if not start:
            cursor.finish(whose)
    except Malformed as error:
        report(error)


def members(text: str, report: Report) -> Iterator[tuple[str, Node]]:
    """The members of the object that a text is, up to where it is broken."""
    cursor = _Cursor(text)
    yield from _members(cursor, report)
    if not cursor.at(""):
        report(Malformed("$", cursor.told("there is more after its end")))


def whole(text: str, where: str = "$") -> JSON:
    """The one value that a text is. Raises `Malformed` if it is broken."""
    cursor = _Cursor(text)
    value = cursor.value(where)
    cursor.finish(where)
    return value


def lines(text: str, report: Report) -> Iterator[Node]:
    """Values one a line; a line that is broken is told and passed.

    Where already the first line is none, and no record follows it on a line, the values stand one
    after another over several lines, and are read up to where they are broken.
    """
    start, number, whole_lines = 0, 0, False
    while start < len(text):
        end = text.find("\n", start) + 1 or len(text)
        line, number = text[start:end], number + 1
        start = end
        if not line.strip():
            continue
        where = f"line {number}"
        try:
            cursor = _Cursor(line, line=number)
            node = Node(cursor.value(where), where)
            cursor.finish(where)
        except Malformed as error:
            if not whole_lines and not _is_record_next(text, start):
                yield from _one_after_another(text, report)
                return
            report(error)
        else:
            whole_lines = True
            yield node


def _is_record_next(text: str, start: int) -> bool:
    """Whether the first line from a place on that is not blank is an object, and nothing else."""
    while 0 < start < len(text):
        end = text.find("\n", start) + 1 or len(text)
        line, start = text[start:end], end
        if line.strip():
            cursor = _Cursor(line)
            try:
                cursor.value("")
                cursor.finish("")
            except Malformed:
                return False
            return line.startswith("{")
    return False


def _one_after_another(text: str, report: Report) -> Iterator[Node]:
    cursor = _Cursor(text)
    try:
        while not cursor.at(""):
            where = f"line {cursor.line()}"
            yield Node(cursor.value(where), where)
    except Malformed as error:
        report(error)


def _members(cursor: _Cursor, report: Report) -> Iterator[tuple[str, Node]]:
    where = "$"
    try:
        cursor.take("{", where)
        more = not cursor.passes("}")
        while more:
            key = cursor.value(where)
            if not isinstance(key, str):
                report(Malformed(where, cursor.told("a member's name is not a text")))
                return
            cursor.take(":", where)
            where, cursor.cut = f"$.{key}", (key, cursor.place)
            yield key, Node(cursor.value(where), where)
            cursor.cut = None
            more = cursor.goes_on("}", where)
    except Malformed as error:
        report(error)


def _peek(nodes: Iterator[Node]) -> list[JSON]:
    return [node.value for node, _ in zip(nodes, range(PEEKED), strict=False)]


def is_deep(value: JSON) -> bool:
    """Whether lists and objects in a value are nested so deep that it cannot be stored whole."""
    level, depth = [value], 0
    while level and depth <= DEEPEST:
        level = [
            item
            for each in level
            if type(each) in _NESTED
            for item in (each.values() if type(each) is dict else each)
            if type(item) in _NESTED
        ]
        depth += 1
    return depth > DEEPEST


class _Cursor:
    """A place in a text of JSON."""

    def __init__(self, text: str, *, line: int = 1, start: int = 0) -> None:
        self.cut: tuple[str, int] | None = None
        """The member of an object that is being read: its name, and where its value begins."""
        self._text = text
        self._place = start
        self._first, self._line, self._counted = line, line, 0

    @property
    def place(self) -> int:
        """How many characters are passed."""
        return self._place

    def at(self, mark: str) -> bool:
        """Whether this mark comes next; an empty one is the end of the text."""
        self._skip()
        if not mark:
            return self._place == len(self._text)
        return self._text.startswith(mark, self._place)

    def passes(self, mark: str) -> bool:
        """Whether this mark came next; then it is passed."""
        found = self.at(mark)
        if found:
            self._place += len(mark)
        return found

    def take(self, mark: str, where: str) -> None:
        """Pass a mark that must come next."""
        if not self.passes(mark):
            ends = "the text ends" if self.at("") else "it is not JSON"
            raise Malformed(where, self.told(f"{ends} where {mark!r} is missing"))

    def goes_on(self, end: str, where: str) -> bool:
        """Whether a comma comes next, and not the end of the list or object."""
        if self.passes(end):
            return False
        self.take(",", where)
        return True

    def value(self, where: str) -> JSON:
        """Pass a value."""
        self._skip()
        try:
            value, end = _DECODER.raw_decode(self._text, self._place)
        except json.JSONDecodeError as error:
            spot = f"line {self._first - 1 + error.lineno}, column {error.colno}"
            raise Malformed(where, f"it is not JSON: {error.msg} ({spot})") from None
        except RecursionError:
            raise Malformed(where, self.told(_TOO_DEEP)) from None
        except ValueError as error:  # an integer of more digits than Python converts
            raise Malformed(where, self.told(str(error).partition(";")[0])) from None
        if is_deep(value):
            raise Malformed(where, self.told(_TOO_DEEP))
        self._place = end
        return value

    def finish(self, where: str) -> None:
        """See that the text ends here."""
        if not self.at(""):
            raise Malformed(where, self.told("there is more after its end"))

    def told(self, message: str) -> str:
        """A message with line and column."""
        column = self._place - (self._text.rfind("\n", 0, self._place) + 1) + 1
        return f"{message} (line {self.line()}, column {column})"

    def line(self) -> int:
        """The line of the place, from 1; each line end is counted once."""
        self._line += self._text.count("\n", self._counted, self._place)
        self._counted = max(self._counted, self._place)
        return self._line

    def _skip(self) -> None:
        found = _SPACE.match(self._text, self._place)
        self._place = found.end() if found else self._place
