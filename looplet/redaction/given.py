"""What a user gives to be hidden, checked. Knows the environment; knows nothing of texts."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Mapping

from looplet.errors import RedactionError
from looplet.redaction.placeholders import NAME, PLACEHOLDER
from looplet.redaction.shapes import Shape

SHORTEST = 4
"""A secret of fewer characters would be found everywhere."""
SHORTEST_OF_ENVIRONMENT = 8

_SECRET_VARIABLE = re.compile(
    r"(?!PWD$)(?:.*_)?(?:API_?KEY|ACCESS_?KEY|SECRET_?KEY|PRIVATE_?KEY|AUTH_?KEY|TOKEN|SECRET|PASSWORD|PASSWD"
    r"|PASSPHRASE|PASS|PWD|CREDENTIALS?|PAT)(?:_?[0-9]+)?$",
    re.IGNORECASE,
)
"""Not ``PWD``, the directory that a shell works in."""
_NO_SECRETS = frozenset(
    {
        "anything", "changeme", "disabled", "external", "inherited", "not-needed", "notneeded",
        "optional", "passw0rd", "passwort", "password", "placeholder", "postgres", "required",
        "test-key", "testtest", "undefined", "username",
    }
)  # fmt: skip
"""What stands in such variables where there is no secret; redacting it would spoil every prompt."""


def shapes_of(
    patterns: Mapping[str, str | re.Pattern[str]] | Iterable[str | re.Pattern[str]],
) -> Iterator[Shape]:
    """Compile patterns, each of its kind. Raises ``RedactionError`` with the one that is wrong."""
    if isinstance(patterns, str | re.Pattern):
        raise RedactionError("patterns= takes a list of patterns, or a mapping of kinds to them")
    unnamed = () if isinstance(patterns, Mapping) else (("pattern", each) for each in patterns)
    for kind, pattern in patterns.items() if isinstance(patterns, Mapping) else unnamed:
        try:
            regex = re.compile(pattern)
        except (re.error, TypeError) as error:
            raise RedactionError(f"the pattern {pattern!r} cannot be used: {error}") from error
        if not isinstance(regex.pattern, str):
            raise RedactionError(f"the pattern {pattern!r} is of bytes; give one of text")
        yield Shape(kind=_checked_name(kind), regex=regex)


def named_secrets(secrets: Mapping[str, str] | Iterable[str]) -> Iterator[tuple[str | None, str]]:
    """Check secrets; their names, ``None`` where they have none. Raises ``RedactionError``."""
    if isinstance(secrets, str | bytes):
        raise RedactionError("secrets= takes a list of texts, or a mapping of names to texts")
    if isinstance(secrets, Mapping):
        for name, secret in secrets.items():
            yield _checked_name(name), _checked_secret(secret, f"the secret {name!r}")
        return
    for place, secret in enumerate(secrets):
        yield None, _checked_secret(secret, f"the secret at place {place} of secrets=")


def secrets_of_environment(names: Iterable[str]) -> Iterator[tuple[str, str]]:
    """Read variables that a user named, those that are set. Raises ``RedactionError``."""
    if isinstance(names, str | bytes):
        raise RedactionError("env= takes a list of names of environment variables")
    for name in names:
        value = os.environ.get(name)
        if value is not None:  # a replay works where the secret is not
            yield _name_of(name), _checked_secret(value, f"the environment variable {name}")


def secret_variables() -> Iterator[tuple[str, str]]:
    """Read the variables that are named like secrets and may hold one."""
    for name, value in sorted(os.environ.items()):
        secret = value.strip()
        if (
            len(secret) >= SHORTEST_OF_ENVIRONMENT
            and _SECRET_VARIABLE.match(name)
            and secret.lower() not in _NO_SECRETS
            and not PLACEHOLDER.fullmatch(secret)
        ):
            yield _name_of(name), secret


def _name_of(variable: str) -> str:
    return re.sub(r"[^A-Za-z0-9_.-]", "_", variable)[:64]


def _checked_name(name: object) -> str:
    if isinstance(name, str) and NAME.fullmatch(name):
        return name
    raise RedactionError(
        f"{name!r} cannot stand in a placeholder: give a name of up to 64 letters, digits, "
        "underscores, dots and hyphens"
    )


def _checked_secret(secret: object, what: str) -> str:
    """The secret; an error tells what it is and nothing of its text."""
    if not isinstance(secret, str):
        raise RedactionError(f"{what} is {type(secret).__name__}, and must be a text")
    secret = secret.strip()  # a file that held it ended with a newline
    if len(secret) < SHORTEST:
        raise RedactionError(
            f"{what} has {len(secret)} characters; fewer than {SHORTEST} would be found everywhere"
        )
    return secret
