"""One upgraded connection of the stand-in: channel events in and out, digests of all that passes.

The machines of `protocol` translate; this pumps. Several tasks may speak at once, one listens.
"""

import ssl
from typing import Final

import trio

from gateway.demo.standin.seen import SeenRequest
from protocol.events import ChannelData, ChannelOpened, Event, Failed, Machine, PeerClosed, TunnelClosed

READ_BYTES: Final = 64 * 1024
GOODBYE_S: Final = 2.0
"""How long a closing side waits for the other: closing earlier resets TCP and loses what we sent last."""

STREAM_ERRORS: Final = (trio.BrokenResourceError, trio.ClosedResourceError, ssl.SSLError)


class Wire:
    """leftover: bytes that came with the request's head, first input of the machine."""

    def __init__(self, stream: trio.abc.Stream, machine: Machine, leftover: bytes, seen: SeenRequest) -> None:
        self._stream, self._machine, self._leftover, self._seen = stream, machine, leftover, seen
        self._lock = trio.Lock()
        self._is_over = False

    async def say(self, *events: Event) -> None:
        """Send events; returns when their bytes are with the transport. Raises trio.BrokenResourceError."""
        async with self._lock:
            for event in events:
                self._machine.send(event)
                if isinstance(event, ChannelData):
                    self._seen.channel(event.channel, event.connection).sent.add(event.data)
            await self._flush()

    async def hear(self) -> list[Event]:
        """The events of the next bytes; [] when the client has left, said goodbye or broken the protocol."""
        events: list[Event] = []
        while not events and not self._is_over:
            data, self._leftover = self._leftover, b""
            data = data or bytes(await self._stream.receive_some(READ_BYTES))
            if not data:
                return []
            async with self._lock:
                events = self._machine.receive(data)
                await self._flush()
        for event in events:
            self._note(event)
        return events

    def _note(self, event: Event) -> None:
        if isinstance(event, ChannelData):
            self._seen.channel(event.channel, event.connection).received.add(event.data)
        elif isinstance(event, ChannelOpened):
            self._seen.channel(event.channel, event.connection, event.port)
        elif isinstance(event, TunnelClosed | Failed | PeerClosed):
            self._is_over = True

    async def _flush(self) -> None:
        if data := self._machine.data_to_send():
            await self._stream.send_all(data)
