"""People at one of several gateways: calls, requests to the management API, and streams that go on."""

import json
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, Final

import trio

from protocol.channels import open_channel_machine
from protocol.events import Channel, ChannelData, ChannelOpened
from protocol.side import Side
from tests.kit.raw_client import RawClient, Response, client_context, open_client
from tests.kit.replicas import Replica
from tests.kit.standin_client import Tunnel
from tests.kit.tunnel_ends import spdy_fields, websocket_fields

LOOK_S: Final = 0.02
RETRIES: Final = 10
"""How often kubectl comes back when it is told to."""


def request(
    host: str, token: str, method: str, target: str, *fields: bytes, document: object = None
) -> bytes:
    """One HTTP/1.1 request. document: its body, as JSON; None: none."""
    body = b"" if document is None else json.dumps(document).encode()
    head = [
        f"{method} {target} HTTP/1.1".encode(),
        f"Host: {host}".encode(),
        f"Authorization: Bearer {token}".encode(),
    ]
    head += [*fields]
    if body or method in ("POST", "PUT", "PATCH"):
        head += [b"Content-Type: application/json", b"Content-Length: %d" % len(body)]
    return b"\r\n".join([*head, b"", b""]) + body


class Person:
    """Somebody with a token, at one gateway."""

    def __init__(self, replica: Replica, token: str) -> None:
        self._replica, self._token = replica, token
        self._context = client_context(replica.ca)

    @asynccontextmanager
    async def connected(self) -> AsyncIterator[RawClient]:
        async with open_client(self._replica.port, self._context) as client:
            yield client

    async def call(self, method: str, target: str, document: object = None) -> Response:
        """One call, once."""
        async with self.connected() as client:
            return await client.ask(self._request(method, target, document=document))

    async def persist(self, method: str, target: str, document: object = None) -> Response:
        """One call as kubectl makes it: again, as often as it is told to come back in a second."""
        for _ in range(RETRIES):
            answer = await self.call(method, target, document)
            if answer.status != 429 or answer.header(b"retry-after") is None:
                break
            await trio.sleep(1)
        return answer

    async def console(self, method: str, target: str, document: object = None) -> tuple[int, Any]:
        """One request to the management API: status and document."""
        async with open_client(self._replica.console_port, self._context) as client:
            wire = request(
                f"127.0.0.1:{self._replica.console_port}", self._token, method, target, document=document
            )
            answer = await client.ask(wire)
            return answer.status, json.loads(answer.body)

    async def asked(self, target: str, document: object, expected: int) -> Any:
        """The document of a POST to the management API that must go well."""
        status, answer = await self.console("POST", f"/api/v1/{target}", document)
        assert status == expected, answer
        return answer

    async def hold(self, mark: str) -> Any:
        """The hold that waits for a word on a call with this mark, as soon as there is one."""
        while True:
            status, document = await self.console("GET", "/api/v1/approvals?state=pending")
            assert status == 200, document
            found = [hold for hold in document["items"] if mark in hold["call"]["target"]]
            if found:
                return found[0]
            await trio.sleep(LOOK_S)

    async def shown(self, target: str, condition: Callable[[Any], object]) -> Any:
        """A document of the management API, once it is as it should be."""
        while True:
            status, document = await self.console("GET", f"/api/v1/{target}")
            if status == 200 and condition(document):
                return document
            await trio.sleep(LOOK_S)

    # --- streams ---------------------------------------------------------------------------------------

    def _request(self, method: str, target: str, *fields: bytes, document: object = None) -> bytes:
        return request(
            f"127.0.0.1:{self._replica.port}", self._token, method, target, *fields, document=document
        )

    async def watch(self, target: str, hear: Callable[[bytes], None]) -> None:
        """Until it ends."""
        async with self.connected() as client:
            await client.send(self._request("GET", target))
            head = await client.head()
            assert head.status == 200, head.wire
            while data := await client.chunk():
                hear(data)

    async def tunnel(
        self, kind: str, transport: str, protocol: str, target: str, hear: Callable[[bytes], None]
    ) -> None:
        """An exec or a port-forward over one transport, until it ends."""
        fields = (
            spdy_fields(protocol.encode()) if transport == "spdy" else websocket_fields(protocol.encode())
        )
        method = "POST" if transport == "spdy" else "GET"
        machine = open_channel_machine(kind, transport, protocol, Side.CLIENT)
        async with self._upgraded(self._request(method, target, *fields)) as stream:
            tunnel = Tunnel(stream, machine, b"")
            if kind == "portforward":
                await tunnel.say(
                    ChannelOpened(Channel.FORWARD_ERROR, 0, 7), ChannelOpened(Channel.DATA, 0, 7)
                )
                await tunnel.say(ChannelData(Channel.DATA, b"ready", 0))
            elif transport == "spdy":
                channels = (Channel.ERROR, Channel.STDOUT, Channel.STDERR)
                await tunnel.say(*(ChannelOpened(channel) for channel in channels))
            while events := await tunnel.hear():
                for event in events:
                    if isinstance(event, ChannelData):
                        hear(event.data)

    @asynccontextmanager
    async def _upgraded(self, wire: bytes) -> AsyncIterator["trio.SSLStream[trio.SocketStream]"]:
        raw = await trio.open_tcp_stream("127.0.0.1", self._replica.port)
        stream = trio.SSLStream(raw, self._context, server_hostname="127.0.0.1", https_compatible=True)
        try:
            await stream.send_all(wire)
            head = b""
            while not head.endswith(b"\r\n\r\n"):
                head += bytes(await stream.receive_some(1))
            assert head.startswith(b"HTTP/1.1 101 "), head
            yield stream
        finally:
            await trio.aclose_forcefully(stream)


class Streams:
    """What runs at a gateway. heard: all that each was told; ended: names, with the monotonic second."""

    def __init__(self) -> None:
        self.heard: dict[str, bytes] = {}
        self.ended: dict[str, float] = {}
        self._news = trio.Event()

    async def open(
        self, nursery: trio.Nursery, name: str, run: Callable[[Callable[[bytes], None]], Awaitable[None]]
    ) -> None:
        """Run one; returns when it has heard something."""
        self.heard[name] = b""

        def hear(data: bytes) -> None:
            self.heard[name] += data
            self._tell()

        async def to_the_end() -> None:
            try:
                await run(hear)
            except (EOFError, trio.BrokenResourceError, ssl.SSLError):
                pass  # how it breaks off is its protocol's business; what it said before counts
            self.ended[name] = trio.current_time()
            self._tell()

        nursery.start_soon(to_the_end)
        while not self.heard[name]:
            assert name not in self.ended, f"{name} ended before it began"
            await self._news.wait()

    async def have_ended(self, *names: str) -> None:
        while set(names) - self.ended.keys():
            await self._news.wait()

    def _tell(self) -> None:
        self._news.set()
        self._news = trio.Event()
