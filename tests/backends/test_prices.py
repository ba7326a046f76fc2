"""Prices by the real tables of genai-prices, as they came with the package."""

from __future__ import annotations

import asyncio
import inspect
import itertools
import sys
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from looplet.backends import AnthropicBackend, BackendRouter, CostTracker, ModelProfile
from looplet.backends.ledger import Ledger, PricedCall
from looplet.backends.prices import GenAIPrices
from looplet.core.records import Usage
from looplet.errors import MissingExtra
from looplet.testing import AsyncScriptedToolBackend, ScriptedToolBackend

genai_prices = pytest.importorskip("genai_prices", reason="needs the extra prices")

MODEL, CLAUDE = "gpt-4o", "claude-sonnet-5"
USAGE = {"input_tokens": 1000, "output_tokens": 100}


@pytest.fixture(params=[ScriptedToolBackend, AsyncScriptedToolBackend], ids=["sync", "async"])
def scripted(request):
    def make(*, model=MODEL, **told):
        return request.param(["hi"], usage={**USAGE, **told}, model=model, cycle=True)

    return make


def ask(llm, **keywords):
    answer = llm.generate("hello", **keywords)
    return asyncio.run(answer) if inspect.isawaitable(answer) else answer


def call(model=MODEL, *, sent=1000, received=100, **more):
    usage = Usage(sent, received, sent + received)
    return PricedCall(**{"model": model, "base_url": None, "usage": usage, **more})


def own(model=MODEL, *, provider_id=None, **tokens):
    """What the package itself computes."""
    usage = genai_prices.Usage(**tokens)
    return genai_prices.calc_price(usage, model, provider_id=provider_id).total_price


# --- a tracker


def test_a_call_costs_what_the_tables_say(scripted):
    llm = CostTracker(scripted(), prices=GenAIPrices())
    ask(llm)
    assert llm.total_cost == float(own(input_tokens=1000, output_tokens=100)) > 0
    assert llm.unpriced == llm.report()["unpriced"] == {}


def test_tokens_from_a_cache_cost_less(scripted):
    llm = CostTracker(scripted(cached_tokens=800), prices=GenAIPrices())
    ask(llm)
    tokens = {"input_tokens": 1000, "output_tokens": 100}
    assert llm.total_cost == float(own(**tokens, cache_read_tokens=800)) < float(own(**tokens))


def test_tokens_into_a_cache_cost_as_the_provider_prices_them(server, message):
    server.says(message(usage=(100, 50), cache_creation_input_tokens=900))
    inner = AnthropicBackend(base_url=server.root, api_key="k", model=CLAUDE)
    llm = CostTracker(inner, prices=GenAIPrices())
    ask(llm)
    tokens = {"input_tokens": 1000, "output_tokens": 50}
    expected = own(CLAUDE, **tokens, cache_write_tokens=900)
    assert llm.total_cost == float(expected) > float(own(CLAUDE, **tokens))
    assert inner.last_usage == {**tokens, "cache_write_tokens": 900}
    inner.close()


def test_prices_by_hand_win(scripted):
    llm = CostTracker(scripted(), cost_per_1k_input=1, prices=GenAIPrices())
    ask(llm)
    assert llm.total_cost == 1.0
    assert "unpriced" not in llm.report()


def test_a_model_that_the_tables_do_not_know_is_warned_about_once_and_reported(scripted):
    llm = CostTracker(scripted(model="grocer-7b"), prices=GenAIPrices())
    with pytest.warns(UserWarning, match="no price is known for the model 'grocer-7b'"):
        ask(llm)
    ask(llm)  # a second warning would be an error
    assert (llm.total_cost, llm.call_count) == (0.0, 2)
    assert llm.report()["unpriced"] == {"grocer-7b": 2}
    llm.reset()
    assert llm.unpriced == {}


# --- a router


def test_a_table_prices_every_backend_that_has_no_prices_by_hand(scripted):
    profiles = [
        ModelProfile("tables", scripted()),
        ModelProfile("hand", scripted(), cost_per_1k_input=2),
    ]
    router = BackendRouter(profiles, routes={"repair": "hand"}, prices=GenAIPrices())
    ask(router)
    ask(router, purpose="repair")
    by_name = {name: each["total_cost"] for name, each in router.report()["backends"].items()}
    expected = float(own(input_tokens=1000, output_tokens=100))
    assert by_name == {"tables": expected, "hand": 2.0}
    assert router.total_cost == pytest.approx(expected + 2.0)


