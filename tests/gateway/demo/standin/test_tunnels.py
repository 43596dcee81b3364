import pytest

from gateway.demo.standin.cluster import Request
from gateway.demo.standin.replies import Failure
from gateway.demo.standin.settings import ADMIN, StandinSettings, old_server
from gateway.demo.standin.target import parse_target
from gateway.demo.standin.tunnels import Refused, bearer_of_protocols, negotiate

MODERN = StandinSettings()
OLD = old_server(MODERN)


def _websocket(kind: str, offered: str) -> Request:
    headers = (
        (b"connection", b"Upgrade"),
        (b"upgrade", b"websocket"),
        (b"sec-websocket-version", b"13"),
        (b"sec-websocket-key", b"dGhlIHNhbXBsZSBub25jZQ=="),
        (b"sec-websocket-protocol", offered.encode()),
    )
    return Request(
        "GET", parse_target("GET", f"/api/v1/namespaces/a/pods/p/{kind}".encode()), headers, b"", ADMIN
    )


def _spdy(kind: str, *offered: str) -> Request:
    headers = ((b"connection", b"Upgrade"), (b"upgrade", b"SPDY/3.1"))
    versions = tuple((b"x-stream-protocol-version", one.encode()) for one in offered)
    return Request(
        "POST",
        parse_target("POST", f"/api/v1/namespaces/a/pods/p/{kind}".encode()),
        headers + versions,
        b"",
        ADMIN,
    )


@pytest.mark.parametrize(
    ("request_", "settings", "chosen"),
    [
        (_websocket("exec", "v5.channel.k8s.io"), MODERN, "v5.channel.k8s.io"),
        (_websocket("exec", "v4.channel.k8s.io, v5.channel.k8s.io"), MODERN, "v5.channel.k8s.io"),
        (_websocket("exec", "v5.channel.k8s.io,v4.channel.k8s.io"), OLD, "v4.channel.k8s.io"),
        (_websocket("exec", "base64.channel.k8s.io"), MODERN, "base64.channel.k8s.io"),
        (
            _websocket("exec", "base64url.bearer.authorization.k8s.io.YQ, channel.k8s.io"),
            MODERN,
            "channel.k8s.io",
        ),
        (_websocket("attach", ""), MODERN, ""),
        (_websocket("portforward", "SPDY/3.1+portforward.k8s.io"), MODERN, "SPDY/3.1+portforward.k8s.io"),
        (_websocket("portforward", "v5.channel.k8s.io,v4.channel.k8s.io"), MODERN, "v4.channel.k8s.io"),
        (_spdy("exec", "v5.channel.k8s.io", "v4.channel.k8s.io"), MODERN, "v4.channel.k8s.io"),
        (_spdy("exec", "v2.channel.k8s.io, channel.k8s.io"), MODERN, "v2.channel.k8s.io"),
        (_spdy("portforward", "portforward.k8s.io"), OLD, "portforward.k8s.io"),
    ],
)
def test_the_protocol_is_chosen_as_servers_of_that_age_choose(
    request_: Request, settings: StandinSettings, chosen: str
) -> None:
    assert negotiate(request_, settings).protocol == chosen


@pytest.mark.parametrize(
    "request_",
    [
        _websocket("exec", "v5.channel.k8s.io"),
        _websocket("portforward", "SPDY/3.1+portforward.k8s.io"),
        _websocket("portforward", "channel.k8s.io"),
        _spdy("exec", "v9.channel.k8s.io"),
    ],
)
def test_an_old_server_refuses_what_it_does_not_know(request_: Request) -> None:
    with pytest.raises(Refused) as refused:
        negotiate(request_, OLD)
    assert refused.value.status == 403


def test_spdy_without_a_version_is_a_bad_request() -> None:
    with pytest.raises(Failure) as failure:
        negotiate(_spdy("exec"), MODERN)
    assert failure.value.code == 400


def test_the_accept_key_is_that_of_the_rfc() -> None:
    headers = dict(negotiate(_websocket("exec", "v5.channel.k8s.io"), MODERN).headers)
    assert headers[b"sec-websocket-accept"] == b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo="  # RFC 6455, section 1.3


def test_a_browser_s_token_is_found_among_the_protocols() -> None:
    assert (
        bearer_of_protocols("v4.channel.k8s.io, base64url.bearer.authorization.k8s.io.dG9rZW4")
        == b"Bearer token"
    )
