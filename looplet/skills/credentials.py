"""Which values are credentials, by what they are called where they stand. Knows names; no agent."""

from __future__ import annotations

import inspect
import re
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

HIDDEN = "[REDACTED]"
_SECRET = re.compile(
    r"key|token|secret|passw|pwd|passphrase|passcode|authori[sz]ation|bearer|credential|cookie"
    r"|signature|connection_string|webhook|jwt|oauth"
    r"|(^|_)(auth|authn|creds?|dsn|otp|pin|pw)(_|$)",
    re.IGNORECASE,
)
"""Names of what holds credentials."""
_ONE = re.compile(
    r"(?<!max_)(?<!min_)(?<!num_)(?<!per_)"
    r"\b(\w+_)?(key|token|secret|password|passwd|pwd|pw|pin|otp|passcode|passphrase)$",
    re.IGNORECASE,
)
"""Names of what holds a single credential, which may be of digits."""
_COUNTED = re.compile(r"(^|_)(max|min|num|per|n)_\w+$", re.IGNORECASE)
_ASSIGNED = re.compile(r"(?:(?<=[?&;\s])|^)(-{0,2}([\w.-]+)=)([^\s&;]+)")
"""A variable, an option or a parameter of a URL, with its value."""
_OPTION = re.compile(r"(?:(?<=\s)|^)(--?([\w-]+)\s+)([^\s-]\S*)")
"""An option in a command, with its value behind it."""


def is_credential(name: str, value: object) -> bool:
    """Whether a value is a credential by its name; functions, classes and truth values are none.

    >>> is_credential("apiKey", "x"), is_credential("pin", 1234), is_credential("max_tokens", 9)
    (True, True, False)
    """
    if value is None or isinstance(value, bool):
        return False
    if inspect.isroutine(value) or inspect.isclass(value):
        return False
    words = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|[-.\s]", "_", name)
    if isinstance(value, int | float):
        return _ONE.search(words) is not None and _COUNTED.search(words) is None
    return _SECRET.search(words) is not None


def without_credentials(text: str) -> str:
    """A setting, a command or a URL without the values of what is named like a credential.

    >>> without_credentials("serve --api-key k3y https://host/?token=t&page=2")
    'serve --api-key [REDACTED] https://host/?token=[REDACTED]&page=2'
    """
    for pattern in (_ASSIGNED, _OPTION):
        text = pattern.sub(_hidden, text)
    return text


def _hidden(found: re.Match[str]) -> str:
    start, name, value = found.groups()
    return start + (HIDDEN if is_credential(name, value) else value)


def credentials_among(items: Sequence[Any]) -> set[int]:
    """Places of values of options, in the words of a command: each stands behind its name.

    >>> credentials_among(["serve", "--api-key", "k3y", "--port", "80"])
    {2}
    """
    return {
        place
        for place, (name, value) in enumerate(pairwise(items), 1)
        if isinstance(name, str) and name.startswith("-") and "=" not in name
        and isinstance(value, str) and not value.startswith("-") and is_credential(name, value)
    }  # fmt: skip


def pair_name(item: object) -> str | None:
    """The name in a pair of name and value, such as a header; ``None`` if it is no such pair."""
    if not isinstance(item, list | tuple) or len(item) != 2:  # noqa: PLR2004 - a pair
        return None
    name = item[0].decode("latin-1") if isinstance(item[0], bytes) else item[0]
    return name if isinstance(name, str) else None
