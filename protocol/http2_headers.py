"""HTTP/2 header blocks: what makes a request well-formed, and how a response's block is encoded.

h2 decodes blocks but is used with its own checks off: it ends the connection for a malformed request
where the stream would do, and lets pass what no API server should read (a method with a space, a path
without a slash, any scheme). Everything RFC 9113 section 8 asks for is checked here, and more.

Responses are encoded without compression state: each field as a literal that is never indexed. That
is a tenth of hpack's time (whose search walks the dynamic table for every field), about 200 bytes
longer, leaves nothing to guess about other responses from the length of one (RFC 7541 section 7.1),
and lets a client's SETTINGS_HEADER_TABLE_SIZE cost us no memory.
"""

from collections.abc import Iterable
from functools import lru_cache
from typing import Final

from protocol.errors import LocalProtocolError, RemoteProtocolError, TooLarge
from protocol.events import Headers, InformationalHead, RequestHead, ResponseHead
from protocol.headers import (
    CONNECTION_FIELDS,
    METHODS,
    find_repeated,
    is_field_name,
    is_field_value,
    is_request_field_name,
    parse_authority,
    parse_content_length,
)

MAX_FIELDS: Final = 100
"""As on HTTP/1.1; kubectl sends about 12."""

MAX_LIST_BYTES: Final = 64 * 1024
"""Our SETTINGS_MAX_HEADER_LIST_SIZE: names, values and 32 bytes a field (RFC 9113 section 6.5.2)."""

MAX_TARGET_BYTES: Final = 8 * 1024
"""As on HTTP/1.1. Only exec needs long targets, and exec cannot come over HTTP/2."""

PSEUDO_FIELDS: Final = frozenset({b":method", b":scheme", b":authority", b":path"})
"""Those of a request. Not `:protocol`: extended CONNECT is not offered (RFC 8441)."""

_DROPPED: Final = frozenset({b"te", b"trailer"})  # legal here, about this hop only
_NO_VALUE_BLANKS: Final = bytes(range(0x21)) + b"\x7f"


def parse_request(stream_id: int, fields: Iterable[tuple[bytes, bytes]], *, ended: bool) -> RequestHead:
    """Read the decoded fields of a request's HEADERS, pseudo-fields included.

    ended: END_STREAM came with it. Raises RemoteProtocolError (never with a value in its text) when
    the request is malformed or refused; its status_hint says which.
    """
    pseudo: dict[bytes, bytes] = {}
    headers: list[tuple[bytes, bytes]] = []
    size = count = 0
    for name, value in fields:
        size += len(name) + len(value) + 32
        count += 1
        if count > MAX_FIELDS + len(PSEUDO_FIELDS) or size > MAX_LIST_BYTES:
            raise TooLarge(
                f"more than {MAX_FIELDS} header fields or {MAX_LIST_BYTES} bytes of them", status_hint=431
            )
        if not is_field_value(value):
            raise RemoteProtocolError("a header value with a control character or outer blanks")
        if name[:1] != b":":
            headers.append((name, value))
        elif headers or name in pseudo or name not in PSEUDO_FIELDS:
            raise RemoteProtocolError("a pseudo-header field that is repeated, misplaced or unknown")
        else:
            pseudo[name] = value
    method, target = _check_method_and_path(pseudo)
    authority, kept = _check_fields(pseudo.get(b":authority"), headers)
    found = dict(kept)  # singletons are single by now, so this loses nothing that is read below
    return RequestHead(
        method=method,
        target=target,
        authority=authority,
        headers=tuple(kept),
        http_version=b"2",
        stream_id=stream_id,
        content_length=_check_length(found.get(b"content-length"), ended),
        expects_continue=_check_expect(found.get(b"expect")),
    )


def _check_method_and_path(pseudo: dict[bytes, bytes]) -> tuple[bytes, bytes]:
    try:
        method, scheme, path = pseudo[b":method"], pseudo[b":scheme"], pseudo[b":path"]
    except KeyError:
        raise RemoteProtocolError("a request without :method, :scheme or :path") from None
    if method not in METHODS:
        raise RemoteProtocolError("the method is not one of the Kubernetes API", status_hint=405)
    if scheme != b"https":
        raise RemoteProtocolError("the scheme is not https")
    if len(path) > MAX_TARGET_BYTES:
        raise TooLarge(f"a request target of more than {MAX_TARGET_BYTES} bytes", status_hint=414)
    if not path.startswith(b"/") or path.translate(None, _NO_VALUE_BLANKS) != path:
        raise RemoteProtocolError("the request target is not an absolute path without blanks")
    return method, path


