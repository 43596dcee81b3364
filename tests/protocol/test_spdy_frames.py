import tracemalloc

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protocol.errors import LocalProtocolError, RemoteProtocolError, TooLarge
from protocol.spdy_frames import (
    MAX_CONTROL_BYTES,
    MAX_LENGTH,
    ControlFrame,
    DataPiece,
    Frame,
    FrameReader,
    FrameType,
    encode_control,
    encode_data_head,
)
from tests.kit import spdy_bytes
from tests.kit.cutting import cut
from tests.kit.spdy_bytes import control, data_frame


def read(*parts: bytes) -> list[Frame]:
    reader = FrameReader()
    return [frame for part in parts for frame in reader.read(part)]


def test_frames_of_kubectl_are_read() -> None:
    assert read(spdy_bytes.RESET_7 + spdy_bytes.DATA_ON_3 + spdy_bytes.FIN_ON_3 + spdy_bytes.GOAWAY) == [
        ControlFrame(FrameType.RST_STREAM, 0, bytes.fromhex("0000000700000005")),
        DataPiece(3, b"abc\n", True, False),
        DataPiece(3, b"", True, True),
        ControlFrame(FrameType.GOAWAY, 0, bytes(8)),
    ]


def test_data_comes_in_pieces_as_it_arrives() -> None:
    frame = data_frame(3, b"abcdef", 1)
    assert read(frame[:10], frame[10:11], frame[11:] + spdy_bytes.FIN_ON_3) == [
        DataPiece(3, b"ab", False, False),
        DataPiece(3, b"c", False, False),
        DataPiece(3, b"def", True, True),
        DataPiece(3, b"", True, True),
    ]


def test_heads_written_field_by_field_are_read() -> None:
    # Go writes 2, 2, 4, 4, 4, 1 and 1 bytes before the header block.
    places = (2, 4, 8, 12, 16, 17, 18)
    assert read(*cut(spdy_bytes.OPEN_ERROR, places)) == read(spdy_bytes.OPEN_ERROR)


@settings(max_examples=100)
@given(st.lists(st.integers(0, 10_000), max_size=12))
def test_cuts_leave_no_trace_in_control_frames(places: list[int]) -> None:
    stream = spdy_bytes.KUBECTL_EXEC + spdy_bytes.RESET_7 + spdy_bytes.GOAWAY
    assert read(*cut(stream, places)) == read(stream)


def test_reader_knows_whether_the_direction_may_end() -> None:
    reader = FrameReader()
    states = []
    for place in range(len(spdy_bytes.DATA_ON_3)):
        list(reader.read(spdy_bytes.DATA_ON_3[place : place + 1]))
        states.append(reader.is_between_frames)
    assert states == [False] * 11 + [True]
    list(reader.read(spdy_bytes.GOAWAY[:8]))
    assert not reader.is_between_frames


@pytest.mark.parametrize("number", [0, 5, 10, 11, 255, 65535])
def test_unknown_type_is_refused(number: int) -> None:
    with pytest.raises(RemoteProtocolError, match="unknown type"):
        read(control(number, bytes(8)))


@pytest.mark.parametrize("version", [0, 1, 2, 4, 0x7FFF])
def test_other_versions_are_refused(version: int) -> None:
    with pytest.raises(RemoteProtocolError, match="version"):
        read(control(6, bytes(4), version=version))


@pytest.mark.parametrize(
    ("number", "lengths"),
    [
        (1, (0, 9)),
        (2, (0, 3)),
        (3, (0, 7, 9)),
        (4, (0, 3)),
        (6, (0, 3, 5)),
        (7, (0, 4, 9)),
        (8, (0, 3)),
        (9, (0, 7, 9)),
    ],
)
def test_impossible_length_is_refused_before_the_payload_comes(number: int, lengths: tuple[int, ...]) -> None:
    for length in lengths:
        with pytest.raises(RemoteProtocolError, match=f"of {length} bytes"):
            read(control(number, b"", length=length))


@pytest.mark.parametrize("number", [1, 2, 3, 4, 6, 7, 8, 9])
def test_control_frame_above_the_limit_is_refused_before_the_payload_comes(number: int) -> None:
    with pytest.raises(TooLarge):
        read(control(number, b"", length=MAX_CONTROL_BYTES + 1))
    with pytest.raises(TooLarge):
        read(control(number, b"", length=MAX_LENGTH))


@pytest.mark.parametrize(
    ("number", "flags"), [(1, 4), (2, 2), (3, 1), (4, 2), (6, 1), (7, 1), (8, 2), (9, 1), (1, 0x80)]
)
def test_unknown_flags_of_a_control_frame_are_refused(number: int, flags: int) -> None:
    with pytest.raises(RemoteProtocolError, match="flags"):
        read(control(number, b"", flags, length={1: 10, 6: 4}.get(number, 8)))


@pytest.mark.parametrize("flags", [2, 3, 0x80])
def test_unknown_flags_of_a_data_frame_are_refused(flags: int) -> None:
    with pytest.raises(RemoteProtocolError, match="flags"):
        read(data_frame(1, b"x", flags))


def test_data_for_stream_0_is_refused() -> None:
    with pytest.raises(RemoteProtocolError, match="stream 0"):
        read(data_frame(0, b"x"))


def test_frames_before_a_bad_one_survive() -> None:
    frames = FrameReader().read(spdy_bytes.DATA_ON_3 + data_frame(0))
    assert next(frames) == DataPiece(3, b"abc\n", True, False)
    with pytest.raises(RemoteProtocolError):
        next(frames)


def test_announced_16_mib_cost_nothing() -> None:
    reader = FrameReader()
    tracemalloc.start()
    try:
        assert list(reader.read(bytes.fromhex("00000001 00ffffff"))) == []
        for _ in range(100):
            assert list(reader.read(b"x")) == [DataPiece(1, b"x", False, False)]
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 64 * 1024


def test_written_frames_are_those_of_kubectl() -> None:
    assert encode_control(FrameType.GOAWAY, bytes(8)) == spdy_bytes.GOAWAY
    assert encode_control(FrameType.RST_STREAM, bytes.fromhex("0000000700000005")) == spdy_bytes.RESET_7
    assert encode_data_head(3, 4, False) + b"abc\n" == spdy_bytes.DATA_ON_3
    assert encode_data_head(3, 0, True) == spdy_bytes.FIN_ON_3
    assert encode_control(FrameType.SYN_REPLY, b"", 1)[4] == 1


def test_data_that_24_bits_cannot_count_is_not_written() -> None:
    with pytest.raises(LocalProtocolError):
        encode_data_head(1, MAX_LENGTH + 1, False)
