"""What the server makes of each rule of RFC 9113 and RFC 7541, by section number.

Each case is a conversation: bytes after the exchange of SETTINGS, and what must become of it.
"connection CODE" is a GOAWAY with that code and a Failed event; "stream CODE" one RST_STREAM (with a
StreamReset event if the request had been delivered); "refused HINT" a StreamRefused; "served" a
RequestHead; "ignored" nothing at all.
"""

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protocol.events import (
    BodyChunk,
    EndOfBody,
    Event,
    Failed,
    GoAway,
    RequestHead,
    StreamRefused,
    StreamReset,
)
from protocol.http2 import Http2Server
from protocol.http2_answers import encode_integer
from protocol.http2_blocks import MAX_CONTINUATIONS
from tests.kit import h2_wire as wire

CODES = {
    "PROTOCOL_ERROR": 1,
    "FLOW_CONTROL_ERROR": 3,
    "STREAM_CLOSED": 5,
    "FRAME_SIZE_ERROR": 6,
    "REFUSED_STREAM": 7,
    "COMPRESSION_ERROR": 9,
    "ENHANCE_YOUR_CALM": 11,
}

GET, POST = list(wire.GET), list(wire.POST)
OPEN = wire.headers(1, POST, end=False)  # stream 1: request open
ASKED = wire.headers(1, GET)  # stream 1: request complete


def with_fields(*extra: tuple[bytes, bytes]) -> bytes:
    return wire.headers(1, [*GET, *extra])


def replacing(name: bytes, value: bytes | None, *, end: bool = True) -> bytes:
    fields = [(n, value if n == name else v) for n, v in GET if n != name or value is not None]
    return wire.headers(1, [(n, v) for n, v in fields if v is not None], end=end)


def block(*parts: bytes) -> bytes:
    """A HEADERS frame of a valid GET with raw HPACK before or after it."""
    return wire.headers_frame(1, b"".join(parts))


PLAIN = wire.plain_block(GET)
LARGE_ENTRY = b"\x40\x03x-a" + encode_integer(3000, 7) + b"v" * 3000  # goes into the dynamic table

