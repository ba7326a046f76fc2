"""The two files of a model call, as text and back. Knows calls; knows no directory.

Lines that begin with ``#`` are anchors for whoever reads the files. A text between them may have
such lines in it, or characters that no file can hold; what would not be read back as it was is
told beside the files, in the call's record (``exact_texts``).
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any, NamedTuple

from looplet.core.codec import JSON, from_jsonable, to_jsonable
from looplet.trajectory.model import LLMCall

EMPTY = "(empty)"
SYSTEM, USER, TOOLS = "## SYSTEM PROMPT", "## USER PROMPT", "## TOOLS"
ERROR, TEXT, BLOCKS = "## ERROR", "## RESPONSE", "## RESPONSE (content blocks)"
_ANCHOR = re.compile(r"^(## RESPONSE(?: \(content blocks\))?) *\r?$", re.MULTILINE)
_FAILED = re.compile(r"# call \d+ .*\berror=yes\b")


class Prompt(NamedTuple):
    """What a prompt file holds."""

    system_prompt: str
    prompt: str
    tools: str
    """Schemas as JSON; empty if there are none."""


class Response(NamedTuple):
    """What a response file holds."""

    body: str
    is_blocks: bool
    """Whether the body is JSON."""
    failed: bool
    error: str
    """The error's text, as far as the file shows it."""


def prompt_text(call: LLMCall) -> str:
    """The prompt file."""
    head = [f"# call {call.index:02d} — method={call.method}"]
    if call.step_num is not None:
        head.append(f"# step={call.step_num}")
    numbers = f"temperature={call.temperature} max_tokens={call.max_tokens}"
    head.append(f"# {numbers} tools={len(call.tools or ())}")
    parts = ["\n".join(head)]
    if call.system_prompt:
        parts.append(f"{SYSTEM}\n{call.system_prompt}")
    parts.append(f"{USER}\n{call.prompt}")
    if call.tools:
        parts.append(f"{TOOLS}\n{_pretty(call.tools)}")
    return visible("\n\n".join(parts) + "\n")


def response_text(call: LLMCall) -> str:
    """The response file."""
    failed = "no" if call.error is None else "yes"
    took = "?" if call.duration_ms is None else f"{call.duration_ms:.1f}"
    parts = [f"# call {call.index:02d} — duration={took}ms error={failed}"]
    if call.error is not None:
        # Shifted where it would be taken for an anchor; the record has it as it is.
        parts.append(f"{ERROR}\n" + _ANCHOR.sub(r" \1", call.error))
    if isinstance(call.response, list):
        parts.append(f"{BLOCKS}\n\n{_pretty(call.response)}")
    else:
        parts.append(f"{TEXT}\n\n{call.response or EMPTY}")
    return visible("\n\n".join(parts) + "\n")


def split_prompt(text: str) -> Prompt:
    """What a prompt file holds. Raises ``ValueError`` if it is none."""
    _, _, rest = text.partition("\n\n")
    system = ""
    if rest.startswith(f"{SYSTEM}\n"):
        system, rest = _section(rest.removeprefix(f"{SYSTEM}\n"), USER)
    if not rest.startswith(f"{USER}\n"):
        raise ValueError(f"there is no line {USER!r} where it should be")
    prompt, rest = _section(rest.removeprefix(f"{USER}\n"), TOOLS)
    return Prompt(system, prompt, rest.removeprefix(f"{TOOLS}\n"))


def split_response(text: str) -> Response:
    """What a response file holds: what comes after the first anchor.

    Raises ``ValueError`` if there is no anchor.
    """
    found = _ANCHOR.search(text)
    if found is None:
        raise ValueError(f"there is no line {TEXT!r}")
    before, body = text[: found.start()], text[found.end() + 1 :]
    body = body.removeprefix("\n").removesuffix("\n")
    failed = _FAILED.match(before) is not None
    error = before.partition(f"{ERROR}\n")[2].strip("\n") if failed else ""
    return Response("" if body == EMPTY else body, found[1] == BLOCKS, failed, error)


def read_prompt(call: LLMCall, text: str, exact: Mapping[str, JSON]) -> None:
    """Give a call the texts of its prompt file. Raises ``ValueError`` if it is none.

    ``exact`` is what ``exact_texts`` gave; it counts if the file is as it was written.
    """
    if "prompt" in exact:
        call.system_prompt, call.prompt = exact["system_prompt"], exact["prompt"]
        call.tools = from_jsonable(exact["tools"])
        if prompt_text(call) == text:
            return
    call.system_prompt, call.prompt, tools = split_prompt(text)
    call.tools = from_jsonable(json.loads(tools)) if tools else None


def read_response(call: LLMCall, text: str, exact: Mapping[str, JSON]) -> None:
    """Give a call the reply of its response file, in the same way."""
    if "response" in exact:
        call.response = from_jsonable(exact["response"])
        if response_text(call) == text:
            return
    call.response = _reply(split_response(text))


def exact_texts(call: LLMCall, prompt_file: str, response_file: str) -> dict[str, JSON]:
    """What of a call its two files would not give back as it is; mostly nothing."""
    exact: dict[str, JSON] = {}
    tools = visible(_pretty(call.tools)) + "\n" if call.tools else ""
    asked = Prompt(call.system_prompt, call.prompt, tools)
    if _or_none(split_prompt, prompt_file) != asked or _joins(tools) or call.tools == []:
        exact |= {"system_prompt": asked.system_prompt, "prompt": asked.prompt}
        exact["tools"] = to_jsonable(call.tools)
    if _reply(split_response(response_file)) != call.response:
        exact["response"] = to_jsonable(call.response)
    return exact


def visible(text: str) -> str:
    r"""A text with its lone surrogates as escapes, as a file can hold it.

    >>> visible("odd: \ud800")
    'odd: \\ud800'
    """
    return text.encode("utf-8", "backslashreplace").decode()


def _reply(shown: Response) -> Any:
    if shown.is_blocks:
        return from_jsonable(json.loads(shown.body))
    return None if shown.failed and not shown.body else shown.body


def _section(body: str, following: str) -> tuple[str, str]:
    """The text up to an anchor, and what comes from the anchor on."""
    found, gap, rest = body.partition(f"\n\n{following}\n")
    return (found, f"{following}\n{rest}") if gap else (body.removesuffix("\n"), "")


def _joins(text: str) -> bool:
    """Whether JSON has escapes in it that might be read as one character."""
    return "\\ud" in text


def _or_none(read: Any, text: str) -> Any:
    try:
        return read(text)
    except ValueError:
        return None


def _pretty(value: object) -> str:
    return json.dumps(to_jsonable(value), indent=2, ensure_ascii=False)
