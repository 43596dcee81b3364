"""SPDY/3.1 frames: bytes to frames, and frames back to bytes. What they mean is `spdy`'s business.

A control frame comes whole, once its length was checked against its type; a data frame comes in
pieces, as its bytes arrive, so that 16 MiB announced costs nothing. All integers are big-endian.

    control  1 | version:15 | type:16 | flags:8 | length:24 | payload
    data     0 | stream id:31         | flags:8 | length:24 | payload

The trap: Go writes every field with a call of its own, so heads arrive in pieces of 1, 2 and 4 bytes.
Sources: draft-mbelshe-httpbis-spdy-00, section 2.2 and 2.6; moby/spdystream, spdy/read.go.
"""

import struct
from collections.abc import Iterator
from enum import IntEnum
from typing import Final

import msgspec

from protocol.errors import LocalProtocolError, RemoteProtocolError, TooLarge

VERSION: Final = 3
HEAD_BYTES: Final = 8
MAX_LENGTH: Final = 2**24 - 1
"""Longest payload the 24 bits of a head can announce."""

MAX_CONTROL_BYTES: Final = 64 * 1024
"""Longest control frame taken in: it is buffered whole. Kubernetes sends some 60 bytes."""

FLAG_FIN: Final = 1
FLAG_UNIDIRECTIONAL: Final = 2


class FrameType(IntEnum):
    """The control frames of SPDY/3.1. 5 (NOOP) is gone, 10 (CREDENTIAL) nobody implements."""

    SYN_STREAM = 1
    SYN_REPLY = 2
    RST_STREAM = 3
    SETTINGS = 4
    PING = 6
    GOAWAY = 7
    HEADERS = 8
    WINDOW_UPDATE = 9


class ControlFrame(msgspec.Struct, frozen=True):
    """One whole control frame; its length and flags are legal for its type."""

    type: FrameType
    flags: int
    payload: bytes


class DataPiece(msgspec.Struct, frozen=True):
    """Some bytes of a data frame, in order; only a whole empty frame gives an empty piece.

    last: the frame ends here. fin: it also half-closes the stream, so fin implies last.
    """

    stream_id: int
    data: bytes
    last: bool
    fin: bool


Frame = ControlFrame | DataPiece

_HEAD: Final = struct.Struct(">II")

_LENGTHS: Final[dict[FrameType, tuple[int, int]]] = {
    FrameType.SYN_STREAM: (10, MAX_CONTROL_BYTES),
    FrameType.SYN_REPLY: (4, MAX_CONTROL_BYTES),
    FrameType.RST_STREAM: (8, 8),
    FrameType.SETTINGS: (4, MAX_CONTROL_BYTES),
    FrameType.PING: (4, 4),
    FrameType.GOAWAY: (8, 8),
    FrameType.HEADERS: (4, MAX_CONTROL_BYTES),
    FrameType.WINDOW_UPDATE: (8, 8),
}
"""Least and greatest payload length by type."""

_FLAGS: Final[dict[FrameType, int]] = {
    FrameType.SYN_STREAM: FLAG_FIN | FLAG_UNIDIRECTIONAL,
    FrameType.SYN_REPLY: FLAG_FIN,
    FrameType.HEADERS: FLAG_FIN,
    FrameType.SETTINGS: 1,  # CLEAR_SETTINGS
}
"""Flags that may be set by type; a type that is not here has none."""


class FrameReader:
    """Bytes of one direction to frames. Dead after the first error."""

    def __init__(self) -> None:
        self._part = bytearray()  # of a head, or of a control frame's payload: at most MAX_CONTROL_BYTES
        self._wanted_bytes = HEAD_BYTES  # how long `_part` gets before it is read
        self._control: tuple[FrameType, int] | None = None  # its head was read, its payload is under way
        self._data_stream_id = 0
        self._data_left_bytes = 0  # of the data frame under way; 0: there is none
        self._data_fin = False

    @property
    def is_between_frames(self) -> bool:
        """Whether the direction may end here."""
        return not self._part and not self._data_left_bytes and self._control is None

    def read(self, data: bytes) -> Iterator[Frame]:
        """Yield the frames that `data` completes, and what it holds of a data frame under way.

        Exhaust it before the next call. Raises RemoteProtocolError after the frames before the bad one.
        """
        position, end = 0, len(data)
        while position < end:
            if self._data_left_bytes:
                piece = data[position : position + self._data_left_bytes]
                position += len(piece)
                self._data_left_bytes -= len(piece)
                last = not self._data_left_bytes
                yield DataPiece(self._data_stream_id, piece, last, last and self._data_fin)
                continue
            missing = self._wanted_bytes - len(self._part)
            part = data[position : position + missing]
            position += len(part)
            if self._part or len(part) < missing:
                self._part += part
                if len(self._part) < self._wanted_bytes:
                    return
                part = bytes(self._part)
                self._part.clear()
            frame = self._read_part(part)
            if frame is not None:
                yield frame

    def _read_part(self, part: bytes) -> Frame | None:
        self._wanted_bytes = HEAD_BYTES
        if self._control is not None:
            frame_type, flags = self._control
            self._control = None
            return ControlFrame(frame_type, flags, part)
        word, rest = _HEAD.unpack(part)
        flags, length = rest >> 24, rest & MAX_LENGTH
        if word & 0x80000000:
            frame_type = _check_control_head(word, flags, length)
            self._control, self._wanted_bytes = (frame_type, flags), length
            return None
        if word == 0:
            raise RemoteProtocolError("SPDY: data frame for stream 0")
        if flags & ~FLAG_FIN:
            raise RemoteProtocolError(f"SPDY: data frame with unknown flags {flags:#04x}")
        if not length:
            return DataPiece(word, b"", True, flags == FLAG_FIN)
        self._data_stream_id, self._data_left_bytes, self._data_fin = word, length, flags == FLAG_FIN
        return None


def _check_control_head(word: int, flags: int, length: int) -> FrameType:
    version, number = word >> 16 & 0x7FFF, word & 0xFFFF
    if version != VERSION:
        raise RemoteProtocolError(f"SPDY: control frame of version {version}, not {VERSION}")
    try:
        frame_type = FrameType(number)
    except ValueError:
        raise RemoteProtocolError(f"SPDY: control frame of unknown type {number}") from None
    least, most = _LENGTHS[frame_type]
    if length > MAX_CONTROL_BYTES:
        raise TooLarge(f"SPDY: {frame_type.name} of {length} bytes, above {MAX_CONTROL_BYTES}")
    if not least <= length <= most:
        raise RemoteProtocolError(f"SPDY: {frame_type.name} of {length} bytes")
    if flags & ~_FLAGS.get(frame_type, 0):
        raise RemoteProtocolError(f"SPDY: {frame_type.name} with unknown flags {flags:#04x}")
    return frame_type


def encode_control(frame_type: FrameType, payload: bytes, flags: int = 0) -> bytes:
    """Encode one control frame."""
    return _HEAD.pack(0x80000000 | VERSION << 16 | frame_type, flags << 24 | len(payload)) + payload


def encode_data_head(stream_id: int, length: int, fin: bool) -> bytes:
    """Encode the 8 bytes before the payload of a data frame. Raises LocalProtocolError if it is too long."""
    if length > MAX_LENGTH:
        raise LocalProtocolError(f"cannot send a SPDY data frame of {length} bytes")
    return _HEAD.pack(stream_id, (FLAG_FIN if fin else 0) << 24 | length)
