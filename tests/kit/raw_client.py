"""Clients that say exactly the bytes they are told to, over real TLS, and read answers without our code."""

import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import trio


@dataclass
class Response:
    """One HTTP/1.1 response as read off the wire. wire: all its bytes."""

    status: int
    headers: list[tuple[bytes, bytes]]
    body: bytes = b""
    wire: bytes = field(default=b"", repr=False)

    def header(self, name: bytes) -> bytes | None:
        values = [value for key, value in self.headers if key == name]
        assert len(values) < 2, values
        return values[0] if values else None


def client_context(ca: Path, alpn: list[str] | None = None) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=str(ca))
    context.set_alpn_protocols(["http/1.1"] if alpn is None else alpn)
    return context


class RawClient:
    """One connection. Reading raises EOFError when the peer ended where more was due."""

    def __init__(self, stream: trio.SSLStream[trio.SocketStream]) -> None:
        self.stream = stream
        self._buffer = bytearray()
        self._sending = trio.Lock()
        self.received_bytes = 0

    async def send(self, data: bytes) -> None:
        async with self._sending:
            await self.stream.send_all(data)

    async def more(self) -> bytes:
        """One read; b"" at the end, however it came."""
        try:
            data = bytes(await self.stream.receive_some(65536))
        except trio.BrokenResourceError:
            data = b""
        self.received_bytes += len(data)
        return data

    async def read(self, count: int) -> bytes:
        while len(self._buffer) < count:
            await self._fill()
        return self._take(count)

    async def until(self, delimiter: bytes) -> bytes:
        """Up to and including the delimiter."""
        while (at := self._buffer.find(delimiter)) < 0:
            await self._fill()
        return self._take(at + len(delimiter))

    async def rest(self) -> bytes:
        """All there is until the peer ends."""
        while data := await self.more():
            self._buffer += data
        return self._take(len(self._buffer))

    async def head(self) -> Response:
        """The head of a response (1xx too)."""
        wire = await self.until(b"\r\n\r\n")
        status_line, *lines = wire[:-4].split(b"\r\n")
        version, status, _ = status_line.split(b" ", 2)
        assert version == b"HTTP/1.1", wire
        pairs = [line.split(b":", 1) for line in lines]
        return Response(int(status), [(name.lower(), value.strip()) for name, value in pairs], wire=wire)

    async def response(self, *, to_head: bool = False) -> Response:
        """A whole response: by length, chunked, or to the end of the connection."""
        response = await self.head()
        if to_head or response.status in (204, 304) or response.status < 200:
            return response
        length, coding = response.header(b"content-length"), response.header(b"transfer-encoding")
        assert length is None or coding is None, response
        if coding is not None:
            while data := await self.chunk():
                response.body += data
        elif length is not None:
            response.body = await self.read(int(length))
        else:
            response.body = await self.rest()
        return response

    async def chunk(self) -> bytes:
        """One chunk; b"" is the last."""
        size = int((await self.until(b"\r\n"))[:-2], 16)
        data = await self.read(size)
        assert await self.read(2) == b"\r\n"
        return data

    async def ask(self, request: bytes, *, to_head: bool = False) -> Response:
        await self.send(request)
        return await self.response(to_head=to_head)

    async def vanish(self) -> None:
        """Close without a word."""
        await trio.aclose_forcefully(self.stream)

    async def _fill(self) -> None:
        data = await self.more()
        if not data:
            raise EOFError(bytes(self._buffer))
        self._buffer += data

    def _take(self, count: int) -> bytes:
        data = bytes(self._buffer[:count])
        del self._buffer[:count]
        return data


@asynccontextmanager
async def open_client(
    port: int, context: ssl.SSLContext, *, server_hostname: str = "127.0.0.1"
) -> AsyncIterator[RawClient]:
    transport = await trio.open_tcp_stream("127.0.0.1", port)
    stream = trio.SSLStream(transport, context, server_hostname=server_hostname, https_compatible=True)
    try:
        await stream.do_handshake()
        yield RawClient(stream)
    finally:
        await trio.aclose_forcefully(stream)
