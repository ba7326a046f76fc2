"""The redactor a user makes: secrets found, and placeholders handed out."""

from __future__ import annotations

import re
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from copy import copy
from typing import Any, TypeAlias

from looplet.core.codec import TAG, fast_encoder
from looplet.errors import RedactionError
from looplet.redaction.given import (
    SHORTEST_OF_ENVIRONMENT,
    named_secrets,
    secret_variables,
    secrets_of_environment,
    shapes_of,
)
from looplet.redaction.placeholders import NUMBERED, PLACEHOLDER, START, inside, merged, replaced
from looplet.redaction.shapes import SHAPES, Shape, Span, forms_of
from looplet.redaction.signs import Signs
from looplet.redaction.structures import redact_strings

Given: TypeAlias = "Redactor | Callable[[str], str] | Mapping[str, str] | Iterable[str] | bool"
"""What ``Redactor.of`` takes beside ``None``."""

LONG_TEXT = 500
"""Texts of at least so many characters are remembered, since prompts repeat their history."""
MOST_REMEMBERED = 4_000_000
"""Characters of all the texts that are remembered."""


class Redactor:
    """Replaces secrets by placeholders, the same one for the same secret.

    ``secrets`` are texts, or a mapping of names to texts; ``env`` names environment variables
    whose present values are secrets. They are found as they are and in the escapes of JSON and
    URLs and in base64. ``patterns`` are regular expressions, or a mapping of kinds to them; of one
    with a group called ``secret`` only that is replaced. ``function`` takes a text and gives
    one, after all others. ``defaults`` adds environment variables named like secrets
    (``…API_KEY``, ``…TOKEN``, ``…SECRET``, ``…PASSWORD`` and the like) that hold 8 characters or
    more, and keys of known looks (``SHAPES``).

    A secret with a name becomes ``[REDACTED:name]``. Others are numbered by kind as they are first
    seen, ``[REDACTED:sk-1]``; a placeholder that is seen in a text keeps its number. Safe to use
    from several threads. Raises ``RedactionError`` where something given cannot be used.

    >>> redactor = Redactor(secrets={"door": "sesame99"}, patterns={"card": r"[0-9]{16}"})
    >>> redactor.text("sesame99 opens, 4111111111111111 pays")
    '[REDACTED:door] opens, [REDACTED:card-1] pays'
    """

    def __init__(
        self,
        *,
        secrets: Mapping[str, str] | Iterable[str] = (),
        env: Iterable[str] = (),
        patterns: Mapping[str, str | re.Pattern[str]] | Iterable[str | re.Pattern[str]] = (),
        function: Callable[[str], str] | None = None,
        defaults: bool = True,
    ) -> None:
        self._lock = threading.Lock()
        self._placeholders: dict[str, str] = {}
        self._taken: set[str] = set()
        self._last: dict[str, int] = {}
        self._remembered: OrderedDict[str, str] = OrderedDict()
        self._characters = 0
        self._function = function
        self._shapes = (*shapes_of(patterns), *(SHAPES if defaults else ()))
        self._forms: dict[str, str] = {}
        self._starts = [first for each in self._shapes for first in each.starts]
        self._always = [each for each in self._shapes if not each.starts]
        plain = [first for each in self._shapes if not each.end for first in each.starts]
        self._signs = Signs([START, _TAGGED_BYTES, *plain])
        """One of these, or of the pairs, is in every text with something to hide, and its JSON."""
        self._pairs = [
            (first, each.end) for each in self._shapes if each.end for first in each.starts
        ]
        self._kinds = {each.kind for each in self._shapes} | {"secret"}
        for name, secret in named_secrets(secrets):
            self._add(secret, name)
        for name, secret in secrets_of_environment(env):
            self._add(secret, name)
        for name, secret in secret_variables() if defaults else ():
            self._add_found(secret, name)

    @classmethod
    def of(cls, given: Given | None) -> Redactor:
        """Make one of what a user gives as ``redact=``; what is given adds to the defaults.

        ``None`` and ``True`` mean the defaults, ``False`` one that does nothing; else a
        ``Redactor``, a function of a text, secrets, or a mapping of names to secrets.

        >>> Redactor.of(False).active
        False
        """
        if isinstance(given, Redactor):
            return given
        if given is None or isinstance(given, bool):
            return cls(defaults=given is not False)
        if callable(given):
            return cls(function=given)
        if isinstance(given, str | bytes) or not isinstance(given, Iterable):
            raise RedactionError(
                f"redact={type(given).__name__} cannot be used: give a list of secrets, a mapping "
                "of names to secrets, a function from text to text, a Redactor, or False"
            )
        return cls(secrets=given)

    def also(self, secrets: Mapping[str, str]) -> Redactor:
        """Make one that hides these, too, by their names, where a placeholder can hide them.

        Both hand out the same placeholders. For secrets that are found on the way.
        """
        return copy(self)._apart(secrets)  # noqa: SLF001 - of its own class

    @property
    def active(self) -> bool:
        """Whether there is anything that it could replace."""
        return bool(self._forms or self._shapes or self._function)

    def hides(self, text: str) -> bool:
        """Whether a text is, all of it, known for a secret; no number is given to it.

        >>> Redactor(secrets=["sesame99"]).hides("sesame99")
        True
        """
        whole = (0, len(text))
        spans = [*self._literals(text)]
        for shape in self._shapes_in(text):
            spans.extend(shape.spans(text))
        return any((span.start, span.end) == whole for span in spans)

    def text(self, text: str) -> str:
        """The text without secrets; once redacted, it stays as it is."""
        if not self.active or not text:
            return text
        if len(text) < LONG_TEXT:
            return self._redacted([text])[0] if self._may_hide(text) else text
        with self._lock:
            known = self._remembered.get(text)
        if known is not None:
            return known
        clean = self._redacted([text])[0] if self._may_hide(text) else text
        return self._remember(text, clean)

    def value(self, structure: Any) -> Any:
        """A structure without secrets in its strings: a copy, or itself where none can be.

        What it goes through says ``redact_strings``.
        """
        if not self.active or not self._may_hide_in(structure):
            return structure
        return redact_strings(structure, self.text)

    def pieces(self, pieces: Sequence[str]) -> list[str]:
        """The pieces of one text, redacted as if joined; a placeholder stands where it begins.

        >>> Redactor(secrets={"door": "sesame99"}).pieces(["say ses", "am", "e99!"])
        ['say [REDACTED:door]', '', '!']
        """
        return self._redacted(list(pieces)) if self.active and pieces else list(pieces)

    def __repr__(self) -> str:
        return f"<Redactor, {len(set(self._forms.values()))} secrets, {len(self._shapes)} shapes>"

    def _apart(self, secrets: Mapping[str, str]) -> Redactor:
        self._forms = dict(self._forms)
        self._remembered, self._characters = OrderedDict(), 0
        with self._lock:
            for name, secret in secrets.items():
                self._add_found(secret, name)
        return self

    def _redacted(self, pieces: list[str]) -> list[str]:
        """Replace until there is nothing left: a replacement can set free what stood beside it."""
        while spans := self._spans("".join(pieces)):
            pieces = replaced(pieces, spans)
        return _through(self._function, pieces) if self._function else pieces

    def _may_hide_in(self, structure: Any) -> bool:
        """Whether to go through a structure; its JSON as a whole is looked at more quickly."""
        if isinstance(structure, str) or self._function or self._always:
            return True
        try:
            return self._may_hide(_encode(structure))
        except (TypeError, ValueError, RecursionError):  # it has no JSON
            return True

    def _may_hide(self, text: str) -> bool:
        """Whether to look closely; in most texts there is no sign of a secret."""
        if self._function or self._always:
            return True
        return self._signs.any_in(text) or any(
            start in text and end in text for start, end in self._pairs
        )

    def _spans(self, text: str) -> list[tuple[int, int, str]]:
        """What is to be replaced, by what; in order, and no two overlap."""
        walls = self._walls(text) if START in text else []
        found = list(self._literals(text))
        for shape in self._shapes_in(text):
            found.extend(span for span in shape.spans(text) if not inside(span, walls))
        if not found:
            return []
        return [
            (start, end, self._placeholder(chosen, text[start:end]))
            for start, end, chosen in merged(found, walls)
        ]

    def _literals(self, text: str) -> Iterator[Span]:
        for form in [each for each in self._forms if each in text]:
            start = text.find(form)
            while start >= 0:
                yield Span(start, start + len(form), "secret", self._forms[form])
                start = text.find(form, start + 1)

    def _shapes_in(self, text: str) -> Iterable[Shape]:
        """Those that may stand in the text, in their order; in most texts none does."""
        return self._shapes if any(each in text for each in self._starts) else self._always

    def _walls(self, text: str) -> list[tuple[int, int]]:
        """Where placeholders stand; their numbers are taken from now on."""
        walls = []
        for match in PLACEHOLDER.finditer(text):
            if _is_secret(match[1]):
                continue
            walls.append(match.span())
            numbered = NUMBERED.fullmatch(match[1])
            if numbered:
                with self._lock:
                    last = self._last.get(numbered[1], 0)
                    self._last[numbered[1]] = max(last, int(numbered[2]))
        return walls

    def _placeholder(self, span: Span, text: str) -> str:
        secret = text if span.secret is None else span.secret
        with self._lock:
            known = self._placeholders.get(secret)
            if known is None:
                known = self._placeholders[secret] = self._numbered(span.kind)
            return known

    def _numbered(self, kind: str) -> str:
        while True:
            number = self._last[kind] = self._last.get(kind, 0) + 1
            placeholder = f"{START}{kind}-{number}]"
            if placeholder not in self._taken and not self._holds_a_secret(placeholder):
                self._taken.add(placeholder)
                return placeholder

    def _add(self, secret: str, name: str | None) -> None:
        """Look for a secret. Raises ``RedactionError`` if no placeholder can hide it."""
        if self._forms.get(secret) == secret:
            return
        placeholder = self._placeholders.get(secret) or (self._free(name) if name else "")
        forms = dict.fromkeys(forms_of(secret))
        shown = (placeholder, *self._taken, *(f"{START}{kind}-" for kind in self._kinds))
        if any(form in each for form in forms for each in shown):
            raise RedactionError(
                f"a secret is part of a placeholder, {START}name], its own or another's, so it "
                "cannot be hidden: give the secrets other names, or leave it out"
            )
        if self._holds_a_secret(placeholder):
            raise RedactionError("the name of a secret contains another secret: name it otherwise")
        for form in forms:
            self._forms.setdefault(form, secret)
        self._signs = self._signs.with_more(
            each for form in forms for each in (form, _encode(form)[1:-1])
        )
        self._forms[secret] = secret
        if placeholder:
            self._placeholders[secret] = placeholder
            self._taken.add(placeholder)

    def _add_found(self, secret: str, name: str) -> None:
        """Look for what was found rather than given, if it is not part of what is shown."""
        for each in (name, None):
            with suppress(RedactionError):
                self._add(secret, each)
                return

    def _free(self, name: str) -> str:
        """A named placeholder; a second secret of the same name has a number behind it."""
        placeholder, number = f"{START}{name}]", 1
        while placeholder in self._taken:
            number += 1
            placeholder = f"{START}{name}-{number}]"
        return placeholder

    def _holds_a_secret(self, placeholder: str) -> bool:
        return any(form in placeholder for form in self._forms)

    def _remember(self, text: str, redacted: str) -> str:
        with self._lock:
            if text not in self._remembered:
                self._characters += len(text) + len(redacted)
            self._remembered[text] = redacted
            while self._characters > MOST_REMEMBERED:
                old, new = self._remembered.popitem(last=False)
                self._characters -= len(old) + len(new)
        return redacted


