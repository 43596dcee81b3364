"""RFC 6455 frames: bytes to pieces of frames, unmasked; frames to bytes, masked.

Checks all that one frame alone can break: reserved bits and opcodes, masking, lengths, control frames.
Which frame may follow which is the business of `websocket`. A data frame is never collected: its pieces
are passed on as they arrive, so the length a peer announces costs no memory. Control frames (at most
125 bytes) come whole.

The trap: a frame's mask goes on where the last read cut the frame, not at its first key.
Source: RFC 6455 section 5.
"""

from collections.abc import Iterator
from enum import IntEnum
from struct import Struct
from typing import Final, NoReturn

import msgspec

from protocol.errors import RemoteProtocolError, TooLarge
from protocol.side import Side
from protocol.websocket_masks import MASK_BYTES, apply_mask


class Opcode(IntEnum):
    CONTINUATION = 0x0
    TEXT = 0x1
    BINARY = 0x2
    CLOSE = 0x8
    PING = 0x9
    PONG = 0xA


MAX_CONTROL_BYTES: Final = 125

_FIN: Final = 0x80
_FIRST_BYTES: Final = {
    fin | opcode: (opcode, fin == _FIN)
    for opcode in Opcode
    for fin in (0, _FIN)
    if fin or opcode < Opcode.CLOSE
}
"""What the first byte of a frame may be: opcode, and whether the message ends. Control frames are never fragmented."""
_RESERVED_BITS: Final = 0x70
_MASKED: Final = 0x80
_UINT16: Final = Struct("!H")
_UINT64: Final = Struct("!Q")


class FramePiece(msgspec.Struct, frozen=True):
    """Some payload of one frame: of a data frame what arrived, of a control frame all of it.

    data: unmasked; empty only for a frame without payload. ends: the frame is complete.
    """

    opcode: Opcode
    fin: bool
    data: bytes
    ends: bool


class FrameReader:
    """Cuts a byte stream into frame pieces. Dead after the first error."""

    def __init__(self, side: Side, max_frame_bytes: int) -> None:
        self._expects_mask = side is Side.SERVER
        self._max_frame_bytes = max_frame_bytes
        self._head = b""  # of an incomplete frame header, at most 13 bytes
        self._is_inside = False  # a frame's header is complete, its payload is not
        self._opcode = Opcode.CONTINUATION
        self._fin = False
        self._mask = b""  # rotated, so that it begins with the key of the next byte
        self._remaining = 0  # bytes of payload
        self._control = bytearray()  # payload of an incomplete control frame

    @property
    def is_between_frames(self) -> bool:
        return not self._is_inside and not self._head

    def read(self, data: bytes) -> Iterator[FramePiece]:
        """Pieces of what these bytes complete. Raises RemoteProtocolError; pieces before it are good."""
        if self._head:
            data = self._head + data
            self._head = b""
        at = 0
        while True:
            if not self._is_inside:
                if at == len(data):
                    return
                start = self._read_header(data, at)
                if start == 0:
                    self._head = data[at:]
                    return
                at = start
            payload = data[at : at + self._remaining]
            if not payload and self._remaining:
                return
            at += len(payload)
            self._remaining -= len(payload)
            self._is_inside = self._remaining > 0
            if self._mask:
                payload = apply_mask(payload, self._mask)
                if self._is_inside:
                    turn = len(payload) % MASK_BYTES
                    self._mask = self._mask[turn:] + self._mask[:turn]
            if self._opcode < Opcode.CLOSE:
                yield FramePiece(self._opcode, self._fin, payload, not self._is_inside)
                continue
            self._control += payload
            if not self._is_inside:
                payload = bytes(self._control)
                self._control.clear()
                yield FramePiece(self._opcode, True, payload, True)

    def _read_header(self, data: bytes, at: int) -> int:
        """Read a frame header at an offset; returns where its payload starts, or 0: not all here yet."""
        if len(data) - at < 2:
            return 0
        first, second = data[at], data[at + 1]
        length = second & 0x7F
        known, is_masked = _FIRST_BYTES.get(first), second >= _MASKED
        if (
            known is None
            or is_masked is not self._expects_mask
            or (length > MAX_CONTROL_BYTES and known[0] >= Opcode.CLOSE)
        ):
            self._refuse(first, second)
        at += 2
        if length >= 126:
            field, smallest = (_UINT16, 126) if length == 126 else (_UINT64, 0x1_0000)
            if len(data) - at < field.size:
                return 0
            length = field.unpack_from(data, at)[0]
            if length < smallest or length >= 1 << 63:
                raise RemoteProtocolError("WebSocket: a frame length is not in its shortest form")
            at += field.size
        if length > self._max_frame_bytes:
            raise TooLarge(f"WebSocket: a frame is longer than {self._max_frame_bytes} bytes")
        mask = b""
        if is_masked:
            mask = data[at : at + MASK_BYTES]
            if len(mask) < MASK_BYTES:
                return 0
            at += MASK_BYTES
        self._opcode, self._fin = known
        self._mask, self._remaining = mask, length
        self._is_inside = True
        return at

    def _refuse(self, first: int, second: int) -> NoReturn:
        """Say what is wrong with the first two bytes of a frame."""
        if first & _RESERVED_BITS:
            raise RemoteProtocolError("WebSocket: a reserved bit is set, though no extension was agreed")
        if _FIN | first not in _FIRST_BYTES:
            raise RemoteProtocolError("WebSocket: a reserved opcode")
        if (second >= _MASKED) is not self._expects_mask:
            raise RemoteProtocolError(
                "WebSocket: a client frame is not masked"
                if self._expects_mask
                else "WebSocket: a server frame is masked"
            )
        raise RemoteProtocolError("WebSocket: a control frame is fragmented or longer than 125 bytes")


def encode_frame_head(opcode: Opcode, length: int, *, fin: bool = True, mask: bytes = b"") -> bytes:
    """What precedes the payload of a frame. mask: 4 unpredictable bytes from a client, b"" from a server; the
    payload has to be masked with it."""
    first = (_FIN if fin else 0) | opcode
    flag = _MASKED if mask else 0
    if length < 126:
        return bytes((first, flag | length)) + mask
    if length < 0x1_0000:
        return bytes((first, flag | 126)) + _UINT16.pack(length) + mask
    return bytes((first, flag | 127)) + _UINT64.pack(length) + mask