def test_a_mapping_may_name_tables_and_prices(scripted):
    prices = {"a": GenAIPrices(), "b": (3, 0)}
    router = BackendRouter({"a": scripted(), "b": scripted()}, routes={"x": "b"}, prices=prices)
    ask(router)
    ask(router, purpose="x")
    assert router.total_cost == pytest.approx(float(own(input_tokens=1000, output_tokens=100)) + 3)


def test_a_router_names_what_has_no_price(scripted):
    router = BackendRouter(
        {"a": scripted(model="grocer-7b"), "b": scripted()}, prices=GenAIPrices()
    )
    with pytest.warns(UserWarning, match=r"'grocer-7b' of backend 'a'.*prices=\{'a': \("):
        ask(router)
    assert (router.unpriced, router.total_cost) == ({"grocer-7b": 1}, 0.0)
    assert router.report()["unpriced"] == {"grocer-7b": 1}


def test_a_single_backend_has_a_name_beside_a_table_too(scripted):
    router = BackendRouter(scripted(), prices=GenAIPrices())
    ask(router)
    assert list(router.report()["backends"]) == ["default"]
    assert router.total_cost > 0


# --- the tables


def test_the_address_tells_the_provider_and_else_the_models_name():
    prices = GenAIPrices()
    azure = "https://eastus.openai.azure.com/openai/v1/"
    assert prices.cost(call(base_url=azure)) == own(
        provider_id="azure", input_tokens=1000, output_tokens=100
    )
    nobodys = prices.cost(call(base_url="http://127.0.0.1:8000/v1"))
    assert nobodys == prices.cost(call(base_url=None)) is not None


def test_a_provider_that_is_named_counts_alone():
    assert GenAIPrices("openai").cost(call()) == GenAIPrices().cost(call())
    assert GenAIPrices("anthropic").cost(call()) is None


def test_a_provider_that_nobody_knows_is_refused_by_name():
    with pytest.raises(ValueError, match="has no provider 'grocer'"):
        GenAIPrices("grocer")


def test_a_backend_without_a_models_name_has_no_price():
    ledger = Ledger({"a": GenAIPrices()})
    with pytest.warns(UserWarning, match="the model 'a' of backend 'a'"):
        ledger.add("a", "reasoning", call(model=None))
    assert ledger.unpriced() == {"a": 1}


@given(
    st.sampled_from([MODEL, "gpt-4", CLAUDE, "gemini-2.5-pro"]),
    st.integers(0, 10**6),
    st.integers(0, 10**6),
    st.integers(0, 10**6),
)
def test_no_counts_make_the_tables_fail_and_a_cache_never_costs_more(model, sent, read, written):
    prices = GenAIPrices()
    counts = {"cached_tokens": read, "cache_write_tokens": written}
    assert prices.cost(call(model, sent=sent, **counts)) >= 0
    assert prices.cost(call(model, sent=sent, cached_tokens=read)) <= prices.cost(
        call(model, sent=sent)
    )


def test_the_sum_does_not_depend_on_the_order_of_calls():
    calls = [call(sent=7), call(sent=100_003, received=3), call(sent=1, cached_tokens=1)]
    sums = set()
    for order in itertools.permutations(calls):
        ledger = Ledger({"a": GenAIPrices()})
        for each in order:
            ledger.add("a", "reasoning", each)
        sums.add(ledger.total().total_cost)
    exact = sum((GenAIPrices().cost(each) for each in calls), Decimal(0))
    assert sums == {float(exact)}


def test_nothing_is_fetched_and_no_thread_is_left(scripted):
    import threading

    before = threading.active_count()
    llm = CostTracker(scripted(), prices=GenAIPrices())  # sockets beyond loopback are blocked here
    ask(llm)
    snapshot = genai_prices.data_snapshot.get_snapshot()
    assert snapshot.from_auto_update is False
    assert threading.active_count() <= before
    assert llm.total_cost > 0


def test_without_the_package_the_error_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "genai_prices", None)
    with pytest.raises(MissingExtra, match=r'pip install "looplet\[prices\]"') as caught:
        GenAIPrices()
    assert isinstance(caught.value.__cause__, ImportError)
