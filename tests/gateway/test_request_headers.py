"""What is read of a request's headers once: no credential, the same as reading anew, bounded."""

import pytest

from gateway.errors import Refusal
from gateway.request_headers import (
    MAX_KNOWN,
    MAX_KNOWN_BYTES,
    KnownHeaders,
    read_headers,
    without_credentials,
)
from gateway.upstream.request import refuse_client_identity
from protocol.events import Headers

CANARY = b"c2VjcmV0LWNhbmFyeQ"
KUBECTL: Headers = (
    (b"authorization", b"Bearer " + CANARY),
    (b"accept", b"application/json"),
    (b"user-agent", b"kubectl/v1.33"),
    (b"kubectl-session", b"s1"),
)


def test_no_credential_reaches_the_record_wherever_it_stands() -> None:
    headers = (
        (b"authorization", b"Bearer " + CANARY),
        (b"proxy-authorization", b"Basic " + CANARY),
        (b"cookie", b"session=" + CANARY),
        (
            b"sec-websocket-protocol",
            b"base64url.bearer.authorization.k8s.io." + CANARY + b", v4.channel.k8s.io",
        ),
        (b"accept", b"application/json"),
    )
    cleaned = without_credentials(headers)
    assert CANARY not in repr(cleaned).encode()
    assert (b"accept", b"application/json") in cleaned
    assert (b"sec-websocket-protocol", b"(removed), v4.channel.k8s.io") in cleaned


def test_the_same_headers_are_read_once_and_as_if_for_the_first_time() -> None:
    known = KnownHeaders()
    first = known.read(KUBECTL)
    assert known.read(KUBECTL) is first
    assert first == read_headers(KUBECTL)
    assert (first.user_agent, first.kubectl_session, first.kubectl_command) == ("kubectl/v1.33", "s1", "")
    assert (b"accept", b"application/json") in first.forwarded


def test_what_is_remembered_holds_no_credential_and_is_the_same_for_any_of_them() -> None:
    known = KnownHeaders()
    others = ((b"authorization", b"Bearer of-somebody-else"), *KUBECTL[1:])
    assert known.read(KUBECTL) is known.read(others)
    assert CANARY not in repr(vars(known)).encode()


@pytest.mark.parametrize(
    "headers",
    [
        KUBECTL[1:],
        (*KUBECTL, (b"kubectl-command", b"kubectl get")),
        (KUBECTL[0], KUBECTL[2], KUBECTL[1], KUBECTL[3]),
        (*KUBECTL, (b"authorization", b"Bearer second")),
    ],
)
def test_headers_that_differ_in_anything_else_are_read_for_themselves(headers: Headers) -> None:
    known = KnownHeaders()
    known.read(KUBECTL)
    assert known.read(headers) == read_headers(headers)
    assert len(known) == 2


@pytest.mark.parametrize("name", [b"impersonate-user", b"impersonate_group", b"content-encoding"])
def test_headers_to_be_refused_are_refused_in_the_same_words_each_time(name: bytes) -> None:
    known, headers = KnownHeaders(), ((name, b"root"),)
    with pytest.raises(Refusal) as refused:
        refuse_client_identity(headers)
    for _ in range(2):
        assert known.read(headers).refused == (refused.value.answer, refused.value.message)


def test_a_client_that_invents_headers_fills_no_memory() -> None:
    known = KnownHeaders()
    for number in range(MAX_KNOWN + 10):
        known.read(((b"traceparent", b"%d" % number),))
    assert len(known) == MAX_KNOWN
    known = KnownHeaders()
    known.read(((b"accept", b"x" * MAX_KNOWN_BYTES),))
    assert len(known) == 0


def test_headers_of_no_kubernetes_client_are_not_kept_they_may_be_secrets() -> None:
    known, headers = KnownHeaders(), (*KUBECTL, (b"x-api-key", CANARY))
    assert known.read(headers) == read_headers(headers)
    assert len(known) == 0
