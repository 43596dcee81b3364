"""One side of a tunnel, and a client that waits in it."""

from typing import Final

import trio

from gateway.tls_stream import TlsStream
from gateway.upstream.connection import UpstreamConnection
from protocol.channel_runs import join_neighbours
from protocol.events import ChannelData, Event, Failed, Machine, PeerClosed, Ping, Pong, TunnelClosed

KEEPALIVE_S: Final = 30.0
MAX_WAITING_BYTES: Final = 256 * 1024
"""What a client may send while people decide; beyond it we stop reading, and TCP holds the rest back."""


class Leg:
    """One side of a tunnel: a connection and the machine that reads and writes its protocol."""

    def __init__(self, stream: TlsStream, machine: Machine) -> None:
        self.stream, self.machine = stream, machine
        self._flushing = False
        self._flushed: trio.Event | None = None  # made by the first who waits for the task that writes

    async def flush(self, *, wait: bool = True) -> None:
        """Write what is queued. If another task is writing, it takes ours along: wait for it, or not."""
        if self._flushing:
            if wait:
                self._flushed = self._flushed or trio.Event()
                await self._flushed.wait()
            return
        data = self.machine.data_to_send()
        if not data or self.stream.send_nowait(data):
            return
        self._flushing = True
        try:
            await self.stream.send_rest()
            while data := self.machine.data_to_send():
                await self.stream.send_all(data)
        finally:
            self._flushing = False
            if self._flushed is not None:
                self._flushed.set()
                self._flushed = None

    def flush_nowait(self) -> bool:
        """Write what is queued, if nobody is writing; False: it was not all taken, `flush` and the stream's `send_rest`."""
        if self._flushing:
            return False
        data = self.machine.data_to_send()
        return not data or self.stream.send_nowait(data)

    async def receive(self, first: bytes = b"") -> list[Event]:
        """The events of one read. The end of input is PeerClosed or what the machine makes of it."""
        data = first or await self.stream.receive_some()
        events = self.machine.receive(data)
        if len(events) > 1:
            events = join_neighbours(events)
        return events if data else [*events, PeerClosed()]


class ClusterLeg(Leg):
    """The API server's side. While it says nothing it is pinged: a silent session outlives its idle timeout, as it
    would without us. The deadlines of the pool see to that, so that a session has no task for it."""

    def __init__(self, connection: UpstreamConnection, machine: Machine) -> None:
        super().__init__(connection.stream, machine)
        self._connection = connection
        connection.wake_reader_in(KEEPALIVE_S)

    async def receive(self, first: bytes = b"") -> list[Event]:
        while True:
            try:
                return await super().receive(first)
            except trio.TooSlowError:
                self._connection.wake_reader_in(KEEPALIVE_S)
                self._ping()

    def _ping(self) -> None:
        """Without waiting for a cluster that takes nothing: it may be waiting for us to read. The rest goes with what is
        sent next."""
        self.machine.send(Ping())
        if not self._flushing:  # else the task that writes takes it along
            self.stream.send_nowait(self.machine.data_to_send())


class Lobby:
    """Keeps a client alive that waits for people: its pings are answered, what it sends is kept, in order.

    left: set when it closed its connection or broke the protocol. events: for whoever goes on with it.
    """

    def __init__(self, leg: Leg) -> None:
        self._leg = leg
        self.left = trio.Event()
        self.events: list[Event] = []
        self._size = 0

    async def flush(self) -> None:
        """Write what was said to the client while it waits."""
        try:
            await self._leg.flush()
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            self.left.set()

    async def run(self, first: bytes = b"") -> None:
        """Read until cancelled, full, or the client is gone. first: bytes that came with its request."""
        try:
            while self._size <= MAX_WAITING_BYTES:
                self.take(await self._leg.receive(first))
                first = b""
                await self._leg.flush(wait=False)
                if self.left.is_set():
                    return
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            self.left.set()

    def take(self, events: list[Event]) -> None:
        for event in events:
            if isinstance(event, Ping | Pong):
                continue  # answered by the machine
            if isinstance(event, Failed | PeerClosed | TunnelClosed):
                self.left.set()
            if isinstance(event, ChannelData):
                self._size += len(event.data)
            self.events.append(event)
