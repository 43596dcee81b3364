"""HTTP/2 connection preface and frame borders: bytes in, whole frames out, and frames of ours as bytes.

It knows lengths and the fixed sizes, not what frames mean.
The trap: a length is judged when the 9 bytes that carry it are there, before anything is buffered.
Source: RFC 9113 sections 3.4, 4.1, 4.2, 6 and 7.
"""

from collections.abc import Iterator
from enum import IntEnum
from struct import Struct
from typing import Final, NamedTuple

from protocol.errors import Flooding, RemoteProtocolError, TooLarge

PREFACE: Final = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
HEADER_BYTES: Final = 9

MAX_FRAME_BYTES: Final = 64 * 1024
"""Our SETTINGS_MAX_FRAME_SIZE. Four times the minimum: an upload costs a quarter of the frames (each
costs about the same), and yet a partly arrived frame never holds more than one socket read."""

MAX_SETTINGS: Final = 64
"""Settings in one frame. About ten are defined."""

MAX_GOAWAY_BYTES: Final = 4096
"""A GOAWAY may carry text for a log. Nobody reads it here."""


class Type(IntEnum):
    """Frame types of RFC 9113 section 6 that are treated one by one."""

    DATA = 0
    HEADERS = 1
    PRIORITY = 2
    RST_STREAM = 3
    SETTINGS = 4
    PUSH_PROMISE = 5
    PING = 6
    GOAWAY = 7
    WINDOW_UPDATE = 8
    CONTINUATION = 9
    PRIORITY_UPDATE = 16  # RFC 9218, for the same budget as PRIORITY


class ErrorCode(IntEnum):
    """Why a stream or a connection ends (RFC 9113 section 7); those that we say."""

    NO_ERROR = 0
    PROTOCOL_ERROR = 1
    FLOW_CONTROL_ERROR = 3
    STREAM_CLOSED = 5
    FRAME_SIZE_ERROR = 6
    REFUSED_STREAM = 7
    COMPRESSION_ERROR = 9
    ENHANCE_YOUR_CALM = 11


END_STREAM: Final = 0x1
ACK: Final = 0x1
END_HEADERS: Final = 0x4
PADDED: Final = 0x8
PRIORITY: Final = 0x20

_EXACT_BYTES: Final[dict[int, int]] = {
    Type.PRIORITY: 5,
    Type.RST_STREAM: 4,
    Type.PING: 8,
    Type.WINDOW_UPDATE: 4,
}

_HEADER: Final = Struct(">HBBBL")  # the length in two parts, type, flags, stream


class Frame(NamedTuple):
    """One whole frame."""

    type: int
    flags: int
    stream_id: int
    payload: bytes


class ConnectionFault(Exception):
    """The connection has to end: `code` goes into the GOAWAY, `error` into the `Failed` event."""

    def __init__(self, code: ErrorCode, error: RemoteProtocolError) -> None:
        super().__init__(error.why)
        self.code, self.error = code, error


def protocol_fault(why: str) -> ConnectionFault:
    """A fault of code PROTOCOL_ERROR."""
    return ConnectionFault(ErrorCode.PROTOCOL_ERROR, RemoteProtocolError(why))


def size_fault(why: str) -> ConnectionFault:
    """A fault of code FRAME_SIZE_ERROR."""
    return ConnectionFault(ErrorCode.FRAME_SIZE_ERROR, RemoteProtocolError(why))


