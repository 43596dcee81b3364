"""The name of the object in a request or response body: what a created object is called. Pure.

JSON, and the protobuf that kubectl and client-go send for built-in kinds, of which only the name is read: field
1 of an object is its ObjectMeta, and of that 1 is the name and 5 the uid. What is not a body of these kinds, or
cut, has no name; nothing here raises. The trap: of a Status, field 1 is no ObjectMeta.
Source: k8s.io/apimachinery runtime/serializer/protobuf; meta/v1 generated.proto; protobuf.dev, Encoding.
"""

from collections.abc import Iterator
from typing import Final, NamedTuple

import msgspec

from storage.errors import UNDECODABLE

MAGIC: Final = b"k8s\x00"
MAX_NAME_CHARS: Final = 253
"""Of a name; a uid is shorter."""

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5


class ObjectName(NamedTuple):
    name: str = ""
    uid: str = ""


class _Metadata(msgspec.Struct):
    name: str = ""
    uid: str = ""


class _Object(msgspec.Struct):
    kind: str = ""
    metadata: _Metadata = msgspec.field(default_factory=_Metadata)


_DECODER: Final = msgspec.json.Decoder(_Object)


def object_name(body: bytes) -> ObjectName:
    """Name and uid, each "" if the body does not say."""
    kind, name = _read_protobuf(body[len(MAGIC) :]) if body.startswith(MAGIC) else _read_json(body)
    if kind == "Status":
        return ObjectName()
    return ObjectName(*(part[:MAX_NAME_CHARS] for part in name))


def _read_json(body: bytes) -> tuple[str, ObjectName]:
    try:
        value = _DECODER.decode(body)
    except UNDECODABLE:
        return "", ObjectName()
    return value.kind, ObjectName(value.metadata.name, value.metadata.uid)


def _read_protobuf(unknown: bytes) -> tuple[str, ObjectName]:
    """runtime.Unknown: 1 TypeMeta (2: kind), 2 the object."""
    try:
        envelope = dict(_fields(unknown))
        kind = dict(_fields(envelope.get(1, b""))).get(2, b"").decode()
        metadata = dict(_fields(dict(_fields(envelope.get(2, b""))).get(1, b"")))
        return kind, ObjectName(metadata.get(1, b"").decode(), metadata.get(5, b"").decode())
    except (ValueError, IndexError):  # cut, or something else
        return "", ObjectName()


def _fields(message: bytes) -> Iterator[tuple[int, bytes]]:
    """(number, content) of the fields that have a length; the others are stepped over."""
    at = 0
    while at < len(message):
        tag, at = _varint(message, at)
        if tag & 7 == _VARINT:
            _, at = _varint(message, at)
        elif tag & 7 == _FIXED64:
            at += 8
        elif tag & 7 == _FIXED32:
            at += 4
        elif tag & 7 == _BYTES:
            length, at = _varint(message, at)
            if at + length > len(message):
                raise ValueError("a field ends behind its message")
            yield tag >> 3, message[at : at + length]
            at += length
        else:
            raise ValueError("an unknown wire type")


def _varint(message: bytes, at: int) -> tuple[int, int]:
    """The number at a place, and the place behind it."""
    value = 0
    for shift in range(0, 70, 7):
        byte = message[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
    raise ValueError("a number is longer than ten bytes")
