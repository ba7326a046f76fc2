"""Runs, cassettes, cases and bundles with odd characters in every text and in names of files."""

from __future__ import annotations

import json

from looplet import (
    EvalCase,
    LoopConfig,
    MockLLMBackend,
    ProvenanceSink,
    composable_loop,
    save_cases,
    tool,
    tools_from,
)
from looplet.replay import use_cassette
from looplet.trajectory import TrajectoryRecorder, TrajectoryStore
from tests.bundles import GROCER

ODD = "a\x1b[31m\x07\x9b\u202e\rz"
"""Colours a terminal red, rings, and turns the direction of what follows."""
NAME = "od\x1b[31md"
"""The same in names of files."""
EVALS = f"""
from looplet import eval_mark

@eval_mark("odd")
def eval_odd(ctx):
    return {ODD!r}
"""


@tool
def look(what: str) -> dict:
    """Look at something."""
    if what.startswith("!"):
        raise ValueError(what)
    return {what: what}


def replies(summary):
    for what in (ODD, "!" + ODD):
        yield json.dumps({"tool": "look", "args": {"what": what}, "reasoning": ODD})
    yield json.dumps({"tool": "done", "args": {"summary": summary}})


def run_once(folder, summary=ODD):
    """A run in a cassette, a trace and a store, each at its place in a folder."""
    recorder = TrajectoryRecorder(task_id=ODD, metadata={ODD: ODD})
    sink = ProvenanceSink(dir=folder / NAME)
    path = folder / f"{NAME}.yaml"
    with (
        use_cassette(path, record_mode="once", metadata={ODD: ODD}) as cassette,
        cassette.ambient(),
    ):
        llm = recorder.wrap_llm(sink.wrap_llm(MockLLMBackend([*replies(summary)], cycle=False)))
        steps = composable_loop(
            llm=llm, tools=tools_from([look], include_done=True), task={"goal": ODD},
            hooks=[recorder, sink.trajectory_hook()], config=LoopConfig(max_steps=5),
        )  # fmt: skip
        assert len([*steps]) == 3
    sink.flush()
    for name in ("one", "two"):
        TrajectoryStore(folder / name / NAME).append(recorder.trajectory)


def write_all(folder):
    """All of it, in a folder."""
    run_once(folder)
    run_once(folder / "other", summary=ODD + ODD)
    save_cases([EvalCase("c" + ODD, {"goal": ODD}, marks=[ODD], notes=ODD)], folder / "cases.jsonl")
    (folder / "eval_odd.py").write_text(EVALS)
    (folder / "damaged.yaml").write_text("interactions: [" + ODD)
    bundle = folder / "skills" / NAME
    bundle.mkdir(parents=True)
    quoted = json.dumps("d" + ODD)
    (bundle / "SKILL.md").write_text(f"---\nname: odd\ndescription: {quoted}\n---\n{ODD}\n")
    scripted = f"\ndef scripted_responses():\n    return {[*replies(ODD)]!r}\n"
    (bundle / "looplet.py").write_text(GROCER + scripted)
    broken = folder / "skills" / "broken"
    broken.mkdir()
    (broken / "SKILL.md").write_text(f"---\nname: [{quoted}]\n---\n")
