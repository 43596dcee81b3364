"""What a toy process reads from and writes to: byte sources and sinks, and the pipe between two.

The trap: a writer must wait for its reader, or `head -c 1G /dev/zero` over a slow wire fills memory.
"""

from collections.abc import Awaitable, Callable
from typing import Final, TypeAlias

import trio

PIPE_PIECES: Final = 8
MAX_LINE_BYTES: Final = 1024 * 1024

Sink: TypeAlias = Callable[[bytes], Awaitable[None]]
"""Takes bytes; waits while the reader is behind. Raises trio.BrokenResourceError when it has gone."""


class Source:
    """Bytes that come in pieces, b"" for the end."""

    def __init__(self, receive: Callable[[], Awaitable[bytes]]) -> None:
        self._receive = receive
        self._rest = b""
        self._ended = False

    async def read(self) -> bytes:
        """The next piece, b"" at the end and ever after."""
        if self._rest:
            piece, self._rest = self._rest, b""
            return piece
        if self._ended:
            return b""
        piece = await self._receive()
        self._ended = not piece
        return piece

    async def read_line(self) -> bytes:
        """Up to and with the next newline; without one only at the end, or at 1 MiB."""
        line = bytearray()
        while len(line) < MAX_LINE_BYTES:
            piece = await self.read()
            if not piece:
                break
            end = piece.find(b"\n") + 1
            if end:
                self._rest = piece[end:]
                line += piece[:end]
                break
            line += piece
        return bytes(line)


class Pipe:
    """A bounded pipe. Either end may be closed first."""

    def __init__(self) -> None:
        self._send, self._receive = trio.open_memory_channel[bytes](PIPE_PIECES)
        self.source = Source(self._next)

    async def write(self, data: bytes) -> None:
        if data:
            await self._send.send(data)

    def end(self) -> None:
        """No more will be written."""
        self._send.close()

    def abandon(self) -> None:
        """No more will be read."""
        self._receive.close()

    async def _next(self) -> bytes:
        try:
            return await self._receive.receive()
        except (trio.EndOfChannel, trio.ClosedResourceError):
            return b""


def empty_source() -> Source:
    """A source at its end."""

    async def nothing() -> bytes:
        return b""

    return Source(nothing)


async def discard(data: bytes) -> None:
    """The sink that is /dev/null."""
    await trio.lowlevel.checkpoint()
