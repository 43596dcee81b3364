"""What happens in a tunnel -> records: every byte of every channel, and what sizes and exit codes mean."""

from collections.abc import Iterator
from typing import Final

from gateway.policy.model import Scope
from gateway.tape import Tape
from protocol.apicall import Call
from protocol.events import (
    Channel,
    ChannelAccepted,
    ChannelData,
    ChannelEnded,
    ChannelOpened,
    ChannelReset,
    Event,
    TunnelClosed,
)
from protocol.remotecommand_messages import ExitStatus, ExitStatusReader, ResizeReader, parse_version
from storage.records import (
    MAX_DATA_BYTES,
    ChannelChanged,
    ChannelChunk,
    Exited,
    Resized,
    TunnelEnded,
    TunnelStarted,
)

_CHANGES = {
    ChannelOpened: "opened",
    ChannelAccepted: "accepted",
    ChannelEnded: "ended",
    ChannelReset: "reset",
}
_CHANGED: Final = (ChannelOpened, ChannelAccepted, ChannelEnded, ChannelReset)
_OVER: Final = (ChannelEnded, ChannelReset)


class TunnelRecord:
    """Writes the records of one tunnel and knows whether its result has been seen.

    concluded: the cluster said how it ended. (A port-forward says nothing: its connections just end.)
    must_be_durable: the result is among the last records: it goes down only when they are durable.
    """

    def __init__(self, tape: Tape, call: Call, transport: str, protocol: str) -> None:
        self._tape = tape
        self._transport, self._protocol = transport, protocol
        self.kind = call.stream_kind
        self.tty = call.tty
        self._sizes = ResizeReader()
        is_command = self.kind != "portforward"
        self._exit = ExitStatusReader(protocol) if is_command else None
        self._says_success = is_command and parse_version(protocol) >= 4
        self._connections: set[int] = set()  # port-forward: opened and not over
        self.concluded = False
        self._exited = False
        self.must_be_durable = False
        self._closed: TunnelClosed | None = None

    @property
    def has_channels_from_the_start(self) -> bool:
        """Over WebSocket nobody opens channels."""
        return self._transport == "websocket"

    def started(self) -> None:
        tape = self._tape
        tape.append(
            TunnelStarted(tape.exchange, tape.at_us(), self.kind, self._transport, self._protocol, self.tty)
        )

    def carried(self, event: Event, *, from_client: bool) -> None:
        """This event is about to be sent on."""
        if isinstance(event, ChannelData):
            self._data(event, from_client)
        elif isinstance(event, _CHANGED):
            self._changed(event, from_client)
        elif isinstance(event, TunnelClosed):
            self._closed = event
            if not from_client:
                self._conclude()
                self.concluded = True

    def open_connections(self) -> tuple[int, ...]:
        """Port-forward: the forwarded connections under way."""
        return tuple(self._connections)

    def ended(self, *, by: str, why: str) -> None:
        """The tunnel is over."""
        self._conclude()
        code, reason = (self._closed.code, self._closed.reason) if self._closed else (0, "")
        self._tape.append(TunnelEnded(self._tape.exchange, self._tape.at_us(), by, code, why or reason))

    def _data(self, event: ChannelData, from_client: bool) -> None:
        tape, data, channel = self._tape, event.data, event.channel
        at_us = tape.at_us()
        is_result = channel is Channel.ERROR and not from_client
        if tape.scope is Scope.FULL or is_result:
            for piece in (data,) if len(data) <= MAX_DATA_BYTES else _pieces(data):
                chunk = ChannelChunk(tape.exchange, at_us, channel, from_client, piece, event.connection)
                tape.append(chunk, urgent=is_result)
        if from_client:
            tape.request_bytes += len(data)
        else:
            tape.response_bytes += len(data)
        if channel is Channel.RESIZE:
            for columns, rows in self._sizes.feed(data):
                tape.append(Resized(tape.exchange, at_us, columns, rows))
        elif is_result and self._exit is not None:
            is_first = self._exit.is_empty
            self._exit.feed(data)
            self.must_be_durable = True
            # A result is one whole message over WebSocket, and in fact over SPDY. Read now, it is durable with its bytes.
            if data and (self._transport == "websocket" or (is_first and self._exit.is_whole())):
                self._conclude()

    def _changed(
        self, event: ChannelOpened | ChannelAccepted | ChannelEnded | ChannelReset, from_client: bool
    ) -> None:
        tape = self._tape
        tape.append(
            ChannelChanged(
                exchange=tape.exchange,
                at_us=tape.at_us(),
                what=_CHANGES[type(event)],
                channel=event.channel,
                from_client=from_client,
                connection=event.connection,
                port=event.port if isinstance(event, ChannelOpened) else 0,
                code=event.code if isinstance(event, ChannelReset) else 0,
            )
        )
        is_over = isinstance(event, _OVER)
        if isinstance(event, ChannelOpened) and event.channel is Channel.DATA:
            self._connections.add(event.connection)
        elif is_over and event.channel is Channel.DATA and not from_client:
            self._connections.discard(event.connection)
        elif is_over and event.channel is Channel.ERROR and not from_client:
            self.concluded = True
            self._conclude()

    def _conclude(self) -> None:
        """Record the result, once, if the cluster said one; before v4 silence at the end is success."""
        if self._exit is None or self._exited:
            return
        status = self._exit.read()
        if status is None and self.concluded and not self._says_success:
            status = ExitStatus(0)
        if status is None:
            return
        self.concluded = self.must_be_durable = self._exited = True
        tape = self._tape
        tape.exit_code = status.exit_code
        tape.append(Exited(tape.exchange, tape.at_us(), status.exit_code, status.message), urgent=True)


def _pieces(data: bytes) -> Iterator[bytes]:
    """As one record each may hold."""
    for start in range(0, len(data), MAX_DATA_BYTES):
        yield data[start : start + MAX_DATA_BYTES]
