"""What of an answer may go to the client."""

import pytest

from gateway.errors import CredentialRejected, UpstreamLost
from gateway.upstream.response import client_head
from protocol.apicall import parse_call
from protocol.events import ResponseHead

PODS = parse_call(b"GET", b"/api/v1/pods")
PROXIED = parse_call(b"GET", b"/api/v1/namespaces/a/services/web/proxy")
OPENAPI = parse_call(b"GET", b"/openapi/v3/api/v1")


def test_hop_by_hop_headers_and_cookies_stay_here() -> None:
    head = ResponseHead(
        200, ((b"set-cookie", b"x"), (b"www-authenticate", b"y"), (b"etag", b'"e"'), (b"upgrade", b"h2c"))
    )
    assert client_head(head, PODS).headers == ((b"etag", b'"e"'),)


@pytest.mark.parametrize("location", [b"https://evil/", b"//evil/x", b"/\\evil", b"relative"])
@pytest.mark.parametrize("call", [PROXIED, OPENAPI])
def test_no_redirect_that_leaves_the_gateway_reaches_a_client(location: bytes, call: object) -> None:
    with pytest.raises(UpstreamLost):
        client_head(ResponseHead(302, ((b"location", location),)), call)  # type: ignore[arg-type]


def test_a_redirect_on_an_ordinary_path_is_refused_wherever_it_leads() -> None:
    with pytest.raises(UpstreamLost):
        client_head(ResponseHead(307, ((b"location", b"/api/v1/secrets"),)), PODS)


def test_redirects_the_api_server_really_uses_pass() -> None:
    head = ResponseHead(301, ((b"location", b"/api/v1/namespaces/a/services/web/proxy/"),))
    assert client_head(head, PROXIED).headers == head.headers


def test_not_modified_is_no_redirect() -> None:
    assert client_head(ResponseHead(304, ((b"etag", b'"e"'),)), PODS).status == 304


def test_a_401_of_our_credential_is_not_the_clients() -> None:
    with pytest.raises(CredentialRejected):
        client_head(ResponseHead(401), PODS)


def test_a_401_of_a_proxied_application_is_its_own() -> None:
    assert client_head(ResponseHead(401), PROXIED).status == 401