def _check_fields(
    authority: bytes | None, headers: list[tuple[bytes, bytes]]
) -> tuple[bytes, list[tuple[bytes, bytes]]]:
    """Judge the ordinary fields; return the authority, and the fields without Host and those of this hop."""
    if find_repeated(name for name, _ in headers) is not None:
        raise RemoteProtocolError("a header field that may come once came twice")
    kept: list[tuple[bytes, bytes]] = []
    given = [] if authority is None else [authority]
    for name, value in headers:
        if not is_request_field_name(name):
            raise RemoteProtocolError("a header name with a character other than a-z, 0-9 and !#$%&'*+-.^`|~")
        if name == b"host":
            given.append(value)
        elif name not in CONNECTION_FIELDS:
            kept.append((name, value))
        elif name not in _DROPPED or (name == b"te" and value.lower() != b"trailers"):
            raise RemoteProtocolError("a connection-specific header field: upgrades need HTTP/1.1")
    parsed = {parse_authority(value) for value in given}
    if len(parsed) != 1:
        raise RemoteProtocolError(":authority and Host are missing or differ")
    found = parsed.pop()
    if found is None:
        raise RemoteProtocolError(":authority is not a host and port")
    return found, kept


def _check_length(value: bytes | None, ended: bool) -> int | None:
    length = None if value is None else parse_content_length(value)
    if value is not None and length is None:
        raise RemoteProtocolError("content-length is not a plain decimal number")
    if ended and length:
        raise RemoteProtocolError("content-length promises a body, and none comes")
    return 0 if ended else length


def _check_expect(value: bytes | None) -> bool:
    if value is not None and value.lower() != b"100-continue":
        raise RemoteProtocolError("Expect asks for something other than 100-continue", status_hint=417)
    return value is not None


def response_fields(head: ResponseHead | InformationalHead) -> Headers:
    """The fields to encode for a head of ours. Raises LocalProtocolError when it is not sendable."""
    status = (b":status", b"%d" % head.status)
    if isinstance(head, InformationalHead):
        if head.status != 100:
            raise LocalProtocolError(f"informational status {head.status}: 100 is the only one we send")
        return (status,)
    if not 200 <= head.status <= 599:
        raise LocalProtocolError(f"status {head.status} is not that of a final response")
    sized = False
    for name, value in head.headers:
        if name in CONNECTION_FIELDS or not is_field_name(name) or not is_field_value(value):
            raise LocalProtocolError(f"header {name!r} cannot be sent on HTTP/2")
        sized = sized or name == b"content-length"
    if sized or head.content_length is None or head.status in (204, 304):
        return (status, *head.headers)
    return (status, *head.headers, (b"content-length", b"%d" % head.content_length))


def promised_bytes(head: ResponseHead, *, is_head: bool) -> int | None:
    """Bytes of body that must follow a head of ours; None: any number."""
    if is_head or head.status in (204, 304):
        return 0
    sizes = [value for name, value in head.headers if name == b"content-length"]
    return parse_content_length(sizes[0]) if sizes else head.content_length


class LiteralEncoder:
    """Stands in for hpack's Encoder inside h2: fields in, block out, no state but its first byte.

    The first block begins with a dynamic table size update to 0 (RFC 7541 section 6.3): a client that
    lowers its table size may insist on one, and 0 fits whatever it lowers or raises it to.
    """

    header_table_size = 0  # h2 assigns the client's setting here; nothing depends on it

    def __init__(self) -> None:
        self._prefix = b"\x20"

    def encode(self, headers: Iterable[tuple[bytes, bytes]]) -> bytes:
        """Encode one block."""
        prefix, self._prefix = self._prefix, b""
        return prefix + b"".join([_encode_name(name) + _encode_string(value) for name, value in headers])


_STATIC_NAMES: Final[dict[bytes, int]] = {
    b":status": 8,
    b"age": 21,
    b"allow": 22,
    b"cache-control": 24,
    b"content-encoding": 26,
    b"content-length": 28,
    b"content-type": 31,
    b"date": 33,
    b"etag": 34,
    b"last-modified": 44,
    b"location": 46,
    b"retry-after": 53,
    b"server": 54,
    b"vary": 59,
    b"www-authenticate": 61,
}
"""Index in the static table (RFC 7541 appendix A) of names that answers carry."""


@lru_cache(maxsize=256)
def _encode_name(name: bytes) -> bytes:
    """A literal field without indexing, up to its name (RFC 7541 section 6.2.2)."""
    index = _STATIC_NAMES.get(name)
    return b"\x00" + _encode_string(name) if index is None else encode_integer(index, 4)


def _encode_string(value: bytes) -> bytes:
    """A string literal without Huffman coding (RFC 7541 section 5.2)."""
    return encode_integer(len(value), 7) + value


def encode_integer(number: int, prefix_bits: int) -> bytes:
    """Encode an integer after a prefix whose other bits are 0 (RFC 7541 section 5.1)."""
    most = (1 << prefix_bits) - 1
    if number < most:
        return bytes((number,))
    encoded = bytearray((most,))
    number -= most
    while number >= 0x80:
        encoded.append(number & 0x7F | 0x80)
        number >>= 7
    encoded.append(number)
    return bytes(encoded)
