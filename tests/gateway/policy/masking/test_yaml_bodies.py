"""YAML bodies: read where all parsers agree, refused elsewhere."""

import pytest

from gateway.policy.masking.yaml_bodies import decode_yaml
from protocol.errors import Unreadable


def test_yaml_is_read_as_the_json_it_stands_for() -> None:
    body = b"""
# a comment
kind: Pod
"quoted": 'yes'
spec:
  count: -12
  f: 1.5
  e: 1e3
  t: true
  z: ~
  image: nginx:1.27
  size: 500Mi
  address: 10.0.0.1
  list: [a, {b: c}]
  text: |
    no
"""
    assert decode_yaml(body) == {
        "kind": "Pod",
        "quoted": "yes",
        "spec": {
            "count": -12,
            "f": 1.5,
            "e": 1000.0,
            "t": True,
            "z": None,
            "image": "nginx:1.27",
            "size": "500Mi",
            "address": "10.0.0.1",
            "list": ["a", {"b": "c"}],
            "text": "no\n",
        },
    }


@pytest.mark.parametrize(
    "text", ["yes", "N", "on", "Off", "010", "0x1f", "0b1", "1_000", "+1", ".5", "1.", ".inf"]
)
@pytest.mark.parametrize("where", ["a: {}", "[{}]"])
def test_words_with_two_readings_are_refused(text: str, where: str) -> None:
    with pytest.raises(Unreadable, match="two ways"):
        decode_yaml(where.format(text).encode())


@pytest.mark.parametrize("text", ["2026-01-01", "12:30", "<<: {b: c}", "a: " + "1" * 500, "="])
def test_times_merges_and_endless_numbers_are_refused(text: str) -> None:
    with pytest.raises(Unreadable, match="two ways"):
        decode_yaml(text.encode())


@pytest.mark.parametrize(
    ("body", "why"),
    [
        (b"a: &x 1", "anchor"),
        (b"a: *x", "anchor"),
        (b"a: !!str 1", "tag"),
        (b"a: &x {}", "anchor"),
        (b"a: 1\n---\nb: 2", "one document"),
        (b"", "one document"),
        (b"a: 1\na: 2", "twice"),
        (b"1: a", "not a string"),
        (b"{[a]: b}", "not a string"),
        (b"a: [", "not YAML"),
        (b"\xff\xfea", "not YAML"),
        (b"[" * 65 + b"]" * 65, "too deep"),
    ],
)
def test_what_needs_more_than_plain_values_is_refused(body: bytes, why: str) -> None:
    with pytest.raises(Unreadable, match=why):
        decode_yaml(body)
