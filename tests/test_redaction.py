"""Secrets out of texts and structures."""

from __future__ import annotations

import base64
import json
import threading
from datetime import date
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from looplet.core.codec import from_jsonable, to_jsonable
from looplet.errors import LoopletError, RedactionError
from looplet.redaction import Redactor, redact_strings
from looplet.redaction.signs import Signs

SK = "sk-proj-Zx81kQw92mLp04TtVb77"
SK_2 = "sk-ant-api03-9fJq2LwX0aPz6RtY"
JWT = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTYifQ.dBjftJeZ4CVP-mB92K27uhbUJU1p1r"
PEM = "-----BEGIN RSA PRIVATE KEY-----\nMIIBOgIBAAJBAKj34Gkx\nFQ==\n-----END RSA PRIVATE KEY-----"
SHAPED = {
    "sk": SK,
    "github": "ghp_16C7e42F292c6912E7710c838347Ae178B4a",
    "gitlab": "glpat-x9Yz81kQw92mLp04TtVb",
    "aws": "AKIAIOSFODNN7EXAMPLE",
    "google": "AIzaSyD4iE2xVSpkLLOXoyqT-RuPwURN3ddScAI",
    "slack": "xoxb-17653672481-19874698323-pdFZKVeTuE8sk7oOcHrzqqgy",
    "huggingface": "hf_aBcDeFgHiJkLmNoPqRsTuVwXyZ012345",
    "jwt": JWT,
    "private-key": PEM,
}
ODD = st.sampled_from(list('aab1/+é"\\\n %[]-:.R'))
secrets = (
    st.text(ODD, min_size=8, max_size=14) | st.text(min_size=8, max_size=14)
).filter(lambda secret: len(secret.strip()) >= 8)  # fmt: skip
fillers = st.lists(
    st.text(ODD, max_size=6)
    | st.sampled_from([SK, JWT, "[REDACTED:sk-1]", "[REDACTED:", "]", "Bearer ", "://a:", "@"]),
    max_size=4,
).map("".join)


def usable(*given, **options):
    """A redactor of such secrets; ones that a placeholder contains are refused, and not tried."""
    try:
        return Redactor(secrets=options.pop("named", given), **options)
    except RedactionError:
        assume(False)