CASES: list[tuple[str, bytes, str]] = [
    # 3.4 preface (that the first frame is SETTINGS has a test of its own)
    (
        "4.1 reserved bit of the stream id is ignored",
        b"\x00\x00\x08\x06\x00\x80\x00\x00\x00" + b"12345678",
        "ignored",
    ),
    ("4.1 undefined flags are ignored", wire.raw(6, 0xFE, 0, b"12345678"), "ignored"),
    ("4.1 unknown types are ignored", wire.raw(0xBC, 0xFF, 1, b"x" * 100), "ignored"),
    ("4.1 unknown types on idle streams are ignored", wire.raw(0xBC, 0, 77, b""), "ignored"),
    ("4.2 a frame of the largest size is read", wire.raw(0xBC, 0, 0, b"x" * 65536), "ignored"),
    ("4.2 a larger DATA frame", OPEN + wire.data(1, b"x" * 65537), "connection FRAME_SIZE_ERROR"),
    ("4.2 a larger frame of unknown type", wire.raw(0xBC, 0, 0, b"x" * 65537), "connection FRAME_SIZE_ERROR"),
    ("4.2 a larger HEADERS frame", wire.raw(1, 4, 1, b"x" * 65537), "connection FRAME_SIZE_ERROR"),
    (
        "4.2 a too large length is refused before its payload",
        b"\xff\xff\xff\x00\x00\x00\x00\x00\x01",
        "connection FRAME_SIZE_ERROR",
    ),
    (
        "4.3 a block that does not decode",
        wire.raw(1, 5, 1, b"\xff\xff\xff\xff\xff"),
        "connection COMPRESSION_ERROR",
    ),
    (
        "4.3 CONTINUATION completes a block",
        wire.headers_frame(1, PLAIN[:9], whole=False) + wire.continuation(1, PLAIN[9:]),
        "served",
    ),
    (
        "4.3 an empty HEADERS frame and its CONTINUATION",
        wire.headers_frame(1, b"", whole=False) + wire.continuation(1, PLAIN),
        "served",
    ),
    (
        "4.3 DATA inside a block",
        wire.headers_frame(1, PLAIN, whole=False) + wire.data(1, b"x"),
        "connection PROTOCOL_ERROR",
    ),
    (
        "4.3 PING inside a block",
        wire.headers_frame(1, PLAIN, whole=False) + wire.ping(),
        "connection PROTOCOL_ERROR",
    ),
    (
        "4.3 an unknown frame inside a block",
        wire.headers_frame(1, PLAIN, whole=False) + wire.raw(0xBC, 0, 0, b""),
        "connection PROTOCOL_ERROR",
    ),
    (
        "4.3 CONTINUATION of another stream",
        wire.headers_frame(1, PLAIN, whole=False) + wire.continuation(3, b""),
        "connection PROTOCOL_ERROR",
    ),
    (
        "4.3 HEADERS inside a block",
        wire.headers_frame(1, PLAIN, whole=False) + wire.headers(3, GET),
        "connection PROTOCOL_ERROR",
    ),
    # 5.1 states
    ("5.1 idle: DATA", wire.data(1, b"x"), "connection PROTOCOL_ERROR"),
    ("5.1 idle: RST_STREAM", wire.reset(1), "connection PROTOCOL_ERROR"),
    ("5.1 idle: WINDOW_UPDATE", wire.window_update(1, 10), "connection PROTOCOL_ERROR"),
    ("5.1 idle: CONTINUATION", wire.continuation(1, PLAIN), "connection PROTOCOL_ERROR"),
    ("5.1 idle: PRIORITY is allowed", wire.priority(1), "ignored"),
    ("5.1 half-closed: DATA", ASKED + wire.data(1, b"x"), "stream STREAM_CLOSED"),
    ("5.1 half-closed: HEADERS", ASKED + wire.headers(1, GET), "stream STREAM_CLOSED"),
    ("5.1 half-closed: WINDOW_UPDATE is allowed", ASKED + wire.window_update(1, 10), "served"),
    ("5.1 half-closed: PRIORITY is allowed", ASKED + wire.priority(1), "served"),
    (
        "5.1 closed by the client's reset: DATA",
        OPEN + wire.reset(1) + wire.data(1, b"x"),
        "connection STREAM_CLOSED",
    ),
    (
        "5.1 closed by the client's reset: WINDOW_UPDATE",
        OPEN + wire.reset(1) + wire.window_update(1, 1),
        "served",
    ),
    ("5.1 closed by the client's reset: RST_STREAM", OPEN + wire.reset(1) + wire.reset(1), "served"),
    ("5.1 closed by the client's reset: PRIORITY", OPEN + wire.reset(1) + wire.priority(1), "served"),
    ("5.1 implicitly closed: RST_STREAM", wire.headers(5, GET) + wire.reset(3), "served"),
    ("5.1 implicitly closed: DATA", wire.headers(5, GET) + wire.data(3, b"x"), "connection STREAM_CLOSED"),
    ("5.1.1 an even stream id", wire.headers(2, GET), "connection PROTOCOL_ERROR"),
    ("5.1.1 DATA on an even stream id", wire.data(2, b"x"), "connection PROTOCOL_ERROR"),
    ("5.1.1 RST_STREAM on an even stream id", ASKED + wire.reset(2), "connection PROTOCOL_ERROR"),
    (
        "5.1.1 a stream id lower than one before",
        wire.headers(5, GET) + wire.headers(3, GET),
        "connection PROTOCOL_ERROR",
    ),
    ("5.1.1 stream ids may skip", wire.headers(2**31 - 1, GET), "served"),
    # 5.3 the old priorities
    ("5.3.1 HEADERS with priority fields", wire.raw(1, 0x25, 1, b"\x00\x00\x00\x00\x10" + PLAIN), "served"),
    (
        "5.3.1 HEADERS that depend on themselves",
        wire.raw(1, 0x25, 1, b"\x00\x00\x00\x01\x10" + PLAIN),
        "connection PROTOCOL_ERROR",
    ),
    ("5.3.1 PRIORITY that depends on itself", wire.priority(1, depends_on=1), "connection PROTOCOL_ERROR"),
    ("5.3.1 HEADERS with a truncated priority field", wire.raw(1, 0x25, 1, b"\x00\x00"), "connection"),
    # 6.1 DATA
    (
        "6.1 DATA without a stream",
        wire.raw(0, 0, 0, b"x"),
        "connection PROTOCOL_ERROR",
    ),
    (
        "6.1 padding longer than the payload",
        OPEN + wire.raw(0, 8, 1, b"\x05xxx"),
        "connection PROTOCOL_ERROR",
    ),
    ("6.1 padding exactly the payload", OPEN + wire.raw(0, 9, 1, b"\x03xxx"), "served"),
    ("6.1 PADDED without a length byte", OPEN + wire.raw(0, 8, 1, b""), "connection"),
    # 6.2 HEADERS
    ("6.2 HEADERS without a stream", wire.raw(1, 5, 0, PLAIN), "connection PROTOCOL_ERROR"),
    ("6.2 padded HEADERS", wire.raw(1, 0xD, 1, b"\x04" + PLAIN + b"pads"), "served"),
    ("6.2 HEADERS with too much padding", wire.raw(1, 0xD, 1, b"\xff" + PLAIN), "connection PROTOCOL_ERROR"),
    # 6.3 PRIORITY
    (
        "6.3 PRIORITY without a stream",
        wire.raw(2, 0, 0, b"\x00\x00\x00\x01\x00"),
        "connection PROTOCOL_ERROR",
    ),
    (
        "6.3 PRIORITY of a wrong size",
        ASKED + wire.raw(2, 0, 1, b"\x00\x00\x00\x01"),
        "connection FRAME_SIZE_ERROR",
    ),
    # 6.4 RST_STREAM
    ("6.4 RST_STREAM without a stream", wire.raw(3, 0, 0, b"\x00\x00\x00\x08"), "connection PROTOCOL_ERROR"),
    (
        "6.4 RST_STREAM of a wrong size",
        ASKED + wire.raw(3, 0, 1, b"\x00\x00\x08"),
        "connection FRAME_SIZE_ERROR",
    ),
    ("6.4 RST_STREAM with an unknown code", ASKED + wire.reset(1, 0xDEAD), "reset by client 57005"),
    # 6.5 SETTINGS
    ("6.5 SETTINGS on a stream", wire.raw(4, 0, 1, b""), "connection PROTOCOL_ERROR"),
    ("6.5 SETTINGS of a wrong size", wire.raw(4, 0, 0, b"\x00\x01\x00"), "connection"),
    ("6.5 an ACK with a payload", wire.raw(4, 1, 0, b"\x00\x01\x00\x00\x00\x00"), "connection"),
    ("6.5.2 ENABLE_PUSH of 2", wire.settings({2: 2}), "connection PROTOCOL_ERROR"),
    ("6.5.2 INITIAL_WINDOW_SIZE of 2**31", wire.settings({4: 2**31}), "connection FLOW_CONTROL_ERROR"),
    ("6.5.2 MAX_FRAME_SIZE below the minimum", wire.settings({5: 16383}), "connection PROTOCOL_ERROR"),
    ("6.5.2 MAX_FRAME_SIZE above the maximum", wire.settings({5: 2**24}), "connection PROTOCOL_ERROR"),
    ("6.5.2 an unknown setting", wire.settings({0xABC: 5}), "acknowledged"),
    ("6.5.2 MAX_CONCURRENT_STREAMS of 0 (no push wanted)", wire.settings({3: 0}), "acknowledged"),
    (
        "6.5.2 many settings in one frame",
        wire.raw(4, 0, 0, b"\x0a\xbc\x00\x00\x00\x01" * 65),
        "connection ENHANCE_YOUR_CALM",
    ),
    # 6.6 PUSH_PROMISE
    (
        "6.6 PUSH_PROMISE from a client",
        ASKED + wire.raw(5, 4, 1, b"\x00\x00\x00\x02" + PLAIN),
        "connection PROTOCOL_ERROR",
    ),
    # 6.7 PING
    ("6.7 PING on a stream", ASKED + wire.raw(6, 0, 1, b"12345678"), "connection PROTOCOL_ERROR"),
    ("6.7 PING of a wrong size", wire.raw(6, 0, 0, b"1234567"), "connection FRAME_SIZE_ERROR"),
    # 6.8 GOAWAY
    ("6.8 GOAWAY on a stream", wire.raw(7, 0, 1, bytes(8)), "connection PROTOCOL_ERROR"),
    ("6.8 GOAWAY that is too short", wire.raw(7, 0, 0, bytes(7)), "connection FRAME_SIZE_ERROR"),
    ("6.8 GOAWAY with an endless text", wire.raw(7, 0, 0, bytes(5000)), "connection FRAME_SIZE_ERROR"),
    ("6.8 a request after the client's GOAWAY", wire.goaway() + ASKED, "served"),
    # 6.9 WINDOW_UPDATE
    ("6.9 an increment of 0 on the connection", wire.window_update(0, 0), "connection PROTOCOL_ERROR"),
    ("6.9 an increment of 0 on a stream", ASKED + wire.window_update(1, 0), "stream PROTOCOL_ERROR"),
    ("6.9 the reserved bit of an increment is ignored", ASKED + wire.window_update(1, 2**31 + 1), "served"),
    (
        "6.9 a reserved bit alone is an increment of 0",
        ASKED + wire.window_update(1, 2**31),
        "stream PROTOCOL_ERROR",
    ),
    (
        "6.9 WINDOW_UPDATE of a wrong size",
        ASKED + wire.raw(8, 0, 1, b"\x00\x00\x01"),
        "connection FRAME_SIZE_ERROR",
    ),
    (
        "6.9.1 a window above 2**31-1 on the connection",
        wire.window_update(0, 2**31 - 1),
        "connection FLOW_CONTROL_ERROR",
    ),
    (
        "6.9.1 a window above 2**31-1 on a stream",
        ASKED + wire.window_update(1, 2**31 - 1),
        "stream FLOW_CONTROL_ERROR",
    ),
    (
        "6.9.2 SETTINGS that lift a window above 2**31-1",
        ASKED + wire.window_update(1, 2**31 - 1 - 65535) + wire.settings({4: 65536}),
        "connection FLOW_CONTROL_ERROR",
    ),
    # 6.10 CONTINUATION
    (
        "6.10 CONTINUATION without a stream",
        wire.headers_frame(1, PLAIN, whole=False) + wire.raw(9, 4, 0, b""),
        "connection PROTOCOL_ERROR",
    ),
    (
        "6.10 CONTINUATION after a complete block",
        ASKED + wire.continuation(1, b""),
        "connection PROTOCOL_ERROR",
    ),
    (
        "6.10 as many CONTINUATIONs as allowed",
        wire.headers_frame(1, b"", whole=False)
        + wire.continuation(1, b"", whole=False) * (MAX_CONTINUATIONS - 1)
        + wire.continuation(1, PLAIN),
        "served",
    ),
    (
        "6.10 one CONTINUATION too many",
        wire.headers_frame(1, PLAIN, whole=False)
        + wire.continuation(1, b"", whole=False) * (MAX_CONTINUATIONS + 1),
        "connection ENHANCE_YOUR_CALM",
    ),
    (
        "6.10 a block too large in sum",
        wire.headers_frame(1, b"\x00" * 65536, whole=False) + wire.continuation(1, b"\x00", whole=False),
        "connection ENHANCE_YOUR_CALM",
    ),
    # 8.1 messages
    ("8.1 trailers with a field", OPEN + wire.headers(1, [(b"x-a", b"b")]), "stream PROTOCOL_ERROR"),
    (
        "8.1 trailers with impersonation",
        OPEN + wire.headers(1, [(b"impersonate-user", b"admin")]),
        "stream PROTOCOL_ERROR",
    ),
    (
        "8.1 trailers with a pseudo-header",
        OPEN + wire.headers(1, [(b":path", b"/x")]),
        "stream PROTOCOL_ERROR",
    ),
    (
        "8.1 trailers without END_STREAM",
        OPEN + wire.headers(1, [(b"x-a", b"b")], end=False),
        "connection PROTOCOL_ERROR",
    ),
    ("8.1 trailers without a field end the body", OPEN + wire.headers_frame(1, b""), "served"),
    ("8.1.1 content-length and END_STREAM", with_fields((b"content-length", b"5")), "refused 400"),
    ("8.1.1 content-length 0 and END_STREAM", with_fields((b"content-length", b"0")), "served"),
    (
        "8.1.1 less DATA than content-length",
        wire.headers(1, [*POST, (b"content-length", b"5")], end=False) + wire.data(1, b"four", end=True),
        "stream PROTOCOL_ERROR",
    ),
    (
        "8.1.1 more DATA than content-length",
        wire.headers(1, [*POST, (b"content-length", b"5")], end=False) + wire.data(1, b"sixsix"),
        "stream PROTOCOL_ERROR",
    ),
    (
        "8.1.1 DATA beyond content-length 0",
        wire.headers(1, [*POST, (b"content-length", b"0")], end=False) + wire.data(1, b"x"),
        "stream PROTOCOL_ERROR",
    ),
    (
        "8.1.1 empty trailers before content-length is reached",
        wire.headers(1, [*POST, (b"content-length", b"5")], end=False) + wire.headers_frame(1, b""),
        "stream PROTOCOL_ERROR",
    ),
    (
        "8.1.1 padding does not count for content-length",
        wire.headers(1, [*POST, (b"content-length", b"4")], end=False)
        + wire.data(1, b"four", end=True, padding=9),
        "served",
    ),
    # 8.2 fields
    ("8.2 an upper-case name", with_fields((b"X-A", b"b")), "refused 400"),
    ("8.2 an empty name", with_fields((b"", b"b")), "refused 400"),
    ("8.2 a name with a blank", with_fields((b"x a", b"b")), "refused 400"),
    ("8.2 a name with a colon", with_fields((b"x:a", b"b")), "refused 400"),
    ("8.2 a name with CR LF", with_fields((b"x\r\na", b"b")), "refused 400"),
    ("8.2 a name with NUL", with_fields((b"x\x00", b"b")), "refused 400"),
    ("8.2 a name beyond ASCII", with_fields((b"x-\xc3\xa9", b"b")), "refused 400"),
    ("8.2 a name with an underscore", with_fields((b"x_remote_user", b"admin")), "refused 400"),
    ("8.2 an empty value", with_fields((b"x-a", b"")), "served"),
    ("8.2 a value with CR LF", with_fields((b"x-a", b"b\r\nimpersonate-user: admin")), "refused 400"),
    ("8.2 a value with LF", with_fields((b"x-a", b"b\nc")), "refused 400"),
    ("8.2 a value with NUL", with_fields((b"x-a", b"b\x00c")), "refused 400"),
    ("8.2 a value with DEL", with_fields((b"x-a", b"b\x7f")), "refused 400"),
    ("8.2 a value with a leading blank", with_fields((b"x-a", b" b")), "refused 400"),
    ("8.2 a value with a trailing tab", with_fields((b"x-a", b"b\t")), "refused 400"),
    ("8.2 a value with an inner tab", with_fields((b"x-a", b"b\tc")), "served"),
    ("8.2 a value beyond ASCII", with_fields((b"user-agent", b"k\xc3\xb6nig/1.0")), "served"),
    ("8.2.2 connection", with_fields((b"connection", b"keep-alive")), "refused 400"),
    (
        "8.2.2 connection that lists a header of ours",
        with_fields((b"connection", b"impersonate-user")),
        "refused 400",
    ),
    ("8.2.2 keep-alive", with_fields((b"keep-alive", b"5")), "refused 400"),
    ("8.2.2 proxy-connection", with_fields((b"proxy-connection", b"close")), "refused 400"),
    ("8.2.2 transfer-encoding (H2.TE)", with_fields((b"transfer-encoding", b"chunked")), "refused 400"),
    ("8.2.2 upgrade", with_fields((b"upgrade", b"websocket")), "refused 400"),
    ("8.2.2 http2-settings", with_fields((b"http2-settings", b"AAMAAABkAAQAAP__")), "refused 400"),
    ("8.2.2 te: trailers", with_fields((b"te", b"trailers")), "served"),
    ("8.2.2 te: gzip", with_fields((b"te", b"gzip")), "refused 400"),
    ("8.2.2 te: trailers, gzip", with_fields((b"te", b"trailers, gzip")), "refused 400"),
    ("8.2.3 cookie crumbs", with_fields((b"cookie", b"a=1"), (b"cookie", b"b=2")), "served"),
    # 8.3 pseudo-headers
    ("8.3 no :method", replacing(b":method", None), "refused 400"),
    ("8.3 no :scheme", replacing(b":scheme", None), "refused 400"),
    ("8.3 no :path", replacing(b":path", None), "refused 400"),
    ("8.3 no :authority", replacing(b":authority", None), "refused 400"),
    (
        "8.3 a repeated :path",
        wire.headers(1, [*GET, (b":path", b"/other")]),
        "refused 400",
    ),
    ("8.3 :path after an ordinary field", wire.headers(1, [*GET[:3], (b"x-a", b"b"), GET[3]]), "refused 400"),
    ("8.3 :status in a request", wire.headers(1, [*GET, (b":status", b"200")]), "refused 400"),
    ("8.3 an unknown pseudo-header", wire.headers(1, [*GET, (b":evil", b"1")]), "refused 400"),
    ("8.3 an upper-case pseudo-header", wire.headers(1, [*GET[1:], (b":Method", b"GET")]), "refused 400"),
    ("8.3 no field at all", wire.headers_frame(1, b""), "refused 400"),
    ("8.3.1 a method in lower case", replacing(b":method", b"get"), "refused 405"),
    ("8.3.1 an unknown method", replacing(b":method", b"PROPFIND"), "refused 405"),
    ("8.3.1 a method that is a request line", replacing(b":method", b"GET /x HTTP/1.1"), "refused 405"),
    ("8.3.1 an empty method", replacing(b":method", b""), "refused 405"),
    ("8.3.1 a method with a trailing blank", replacing(b":method", b"GET "), "refused 400"),
    ("8.3.1 scheme http", replacing(b":scheme", b"http"), "refused 400"),
    ("8.3.1 scheme HTTPS", replacing(b":scheme", b"HTTPS"), "refused 400"),
    ("8.3.1 a scheme that is a URL", replacing(b":scheme", b"https://evil/"), "refused 400"),
    ("8.3.1 an empty path", replacing(b":path", b""), "refused 400"),
    ("8.3.1 a path without a slash", replacing(b":path", b"a"), "refused 400"),
    ("8.3.1 an absolute URL as path", replacing(b":path", b"http://evil/a"), "refused 400"),
    ("8.3.1 a path with user information", replacing(b":path", b"a@evil"), "refused 400"),
    ("8.3.1 a path with a blank", replacing(b":path", b"/a b"), "refused 400"),
    ("8.3.1 a path that is a request line", replacing(b":path", b"/a HTTP/1.1\r\nx: y"), "refused 400"),
    ("8.3.1 a path with a tab", replacing(b":path", b"/a\tb"), "refused 400"),
    ("8.3.1 asterisk form", replacing(b":path", b"*"), "refused 400"),
    ("8.3.1 a path that is too long", replacing(b":path", b"/" + b"a" * 8192), "refused 414"),
    ("8.3.1 an empty authority", replacing(b":authority", b""), "refused 400"),
    ("8.3.1 an authority with user information", replacing(b":authority", b"me@gw.example"), "refused 400"),
    ("8.3.1 an authority with a path", replacing(b":authority", b"gw/../x"), "refused 400"),
    ("8.3.1 an authority with a blank", replacing(b":authority", b"gw y"), "refused 400"),
    ("8.3.1 an authority with an impossible port", replacing(b":authority", b"gw:99999"), "refused 400"),
    ("8.3.1 an IPv6 authority", replacing(b":authority", b"[2001:db8::1]:6443"), "served"),
    ("8.3.1 Host equal to :authority", with_fields((b"host", b"gw.example:6443")), "served"),
    ("8.3.1 Host equal but for case", with_fields((b"host", b"GW.example:6443")), "served"),
    ("8.3.1 Host different from :authority", with_fields((b"host", b"other")), "refused 400"),
    (
        "8.3.1 Host instead of :authority",
        wire.headers(1, [*GET[:2], GET[3], (b"host", b"gw.example")]),
        "served",
    ),
    (
        "8.3.1 two Hosts (CVE-2026-71554)",
        with_fields((b"host", b"gw.example:6443"), (b"host", b"gw.example:6443")),
        "refused 400",
    ),
    # 8.5, RFC 8441
    ("8.5 CONNECT", wire.headers(1, [(b":method", b"CONNECT"), (b":authority", b"gw:443")]), "refused 400"),
    (
        "RFC 8441 extended CONNECT",
        wire.headers(1, [(b":method", b"CONNECT"), *GET[1:], (b":protocol", b"websocket")]),
        "refused 400",
    ),
    ("RFC 8441 :protocol on a GET", wire.headers(1, [*GET, (b":protocol", b"websocket")]), "refused 400"),
    # RFC 9110: fields that come once
    (
        "9110 two authorizations",
        with_fields((b"authorization", b"Bearer a"), (b"authorization", b"Bearer b")),
        "refused 400",
    ),
    (
        "9110 two content-types",
        with_fields((b"content-type", b"a/b"), (b"content-type", b"a/b")),
        "refused 400",
    ),
    (
        "9110 two equal content-lengths",
        with_fields((b"content-length", b"0"), (b"content-length", b"0")),
        "refused 400",
    ),
    (
        "9110 two different content-lengths",
        with_fields((b"content-length", b"0"), (b"content-length", b"1")),
        "connection PROTOCOL_ERROR",
    ),
    ("9110 content-length with a leading zero", with_fields((b"content-length", b"00")), "refused 400"),
    ("9110 content-length with a sign", with_fields((b"content-length", b"+0")), "connection PROTOCOL_ERROR"),
    (
        "9110 content-length that is a list",
        with_fields((b"content-length", b"0, 0")),
        "connection PROTOCOL_ERROR",
    ),
    ("9110 content-length in hex", with_fields((b"content-length", b"0x1")), "connection PROTOCOL_ERROR"),
    ("9110 content-length that is endless", with_fields((b"content-length", b"1" * 400)), "refused 400"),
    (
        "9110 content-length that is monstrous",
        with_fields((b"content-length", b"1" * 5000)),
        "connection PROTOCOL_ERROR",
    ),
    ("9110 expect: 100-continue", with_fields((b"expect", b"100-Continue")), "served"),
    ("9110 another expectation", with_fields((b"expect", b"200-ok")), "refused 417"),
    # 10.5.1 sizes
    ("10.5.1 as many fields as allowed", with_fields(*((b"x-%d" % n, b"") for n in range(100))), "served"),
    ("10.5.1 one field too many", with_fields(*((b"x-%d" % n, b"") for n in range(101))), "refused 431"),
    ("10.5.1 a large token", with_fields((b"authorization", b"Bearer " + b"x" * 32000)), "served"),
    (
        "10.5.1 a list that is too large",
        wire.headers_frame(1, PLAIN + LARGE_ENTRY + b"\xbe" * 24),
        "refused 431",
    ),
    (
        "10.5.1 a list that is far too large (HPACK bomb)",
        wire.headers_frame(1, PLAIN + LARGE_ENTRY + b"\xbe" * 60000),
        "connection ENHANCE_YOUR_CALM",
    ),
    # RFC 7541
    ("7541 2.3.2 an entry comes back by its index", block(PLAIN, b"\x40\x03x-a\x01b", b"\xbe"), "served"),
    ("7541 2.3.3 an index beyond the tables", block(PLAIN, b"\xff\x80\x01"), "connection COMPRESSION_ERROR"),
    ("7541 4.2 a table size update at the start", block(b"\x20", PLAIN), "served"),
    ("7541 4.2 a table size update after a field", block(PLAIN, b"\x20"), "connection COMPRESSION_ERROR"),
    ("7541 4.2 a table larger than we allow", block(b"\x3f\xe2\x1f", PLAIN), "connection COMPRESSION_ERROR"),
    ("7541 5.1 an integer without end", block(b"\x3f" + b"\x80" * 30), "connection COMPRESSION_ERROR"),
    ("7541 5.1 an integer cut off", block(b"\x3f\x80"), "connection COMPRESSION_ERROR"),
    ("7541 5.2 a string cut off", block(b"\x00\x03ab"), "connection COMPRESSION_ERROR"),
    (
        "7541 5.2 Huffman with a padding longer than 7 bits",
        block(PLAIN, b"\x00\x83\xff\xff\xff\x01a"),
        "connection COMPRESSION_ERROR",
    ),
    (
        "7541 5.2 Huffman with the EOS symbol",
        block(PLAIN, b"\x00\x84\xff\xff\xff\xff\x01a"),
        "connection COMPRESSION_ERROR",
    ),
    ("7541 6.1 index 0", block(PLAIN, b"\x80"), "connection COMPRESSION_ERROR"),
    ("7541 6.1 static indexes", block(b"\x82\x87\x84", wire.plain_block([GET[2]])), "served"),
]
IDS = [case[0] for case in CASES]


