"""The oracle: an API server of the tests. It parses requests with h11 (not with the code under test), logs
each with its bytes, and answers whatever its script says, legal or not.
"""

import base64
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import h11
import trio
import trustme
import yaml

UPSTREAM_TOKEN = "upstream-credential-canary"

OK_BODY = b'{"kind":"Status","status":"Success"}'


@dataclass
class SeenRequest:
    """One request as h11 read it. head: everything but the body."""

    method: bytes
    target: bytes
    headers: list[tuple[bytes, bytes]]
    body: bytes = b""
    complete: bool = False

    def header(self, name: bytes) -> bytes | None:
        values = [value for key, value in self.headers if key == name]
        assert len(values) < 2, values
        return values[0] if values else None

    def names(self) -> set[bytes]:
        return {name for name, _ in self.headers}


class OrcConnection:
    """One connection of the gateway. `received` is the byte dump, `ended` when the gateway closed it."""

    def __init__(self, stream: trio.SSLStream[trio.SocketStream]) -> None:
        self._stream = stream
        self._sending = trio.Lock()
        self.received = bytearray()
        self.requests: list[SeenRequest] = []
        self.ended = trio.Event()
        self.raw = False  # the script reads by itself from now on

    async def send(self, data: bytes) -> None:
        async with self._sending:
            await self._stream.send_all(data)

    async def receive(self) -> bytes:
        """For scripts of upgraded connections."""
        try:
            data = bytes(await self._stream.receive_some(65536))
        except trio.BrokenResourceError:
            data = b""
        self.received += data
        if not data:
            self.ended.set()
        return data

    async def close(self) -> None:
        """Without close_notify, as a crashing server does."""
        await trio.aclose_forcefully(self._stream)


Script = Callable[[OrcConnection, SeenRequest], Awaitable[None]]


def answer(status: int = 200, body: bytes = OK_BODY, *fields: bytes, reason: bytes = b"X") -> bytes:
    """A response with Content-Length."""
    head = [b"HTTP/1.1 %d %b" % (status, reason), b"Content-Type: application/json", *fields]
    return b"\r\n".join([*head, b"Content-Length: %d" % len(body), b"", b""]) + body


CHUNKED = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


LAST_CHUNK = b"0\r\n\r\n"


def says(*pieces: bytes, then_close: bool = False) -> Script:
    """A script that sends these bytes, whatever was asked."""

    async def script(connection: OrcConnection, request: SeenRequest) -> None:
        for piece in pieces:
            await connection.send(piece)
        if then_close:
            await connection.close()

    return script


@dataclass
class Orc:
    """port, ca (PEM), and what it saw. `script` answers complete requests, `on_head` mere heads."""

    port: int
    ca: bytes
    script: Script
    on_head: Script | None = None
    connections: list[OrcConnection] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    _news: trio.Event = field(default_factory=trio.Event)

    @property
    def requests(self) -> list[SeenRequest]:
        """In the order of their connections."""
        return [request for connection in self.connections for request in connection.requests]

    @property
    def received_bytes(self) -> int:
        return sum(len(connection.received) for connection in self.connections)

    def write_kubeconfig(self, path: Path, *, host: str = "127.0.0.1", ca: bytes | None = None) -> Path:
        cluster = {
            "server": f"https://{host}:{self.port}",
            "certificate-authority-data": base64.b64encode(ca or self.ca).decode(),
        }
        path.write_text(
            yaml.safe_dump(
                {
                    "apiVersion": "v1",
                    "kind": "Config",
                    "clusters": [{"name": "orc", "cluster": cluster}],
                    "users": [{"name": "us", "user": {"token": UPSTREAM_TOKEN}}],
                    "contexts": [{"name": "orc", "context": {"cluster": "orc", "user": "us"}}],
                    "current-context": "orc",
                }
            )
        )
        return path

    async def wait(self, condition: Callable[[], object]) -> None:
        """Until the condition holds; looked at whenever something happens here."""
        while not condition():
            await self._news.wait()

    def happened(self) -> None:
        self._news.set()
        self._news = trio.Event()

    async def serve(self, connection: OrcConnection) -> None:
        self.connections.append(connection)
        self.happened()
        parser = h11.Connection(h11.SERVER, max_incomplete_event_size=1 << 20)
        try:
            while not connection.raw:
                data = await connection.receive()
                self.happened()
                parser.receive_data(data)
                if not await self._events(parser, connection) or not data:
                    return
        except h11.RemoteProtocolError as error:
            self.failures.append(f"{error}: {bytes(connection.received[-300:])!r}")
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            pass
        finally:
            connection.ended.set()
            self.happened()

    async def _events(self, parser: h11.Connection, connection: OrcConnection) -> bool:
        while True:
            event = parser.next_event()
            if event is h11.NEED_DATA:
                return True
            if event is h11.PAUSED:
                return connection.raw
            if isinstance(event, h11.ConnectionClosed):
                return False
            if isinstance(event, h11.Request):
                seen = SeenRequest(
                    bytes(event.method), bytes(event.target), [(bytes(a), bytes(b)) for a, b in event.headers]
                )
                connection.requests.append(seen)
                self.happened()
                if self.on_head is not None:
                    await self.on_head(connection, seen)
            elif isinstance(event, h11.Data):
                connection.requests[-1].body += event.data
            elif isinstance(event, h11.EndOfMessage):
                connection.requests[-1].complete = True
                self.happened()
                await self.script(connection, connection.requests[-1])
                self.happened()
                if connection.raw:
                    return True
                self._next(parser)

    @staticmethod
    def _next(parser: h11.Connection) -> None:
        """The script answered behind h11's back: let h11 believe in an answer, to read the next request."""
        if (
            parser.our_state in (h11.SEND_RESPONSE, h11.SEND_BODY)
            or parser.our_state is h11.MIGHT_SWITCH_PROTOCOL
        ):
            parser.send(h11.Response(status_code=200, headers=[("content-length", "0")]))
            parser.send(h11.EndOfMessage())
        if parser.our_state is h11.DONE and parser.their_state is h11.DONE:
            parser.start_next_cycle()


@asynccontextmanager
async def open_orc(
    script: Script | None = None,
    *,
    names: tuple[str, ...] = ("127.0.0.1", "localhost"),
    authority: trustme.CA | None = None,
) -> AsyncIterator[Orc]:
    """Serve on a free port of loopback until the block ends."""
    authority = authority or trustme.CA(key_type=trustme.KeyType.ECDSA)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert(*names, key_type=trustme.KeyType.ECDSA).configure_cert(context)
    context.set_alpn_protocols(["http/1.1"])
    listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
    port = listeners[0].socket.getsockname()[1]
    orc = Orc(port, authority.cert_pem.bytes(), script or says(answer()))

    async def handle(transport: trio.SocketStream) -> None:
        stream = trio.SSLStream(transport, context, server_side=True, https_compatible=True)
        try:
            await stream.do_handshake()
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            await trio.aclose_forcefully(stream)
            return
        connection = OrcConnection(stream)
        try:
            await orc.serve(connection)
        finally:
            await trio.aclose_forcefully(stream)

    async with trio.open_nursery() as nursery:
        await nursery.start(trio.serve_listeners, handle, listeners)
        try:
            yield orc
        finally:
            nursery.cancel_scope.cancel()
