"""Which calls may run: rules, and what follows from them. Knows calls; knows no loop and no hook.

Whatever goes wrong here denies: a rule that fails, a handler that fails, an answer that is none.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from enum import Enum
from typing import Any, TypeAlias

from looplet.core.failures import describe
from looplet.core.logs import log
from looplet.core.parse import RAW_ARGUMENT
from looplet.core.records import ToolCall, is_dunder

ANY_TOOL = "*"


class PermissionDecision(str, Enum):
    """What a rule says, and what comes of it."""

    ALLOW = "allow"
    DENY = "deny"
    ASK = "ask"
    DEFAULT = "default"


ArgMatcher: TypeAlias = Callable[[dict[str, Any]], object]
"""Takes the arguments, says by truth whether the rule is meant for them."""


@dataclass(frozen=True, slots=True)
class PermissionRule:
    """What to do with the calls of one tool, or, with ``"*"``, of any.

    Raises ``ValueError`` for a decision other than allow, deny and ask.
    """

    tool: str
    decision: PermissionDecision
    arg_matcher: ArgMatcher | None = None
    """Which of the tool's calls are meant; ``None`` means all."""
    reason: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "decision", PermissionDecision(self.decision))
        if self.decision is PermissionDecision.DEFAULT:
            raise ValueError("a rule must allow, deny or ask; leave it out to use the default")


@dataclass(frozen=True, slots=True)
class PermissionOutcome:
    """What comes of a call: it is allowed, or denied for a reason."""

    decision: PermissionDecision
    rule: PermissionRule | None
    """The rule that settled it; ``None`` for the default."""
    reason: str

    @property
    def allowed(self) -> bool:
        """Whether the call may run."""
        return self.decision is PermissionDecision.ALLOW

    @property
    def denied(self) -> bool:
        """Whether it may not: everything that is not allowed."""
        return not self.allowed


AskHandler: TypeAlias = Callable[[ToolCall, PermissionRule], object]
"""Asks a person about a call: must give ``ALLOW`` or ``DENY``."""


