from time import process_time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protocol.errors import RemoteProtocolError, TooLarge
from protocol.headers import CONTROLS
from protocol.http1_intake import Intake


def intake_of(*reads: bytes) -> Intake:
    intake = Intake()
    for data in reads:
        intake.feed(data)
    return intake


def test_a_read_that_is_taken_whole_is_the_same_object() -> None:
    data = bytes(1000)
    assert intake_of(data).take(5000) is data
    assert intake_of(data).take(1000) is data


def test_what_is_taken_in_parts_comes_out_in_order() -> None:
    intake = intake_of(b"abc", b"def")
    assert [intake.take(2), intake.take(1)] == [b"ab", b"c"]
    intake.feed(b"ghi")
    assert intake.left_bytes == 6
    assert [intake.take(4), intake.take(9), intake.take(1)] == [b"defg", b"hi", b""]
    assert not intake.left_bytes
    assert intake.first_byte() is None


def test_bytes_left_of_one_read_join_the_next() -> None:
    intake = intake_of(b"abcdef")
    assert intake.take(4) == b"abcd"
    intake.feed(b"gh")
    assert intake.first_byte() == ord("e")
    assert intake.take(9) == b"efgh"


def piece_by_piece(intake: Intake, limit: int, first_line_limit: int) -> list[bytes] | None:
    """What `take_head` does at once; None where the head is incomplete or has a fault."""
    try:
        line = intake.take_line(first_line_limit, status_hint=414)
        if line is None:
            return None
        fields = intake.take_fields(limit - len(line) - 2)
    except RemoteProtocolError:
        return None
    return None if fields is None else [line, *fields]


WIRE = st.lists(
    st.sampled_from([b"\r\n", b"\r\n\r\n", b"\r", b"\n", b"\t", b"\x00", b"\x7f", b"\xe9", b" ", b":", b"a", b"GET / x", b"a: b"]),
    max_size=12,
).map(b"".join)  # fmt: skip


@given(WIRE, st.integers(4, 20), st.integers(0, 12))
@settings(max_examples=2000, deadline=None)
def test_a_head_is_taken_at_once_exactly_when_it_can_be_piece_by_piece(
    wire: bytes, room_bytes: int, first_line_limit: int
) -> None:
    limit = first_line_limit + room_bytes
    at_once, pieces = intake_of(wire), intake_of(wire)
    head = at_once.take_head(limit, first_line_limit)
    expected = piece_by_piece(pieces, limit, first_line_limit)
    if head is None:
        assert at_once.left_bytes == len(wire)  # nothing is taken
        # no grammar takes a first line that is empty or has a control byte: what remains says so
        assert expected is None or not expected[0] or expected[0].translate(None, CONTROLS) != expected[0]
    else:
        assert head == expected
        assert at_once.left_bytes == pieces.left_bytes
        assert at_once.take(99) == pieces.take(99)


def test_a_head_that_came_in_several_reads_is_not_taken_at_once() -> None:
    assert intake_of(b"a\r\n", b"\r\n").take_head(99, 99) is None


def test_a_head_taken_at_once_leaves_nothing_of_its_read_behind() -> None:
    intake = intake_of(b"a\r\nb\r\n\r\n")
    assert intake.take_head(99, 99) == [b"a", b"b"]
    assert intake._data == b""


def test_a_line_may_be_as_long_as_its_limit_and_no_longer() -> None:
    assert intake_of(b"a" * 8 + b"\r\n").take_line(8, status_hint=414) == b"a" * 8
    assert intake_of(b"a" * 8).take_line(8, status_hint=414) is None
    assert intake_of(b"a" * 8 + b"\r").take_line(8, status_hint=414) is None
    for too_long in (b"a" * 9 + b"\r\n", b"a" * 10, b"a" * 9 + b"\r"):
        intake = intake_of(too_long)
        with pytest.raises(TooLarge) as raised:
            intake.take_line(8, status_hint=414)
        assert raised.value.status_hint == 414


@pytest.mark.parametrize("data", [b"\n", b"a\n", b"a\r\r\n", b"a\rb", b"\rb\r\n", b"a\r\r"])
def test_a_line_end_other_than_crlf_is_refused_as_soon_as_it_is_seen(data: bytes) -> None:
    whole = intake_of(data)
    with pytest.raises(RemoteProtocolError, match="CRLF"):
        whole.take_line(100, status_hint=414)
    intake = Intake()
    with pytest.raises(RemoteProtocolError, match="CRLF"):  # noqa: PT012, one read at a time
        for at in range(len(data)):
            intake.feed(data[at : at + 1])
            assert intake.take_line(100, status_hint=414) is None


def test_fields_end_with_an_empty_line() -> None:
    intake = intake_of(b"a: b\r\nc: d\r\n\r\nrest")
    assert intake.take_fields(100) == [b"a: b", b"c: d"]
    assert intake.take(9) == b"rest"
    assert intake_of(b"\r\nrest").take_fields(100) == []
    for start in (b"", b"\r", b"a: b", b"a: b\r", b"a: b\r\n", b"a: b\r\n\r"):
        assert intake_of(start).take_fields(100) is None


def test_fields_may_be_as_long_as_their_limit_and_no_longer() -> None:
    section = b"a: b\r\n\r\n"
    assert intake_of(section).take_fields(8) == [b"a: b"]
    assert intake_of(section[:7]).take_fields(8) is None
    for limit in (7, 6, 3):
        intake = intake_of(section)
        with pytest.raises(TooLarge) as raised:
            intake.take_fields(limit)
        assert raised.value.status_hint == 431


@pytest.mark.parametrize("bad", [b"a\nb", b"a\rb", b"\n", b"a\r\n\n", b"a\n\r\n"])
def test_a_bare_cr_or_lf_among_fields_is_refused_before_they_are_complete(bad: bytes) -> None:
    intake = intake_of(b"x: y\r\n" + bad)
    with pytest.raises(RemoteProtocolError, match="CRLF"):
        intake.take_fields(100)


def test_a_control_byte_among_fields_is_refused() -> None:
    for byte in (0x00, 0x0B, 0x1F, 0x7F):
        intake = intake_of(b"x: y" + bytes([byte]) + b"\r\n\r\n")
        with pytest.raises(RemoteProtocolError, match="control"):
            intake.take_fields(100)
    assert intake_of(b"x: a\tb\xff\r\n\r\n").take_fields(100) == [b"x: a\tb\xff"]


def test_fields_that_come_byte_by_byte_take_linear_time() -> None:
    """Searching everything again for each byte would take minutes instead of a fraction of a second."""
    size = 1 << 18
    intake, data = Intake(), b"x: " + b"y" * size
    began_s = process_time()
    for at in range(len(data)):
        intake.feed(data[at : at + 1])
        assert intake.take_fields(1 << 21) is None
    assert process_time() - began_s < 30e-6 * size
