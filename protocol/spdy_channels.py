"""SPDY streams as channels: what `remotecommand` and `portforward` have in common over SPDY.

Translates stream events to channel events and back, and keeps which stream is which channel. Which
headers make which channel, and which side may write on it, its subclasses say. Streams get their ids
in the order in which channels are opened, so both legs of a relay use the same ids.

The trap: a channel can be reset by one leg, or the tunnel ended by us, while the other leg still
writes. So what is sent on a channel that is not open goes nowhere, instead of being an error.
Source: k8s.io/apimachinery/pkg/util/httpstream/spdy.
"""

from abc import ABC, abstractmethod
from typing import Final

from protocol.errors import LocalProtocolError, RemoteProtocolError
from protocol.events import (
    Channel,
    ChannelAccepted,
    ChannelData,
    ChannelEnded,
    ChannelOpened,
    ChannelReset,
    Event,
    Failed,
    Headers,
    Ping,
    SpdyData,
    SpdyGoAway,
    SpdyReset,
    SpdyStreamOpened,
    SpdyStreamReplied,
    TunnelClosed,
)
from protocol.side import Side
from protocol.spdy import PROTOCOL_ERROR, SpdyConnection

NORMAL_CLOSURE: Final = 1000  # WebSocket close codes (RFC 6455, section 7.4.1), which TunnelClosed uses
GOING_AWAY: Final = 1001
NO_STATUS: Final = 1005
INTERNAL_ERROR: Final = 1011

_PEACEFUL: Final = frozenset((NORMAL_CLOSURE, GOING_AWAY, NO_STATUS))
_GOAWAY_INTERNAL_ERROR: Final = 2


class _Stream:
    """What we know of one live stream."""

    __slots__ = ("channel", "connection", "ended_by_peer", "ended_by_us", "is_accepted", "port", "stream_id")

    def __init__(self, stream_id: int, opened: ChannelOpened, is_accepted: bool) -> None:
        self.stream_id = stream_id
        self.channel = opened.channel
        self.connection = opened.connection
        self.port = opened.port
        self.is_accepted = is_accepted  # SYN_REPLY went, or need not go: the stream is ours
        self.ended_by_peer = False
        self.ended_by_us = False