class FrameCutter:
    """Collects bytes until the preface, then each frame, is whole. Holds at most one frame and one read."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._needed = 0  # bytes before another look at the buffer is worth it: nothing is scanned twice
        self.preface_seen = False

    @property
    def is_between_frames(self) -> bool:
        """Whether no byte of an unfinished preface or frame is waiting."""
        return not self._buffer

    def cut(self, data: bytes) -> Iterator[Frame]:
        """Yield the frames that these bytes complete. Raises ConnectionFault at the first bad one.

        To be drained before the next call.
        """
        if self._buffer:
            self._buffer += data
            if len(self._buffer) < self._needed:
                return
            data = bytes(self._buffer)
        start = self._needed = 0
        if not self.preface_seen:
            start = self._skip_preface(data)
        while self.preface_seen and len(data) - start >= HEADER_BYTES:
            high, low, kind, flags, stream_id = _HEADER.unpack_from(data, start)
            length = high << 8 | low
            _check_length(kind, length)
            payload = start + HEADER_BYTES
            end = payload + length
            if end > len(data):
                self._needed = end - start
                break
            yield Frame(kind, flags, stream_id & 0x7FFF_FFFF, data[payload:end])
            start = end
        if start < len(data) or self._buffer:
            self._buffer = bytearray(data[start:])

    def _skip_preface(self, data: bytes) -> int:
        if not PREFACE.startswith(data[: len(PREFACE)]):
            raise protocol_fault("this is not the preface of HTTP/2")
        self.preface_seen = len(data) >= len(PREFACE)
        return len(PREFACE) if self.preface_seen else 0


def _check_length(kind: int, length: int) -> None:
    if length > MAX_FRAME_BYTES:
        raise ConnectionFault(
            ErrorCode.FRAME_SIZE_ERROR,
            TooLarge(f"a frame of {length} bytes exceeds the {MAX_FRAME_BYTES} allowed"),
        )
    if length != _EXACT_BYTES.get(kind, length):
        raise size_fault(f"a {Type(kind).name} frame of {length} bytes")
    if kind == Type.SETTINGS and length > 6 * MAX_SETTINGS:
        raise ConnectionFault(
            ErrorCode.ENHANCE_YOUR_CALM, Flooding(f"more than {MAX_SETTINGS} settings in a frame")
        )
    if kind == Type.GOAWAY and not 8 <= length <= MAX_GOAWAY_BYTES:
        raise size_fault(f"a GOAWAY frame of {length} bytes")


def unpad(frame: Frame) -> bytes:
    """The payload of a DATA or HEADERS frame without its padding (RFC 9113 sections 6.1 and 6.2)."""
    payload = frame.payload
    if not frame.flags & PADDED:
        return payload
    if not payload:
        raise size_fault("a padded frame that does not say how much")
    padding = payload[0]
    if padding >= len(payload):
        raise protocol_fault("a padding longer than its frame")
    return payload[1 : len(payload) - padding]


# --- ours -----------------------------------------------------------------------------------


def frame_header(kind: int, flags: int, stream_id: int, length: int) -> bytes:
    """The 9 bytes before a payload of `length` bytes."""
    return _HEADER.pack(length >> 8, length & 0xFF, kind, flags, stream_id)


def window_update(stream_id: int, increment: int) -> bytes:
    return frame_header(Type.WINDOW_UPDATE, 0, stream_id, 4) + increment.to_bytes(4, "big")


def reset_frame(stream_id: int, code: int) -> bytes:
    return frame_header(Type.RST_STREAM, 0, stream_id, 4) + code.to_bytes(4, "big")


def goaway_frame(last_stream_id: int, code: int) -> bytes:
    return frame_header(Type.GOAWAY, 0, 0, 8) + last_stream_id.to_bytes(4, "big") + code.to_bytes(4, "big")


def ping_ack(data: bytes) -> bytes:
    """The answer to a PING of these 8 bytes."""
    return frame_header(Type.PING, ACK, 0, 8) + data


SETTINGS_ACK: Final = frame_header(Type.SETTINGS, ACK, 0, 0)


def headers_frames(stream_id: int, block: bytes, *, end_stream: bool, most_bytes: int) -> bytes:
    """A header block as one HEADERS frame, and CONTINUATIONs where it exceeds the frame size of the client."""
    flags = END_STREAM if end_stream else 0
    if len(block) <= most_bytes:
        return frame_header(Type.HEADERS, flags | END_HEADERS, stream_id, len(block)) + block
    frames = [frame_header(Type.HEADERS, flags, stream_id, most_bytes), block[:most_bytes]]
    for start in range(most_bytes, len(block), most_bytes):
        piece = block[start : start + most_bytes]
        last = END_HEADERS if start + most_bytes >= len(block) else 0
        frames += (frame_header(Type.CONTINUATION, last, stream_id, len(piece)), piece)
    return b"".join(frames)
