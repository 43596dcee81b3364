import pytest
from h2.errors import ErrorCodes

from protocol.errors import TooLarge
from protocol.http2_frames import MAX_FRAME_BYTES, PREFACE, ConnectionFault, Frame, FrameCutter
from tests.kit import h2_wire as wire


def cut_all(cutter: FrameCutter, data: bytes) -> list[Frame]:
    return list(cutter.cut(data))


def test_frames_come_out_whole_and_in_order() -> None:
    cutter = FrameCutter()
    ping, body = wire.ping(), wire.data(3, b"body", end=True)
    assert cut_all(cutter, PREFACE + ping + body) == [Frame(6, 0, 0, ping), Frame(0, 1, 3, body)]
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
    assert found == [Frame(0, 0, 1, frame)]


def test_an_unfinished_frame_is_told() -> None:
    cutter = FrameCutter()
    assert cutter.is_between_frames
    cut_all(cutter, PREFACE[:3])
    assert not cutter.is_between_frames
    assert not cutter.preface_seen
    cut_all(cutter, PREFACE[3:] + wire.ping()[:4])
    assert cutter.preface_seen
    assert not cutter.is_between_frames
    assert cut_all(cutter, wire.ping()[4:]) == [Frame(6, 0, 0, wire.ping())]
    assert cutter.is_between_frames


def test_a_length_is_judged_before_its_payload_arrives() -> None:
    cutter = FrameCutter()
    with pytest.raises(ConnectionFault) as caught:
        cut_all(cutter, PREFACE + (MAX_FRAME_BYTES + 1).to_bytes(3, "big") + bytes(6))
    assert caught.value.code is ErrorCodes.FRAME_SIZE_ERROR
    assert isinstance(caught.value.error, TooLarge)


def test_frames_before_a_bad_one_come_out_first() -> None:
    frames = FrameCutter().cut(PREFACE + wire.ping() + b"\xff\xff\xff" + bytes(6))
    assert next(frames) == Frame(6, 0, 0, wire.ping())
    with pytest.raises(ConnectionFault):
        next(frames)
