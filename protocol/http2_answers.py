"""HTTP/2 response heads: whether we may send one, and its header block.

Blocks are encoded without compression state: each field as a literal that is never indexed, but for the
commonest statuses, which stand in the static table. That is a tenth of the time of an encoder with a table,
about 200 bytes longer, leaves nothing to guess about other responses from the length of one (RFC 7541
section 7.1), and lets a client's SETTINGS_HEADER_TABLE_SIZE cost us no memory.

The trap: a client that lowers its table size may insist on a table size update at the start of the next
block (RFC 7541 section 4.2). The first block of a connection sets it to 0, which fits whatever comes.
Source: RFC 9113 section 8.3.2, RFC 7541.
"""

from functools import lru_cache
from typing import Final

from protocol.errors import LocalProtocolError
from protocol.events import InformationalHead, ResponseHead
from protocol.headers import CONNECTION_FIELDS, is_field_name, is_field_value, parse_content_length

NO_TABLE: Final = b"\x20"
"""A dynamic table size update to 0 (RFC 7541 section 6.3): what the first block of a connection begins with."""

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

_STATIC_STATUSES: Final = {200: 8, 204: 9, 206: 10, 304: 11, 400: 12, 404: 13, 500: 14}
"""Index of whole fields."""

_BODILESS: Final = (204, 304)


def encode_head(head: ResponseHead | InformationalHead) -> tuple[bytes, int | None]:
    """The header block of a head of ours, and how many bytes of body it promises (None: any number).

    Raises LocalProtocolError when it may not be sent.
    """
    if isinstance(head, InformationalHead):
        if head.status != 100:
            raise LocalProtocolError(f"informational status {head.status}: 100 is the only one we send")
        return _encode_status(100), None
    if not 200 <= head.status <= 599:
        raise LocalProtocolError(f"status {head.status} is not that of a final response")
    pieces = [_encode_status(head.status)]
    length: bytes | None = None
    for name, value in head.headers:
        if not is_field_value(value):
            raise LocalProtocolError(f"header {name!r} cannot be sent on HTTP/2")
        pieces += (_encode_name(name), encode_length(len(value)), value)
        if name == b"content-length":
            length = value
    promised = head.content_length if length is None else parse_content_length(length)
    if head.status in _BODILESS:
        return b"".join(pieces), 0
    if length is None and promised is not None:
        value = b"%d" % promised
        pieces += (_encode_name(b"content-length"), encode_length(len(value)), value)
    return b"".join(pieces), promised


@lru_cache(maxsize=512)
def _encode_status(status: int) -> bytes:
    if status in _STATIC_STATUSES:
        return bytes((0x80 | _STATIC_STATUSES[status],))
    return _encode_name(b":status") + b"\x03%d" % status


@lru_cache(maxsize=256)
def _encode_name(name: bytes) -> bytes:
    """A literal field without indexing, up to its name (RFC 7541 section 6.2.2)."""
    index = _STATIC_NAMES.get(name)
    if index is not None:
        return encode_integer(index, 4)
    if name in CONNECTION_FIELDS or not is_field_name(name):
        raise LocalProtocolError(f"header {name!r} cannot be sent on HTTP/2")
    return b"\x00" + encode_length(len(name)) + name


@lru_cache(maxsize=1024)
def encode_length(length: int) -> bytes:
    """What precedes a string that is not Huffman coded (RFC 7541 section 5.2)."""
    return encode_integer(length, 7)


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
