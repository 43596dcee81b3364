"""An HTTP/2 connection of the gateway's alone: TLS over a socket pair, h2 as the client, any handler behind it."""

import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import trio
import trustme
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import DataReceived
from hyperframe.frame import DataFrame, Frame, GoAwayFrame, RstStreamFrame

from gateway.server.http2 import Http2Connection
from gateway.server.http2_request import Http2Request
from gateway.server.request import ConnectionFacts
from gateway.tls_stream import TlsStream
from protocol.errors import RemoteProtocolError
from protocol.events import BodyChunk, EndOfBody, Event, ResponseHead
from tests.kit import h2_wire as wire

AUTHORITY = trustme.CA(key_type=trustme.KeyType.ECDSA)
FACTS = ConnectionFacts("c", "192.0.2.1:5", "192.0.2.1", "TLSv1.3")
BAD_REQUEST = (ResponseHead(400, content_length=0), EndOfBody())
Serve = Callable[[Http2Request], Awaitable[None]]


def target_of(request: Http2Request) -> bytes:
    return request.head.target


async def reply(request: Http2Request, body: bytes = b"") -> None:
    """The whole answer in one go: this body, or the target of the request."""
    body = body or target_of(request)
    await request.send(ResponseHead(200, content_length=len(body)), BodyChunk(body), EndOfBody())


class Peer:
    """The client. `bodies`, `resets` and `goaways` are what came so far, `over` when nothing more will."""

    def __init__(self, stream: TlsStream, window: int) -> None:
        self.stream = stream
        self.h2 = H2Connection(H2Configuration(client_side=True))
        self.h2.local_settings.initial_window_size = window
        self.h2.local_settings.acknowledge()
        self.h2.initiate_connection()
        if window > 65535:
            self.h2.increment_flow_control_window(window - 65535)
        self.bodies: dict[int, bytearray] = {}
        self.ended: list[int] = []
        self.resets: dict[int, int] = {}
        self.goaways: list[tuple[int, int]] = []
        self.over = False
        self._unread = b""

    def ask(self, target: str, *, end: bool = True) -> int:
        """Queue a request; returns its stream."""
        stream_id = self.h2.get_next_available_stream_id()
        fields = [(":method", "GET"), (":scheme", "https"), (":authority", "gw"), (":path", target)]
        self.h2.send_headers(stream_id, fields, end_stream=end)
        return stream_id

    async def flush(self) -> None:
        if data := self.h2.data_to_send():
            await self.stream.send_all(data)

    async def answer(self, stream_id: int) -> bytes:
        """The body of a whole answer, or what came until its stream or the connection was broken off."""
        while not (stream_id in self.ended or stream_id in self.resets or self.over):
            await self.read()
        return bytes(self.bodies.get(stream_id, b""))

    async def read(self) -> None:
        data = await self.stream.receive_some()
        self.over = not data
        self._unread += data
        while len(self._unread) >= 9 and len(self._unread) >= (size := 9 + int.from_bytes(self._unread[:3])):
            frame, self._unread = self._unread[:size], self._unread[size:]
            self._note(*wire.frames_of(frame))
            if not self.goaways:  # after one h2 takes nothing more
                for event in self.h2.receive_data(frame):
                    if isinstance(event, DataReceived):
                        self.h2.acknowledge_received_data(
                            event.flow_controlled_length or 0, event.stream_id or 0
                        )
        await self.flush()

    def _note(self, frame: Frame) -> None:
        if isinstance(frame, DataFrame):
            self.bodies.setdefault(frame.stream_id, bytearray()).extend(frame.data)
        if isinstance(frame, RstStreamFrame):
            self.resets[frame.stream_id] = frame.error_code
        if isinstance(frame, GoAwayFrame):
            self.goaways.append((frame.last_stream_id, frame.error_code))
        if "END_STREAM" in frame.flags:
            self.ended.append(frame.stream_id)

    async def read_to_end(self) -> None:
        while not self.over:
            await self.read()


@asynccontextmanager
async def open_pair(serve: Serve, *, window: int = 65535) -> AsyncIterator[tuple[Peer, Http2Connection]]:
    """The client's end and the gateway's, both running; the gateway's must have ended when the block does."""
    server_context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    AUTHORITY.issue_cert("a.example", key_type=trustme.KeyType.ECDSA).configure_cert(server_context)
    client_context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    AUTHORITY.configure_trust(client_context)
    left, right = socket.socketpair()
    server = TlsStream(left, server_context, server_side=True)
    client = TlsStream(right, client_context, server_side=False, server_hostname="a.example")
    connection = Http2Connection(server, FACTS)

    def malformed(error: RemoteProtocolError) -> tuple[Event, ...]:
        return BAD_REQUEST

    async def run() -> None:
        await server.do_handshake()
        await connection.run(serve, malformed)
        await server.aclose()

    with trio.fail_after(20):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(run)
            await client.do_handshake()
            peer = Peer(client, window)
            await peer.flush()
            yield peer, connection
            client.close()
