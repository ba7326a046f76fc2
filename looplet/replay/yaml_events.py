"""YAML read and written by PyYAML's events. Knows PyYAML; knows nothing of texts and cassettes.

PyYAML itself makes a graph of nodes between text and values, and that graph costs most of the time
and memory that a long recording takes to load and to save. What is read is what ``yaml.load``
reads, and what is written is what ``yaml.dump`` writes.
"""

from __future__ import annotations

from collections.abc import Callable
from io import StringIO
from typing import Any

from looplet.core.codec import JSON
from looplet.errors import MissingExtra

SHORT = 40
"""Texts of at most so many characters come again: keys, names, numbers."""
MOST = 4096
"""So many short texts are remembered."""
DEEPEST = 1000
"""Levels of nesting that are read; libyaml has the same limit."""

_STR = "tag:yaml.org,2002:str"
_LEFT_OUT = ("tag:yaml.org,2002:merge", "tag:yaml.org,2002:value")

Shown = Callable[[str], tuple[str, str | None]]
"""A text as it is handed to YAML, and the style that it should have, if any."""


def read(text: str) -> JSON:
    """The value of a document. Raises ``ValueError`` with the place if the text is not YAML.

    >>> read("fruits: [pear, 3, '3']")
    {'fruits': ['pear', 3, '3']}
    """
    yaml = _yaml()
    try:
        try:
            return _from_events(text)
        except _Unusual:
            return yaml.load(text, Loader=_loader())
    except (yaml.YAMLError, RecursionError) as error:
        raise ValueError(f"not YAML: {error}") from error


def write(value: JSON, shown: Shown = lambda text: (text, None)) -> str:
    r"""A value as a document, mappings in their own order, nothing wrapped.

    >>> write({"fruits": ["pear", 3, "3"]})
    "fruits:\n- pear\n- 3\n- '3'\n"
    """
    return _Writer(shown).write(value)


class _Unusual(Exception):
    """A document that somebody wrote by hand, with anchors, tags, merged keys or no value."""


def _from_events(text: str) -> JSON:
    events = _yaml().events
    scalar, alias = events.ScalarEvent, events.AliasEvent
    starts = (events.MappingStartEvent, events.SequenceStartEvent)
    mapping_end, sequence_end = events.MappingEndEvent, events.SequenceEndEvent
    plain = _Plain()
    next_event = _loader()(text).get_event
    value: Any
    items: list[Any] = []
    """Of the innermost mapping or sequence; keys and values of a mapping by turns."""
    around: list[list[Any]] = []
    while (event := next_event()) is not None:
        kind = type(event)
        if kind is scalar:
            if event.tag is not None or event.anchor is not None:
                raise _Unusual
            items.append(plain[event.value] if event.implicit[0] else event.value)
        elif kind is mapping_end:
            value, items = _mapping(items), around.pop()
            items.append(value)
        elif kind is sequence_end:
            value, items = items, around.pop()
            items.append(value)
        elif kind in starts:
            if event.tag is not None or event.anchor is not None or len(around) == DEEPEST:
                raise _Unusual
            around.append(items)
            items = []
        elif kind is alias:
            raise _Unusual
    if len(items) != 1:
        raise _Unusual
    return items[0]


def _mapping(items: list[Any]) -> dict[Any, JSON]:
    try:
        return dict(zip(items[::2], items[1::2], strict=True))
    except TypeError:  # a key that is a list or a mapping
        raise _Unusual from None


class _Plain(dict[str, JSON]):
    """What texts without quotes mean: most are texts, the others numbers and the like."""

    def __init__(self) -> None:
        super().__init__()
        self._loader = _loader()("")
        self._node = _yaml().ScalarNode

    def __missing__(self, text: str) -> JSON:
        tag = self._loader.resolve(self._node, text, (True, False))
        if tag in _LEFT_OUT:
            raise _Unusual
        value = text
        if tag != _STR:
            value = self._loader.construct_document(self._node(tag, text))
        if len(text) <= SHORT and len(self) < MOST:
            self[text] = value
        return value


class _Writer:
    """One document on its way to the emitter."""

    def __init__(self, shown: Shown) -> None:
        self._yaml = yaml = _yaml()
        self._out, self._shown = StringIO(), shown
        self._dumper = _dumper()(self._out, allow_unicode=True, width=1 << 30, indent=2)
        self._emit = self._dumper.emit
        self._short: dict[str, Any] = {}
        block = {"implicit": True, "flow_style": False}
        self._mapping = yaml.MappingStartEvent(None, None, **block), yaml.MappingEndEvent()
        self._sequence = yaml.SequenceStartEvent(None, None, **block), yaml.SequenceEndEvent()

    def write(self, value: JSON) -> str:
        yaml, emit = self._yaml, self._emit
        emit(yaml.StreamStartEvent())
        emit(yaml.DocumentStartEvent(explicit=False))
        self._value(value)
        emit(yaml.DocumentEndEvent(explicit=False))
        emit(yaml.StreamEndEvent())
        return self._out.getvalue()

    def _value(self, value: JSON) -> None:
        if isinstance(value, str):
            self._emit(self._short.get(value) or self._text(value))
        elif isinstance(value, dict):
            start, end = self._mapping
            self._emit(start)
            for key, item in value.items():
                self._value(key)
                self._value(item)
            self._emit(end)
        elif isinstance(value, list):
            start, end = self._sequence
            self._emit(start)
            for item in value:
                self._value(item)
            self._emit(end)
        else:
            node = self._dumper.represent_data(value)
            self._emit(self._scalar(node.tag, node.value, None))

    def _text(self, text: str) -> Any:
        event = self._scalar(_STR, *self._shown(text))
        if len(text) <= SHORT and len(self._short) < MOST:
            self._short[text] = event
        return event

    def _scalar(self, tag: str, text: str, style: str | None) -> Any:
        """The event, with what lets the emitter leave the tag out: without quotes, and with."""
        plain = self._dumper.resolve(self._yaml.ScalarNode, text, (True, False)) == tag
        return self._yaml.ScalarEvent(None, tag, (plain, tag == _STR), text, style=style)


def _yaml() -> Any:
    try:
        import yaml
    except ImportError as error:
        raise MissingExtra("pyyaml", needed_for="use_cassette", extra="replay") from error
    return yaml


def _dumper() -> type:
    yaml = _yaml()
    found: type = getattr(yaml, "CSafeDumper", yaml.SafeDumper)
    return found


def _loader() -> type:
    yaml = _yaml()
    found: type = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    return found
