"""HPACK, the receiving half: header blocks of one connection to fields, already judged one by one.

Every block of a connection has to be decoded, in order, even that of a request nobody serves: each may add
to the table that later ones refer to. A field is judged (`http2_headers.judge_field`) when it enters the
table, not each time it is used: after its first calls a client sends little but references.

The trap: a few bytes of references can stand for megabytes, so the size of the list is counted while it grows.
Source: RFC 7541.
"""

from typing import Final

from protocol.errors import TooLarge
from protocol.http2_headers import MAX_LIST_BYTES, Field, judge_field
from protocol.http2_huffman import Undecodable, decode_huffman

TABLE_BYTES: Final = 4096
"""Our SETTINGS_HEADER_TABLE_SIZE, the default of the protocol: what a client's fields may occupy here."""

MAX_DECODED_BYTES: Final = 2 * MAX_LIST_BYTES
"""A request whose list is larger than MAX_LIST_BYTES is answered with 431; beyond this the connection ends."""

_MAX_SHIFT: Final = 28  # an integer of more than five octets is none that anybody needs

_STATIC_FIELDS: Final = (
    b":authority|",
    b":method|GET",
    b":method|POST",
    b":path|/",
    b":path|/index.html",
    b":scheme|http",
    b":scheme|https",
    b":status|200",
    b":status|204",
    b":status|206",
    b":status|304",
    b":status|400",
    b":status|404",
    b":status|500",
    b"accept-charset|",
    b"accept-encoding|gzip, deflate",
    *(
        name + b"|"
        for name in b"accept-language accept-ranges accept access-control-allow-origin age allow authorization "
        b"cache-control content-disposition content-encoding content-language content-length content-location "
        b"content-range content-type cookie date etag expect expires from host if-match if-modified-since "
        b"if-none-match if-range if-unmodified-since last-modified link location max-forwards "
        b"proxy-authenticate proxy-authorization range referer refresh retry-after server set-cookie "
        b"strict-transport-security transfer-encoding user-agent vary via www-authenticate".split()
    ),
)

STATIC_TABLE: Final = tuple(
    judge_field(name, value) for name, _, value in (field.partition(b"|") for field in _STATIC_FIELDS)
)
"""RFC 7541 appendix A; the index of its first entry is 1."""

_STATIC_ENTRIES: Final = len(STATIC_TABLE)
_LAST_STATIC: Final = 0x80 | _STATIC_ENTRIES  # an octet: the reference to its last entry


class HpackDecoder:
    """The compression state of one direction of one connection."""

    def __init__(self) -> None:
        self._entries: list[Field] = []  # newest last: index 62 is entries[-1]
        self._table_bytes = 0
        self._most_bytes = TABLE_BYTES  # what the client last said, at most TABLE_BYTES

    def decode(self, block: bytes) -> list[Field]:
        """The fields of one whole block, in order.

        Raises Undecodable, or TooLarge for a list beyond MAX_DECODED_BYTES; the connection is lost then.
        """
        try:
            return self._decode(block)
        except IndexError:
            raise Undecodable("a header block that is cut off or refers to no entry") from None

    def _decode(self, block: bytes) -> list[Field]:
        fields: list[Field] = []
        at, list_bytes = 0, 0
        while at < len(block):
            octet = block[at]
            if octet > 0x80:  # a reference; by far the most frequent
                at += 1
                if octet <= _LAST_STATIC:
                    field = STATIC_TABLE[octet - 0x81]
                elif octet < 0xFF:
                    field = self._entries[_LAST_STATIC - octet]
                else:
                    index, at = decode_integer(block, at - 1, 0x7F)
                    field = self._entry(index)
            elif octet == 0x80:
                raise Undecodable("a reference to entry 0")
            elif octet >= 0x40:
                field, at = self._literal(block, at, 0x3F)
                self._insert(field)
            elif octet >= 0x20:
                if fields:
                    raise Undecodable("a table size update after a field")
                at = self._resize(block, at)
                continue
            else:
                field, at = self._literal(block, at, 0x0F)
            fields.append(field)
            list_bytes += field[2]
            if list_bytes > MAX_DECODED_BYTES:
                raise TooLarge(f"header fields of more than {MAX_DECODED_BYTES} bytes")
        return fields

    def _entry(self, index: int) -> Field:
        if index > _STATIC_ENTRIES:
            return self._entries[_STATIC_ENTRIES - index]
        return STATIC_TABLE[index - 1]

    def _literal(self, block: bytes, at: int, mask: int) -> tuple[Field, int]:
        """A field given by its value, and its name or where that stands. mask: bits of the name's index."""
        index, at = decode_integer(block, at, mask)
        if index:
            name = self._entry(index).pair[0]
        else:
            name, at = _decode_string(block, at)
        value, at = _decode_string(block, at)
        return judge_field(name, value), at

    def _insert(self, field: Field) -> None:
        self._evict(self._most_bytes - field.size_bytes)
        if field.size_bytes <= self._most_bytes:  # a larger one empties the table and is not kept
            self._entries.append(field)
            self._table_bytes += field.size_bytes

    def _resize(self, block: bytes, at: int) -> int:
        self._most_bytes, at = decode_integer(block, at, 0x1F)
        if self._most_bytes > TABLE_BYTES:
            raise Undecodable("a table larger than we offer")
        self._evict(self._most_bytes)
        return at

    def _evict(self, most_bytes: int) -> None:
        while self._entries and self._table_bytes > most_bytes:
            self._table_bytes -= self._entries.pop(0).size_bytes


def decode_integer(block: bytes, at: int, mask: int) -> tuple[int, int]:
    """The integer at this place, and where it ends (RFC 7541 section 5.1). mask: the bits of its prefix.

    Raises Undecodable when it is too long, IndexError when it is cut off.
    """
    number = block[at] & mask
    at += 1
    if number < mask:
        return number, at
    shift = 0
    while True:
        octet = block[at]
        at += 1
        number += (octet & 0x7F) << shift
        if octet < 0x80:
            return number, at
        shift += 7
        if shift > _MAX_SHIFT:
            raise Undecodable("an integer that is too long")


def _decode_string(block: bytes, at: int) -> tuple[bytes, int]:
    is_huffman = block[at] & 0x80
    length, at = decode_integer(block, at, 0x7F)
    end = at + length
    if end > len(block):
        raise Undecodable("a string that is cut off")
    return decode_huffman(block[at:end]) if is_huffman else block[at:end], end
