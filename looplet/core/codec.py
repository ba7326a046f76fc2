"""JSON in and out, exactly. Knows values; knows nothing of steps, files or cassettes."""

from __future__ import annotations

import json
import math
import warnings
from collections.abc import Callable
from functools import cache
from typing import Any, TypeAlias

JSON: TypeAlias = Any
"""A value of JSON: ``None``, bool, int, float, str, list or dict with string keys."""

TAG = "$looplet"
"""The key that marks a value which JSON has no form for."""

_PLAIN = (str, bool, type(None))
LONGEST_INT = 14_000
"""Bits of an integer that is written in digits; Python turns no longer ones into text."""


def to_jsonable(value: object) -> JSON:
    """``value`` as JSON, with what JSON lacks tagged so that ``from_jsonable`` gives it back.

    Tagged are ``set``, ``frozenset``, ``tuple``, ``bytes``, ``datetime``, ``date``, paths, NaN,
    infinities, integers of thousands of digits, and dicts with keys that are not text. Anything
    else becomes its ``repr``, with a warning; so does a value that contains itself, or is nested
    hundreds of levels deep.

    >>> to_jsonable({"a": (1, 2)})
    {'a': {'$looplet': 'tuple', 'value': [1, 2]}}
    >>> from_jsonable(to_jsonable({"a": (1, 2), 3: b"x"}))
    {'a': (1, 2), 3: b'x'}
    """
    try:
        return _encode_dict(value) if type(value) is dict else _encode(value)
    except RecursionError:
        return _encode_endless(value)


def from_jsonable(value: JSON) -> Any:
    """The value that ``to_jsonable`` was given.

    Raises ``ValueError`` on what no tag can hold, and on what is nested hundreds of levels deep,
    which ``to_jsonable`` gives for nothing.
    """
    try:
        return _decode(value)
    except RecursionError:
        raise ValueError("stored data is nested too deeply to be read") from None


def canonical(value: object) -> str:
    r"""The one JSON text of a value: keys sorted, no spaces, ASCII only.

    Equal values give equal texts on every machine, so the text can be hashed.

    >>> canonical({"b": 1, "a": "é"})
    '{"a":"\\u00e9","b":1}'
    """
    try:
        return _encode_canonical(value)
    except (TypeError, ValueError, RecursionError):
        return _encode_canonical(_in_order(to_jsonable(value)))


def exact(value: object) -> str:
    """The one JSON text of a value as ``to_jsonable`` has it.

    It tells apart what ``canonical`` may write alike, as JSON's own encoder does: tuples from
    lists, and keys that are not text from their text.

    >>> canonical((1, 2)) == canonical([1, 2]), exact((1, 2)) == exact([1, 2])
    (True, False)
    """
    form = to_jsonable(value)
    try:
        text = _encode_canonical(form)
        return _encode_canonical(_in_order(form)) if TAG in text else text
    except RecursionError:  # putting in order goes deeper than encoding
        return _encode_canonical(_encode_endless(value))


def plain_text(value: object) -> str:
    """``str(value)``; of a number with too many digits for that, and what holds one, its JSON.

    >>> plain_text(3), plain_text(1 << 20_000)[:30]
    ('3', '{"$looplet":"int","value":"0x1')
    """
    try:
        return str(value)
    except ValueError:
        return canonical(value)


def digest(text: str) -> str:
    """SHA-256 of a text, in hex. Lone surrogates are hashed as they are escaped by JSON."""
    import hashlib  # loads OpenSSL, which a run that hashes nothing can do without

    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def fast_encoder(
    *, default: Callable[[Any], JSON], canonical: bool = False, compact: bool = False
) -> Callable[[Any], str]:
    """An encoder to JSON text that is made once and used often; ``default`` is json's own.

    A canonical text is ASCII, without spaces and with its keys sorted; a compact one is without
    spaces. In both NaN and infinities raise ``ValueError``.

    ``json.JSONEncoder`` makes a new C encoder for every value, which costs three times as much
    as encoding a small one. A value that contains itself raises ``RecursionError``.

    >>> fast_encoder(default=str)({"fruit": "pear", "n": [1, 2.5, None]})
    '{"fruit": "pear", "n": [1, 2.5, null]}'
    """
    make: Any = getattr(json.encoder, "c_make_encoder", None)
    name = "encode_basestring_ascii" if canonical else "encode_basestring"
    text: Any = getattr(json.encoder, name, None)
    strict = canonical or compact
    comma, colon = (",", ":") if strict else (", ", ": ")
    if make is None or text is None:  # an interpreter without the C parts
        return json.JSONEncoder(
            default=default, ensure_ascii=canonical, sort_keys=canonical,
            allow_nan=not strict, separators=(comma, colon),
        ).encode  # fmt: skip
    encode = make(None, default, text, None, colon, comma, canonical, False, not strict)  # noqa: FBT003 - the C function's own form
    return lambda value: "".join(encode(value, 0))


def _refuse(value: object) -> JSON:
    raise TypeError(f"{type(value).__name__} has no JSON form")


_encode_canonical = fast_encoder(default=_refuse, canonical=True)


