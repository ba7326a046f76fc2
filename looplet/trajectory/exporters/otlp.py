"""otlp: runs as OpenTelemetry writes traces to files, one export request a line, a run each.

https://opentelemetry.io/docs/specs/otel/protocol/file-exporter/ wants JSON lines: that is what the
collector's ``otlpjsonfile`` receiver reads, and a viewer that takes a file of them; and a run can
be written without the others in memory. Spans and attributes are those of `OpenTelemetryHook` with
content; fields that no convention has an attribute for stand in attributes of looplet's own, so
that importing gives them back. Ids are hashes of the trajectory's: exporting again gives the same.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from looplet.core.codec import digest
from looplet.trajectory.exporters.files import whole_file
from looplet.trajectory.exporters.otlp_encoding import Encoder
from looplet.trajectory.exporters.otlp_spans import request_of
from looplet.trajectory.exporters.registry import Loss, OnLoss, Target
from looplet.trajectory.model import Trajectory

NAME = "otlp"
FILE = "traces.jsonl"
"""The one file, with the ending that the specification prefers."""


def write(trajectories: Iterable[Trajectory], folder: Path, on_loss: OnLoss) -> int:
    """Write each run as a line; every run can be held."""
    seen: Counter[str] = Counter()
    with whole_file(folder / FILE) as file:
        for run in trajectories:
            seen[run.trajectory_id] += 1
            encoder = Encoder()
            request = request_of(run, _trace_id(run, seen[run.trajectory_id]), encoder)
            file.write(json.dumps(request, separators=(",", ":")).encode() + b"\n")
            for message in encoder.losses:
                on_loss(Loss(trajectory_id=run.trajectory_id, message=message))
    if not seen:
        (folder / FILE).unlink()
    return seen.total()


def _trace_id(run: Trajectory, times: int) -> str:
    """A run's trace id in hex; one that is there again has another, or both would be one trace."""
    again = "" if times == 1 else f" {times}"
    return digest(f"looplet trace {run.trajectory_id}{again}")[:32]


TARGET = Target(name=NAME, write=write)