def strings_of(value):
    """Every string in a structure, keys included."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, bytes):
        yield value.decode("utf-8", "surrogateescape")
    elif isinstance(value, dict):
        for pair in value.items():
            for each in pair:
                yield from strings_of(each)
    elif isinstance(value, list | tuple | set | frozenset):
        for each in value:
            yield from strings_of(each)


def structures(texts):
    """Structures two deep, without ``st.recursive``: made anew for each case, it was flaky."""
    leaves = (
        texts | texts.map(lambda text: text.encode("utf-8", "surrogatepass"))
        | st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False)
    )  # fmt: skip
    found = leaves
    for _ in range(2):
        found = (
            leaves | st.lists(found, max_size=3) | st.dictionaries(texts, found, max_size=3)
            | st.tuples(found, found) | st.sets(texts, max_size=3)
        )  # fmt: skip
    return found


@st.composite
def texts_with(draw, *given):
    """A text in which secrets stand, also inside and beside one another."""
    parts = draw(st.lists(fillers | st.sampled_from(given), max_size=6))
    text = "".join(parts)
    for secret in draw(st.lists(st.sampled_from(given), max_size=2)):
        place = draw(st.integers(0, len(text)))
        text = text[:place] + secret + text[place:]
    return text


CASES = st.tuples(secrets, secrets).flatmap(
    lambda given: st.tuples(structures(texts_with(*given)), *map(st.just, given))
)
"""A structure, and two secrets that stand in its texts."""


@given(CASES)
def test_no_secret_survives_in_any_structure(case):
    structure, one, other = case
    redactor = usable(one, other)
    for text in strings_of(redactor.value(structure)):
        assert one.strip() not in text
        assert other.strip() not in text


@given(CASES)
def test_no_secret_survives_what_the_codec_made_of_a_structure(case):
    structure, one, other = case
    redactor = usable(one, other)
    stored = redactor.value(json.loads(json.dumps(to_jsonable(structure))))
    for text in strings_of(from_jsonable(stored)):
        assert one.strip() not in text
        assert other.strip() not in text


MARKED = st.lists(fillers | st.sampled_from(["<1>", "<2>"]), max_size=4).map("".join)


@given(structures(MARKED), secrets, secrets, st.sampled_from([lambda same: same, to_jsonable]))
def test_no_sign_of_a_secret_means_that_there_is_none(marked, one, other, form):
    structure = form(
        redact_strings(marked, lambda text: text.replace("<1>", one).replace("<2>", other))
    )
    closely = usable(one, other)
    looked_through = redact_strings(structure, lambda text: closely.pieces([text])[0])
    assert usable(one, other).value(structure) == looked_through


@given(st.lists(st.text(ODD, min_size=1, max_size=5), max_size=6), st.text(ODD, max_size=30))
def test_one_of_many_texts_is_found_where_it_stands(many, text):
    first, second = Signs(many[:3]), Signs(many[:3]).with_more(many[3:])
    assert first.any_in(text) == any(each in text for each in many[:3])
    assert second.any_in(text) == any(each in text for each in many)


def test_what_shows_no_sign_of_a_secret_is_given_back_as_it_is():
    redactor = Redactor(secrets={"door": 'se"same99'})
    in_json = json.dumps(json.dumps({"arguments": 'se"same99'}))
    assert redactor.value([in_json]) == [redactor.text(in_json)] != [in_json]
    structure = {"a": ["no secret", {"b": (1, None, 'se"same')}]}
    assert redactor.value(structure) is structure
    assert Redactor(patterns=["s.c"]).value(structure) == {
        "a": ["no [REDACTED:pattern-1]ret", {"b": (1, None, 'se"same')}]
    }
    assert redactor.value({"a": {1, 2}, "b": Path("x")}) == {"a": {1, 2}, "b": Path("x")}


@given(st.data(), secrets, secrets)
def test_what_is_redacted_stays_as_it_is(data, one, other):
    redactor = usable(one, other)
    once = redactor.text(data.draw(texts_with(one, other)))
    assert redactor.text(once) == once
    assert Redactor(defaults=True).text(once) == once  # a replay without the secrets


@given(st.data(), secrets, secrets)
def test_pieces_are_redacted_as_if_joined(data, one, other):
    redactor = usable(one, other)
    text = data.draw(texts_with(one, other))
    cuts = sorted(data.draw(st.lists(st.integers(0, len(text)), max_size=6)))
    pieces = [text[a:b] for a, b in zip([0, *cuts], [*cuts, len(text)], strict=True)]
    redacted = redactor.pieces(pieces)
    assert len(redacted) == len(pieces)
    assert "".join(redacted) == redactor.text(text)


@given(st.lists(secrets.map(str.strip), min_size=2, max_size=5, unique=True), st.data())
def test_two_secrets_have_two_placeholders_and_one_secret_has_one(many, data):
    redactor = usable(*many)
    alone = [redactor.text(secret) for secret in many]
    assert sorted(alone) == sorted(f"[REDACTED:secret-{place + 1}]" for place in range(len(many)))
    order = data.draw(st.permutations(many))
    assert [redactor.text(secret) for secret in order] == [
        alone[many.index(secret)] for secret in order
    ]


@given(secrets.map(str.strip), st.binary(max_size=5), st.binary(max_size=5))
def test_a_secret_is_found_in_escapes_and_in_base64(secret, before, after):
    redactor = usable(named={"the": secret}, defaults=False)
    data = secret.encode("utf-8", "surrogatepass")
    for form in (
        json.dumps(secret)[1:-1],
        json.dumps(secret, ensure_ascii=False)[1:-1],
        json.dumps(json.dumps({"a": secret}))[10:-4],
        quote(data),
        quote(data, safe=""),
        quote_plus(data),
    ):
        assert form not in redactor.text(f"x {form} y")
        assert "[REDACTED:the]" in redactor.text(f"x {form} y")
    for encode in (base64.b64encode, base64.urlsafe_b64encode):
        inside = encode(before + data + after).decode()
        redacted = redactor.text(inside)
        assert "[REDACTED:the]" in redacted
        assert redacted.count("[") == 1


@pytest.mark.parametrize(("kind", "secret"), SHAPED.items(), ids=[*SHAPED])
@pytest.mark.parametrize(
    "around", ["{}", "key={}", '"{}"', "a\\n{}\\nb", "%3D{}&x=1", "({}).", "line\n{}\nline"]
)
def test_a_key_of_known_looks_is_found(kind, secret, around):
    redacted = Redactor().text(around.format(secret))
    assert redacted == around.format(f"[REDACTED:{kind}-1]")


@pytest.mark.parametrize(
    ("text", "redacted"),
    [
        ("Authorization: Bearer abc123def456", "Authorization: Bearer [REDACTED:bearer-1]"),
        (f"BEARER {SK}", "BEARER [REDACTED:sk-1]"),
        ("Authorization: Basic dXNlcjpwYXNz", "Authorization: Basic [REDACTED:basic-1]"),
        ("postgres://ada:s3cr3t@db/x", "postgres://ada:[REDACTED:url-1]@db/x"),
        (
            'aws_secret_access_key = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"',
            'aws_secret_access_key = "[REDACTED:aws-1]"',
        ),
        ("-----BEGIN PRIVATE KEY-----\nMIIBOgIB (cut)", "[REDACTED:private-key-1](cut)"),
    ],
)
def test_a_secret_is_found_by_what_stands_around_it(text, redacted):
    assert Redactor().text(text) == redacted


@pytest.mark.parametrize(
    "text",
    [
        "The task-force met in a risk-adjusted-and-orderly-manner1 of disk-usage-by-department.",
        "A bearer certificate names no owner; sk-learn a package, sk-estimator-doc-link a class.",
        "See http://localhost:8080/a@b and https://example.org:443/c?d=e@f.",
        "max_tokens=100, tokens: 17, api_key=None, password: str",
        "sha256 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
        "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----",
    ],
)
def test_what_is_no_secret_stays(text):
    assert Redactor().text(text) == text


def test_named_secrets_show_their_names_and_others_are_numbered_as_they_come():
    redactor = Redactor(secrets={"door": "sesame99"}, patterns={"card": r"[0-9]{16}"})
    assert redactor.text(f"{SK_2}, {SK}, sesame99") == (
        "[REDACTED:sk-1], [REDACTED:sk-2], [REDACTED:door]"
    )
    assert redactor.text(f"{SK} 4111111111111111") == "[REDACTED:sk-2] [REDACTED:card-1]"


def test_a_replay_that_sees_a_placeholder_numbers_later_secrets_as_the_recording_did():
    recording, replay = Redactor(), Redactor()
    first = recording.text(f"the tool says {SK}")
    then = recording.text(f"new: {SK_2}")
    assert replay.text(first) == first
    assert replay.text(f"new: {SK_2}") == then == "new: [REDACTED:sk-2]"


def test_the_longest_of_secrets_that_contain_one_another_is_replaced():
    redactor = Redactor(secrets={"short": "sesame", "long": "open-sesame-99", "head": SK[:12]})
    assert redactor.text("open-sesame-99 sesame") == "[REDACTED:long] [REDACTED:short]"
    assert redactor.text(f"{SK} {SK[:12]}") == "[REDACTED:sk-1] [REDACTED:head]"


def test_secrets_that_overlap_leave_nothing_of_either():
    redactor = Redactor(secrets={"one": "abcdefgh", "two": "fghijklmn"})
    assert redactor.text("xabcdefghijklmnx") == "x[REDACTED:two]x"


def test_a_secret_that_overlaps_itself_leaves_nothing():
    redactor = Redactor(secrets={"door": "ababab"}, defaults=False)
    assert redactor.text("xababababx") == "x[REDACTED:door]x"


def test_a_secret_that_is_the_encoding_of_another_has_a_placeholder_of_its_own():
    redactor = Redactor(secrets={"door": "open sesame", "gate": "open%20sesame"})
    assert redactor.text("open sesame open%20sesame") == "[REDACTED:door] [REDACTED:gate]"


def test_no_number_makes_a_placeholder_that_contains_a_secret():
    redactor = Redactor(secrets=["secret-1", "open-sesame"])
    assert redactor.text("open-sesame secret-1") == "[REDACTED:secret-2] [REDACTED:secret-3]"


def test_what_a_replacement_sets_free_is_replaced_too():
    redactor = Redactor(secrets={"door": "sesame99", "odd": "]password"})
    assert redactor.text(f"sesame99{SK}") == "[REDACTED:door][REDACTED:sk-1]"
    assert redactor.text("sesame99password") == "[REDACTED:odd]"


def test_only_the_group_called_secret_is_replaced():
    redactor = Redactor(patterns=[r"pin=(?P<secret>\d+)"], defaults=False)
    assert redactor.text("pin=1234, pin=99") == "pin=[REDACTED:pattern-1], pin=[REDACTED:pattern-2]"


def test_a_pattern_that_fits_everything_leaves_placeholders_alone():
    redactor = Redactor(patterns=[r"\w{4,}"], defaults=False)
    once = redactor.text("hello world")
    assert once == "[REDACTED:pattern-1] [REDACTED:pattern-2]"
    assert redactor.text(once) == once


def test_a_key_in_a_placeholder_by_hand_is_no_placeholder():
    assert SK not in Redactor().text(f"[REDACTED:{SK}]")


def test_variables_named_like_secrets_are_found_and_others_are_not(monkeypatch):
    monkeypatch.setenv("ACME_API_KEY", "acme 12345")
    monkeypatch.setenv("DB_PASSWORD", "password")
    monkeypatch.setenv("SHORT_TOKEN", "abc1234")
    monkeypatch.setenv("PWD", "/home/ada/agent")
    monkeypatch.setenv("ADMIN_PWD", "ada-lovelace")
    monkeypatch.setenv("TOKENIZERS_PARALLELISM", "sometimes")
    text = "acme 12345 password abc1234 sometimes /home/ada/agent ada-lovelace"
    redacted = (
        "[REDACTED:ACME_API_KEY] password abc1234 sometimes /home/ada/agent [REDACTED:ADMIN_PWD]"
    )
    assert Redactor().text(text) == redacted
    assert Redactor(defaults=False).text(text) == text


def test_variables_that_a_user_names_are_found_if_they_are_set(monkeypatch):
    monkeypatch.setenv("DOOR", "sesame99\n")
    monkeypatch.delenv("GATE", raising=False)
    redactor = Redactor(env=["DOOR", "GATE"], defaults=False)
    assert redactor.text("say sesame99!") == "say [REDACTED:DOOR]!"


def test_two_secrets_of_one_name_have_two_placeholders(monkeypatch):
    monkeypatch.setenv("DOOR", "sesame99")
    redactor = Redactor(secrets={"DOOR": "open-it-now"}, env=["DOOR"])
    assert redactor.text("open-it-now sesame99") == "[REDACTED:DOOR] [REDACTED:DOOR-2]"


def test_a_function_comes_last_and_sees_what_the_others_left():
    seen = []

    def function(text):
        seen.append(text)
        return text.replace("Ada", "[REDACTED:person]")

    redactor = Redactor(secrets={"door": "sesame99"}, function=function)
    assert redactor.text("Ada: sesame99") == "[REDACTED:person]: [REDACTED:door]"
    assert seen == ["Ada: [REDACTED:door]"]


@given(
    st.lists(st.text("abcX", max_size=5), min_size=1, max_size=5),
    st.sampled_from(
        [
            lambda text: text.replace("abc", "<name>"),
            lambda text: text.replace("X", ""),
            lambda text: text.upper() + "!",
            lambda text: "",
            lambda text: "?" + text[::-1],
        ]
    ),
)
def test_pieces_go_through_a_function_as_if_joined(pieces, function):
    redactor = Redactor(function=function, defaults=False)
    redacted = redactor.pieces(pieces)
    assert len(redacted) == len(pieces)
    assert "".join(redacted) == function("".join(pieces))


def test_what_a_function_raises_is_raised():
    def function(_text):
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        Redactor(function=function).value({"a": ["b"]})


def test_given_objects_stay_as_they_are():
    given = {"a": ["sesame99", {"b": ("sesame99",)}]}
    redacted = Redactor(secrets={"door": "sesame99"}).value(given)
    assert given == {"a": ["sesame99", {"b": ("sesame99",)}]}
    assert redacted == {"a": ["[REDACTED:door]", {"b": ("[REDACTED:door]",)}]}
    redacted["a"][1]["c"] = 1
    assert "c" not in given["a"][1]


def test_redact_strings_reaches_every_kind_of_value():
    class Point(NamedTuple):
        name: str
        x: float

    class Strange:
        def __repr__(self):
            return "<holds Ada>"

    strange, day = object(), date(2024, 5, 1)
    value = {
        "Ada": {"Ada", 1}, ("Ada", 2): frozenset(["Ada"]), "path": Path("/home/Ada"),
        "bytes": b"\xffAda\x00", "point": Point("Ada", 1.5), "none": None, "true": True,
        "strange": strange, "day": day, "odd": Strange(),
    }  # fmt: skip
    redacted = redact_strings(value, lambda text: text.replace("Ada", "#"))
    assert redacted == {
        "#": {"#", 1}, ("#", 2): frozenset(["#"]), "path": Path("/home/#"),
        "bytes": b"\xff#\x00", "point": Point("#", 1.5), "none": None, "true": True,
        "strange": strange, "day": day, "odd": "<holds #>",
    }  # fmt: skip


def test_redact_strings_keeps_what_the_codec_needs():
    value = {"a": {1: (b"Ada", "Ada")}, "b": [date(2024, 5, 1), float("inf"), 1 << 20_000]}
    redacted = redact_strings(to_jsonable(value), lambda text: text.replace("Ada", "#").upper())
    assert from_jsonable(redacted) == {
        "A": {1: (b"#", "#")}, "B": [date(2024, 5, 1), float("inf"), 1 << 20_000],
    }  # fmt: skip


def test_redact_strings_leaves_dates_and_numbers_that_the_codec_made_texts():
    value = [date(2024, 5, 1), float("inf"), 1 << 20_000]
    redacted = redact_strings(to_jsonable(value), lambda text: "#")
    assert from_jsonable(redacted) == value


def test_keys_that_become_equal_are_all_kept():
    redacted = redact_strings({"Ada": 1, "Bob": 2, "x": 3}, lambda text: "[name]")
    assert redacted == {"[name]": 1, "[name] (2)": 2, "[name] (3)": 3}


def test_a_value_that_contains_itself_is_redacted_as_its_repr():
    value = ["sesame99"]
    value.append(value)
    assert redact_strings(value, lambda text: text.replace("sesame99", "#")) == "['#', [...]]"


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"secrets": ["abc"]}, "place 0 of secrets= has 3 characters"),
        ({"secrets": [""]}, "0 characters"),
        ({"secrets": {"door": "   "}}, "'door' has 0 characters"),
        ({"secrets": [17]}, "is int"),
        ({"secrets": "sesame99"}, "a list"),
        ({"secrets": {"a door": "sesame99"}}, "'a door' cannot stand"),
        ({"secrets": {"sesame99": "sesame99"}}, "part of a placeholder"),
        ({"secrets": ["REDACTED"]}, "part of a placeholder"),
        ({"secrets": {"a": "sesame99", "sesame99": "open-it"}}, "contains another secret"),
        ({"env": "HOME"}, "env= takes a list"),
        ({"patterns": "a+"}, "patterns= takes a list"),
        ({"patterns": ["(a"]}, "'(a' cannot be used"),
        ({"patterns": [b"a"]}, "of bytes"),
    ],
)
def test_what_cannot_be_used_is_refused_with_the_reason(given, words):
    with pytest.raises(RedactionError, match=r"(?s).*") as caught:
        Redactor(**given)
    assert words in str(caught.value)
    assert isinstance(caught.value, LoopletError | ValueError)


def test_a_refusal_does_not_tell_the_secret():
    with pytest.raises(RedactionError) as caught:
        Redactor(secrets={"door": "q7"})
    assert "q7" not in str(caught.value)
    assert "sesame99" not in repr(Redactor(secrets={"door": "sesame99"}))


def test_a_function_that_gives_no_text_is_named():
    with pytest.raises(RedactionError, match="gave NoneType"):
        Redactor(function=lambda text: None).text("a")


def test_of_takes_what_users_give(monkeypatch):
    monkeypatch.setenv("ACME_API_KEY", "acme-12345")
    text = f"acme-12345 {SK} sesame99"
    shown = "[REDACTED:ACME_API_KEY] [REDACTED:sk-1] "
    own = Redactor()
    assert Redactor.of(own) is own
    assert Redactor.of(None).text(text) == shown + "sesame99"
    assert Redactor.of(True).text(text) == shown + "sesame99"
    assert Redactor.of(False).text(text) == text
    assert Redactor.of(["sesame99"]).text(text) == shown + "[REDACTED:secret-1]"
    assert Redactor.of({"door": "sesame99"}).text(text) == shown + "[REDACTED:door]"
    assert Redactor.of(lambda text: text[-8:]).text(text) == "sesame99"
    with pytest.raises(RedactionError, match="redact=str"):
        Redactor.of("sesame99")
    with pytest.raises(RedactionError, match="redact=int"):
        Redactor.of(7)


def test_one_that_hides_more_hands_out_the_same_placeholders():
    redactor = Redactor(secrets={"door": "sesame99"})
    assert redactor.text(SK) == "[REDACTED:sk-1]"
    other = redactor.also({"gate": "open-it-now", "door": "third-one", "shown": "REDACTED"})
    assert other.text(f"{SK} {SK_2} sesame99 open-it-now third-one REDACTED") == (
        "[REDACTED:sk-1] [REDACTED:sk-2] [REDACTED:door] [REDACTED:gate] [REDACTED:door-2] REDACTED"
    )
    assert redactor.text(f"{SK_2} open-it-now") == "[REDACTED:sk-2] open-it-now"
    assert redactor.also({"gate": "open-it-now"}).text("open-it-now") == "[REDACTED:gate]"


def test_what_one_would_hide_is_told_without_a_number_for_it():
    redactor = Redactor(secrets={"door": "sesame99"}, patterns=["[0-9]{16}"])
    assert [redactor.hides(text) for text in ("sesame99", SK, "4111111111111111")] == [True] * 3
    assert [redactor.hides(text) for text in ("sesame", f"a {SK}", "", "x")] == [False] * 4
    assert redactor.text(SK_2) == "[REDACTED:sk-1]"


def test_one_that_does_nothing_says_so_and_gives_what_it_got():
    nothing, value = Redactor.of(False), {"a": [SK]}
    assert not nothing.active
    assert nothing.value(value) is value
    assert nothing.text(SK) == SK
    assert nothing.pieces([SK[:5], SK[5:]]) == [SK[:5], SK[5:]]
    assert Redactor().active
    assert Redactor().pieces([]) == []


def test_threads_agree_on_the_placeholders():
    redactor = Redactor()
    keys = [f"sk-proj-{number:04}-Zx81kQw92mLp04TtVb77" for number in range(200)]
    found = [{} for _ in range(8)]

    def work(mine, start):
        for key in keys[start:] + keys[:start]:
            mine[key] = redactor.text(" " * 600 + key)[600:]

    threads = [
        threading.Thread(target=work, args=(mine, 25 * place)) for place, mine in enumerate(found)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(each == found[0] for each in found)
    assert sorted(found[0].values()) == sorted(f"[REDACTED:sk-{n}]" for n in range(1, 201))


def test_what_is_remembered_is_bounded_and_changes_nothing(monkeypatch):
    monkeypatch.setattr("looplet.redaction.redactor.MOST_REMEMBERED", 10_000)
    redactor = Redactor(secrets={"door": "sesame99"})
    texts = [f"{number} sesame99 " + "x" * 1000 for number in range(40)]
    wanted = [text.replace("sesame99", "[REDACTED:door]") for text in texts]
    assert [redactor.text(text) for text in texts * 2] == wanted * 2
    assert redactor._characters <= 10_000
    assert sum(len(a) + len(b) for a, b in redactor._remembered.items()) == redactor._characters
