"""Inspect: logs of evaluations, ``.json`` and ``.eval`` (a zip), one run a sample and epoch.

https://inspect.aisi.org.uk/eval-logs.html. A zip has ``header.json`` (or the journal's beginning,
if the evaluation did not end) and a file for each sample, or since log version 3 a folder of
pieces; packed by deflate or zstd. What is in a sample stands in `inspect_samples`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from looplet.core.codec import JSON
from looplet.trajectory.importers import parsing
from looplet.trajectory.importers.archives import Archive
from looplet.trajectory.importers.inspect_events import expand
from looplet.trajectory.importers.inspect_samples import read_sample
from looplet.trajectory.importers.nodes import Node
from looplet.trajectory.importers.problems import Malformed
from looplet.trajectory.importers.registry import Format
from looplet.trajectory.importers.sources import Source
from looplet.trajectory.model import Trajectory

NAME = "inspect"
SAMPLES, PIECES = "samples/", "sample.json"
HEADERS = (("header.json",), ("_journal/start.json",), ("start.json", "results.json"))
"""Where a log tells of itself: the members that are one header together; the first found counts."""
_OF_LOG = frozenset({"version", "status", "plan", "samples", "results", "stats"})
_ATTACHED = "attachments"


def sniff(source: Source) -> bool:
    """A header that tells of an evaluation, or a zip that has one and samples."""
    if source.is_zip:
        with Archive(source) as archive:
            return bool(_header_names(archive)) and _has_log(archive)
    members = source.outline.members
    spec = members.get("eval")
    is_spec = isinstance(spec, dict) and bool(spec.keys() & {"task", "run_id", "model"})
    return is_spec and not _OF_LOG.isdisjoint(members)


def read(source: Source) -> Iterator[Trajectory]:
    """One run a sample. An evaluation of no samples has none; one that lacks them is told."""
    return _read_zip(source) if source.is_zip else _read_json(source)


def _read_json(source: Source) -> Iterator[Trajectory]:
    outline = source.outline
    if outline.kind != "object":
        source.report(outline.broken or Malformed("", "it is no log of an evaluation"))
        return
    log = Node({key: value for key, value in outline.members.items() if key != "samples"})
    yield from source.read_each(_samples(source), lambda node: read_sample(node, log, source, NAME))


def _samples(source: Source) -> Iterator[Node]:
    """The samples of a log in JSON; of one that breaks off, those before that place."""
    outline = source.outline
    if outline.cut is not None and outline.cut[0] == "samples":
        start = outline.cut[1]
        yield from parsing.elements(source.text, source.report, start=start, whose="$.samples")
        return
    yield from Node(outline.members.get("samples"), "$.samples").items()
    if outline.broken is not None:
        source.report(outline.broken)
    elif outline.members.get("samples") is None:
        source.report(Malformed("$.samples", "is missing: a log's head alone has no run"))


def _read_zip(source: Source) -> Iterator[Trajectory]:
    with Archive(source) as archive:
        log = _log_of(archive, source)
        for name in archive.names:
            try:
                sample = _sample_of(archive, name)
                found = None if sample is None else read_sample(sample, log, source, NAME)
            except Malformed as error:
                source.report(error, member=name)
                continue
            if found is not None:
                yield found


def _header_names(archive: Archive) -> tuple[str, ...]:
    known = (names for names in HEADERS if names[0] in archive.names)
    return next(known, ())


def _has_log(archive: Archive) -> bool:
    return any(name.startswith((SAMPLES, "_journal/", "summar")) for name in archive.names)


def _log_of(archive: Archive, source: Source) -> Node:
    """What the log tells of itself; a member that is damaged is told, and left out."""
    found: dict[str, JSON] = {}
    for name in _header_names(archive):
        try:
            if name in archive.names:
                found |= Node(archive.json(name)).fields()
        except Malformed as error:
            source.report(error, member=name)
    return Node(found)


def _sample_of(archive: Archive, name: str) -> Node | None:
    """The sample that a member is, or is the head of; ``None`` if it is another thing."""
    if not name.startswith(SAMPLES) or not name.endswith(".json"):
        return None
    parts = name.removeprefix(SAMPLES).split("/")
    if len(parts) == 1:
        return Node(archive.json(name))
    if parts[1:] != [PIECES]:
        return None
    return Node(_joined(archive, name.removesuffix(PIECES), Node(archive.json(name)).fields()))


def _joined(archive: Archive, folder: str, shell: Mapping[str, JSON]) -> dict[str, JSON]:
    """A sample that is kept in pieces, as it would be in one."""
    pool = _sequence(archive, f"{folder}messages/")
    attached = _sequence(archive, f"{folder}{_ATTACHED}/")
    sample = dict(shell)
    refs = sample.pop("message_refs", None)
    sample["messages"] = expand(Node(refs, "$.message_refs"), pool)
    sample["events"] = _sequence(archive, f"{folder}events/")
    sample["events_data"] = {"messages": pool, "calls": _sequence(archive, f"{folder}calls/")}
    sample[_ATTACHED] = {str(index): text for index, text in enumerate(attached)}
    if f"{folder}metadata.json" in archive.names:
        sample["metadata"] = archive.json(f"{folder}metadata.json")
    return sample


def _sequence(archive: Archive, folder: str) -> list[JSON]:
    """The items of a sequence; each of its files is named by the place of its first item."""
    starts = [
        name.removeprefix(folder).removesuffix(".json")
        for name in archive.names
        if name.startswith(folder)
    ]
    items: list[JSON] = []
    for start in sorted(
        (each for each in starts if each.isdecimal()), key=lambda text: (len(text), text)
    ):
        name = f"{folder}{start}.json"
        items += [each.value for each in Node(archive.json(name), name).items()]
    return items


FORMAT = Format(name=NAME, sniff=sniff, read=read)