@dataclass
class PermissionEngine:
    """Rules in order; the first that matches a call settles it, else ``default`` does.

    >>> engine = PermissionEngine(default=PermissionDecision.DENY).allow("price")
    >>> engine.evaluate(ToolCall("price", {"fruit": "apple"})).allowed
    True
    >>> engine.evaluate(ToolCall("sell", {"fruit": "apple"})).reason
    "no rule allows 'sell'"
    """

    rules: list[PermissionRule] = field(default_factory=list)
    """Copied, so that rules added here do not reach a list that others hold."""
    default: PermissionDecision = PermissionDecision.ALLOW
    """For calls that no rule matches; ``ASK`` and ``DEFAULT`` deny."""
    ask_handler: AskHandler | None = None
    """A plain function; without one, what should be asked about is denied."""
    denials: list[dict[str, Any]] = field(default_factory=list)
    """Every denial: ``{"tool", "args", "rule", "reason"}``; a list that is given is added to."""

    def __post_init__(self) -> None:
        self.rules = list(self.rules)
        self.default = PermissionDecision(self.default)

    def allow(
        self, tool: str, *, arg_matcher: ArgMatcher | None = None, reason: str = ""
    ) -> PermissionEngine:
        """Add a rule that lets calls run."""
        return self._add(PermissionDecision.ALLOW, tool, arg_matcher, reason)

    def deny(
        self, tool: str, *, arg_matcher: ArgMatcher | None = None, reason: str = ""
    ) -> PermissionEngine:
        """Add a rule that keeps calls from running."""
        return self._add(PermissionDecision.DENY, tool, arg_matcher, reason)

    def ask(
        self, tool: str, *, arg_matcher: ArgMatcher | None = None, reason: str = ""
    ) -> PermissionEngine:
        """Add a rule that leaves calls to ``ask_handler``."""
        return self._add(PermissionDecision.ASK, tool, arg_matcher, reason)

    def evaluate(self, call: ToolCall) -> PermissionOutcome:
        """Say whether a call may run, and keep a denial. Raises no ``Exception``: one denies."""
        args: dict[str, Any] = {}
        try:
            args = own_args(call.args)
            outcome = self._settle(replace(call, args=args))
        except Exception as error:  # noqa: BLE001 - what cannot be judged must not run
            log().exception("the permission of %r could not be settled", call.tool)
            outcome = _denied(None, f"permission could not be settled: {describe(error)}")
        if outcome.denied:
            entry = {"tool": call.tool, "args": args, "rule": outcome.rule}
            self.denials.append({**entry, "reason": outcome.reason})
        return outcome

    def _add(
        self, decision: PermissionDecision, tool: str, matcher: ArgMatcher | None, reason: str
    ) -> PermissionEngine:
        self.rules.append(PermissionRule(tool, decision, matcher, reason))
        return self

    def _settle(self, call: ToolCall) -> PermissionOutcome:
        unsure: PermissionRule | None = None
        for rule in self.rules:
            if rule.tool not in (call.tool, ANY_TOOL):
                continue
            matched = _matches(rule, call)
            if matched:
                return self._apply(rule, call)
            if matched is None and rule.decision is PermissionDecision.DENY:
                return _denied(rule, rule.reason or f"a rule denies {call.tool!r}")
            if matched is None and rule.decision is PermissionDecision.ASK:
                unsure = unsure or rule
        if self.default is not PermissionDecision.ALLOW:
            return _denied(None, f"no rule allows {call.tool!r}")
        if unsure is not None:
            return _denied(unsure, _because(unsure, "the rule that asks about it failed"))
        return PermissionOutcome(PermissionDecision.ALLOW, None, "allowed by default")

    def _apply(self, rule: PermissionRule, call: ToolCall) -> PermissionOutcome:
        if rule.decision is PermissionDecision.ALLOW:
            return PermissionOutcome(PermissionDecision.ALLOW, rule, rule.reason)
        if rule.decision is PermissionDecision.ASK:
            return self._ask(rule, call)
        return _denied(rule, rule.reason or f"a rule denies {call.tool!r}")

    def _ask(self, rule: PermissionRule, call: ToolCall) -> PermissionOutcome:
        if self.ask_handler is None:
            return _denied(rule, _because(rule, "it must be approved, and nobody can be asked"))
        try:
            answer = self.ask_handler(replace(call, args=own_args(call.args)), rule)
        except Exception as error:  # noqa: BLE001 - a question that fails is answered by no
            log().exception("the ask handler failed for %r", call.tool)
            return _denied(rule, _because(rule, f"asking failed: {describe(error)}"))
        if answer is PermissionDecision.ALLOW:
            return PermissionOutcome(PermissionDecision.ALLOW, rule, rule.reason)
        if answer is PermissionDecision.DENY:
            return _denied(rule, _because(rule, "it was asked about and refused"))
        _drop(answer)
        kind = type(answer).__name__
        return _denied(rule, _because(rule, f"the ask handler gave {kind}, not ALLOW or DENY"))


def _matches(rule: PermissionRule, call: ToolCall) -> bool | None:
    """Whether a rule is meant for a call; ``None`` if its matcher cannot say."""
    if rule.arg_matcher is None:
        return True
    try:
        if RAW_ARGUMENT in call.args:
            # The registry gives it its name later, so these are not the tool's arguments yet.
            raise ValueError(f"{call.tool}: the argument has no name")  # noqa: TRY301
        answer = rule.arg_matcher(own_args(call.args))
        if hasattr(answer, "__await__"):
            _drop(answer)
            raise TypeError("a matcher must be a plain function")  # noqa: TRY301
        return bool(answer)
    except Exception:  # noqa: BLE001 - the caller decides by the rule's kind; it never allows
        log().exception("the matcher of a rule for %r failed", rule.tool)
        return None


def own_args(args: Mapping[str, Any]) -> dict[str, Any]:
    """A copy without looplet's own keys, so that whoever is shown it changes no call."""
    return {key: copy.deepcopy(value) for key, value in args.items() if not is_dunder(key)}


def _because(rule: PermissionRule, text: str) -> str:
    return f"{rule.reason}: {text}" if rule.reason else text


def _denied(rule: PermissionRule | None, reason: str) -> PermissionOutcome:
    return PermissionOutcome(PermissionDecision.DENY, rule, reason)


def _drop(answer: object) -> None:
    """Close a coroutine that nobody will await."""
    close = getattr(answer, "close", None)
    if callable(close) and hasattr(answer, "__await__"):
        close()
