"""What stands in the place of a value: of its type, recognisable, and recognised again."""

import base64
import json
from collections import Counter

import pytest

from gateway.policy.masking.hiding import EPOCH, encoded_placeholder, find_placeholder, hide, placeholder


def test_every_value_keeps_its_type_and_shape() -> None:
    counts: Counter[str] = Counter()
    value = {"s": "x", "i": 7, "f": 1.5, "t": True, "f2": False, "n": None, "e": "", "l": ["a", {"b": 0}]}
    text = "[masked by p/r]"
    assert hide(value, "p/r", counts) == {
        "s": text,
        "i": 0,
        "f": 0,
        "t": False,
        "f2": False,
        "n": None,
        "e": "",
        "l": [text, {"b": 0}],
    }
    assert counts == {"p/r": 5}


def test_what_is_base64_stays_base64() -> None:
    shown = hide({"k": "c2VjcmV0"}, "p/r", Counter(), encoded=True)
    assert shown == {"k": encoded_placeholder("p/r")}
    assert base64.b64decode(encoded_placeholder("p/r"), validate=True) == b"[masked by p/r]"


def test_times_stay_times_or_no_typed_client_could_read_the_object() -> None:
    assert hide("2026-01-02T03:04:05.123456+01:00", "p/r", Counter()) == EPOCH
    assert hide("2026-no time", "p/r", Counter()) == placeholder("p/r")


def test_what_is_masked_already_is_not_counted_again() -> None:
    counts: Counter[str] = Counter()
    assert hide(placeholder("p/r"), "p/r", counts) == placeholder("p/r")
    assert counts == {}


def test_a_placeholder_needs_no_escape_in_json_whatever_the_rule_is_called() -> None:
    text = placeholder('p/"r"\\\n[\u00e9]' + "x" * 200)
    assert json.dumps(text)[1:-1] == text
    assert len(text) < 150


@pytest.mark.parametrize("before", ["", "a", "ab", "abc"])
def test_a_placeholder_is_found_in_base64_at_any_alignment(before: str) -> None:
    assert find_placeholder(base64.b64encode(f"{before}[masked by p/r]".encode()))


@pytest.mark.parametrize(
    "body",
    [
        b'{"a":"[masked by p/r]"}',
        b'{"a":"{\\"b\\":\\"[masked by p/r]\\"}"}',
        b'{"a":"\\u005bmasked by p/r]"}',
        b'{"a":"{\\"b\\":\\"\\\\u005Bm\\\\u0061sked by p/r]\\"}"}',
        b'a: "\\U0000005Bmasked by p/r]"',
    ],
)
def test_a_placeholder_is_found_in_json_in_json_and_behind_escapes(body: bytes) -> None:
    assert find_placeholder(body)


@pytest.mark.parametrize("body", [b"", b'{"a":"masked by hand"}', b'{"a":"\\u00e9\\u005bmasked bz"}'])
def test_other_bodies_have_none(body: bytes) -> None:
    assert not find_placeholder(body)
