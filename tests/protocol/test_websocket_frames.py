import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.errors import RemoteProtocolError, TooLarge
from protocol.side import Side
from protocol.websocket_frames import (
    FramePiece,
    FrameReader,
    Opcode,
    encode_frame_head,
)
from protocol.websocket_masks import apply_mask
from tests.kit.websocket_bytes import BINARY, CLOSE, CONTINUATION, MASK, PING, TEXT, frame

MAX = 1 << 20


def _read(data: bytes, side: Side = Side.SERVER) -> list[FramePiece]:
    return list(FrameReader(side, MAX).read(data))


@pytest.mark.parametrize(
    ("encoded", "side", "piece"),
    [  # RFC 6455 section 5.7
        ("810548656c6c6f", Side.CLIENT, FramePiece(Opcode.TEXT, True, b"Hello", True)),
        ("818537fa213d7f9f4d5158", Side.SERVER, FramePiece(Opcode.TEXT, True, b"Hello", True)),
        ("010348656c", Side.CLIENT, FramePiece(Opcode.TEXT, False, b"Hel", True)),
        ("80026c6f", Side.CLIENT, FramePiece(Opcode.CONTINUATION, True, b"lo", True)),
        ("890548656c6c6f", Side.CLIENT, FramePiece(Opcode.PING, True, b"Hello", True)),
        ("8a8537fa213d7f9f4d5158", Side.SERVER, FramePiece(Opcode.PONG, True, b"Hello", True)),
        ("827e0100" + "61" * 256, Side.CLIENT, FramePiece(Opcode.BINARY, True, b"a" * 256, True)),
        (
            "827f0000000000010000" + "61" * 65536,
            Side.CLIENT,
            FramePiece(Opcode.BINARY, True, b"a" * 65536, True),
        ),
    ],
)
def test_the_examples_of_the_rfc_are_read_and_written(encoded: str, side: Side, piece: FramePiece) -> None:
    raw = bytes.fromhex(encoded)
    assert _read(raw, side) == [piece]
    mask = MASK if side is Side.SERVER else b""
    head = encode_frame_head(piece.opcode, len(piece.data), fin=piece.fin, mask=mask)
    assert head + (apply_mask(piece.data, mask) if mask else piece.data) == raw


def test_all_frames_of_one_read_come_and_a_data_frame_comes_in_pieces() -> None:
    reader = FrameReader(Side.SERVER, MAX)
    first, second = frame(BINARY, b"abcdef"), frame(PING, b"xyz")
    assert list(reader.read(first + second[:7])) == [FramePiece(Opcode.BINARY, True, b"abcdef", True)]
    assert not reader.is_between_frames
    assert list(reader.read(second[7:] + first[:9])) == [
        FramePiece(Opcode.PING, True, b"xyz", True),
        FramePiece(Opcode.BINARY, True, b"abc", False),
    ]
    assert list(reader.read(first[9:])) == [FramePiece(Opcode.BINARY, True, b"def", True)]
    assert reader.is_between_frames


def test_an_empty_frame_is_a_piece() -> None:
    assert _read(frame(TEXT)) == [FramePiece(Opcode.TEXT, True, b"", True)]


@pytest.mark.parametrize(
    ("raw", "side", "why"),
    [
        (frame(TEXT, b"x", masked=False), Side.SERVER, "not masked"),
        (frame(TEXT, b"x"), Side.CLIENT, "is masked"),
        (frame(TEXT, b"x", reserved=1), Side.SERVER, "reserved bit"),
        (frame(BINARY, b"x", reserved=2), Side.SERVER, "reserved bit"),
        (frame(PING, b"x", reserved=4), Side.SERVER, "reserved bit"),
        (frame(CONTINUATION, b"x", reserved=7), Side.SERVER, "reserved bit"),
        *[(frame(opcode, b"x"), Side.SERVER, "opcode") for opcode in (3, 4, 5, 6, 7, 11, 12, 13, 14, 15)],
        (frame(BINARY, b"x" * 125, length_bytes=2), Side.SERVER, "shortest"),
        (frame(BINARY, b"", length_bytes=2), Side.SERVER, "shortest"),
        (frame(BINARY, b"x" * 65535, length_bytes=8), Side.SERVER, "shortest"),
        (frame(BINARY, b"", length_bytes=8), Side.SERVER, "shortest"),
        (frame(BINARY, announced=1 << 63), Side.SERVER, "shortest"),
        (frame(BINARY, announced=(1 << 64) - 1), Side.SERVER, "shortest"),
        (frame(PING, b"x" * 126), Side.SERVER, "control"),
        (frame(CLOSE, b"x" * 65536), Side.SERVER, "control"),
        (frame(PING, b"x", fin=False), Side.SERVER, "control"),
        (frame(CLOSE, fin=False), Side.SERVER, "control"),
    ],
)
def test_what_one_frame_can_break_is_refused(raw: bytes, side: Side, why: str) -> None:
    with pytest.raises(RemoteProtocolError, match=why):
        _read(raw, side)


def test_the_pieces_before_a_broken_frame_are_good() -> None:
    pieces = FrameReader(Side.SERVER, MAX).read(frame(PING, b"a") + frame(TEXT, b"b") + b"\xff\xff")
    assert [next(pieces).data, next(pieces).data] == [b"a", b"b"]
    with pytest.raises(RemoteProtocolError):
        next(pieces)


@pytest.mark.parametrize("length", [MAX + 1, 1 << 32, 1 << 40, (1 << 63) - 1])
def test_a_frame_beyond_the_limit_is_refused_by_its_header(length: int) -> None:
    with pytest.raises(TooLarge):
        _read(frame(BINARY, announced=length))


def test_a_limit_below_126_bytes_holds_too() -> None:
    with pytest.raises(TooLarge):
        list(FrameReader(Side.SERVER, 100).read(frame(BINARY, b"x" * 101)))


def test_an_announced_length_allocates_nothing() -> None:
    reader = FrameReader(Side.SERVER, 1 << 62)
    header = frame(BINARY, announced=1 << 40)
    assert list(reader.read(header)) == []
    assert [piece.data for piece in reader.read(bytes(4))] == [MASK]
    held = sum(len(value) for value in vars(reader).values() if isinstance(value, bytes | bytearray))
    assert held <= 8


@given(st.lists(st.binary(min_size=1, max_size=5), min_size=1, max_size=6))
def test_the_mask_goes_on_where_a_cut_left_it(parts: list[bytes]) -> None:
    payload = b"".join(parts)
    raw = frame(BINARY, payload)
    reader, at = FrameReader(Side.SERVER, MAX), len(raw) - len(payload)
    seen = list(reader.read(raw[:at]))
    for part in parts:
        seen += reader.read(raw[at : at + len(part)])
        at += len(part)
    assert [piece.data for piece in seen] == parts
