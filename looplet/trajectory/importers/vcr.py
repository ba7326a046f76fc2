"""vcrpy cassettes of traffic with language models: one run a cassette, a call for each exchange.

Stock cassettes in YAML or JSON, and those that keep a JSON body as ``parsed_body``. Bodies are
OpenAI's chat completions, responses and plain completions, and Anthropic's messages, packed or
not, whole or as a stream of events. Steps are the tool calls that replies ask for; their results
stand in the request after. Headers that carry keys or cookies are left out; exchanges with others
than models are kept in the metadata.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from looplet.core.codec import JSON
from looplet.core.messages import ChatMessage
from looplet.errors import MissingExtra
from looplet.trajectory.importers.builder import RunBuilder
from looplet.trajectory.importers.exchanges import Exchange, exchange_of
from looplet.trajectory.importers.nodes import Node
from looplet.trajectory.importers.parsing import DEEPEST
from looplet.trajectory.importers.problems import Malformed
from looplet.trajectory.importers.registry import Format
from looplet.trajectory.importers.sources import Source
from looplet.trajectory.model import Trajectory

NAME = "vcr"
OWN_SCHEME = "looplet://"
"""Of what looplet itself recorded, which is no HTTP."""
LARGEST = 50
"""How many times larger than its text a cassette may be, once what it repeats by name is put in."""
_OPENING = re.compile(r"^interactions:", re.MULTILINE)
_SNIFFED = 1 << 16
"""Bytes of YAML that are looked at: ``interactions`` stands at the top, or after metadata."""


def sniff(source: Source) -> bool:
    """A list of interactions at the top of YAML or JSON."""
    outline = source.outline
    if outline.kind == "object":
        return _is_interaction(outline.members.get("interactions"))
    if outline.kind != "other" or source.is_folder or source.is_zip:
        return False
    return bool(_OPENING.search(source.data[:_SNIFFED].decode("utf-8", "replace")))


def read(source: Source) -> Iterator[Trajectory]:
    """The one run of a cassette."""
    tape = Node(_tape_of(source))
    return source.read_each(iter([tape]), lambda node: _run(node, source))


def _is_interaction(value: JSON) -> bool:
    first = value[0] if isinstance(value, list) and value else None
    return isinstance(first, dict) and "request" in first


def _tape_of(source: Source) -> JSON:
    outline = source.outline
    if outline.kind == "object":
        if outline.broken is not None:
            source.report(outline.broken)
        return outline.members
    return _from_yaml(source.text)


def _from_yaml(text: str) -> JSON:
    """The value of a YAML text. Raises `Malformed`, and `MissingExtra` without PyYAML."""
    try:
        import yaml
    except ImportError as error:
        needed = "Importing a cassette in YAML"
        raise MissingExtra("pyyaml", needed_for=needed, extra="replay") from error
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        value = yaml.load(text, Loader=loader)  # noqa: S506 - both loaders are the safe one
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        place = "" if mark is None else f"line {mark.line + 1}"
        raise Malformed(place, f"it is not YAML: {error.problem}") from None
    except _NOT_YAML as error:
        raise Malformed("", f"it is not YAML: {error}".partition("\n")[0]) from None
    except yaml.YAMLError as error:
        raise Malformed("", f"it is not YAML: {error}".partition("\n")[0]) from None
    if _size(value, {}) > LARGEST * len(text):
        raise Malformed("", "it repeats itself by name without end")
    return value


_NOT_YAML = (ValueError, TypeError, LookupError, AttributeError, OverflowError, RecursionError)
"""What the loader's own constructors raise on values that only look like dates or numbers."""


def _size(value: JSON, known: dict[int, int], depth: int = 0) -> int:
    """Texts and items in a value, each counted as often as it is named.

    Raises `Malformed` on a value that contains itself, or is nested too deep.
    """
    if isinstance(value, str | bytes):
        return len(value) + 1
    if not isinstance(value, dict | list):
        return 1
    if depth > DEEPEST:
        raise Malformed("", f"lists and objects are nested more than {DEEPEST} deep")
    if id(value) not in known:
        items = value if isinstance(value, list) else [*value, *value.values()]
        known[id(value)] = 1 + sum(_size(item, known, depth + 1) for item in items)
    return known[id(value)]


def _run(tape: Node, source: Source) -> Trajectory:
    interactions = tape.need("interactions").items()
    run = _Exchanges(RunBuilder())
    for interaction in interactions:
        try:
            run.take(exchange_of(interaction), interaction)
        except Malformed as error:
            source.report(error)
    builder = run.builder
    if not builder.calls:
        raise Malformed("", run.complaint())
    first = builder.calls[0]
    task = next((message.content for message in first.messages if message.role == "user"), None)
    return builder.build(
        source,
        tape,
        form=NAME,
        task_id=source.path.name.split(".")[0],
        task={"prompt": task},
        final_output=run.last_text,
        started_at=Node(first.timestamp).time(),
        model=first.model,
        metadata=tape.rest("interactions") | {"other_interactions": run.others or None},
    )


class _Exchanges:
    """Takes the exchanges of a cassette in their order."""

    def __init__(self, builder: RunBuilder) -> None:
        self.builder = builder
        self.others: list[JSON] = []
        """Exchanges with others than models."""
        self.last_text: str | None = None
        """What the model said last, if that asked for nothing."""
        self._own = 0

    def take(self, exchange: Exchange, interaction: Node) -> None:
        """One exchange."""
        if exchange.sent is None:
            self._own += str(interaction.get("request").get("uri").value).startswith(OWN_SCHEME)
            self.others.append(exchange.about)
            return
        self._answer(exchange.sent)
        said = None if exchange.reply is None else exchange.reply.said()
        call = self.builder.add_call(said, exchange.sent, **exchange.known)
        self.last_text = said.content or None if said and not said.calls else None
        for asked in said.calls if said else ():
            self.builder.ask(asked, reasoning=said.content if said else "", call=call)

    def complaint(self) -> str:
        """Why there is no run in it."""
        if self._own:
            return "looplet recorded it; looplet.replay.read_trajectory reads it"
        return "it holds no traffic with a language model that is known"

    def _answer(self, sent: list[ChatMessage]) -> None:
        """The results that a request brings: those after the model's last turn."""
        tools = {call.id: call.name for message in sent for call in message.calls}
        last = max((i for i, each in enumerate(sent) if each.role == "assistant"), default=-1)
        for message in sent[last + 1 :]:
            if message.role != "tool":
                continue
            call_id = self.builder.waiting_for(message.call_id, tools.get(message.call_id or ""))
            if call_id is not None:
                failed = any(block.get("is_error") is True for block in message.blocks)
                data: JSON = message.content or [dict(block) for block in message.blocks] or ""
                self.builder.answer(
                    None if failed else data,
                    call_id=call_id,
                    error=message.content if failed else None,
                )


FORMAT = Format(name=NAME, sniff=sniff, read=read)
