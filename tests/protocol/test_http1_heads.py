import pytest

from protocol.errors import TooLarge
from protocol.events import RequestHead, ResponseHead
from protocol.http1_heads import (
    REQUEST_LIMITS,
    RESPONSE_LIMITS,
    Limits,
    parse_request_head,
    parse_request_line,
    parse_response_head,
    parse_status_line,
)
from tests.kit.http1_messages import KUBECTL_EXEC_SPDY, KUBECTL_GET


def lines_of(wire: bytes) -> tuple[bytes, list[bytes]]:
    first, *rest = wire.removesuffix(b"\r\n\r\n").split(b"\r\n")
    return first, rest


def parsed(*lines: bytes) -> RequestHead:
    return parse_request_head(b"POST", b"/api", [b"Host: a", *lines], REQUEST_LIMITS)


def test_a_kubectl_request_is_read_field_by_field() -> None:
    first, lines = lines_of(KUBECTL_GET)
    method, target = parse_request_line(first, REQUEST_LIMITS)
    head = parse_request_head(method, target, lines, REQUEST_LIMITS)
    assert (head.method, head.target) == (b"GET", b"/api/v1/namespaces/default/pods?limit=500")
    assert (head.authority, head.content_length, head.upgrade) == (b"127.0.0.1:6443", 0, b"")
    assert not head.expects_continue
    assert not head.wants_close
    assert [name for name, _ in head.headers] == [
        b"user-agent", b"accept", b"authorization", b"kubectl-command", b"kubectl-session", b"accept-encoding"
    ]  # fmt: skip


def test_fields_about_the_connection_are_in_the_event_and_no_longer_in_its_headers() -> None:
    head = parsed(
        b"Connection: close, te", b"Keep-Alive: 5", b"TE: trailers", b"Trailer: X", b"Proxy-Connection: keep-alive",
        b"HTTP2-Settings: AAMAAABkAAQ", b"Content-Length: 3", b"Expect: 100-continue", b"X-Stays: y",
    )  # fmt: skip
    assert head.headers == ((b"x-stays", b"y"),)
    assert (head.content_length, head.expects_continue, head.wants_close) == (3, True, True)


def test_chunked_is_an_unknown_length() -> None:
    assert parsed(b"Transfer-Encoding: CHUNKED").content_length is None
    assert parsed(b"Transfer-Encoding: chunked", b"Expect: 100-continue").expects_continue


def test_nobody_waits_for_a_100_without_a_body() -> None:
    assert not parsed(b"Expect: 100-continue").expects_continue


def test_a_spdy_upgrade_keeps_its_handshake_fields_in_order() -> None:
    _, lines = lines_of(KUBECTL_EXEC_SPDY)
    head = parse_request_head(b"POST", b"/", lines, REQUEST_LIMITS)
    assert (head.upgrade, head.content_length) == (b"spdy/3.1", 0)
    assert head.headers[-2:] == (
        (b"x-stream-protocol-version", b"v4.channel.k8s.io"),
        (b"x-stream-protocol-version", b"v3.channel.k8s.io"),
    )


@pytest.mark.parametrize("token", [b"websocket", b"WebSocket", b"SPDY/3.1", b"spdy/3.1"])
def test_an_upgrade_takes_both_fields(token: bytes) -> None:
    assert parsed(b"Connection: keep-alive, Upgrade", b"Upgrade: " + token).upgrade == token.lower()
    assert parsed(b"Upgrade: " + token).upgrade == b""
    assert parsed(b"Connection: upgrade").upgrade == b""


def test_limits_are_those_given() -> None:
    limits = Limits(max_head_bytes=100, max_target_bytes=5, max_fields=2, max_pipelined_bytes=0)
    assert parse_request_line(b"GET /abcd HTTP/1.1", limits) == (b"GET", b"/abcd")
    with pytest.raises(TooLarge, match="longer than 5 bytes"):
        parse_request_line(b"GET /abcde HTTP/1.1", limits)
    parse_request_head(b"GET", b"/", [b"Host: a", b"X: y"], limits)
    with pytest.raises(TooLarge, match="more than 2 fields"):
        parse_request_head(b"GET", b"/", [b"Host: a", b"X: y", b"X: y"], limits)


@pytest.mark.parametrize(
    "line", [b"HTTP/1.1 200 OK", b"HTTP/1.1 200 ", b"HTTP/1.1 200", b"HTTP/1.1 200 \xc3\xa9 \t x"]
)
def test_a_status_line_may_have_any_reason_or_none(line: bytes) -> None:
    assert parse_status_line(line) == 200


def test_a_received_response_loses_what_its_connection_names() -> None:
    lines = [
        b"Connection: Keep-Alive, X-Hop",
        b"X-Hop: a",
        b"X-End: b",
        b"Keep-Alive: 5",
        b"Content-Length: 3",
    ]
    received = parse_response_head(200, lines, RESPONSE_LIMITS)
    assert received.head == ResponseHead(200, ((b"x-end", b"b"),), content_length=3)
    assert not received.closes
    assert not received.chunked


def test_a_received_101_keeps_its_handshake_fields() -> None:
    received = parse_response_head(
        101, [b"Upgrade: SPDY/3.1", b"Connection: Upgrade", b"X-Stream-Protocol-Version: v4"], RESPONSE_LIMITS
    )
    assert received.switches_to == b"spdy/3.1"
    assert received.head.headers == (
        (b"x-stream-protocol-version", b"v4"),
        (b"connection", b"Upgrade"),
        (b"upgrade", b"SPDY/3.1"),
    )
    assert parse_response_head(101, [b"Upgrade: SPDY/3.1"], RESPONSE_LIMITS).switches_to == b""
