"""What is asked of the API server so that its answer can be masked."""

import pytest

from gateway.policy.masking.accept import ask_plainly, asks_for_objects, rewrite_accept
from protocol.apicall import parse_call

TABLE = b"application/json;as=Table;v=v1;g=meta.k8s.io"


@pytest.mark.parametrize(
    ("asked", "sent"),
    [
        (b"", b"application/json"),
        (b"application/json", b"application/json"),
        (TABLE + b"," + TABLE + b"beta1, application/json", TABLE + b"," + TABLE + b"beta1,application/json"),
        (b"application/vnd.kubernetes.protobuf,application/json", b"application/json"),
        (b"application/vnd.kubernetes.protobuf", b"application/json"),
        (b"application/cbor, application/yaml;q=0.5", b"application/json"),
        (
            b"application/vnd.kubernetes.protobuf;as=PartialObjectMetadata;g=meta.k8s.io;v=v1;x=y",
            b"application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1",
        ),
        (b"Application/JSON; q=0.9 , */*;q=0.1", b"application/json;q=0.9,application/json;q=0.1"),
        (b"application/json, */*", b"application/json"),
        (b'application/json;x="a,b"', b"application/json"),
        (b"application/json;stream=watch", b"application/json;stream=watch"),
    ],
)
def test_only_json_is_accepted_in_the_forms_asked_for(asked: bytes, sent: bytes) -> None:
    assert rewrite_accept(asked) == sent


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        (b"/api/v1/pods", True),
        (b"/apis/apps/v1/deployments/d/scale", True),
        (b"/api/v1/namespaces/n/pods/p/log", False),
        (b"/api/v1/namespaces/n/services/s/proxy/x", False),
        (b"/api/v1/namespaces/n/pods/p/exec?command=x", False),
        (b"/openapi/v2", False),
        (b"/api", False),
    ],
)
def test_only_objects_are_asked_for_as_json(target: bytes, expected: bool) -> None:
    assert asks_for_objects(parse_call(b"GET", target)) is expected


def test_conditions_and_ranges_go_and_accept_is_one_line() -> None:
    headers = (
        (b"accept", b"application/vnd.kubernetes.protobuf"),
        (b"if-none-match", b'"x"'),
        (b"accept", TABLE),
        (b"user-agent", b"k"),
        (b"range", b"bytes=0-1"),
    )
    pods = parse_call(b"GET", b"/api/v1/pods")
    assert ask_plainly(headers, pods) == ((b"user-agent", b"k"), (b"accept", TABLE))
    assert ask_plainly((), pods) == ((b"accept", b"application/json"),)
    log = parse_call(b"GET", b"/api/v1/namespaces/n/pods/p/log")
    assert ask_plainly(((b"accept", b"*/*"), (b"range", b"x")), log) == ((b"accept", b"*/*"),)
