"""A judge's calls: written once as a generator, driven by two short drivers, sync and async.

Knows backends; knows no rubric and no run.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping
from dataclasses import dataclass, replace
from typing import Any, TypeAlias, TypeVar

from looplet.core.backend import Reply, is_async
from looplet.core.messages import Method
from looplet.core.records import escape_controls
from looplet.core.scoped import scoped
from looplet.errors import EvalError, NotEvaluable
from looplet.evals.judge.prompts import Question, repair_prompt
from looplet.evals.judge.scales import CANNOT_JUDGE
from looplet.evals.judge.verdicts import Unreadable, Verdict, read_verdict, verdict_tool

REFUSALS = frozenset({"refusal", "content_filter"})
"""Stop reasons by which providers say that their model, or they, refuse."""
CUT_SHORT = "max_tokens"

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One call of a backend."""

    method: Method
    prompt: str
    keywords: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What came of it."""

    reply: Reply
    stop_reason: str | None


Asking: TypeAlias = Generator[Call, Answer, T]


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """A verdict, and what it took."""

    verdict: Verdict
    repaired: bool = False
    """Whether the first reply could not be read."""


def ask_judge(question: Question, *, max_tokens: int) -> Asking[Judged]:
    """Ask for a verdict; a reply that cannot be read is asked for again, once.

    Raises ``NotEvaluable`` if that one cannot be read either, if the model refuses, or if it says
    that it cannot judge.
    """
    call = _call(question, max_tokens)
    answer = yield call
    read = _read(answer, question)
    repaired = isinstance(read, Unreadable)
    if isinstance(read, Unreadable):
        answer = yield replace(call, prompt=repair_prompt(call.prompt, read.complaint))
        read = _read(answer, question)
    if isinstance(read, Unreadable):
        raise NotEvaluable(
            f"the judge gave no verdict, asked twice: {escape_controls(read.complaint)}"
        )
    if read.label == CANNOT_JUDGE:
        raise NotEvaluable(f"the judge cannot tell: {escape_controls(read.reason)}")
    return Judged(verdict=read, repaired=repaired)


def perform(asking: Asking[T], llm: Any) -> T:
    """Make the calls on a sync backend."""
    answer: Answer | None = None
    try:
        while True:
            call = next(asking) if answer is None else asking.send(answer)
            reply = getattr(llm, call.method)(call.prompt, **call.keywords)
            answer = _answer(reply, llm)
    except StopIteration as end:
        value: T = end.value
        return value


async def aperform(asking: Asking[T], llm: Any) -> T:
    """Make the calls on an async backend."""
    answer: Answer | None = None
    try:
        while True:
            call = next(asking) if answer is None else asking.send(answer)
            reply = await getattr(llm, call.method)(call.prompt, **call.keywords)
            answer = _answer(reply, llm)
    except StopIteration as end:
        value: T = end.value
        return value


def in_lane(llm: Any, name: str, *, asynchronous: bool) -> Any:
    """The backend whose calls are those of the judge ``name``, in the lane ``judge:<name>``.

    Raises ``EvalError`` for a backend of the other kind, and ``NotEvaluable`` without one.
    """
    if llm is None:
        raise NotEvaluable(f"the judge {name!r} has no model: give it llm=")
    if not callable(getattr(llm, "generate", None)):
        raise EvalError(f"the judge {name!r} needs a backend, which has generate(); got {llm!r}")
    if is_async(llm) is not asynchronous:
        how = "await judge.ajudge(...)" if is_async(llm) else "judge(...)"
        kind = "async" if is_async(llm) else "sync"
        raise EvalError(f"the judge {name!r} was given an {kind} backend: ask it by {how}")
    return scoped(llm, f"judge:{name}", purpose="judge")


def _call(question: Question, max_tokens: int) -> Call:
    keywords: dict[str, Any] = {
        "system_prompt": question.system_prompt,
        "max_tokens": max_tokens,
        "temperature": 0.0,
    }
    if question.native:
        keywords["tools"] = [verdict_tool(question.verdicts)]
    method: Method = "generate_with_tools" if question.native else "generate"
    return Call(method=method, prompt=question.prompt, keywords=keywords)


def _answer(reply: Reply, llm: Any) -> Answer:
    reason = getattr(llm, "last_stop_reason", None)
    return Answer(reply=reply, stop_reason=reason if isinstance(reason, str) else None)


def _read(answer: Answer, question: Question) -> Verdict | Unreadable:
    if answer.stop_reason in REFUSALS:
        raise NotEvaluable(f"the judge's model refused to answer ({answer.stop_reason})")
    if answer.stop_reason == CUT_SHORT:
        return Unreadable(complaint="it was cut short by the token limit; give a shorter reason")
    return read_verdict(answer.reply, question.verdicts)
