"""What the model is shown: the briefing, and the request that is made with it. Asks nobody."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from looplet.core.consult import Phase, first_text, weigh
from looplet.core.conversation import PROMPT_CHARS, Message, MessageRole
from looplet.core.messages import ChatMessage, ModelRequest
from looplet.core.prompt import (
    LOW_BUDGET,
    PromptParts,
    json_instruction,
    low_budget_text,
    native_instruction,
    opening_text,
    text_prompt,
)
from looplet.core.run import Run
from looplet.core.session import facts_of
from looplet.core.usage import CHARS_PER_TOKEN


def gather_briefing(run: Run) -> Phase[str]:
    """Collect the texts that stand before the model: base, hooks, and what happened since."""
    base = None
    if run.listeners.build_briefing:
        hooks = run.listeners.build_briefing
        parts = (run.state, run.log, run.context)
        base = yield from first_text(run, hooks, "build_briefing", *parts)
    if base is None and run.config.build_briefing is not None:
        base = run.config.build_briefing(run.state, run.log, run.context)
    texts: list[str] = []
    for bound in run.listeners.pre_prompt:
        value = bound.method(run.state, run.log, run.context, run.next_number)
        if value is None:
            continue
        decision = yield from weigh(run, bound, "pre_prompt", value)
        if decision is not None and decision.additional_context:
            texts.append(decision.additional_context)
        if decision is not None and decision.stop is not None:
            run.stop(decision.stop)
            return ""
    return take_pending(run, base or "", texts)


def take_pending(run: Run, base: str, texts: list[str]) -> str:
    """The briefing: its base, the texts of hooks, and what was said since the last prompt."""
    if run.pending:
        texts += run.pending
        run.pending.clear()
    elif not texts:
        return base
    return _bounded(base, texts, run.config.max_briefing_tokens)


def build_request(run: Run, briefing: str) -> Phase[ModelRequest]:
    """Build what is sent: a prompt of text, or the native conversation with its new messages.

    What it asks is put into the run's conversation.
    """
    method = "generate_with_tools" if run.native else "generate"
    tools = run.tools.tool_schemas() if run.native else ()
    messages: Sequence[ChatMessage] = ()
    if run.history is not None:
        prompt = _continue_history(run, briefing)
        messages = run.history.messages()
        _keep_prompt(run, prompt)
    elif run.own_prompt:
        prompt = yield from _own_prompt(run, briefing)
        _keep_prompt(run, prompt)
    else:
        parts = _default_prompt(run, briefing, run.memory())
        prompt = text_prompt(*parts)
        _keep_prompt(run, prompt, parts)
    return ModelRequest(
        method=method,  # type: ignore[arg-type]  # one of the two literals
        prompt=prompt,
        system_prompt=run.config.system_prompt,
        messages=messages,
        tools=tools,
        max_tokens=run.config.max_tokens,
        temperature=run.config.temperature,
    )


def rebuild_request(run: Run, request: ModelRequest, briefing: str) -> Phase[ModelRequest]:
    """Build the same request of what is shorter by now."""
    if run.history is not None:
        run.history.open(_opening(run))
        return replace(request, messages=run.history.messages())
    if run.own_prompt:
        prompt = yield from _own_prompt(run, briefing)
    else:
        prompt = text_prompt(*_default_prompt(run, briefing, run.memory()))
    return replace(request, prompt=prompt)


def _keep_prompt(run: Run, prompt: str, parts: PromptParts | None = None) -> None:
    """Put what is asked into the conversation, as far as it is kept there."""
    if not prompt:
        return
    now = run.config.runtime.now()
    if parts is not None and len(prompt) <= PROMPT_CHARS:
        run.conversation.note(_message_of_parts, now, *parts)
    else:
        run.conversation.note(_prompt_message, now, prompt[:PROMPT_CHARS])


def _message_of_parts(now: float, *parts: *PromptParts) -> Message:
    return _prompt_message(now, text_prompt(*parts))


def _prompt_message(now: float, text: str) -> Message:
    return Message(MessageRole.USER, text, timestamp=now)


def _bounded(base: str, texts: list[str], limit: int | None) -> str:
    if limit is None:
        return "\n".join(text for text in [base, *texts] if text)
    kept = [base] if base else []
    left = limit * CHARS_PER_TOKEN - len(base)
    for place, text in enumerate(texts):
        left -= len(text) + 1
        if left < 0:
            kept.append(f"[{len(texts) - place} texts left out: the briefing is full]")
            break
        kept.append(text)
    return "\n".join(kept)


def _own_prompt(run: Run, briefing: str) -> Phase[str]:
    config, number = run.config, run.next_number
    parts: dict[str, Any] = {
        "task": run.task,
        "tools": run.tools,
        "state": run.state,
        "session_log": run.log,
        "briefing": briefing,
        "memory": run.memory(),
        "step_number": number,
        "max_steps": config.max_steps,
        "config": config,
    }
    prompt = None
    if run.listeners.build_prompt:
        prompt = yield from first_text(run, run.listeners.build_prompt, "build_prompt", **parts)
    if prompt is None and config.build_prompt is not None:
        prompt = config.build_prompt(**parts)
    if prompt is None:
        prompt = text_prompt(*_default_prompt(run, briefing, parts["memory"]))
    if config.render_messages_override is not None:
        prompt = config.render_messages_override(
            messages=run.conversation.messages, default_prompt=prompt, step_num=number
        )
    return prompt


def _default_prompt(run: Run, briefing: str, memory: str) -> PromptParts:
    """What ``text_prompt`` makes the prompt of."""
    done, most = run.config.done_tool, run.config.max_steps
    how = native_instruction(done) if run.native else json_instruction(done)
    log, recent = tuple(run.log.lines()), run.recent_results()
    head, facts = run.head(memory), facts_of(run.log)
    return head, facts, log, briefing, recent, run.next_number, most, done, how


def _continue_history(run: Run, briefing: str) -> str:
    """Add what is new to the native conversation, and return that text."""
    history, done = run.history, run.config.done_tool
    assert history is not None
    opening = _opening(run)
    first = not history.chars
    history.open(opening)
    left = run.config.max_steps - run.next_number + 1
    low = low_budget_text(left, done) if left <= LOW_BUDGET else ""
    said = "\n".join(text for text in (briefing, low) if text)
    if said:
        history.say(said)
    return "\n\n".join(text for text in (opening if first else "", said) if text)


def _opening(run: Run) -> str:
    return opening_text(
        task=run.task_shown,
        memory=run.memory(),
        recent=run.earlier_results,
        done_tool=run.config.done_tool,
    )
