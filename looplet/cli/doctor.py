"""``looplet doctor``: whether all that looplet needs is there. Asks a model one thing at most."""

from __future__ import annotations

import argparse
import os
import platform
import re
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from importlib import metadata
from typing import Literal
from urllib.parse import urlsplit

from looplet import __version__
from looplet.cli.models import DEFAULT_MODEL, DEFAULT_URL, model_of_environment
from looplet.cli.parsing import Commands
from looplet.cli.saying import say, say_json
from looplet.errors import LoopletError, MissingExtra

Status = Literal["ok", "warn", "error"]
_SIGNS = {"ok": "✓", "warn": "!", "error": "✗"}
_OLDEST = (3, 11)
_NEED = re.compile(r"([\w.-]+)\s*(?:>=\s*([\d.]+))?.*extra\s*==\s*['\"]([\w-]+)['\"]")
"""A line of a distribution's needs, with a least version and the extra that it is for."""
_MODEL_EXTRA = "openai"


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One thing that was looked at."""

    name: str
    status: Status
    detail: str


def add_to(commands: Commands) -> None:
    """Add the command."""
    parser = commands.add_parser(
        "doctor",
        help="check Python, the packages and the model",
        description="Check Python, looplet, the packages of its extras, the OPENAI_* variables, "
        "and whether the model can be asked. Exits 1 on an error, with --strict on a warning too.",
        examples=["looplet doctor --no-backend --json"],
    )
    parser.add_argument("--no-backend", action="store_true", help="do not ask the model")
    parser.add_argument("--json", action="store_true", help="say it as JSON")
    parser.add_argument("--strict", action="store_true", help="a warning counts as an error")
    parser.set_defaults(command=doctor)


def doctor(given: argparse.Namespace) -> int:
    """Look at everything, and say what was found."""
    checks = []
    for check in _checks(ask=not given.no_backend):
        checks.append(check)
        if not given.json:
            say(f"{_SIGNS[check.status]} {check.name}: {check.detail}")
    if given.json:
        say_json({"checks": [asdict(check) for check in checks]})
    bad = ("error", "warn") if given.strict else ("error",)
    return int(any(check.status in bad for check in checks))


def _checks(*, ask: bool) -> Iterator[Check]:
    yield _python()
    yield Check(name="looplet", status="ok", detail=__version__)
    yield from _extras()
    yield from _variables()
    if ask:
        yield _model()


def _python() -> Check:
    wanted = ".".join(map(str, _OLDEST))
    if sys.version_info < _OLDEST:
        return Check(
            name="python", status="error", detail=f"{platform.python_version()}; needs {wanted}"
        )
    return Check(name="python", status="ok", detail=platform.python_version())


def _extras() -> Iterator[Check]:
    """Every extra of which all packages are there, and that of the model in any case."""
    for extra, needs in _needs().items():
        found = {name: _version(name) for name, _ in needs}
        missing = [name for name, version in found.items() if version is None]
        old = [
            f"{name} {found[name]}, needs {least} or later"
            for name, least in needs
            if least and found[name] and _parts(str(found[name])) < _parts(least)
        ]
        told = ", ".join(f"{name} {version}" for name, version in found.items() if version)
        command = f'pip install "looplet[{extra}]"'
        if old:
            yield Check(name=extra, status="warn", detail=f"{'; '.join(old)}: {command}")
        elif not missing:
            yield Check(name=extra, status="ok", detail=told)
        elif extra == _MODEL_EXTRA:
            detail = f"{', '.join(missing)} not installed: {command}"
            yield Check(name=extra, status="warn", detail=detail)


def _needs() -> dict[str, list[tuple[str, str]]]:
    """Packages and their least versions, by extra, as the installed looplet says."""
    try:
        lines = metadata.requires("looplet") or []
    except metadata.PackageNotFoundError:  # run from its sources
        return {}
    needs: dict[str, list[tuple[str, str]]] = {}
    for line in lines:
        match = _NEED.match(line)
        if match is not None and match[1] != "looplet":
            needs.setdefault(match[3], []).append((match[1], match[2] or ""))
    return needs


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _parts(version: str) -> list[int]:
    return [int(part) for part in re.findall(r"\d+", version)]


def _variables() -> Iterator[Check]:
    from looplet.backends.provider import plain_url

    url = os.environ.get("OPENAI_BASE_URL")
    if not url:
        yield Check(
            name="OPENAI_BASE_URL", status="warn", detail=f"not set; {DEFAULT_URL} is asked"
        )
    elif not _is_http(url):
        yield Check(
            name="OPENAI_BASE_URL", status="error", detail=f"{plain_url(url)} is no http URL"
        )
    else:
        yield Check(name="OPENAI_BASE_URL", status="ok", detail=plain_url(url))
    key = os.environ.get("OPENAI_API_KEY")
    yield Check(
        name="OPENAI_API_KEY",
        status="ok" if key else "warn",
        detail="set" if key else "not set; a server that checks keys will refuse",
    )
    model = os.environ.get("OPENAI_MODEL")
    yield Check(
        name="OPENAI_MODEL",
        status="ok" if model else "warn",
        detail=model or f"not set; {DEFAULT_MODEL} is asked",
    )


def _is_http(url: str) -> bool:
    try:
        parts = urlsplit(url)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:  # brackets that do not close, a port that is no number
        return False


def _model() -> Check:
    """Whether the model answers, and with native tool calls."""
    from looplet.backends import probe_native_tool_support
    from looplet.redaction import Redactor

    try:
        llm, _ = model_of_environment()
    except (LoopletError, MissingExtra) as error:
        return Check(name="native_tools", status="error", detail=str(error))
    probe = probe_native_tool_support(llm)
    redactor = Redactor(env=["OPENAI_API_KEY"] if os.environ.get("OPENAI_API_KEY") else ())
    reason = redactor.text(probe.reason)
    if probe.supported:
        return Check(name="native_tools", status="ok", detail=reason)
    failed = probe.raw_response is None
    return Check(name="native_tools", status="error" if failed else "warn", detail=reason)