def _encode(value: object) -> JSON:
    kind = type(value)
    if kind in _PLAIN:
        return value
    if kind is int:
        return value if value.bit_length() <= LONGEST_INT else _tagged("int", hex(value))  # type: ignore[attr-defined,arg-type]
    if kind is float:
        return value if math.isfinite(value) else _tagged("float", repr(value))  # type: ignore[arg-type]
    if kind is dict:
        return _encode_dict(value)  # type: ignore[arg-type]
    if kind is list:
        return [_encode(item) for item in value]  # type: ignore[attr-defined]
    return _encode_other(value)


def _encode_endless(value: object) -> str:
    name = type(value).__name__
    warnings.warn(f"a {name} contains itself, or is too deep, and is stored as text", stacklevel=3)
    try:
        return repr(value)
    except RecursionError:
        return f"<{name}, nested too deeply>"


def _in_order(value: JSON) -> JSON:
    """Encoded JSON whose tagged dicts have their pairs in one order, however they were filled."""
    if isinstance(value, list):
        return [_in_order(item) for item in value]
    if not isinstance(value, dict):
        return value
    value = {key: _in_order(item) for key, item in value.items()}
    if value.get(TAG) == "dict":
        value["value"] = sorted(value["value"], key=_encode_canonical)
    return value


def _tagged(kind: str, value: JSON) -> dict[str, JSON]:
    return {TAG: kind, "value": value}


def _encode_dict(value: dict[object, object]) -> JSON:
    out = {}
    for key, item in value.items():
        if type(key) is not str or key == TAG:
            pairs = [[_encode(key), _encode(item)] for key, item in value.items()]
            return _tagged("dict", pairs)
        kind = type(item)
        plain = kind in _PLAIN or (kind is int and item.bit_length() <= LONGEST_INT)  # type: ignore[attr-defined]
        out[key] = item if plain else _encode(item)
    return out


def _encode_other(value: object) -> JSON:
    for kinds, encode in _encoders():
        if isinstance(value, kinds):
            return encode(value)
    warnings.warn(
        f"{type(value).__name__} has no JSON form and is stored as its repr; "
        "return plain data from tools to keep it whole",
        stacklevel=3,
    )
    return repr(value)


def _encode_set(value: set[object] | frozenset[object]) -> JSON:
    items = sorted((_encode(item) for item in value), key=_encode_canonical)
    return _tagged("set" if isinstance(value, set) else "frozenset", items)


@cache
def _encoders() -> tuple[tuple[Any, Any], ...]:
    """How values that are not plain are encoded; the first of them loads dates and paths."""
    from datetime import date, datetime
    from pathlib import PurePath

    return (
        (str, str.__str__),
        (bool, bool),
        (int, lambda value: _encode(int(value))),
        (float, lambda value: _encode(float(value))),
        (dict, lambda value: _encode_dict(dict(value))),
        (tuple, lambda value: _tagged("tuple", [_encode(item) for item in value])),
        (list, lambda value: [_encode(item) for item in value]),
        ((set, frozenset), _encode_set),
        ((bytes, bytearray), lambda value: _tagged("bytes", bytes(value).hex())),
        (datetime, lambda value: _tagged("datetime", value.isoformat())),
        (date, lambda value: _tagged("date", value.isoformat())),
        (PurePath, lambda value: _tagged("path", str(value))),
    )


def _decode(value: JSON) -> Any:
    if isinstance(value, list):
        return [_decode(item) for item in value]
    if not isinstance(value, dict):
        return value
    if TAG not in value:
        return {key: _decode(item) for key, item in value.items()}
    return _decode_tagged(value)


def _decode_tagged(value: dict[str, JSON]) -> Any:
    kind, body = value[TAG], value.get("value")
    decode = _decoders().get(kind) if isinstance(kind, str) else None
    if decode is None:
        raise ValueError(f"unknown tag {kind!r} in stored data")
    try:
        return decode(body)
    except (TypeError, OverflowError) as error:
        told = f"what is tagged {kind!r} in stored data cannot be read: {body!r:.80}"
        raise ValueError(told) from error


def _pairs(body: JSON) -> dict[Any, Any]:
    return {_decode(key): _decode(item) for key, item in map(_pair, _listed(body))}


def _pair(body: JSON) -> list[Any]:
    pair = _listed(body)
    if len(pair) != 2:  # noqa: PLR2004 - a key and its value
        raise TypeError("it is no key with its value")
    return pair


def _items(body: JSON) -> list[Any]:
    return [_decode(item) for item in _listed(body)]


def _listed(body: JSON) -> list[Any]:
    """A list. Text and objects can be gone through as well, and then would give something else."""
    if not isinstance(body, list):
        raise TypeError(f"it is no list, but {type(body).__name__}")
    return body


@cache
def _decoders() -> dict[str, Any]:
    from datetime import date, datetime
    from pathlib import Path

    return {
        "dict": _pairs,
        "tuple": lambda body: tuple(_items(body)),
        "set": lambda body: set(_items(body)),
        "frozenset": lambda body: frozenset(_items(body)),
        "bytes": bytes.fromhex,
        "datetime": datetime.fromisoformat,
        "date": date.fromisoformat,
        "path": Path,
        "float": float,
        "int": lambda body: int(body, 16),
    }
