"""What stands in a cassette, one interaction each: model calls, tool calls, steps. Knows no file.

An interaction is stored as vcrpy stores an HTTP request and its response. The address says whose
call it was (the lane) and what was asked of it (the method).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias
from urllib.parse import quote, unquote

from looplet.core.codec import JSON

Method: TypeAlias = str
MODEL_METHODS = ("generate", "generate_with_tools")
DISPATCH, STEP = "dispatch", "step"
"""Methods of a tool call, and of a finished step of a run."""
SHORT = 16
"""How many digits of a key name an interaction inside of the file."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ticket:
    """A call that was begun; calls that are alike are told apart by the order they began in."""

    lane: str
    method: Method
    key: str
    ordinal: int
    body: Any
    """The canonical request of a model, or the body of a tool call."""
    caller: str | None = None
    within: str | None = None
    """Name of the tool call in whose course it was made."""
    started_ms: float | None = None

    @property
    def name(self) -> str:
        """What a tool call is named by, where calls belong to it."""
        return name_of(self.key, self.ordinal)

    def headers(self) -> dict[str, str]:
        """What tells an interaction from others that are like it."""
        out = {"key": self.key}
        if self.ordinal:
            out["ordinal"] = str(self.ordinal)
        if self.caller:
            out["step"] = self.caller
        if self.within:
            out["within"] = self.within
        return out


@dataclass(slots=True, kw_only=True)
class Entry:
    """A recorded call on the tape."""

    place: int
    ordinal: int
    caller: str | None
    played: bool = False


@dataclass(slots=True, kw_only=True)
class RunLog:
    """One run of a loop, as the digest chain tells it."""

    task: JSON = None
    digests: list[str] = field(default_factory=list)
    """The link of each step, in order."""
    stop_reason: str | None = None
    digest: str | None = None
    """``Trajectory.digest`` of the whole run; ``None`` while it has not ended."""

    def to_dict(self) -> dict[str, JSON]:
        """As the head of a cassette has it."""
        return {
            "task": self.task,
            "steps": len(self.digests),
            "stop_reason": self.stop_reason,
            "digest": self.digest,
        }


def name_of(key: str, ordinal: int) -> str:
    """The name of a tool call: its short key, and its place among equal ones.

    >>> name_of("0123456789abcdef" * 4, 2)
    '0123456789abcdef.2'
    """
    return f"{key[:SHORT]}.{ordinal}" if ordinal else key[:SHORT]


def uri_of(lane: str, method: Method) -> str:
    """Where a call goes, in vcrpy's terms.

    >>> uri_of("tool:search", "dispatch")
    'looplet://tool:search/dispatch'
    """
    return f"looplet://{quote(lane, safe=':/', errors='surrogatepass')}/{method}"


def address(uri: str) -> tuple[str, Method]:
    """Lane and method. Raises ``ValueError`` for what is no address.

    >>> address("looplet://tool:search/dispatch")
    ('tool:search', 'dispatch')
    """
    scheme, _, rest = uri.partition("://")
    lane, _, method = rest.rpartition("/")
    if scheme != "looplet" or method not in (*MODEL_METHODS, DISPATCH, STEP):
        raise ValueError(f"{uri!r} is no address of a call")
    return unquote(lane, errors="surrogatepass"), method


def step_of(caller: str | None) -> int | None:
    """The step of the outermost run that a call belongs to.

    >>> step_of("3/1"), step_of(None)
    (3, None)
    """
    first = (caller or "").partition("/")[0]
    return int(first) if first.isdigit() else None


def header(request: Any, name: str) -> str | None:
    """One header of a stored request."""
    found = request.headers.get(name)
    return None if found is None else str(found)


def is_call(method: Method) -> bool:
    """Whether an interaction is something that was asked, and no step."""
    return method != STEP


def response(body: Mapping[str, JSON], *, code: int = 200, message: str = "OK") -> dict[str, JSON]:
    """A response in vcrpy's form."""
    return {"status": {"code": code, "message": message}, "headers": {}, "body": dict(body)}
