import pytest

from protocol.errors import LocalProtocolError, TooLarge
from protocol.events import Headers, RequestHead, ResponseHead
from protocol.http1_heads import (
    REASONS,
    REQUEST_LIMITS,
    RESPONSE_LIMITS,
    Limits,
    encode_request_head,
    encode_response_head,
    parse_request_head,
    parse_request_line,
    parse_response_head,
    parse_status_line,
    split_length,
)
from tests.kit.http1_messages import FIELD_VALUES, KUBECTL_EXEC_SPDY, KUBECTL_GET


def request(**changes: object) -> RequestHead:
    fields: dict[str, object] = {"method": b"GET", "target": b"/api", "authority": b"k8s:6443", "headers": ()}
    return RequestHead(**(fields | changes))  # type: ignore[arg-type]


def encoded(status: int = 200, *headers: tuple[bytes, bytes]) -> bytes:
    return encode_response_head(ResponseHead(status, headers), length=None, chunked=False, close=False)


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


@pytest.mark.parametrize(
    ("method", "length", "framing"),
    [
        (b"GET", 0, b""),
        (b"HEAD", 0, b""),
        (b"DELETE", 0, b""),
        (b"OPTIONS", 0, b""),
        (b"POST", 0, b"Content-Length: 0\r\n"),
        (b"PUT", 0, b"Content-Length: 0\r\n"),
        (b"PATCH", 0, b"Content-Length: 0\r\n"),
        (b"DELETE", 17, b"Content-Length: 17\r\n"),
        (b"POST", 17, b"Content-Length: 17\r\n"),
        (b"POST", None, b"Transfer-Encoding: chunked\r\n"),
    ],
)
def test_a_request_says_how_its_body_ends(method: bytes, length: int | None, framing: bytes) -> None:
    wire = encode_request_head(request(method=method, content_length=length, headers=((b"a", b"b"),)))
    assert wire == method + b" /api HTTP/1.1\r\nHost: k8s:6443\r\na: b\r\n" + framing + b"\r\n"


def test_an_upgrade_request_brings_its_own_connection_fields() -> None:
    headers: Headers = ((b"connection", b"Upgrade"), (b"upgrade", b"SPDY/3.1"))
    wire = encode_request_head(request(method=b"POST", upgrade=b"spdy/3.1", headers=headers))
    assert wire == (
        b"POST /api HTTP/1.1\r\nHost: k8s:6443\r\nconnection: Upgrade\r\nupgrade: SPDY/3.1\r\nContent-Length: 0\r\n\r\n"
    )
    with pytest.raises(LocalProtocolError):
        encode_request_head(request(headers=headers))
    with pytest.raises(LocalProtocolError, match="has a body"):
        encode_request_head(request(upgrade=b"spdy/3.1", headers=headers, content_length=1))


def test_a_last_request_says_close_and_an_expectation_is_not_passed_on() -> None:
    wire = encode_request_head(request(wants_close=True, expects_continue=True, content_length=3))
    assert wire.endswith(b"Content-Length: 3\r\nConnection: close\r\n\r\n")
    assert b"xpect" not in wire


@pytest.mark.parametrize("method", [b"get", b"TRACE", b"CONNECT", b"", b"GET /x HTTP/1.1\r\nX:", b"G T"])
def test_a_request_to_be_sent_has_a_known_method(method: bytes) -> None:
    with pytest.raises(LocalProtocolError):
        encode_request_head(request(method=method))


@pytest.mark.parametrize(
    "target",
    [b"", b"*", b"http://a/", b"/a b", b"/a\r\nX: y", b"/a\n", b"/\x00", b"/\xc3\xa9", b"/a#b", b"a"],
)
def test_a_request_to_be_sent_has_a_target_in_origin_form(target: bytes) -> None:
    with pytest.raises(LocalProtocolError):
        encode_request_head(request(target=target))


@pytest.mark.parametrize("authority", [b"", b"a b", b"a\r\nX: y", b"user@a", b"a/b"])
def test_a_request_to_be_sent_has_an_authority(authority: bytes) -> None:
    with pytest.raises(LocalProtocolError):
        encode_request_head(request(authority=authority))


@pytest.mark.parametrize(
    "name", [b"host", b"content-length", b"transfer-encoding", b"connection", b"te", b"expect", b"keep-alive"]
)
def test_a_caller_does_not_frame_a_request(name: bytes) -> None:
    with pytest.raises(LocalProtocolError, match=name.decode()):
        encode_request_head(request(headers=((name, b"x"),)))


@pytest.mark.parametrize(
    "name", [b"content-length", b"transfer-encoding", b"connection", b"upgrade", b"trailer"]
)
def test_a_caller_does_not_frame_a_response(name: bytes) -> None:
    with pytest.raises(LocalProtocolError, match=name.decode()):
        encoded(200, (name, b"x"))


@pytest.mark.parametrize(
    "value", [*FIELD_VALUES, b"\r", b"\n", b"\r\n", b"\r\nSet-Cookie: a", b"\r\n\r\n<html>", b" a", b"a "]
)
def test_no_value_can_split_a_head_we_send(value: bytes) -> None:
    """H19: where a value came from does not matter."""
    inner = b"a" + value + b"b" if value.strip(b" ") == value else value
    with pytest.raises(LocalProtocolError):
        encoded(200, (b"location", inner))
    with pytest.raises(LocalProtocolError):
        encode_request_head(request(headers=((b"x", inner),)))


@pytest.mark.parametrize("name", [b"", b"A", b"a b", b"a:", b"a\r\n", b"\xc3\xa9", b"a\x00"])
def test_no_name_can_split_a_head_we_send(name: bytes) -> None:
    with pytest.raises(LocalProtocolError):
        encoded(200, (name, b"x"))


def test_a_response_has_the_words_kube_apiserver_would_use_or_none() -> None:
    assert encoded(403) == b"HTTP/1.1 403 Forbidden\r\n\r\n"
    assert encoded(599) == b"HTTP/1.1 599 \r\n\r\n"
    for status in REASONS:
        assert parse_status_line(encoded(status).split(b"\r\n")[0]) == status
    for status in (0, 99, 600, -1):
        with pytest.raises(LocalProtocolError):
            encoded(status)


def test_a_length_comes_from_the_header_or_the_field_and_they_must_agree() -> None:
    header = (b"content-length", b"3")
    bare = ResponseHead(200, ((b"a", b"b"),))
    assert split_length(ResponseHead(200, (header, (b"a", b"b")))) == (bare, 3)
    assert split_length(ResponseHead(200, (header,), content_length=3))[1] == 3
    assert split_length(ResponseHead(200, content_length=4))[1] == 4
    assert split_length(bare) == (bare, None)
    for headers, length in (((header, header), None), ((header,), 4), (((b"content-length", b"03"),), None)):
        with pytest.raises(LocalProtocolError):
            split_length(ResponseHead(200, headers, content_length=length))