def outcome(events: list[Event], sent: bytes) -> str:
    """What became of a conversation, in the words of CASES."""
    names = {code: name for name, code in CODES.items()}
    if events and isinstance(events[-1], Failed):
        ((_, code),) = wire.goaways_of(sent)
        return f"connection {names[code]}"
    assert not wire.goaways_of(sent)
    resets = wire.resets_of(sent)
    if resets:
        ((stream_id, code),) = resets
        assert StreamReset(stream_id, code) in events
        return f"stream {names[code]}"
    for event in reversed(events):
        if isinstance(event, StreamRefused):
            return f"refused {event.error.status_hint}"
        if isinstance(event, StreamReset) and event.code not in (8,):
            return f"reset by client {event.code}"
    if any(isinstance(event, RequestHead) for event in events):
        return "served"
    return "acknowledged" if any("ACK" in f.flags for f in wire.frames_of(sent) if f.type == 4) else "ignored"


@pytest.mark.parametrize(("conversation", "expected"), [case[1:] for case in CASES], ids=IDS)
def test_rfc_9113(conversation: bytes, expected: str) -> None:
    server = wire.open_server()
    events = server.receive(conversation)
    found = outcome(events, server.data_to_send())
    if expected == "connection":  # which of several codes is right is a matter of taste
        assert found.startswith("connection ")
    else:
        assert found == expected


