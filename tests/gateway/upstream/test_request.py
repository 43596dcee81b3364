"""What the API server gets: an allow-list, and an identity the client cannot touch."""

import uuid

import pytest

from gateway.errors import Refusal
from gateway.principal import Principal
from gateway.upstream.request import (
    IdentityMode,
    encode_extra_key,
    forwarded,
    refuse_client_identity,
    upstream_headers,
)
from protocol.apicall import parse_call
from protocol.events import Headers

PODS = parse_call(b"GET", b"/api/v1/pods")
PROXIED = parse_call(b"GET", b"/api/v1/namespaces/a/services/web/proxy/x")
ALICE = Principal("alice", ("sre", "dev"), "oidc", "0" * 32, extra=(("scopes.example.com/x", ("v1", "v2")),))
EXCHANGE = uuid.UUID("5c0f4b0e-4f7c-4f63-9c4e-0a8d3c3d9f11").bytes


def sent(headers: Headers, *, mode: IdentityMode = IdentityMode.SHARED, call: object = PODS) -> Headers:
    kept = forwarded(headers, proxied=call is PROXIED)
    return upstream_headers(kept, ALICE, exchange=EXCHANGE, mode=mode, source_address="10.1.2.3")


FORGED = (
    b"authorization", b"x-remote-user", b"x-remote-group", b"x-remote-extra-scopes", b"x-remote-uid", b"x-forwarded-for",
    b"forwarded", b"x-real-ip", b"x-original-url", b"x-rewrite-url", b"x-http-method-override", b"cookie", b"audit-id",
    b"proxy-authorization", b"te", b"sec-websocket-extensions", b"http2-settings", b"x-kubernetes-anything", b"expect",
)  # fmt: skip


@pytest.mark.parametrize("name", FORGED)
@pytest.mark.parametrize("call", [PODS, PROXIED])
def test_a_clients_identity_and_routing_headers_never_go_upstream(name: bytes, call: object) -> None:
    assert b"forged" not in [value for _, value in sent(((name, b"forged"),), call=call)]


def test_the_audit_id_is_ours_and_so_is_the_clients_address() -> None:
    headers = dict(sent(((b"audit-id", b"mine"), (b"x-forwarded-for", b"6.6.6.6"))))
    assert headers[b"audit-id"] == b"5c0f4b0e-4f7c-4f63-9c4e-0a8d3c3d9f11"
    assert headers[b"x-forwarded-for"] == b"10.1.2.3"


def test_what_kubernetes_understands_passes_unchanged() -> None:
    kept = (
        (b"accept", b"application/json;as=Table"),
        (b"content-type", b"application/json"),
        (b"if-none-match", b'"e"'),
    )
    assert set(kept) <= set(sent(kept))


def test_answers_are_asked_for_uncompressed() -> None:
    assert [v for n, v in sent(((b"accept-encoding", b"gzip"),)) if n == b"accept-encoding"] == [b"identity"]


def test_impersonation_is_written_from_the_verified_principal() -> None:
    headers = [pair for pair in sent((), mode=IdentityMode.IMPERSONATE) if pair[0].startswith(b"impersonate")]
    assert headers == [
        (b"impersonate-user", b"alice"),
        (b"impersonate-group", b"sre"),
        (b"impersonate-group", b"dev"),
        (b"impersonate-extra-scopes.example.com%2fx", b"v1"),
        (b"impersonate-extra-scopes.example.com%2fx", b"v2"),
    ]


def test_extra_keys_are_encoded_as_the_api_server_decodes_them() -> None:
    assert encode_extra_key("Scopes/a b%c") == b"scopes%2fa%20b%25c"


@pytest.mark.parametrize(
    "name",
    [
        b"impersonate-user",
        b"impersonate-group",
        b"impersonate-uid",
        b"impersonate-extra-x",
        b"impersonate_user",
    ],
)
def test_a_client_that_impersonates_is_refused_with_a_reason(name: bytes) -> None:
    with pytest.raises(Refusal, match="drop --as") as refused:
        refuse_client_identity(((name, b"root"),))
    assert refused.value.answer.code == 400


def test_a_compressed_request_body_is_refused() -> None:
    with pytest.raises(Refusal) as refused:
        refuse_client_identity(((b"content-encoding", b"gzip"),))
    assert refused.value.answer.code == 415
