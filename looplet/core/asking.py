"""One question to the model: call, retries, a shorter prompt, repair. Knows no tool."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from looplet.core.backend import takes
from looplet.core.briefing import (
    build_request,
    gather_briefing,
    rebuild_request,
    take_pending,
)
from looplet.core.consult import Phase, emit
from looplet.core.effects import AskModel, ModelReply, Pause
from looplet.core.events import LifecycleEvent
from looplet.core.failures import describe, is_overflow, is_permanent, tool_error
from looplet.core.messages import ChatMessage, ModelRequest
from looplet.core.parse import ParsedReply, parse_reply, text_of
from looplet.core.pieces import ChunkTeller
from looplet.core.prompt import QUOTED_CHARS, complaint_text
from looplet.core.records import ErrorKind, ToolError
from looplet.core.recovery import ask_strategies, compact_for_strategy, is_too_long, recover
from looplet.core.run import Run, backend_for, call_keywords
from looplet.core.usage import message_chars, tokens_of, tools_chars
from looplet.core.wrapping import answers_at_once

PAUSES = (1.0, 2.0)
"""Seconds before the second and the third attempt at a model call."""
LONGEST_WAIT = 60.0
"""Seconds at most that a provider's ``retry-after`` is waited for."""
REPAIRS = 2
CUT_SHORT = "max_tokens"
"""The stop reason of a reply that the token limit ended."""
NO_ANSWER = "LLM call failed after all retry attempts"


@dataclass(slots=True, eq=False, repr=False)
class Failure:
    """A model call that failed for good."""

    error: Exception
    attempts: int
    compact: bool = False
    """Whether a recovery strategy wants the prompt compacted and the question put again."""

    def as_tool_error(self) -> ToolError:
        """The failure as the error of its own step."""
        known = tool_error(self.error)
        return ToolError(
            known.kind,
            f"{NO_ANSWER}: {describe(self.error)}",
            retriable=known.retriable,
            context={"attempts": self.attempts},
        )


def ask(run: Run) -> Phase[ParsedReply | Failure | None]:
    """Ask what to do next. ``None`` means that a hook ended the run instead."""
    if run.listeners.brief or run.config.build_briefing is not None:
        briefing = yield from gather_briefing(run)
        if run.stop_reason is not None:
            return None
    else:
        briefing = take_pending(run, "", [])
    run.briefing = briefing
    request = yield from build_request(run, briefing)
    while is_too_long(run, request) and (yield from recover(run)):
        request = yield from rebuild_request(run, request, briefing)
    request, answer = yield from put_shortened(run, request, briefing, "reasoning")
    if run.config.max_turn_continuations and isinstance(answer, ModelReply):
        request, answer = yield from continue_reply(run, request, briefing, answer)
    if not isinstance(answer, ModelReply):
        return answer
    parsed = parse_reply(answer.reply)
    if parsed.complaint is None:
        return parsed
    return (yield from repair(run, request, briefing, parsed))


def put_shortened(
    run: Run,
    request: ModelRequest,
    briefing: str,
    purpose: str,
    make: Callable[[ModelRequest], ModelRequest] = lambda request: request,
) -> Phase[tuple[ModelRequest, ModelReply | Failure | None]]:
    """Put the question that ``make`` makes of a request; again, shorter, if it was too long.

    Returns the request as it is by then, and the answer.
    """
    used: set[int] = set()
    answer = yield from put_question(run, make(request), purpose, used)
    while isinstance(answer, Failure) and (yield from _shorten(run, answer)):
        request = yield from rebuild_request(run, request, briefing)
        answer = yield from put_question(run, make(request), purpose, used)
    return request, answer


def _shorten(run: Run, failure: Failure) -> Phase[bool]:
    """Make the prompt shorter if that is what a failure calls for; tell whether to ask again."""
    if _over(run):
        return False
    if failure.compact:
        yield from compact_for_strategy(run)
        return True
    return is_overflow(failure.error) and (yield from recover(run))