@pytest.mark.parametrize("conversation", [case[1] for case in CASES], ids=IDS)
def test_every_cut_of_the_bytes_gives_the_same_events_and_answers(conversation: bytes) -> None:
    whole = wire.open_server()
    expected = wire.join_bodies(whole.receive(conversation)), whole.data_to_send()
    if len(conversation) < 600:
        cuts = [[cut, len(conversation)] for cut in range(1, len(conversation))] + [
            list(range(1, len(conversation) + 1))
        ]
    else:
        cuts = [[len(conversation) // 3, len(conversation)], [9, 10, len(conversation)]]
    for ends in cuts:
        server, events, start = wire.open_server(), [], 0
        for end in ends:
            events += server.receive(conversation[start:end])
            start = end
        assert comparable(wire.join_bodies(events)) == comparable(expected[0])
        assert server.data_to_send() == expected[1]


def frames_in_any_order(output: bytes) -> list[bytes]:
    return sorted(frame.serialize() for frame in wire.frames_of(output))


def comparable(events: list[Event]) -> list[object]:
    """Errors compare by identity; compare what they say."""
    return [
        (type(e), e.error.why, e.error.status_hint) if isinstance(e, Failed | StreamRefused) else e
        for e in events
    ]


@pytest.mark.parametrize(
    "first",
    [
        b"GET / HTTP/1.1\r\nHost: gw\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n",
        b"\x16\x03\x01\x02\x00",
        b"P0",
        b"PRI * HTTP/2.1",
    ],
)
def test_3_4_another_preface_is_refused_at_its_first_wrong_byte(first: bytes) -> None:
    server = Http2Server()
    assert wire.why_failed(server.receive(first)) == "this is not the preface of HTTP/2"
    assert wire.goaways_of(server.data_to_send()) == [(0, 1)]


@pytest.mark.parametrize(
    "first",
    [wire.ping(), ASKED, wire.settings(ack=True), wire.window_update(0, 1), wire.raw(0xBC, 0, 0, b"")],
)
def test_3_4_the_first_frame_is_settings(first: bytes) -> None:
    assert "SETTINGS" in wire.why_failed(Http2Server().receive(wire.PREFACE + first))


def test_5_1_2_streams_of_the_window_before_our_settings_arrived_are_served() -> None:
    requests = b"".join(wire.headers(2 * n + 1, GET) for n in range(100))
    events = Http2Server().receive(wire.PREFACE + wire.settings() + requests)
    assert sum(isinstance(event, RequestHead) for event in events) == 100


def test_6_9_1_a_negative_window_reopens_by_credit() -> None:
    server = wire.open_server()
    server.receive(ASKED + wire.settings({4: 0}))
    assert server.sendable(1) == 0
    server.receive(wire.window_update(1, 7))
    assert server.sendable(1) == 7


def test_7541_2_3_the_dynamic_table_is_shared_by_all_requests_even_refused_ones() -> None:
    server = wire.open_server()
    bad = wire.headers_frame(1, b"\x40\x03x-a\x01b" + PLAIN)  # indexes x-a: b, then is malformed
    assert [type(e) for e in server.receive(bad)] == [StreamRefused]
    head, end = server.receive(wire.headers_frame(3, PLAIN + b"\xbe"))
    assert isinstance(head, RequestHead)
    assert head.headers == ((b"x-a", b"b"),)
    assert end == EndOfBody(3)


def test_8_1_a_malformed_request_leaves_the_others_alone() -> None:
    server = wire.open_server()
    events = server.receive(
        wire.headers(1, POST, end=False)
        + wire.headers(3, [*POST, (b"upgrade", b"spdy/3.1")])
        + wire.data(1, b"x", end=True)
        + wire.headers(5, GET)
    )
    kinds = [type(event) for event in events]
    assert kinds == [RequestHead, StreamRefused, BodyChunk, EndOfBody, RequestHead, EndOfBody]


def test_8_1_frames_after_a_made_reset_are_swallowed() -> None:
    server = wire.open_server()
    server.receive(wire.headers(1, [*POST, (b"content-length", b"1")], end=False) + wire.data(1, b"xx"))
    assert wire.resets_of(server.data_to_send()) == [(1, 1)]
    assert server.receive(wire.data(1, b"xx") + wire.window_update(1, 5) + wire.data(1, b"", end=True)) == []
    assert server.receive(wire.headers(3, GET))[1:] == [EndOfBody(3)]


def test_6_9_1_a_window_overflow_ends_an_upload_and_swallows_the_rest() -> None:
    server = wire.open_server()
    events = server.receive(OPEN + wire.window_update(1, 2**31 - 1) + wire.data(1, b"x" * 100, end=True))
    assert events[1:] == [StreamReset(1, 3)]
    assert wire.resets_of(server.data_to_send()) == [(1, 3)]


def test_8_1_trailers_after_a_made_reset_keep_the_compression_state() -> None:
    server = wire.open_server()
    server.receive(OPEN)
    server.send(StreamReset(1, 2))
    server.data_to_send()
    assert server.receive(wire.headers_frame(1, b"\x40\x03x-a\x01b")) == []
    head, _ = server.receive(wire.headers_frame(3, PLAIN + b"\xbe"))
    assert isinstance(head, RequestHead)
    assert head.headers == ((b"x-a", b"b"),)


def test_6_8_the_clients_goaway_is_an_event() -> None:
    assert wire.open_server().receive(wire.goaway(2**31 - 1, 11)) == [GoAway(2**31 - 1, 11)]


def test_errors_quote_no_value() -> None:
    for _, conversation, _ in CASES:
        secret = conversation.replace(b"Bearer a", b"SECRET42").replace(b"+0", b"s3")
        for event in wire.open_server().receive(secret):
            if isinstance(event, Failed | StreamRefused):
                assert "SECRET42" not in event.error.why
                assert "s3" not in event.error.why
                assert event.error.why.isprintable()


FRAGMENTS = [case[1] for case in CASES if len(case[1]) < 300]


@given(
    st.lists(st.one_of(st.sampled_from(FRAGMENTS), st.binary(max_size=40)), max_size=6),
    st.lists(st.integers(1, 400), max_size=12),
)
@settings(max_examples=250, deadline=None)
def test_no_bytes_raise_and_no_cut_matters(parts: list[bytes], cuts: list[int]) -> None:
    conversation = b"".join(parts)
    whole, pieces = wire.open_server(), wire.open_server()
    expected = whole.receive(conversation) if conversation else []
    events: list[Event] = []
    borders = [0, *sorted({cut for cut in cuts if cut < len(conversation)}), len(conversation)]
    for start, end in pairwise(borders):
        if start < end:
            events += pieces.receive(conversation[start:end])
    assert comparable(wire.join_bodies(events)) == comparable(wire.join_bodies(expected))
    # An answer to a PING overtakes what was queued before it in the same read.
    assert frames_in_any_order(pieces.data_to_send()) == frames_in_any_order(whole.data_to_send())


@given(st.binary(max_size=300), st.integers(0, 20), st.integers(0, 255), st.integers(0, 5))
@settings(max_examples=300, deadline=None)
def test_any_frame_of_any_type_is_survived(payload: bytes, kind: int, flags: int, stream_id: int) -> None:
    server = wire.open_server()
    server.receive(wire.headers(1, POST, end=False) + wire.headers(3, GET))
    server.receive(wire.raw(kind, flags, stream_id, payload) + wire.ping())
    server.send(StreamReset(1))
    server.receive(b"")
    wire.frames_of(server.data_to_send())
