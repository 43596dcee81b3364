"""Request bodies as the objects they carry."""

import pytest

from gateway.policy.masking.bodies import JSON_PATCH, MAX_BODY_BYTES, decode_body
from protocol.apicall import parse_call
from protocol.errors import Unreadable

POST = parse_call(b"POST", b"/api/v1/namespaces/n/pods")


@pytest.mark.parametrize(
    "content_type",
    [
        b"",
        b"application/json",
        b"Application/JSON; charset=utf-8",
        b"application/merge-patch+json",
        b"application/strategic-merge-patch+json",
        b"application/apply-patch+yaml",
        b"application/yaml",
    ],
)
def test_json_of_any_content_type_is_read(content_type: bytes) -> None:
    assert decode_body(content_type, b' {"kind":"Pod","n":18446744073709551617}', POST) == {
        "kind": "Pod",
        "n": 18446744073709551617,
    }


def test_yaml_and_json_patches_are_read() -> None:
    assert decode_body(b"application/yaml", b"kind: Pod", POST) == {"kind": "Pod"}
    patch = decode_body(b"application/json-patch+json", b'[{"op":"remove","path":"/a"}]', POST)
    assert patch == {JSON_PATCH: [{"op": "remove", "path": "/a"}]}


def test_there_is_no_object_without_a_body_or_behind_proxy() -> None:
    assert decode_body(b"", b"", POST) is None
    proxy = parse_call(b"POST", b"/api/v1/namespaces/n/services/s/proxy/x")
    assert decode_body(b"", b"anything", proxy) is None
    assert decode_body(b"", b"anything", parse_call(b"POST", b"/healthz")) is None


@pytest.mark.parametrize(
    ("content_type", "body", "status"),
    [
        (b"application/json", b'{"a":1,"b":{"c":1,"c":2}}', 400),
        (b"application/json", b'{"a":NaN}', 400),
        (b"application/json", b'{"a":1}{}', 400),
        (b"application/json", b'{"a":"\xff"}', 400),
        (b"application/json", b"[" * 100_000, 400),
        (b"application/json", b"[]", 400),
        (b"application/json-patch+json", b"{}", 400),
        (b"application/json-patch+json", b"[1]", 400),
        (b"application/yaml", b"- a", 400),
        (b"application/vnd.kubernetes.protobuf", b"{}", 400),
        (b"application/cbor", b"\xd9\xd9\xf7\xa0", 415),
        (b"application/apply-patch+cbor", b"\xd9\xd9\xf7\xa0", 415),
        (b"text/plain", b"{}", 415),
        (b"application/json", b" " * (MAX_BODY_BYTES + 1), 413),
    ],
)
def test_what_has_no_single_reading_is_refused(content_type: bytes, body: bytes, status: int) -> None:
    with pytest.raises(Unreadable) as refused:
        decode_body(content_type, body, POST)
    assert refused.value.status == status