def _refuse(value: object) -> Any:
    raise TypeError(f"{type(value).__name__} has no JSON form")


_encode = fast_encoder(default=_refuse)
_TAGGED_BYTES = _encode({TAG: "bytes"})[1:-1]
"""Bytes in looplet's JSON are hexadecimal, and show no sign of what is in them."""


def _is_secret(name: str) -> bool:
    """Whether somebody put a key into a placeholder by hand."""
    return len(name) > SHORTEST_OF_ENVIRONMENT and any(
        True for shape in SHAPES for _ in shape.spans(name)
    )


def _through(function: Callable[[str], str], pieces: list[str]) -> list[str]:
    """Pieces after a user's function of the whole text."""
    text = "".join(pieces)
    wanted = _called(function, text)
    if len(pieces) == 1 or wanted == text:
        return [wanted] if len(pieces) == 1 else pieces
    each = [_called(function, piece) for piece in pieces]
    if "".join(each) == wanted:
        return each
    start = _shared(text, wanted)
    end = _shared(text[start:][::-1], wanted[start:][::-1])
    new = wanted[start : len(wanted) - end]
    if start == len(text):  # added at the end
        return [*pieces[:-1], pieces[-1] + new]
    return replaced(pieces, [(start, len(text) - end, new)])


def _called(function: Callable[[str], str], text: str) -> str:
    found = function(text)
    if isinstance(found, str):
        return found
    raise RedactionError(f"the function of redact= gave {type(found).__name__}, and must give text")


def _shared(left: str, right: str) -> int:
    """How many leading characters are equal."""
    pairs = zip(left, right, strict=False)
    shorter = min(len(left), len(right))
    return next((place for place, (one, other) in enumerate(pairs) if one != other), shorter)
