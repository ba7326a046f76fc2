"""Numbers, dates and times as a reader would tell them."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from looplet.evals.figures import figures_in

AMOUNTS = st.decimals(min_value=-(10**9), max_value=10**9, places=2)
AROUND = st.sampled_from([
    "{}", "It is {}.", "({})", "€{}", "{} €", "{} kg", "{}kg", "a: {}, b", "'{}'", "[x] {};",
    '"{}"', "*{}*", "= {}!", "up to {}?", "{}\n", "about EUR {}, or so", "{}-year",
])  # fmt: skip


def numbers(value, **options):
    """What each figure may mean, as text."""
    return [
        " or ".join(f"{number.normalize():f}" for number, _ in figure.numbers) or figure.name
        for figure in figures_in(value, **options)
    ]


@given(AMOUNTS, AROUND, st.sampled_from([",", "", "\u202f", "'", "_"]))
def test_a_number_is_read_back_however_it_is_written(amount, around, group):
    text = f"{amount:,.2f}".replace(",", group)
    (figure,) = figures_in(around.format(text))
    assert figure.numbers == ((amount, Decimal("0.01")),)
    german = text.replace(".", "|").replace(",", ".").replace("|", ",")
    (figure,) = figures_in(around.replace(",", ";").format(german), decimal=",")
    assert figure.numbers[0][0] == amount


@given(st.integers(1, 10**6))
def test_a_number_is_whole_and_never_a_part_of_a_longer_one_or_of_a_name(number):
    longer = [f"{before}{number}" for before in ("7", "1.", "0.", "-", "v", "_", "Q3x", "v1.")]
    longer += [f"{number}{after}" for after in ("7", ".5", "e2", "a1", "_1", " million", ".1.2")]
    for text in longer:
        readings = {each for figure in figures_in(f"a {text} b") for each, _ in figure.numbers}
        assert Decimal(number) not in readings


@given(st.dates(min_value=date(1000, 1, 1)))
def test_a_date_is_the_same_day_however_it_is_written(day):
    written = [
        day.isoformat(), f"{day:%Y}/{day.month}/{day.day}", f"{day:%B} {day.day}, {day:%Y}",
        f"{day.day} {day:%b} {day:%Y}", f"{day:%b}. {day.day}th {day:%Y}",
    ]  # fmt: skip
    for text in written:
        (figure,) = figures_in(f"On {text}.")
        assert figure.name == day.isoformat()
        assert figure.numbers == ((Decimal(day.year), Decimal(1)),)
        (claimed,) = figures_in(text, is_answer=True)
        assert (claimed.name, claimed.numbers) == (day.isoformat(), ())


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("1.2e3 and 1E-2, .5", ["1200", "0.01", "0.5"]),
        ("-5, \u22127, -$3, $-4, (-2) but 10-12 and x-3 and 40%-50%",
         ["-5", "-7", "-3", "-4", "-2", "10", "12", "3", "40 or 0.4", "50 or 0.5"]),
        ("5%, 5 %, 5 percent, 5 per cent, 5 percentile",
         ["5 or 0.05", "5 or 0.05", "5 or 0.05", "5 or 0.05", "5"]),
        ("1.2 million of 3 thousand", ["1200000", "3000"]),
        ("EUR5, usd 6, ¥7, XEUR8", ["5", "6", "7"]),
        ("Q3 v2 v1.5 A17 3f2a9c 0x1F id_7 1.5f2 sha256", []),
        ("10ms 3rd 2x 5-star 1st", ["10", "3", "2", "5", "1"]),
        ("1.2.3, 10.0.0.1 and 01/03/2024", ["1.2.3", "10.0.0.1", "01/03/2024"]),
        ("1/2 a 3:1", ["1", "2", "3", "1"]),
        ("at 9:30 or 09:30:00, not 99:99", ["09:30:00", "09:30:00", "99:99"]),
        ("pear,100,200,300", ["100", "200", "300"]),
        ("1,234 1,2345 12,34 1,234,5", ["1234", "1", "2345", "12", "34", "1", "234", "5"]),
        ("1..5", ["1", "5"]),
        ("2024-03-01T10:00:00Z", ["2024", "10:00:00"]),
        ("2024-02-30", ["2024-02-30"]),
        ("May 5 and 5 May", ["5", "5"]),
    ],
)  # fmt: skip
def test_what_counts_as_a_number(text, found):
    assert numbers(text) == found


def test_structures_are_read_with_their_places():
    value = {
        "sum": 1.5, "ok": True, "2024": [3, {"n": "4 of 5"}], "none": None, "nan": float("nan"),
        "big": 2**70, "q1": float("inf"), "when": datetime(2024, 3, 1, 10, tzinfo=UTC),
        "json": "[1,234]", "bad": "[7", "dec": Decimal("2.50"),
    }  # fmt: skip
    found = {".".join(each.path): numbers(each.text) for each in figures_in(value)}
    assert numbers(value) == [
        "1.5", "2024", "3", "4", "5", str(2**70), "2024", "10:00:00", "00:00:00", "1", "234", "7",
        "2.5",
    ]  # fmt: skip
    assert found["2024.1.n"] == ["5"]
    assert found["json.1"] == ["234"]
    assert "2024" not in numbers({"2024": 1}, is_answer=True)


def test_the_numbering_of_a_list_is_no_claim():
    text = "1. Pears: 3\n 2) Plums: 4\n12. Figs\n2024. x\n7.5 kg"
    assert numbers(text, is_answer=True) == ["3", "4", "2024", "7.5"]
    assert numbers(text)[:2] == ["1", "3"]


def test_numbers_of_any_length_are_compared_exactly():
    long = 10**5000 + 1
    (figure,) = figures_in(long)
    (other,) = figures_in(str(Decimal(long - 1)))
    assert figure.numbers[0][0] != other.numbers[0][0]
    assert len(figure.text) < 40