def put_question(
    run: Run, request: ModelRequest, purpose: str, used: set[int]
) -> Phase[ModelReply | Failure | None]:
    """Call the model, with both events around it; ``None`` if a listener ended the run.

    ``used`` has the recovery strategies that were followed for this question.
    """
    listeners = run.listeners.on_event
    if listeners:
        asked = _facts(run, request, purpose)
        before = yield from emit(
            run, LifecycleEvent.PRE_LLM_CALL, listeners, prompt=request.prompt, extra=dict(asked)
        )
        _heed(run, before)
        if run.stop_reason is not None:
            return None
    answer = yield from call_model(run, request, purpose, used)
    if isinstance(answer, ModelReply):
        _count(run, request, answer)
    if listeners:
        after = yield from emit(
            run,
            LifecycleEvent.POST_LLM_RESPONSE,
            listeners,
            prompt=request.prompt,
            raw_response=answer.reply if isinstance(answer, ModelReply) else None,
            extra=asked | _outcome(answer),
        )
        _heed(run, after)
    return answer


def _facts(run: Run, request: ModelRequest, purpose: str) -> dict[str, Any]:
    """What listeners are told of a question beside its prompt."""
    # A router chooses when the model is asked, so that nobody knows before.
    backend = None if run.config.router is not None else run.llm
    return {"request": request, "purpose": purpose, "backend": backend}


def _outcome(answer: ModelReply | Failure) -> dict[str, Any]:
    """What listeners are told of an answer beside the reply."""
    if isinstance(answer, ModelReply):
        return {"usage": answer.usage, "stop_reason": answer.stop_reason}
    return {"error": describe(answer.error), "failure": answer.error}


def call_model(
    run: Run, request: ModelRequest, purpose: str, used: set[int]
) -> Phase[ModelReply | Failure]:
    """Call the model; transient failures are tried again, here and nowhere else."""
    backend = _backend(run, request, purpose)
    keywords = call_keywords(run, backend, request, purpose)
    policy = run.config.cache_policy
    if policy is not None and takes(backend, request.method, "cache_breakpoints"):
        parts = {"system_prompt": request.system_prompt, "tools": request.tools}
        keywords["cache_breakpoints"] = policy.breakpoints(memory=run.memory_told, **parts)
    streams = bool(run.listeners.on_chunk) and takes(backend, request.method, "on_chunk")
    attempt = tried = told = 0
    while True:
        attempt, tried = attempt + 1, tried + 1
        run.llm_calls += 1
        teller = ChunkTeller(run, told + 1) if streams else None
        if teller is not None:
            keywords["on_chunk"] = teller
        answer: ModelReply | Failure
        try:
            answer = yield AskModel(backend, request.method, request.prompt, keywords)
        except Exception as error:  # noqa: BLE001 - the one place that decides about a failed call
            answer = failure = Failure(error, attempt)
        except BaseException:  # the run is left while the model is asked
            if teller is not None:
                teller.give_up()
            raise
        if teller is not None:
            told = teller.attempt  # wrappers may have made several
            yield from teller.settle()
        if isinstance(answer, ModelReply):
            return answer
        followed = yield from _follow_strategy(run, backend, failure, used)
        tried -= followed
        if not followed:
            if is_permanent(failure.error) or tried > len(PAUSES):
                return failure
            yield from _wait(backend, _pause_after(failure.error, tried))
        if failure.compact or run.cancelled or run.stop_reason is not None:
            return failure


def _backend(run: Run, request: ModelRequest, purpose: str) -> Any:
    """The backend for a purpose; the one for reasoning, if that one cannot be asked like this."""
    backend = backend_for(run, purpose)
    if purpose == "reasoning" or _can_be_asked(backend, request):
        return backend
    return backend_for(run, "reasoning")


def _can_be_asked(backend: Any, request: ModelRequest) -> bool:
    if not hasattr(backend, request.method):
        return False
    return not request.messages or takes(backend, request.method, "messages")


def _wait(backend: Any, seconds: float) -> Phase[None]:
    """Pause before asking again, unless the answer comes from a recording."""
    if seconds > 0 and not answers_at_once(backend):
        yield Pause(seconds)


def _follow_strategy(run: Run, backend: Any, failure: Failure, used: set[int]) -> Phase[bool]:
    """Do as a recovery strategy says, if one has something to say about a failed call.

    Waits before a retry; notes in the failure that a compaction is wanted; ends the run.
    """
    if run.config.recovery_registry is None or run.cancelled:
        return False
    from looplet.core.strategies import RetryCall, StopRun

    decision = yield from ask_strategies(run, failure.error, failure.attempts, used)
    if isinstance(decision, StopRun):
        run.stop(decision.reason)
    elif isinstance(decision, RetryCall):
        yield from _wait(backend, decision.after_s)
    elif decision is not None:
        failure.compact = True
    return decision is not None