class SpdyChannels(ABC):
    """Channels over one SPDY connection (contract: `protocol.events.Machine`).

    Received: ChannelOpened (server side), ChannelAccepted (client side), ChannelData, ChannelEnded,
    ChannelReset, TunnelClosed (GOAWAY), Ping, Pong, PeerClosed, Failed.
    Sent: the same and Ping. Data on a channel that the client opened implies its ChannelAccepted.
    Void are a second ChannelAccepted or ChannelEnded, whatever is sent on a channel that is not open
    in our direction, and everything after TunnelClosed or `Failed`.

    client_writes, server_writes: the channels on which each side may send data.
    """

    def __init__(
        self,
        side: Side,
        client_writes: frozenset[Channel],
        server_writes: frozenset[Channel],
        max_streams: int,
    ) -> None:
        self._side = side
        self._spdy = SpdyConnection(side, max_streams=max_streams)
        self.data_to_send: Final = self._spdy.data_to_send  # asked twice a read: no layer between
        facing_client = side is Side.SERVER
        self._peer_writes = client_writes if facing_client else server_writes
        self._we_write = server_writes if facing_client else client_writes
        self._by_id: dict[int, _Stream] = {}
        self._by_channel: dict[tuple[Channel, int], _Stream] = {}
        self._has_failed = False
        self._said_goodbye = False

    @abstractmethod
    def _parse_headers(self, stream_id: int, headers: Headers) -> ChannelOpened | None:
        """Read which channel a new stream is; None: reset the stream and go on without it.

        Raises RemoteProtocolError when the connection cannot go on.
        """

    @abstractmethod
    def _encode_headers(self, opened: ChannelOpened) -> Headers:
        """Write the headers that open this channel. Raises LocalProtocolError if none do."""

    # --- receiving --------------------------------------------------------------------------

    def receive(self, data: bytes) -> list[Event]:
        """Take in bytes; b"" is the end of input. See `protocol.events.Machine`."""
        if self._has_failed:
            return []
        events: list[Event] = []
        for event in self._spdy.read(data):
            try:
                self._translate(event, events)
            except RemoteProtocolError as error:
                self._spdy.send(SpdyGoAway(self._spdy.last_stream_id, PROTOCOL_ERROR))
                events.append(Failed(error))
            if events and isinstance(events[-1], Failed):
                self._has_failed = True
                break
        return events

    def _translate(self, event: Event, events: list[Event]) -> None:
        """Append what an event of the streams says of channels."""
        match event:
            case SpdyData():
                self._read_data(event, events)
            case SpdyStreamOpened():
                self._read_opened(event, events)
            case SpdyStreamReplied():
                stream = self._by_id[event.stream_id]
                events.append(ChannelAccepted(stream.channel, stream.connection))
                if event.fin:
                    events.append(self._end_by_peer(stream))
            case SpdyReset():
                stream = self._by_id[event.stream_id]
                self._forget(stream)
                events.append(ChannelReset(stream.channel, stream.connection, event.code))
            case SpdyGoAway():
                events.append(TunnelClosed(INTERNAL_ERROR if event.code else NORMAL_CLOSURE))
            case _:  # Ping, Pong, PeerClosed, Failed
                events.append(event)

    def _read_opened(self, event: SpdyStreamOpened, events: list[Event]) -> None:
        try:
            opened = self._parse_headers(event.stream_id, event.headers)
        except RemoteProtocolError:
            self._spdy.send(SpdyReset(event.stream_id, PROTOCOL_ERROR))
            raise
        if opened is None:
            self._spdy.send(SpdyReset(event.stream_id, PROTOCOL_ERROR))
            return
        stream = self._remember(event.stream_id, opened, is_accepted=False)
        events.append(opened)
        if event.fin:
            events.append(self._end_by_peer(stream))

    def _read_data(self, event: SpdyData, events: list[Event]) -> None:
        stream = self._by_id[event.stream_id]
        if event.data:
            if stream.channel not in self._peer_writes:
                raise RemoteProtocolError(f"data on {stream.channel.name} from the side that only reads it")
            events.append(ChannelData(stream.channel, event.data, stream.connection))
        if event.fin:
            events.append(self._end_by_peer(stream))

    def _end_by_peer(self, stream: _Stream) -> ChannelEnded:
        stream.ended_by_peer = True
        if stream.ended_by_us:
            self._forget(stream)
        return ChannelEnded(stream.channel, stream.connection)

    # --- sending ----------------------------------------------------------------------------

    def send(self, event: Event) -> None:
        """Queue an event (see the class). Raises LocalProtocolError for what cannot be said now."""
        if self._has_failed or self._said_goodbye:
            return
        match event:
            case ChannelData():
                if event.channel not in self._we_write and event.data:
                    raise LocalProtocolError(f"data on {event.channel.name}, which the other side writes")
                if event.data and (stream := self._find_writable(event.channel, event.connection)):
                    self._spdy.send(SpdyData(stream.stream_id, event.data))
            case ChannelEnded():
                if stream := self._find_writable(event.channel, event.connection):
                    self._spdy.send(SpdyData(stream.stream_id, b"", True))
                    stream.ended_by_us = True
                    if stream.ended_by_peer:
                        self._forget(stream)
            case ChannelOpened():
                self._open(event)
            case ChannelAccepted():
                self._find_writable(event.channel, event.connection)
            case ChannelReset():
                if stream := self._by_channel.get((event.channel, event.connection)):
                    self._spdy.send(SpdyReset(stream.stream_id, event.code))
                    self._forget(stream)
            case TunnelClosed():
                code = 0 if event.code in _PEACEFUL else _GOAWAY_INTERNAL_ERROR
                # Servers open no streams, so there is none a client could name.
                last = self._spdy.last_stream_id if self._side is Side.SERVER else 0
                self._spdy.send(SpdyGoAway(last, code))
                self._said_goodbye = True
            case Ping():
                self._spdy.send(event)
            case _:
                raise LocalProtocolError(f"no channel protocol can say {type(event).__name__}")

    def _open(self, opened: ChannelOpened) -> None:
        if (opened.channel, opened.connection) in self._by_channel:
            raise LocalProtocolError(f"{opened.channel.name} of connection {opened.connection} is open")
        stream_id = self._spdy.next_stream_id
        self._spdy.send(SpdyStreamOpened(stream_id, self._encode_headers(opened)))
        self._remember(stream_id, opened, is_accepted=True)

    def _find_writable(self, channel: Channel, connection: int) -> _Stream | None:
        """Find the stream to write on, replying to it first if nobody did: a client drops data before."""
        stream = self._by_channel.get((channel, connection))
        if stream is None or stream.ended_by_us:
            return None
        if not stream.is_accepted:
            self._spdy.send(SpdyStreamReplied(stream.stream_id))
            stream.is_accepted = True
        return stream

    # --- which stream is which channel ------------------------------------------------------

    def _remember(self, stream_id: int, opened: ChannelOpened, *, is_accepted: bool) -> _Stream:
        stream = _Stream(stream_id, opened, is_accepted)
        self._by_id[stream_id] = stream
        self._by_channel[opened.channel, opened.connection] = stream
        return stream

    def _forget(self, stream: _Stream) -> None:
        del self._by_id[stream.stream_id]
        del self._by_channel[stream.channel, stream.connection]
