"""A bare HTTPS client for tests of the stand-in API server: one connection a request, h11 underneath."""

import json
import ssl
from typing import Any

import h11
import msgspec
import trio

from gateway.demo.standin.server import Standin
from protocol.channels import open_channel_machine
from protocol.events import Event, Machine
from protocol.side import Side


class Answer(msgspec.Struct, frozen=True):
    """A whole response. headers: lower-case names, the last of each."""

    status: int
    headers: dict[bytes, bytes]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


async def connect(
    standin: Standin, certificate: tuple[bytes, bytes] | None = None
) -> "trio.SSLStream[trio.SocketStream]":
    """A TLS connection; certificate: (chain file, key file) paths as bytes for a client certificate."""
    context = ssl.create_default_context(cadata=standin.credentials.ca_pem.decode())
    if certificate:
        context.load_cert_chain(*certificate)
    raw = await trio.open_tcp_stream("127.0.0.1", standin.port)
    return trio.SSLStream(raw, context, server_hostname="127.0.0.1", https_compatible=True)


async def ask(
    standin: Standin,
    method: str,
    target: str,
    *,
    headers: dict[str, str] | None = None,
    body: bytes | Any = b"",
    token: str | None = None,
) -> Answer:
    """One request as the admin (or `token`; "" for none). A body that is no bytes is sent as JSON."""
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    token = standin.credentials.admin_token if token is None else token
    given = {"host": "standin", "content-length": str(len(content))} | (headers or {})
    if token:
        given["authorization"] = f"Bearer {token}"
    connection = h11.Connection(h11.CLIENT)
    async with await connect(standin) as stream:
        await stream.send_all(
            connection.send(h11.Request(method=method, target=target, headers=list(given.items()))) or b""
        )
        if content:
            await stream.send_all(connection.send(h11.Data(content)) or b"")
        connection.send(h11.EndOfMessage())
        response, pieces = None, []
        while not isinstance(event := connection.next_event(), h11.EndOfMessage | h11.ConnectionClosed):
            if event is h11.NEED_DATA:
                connection.receive_data(bytes(await stream.receive_some(65536)))
            elif isinstance(event, h11.Response):
                response = event
            elif isinstance(event, h11.Data):
                pieces.append(bytes(event.data))
    assert response is not None
    return Answer(response.status_code, dict(response.headers), b"".join(pieces))


class Tunnel:
    """An upgraded connection, client side."""

    def __init__(self, stream: trio.abc.Stream, machine: Machine, leftover: bytes) -> None:
        self._stream, self._machine, self._leftover = stream, machine, leftover

    async def say(self, *events: Event) -> None:
        for event in events:
            self._machine.send(event)
        await self._stream.send_all(self._machine.data_to_send())

    async def hear(self) -> list[Event]:
        """Events of the next read, [] at the end."""
        data, self._leftover = self._leftover, b""
        data = data or bytes(await self._stream.receive_some(65536))
        events = self._machine.receive(data)
        if answer := self._machine.data_to_send():
            await self._stream.send_all(answer)
        return events if data else []


async def upgrade(
    stream: trio.abc.Stream,
    standin: Standin,
    target: str,
    transport: str,
    protocol: str,
    *,
    ports: tuple[int, ...] = (),
) -> Tunnel:
    """Upgrade a fresh connection; the server must answer 101 with exactly this protocol."""
    lines = [
        "host: standin",
        f"authorization: Bearer {standin.credentials.admin_token}",
        "connection: Upgrade",
    ]
    if transport == "spdy":
        lines += ["upgrade: SPDY/3.1", "content-length: 0", f"x-stream-protocol-version: {protocol}"]
    else:
        lines += [
            "upgrade: websocket",
            "sec-websocket-version: 13",
            "sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==",
        ]
        lines += [f"sec-websocket-protocol: {protocol}"] if protocol else []
    method = "POST" if transport == "spdy" else "GET"
    await stream.send_all("\r\n".join([f"{method} {target} HTTP/1.1", *lines, "", ""]).encode())
    received = b""
    while b"\r\n\r\n" not in received:
        piece = bytes(await stream.receive_some(65536))
        assert piece, received
        received += piece
    head, _, leftover = received.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 101 "), head
    assert not protocol or protocol.encode() in head
    kind = target.partition("?")[0].rpartition("/")[2]
    return Tunnel(stream, open_channel_machine(kind, transport, protocol, Side.CLIENT, ports=ports), leftover)
