"""Pairs, beside scipy's."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from looplet.evals.matchers.pairing import pair

OPTIONS = st.lists(st.lists(st.integers(0, 6), unique=True, max_size=4), max_size=7)


@given(OPTIONS, st.data())
def test_as_many_have_an_option_as_scipy_finds_and_none_is_given_twice(options, data):
    from scipy.sparse import csr_array
    from scipy.sparse.csgraph import maximum_bipartite_matching

    again = st.lists(st.sampled_from(options), max_size=4) if options else st.just([])
    options = [*options, *data.draw(again)]  # the same lists, shared
    chosen = pair(options)
    given_out = [option for option in chosen if option is not None]
    assert len(set(given_out)) == len(given_out)
    assert all(
        option is None or option in offered for option, offered in zip(chosen, options, strict=True)
    )
    table = [[option in offered for option in range(7)] for offered in options]
    if options:
        best = maximum_bipartite_matching(csr_array(table), perm_type="column")
        assert len(given_out) == sum(best >= 0)


def test_a_chain_of_thousands_is_passed_on():
    options = [[place, place + 1] for place in range(3000)] + [[0]]
    chosen = pair(options)
    assert sorted(chosen) == list(range(3001))
