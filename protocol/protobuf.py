"""The protobuf wire format: bytes -> fields, as Kubernetes clients write them. Knows no message.

Only what Kubernetes types use: varints, length-delimited fields, and the fixed widths to be able to name them.
Groups are refused. The trap: gogo-protobuf writes empty strings and zeros explicitly, so an empty field is a field.
Source: protobuf.dev/programming-guides/encoding.
"""

from collections.abc import Iterator
from typing import Final, NamedTuple

from protocol.errors import Unreadable

VARINT: Final = 0
FIXED64: Final = 1
BYTES: Final = 2
FIXED32: Final = 5

MAX_VARINT_BYTES: Final = 10
"""64 bits in groups of seven. Go refuses longer ones too."""

_FIXED_BYTES: Final = {FIXED64: 8, FIXED32: 4}


class Field(NamedTuple):
    """One field of a message. number: of a varint or fixed width, unsigned; data: of a length-delimited one."""

    field: int
    wire_type: int
    number: int
    data: bytes


def read_fields(message: bytes) -> Iterator[Field]:
    """The fields of a message in order. Raises Unreadable where the bytes are no message."""
    at, size = 0, len(message)
    while at < size:
        key, at = read_varint(message, at)
        field, wire_type = key >> 3, key & 7
        if not 0 < field < 1 << 29:
            raise Unreadable("the protobuf body has a field with an impossible number")
        if wire_type == VARINT:
            number, at = read_varint(message, at)
            yield Field(field, wire_type, number, b"")
            continue
        if wire_type == BYTES:
            length, at = read_varint(message, at)
        elif wire_type in _FIXED_BYTES:
            length = _FIXED_BYTES[wire_type]
        else:
            raise Unreadable("the protobuf body has a field of a wire type that Kubernetes does not use")
        if length > size - at:
            raise Unreadable("the protobuf body ends within a field")
        data = message[at : at + length]
        at += length
        if wire_type == BYTES:
            yield Field(field, wire_type, 0, data)
        else:
            yield Field(field, wire_type, int.from_bytes(data, "little"), b"")


def read_varint(data: bytes, at: int) -> tuple[int, int]:
    """An unsigned number of at most 64 bits and where it ends. Raises Unreadable."""
    value = shift = 0
    for byte in data[at : at + MAX_VARINT_BYTES]:
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            if value >> 64:
                break
            return value, at
        shift += 7
    raise Unreadable("the protobuf body has a malformed number")


def to_signed(number: int) -> int:
    """A varint as Go's int32 and int64 read it: two's complement of 64 bits."""
    return number - (1 << 64) if number >> 63 else number
