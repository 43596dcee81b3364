"""Which hits may be replaced where they stand in JSON."""

import json

import pytest

from gateway.policy.masking.hiding import placeholder
from gateway.policy.masking.in_place import (
    are_in_plain_values,
    strings_as_lines,
    strings_with_escapes,
    without_text_quotes,
)
from gateway.policy.masking.masker import Masker
from gateway.policy.model import CustomDetector, Mask
from protocol.apicall import parse_call
from protocol.events import ResponseHead

KEY_ID = "AKIAIOSFODNN7EXAMPLE"
HIDDEN = placeholder("p/r")
PODS = parse_call(b"GET", b"/api/v1/pods")
HEAD = ResponseHead(200, ((b"content-type", b"application/json"),))
MASKER = Masker((Mask("p/r", detectors=("aws-key", "card", "private-key")),))
COMMAS = Masker((Mask("p/r", detectors=("comma",)),), (CustomDetector("comma", r"^,$"),))


def shown(body: bytes, masker: Masker = MASKER) -> tuple[bytes, int]:
    answer = masker.answer(PODS, HEAD)
    assert answer is not None
    answer.feed(body)
    return answer.finish(), answer.counts.total()


def is_plain(body: bytes, needle: bytes) -> bool:
    at = body.index(needle)
    return are_in_plain_values(without_text_quotes(body), [(at, at + len(needle), "d")])


def test_an_offset_in_the_lines_is_one_in_the_document() -> None:
    body = rb'{"a\\":"x\"y\\\"z","b":1}'
    quoted = without_text_quotes(body)
    lines = strings_as_lines(quoted)
    assert len(quoted) == len(lines) == len(body)
    assert [len(line) for line in lines.split(b"\n")] == [1, 3, 1, 9, 1, 1, 3]
    assert strings_with_escapes(body, quoted) == rb'"a\\""x\"y\\\"z"'


def test_a_string_that_does_not_end_is_taken_to_the_end() -> None:
    body = rb'{"a":"x\n'
    assert strings_with_escapes(body, without_text_quotes(body)) == rb'"x\n'


@pytest.mark.parametrize("body", [b'{"a":"hit"}', b'["x","a hit"]', b'{ "a" : "hit" }', b'"hit"'])
def test_a_hit_in_a_value_without_escapes_stays_in_its_place(body: bytes) -> None:
    assert is_plain(body, b"hit")


@pytest.mark.parametrize(
    "body", [b'{"hit":1}', b'{"hit" \n :1}', b'{"a":hit}', rb'{"a":"\nhit"}', rb'{"a":"hit\n"}', b'{"a":"hit']
)
def test_a_hit_in_a_name_a_number_or_a_string_with_escapes_has_no_place(body: bytes) -> None:
    assert not is_plain(body, b"hit")


def test_a_hit_over_two_strings_has_no_place() -> None:
    assert not is_plain(b'{"a":"h","b":"t"}', b'h","b":"t')


def test_only_the_hit_changes() -> None:
    body = f'{{ "a" : 1e3, "a":"id={KEY_ID}.", "b":{{"c":["{KEY_ID}" ]}}, "k:{{\\"n\\":1}}":2 }}\n'
    assert shown(body.encode()) == (body.replace(KEY_ID, HIDDEN).encode(), 2)


def test_a_name_that_stands_twice_shows_neither_hit() -> None:
    found, count = shown(f'{{"a":"{KEY_ID}","a":"{KEY_ID}"}}'.encode())
    assert KEY_ID.encode() not in found
    assert count == 2


@pytest.mark.parametrize(
    "value",
    [
        {KEY_ID: "x", "b": f"x {KEY_ID}"},
        {"number": 4111111111111111, "b": KEY_ID},
        {"a": "-----BEGIN PRIVATE KEY-----", "b": ["MIIE", "-----END PRIVATE KEY-----"], "c": KEY_ID},
        {"a": f'say "{KEY_ID}"', "b": KEY_ID},
        {"a": json.dumps({"b": KEY_ID}), "c": KEY_ID},
    ],
)
def test_what_has_no_place_is_hidden_by_decoding(value: dict[str, object]) -> None:
    found, _ = shown(json.dumps(value).encode())
    assert HIDDEN.encode() in found
    assert not any(secret in found for secret in (KEY_ID.encode(), b"4111111111111111", b"BEGIN PRIVATE"))


def test_signs_between_strings_are_no_text() -> None:
    assert shown(b'["a","b"]', COMMAS) == (b'["a","b"]', 0)
    assert json.loads(shown(b'["a",","]', COMMAS)[0]) == ["a", HIDDEN]
