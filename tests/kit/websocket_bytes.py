"""WebSocket frames made byte by byte, right and wrong ones, and what a reading of them amounts to."""

from collections.abc import Iterable

from protocol.events import Event, Failed, MessageChunk

MASK = b"\x37\xfa\x21\x3d"  # of the examples of RFC 6455 section 5.7
CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0, 1, 2, 8, 9, 10


def frame(
    opcode: int,
    payload: bytes = b"",
    *,
    fin: bool = True,
    masked: bool = True,
    reserved: int = 0,
    length_bytes: int | None = None,
    announced: int | None = None,
) -> bytes:
    """One frame as a client sends it (masked) or a server.

    length_bytes: 0, 2 or 8 forces the form of the length. announced: the length the header claims.
    """
    length = len(payload) if announced is None else announced
    if length_bytes is None:
        length_bytes = 0 if length < 126 else 2 if length < 65536 else 8
    short = {0: length, 2: 126, 8: 127}[length_bytes]
    head = bytes(((0x80 if fin else 0) | reserved << 4 | opcode, (0x80 if masked else 0) | short))
    head += length.to_bytes(length_bytes, "big") if length_bytes else b""
    if not masked:
        return head + payload
    return head + MASK + bytes(byte ^ MASK[position % 4] for position, byte in enumerate(payload))


def close_frame(code: int, reason: bytes = b"", *, masked: bool = True) -> bytes:
    return frame(CLOSE, code.to_bytes(2, "big") + reason, masked=masked)


def whole(events: Iterable[Event]) -> list[object]:
    """The same events with neighbouring chunks of a message joined, and errors as comparable values."""
    result: list[object] = []
    for event in events:
        last = result[-1] if result else None
        if isinstance(event, MessageChunk) and isinstance(last, MessageChunk) and not last.last:
            assert not event.first
            result[-1] = MessageChunk(last.data + event.data, event.text, last.first, event.last)
        elif isinstance(event, Failed):
            result.append((type(event.error), event.error.why))
        else:
            result.append(event)
    return result
