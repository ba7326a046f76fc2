"""The default prompt, section by section. Knows texts; knows no backend and no hook."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any, TypeAlias

from looplet.core.codec import plain_text, to_jsonable
from looplet.core.show import encode

if TYPE_CHECKING:
    from looplet.core.protocols import MemorySource

LOW_BUDGET = 3
"""From so many steps left on, the prompt says so."""
QUOTED_CHARS = 300
"""How much of a reply that could not be read is quoted."""


def task_text(task: Any, criteria: Sequence[str] | None = None) -> str:
    """The task as the model sees it: every value, texts as typed, lists and dicts as JSON.

    >>> print(task_text({"goal": "Add {a}", "retries": 0}))
    goal: Add {a}
    retries: 0
    """
    if isinstance(task, Mapping):
        text = "\n".join(f"{key}: {value_text(value)}" for key, value in task.items())
    else:
        text = value_text(task)
    if criteria:
        text += "\nAccepted when:\n" + "\n".join(f"- {criterion}" for criterion in criteria)
    return text


def value_text(value: Any) -> str:
    """One value of the task."""
    if isinstance(value, str):
        return value
    if isinstance(value, Mapping | list | tuple):
        try:
            return encode(value)
        except (TypeError, ValueError, RecursionError):
            return encode(to_jsonable(value))
    return plain_text(value)


def memory_text(sources: Iterable[MemorySource], state: Any) -> str:
    """All texts, joined by blank lines; empty ones are skipped."""
    return "\n\n".join(text for source in sources if (text := source.load(state)))


def head_text(*, memory: str, task: str, tools: str) -> str:
    """What a prompt of text begins with; empty sections are left out."""
    sections = (("MEMORY", memory), ("TASK", task), ("TOOLS", tools))
    return "".join(f"{title}\n{body}\n\n" for title, body in sections if body)


PromptParts: TypeAlias = tuple[str, str, tuple[str, ...], str, tuple[str, ...], int, int, str, str]
"""The arguments of ``text_prompt``. Most are what other prompts of the run have too, so that the
parts of many take a small part of the room that their texts would.
"""


def text_prompt(
    head: str,
    facts: str,
    log: tuple[str, ...],
    briefing: str,
    recent: tuple[str, ...],
    step_number: int,
    max_steps: int,
    done_tool: str,
    how: str,
) -> str:
    """The whole prompt; empty sections are left out.

    Sections are the head's, facts, log, assessment, recent results and step, in this order; all
    texts come through as they are. ``log`` and ``recent`` are lines, ``how`` says how to answer.
    """
    sections = [head]
    if facts:
        sections.append(f"ESTABLISHED FACTS\n{facts}\n\n")
    if shown := "\n".join(log):
        sections.append(f"SESSION LOG\n{shown}\n\n")
    if briefing:
        sections.append(f"ASSESSMENT\n{briefing}\n\n")
    if shown := "\n".join(recent):
        sections.append(f"RECENT RESULTS\n{shown}\n\n")
    sections.append(f"STEP {step_number}/{max_steps}\n\n")
    left = max_steps - step_number + 1
    if left <= LOW_BUDGET:
        sections.append(f"{low_budget_text(left, done_tool)}\n\n")
    sections.append(how)
    return "".join(sections)


def opening_text(*, task: str, memory: str, recent: str, done_tool: str) -> str:
    """The first message of a native conversation; ``recent`` is what an earlier run left."""
    parts = [f"MEMORY\n{memory}"] if memory else []
    parts.append(f"TASK\n{task}")
    parts += [f"RECENT RESULTS\n{recent}"] if recent else []
    parts.append(native_instruction(done_tool))
    return "\n\n".join(parts)


def low_budget_text(left: int, done_tool: str) -> str:
    """The line that says that the budget runs out."""
    steps = "1 step is" if left == 1 else f"{left} steps are"
    return f"Low budget: {steps} left. Call {done_tool} before they are used up."


@cache
def json_instruction(done_tool: str) -> str:
    """How to answer in text."""
    return (
        "Answer with JSON only: one object and nothing else.\n"
        '{"tool": "<name>", "args": {"<argument>": <value>}, "reasoning": "<why>"}\n'
        'For several calls at once: {"tools": [{"tool": …, "args": …}, …]}.\n'
        f"Call {done_tool} when the task is complete."
    )


@cache
def native_instruction(done_tool: str) -> str:
    """How to answer with native tool calls."""
    return f"Act by calling tools. Call {done_tool} when the task is complete."


def complaint_text(complaint: str, bad_reply: str, *, native: bool, done_tool: str) -> str:
    """What is said to a model whose reply could not be read."""
    quoted = f"\nYour reply began: {bad_reply[:QUOTED_CHARS]}" if bad_reply else ""
    how = native_instruction(done_tool) if native else json_instruction(done_tool)
    return f"Your last reply could not be used: {complaint}.{quoted}\n\n{how}"