def continue_reply(
    run: Run, request: ModelRequest, briefing: str, answer: ModelReply
) -> Phase[tuple[ModelRequest, ModelReply | Failure | None]]:
    """Ask for the rest of a text that the token limit cut short, and join the parts."""
    for _ in range(run.config.max_turn_continuations):
        text = text_of(answer.reply)
        if answer.stop_reason != CUT_SHORT or text is None or _over(run):
            break
        make = partial(_continuation, text=text)
        request, more = yield from put_shortened(run, request, briefing, "reasoning", make)
        if not isinstance(more, ModelReply):
            return request, more
        rest = text_of(more.reply)
        if rest is None:  # the model called a tool instead of going on with its text
            return request, more
        answer = ModelReply(text + rest, more.usage, more.stop_reason)
    return request, answer


def _continuation(request: ModelRequest, text: str) -> ModelRequest:
    asked = "Your reply was cut short. Go on exactly where it ends; repeat nothing."
    if not request.messages:
        return replace(request, prompt=f"{request.prompt}\n\nYour reply so far:\n{text}\n\n{asked}")
    tail = (ChatMessage(role="assistant", content=text), ChatMessage(role="user", content=asked))
    return replace(request, prompt=asked, messages=(*request.messages, *tail))


def repair(
    run: Run, request: ModelRequest, briefing: str, parsed: ParsedReply
) -> Phase[ParsedReply | Failure | None]:
    """Send a reply without a call back with a complaint, at most twice."""
    for _ in range(REPAIRS):
        if parsed.complaint is None or _over(run):
            break
        make = partial(repair_request, run, parsed=parsed)
        request, repaired = yield from put_shortened(run, request, briefing, "repair", make)
        if not isinstance(repaired, ModelReply):
            return repaired
        parsed = parse_reply(repaired.reply)
    return parsed


def repair_request(run: Run, request: ModelRequest, parsed: ParsedReply) -> ModelRequest:
    """Ask again, with the complaint and the beginning of the bad reply."""
    done = run.config.done_tool
    quoted = "" if request.messages else parsed.text
    text = complaint_text(parsed.complaint or "", quoted, native=run.native, done_tool=done)
    temperature = run.config.recovery_temperature
    if not request.messages:
        return replace(request, prompt=f"{request.prompt}\n\n{text}", temperature=temperature)
    tail = (
        ChatMessage(role="assistant", content=parsed.text[:QUOTED_CHARS]),
        ChatMessage(role="user", content=text),
    )
    return replace(
        request, prompt=text, messages=(*request.messages, *tail), temperature=temperature
    )


def unreadable(parsed: ParsedReply) -> ToolError:
    """The error of a step whose reply could not be read."""
    began = f" The reply began: {parsed.text[:QUOTED_CHARS]}" if parsed.text else ""
    return ToolError(ErrorKind.PARSE, f"{parsed.complaint}.{began}", retriable=True)


def _over(run: Run) -> bool:
    """Whether the run ends here, so that the model is not asked again."""
    return run.stop_reason is not None or run.cancelled


def _heed(run: Run, decisions: list[Any]) -> None:
    for decision in decisions:
        if decision.additional_context:
            run.pending.append(decision.additional_context)
        if decision.stop is not None:
            run.stop(decision.stop)


def _count(run: Run, request: ModelRequest, answer: ModelReply) -> None:
    run.add_usage(tokens_of(answer.reply, answer.usage, chars_sent=partial(_chars, run, request)))


def _chars(run: Run, request: ModelRequest) -> int:
    history, sent = run.history, len(request.prompt)
    if history is not None and request.messages:
        sent = history.chars  # of all but what a repair adds
        if len(request.messages) > len(history):
            sent += sum(map(message_chars, request.messages[len(history) :]))
    return sent + len(request.system_prompt) + tools_chars(request.tools)


def _pause_after(error: Exception, attempt: int) -> float:
    asked = getattr(error, "retry_after", None)
    wait = float(asked) if isinstance(asked, int | float) else 0.0
    return max(PAUSES[attempt - 1], min(wait, LONGEST_WAIT))
