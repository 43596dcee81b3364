import pytest
from h2.errors import ErrorCodes

from protocol.errors import TooLarge
from protocol.http2_frames import (
    MAX_FRAME_BYTES,
    PREFACE,
    SETTINGS_ACK,
    ConnectionFault,
    ErrorCode,
    Frame,
    FrameCutter,
    goaway_frame,
    headers_frames,
    ping_ack,
    reset_frame,
    unpad,
    window_update,
)
from tests.kit import h2_wire as wire


def cut_all(cutter: FrameCutter, data: bytes) -> list[Frame]:
    return list(cutter.cut(data))


def test_frames_come_out_whole_and_in_order() -> None:
    cutter = FrameCutter()
    both = wire.ping() + wire.data(3, b"body", end=True)
    assert cut_all(cutter, PREFACE + both) == [Frame(6, 0, 0, b"12345678"), Frame(0, 1, 3, b"body")]
    assert cutter.is_between_frames


def test_bytes_one_by_one_give_the_same_frames() -> None:
    stream = PREFACE + wire.ping() + wire.settings({1: 2}) + wire.data(1, b"x" * 50)
    cutter, found = FrameCutter(), []
    for byte in stream:
        found += cut_all(cutter, bytes((byte,)))
    assert found == cut_all(FrameCutter(), stream)


def test_a_large_frame_in_tiny_pieces_is_not_copied_each_time() -> None:
    """65 536 reads of one byte: quadratic copying would take minutes, not a fraction of a second."""
    cutter = FrameCutter()
    cut_all(cutter, PREFACE)
    frame = wire.raw(0, 0, 1, b"x" * MAX_FRAME_BYTES)
    found = [f for byte in frame for f in cutter.cut(bytes((byte,)))]
    assert found == [Frame(0, 0, 1, b"x" * MAX_FRAME_BYTES)]


def test_an_unfinished_frame_is_told() -> None:
    cutter = FrameCutter()
    assert cutter.is_between_frames
    cut_all(cutter, PREFACE[:3])
    assert not cutter.is_between_frames
    assert not cutter.preface_seen
    cut_all(cutter, PREFACE[3:] + wire.ping()[:4])
    assert cutter.preface_seen
    assert not cutter.is_between_frames
    assert cut_all(cutter, wire.ping()[4:]) == [Frame(6, 0, 0, b"12345678")]
    assert cutter.is_between_frames


def test_a_length_is_judged_before_its_payload_arrives() -> None:
    cutter = FrameCutter()
    with pytest.raises(ConnectionFault) as caught:
        cut_all(cutter, PREFACE + (MAX_FRAME_BYTES + 1).to_bytes(3, "big") + bytes(6))
    assert caught.value.code is ErrorCode.FRAME_SIZE_ERROR
    assert isinstance(caught.value.error, TooLarge)


def test_frames_before_a_bad_one_come_out_first() -> None:
    frames = FrameCutter().cut(PREFACE + wire.ping() + b"\xff\xff\xff" + bytes(6))
    assert next(frames) == Frame(6, 0, 0, b"12345678")
    with pytest.raises(ConnectionFault):
        next(frames)


@pytest.mark.parametrize("code", ErrorCode)
def test_error_codes_are_those_of_the_rfc(code: ErrorCode) -> None:
    assert ErrorCodes[code.name] == code


@pytest.mark.parametrize(
    ("payload", "flags", "left"),
    [(b"abc", 0, b"abc"), (b"\x00abc", 8, b"abc"), (b"\x02abc", 8, b"a"), (b"\x03abc", 9, b"")],
)
def test_padding_is_taken_off(payload: bytes, flags: int, left: bytes) -> None:
    assert unpad(Frame(0, flags, 1, payload)) == left


@pytest.mark.parametrize(
    ("payload", "code"),
    [
        (b"", ErrorCode.FRAME_SIZE_ERROR),
        (b"\x01", ErrorCode.PROTOCOL_ERROR),
        (b"\x04abc", ErrorCode.PROTOCOL_ERROR),
    ],
)
def test_padding_that_does_not_fit_ends_the_connection(payload: bytes, code: ErrorCode) -> None:
    with pytest.raises(ConnectionFault) as caught:
        unpad(Frame(0, 8, 1, payload))
    assert caught.value.code is code


def test_frames_of_ours_have_the_bytes_of_the_rfc() -> None:
    assert ping_ack(b"abcdefgh") == b"\x00\x00\x08\x06\x01\x00\x00\x00\x00abcdefgh"
    assert window_update(0, 5) == b"\x00\x00\x04\x08\x00\x00\x00\x00\x00\x00\x00\x00\x05"
    assert goaway_frame(3, 11) == b"\x00\x00\x08\x07\x00\x00\x00\x00\x00\x00\x00\x00\x03\x00\x00\x00\x0b"
    assert reset_frame(5, 8) == b"\x00\x00\x04\x03\x00\x00\x00\x00\x05\x00\x00\x00\x08"
    assert SETTINGS_ACK == b"\x00\x00\x00\x04\x01\x00\x00\x00\x00"


@pytest.mark.parametrize("length", [0, 9, 10, 11, 20, 21, 35])
@pytest.mark.parametrize("end_stream", [False, True])
def test_a_block_is_cut_to_the_frame_size_of_the_client(length: int, end_stream: bool) -> None:
    block = bytes(range(length))
    frames = wire.frames_of(headers_frames(7, block, end_stream=end_stream, most_bytes=10))
    assert b"".join(frame.data for frame in frames) == block
    assert all(len(frame.data) <= 10 and frame.stream_id == 7 for frame in frames)
    assert [frame.type for frame in frames] == [1] + [9] * (len(frames) - 1)
    assert ["END_STREAM" in frame.flags for frame in frames] == [end_stream] + [False] * (len(frames) - 1)
    assert ["END_HEADERS" in frame.flags for frame in frames] == [False] * (len(frames) - 1) + [True]
