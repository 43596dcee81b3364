"""The protobuf wire format: fields read, and bytes that are none refused."""

import pytest

from protocol.errors import Unreadable
from protocol.protobuf import BYTES, FIXED32, FIXED64, VARINT, Field, read_fields, read_varint, to_signed


def test_fields_of_every_wire_type_are_read_in_order() -> None:
    message = bytes.fromhex("08 ac02 12 02 6869 19 0100000000000000 25 02000000")
    assert list(read_fields(message)) == [
        Field(1, VARINT, 300, b""),
        Field(2, BYTES, 0, b"hi"),
        Field(3, FIXED64, 1, b""),
        Field(4, FIXED32, 2, b""),
    ]


def test_an_empty_field_is_a_field() -> None:
    assert list(read_fields(b"\x12\x00")) == [Field(2, BYTES, 0, b"")]


@pytest.mark.parametrize(
    "message",
    [
        "00 00",  # field number 0
        "80 80 80 80 80 20 00",  # field number 2^29 and more
        "0b",  # a group
        "0e",  # no wire type
        "12 05 61",  # ends within bytes
        "0d 00",  # ends within a fixed width
        "08",  # ends before a number
        "08 80",  # ends within a number
        "08 ffffffffffffffffff7f",  # more than 64 bits
        "08 ffffffffffffffffffff01",  # more than ten bytes
    ],
)
def test_what_is_no_message_is_unreadable(message: str) -> None:
    with pytest.raises(Unreadable):
        list(read_fields(bytes.fromhex(message)))


def test_numbers_are_of_64_bits_and_read_as_signed() -> None:
    number, end = read_varint(bytes.fromhex("ffffffffffffffffff01"), 0)
    assert (to_signed(number), end) == (-1, 10)
    assert to_signed(7) == 7
