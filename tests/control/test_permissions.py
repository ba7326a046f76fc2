"""The permission rules, without a loop."""

from __future__ import annotations

import copy
import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from looplet.control import PermissionDecision, PermissionEngine, PermissionRule
from looplet.core.records import ToolCall

ALLOW, DENY, ASK, DEFAULT = (
    PermissionDecision.ALLOW,
    PermissionDecision.DENY,
    PermissionDecision.ASK,
    PermissionDecision.DEFAULT,
)
CALL = ToolCall("sql", {"query": "select 1"})


def fails(*args: Any) -> Any:
    raise LookupError("broken")


async def asynchronous(*args: Any) -> Any:
    return ALLOW


def yes(args: dict[str, Any]) -> bool:
    return True


def no(args: dict[str, Any]) -> bool:
    return False


def says(answer: Any) -> Any:
    return lambda call, rule: answer


@pytest.mark.parametrize(
    ("default", "allowed"), [(ALLOW, True), (DENY, False), (ASK, False), (DEFAULT, False)]
)
def test_only_a_default_of_allow_allows_what_no_rule_matches(default, allowed):
    handler = says(ALLOW)
    assert PermissionEngine(default=default, ask_handler=handler).evaluate(CALL).allowed is allowed


def test_a_call_is_allowed_by_default():
    assert PermissionEngine().evaluate(CALL).allowed


def test_a_misspelt_default_is_refused():
    with pytest.raises(ValueError, match="alow"):
        PermissionEngine(default="alow")


def test_a_default_that_was_spoilt_later_denies():
    engine = PermissionEngine()
    engine.default = "alow"
    assert engine.evaluate(CALL).denied


@pytest.mark.parametrize(("answer", "allowed"), [(ALLOW, True), (DENY, False)])
def test_the_ask_handler_decides(answer, allowed):
    engine = PermissionEngine(default=DENY, ask_handler=says(answer)).ask("sql", reason="money")
    outcome = engine.evaluate(CALL)
    assert (outcome.allowed, outcome.denied) == (allowed, not allowed)
    assert outcome.rule is engine.rules[0]
    assert outcome.reason.startswith("money")


@pytest.mark.parametrize("answer", [True, None, "allow", "yes", 1, ASK, DEFAULT, object()])
def test_anything_but_allow_from_the_ask_handler_denies(answer):
    engine = PermissionEngine(ask_handler=says(answer)).ask("sql")
    assert engine.evaluate(CALL).denied


def test_an_ask_handler_that_raises_denies_and_is_logged(caplog):
    engine = PermissionEngine(ask_handler=fails).ask("sql")
    outcome = engine.evaluate(CALL)
    assert outcome.denied
    assert "LookupError: broken" in outcome.reason
    assert "ask handler failed" in caplog.text


def test_an_async_ask_handler_denies_and_leaves_no_coroutine_behind():
    outcome = PermissionEngine(ask_handler=asynchronous).ask("sql").evaluate(CALL)
    assert outcome.denied
    assert "coroutine" in outcome.reason


@pytest.mark.parametrize("default", list(PermissionDecision))
def test_asking_without_a_handler_denies_whatever_the_default_is(default):
    outcome = PermissionEngine(default=default).ask("sql").evaluate(CALL)
    assert outcome.denied
    assert "nobody can be asked" in outcome.reason


@pytest.mark.parametrize("matcher", [fails, asynchronous])
def test_a_deny_rule_whose_matcher_raises_counts_as_a_match(matcher):
    engine = PermissionEngine().deny("sql", arg_matcher=matcher, reason="one statement only")
    outcome = engine.allow("*").evaluate(CALL)
    assert outcome.denied
    assert outcome.reason == "one statement only"


@pytest.mark.parametrize("matcher", [fails, asynchronous])
def test_an_allow_rule_whose_matcher_raises_does_not_match(matcher):
    engine = PermissionEngine(default=DENY).allow("sql", arg_matcher=matcher)
    assert engine.evaluate(CALL).denied
    assert engine.allow("sql").evaluate(CALL).allowed


