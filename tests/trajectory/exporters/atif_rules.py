"""What harbor's validator wants of an ATIF trajectory, written down a second time.

The exporter's output is also given to the validator itself, by ``make test-ecosystem``.
"""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any

VERSIONS = {f"ATIF-v1.{minor}" for minor in range(9)}
TEXT, OBJECT, WHOLE, NUMBER, LIST = (str,), (dict,), (int,), (int, float), (list,)
RUN = {
    "schema_version": TEXT, "session_id": TEXT, "trajectory_id": TEXT, "agent": OBJECT,
    "steps": LIST, "notes": TEXT, "final_metrics": OBJECT, "continued_trajectory_ref": TEXT,
    "extra": OBJECT, "subagent_trajectories": LIST,
}  # fmt: skip
AGENT = {
    "name": TEXT,
    "version": TEXT,
    "model_name": TEXT,
    "tool_definitions": LIST,
    "extra": OBJECT,
}
STEP = {
    "step_id": WHOLE, "timestamp": TEXT, "source": TEXT, "model_name": TEXT,
    "reasoning_effort": (str, int, float), "message": (str, list), "reasoning_content": TEXT,
    "tool_calls": LIST, "observation": OBJECT, "metrics": OBJECT, "is_copied_context": (bool,),
    "llm_call_count": WHOLE, "extra": OBJECT,
}  # fmt: skip
CALL = {"tool_call_id": TEXT, "function_name": TEXT, "arguments": OBJECT, "extra": OBJECT}
RESULT = {
    "source_call_id": TEXT, "content": (str, list), "subagent_trajectory_ref": LIST, "extra": OBJECT
}  # fmt: skip
METRICS = {
    "prompt_tokens": WHOLE, "completion_tokens": WHOLE, "cached_tokens": WHOLE, "cost_usd": NUMBER,
    "extra": OBJECT,
}  # fmt: skip
TOTALS = {
    "total_prompt_tokens": WHOLE, "total_completion_tokens": WHOLE, "total_cached_tokens": WHOLE,
    "total_cost_usd": NUMBER, "total_steps": WHOLE, "extra": OBJECT,
}  # fmt: skip
OF_AGENTS = {"model_name", "reasoning_effort", "reasoning_content", "tool_calls", "metrics"}


def check(text: bytes) -> dict[str, Any]:
    """The trajectory that a file holds; an assertion fails if it breaks a rule."""
    run = json.loads(text.decode(), parse_constant=refuse)
    check_run(run)
    return run


def refuse(word: str) -> None:
    raise AssertionError(f"{word} is not JSON")


def check_run(run: dict[str, Any]) -> None:
    fields(run, RUN, "schema_version", "agent", "steps")
    assert run["schema_version"] in VERSIONS
    fields(run["agent"], AGENT, "name", "version")
    assert all(isinstance(tool, dict) for tool in run["agent"].get("tool_definitions", []))
    fields(run.get("final_metrics", {}), TOTALS)
    assert [step["step_id"] for step in run["steps"]] == list(range(1, len(run["steps"]) + 1))
    assert run["steps"]
    embedded = run.get("subagent_trajectories", [])
    names = [each["trajectory_id"] for each in embedded]
    assert len(set(names)) == len(names)
    for step in run["steps"]:
        check_step(step, set(names))
    for each in embedded:
        check_run(each)


def check_step(step: dict[str, Any], embedded: set[str]) -> None:
    fields(step, STEP, "step_id", "source", "message")
    assert step["source"] in {"system", "user", "agent"}
    if step["source"] != "agent":
        assert not OF_AGENTS & step.keys()
    elif step.get("llm_call_count") == 0:
        assert not {"metrics", "reasoning_content"} & step.keys()
    if "timestamp" in step:
        datetime.fromisoformat(step["timestamp"])
    fields(step.get("metrics", {}), METRICS)
    for call in step.get("tool_calls", []):
        fields(call, CALL, "tool_call_id", "function_name", "arguments")
    ids = {call["tool_call_id"] for call in step.get("tool_calls", [])}
    if "observation" in step:
        fields(step["observation"], {"results": LIST}, "results")
    for result in step.get("observation", {}).get("results", []):
        fields(result, RESULT)
        assert "source_call_id" not in result or result["source_call_id"] in ids
        for reference in result.get("subagent_trajectory_ref", []):
            assert reference["trajectory_id"] in embedded


def fields(value: Any, kinds: dict[str, tuple[type, ...]], *needed: str) -> None:
    """Every field is known and of its kind, and those that are needed are there."""
    assert isinstance(value, dict)
    assert set(needed) <= value.keys() <= kinds.keys()
    for name, item in value.items():
        is_kind = isinstance(item, kinds[name]) and (bool in kinds[name] or item is not True)
        assert is_kind, f"{name}: {item!r}"
        json.dumps(item, ensure_ascii=False).encode()  # raises on a lone surrogate
