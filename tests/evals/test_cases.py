"""Cases and the files that keep them."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from looplet.errors import CasesDamaged, CasesMissing
from looplet.evals import EvalCase, load_cases, save_case, save_cases

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=6,
)
CASES = st.lists(
    st.builds(
        EvalCase,
        st.text(min_size=1, max_size=8),
        JSON,
        JSON | st.tuples(JSON),
        st.lists(st.text(max_size=4), max_size=2),
        st.text(max_size=8),
    ),
    unique_by=lambda case: case.id,
    max_size=4,
)


def empty(value):
    return value is None or value in ("", [], {})


def same(one, other):
    """Equal, where what is empty is left out of a file and comes back as it is by default."""
    pairs = [(getattr(one, name), getattr(other, name)) for name in EvalCase.__slots__]
    return all(a == b or (empty(a) and empty(b)) for a, b in pairs)


@given(CASES, st.sampled_from(["cases.json", "cases.jsonl"]))
def test_cases_come_back_from_a_file_in_order(tmp_path_factory, cases, name):
    path = tmp_path_factory.mktemp("cases") / "deep" / name
    assert save_cases(cases, path) == path
    loaded = load_cases(path)
    assert len(loaded) == len(cases)
    assert all(map(same, cases, loaded))


def test_a_case_is_saved_as_sorted_json_by_its_id(tmp_path):
    case = EvalCase("pears", {"goal": "Price: 2 €", "a": 1}, marks=["smoke"])
    folder = tmp_path / "new" / "cases"
    assert save_case(case, f"{folder}/") == folder / "pears.json"
    assert save_case(case, folder) == folder / "pears.json"
    assert (folder / "pears.json").read_text("utf-8") == (
        '{\n  "id": "pears",\n  "marks": [\n    "smoke"\n  ],\n  "task": {\n    "a": 1,\n'
        '    "goal": "Price: 2 €"\n  }\n}\n'
    )
    assert save_case(case, tmp_path / "other.json") == tmp_path / "other.json"
    assert load_cases(tmp_path / "other.json") == [case]


def test_a_directory_is_read_by_name(tmp_path):
    save_cases([EvalCase("d"), EvalCase("c")], tmp_path / "2.jsonl")
    save_cases([EvalCase("b")], tmp_path / "1.json")
    save_case(EvalCase("a"), tmp_path / "3.json")
    for name in (".hidden.json", "notes.md"):
        (tmp_path / name).write_text("{")
    assert [case.id for case in load_cases(tmp_path)] == ["b", "d", "c", "a"]
    folder = save_cases(load_cases(tmp_path), f"{tmp_path}/one_each/")
    assert sorted(path.name for path in folder.iterdir()) == [
        "a.json",
        "b.json",
        "c.json",
        "d.json",
    ]


def test_lines_may_be_blank_or_comments(tmp_path):
    path = tmp_path / "cases.jsonl"
    path.write_text(
        '\ufeff# fruit\n\n  # more\n{"id": "a"}\r\n{"id": "b", "notes": "\\u2028"}\n', "utf-8"
    )
    assert load_cases(path) == [EvalCase("a"), EvalCase("b", notes="\u2028")]


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.json", "{", "cannot be read"),
        ("a.json", b"\xff", "not UTF-8"),
        ("a.jsonl", '{"id": "a"}\nnope', r"a\.jsonl:2 cannot be read"),
        ("a.json", "[1]", "a case is an object, not int"),
        ("a.json", "{}", "needs an id"),
        ("a.json", '{"id": 7}', "needs an id, which is text"),
        ("a.json", '{"id": "a", "expcted": 1}', "did you mean 'expected'"),
        ("a.json", '{"id": "a", "marks": "smoke"}', "a list of words"),
        ("a.json", '{"id": "a", "notes": 1}', "notes of case 'a' are text"),
        ("a.json", '{"id": "a", "task": {"$looplet": "no such"}}', "no such"),
        ("a.json", '[{"id": "a"}, {"id": "a"}]', "'a' is also in"),
        ("a.jsonl", '{"id": "a"}\n\n{"id": "a"}', r"a\.jsonl:3: case 'a' is also in .*a\.jsonl:1"),
    ],
)
def test_what_is_no_case_is_an_error_that_names_the_file(tmp_path, name, text, message):
    path = tmp_path / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    for place in (path, tmp_path):
        with pytest.raises(CasesDamaged, match=message) as caught:
            load_cases(place)
        assert isinstance(caught.value, ValueError)
        assert str(path) in str(caught.value)


def test_a_path_that_is_not_there_is_missing(tmp_path):
    with pytest.raises(CasesMissing, match="no such file") as caught:
        load_cases(tmp_path / "none")
    assert isinstance(caught.value, FileNotFoundError)


@pytest.mark.parametrize("identity", ["../up", "a/b", "a\\b", ".hidden", "nul\0"])
def test_an_id_that_is_no_files_name_writes_nothing(tmp_path, identity):
    folder = tmp_path / "cases"
    folder.mkdir()
    with pytest.raises(ValueError, match="cannot be a file's name"):
        save_cases([EvalCase("fine"), EvalCase(identity)], folder)
    assert [*tmp_path.rglob("*")] == [folder]
    save_case(EvalCase(identity), tmp_path / "named.json")
    assert load_cases(tmp_path / "named.json")[0].id == identity


def test_what_would_lose_a_case_writes_nothing(tmp_path):
    path = save_cases([EvalCase("a"), EvalCase("b")], tmp_path / "cases.jsonl")
    before = path.read_bytes()
    with pytest.raises(ValueError, match="save_cases"):
        save_case(EvalCase("c"), path)
    with pytest.raises(CasesDamaged, match="two cases have the id 'a'"):
        save_cases([EvalCase("a"), EvalCase("a")], path)
    assert path.read_bytes() == before


def test_a_case_without_optionals_is_its_id():
    assert EvalCase("a").to_dict() == {"id": "a"}
    assert EvalCase("a", expected={"n": 0}).to_dict() == {"id": "a", "expected": {"n": 0}}
    assert json.loads(json.dumps(EvalCase("a", task=0).to_dict())) == {"id": "a", "task": 0}


TESTS = """
    from looplet import assert_evals_pass, parametrize_cases, EvalContext

    def eval_as_expected(ctx, case):
        return ctx.final_output == case.expected

    @parametrize_cases("cases")
    def test_price(case):
        assert_evals_pass(EvalContext([], case.task, {"euro": 2}), [eval_as_expected], case=case)
"""


def test_cases_are_parameters_with_ids_and_marks(pytester):
    cases = [
        EvalCase("plain pears", {"goal": "x"}, {"euro": 2}),
        EvalCase("wrong", expected={"euro": 3}, marks=["smoke"]),
        EvalCase("later", marks=["skip"]),
    ]
    save_cases(cases, f"{pytester.path}/cases/")
    pytester.makeini("[pytest]\nmarkers = smoke\n")
    pytester.makepyfile(test_prices=TESTS)
    result = pytester.runpytest_inprocess("-v")
    result.assert_outcomes(passed=1, failed=1, skipped=1)
    result.stdout.fnmatch_lines(
        [
            "*::test_price?plain pears? PASSED*",
            "*::test_price?wrong? FAILED*",
            "*✗ eval_as_expected*",
        ]
    )
    pytester.runpytest_inprocess("-m", "smoke").assert_outcomes(failed=1, deselected=2)


def test_no_case_to_test_is_an_error_and_not_a_skipped_test(pytester):
    (pytester.path / "cases").mkdir()
    pytester.makepyfile(test_prices=TESTS)
    result = pytester.runpytest_inprocess()
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["*CasesMissing: there is no case in cases*"])
