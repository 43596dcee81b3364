"""One HTTP/1.1 head: `RequestHead` or `ResponseHead` to bytes. No state; reading is `http1_heads`.

What is written passes the same grammar as what is read, so a value that came from anywhere cannot split a head. The
caller gives end-to-end fields; those about the connection are chosen here, from the event.
Source: RFC 9112 sections 2 to 6, RFC 9110 sections 7.6.1 and 8.6.
"""

import re
from typing import Final

import msgspec

from protocol.errors import LocalProtocolError
from protocol.events import Headers, RequestHead, ResponseHead
from protocol.headers import CONTROLS, METHODS, is_field_name, parse_authority, parse_content_length
from protocol.http1_names import TAKEN_FROM_REQUEST, TAKEN_FROM_RESPONSE, USUAL_NAMES

BODILESS_METHODS: Final = frozenset({b"GET", b"HEAD", b"DELETE", b"OPTIONS"})
"""Requests that need no Content-Length to say that they have no body (RFC 9110 section 8.6)."""

_TARGET: Final = re.compile(rb"/[!-\"$-~]*")
_MALFORMED: Final = "a field to be sent is malformed"
_ONLY_ON_UPGRADE: Final = frozenset({b"connection", b"upgrade"})
_PADDING: Final = (b":  ", b": \t", b" \r\n", b"\t\r\n")
"""One of these is in a block of fields if a value begins or ends with a blank."""


class _Names(msgspec.Struct, frozen=True):
    """Names in fields to be sent. ours: the caller must leave them to the machine; plain: known to be good and his."""

    ours: frozenset[bytes]
    plain: frozenset[bytes]


def _names(ours: frozenset[bytes]) -> _Names:
    return _Names(ours, frozenset(USUAL_NAMES.values()) - ours)


_IN_REQUEST: Final = {
    True: _names(TAKEN_FROM_REQUEST - _ONLY_ON_UPGRADE),
    False: _names(TAKEN_FROM_REQUEST),
}
_IN_RESPONSE: Final = {
    True: _names(TAKEN_FROM_RESPONSE - _ONLY_ON_UPGRADE),
    False: _names(TAKEN_FROM_RESPONSE),
}
"""By whether the message switches protocols."""

REASONS: Final[dict[int, bytes]] = {
    100: b"Continue",
    101: b"Switching Protocols",
    200: b"OK",
    201: b"Created",
    202: b"Accepted",
    204: b"No Content",
    206: b"Partial Content",
    301: b"Moved Permanently",
    302: b"Found",
    303: b"See Other",
    304: b"Not Modified",
    307: b"Temporary Redirect",
    308: b"Permanent Redirect",
    400: b"Bad Request",
    401: b"Unauthorized",
    403: b"Forbidden",
    404: b"Not Found",
    405: b"Method Not Allowed",
    406: b"Not Acceptable",
    408: b"Request Timeout",
    409: b"Conflict",
    410: b"Gone",
    412: b"Precondition Failed",
    413: b"Request Entity Too Large",
    414: b"Request URI Too Long",
    415: b"Unsupported Media Type",
    416: b"Requested Range Not Satisfiable",
    417: b"Expectation Failed",
    421: b"Misdirected Request",
    422: b"Unprocessable Entity",
    429: b"Too Many Requests",
    431: b"Request Header Fields Too Large",
    500: b"Internal Server Error",
    501: b"Not Implemented",
    502: b"Bad Gateway",
    503: b"Service Unavailable",
    504: b"Gateway Timeout",
    505: b"HTTP Version Not Supported",
}
"""The words of Go's net/http, which kube-apiserver sends. Any other status goes without words."""


