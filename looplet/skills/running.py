"""A bundle's run: its agent, a model and a task, and a trace of what came of it."""

from __future__ import annotations

import os
from collections.abc import Generator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import uuid4

from looplet.core.records import Step
from looplet.provenance import ProvenanceSink
from looplet.skills.bundle import SkillBundle, SkillRuntime, load_skill_bundle, safe_name
from looplet.skills.presets import AgentPreset

ID_CHARS = 12


def run_skill_bundle(
    bundle: SkillBundle | str | os.PathLike[str],
    *,
    llm: Any,
    task: Any,
    runtime: SkillRuntime | None = None,
    extra_hooks: Sequence[Any] = (),
    session_log: Any = None,
    conversation: Any = None,
    provenance: bool = True,
    trace_dir: str | os.PathLike[str] | None = None,
    preset: AgentPreset | None = None,
) -> Generator[Step, None, Any]:
    """Run a bundle, one step at a time. Nothing happens before the first ``next()``.

    A text as task becomes ``{"description": text}``. The trace goes to ``trace_dir``, else to the
    runtime's ``output_dir``, else to a new folder under ``<workspace>/.looplet/traces``; it is
    complete however the run ends. ``preset`` is an agent that was built already.
    """
    loaded = bundle if isinstance(bundle, SkillBundle) else load_skill_bundle(bundle)
    runtime = runtime or SkillRuntime()
    agent = preset or loaded.build_preset(runtime)
    agent = replace(agent, hooks=[*agent.hooks, *extra_hooks])
    task = {"description": task} if isinstance(task, str) else task
    logs = {"session_log": session_log, "conversation": conversation}
    if not provenance:
        return (yield from agent.run(llm, task=task, **logs))
    sink = ProvenanceSink(trace_dir or trace_dir_of(loaded, runtime))
    recorded = sink.wrap_llm(llm)
    agent = replace(agent, hooks=[*agent.hooks, sink.trajectory_hook()])
    try:
        return (yield from agent.run(recorded, task=task, **logs))
    finally:
        sink.flush()


def trace_dir_of(bundle: SkillBundle, runtime: SkillRuntime) -> Path:
    """A folder for a run's trace: the runtime's, or a new one under its workspace."""
    if runtime.output_dir is not None:
        return Path(runtime.output_dir)
    name = f"{safe_name(bundle.skill.name)}-{uuid4().hex[:ID_CHARS]}"
    return Path(runtime.workspace) / ".looplet" / "traces" / name