@pytest.mark.parametrize("matcher", [fails, asynchronous])
def test_after_a_raising_ask_matcher_a_default_of_allow_denies(matcher):
    engine = PermissionEngine(ask_handler=says(ALLOW)).ask("sql", arg_matcher=matcher, reason="pay")
    outcome = engine.evaluate(CALL)
    assert outcome.denied
    assert outcome.rule is engine.rules[0]
    assert outcome.reason.startswith("pay")


def test_a_raising_ask_matcher_lets_later_rules_settle_the_call():
    engine = PermissionEngine(ask_handler=says(ALLOW)).ask("sql", arg_matcher=fails)
    assert engine.allow("sql").evaluate(CALL).allowed


def test_a_raising_matcher_is_logged(caplog):
    PermissionEngine().allow("sql", arg_matcher=fails).evaluate(CALL)
    assert "matcher of a rule for 'sql' failed" in caplog.text
    assert "LookupError: broken" in caplog.text


def test_a_matcher_whose_answer_has_no_truth_counts_as_raising():
    class Undecided:
        def __bool__(self) -> bool:
            raise ValueError("many values")

    engine = PermissionEngine(default=DENY).allow("sql", arg_matcher=lambda args: Undecided())
    assert engine.evaluate(CALL).denied


def test_the_first_matching_rule_wins():
    engine = PermissionEngine().allow("sql", arg_matcher=no).deny("sql", reason="first")
    engine.allow("sql").deny("*", reason="last")
    assert engine.evaluate(CALL).reason == "first"


def test_a_star_matches_every_tool_and_a_name_only_its_own():
    engine = PermissionEngine(default=DENY).allow("sql")
    assert engine.evaluate(ToolCall("sqlite")).denied
    assert engine.allow("*").evaluate(ToolCall("sqlite")).allowed


def test_rules_are_chained_on_the_engine():
    engine = PermissionEngine()
    assert engine.allow("a").deny("b").ask("c") is engine
    assert [rule.decision for rule in engine.rules] == [ALLOW, DENY, ASK]


def test_a_list_of_rules_that_was_given_is_not_added_to():
    given_rules = [PermissionRule("sql", DENY)]
    PermissionEngine(rules=given_rules).allow("a")
    assert given_rules == [PermissionRule("sql", DENY)]


def test_a_rule_cannot_say_default():
    with pytest.raises(ValueError, match="must allow, deny or ask"):
        PermissionRule("sql", DEFAULT)


def test_matchers_are_given_the_arguments_without_dunder_keys():
    seen: list[Any] = []
    engine = PermissionEngine().deny("sql", arg_matcher=seen.append)
    engine.evaluate(ToolCall("sql", {"query": "x", "__theory__": "t"}))
    assert seen == [{"query": "x"}]


def test_neither_a_matcher_nor_the_handler_can_change_the_call():
    def spoil(args: dict[str, Any]) -> bool:
        args["where"].append("matcher")
        return True

    def ask(call: ToolCall, rule: PermissionRule) -> PermissionDecision:
        call.args["where"].append("handler")
        return ALLOW

    call = ToolCall("sql", {"where": []})
    engine = PermissionEngine(ask_handler=ask)
    engine.ask("sql", arg_matcher=lambda args: spoil(args) and False).ask("sql", arg_matcher=spoil)
    assert engine.evaluate(call).allowed
    assert call.args == {"where": []}


def test_what_one_matcher_does_to_its_arguments_no_other_sees():
    engine = PermissionEngine().allow("sql", arg_matcher=lambda args: args.clear())
    engine.deny("sql", arg_matcher=lambda args: "query" in args)
    assert engine.evaluate(CALL).denied


def test_an_argument_without_a_name_slips_past_no_matcher():
    call = ToolCall("sql", {"_raw_arg": "drop table users"})
    lenient = PermissionEngine().deny(
        "sql", arg_matcher=lambda args: "drop" in args.get("query", "")
    )
    assert lenient.evaluate(call).denied
    strict = PermissionEngine(default=DENY).allow("sql", arg_matcher=yes)
    assert strict.evaluate(call).denied
    assert strict.allow("sql").evaluate(call).allowed


def test_arguments_that_cannot_be_copied_are_denied(caplog):
    class Stuck:
        def __deepcopy__(self, memo: Any) -> Any:
            raise TypeError("stuck")

    engine = PermissionEngine()
    outcome = engine.evaluate(ToolCall("sql", {"query": Stuck()}))
    assert outcome.denied
    assert "TypeError: stuck" in outcome.reason
    assert "could not be settled" in caplog.text
    assert len(engine.denials) == 1


