"""Both far ends of a tunnel through the gateway: frames written byte by byte, read without our machines."""

import base64
import hashlib
from collections.abc import Awaitable, Callable

from tests.kit.orc import OrcConnection, Script, SeenRequest

KEY = b"dGhlIHNhbXBsZSBub25jZQ=="
TEXT, BINARY, CLOSE, PING, PONG = 1, 2, 8, 9, 10


def websocket_fields(*protocols: bytes) -> tuple[bytes, ...]:
    return (
        b"Connection: Upgrade",
        b"Upgrade: websocket",
        b"Sec-WebSocket-Version: 13",
        b"Sec-WebSocket-Key: " + KEY,
        b"Sec-WebSocket-Protocol: " + b", ".join(protocols),
    )


def spdy_fields(*protocols: bytes) -> tuple[bytes, ...]:
    return (
        b"Connection: Upgrade",
        b"Upgrade: SPDY/3.1",
        *(b"X-Stream-Protocol-Version: " + protocol for protocol in protocols),
    )


def switching(request: SeenRequest, protocol: bytes) -> bytes:
    """The 101 an API server answers."""
    if request.header(b"upgrade") == b"SPDY/3.1":
        return (
            b"HTTP/1.1 101 X\r\nConnection: Upgrade\r\nUpgrade: SPDY/3.1\r\nX-Stream-Protocol-Version: %b\r\n\r\n"
            % protocol
        )
    key = request.header(b"sec-websocket-key") or b""
    accept = base64.b64encode(hashlib.sha1(key + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest())
    return (
        b"HTTP/1.1 101 X\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: %b\r\n"
        b"Sec-WebSocket-Protocol: %b\r\n\r\n" % (accept, protocol)
    )


class FrameStream:
    """WebSocket messages off a byte stream, masked or not; pings and pongs are skipped."""

    def __init__(self, more: Callable[[], Awaitable[bytes]]) -> None:
        self._more = more
        self._buffer = b""
        self.saw_mask = False

    async def next(self) -> tuple[int, bytes] | None:
        """(opcode, payload) of the next frame that is no ping or pong; None at the end."""
        while True:
            frame = self._cut()
            if frame is None:
                data = await self._more()
                if not data:
                    return None
                self._buffer += data
            elif frame[0] not in (PING, PONG):
                return frame

    def _cut(self) -> tuple[int, bytes] | None:
        data = self._buffer
        if len(data) < 2:
            return None
        masked, length, at = data[1] & 0x80, data[1] & 0x7F, 2
        if length >= 126:
            size = 2 if length == 126 else 8
            if len(data) < at + size:
                return None
            length, at = int.from_bytes(data[at : at + size]), at + size
        mask = data[at : at + 4] if masked else bytes(4)
        at += 4 if masked else 0
        if len(data) < at + length or (masked and len(mask) < 4):
            return None
        payload = bytes(byte ^ mask[i % 4] for i, byte in enumerate(data[at : at + length]))
        self.saw_mask = self.saw_mask or bool(masked)
        self._buffer = data[at + length :]
        return data[0] & 0x0F, payload


Play = Callable[[OrcConnection, FrameStream], Awaitable[None]]


def exec_server(play: Play, protocol: bytes = b"v5.channel.k8s.io") -> Script:
    """Answer 101, then play; then read until the gateway ends the connection."""

    async def script(connection: OrcConnection, request: SeenRequest) -> None:
        connection.raw = True
        await connection.send(switching(request, protocol))
        await play(connection, FrameStream(connection.receive))
        while not connection.ended.is_set():
            await connection.receive()

    return script
