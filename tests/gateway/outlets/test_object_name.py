"""Names out of bodies as clients send them, and nothing out of anything else."""

import pytest

from gateway.outlets.object_name import MAX_NAME_CHARS, ObjectName, object_name

# kubectl create configmap x --from-literal=a=b
CONFIGMAP = bytes.fromhex(
    "6b3873000a0f0a0276311209436f6e6669674d6170121b0a110a01781200"
    "1a0022002a0032003800420012060a01611201621a002200"
)


def test_the_name_in_a_protobuf_body() -> None:
    assert object_name(CONFIGMAP) == ObjectName("x")
    with_uid = bytes.fromhex("6b387300 1209 0a07 0a0178 2a0275 31".replace(" ", ""))
    assert object_name(with_uid) == ObjectName("x", "u1")


def test_the_name_in_a_json_body() -> None:
    assert object_name(b'{"kind":"Pod","metadata":{"name":"web","uid":"u-1"}}') == ObjectName("web", "u-1")
    assert object_name(b'{"metadata":{"name":"%s"}}' % (b"n" * 999)).name == "n" * MAX_NAME_CHARS


@pytest.mark.parametrize("end", range(len(CONFIGMAP)))
def test_a_body_cut_anywhere_harms_nobody(end: int) -> None:
    assert object_name(CONFIGMAP[:end]) in (ObjectName(), ObjectName("x"))


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b'{"metadata":{"name":5}}',
        b'{"kind":"Status","metadata":{"name":"x"}}',
        b"[" * 5000,
        b"k8s\x00",
        b"k8s\x00" + b"\xff" * 20,
        b"k8s\x00\x12\x7f",
        b"k8s\x00\x0b",
        b"k8s\x00\x09\x00\x00\x00\x00\x00\x00\x00\x00\x0d\x00\x00\x00\x00",
        b"k8s\x00\x0a\x08\x12\x06Status\x12\x05\x0a\x03\x0a\x01x",
        b"k8s\x00\x12\x05\x0a\x03\x0a\x01\xff",
    ],
)
def test_what_names_nothing_has_no_name(body: bytes) -> None:
    assert object_name(body) == ObjectName()
