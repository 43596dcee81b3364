"""Both ends of a shell for attacks: a cluster that plays its part, a client that says and reads frames."""

from base64 import b64decode, b64encode
from collections.abc import Callable
from dataclasses import dataclass, field

import trio

from tests.kit.orc import OrcConnection, Script, SeenRequest
from tests.kit.raw_client import RawClient
from tests.kit.tunnel_ends import CLOSE, FrameStream, switching
from tests.kit.websocket_bytes import close_frame, frame

POD = b"/api/v1/namespaces/default/pods/p"
EXEC = POD + b"/exec?command=sh&stdin=true&stdout=true&stderr=true"
V5 = b"v5.channel.k8s.io"
TALK_S = 2.0
"""A shell that says nothing for so long has lost something."""
SUCCESS = b'{"metadata":{},"status":"Success"}'


def message(channel: int, data: bytes, *, base64: bool = False, from_client: bool = True) -> bytes:
    """One whole message of a channel protocol."""
    if base64:
        return frame(1, b"%d" % channel + b64encode(data), masked=from_client)
    return frame(2, bytes([channel]) + data, masked=from_client)


@dataclass
class Cluster:
    """A cluster that carries any upgrade: writes `output`, reads `wanted` bytes of stdin, says it succeeded.

    choose: the protocol of its 101, from the request.
    """

    output: bytes = b"from the shell"
    wanted: int = 0
    choose: Callable[[SeenRequest], bytes] = lambda request: first_offer(request)
    extra: bytes = b""  # further lines of the 101
    typed: bytearray = field(default_factory=bytearray)

    async def __call__(self, connection: OrcConnection, request: SeenRequest) -> None:
        connection.raw = True
        protocol = self.choose(request)
        head = switching(request, protocol)
        if not protocol:
            head = head.replace(b"Sec-WebSocket-Protocol: \r\n", b"")
        await connection.send(head[:-2] + self.extra + b"\r\n")
        base64 = b"base64" in protocol
        if self.output:
            await connection.send(message(1, self.output, base64=base64, from_client=False))
        frames = FrameStream(connection.receive)
        while len(self.typed) < self.wanted and (got := await frames.next()) is not None:
            self.typed += read(got, base64=base64)[1]
        await connection.send(message(3, SUCCESS, base64=base64, from_client=False))
        await connection.send(close_frame(1000, masked=False))
        while not connection.ended.is_set():
            await connection.receive()


def carries_all() -> Script:
    return Cluster()


def first_offer(request: SeenRequest) -> bytes:
    offers = request.header(b"sec-websocket-protocol") or request.header(b"x-stream-protocol-version") or b""
    return offers.split(b",")[0].strip()


def read(got: tuple[int, bytes], *, base64: bool = False) -> tuple[int, bytes]:
    """(channel, data) of one whole message."""
    payload = got[1]
    if not payload:
        return -1, b""
    return (payload[0] - 48, b64decode(payload[1:])) if base64 else (payload[0], payload[1:])


async def talk(client: RawClient, *typed: bytes, base64: bool = False) -> dict[int, bytes]:
    """After the 101: send these frames, then read to the end; what came on each channel."""
    for piece in typed:
        await client.send(piece)

    async def more() -> bytes:
        return client._take(len(client._buffer)) or await client.more()

    frames, channels = FrameStream(more), dict[int, bytes]()
    with trio.move_on_after(TALK_S):
        while (got := await frames.next()) is not None and got[0] != CLOSE:
            channel, data = read(got, base64=base64)
            channels[channel] = channels.get(channel, b"") + data
    return channels
