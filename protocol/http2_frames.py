"""HTTP/2 connection preface and frame borders: bytes in, whole frames out, one at a time.

h2 drops the events of good frames that came in the same read as a bad one, so it is fed frame by
frame, and this cuts them. It knows lengths and the fixed sizes, not what frames mean.
The trap: a length is judged when the 9 bytes that carry it are there, before anything is buffered.
Source: RFC 9113 sections 3.4, 4.1, 4.2 and 6.
"""

from collections.abc import Iterator
from enum import IntEnum
from typing import Final, NamedTuple

from h2.errors import ErrorCodes

from protocol.errors import Flooding, RemoteProtocolError, TooLarge

PREFACE: Final = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
HEADER_BYTES: Final = 9

MAX_FRAME_BYTES: Final = 64 * 1024
"""Our SETTINGS_MAX_FRAME_SIZE. Four times the minimum: an upload costs a quarter of the frames (each
costs about the same), and yet a partly arrived frame never holds more than one socket read."""

MAX_SETTINGS: Final = 64
"""Settings in one frame. About ten are defined; h2 keeps each of them."""

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


END_STREAM: Final = 0x1
ACK: Final = 0x1
END_HEADERS: Final = 0x4
PADDED: Final = 0x8

_EXACT_BYTES: Final[dict[int, int]] = {
    Type.PRIORITY: 5,
    Type.RST_STREAM: 4,
    Type.PING: 8,
    Type.WINDOW_UPDATE: 4,
}


class Frame(NamedTuple):
    """One whole frame. raw: its 9 header bytes and its payload."""

    type: int
    flags: int
    stream_id: int
    raw: bytes

    @property
    def payload_bytes(self) -> int:
        return len(self.raw) - HEADER_BYTES


class ConnectionFault(Exception):
    """The connection has to end: `code` goes into the GOAWAY, `error` into the `Failed` event."""

    def __init__(self, code: ErrorCodes, error: RemoteProtocolError) -> None:
        super().__init__(error.why)
        self.code, self.error = code, error


def protocol_fault(why: str) -> ConnectionFault:
    """A fault of code PROTOCOL_ERROR."""
    return ConnectionFault(ErrorCodes.PROTOCOL_ERROR, RemoteProtocolError(why))


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
            length = int.from_bytes(data[start : start + 3], "big")
            kind = data[start + 3]
            stream_id = int.from_bytes(data[start + 5 : start + 9], "big") & 0x7FFF_FFFF
            _check_length(kind, length)
            end = start + HEADER_BYTES + length
            if end > len(data):
                self._needed = end - start
                break
            yield Frame(kind, data[start + 4], stream_id, data[start:end])
            start = end
        self._buffer = bytearray(data[start:])

    def _skip_preface(self, data: bytes) -> int:
        if not PREFACE.startswith(data[: len(PREFACE)]):
            raise protocol_fault("this is not the preface of HTTP/2")
        self.preface_seen = len(data) >= len(PREFACE)
        return len(PREFACE) if self.preface_seen else 0


def _check_length(kind: int, length: int) -> None:
    if length > MAX_FRAME_BYTES:
        raise ConnectionFault(
            ErrorCodes.FRAME_SIZE_ERROR,
            TooLarge(f"a frame of {length} bytes exceeds the {MAX_FRAME_BYTES} allowed"),
        )
    if length != _EXACT_BYTES.get(kind, length):
        raise ConnectionFault(
            ErrorCodes.FRAME_SIZE_ERROR, RemoteProtocolError(f"a {Type(kind).name} frame of {length} bytes")
        )
    if kind == Type.SETTINGS and length > 6 * MAX_SETTINGS:
        raise ConnectionFault(
            ErrorCodes.ENHANCE_YOUR_CALM, Flooding(f"more than {MAX_SETTINGS} settings in a frame")
        )
    if kind == Type.GOAWAY and not 8 <= length <= MAX_GOAWAY_BYTES:
        raise ConnectionFault(
            ErrorCodes.FRAME_SIZE_ERROR, RemoteProtocolError(f"a GOAWAY frame of {length} bytes")
        )