def test_a_list_of_rules_with_something_else_in_it_denies():
    assert PermissionEngine(rules=["allow everything"]).evaluate(CALL).denied


def test_denials_are_kept_with_tool_arguments_rule_and_reason():
    engine = PermissionEngine().deny("sql", reason="closed")
    engine.evaluate(ToolCall("sql", {"query": "x", "__theory__": "t"}))
    engine.evaluate(ToolCall("price"))
    rule = engine.rules[0]
    args = {"query": "x"}
    assert engine.denials == [{"tool": "sql", "args": args, "rule": rule, "reason": "closed"}]


def test_a_denial_by_default_has_no_rule():
    engine = PermissionEngine(default=DENY)
    engine.evaluate(CALL)
    assert engine.denials[0]["rule"] is None
    assert engine.denials[0]["reason"] == "no rule allows 'sql'"


def test_denials_go_into_a_list_that_was_given():
    denials: list[Any] = []
    PermissionEngine(default=DENY, denials=denials).evaluate(CALL)
    assert len(denials) == 1


def test_the_contracts_example_allows_one_select_and_nothing_else():
    engine = PermissionEngine(default=DENY)
    engine.deny("sql", arg_matcher=lambda a: ";" in a["query"], reason="one statement only")
    engine.allow("sql", arg_matcher=lambda a: a["query"].lower().startswith("select "))
    outcomes = {
        query: engine.evaluate(ToolCall("sql", {"query": query})).allowed
        for query in ("SELECT 1", "select 1; drop table users", "drop table users")
    }
    assert list(outcomes.values()) == [True, False, False]
    assert engine.evaluate(ToolCall("sql", {"sql": "select 1"})).denied


MATCHERS = st.sampled_from([None, yes, no, fails, asynchronous, lambda args: args["n"] > 0])
RULES = st.builds(
    PermissionRule,
    tool=st.sampled_from(["a", "b", "*"]),
    decision=st.sampled_from([ALLOW, DENY, ASK]),
    arg_matcher=MATCHERS,
)
HANDLERS = st.sampled_from([None, says(ALLOW), says(DENY), says(True), fails, asynchronous])
ENGINES = st.builds(
    PermissionEngine,
    rules=st.lists(RULES, max_size=5),
    default=st.sampled_from(list(PermissionDecision)),
    ask_handler=HANDLERS,
)
CALLS = st.builds(
    ToolCall,
    tool=st.sampled_from(["a", "b", "c"]),
    args=st.dictionaries(st.sampled_from(["n", "_raw_arg", "__x__"]), st.integers(-1, 1)),
)


def with_rules(engine: PermissionEngine, rules: list[PermissionRule]) -> PermissionEngine:
    return replace(engine, rules=rules, denials=[])


@given(ENGINES, CALLS, RULES, st.data())
def test_adding_a_deny_rule_never_allows_more(engine, call, rule, data):
    place = data.draw(st.integers(0, len(engine.rules)))
    denying = replace(rule, decision=DENY)
    stricter = with_rules(engine, [*engine.rules[:place], denying, *engine.rules[place:]])
    assert engine.evaluate(call).allowed or not stricter.evaluate(call).allowed


@given(ENGINES, CALLS, RULES, st.data())
def test_a_rule_whose_matcher_raises_never_allows_more_than_no_rule(engine, call, rule, data):
    place = data.draw(st.integers(0, len(engine.rules)))
    broken = replace(rule, arg_matcher=fails)
    more = with_rules(engine, [*engine.rules[:place], broken, *engine.rules[place:]])
    assert engine.evaluate(call).allowed or not more.evaluate(call).allowed


@given(ENGINES, CALLS)
def test_a_call_is_allowed_or_denied_kept_and_never_changed(engine, call):
    before = copy.deepcopy(call)
    outcome = engine.evaluate(call)
    assert outcome.decision in (ALLOW, DENY)
    assert outcome.allowed is not outcome.denied
    assert len(engine.denials) == outcome.denied
    assert json.dumps(call.to_dict()) == json.dumps(before.to_dict())
    assert outcome.allowed or outcome.reason
