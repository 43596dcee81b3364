"""HEADERS and its CONTINUATIONs to one whole header block, in bounded memory.

What the block says is up to `http2_hpack`.
The trap: between the frames of a block no other frame may come, of whatever stream or type.
Source: RFC 9113 sections 4.3, 6.2 and 6.10; CVE-2024-27316.
"""

from typing import Final, NamedTuple

from protocol.errors import TooLarge
from protocol.http2_frames import (
    END_HEADERS,
    END_STREAM,
    PRIORITY,
    ConnectionFault,
    ErrorCode,
    Frame,
    protocol_fault,
    size_fault,
    unpad,
)

MAX_BLOCK_BYTES: Final = 64 * 1024
MAX_CONTINUATIONS: Final = 8
"""A header block in at most so many bytes and CONTINUATION frames (CVE-2024-27316 had no end)."""

_PRIORITY_BYTES: Final = 5


class Block(NamedTuple):
    """A whole header block, still compressed."""

    stream_id: int
    ends_stream: bool
    data: bytes


class BlockAssembler:
    """The block of a connection that is under way, if one is."""

    def __init__(self) -> None:
        self._first: Frame | None = None
        self._pieces: list[bytes] = []
        self._bytes = 0

    @property
    def is_open(self) -> bool:
        """Whether a block has begun and not ended."""
        return self._first is not None

    def add_headers(self, frame: Frame) -> Block | None:
        """A HEADERS frame: the block, if it is whole. Raises ConnectionFault."""
        if not frame.stream_id:
            raise protocol_fault("HEADERS without a stream")
        data = unpad(frame)
        if frame.flags & PRIORITY:
            data = _skip_priority(frame.stream_id, data)
        if frame.flags & END_HEADERS:
            return Block(frame.stream_id, bool(frame.flags & END_STREAM), data)
        self._first, self._pieces, self._bytes = frame, [data], len(frame.payload)
        return None

    def add_continuation(self, frame: Frame) -> Block | None:
        """A CONTINUATION frame: the block, if that completes it. Raises ConnectionFault."""
        first = self._first
        if first is None or first.stream_id != frame.stream_id:
            raise protocol_fault("CONTINUATION without a header block to continue")
        self._bytes += len(frame.payload)
        self._pieces.append(frame.payload)
        if self._bytes > MAX_BLOCK_BYTES or len(self._pieces) > MAX_CONTINUATIONS + 1:
            raise ConnectionFault(
                ErrorCode.ENHANCE_YOUR_CALM,
                TooLarge(
                    f"a header block of more than {MAX_BLOCK_BYTES} bytes or {MAX_CONTINUATIONS} continuations"
                ),
            )
        if not frame.flags & END_HEADERS:
            return None
        data, self._first, self._pieces = b"".join(self._pieces), None, []
        return Block(first.stream_id, bool(first.flags & END_STREAM), data)


def _skip_priority(stream_id: int, data: bytes) -> bytes:
    if len(data) < _PRIORITY_BYTES:
        raise size_fault("HEADERS with a priority that is cut off")
    check_priority(stream_id, data)
    return data[_PRIORITY_BYTES:]


def check_priority(stream_id: int, data: bytes) -> None:
    """What a stream depends on, from HEADERS or PRIORITY (RFC 7540 section 5.3.1). Raises ConnectionFault."""
    if int.from_bytes(data[:4], "big") & 0x7FFF_FFFF == stream_id:
        raise protocol_fault("a stream that depends on itself")