def encode_request_head(head: RequestHead) -> bytes:
    """Write a request for a server: line, Host, headers as given, framing.

    `headers` may hold `connection` and `upgrade` only with `upgrade` set; never host,
    content-length, transfer-encoding. `expects_continue` is not passed on: we never send Expect.
    Raises LocalProtocolError for anything the grammar does not allow.
    """
    if head.method not in METHODS or _TARGET.fullmatch(head.target) is None:
        raise LocalProtocolError("the method is unknown or the target is not in origin-form")
    if parse_authority(head.authority) is None:
        raise LocalProtocolError("the authority is not host[:port]")
    if head.upgrade and head.content_length != 0:
        raise LocalProtocolError("an upgrade request has a body")
    lines = [b"%b %b HTTP/1.1\r\nHost: %b\r\n" % (head.method, head.target, head.authority)]
    lines.append(_encode_fields(head.headers, _IN_REQUEST[bool(head.upgrade)]))
    if head.content_length is None:
        lines.append(b"Transfer-Encoding: chunked\r\n")
    elif head.content_length or head.method not in BODILESS_METHODS:
        lines.append(b"Content-Length: %d\r\n" % head.content_length)
    if head.wants_close and not head.upgrade:
        lines.append(b"Connection: close\r\n")
    lines.append(b"\r\n")
    return b"".join(lines)


def encode_response_head(head: ResponseHead, *, length: int | None, chunked: bool, close: bool) -> bytes:
    """Write a response head, 1xx included. `head.headers` must not hold content-length.

    length: what Content-Length says, None for no such field. chunked, close: whether to say so.
    A 101 may hold `connection` and `upgrade`. Raises LocalProtocolError as `encode_request_head`.
    """
    if not 100 <= head.status <= 599:
        raise LocalProtocolError(f"{head.status} is no HTTP status")
    lines = [b"HTTP/1.1 %d %b\r\n" % (head.status, REASONS.get(head.status, b""))]
    lines.append(_encode_fields(head.headers, _IN_RESPONSE[head.status == 101]))
    if length is not None:
        lines.append(b"Content-Length: %d\r\n" % length)
    if chunked:
        lines.append(b"Transfer-Encoding: chunked\r\n")
    if close:
        lines.append(b"Connection: close\r\n")
    lines.append(b"\r\n")
    return b"".join(lines)


def split_length(head: ResponseHead) -> tuple[ResponseHead, int | None]:
    """Take a content-length header out of a head to be sent; the length it or the field says.

    Raises LocalProtocolError if the header is malformed, repeated or contradicts `content_length`.
    """
    for name, _ in head.headers:
        if name == b"content-length":
            break
    else:
        return head, head.content_length
    values = [value for name, value in head.headers if name == b"content-length"]
    length = parse_content_length(values[0])
    if len(values) > 1 or length is None or head.content_length not in (None, length):
        raise LocalProtocolError("content-length is malformed, repeated or differs from the field")
    rest = tuple(field for field in head.headers if field[0] != b"content-length")
    return msgspec.structs.replace(head, headers=rest), length


def _encode_fields(headers: Headers, names: _Names) -> bytes:
    """Lines of fields, each with its CRLF."""
    if not headers:
        return b""
    block = b"\r\n".join(map(b": ".join, headers)) + b"\r\n"
    if not names.plain.issuperset(dict(headers)):
        _check_names(headers, names.ours)
    first, second, third, fourth = _PADDING  # no loop: this is on the way of every message, twice
    if first in block or second in block or third in block or fourth in block:
        _check_padding(headers)
    # one pass over all values: the only control bytes are those of the line ends just written, and tabs
    if len(block.translate(None, CONTROLS)) != len(block) - 2 * len(headers):
        raise LocalProtocolError(_MALFORMED)
    return block


def _check_names(headers: Headers, ours: frozenset[bytes]) -> None:
    for name, _ in headers:
        if name in ours:
            raise LocalProtocolError(f"the machine chooses {name.decode('ascii')}, not its caller")
        if not is_field_name(name):
            raise LocalProtocolError(_MALFORMED)


def _check_padding(headers: Headers) -> None:
    if any(value.strip(b" \t") != value for _, value in headers):
        raise LocalProtocolError(_MALFORMED)
