"""Arguments against a schema."""

from __future__ import annotations

import pytest

from looplet.core.validation import mismatch, suggest_similar


@pytest.mark.parametrize(
    ("value", "schema", "words"),
    [
        ("x", {"type": "integer"}, "must be integer, got string 'x'"),
        (True, {"type": "integer"}, "must be integer, got boolean True"),
        (True, {"type": "number"}, "must be number, got boolean True"),
        (1.5, {"type": "integer"}, "must be integer, got number 1.5"),
        (1, {"type": "boolean"}, "must be boolean, got integer 1"),
        (None, {"type": "string"}, "must be string, got null None"),
        ({}, {"type": "array"}, "must be array, got object {}"),
        ([], {"type": "object"}, "must be object, got array []"),
        ([], {"type": ["string", "null"]}, "must be string or null, got array"),
        ("c", {"enum": ["a", "b"]}, "must be one of 'a', 'b'"),
        (True, {"enum": [1]}, "must be one of 1"),
        ([1, "x"], {"type": "array", "items": {"type": "integer"}}, "'a[1]' must be integer"),
        ({}, {"properties": {"b": {}}, "required": ["b"]}, "'a' lacks 'b'"),
        ({"b": 1}, {"properties": {"b": {"type": "string"}}}, "'a.b' must be string"),
        (
            [],
            {"anyOf": [{"type": "string"}, {"enum": [1]}]},
            "must be string or one of 1, got array",
        ),
    ],
)
def test_a_wrong_type_is_told_with_what_was_expected_and_given(value, schema, words):
    assert words in mismatch(value, schema, "a")


@pytest.mark.parametrize(
    ("value", "schema"),
    [
        (3, {"type": "number"}),
        (3.0, {"type": "integer"}),
        (None, {"type": ["string", "null"]}),
        (None, {"anyOf": [{"type": "string"}, {"type": "null"}]}),
        (object(), {}),
        (object(), True),
        ([1], {"type": "array", "items": True}),
        ({"b": 1}, {"type": "object", "properties": {"b": True}}),
        (3, {"anyOf": [{"type": "string"}, True]}),
        (3, {"type": "of the future"}),
        ({"unknown": 1}, {"type": "object", "properties": {}}),
    ],
)
def test_what_a_schema_allows_or_does_not_know_passes(value, schema):
    assert mismatch(value, schema, "a") is None


def test_a_long_value_is_shown_short():
    assert len(mismatch("x" * 10_000, {"type": "integer"}, "a")) < 150


@pytest.mark.parametrize(("name", "meant"), [("pirce", "price"), ("zzz", None), ("", None)])
def test_a_near_name_is_suggested(name, meant):
    assert suggest_similar(name, ["price", "stock"]) == meant


def test_what_is_required_is_required_without_properties_too():
    assert mismatch({}, {"type": "object", "required": ["a"]}, "x") == "argument 'x' lacks 'a'"
