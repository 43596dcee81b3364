import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.demo.standin.api.protobody import decode_body
from gateway.demo.standin.replies import Failure

# The body of `kubectl create configmap x --from-literal=a=b`, as kubectl 1.36 sends it.
CONFIG_MAP = bytes.fromhex(
    "6b387300 0a0f 0a027631 1209436f6e6669674d6170"
    "121b 0a11 0a0178 1200 1a00 2200 2a00 3200 3800 4200 1206 0a0161 120162 1a00 2200"
)


def test_kubectl_s_config_map_is_read() -> None:
    expected = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "x"}, "data": {"a": "b"}}
    assert decode_body(CONFIG_MAP) == expected


def _envelope(kind: bytes, raw: bytes) -> bytes:
    meta = b"\x0a\x02v1\x12" + bytes((len(kind),)) + kind
    return b"k8s\0\x0a" + bytes((len(meta),)) + meta + b"\x12" + bytes((len(raw),)) + raw


def test_secret_bytes_become_base64() -> None:
    raw = b"\x12\x09\x0a\x01k\x12\x04\x00\xff\x01\x02"
    assert decode_body(_envelope(b"Secret", raw))["data"] == {"k": "AP8BAg=="}


def test_a_zero_that_was_said_stays() -> None:
    assert decode_body(_envelope(b"Deployment", b"\x12\x02\x08\x00"))["spec"] == {"replicas": 0}


def test_fields_nobody_knows_are_skipped() -> None:
    unknown = b"\xf8\x01\x05" + b"\xfd\x01\x01\x02\x03\x04" + b"\xf9\x01" + bytes(8)
    assert decode_body(_envelope(b"ConfigMap", unknown)) == {"apiVersion": "v1", "kind": "ConfigMap"}


def test_a_kind_without_a_schema_is_415() -> None:
    with pytest.raises(Failure) as failure:
        decode_body(_envelope(b"Ingress", b""))
    assert failure.value.code == 415


def _outcome(body: bytes) -> int:
    """200 if it is read, else the code it is refused with."""
    try:
        decode_body(body)
    except Failure as failure:
        return failure.code
    return 200


@pytest.mark.parametrize("cut", range(len(CONFIG_MAP)))
def test_a_cut_body_is_refused_or_read_never_a_crash(cut: int) -> None:
    assert _outcome(CONFIG_MAP[:cut]) in (200, 400, 415)


@given(st.binary(max_size=60))
def test_any_bytes_are_refused_or_read(raw: bytes) -> None:
    assert _outcome(_envelope(b"Pod", raw)) in (200, 400)
