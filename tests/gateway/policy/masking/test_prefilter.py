"""What may be skipped undecoded: every doubt is a yes."""

import json

import pytest

from gateway.policy.masking.detectors import DetectorSet
from gateway.policy.masking.paths import expand, parse_path
from gateway.policy.masking.prefilter import Prefilter
from gateway.policy.model import CustomDetector

KEY_ID = "AKIAIOSFODNN7EXAMPLE"


def paths(*texts: str) -> Prefilter:
    return Prefilter([twin for text in texts for twin in expand(parse_path(text))], None)


def detectors(*names: str, custom: tuple[CustomDetector, ...] = ()) -> Prefilter:
    return Prefilter([], DetectorSet(names, custom))


@pytest.mark.parametrize(
    "body",
    [
        b'{"spec":{"token":1}}',
        b'{"a":"{\\"spec\\":{\\"token\\":1}}"}',
        b'{"f:spec":{"f:token":{}}}',
        b'{"kind":"Status"}' + b'"Status"',
        b'{"x":"\\u0073pec"}',
        b'{"kubectl.kubernetes.io/last-applied-configuration":""}',
        b'{"a":"H4sIAA"}',
    ],
)
def test_a_body_that_names_what_a_path_needs_is_decoded(body: bytes) -> None:
    assert paths("spec.token").may_hide(body)


@pytest.mark.parametrize(
    "body", [b'{"spec":1}', b'{"token":"spec"}'[:8] + b"}", b'{"a":"\\u003cb\\u0000"}', b""]
)
def test_a_body_without_one_of_the_names_is_not(body: bytes) -> None:
    assert not paths("spec.token").may_hide(body)


def test_a_path_of_wildcards_alone_may_always_match() -> None:
    assert paths("*").may_hide(b"{}")
    assert paths('["a\\"b"]').may_hide(b'{"x":1}')
    assert not paths().may_hide(b'{"spec":1}')


def test_names_of_paths_are_known() -> None:
    assert paths("spec.token").names("token")
    assert not paths("spec.token").names("other")
    assert paths("spec.*").names("other")


def test_a_hit_is_seen_through_escapes_and_in_json_in_json() -> None:
    prefilter = detectors("own", custom=(CustomDetector("own", r'^pass="[a-z<]+"$'),))
    text = 'pass="ab<c"'
    for _ in range(3):
        text = json.dumps({"a": ["x", text]})
        assert prefilter.may_hide(text.encode())
        assert prefilter.may_hide(text.replace("<", "\\u003c").encode())
        assert not prefilter.may_hide(text.replace("pass", "word").encode())


def test_endless_escapes_odd_escapes_and_base64_are_a_yes() -> None:
    prefilter = detectors("aws-key")
    text = '"\\'
    for _ in range(6):
        text = json.dumps(text)
    assert prefilter.may_hide(text.encode())
    assert prefilter.may_hide(b'{"a":"\\u0041KIA"}')
    assert prefilter.may_hide(b"{}", base64=True)
    assert prefilter.may_hide(b'{"kind":"SecretList"}')
    assert not prefilter.may_hide(b'{"imagePullSecrets":[]}')
