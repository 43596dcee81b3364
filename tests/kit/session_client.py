"""A client of exec, attach and port-forward through a rig: opens the stream, speaks in events, remembers what it heard."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from protocol.channels import open_channel_machine
from protocol.events import (
    Channel,
    ChannelData,
    ChannelEnded,
    ChannelOpened,
    Event,
    Failed,
    Machine,
    TunnelClosed,
)
from protocol.side import Side
from tests.kit.gateway_rig import Rig
from tests.kit.raw_client import RawClient, Response
from tests.kit.tunnel_ends import spdy_fields, websocket_fields

WEBSOCKET_V5, WEBSOCKET_V4 = ("websocket", "v5.channel.k8s.io"), ("websocket", "v4.channel.k8s.io")
SPDY: Final = ("spdy", "v4.channel.k8s.io")
FORWARD: Final = ("spdy", "portforward.k8s.io")
TRANSPORTS: Final = (WEBSOCKET_V5, WEBSOCKET_V4, SPDY)


class Session:
    """One open stream. heard: the bytes of each (channel, connection)."""

    def __init__(self, client: RawClient, machine: Machine) -> None:
        self._client, self._machine = client, machine
        self.heard: dict[tuple[Channel, int], bytearray] = {}
        self.ended: set[tuple[Channel, int]] = set()
        self.over = False

    async def say(self, *events: Event) -> None:
        for event in events:
            self._machine.send(event)
        await self._client.send(self._machine.data_to_send())

    async def type(self, data: bytes) -> None:
        await self.say(ChannelData(Channel.STDIN, data))

    async def until(self, channel: Channel, wanted: bytes, connection: int = 0) -> bytes:
        """All that came on a channel, once it has this in it."""
        while wanted not in (got := self.heard.get((channel, connection), bytearray())):
            assert not self.over, f"{wanted!r} did not come: {self.heard}"
            await self._hear()
        return bytes(got)

    async def end(self) -> dict[Channel, bytes]:
        """Everything each channel carried, when it is over."""
        while not self.over:
            await self._hear()
        return {channel: bytes(data) for (channel, _), data in self.heard.items()}

    async def _hear(self) -> None:
        data = self._client._take(len(self._client._buffer)) or await self._client.more()
        for event in self._machine.receive(data):
            if isinstance(event, ChannelData):
                self.heard.setdefault((event.channel, event.connection), bytearray()).extend(event.data)
            elif isinstance(event, ChannelEnded):
                self.ended.add((event.channel, event.connection))
            assert not isinstance(event, Failed), event
            self.over = self.over or isinstance(event, TunnelClosed)
        self.over = self.over or not data
        if answer := self._machine.data_to_send():
            await self._client.send(answer)


def handshake(rig: Rig, target: bytes, transport: tuple[str, str]) -> bytes:
    """The request that asks for the stream."""
    kind, protocol = transport
    if kind == "spdy":
        return rig.request(b"POST", target, *spdy_fields(protocol.encode()))
    return rig.request(b"GET", target, *websocket_fields(protocol.encode()))


@asynccontextmanager
async def open_session(
    rig: Rig, target: bytes, transport: tuple[str, str] = WEBSOCKET_V5
) -> AsyncIterator[Session]:
    """Fails unless the gateway answers 101. Over SPDY an exec's channels are opened as kubectl does."""
    path, _, query = target.partition(b"?")
    kind = path.rpartition(b"/")[2].decode()
    async with rig.client() as client:
        head = await client.ask(handshake(rig, target, transport))
        assert head.status == 101, head.body
        session = Session(client, open_channel_machine(kind, *transport, Side.CLIENT))
        if transport[0] == "spdy" and kind != "portforward":
            names = {
                b"stdin": Channel.STDIN,
                b"stdout": Channel.STDOUT,
                b"stderr": Channel.STDERR,
                b"tty": Channel.RESIZE,
            }
            wanted = [channel for name, channel in names.items() if name + b"=true" in query]
            await session.say(*(ChannelOpened(channel) for channel in (Channel.ERROR, *wanted)))
        yield session


async def refused(rig: Rig, target: bytes, transport: tuple[str, str] = WEBSOCKET_V5) -> Response:
    """The answer to a handshake that must not be 101."""
    async with rig.client() as client:
        got = await client.ask(handshake(rig, target, transport))
    assert got.status != 101
    return got


def exit_code(error: bytes) -> int:
    """Of the Status on the error channel; -1: it failed without one."""
    status = json.loads(error)
    if status["status"] == "Success":
        return 0
    causes = status.get("details", {}).get("causes", [])
    codes = [int(cause["message"]) for cause in causes if cause["reason"] == "ExitCode"]
    return codes[0] if codes else -1
