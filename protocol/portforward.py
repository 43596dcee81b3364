"""port-forward: forwarded TCP connections as channels, over three transports, both sides.

    SpdyPortForward            SPDY: an error and a data stream per connection, paired by `requestid`
    WebSocketTunnelPortForward the same SPDY bytes inside WebSocket messages (SPDY/3.1+portforward.k8s.io)
    LegacyWebSocketPortForward two channels per port of the query, one connection per port

Which ports are allowed is policy's business: over SPDY a port appears only in stream headers, here in
ChannelOpened. `connection` is the request id; over legacy WebSocket the index of the port.

The trap: in the tunnel, borders of messages mean nothing, and messages of 0 to 4 bytes are normal.
Sources: k8s.io/client-go/tools/portforward, k8s.io/kubelet/pkg/cri/streaming/portforward, KEP-4006.
"""

import re
from collections.abc import Sequence
from typing import Final

from protocol.errors import Flooding, LocalProtocolError, RemoteProtocolError
from protocol.events import (
    Channel,
    ChannelAccepted,
    ChannelData,
    ChannelEnded,
    ChannelOpened,
    Event,
    Failed,
    Headers,
    Machine,
    MessageChunk,
    TunnelClosed,
    WebSocketClosed,
)
from protocol.side import Side
from protocol.spdy_channels import SpdyChannels
from protocol.websocket import NO_STATUS, NORMAL_CLOSURE, PROTOCOL_ERROR, WebSocketConnection
from protocol.websocket_channels import MAX_SENT_DATA_BYTES, ChannelPiece, WebSocketChannels

MAX_CONNECTIONS: Final = 100
"""Most forwarded connections alive at a time, each of two streams; more are refused one by one."""

MAX_BAD_STREAMS: Final = 1000
"""Most streams with headers nobody understands, in the life of a connection."""

TUNNEL_PROTOCOL: Final = "SPDY/3.1+portforward.k8s.io"

LEGACY_PROTOCOLS: Final = frozenset(("", "v4.channel.k8s.io", "v4.base64.channel.k8s.io"))

MAX_LEGACY_PORTS: Final = 128
"""Two channels a port, 256 numbers in a byte."""

MAX_LEGACY_BASE64_PORTS: Final = 40
"""Two channels a port, and '0' + 79 is the last ASCII character: text messages are UTF-8."""

_CLIENT_WRITES: Final = frozenset((Channel.DATA,))
_SERVER_WRITES: Final = frozenset((Channel.DATA, Channel.FORWARD_ERROR))
_TYPES: Final = {b"error": Channel.FORWARD_ERROR, b"data": Channel.DATA}
_TYPE_OF_CHANNEL: Final = {channel: name for name, channel in _TYPES.items()}
_PORT: Final = re.compile(rb"[0-9]{1,5}")
_REQUEST_ID: Final = re.compile(rb"0|[1-9][0-9]{0,9}")  # canonical: "7" and "07" are two ids to the kubelet


class SpdyPortForward(SpdyChannels):
    """port-forward over SPDY; see `SpdyChannels`.

    ChannelOpened(FORWARD_ERROR) and ChannelOpened(DATA) with the same `connection` and port make a
    pair. A stream that fits no pair (type, port, request id, or taken) is reset; the others go on.
    Clients that send no request id open the error stream first and the data stream right after it:
    the id of the error stream stands for it.
    """

    def __init__(self, side: Side) -> None:
        super().__init__(side, _CLIENT_WRITES, _SERVER_WRITES, max_streams=2 * MAX_CONNECTIONS)
        self._bad_streams = 0

    def _parse_headers(self, stream_id: int, headers: Headers) -> ChannelOpened | None:
        opened = _parse_opened(stream_id, headers)
        if opened is not None and self._fits(opened):
            return opened
        self._bad_streams += 1
        if self._bad_streams > MAX_BAD_STREAMS:
            raise Flooding(f"port-forward: more than {MAX_BAD_STREAMS} streams with bad headers")
        return None

    def _fits(self, opened: ChannelOpened) -> bool:
        if (opened.channel, opened.connection) in self._by_channel:
            return False
        other = Channel.DATA if opened.channel is Channel.FORWARD_ERROR else Channel.FORWARD_ERROR
        partner = self._by_channel.get((other, opened.connection))
        # The kubelet dials the port of the data stream: the error stream must not claim another.
        return partner is None or partner.port == opened.port

    def _encode_headers(self, opened: ChannelOpened) -> Headers:
        if opened.channel not in _TYPE_OF_CHANNEL or not 0 < opened.port <= 0xFFFF or opened.connection < 0:
            raise LocalProtocolError(f"port-forward cannot open {opened.channel.name} to port {opened.port}")
        return (
            (b"streamtype", _TYPE_OF_CHANNEL[opened.channel]),
            (b"port", b"%d" % opened.port),
            (b"requestid", b"%d" % opened.connection),
        )


def _parse_opened(stream_id: int, headers: Headers) -> ChannelOpened | None:
    fields = dict(headers)
    if len(fields) != len(headers):
        return None  # several values for one name: two readers would disagree
    channel = _TYPES.get(fields.get(b"streamtype", b""))
    port = fields.get(b"port", b"")
    if channel is None or not _PORT.fullmatch(port) or not 0 < int(port) <= 0xFFFF:
        return None
    request_id = fields.get(b"requestid")
    if request_id is None:
        connection = stream_id if channel is Channel.FORWARD_ERROR else stream_id - 2
    elif _REQUEST_ID.fullmatch(request_id):
        connection = int(request_id)
    else:
        return None
    return ChannelOpened(channel, connection, int(port)) if 0 <= connection < 2**31 else None


class WebSocketTunnelPortForward:
    """port-forward over SPDY over WebSocket (contract and events: `SpdyPortForward`).

    Either goodbye of the peer, GOAWAY or Close, is one TunnelClosed; TunnelClosed sends both.
    websocket: another machine below, for tests.
    """

    def __init__(self, side: Side, *, websocket: Machine | None = None) -> None:
        self._websocket = websocket or WebSocketConnection(side)
        self._spdy = SpdyPortForward(side)
        self._has_failed = False
        self._is_closing = False  # a Close went or came: no more messages
        self._peer_left = False  # TunnelClosed was said

    def receive(self, data: bytes) -> list[Event]:
        """Take in bytes; b"" is the end of input. See `protocol.events.Machine`."""
        if self._has_failed:
            return []
        events: list[Event] = []
        for event in self._websocket.receive(data):
            self._translate(event, events)
            if events and isinstance(events[-1], Failed):
                self._close(PROTOCOL_ERROR, "")
                self._has_failed = True
                break
        return events

    def _translate(self, event: Event, events: list[Event]) -> None:
        match event:
            case MessageChunk():
                if event.text:
                    events.append(Failed(RemoteProtocolError("port-forward tunnel: a text message")))
                elif event.data:  # b"" would mean the end of input to the machine inside
                    inner = self._spdy.receive(event.data)
                    self._peer_left = self._peer_left or any(isinstance(one, TunnelClosed) for one in inner)
                    events += inner
            case WebSocketClosed():
                self._is_closing = True  # the answer is queued already
                if not self._peer_left:
                    self._peer_left = True
                    events.append(TunnelClosed(event.code, event.reason))
            case _:  # Ping, Pong, PeerClosed, Failed
                self._is_closing = self._is_closing or isinstance(event, Failed)
                events.append(event)

    def send(self, event: Event) -> None:
        """Queue an event. Raises LocalProtocolError for what cannot be said now."""
        if self._has_failed or self._is_closing:
            return
        self._spdy.send(event)
        if isinstance(event, TunnelClosed):
            self._close(NORMAL_CLOSURE if event.code == NO_STATUS else event.code, event.reason)

    def data_to_send(self) -> bytes:
        """Take what is queued; the SPDY bytes queued so far become as few messages as they fit in."""
        self._wrap()
        return self._websocket.data_to_send()

    def _wrap(self) -> None:
        queued = self._spdy.data_to_send()
        if self._is_closing:
            return  # an answer to something that came together with the Close
        for start in range(0, len(queued), MAX_SENT_DATA_BYTES):
            self._websocket.send(MessageChunk(queued[start : start + MAX_SENT_DATA_BYTES]))

    def _close(self, code: int, reason: str) -> None:
        self._wrap()
        if not self._is_closing:
            self._websocket.send(WebSocketClosed(code, reason))
            self._is_closing = True


class LegacyWebSocketPortForward(WebSocketChannels):
    """port-forward over WebSocket channels; see `WebSocketChannels`. No channel can be half-closed.

    Channel 2i carries the data of the i-th port of the query, 2i + 1 its errors. A server begins each
    with the port, 2 bytes little-endian: received, that is ChannelAccepted; sent, ChannelAccepted
    writes it, and ChannelData implies it.
    ports: of the query, in order, at most MAX_LEGACY_PORTS (MAX_LEGACY_BASE64_PORTS in the base64
    form). subprotocol: of LEGACY_PROTOCOLS. websocket: another machine below, for tests.
    """

    def __init__(
        self,
        side: Side,
        ports: Sequence[int],
        subprotocol: str = "v4.channel.k8s.io",
        *,
        websocket: Machine | None = None,
    ) -> None:
        if subprotocol not in LEGACY_PROTOCOLS:
            raise LocalProtocolError(f"{subprotocol!r} is no port-forward protocol over WebSocket")
        base64 = "base64" in subprotocol
        most = MAX_LEGACY_BASE64_PORTS if base64 else MAX_LEGACY_PORTS
        if not 0 < len(ports) <= most or not all(0 < port <= 0xFFFF for port in ports):
            raise LocalProtocolError(f"port-forward over WebSocket takes 1 to {most} ports of 1 to 65535")
        super().__init__(websocket or WebSocketConnection(side), base64=base64)
        self._side = side
        self._ports = tuple(ports)
        self._accepted: set[int] = set()  # channels whose port was said
        self._announcement = b""  # of a port, under way

    def _read_piece(self, piece: ChannelPiece, events: list[Event]) -> None:
        connection, is_error = divmod(piece.number, 2)
        if connection >= len(self._ports):
            raise RemoteProtocolError(f"port-forward: message for channel {piece.number}, which is unknown")
        channel = Channel.FORWARD_ERROR if is_error else Channel.DATA
        if self._side is Side.SERVER:
            if is_error and piece.data:
                raise RemoteProtocolError("port-forward: data on an error channel from the client")
            if is_error:
                return
        elif piece.number not in self._accepted:
            if self._read_announcement(piece, self._ports[connection]):
                self._accepted.add(piece.number)
                events.append(ChannelAccepted(channel, connection))
            return
        if piece.data or piece.first:
            events.append(ChannelData(channel, piece.data, connection))

    def _read_announcement(self, piece: ChannelPiece, port: int) -> bool:
        """Read the first message of a channel; whether it is complete. Messages without data may precede."""
        self._announcement = piece.data if piece.first else self._announcement + piece.data
        expected = port.to_bytes(2, "little")
        if not expected.startswith(self._announcement):
            raise RemoteProtocolError(f"port-forward: channel {piece.number} does not begin with its port")
        if not piece.last or not self._announcement:
            return False
        if self._announcement != expected:
            raise RemoteProtocolError(f"port-forward: channel {piece.number} begins with half a port")
        return True

    def _send_data(self, event: ChannelData) -> None:
        number = self._number(event.channel, event.connection)
        if self._side is Side.SERVER:
            self._announce(number)
        elif event.channel is Channel.FORWARD_ERROR:
            raise LocalProtocolError("data on FORWARD_ERROR, which the server writes")
        self._send_split(number, event.data)

    def _send_accepted(self, event: ChannelAccepted) -> None:
        if self._side is Side.SERVER:
            self._announce(self._number(event.channel, event.connection))

    def _send_ended(self, event: ChannelEnded) -> None:
        """This protocol has no half-close: a connection ends with the tunnel."""

    def _announce(self, number: int) -> None:
        if number not in self._accepted:
            self._accepted.add(number)
            self._send_message(number, self._ports[number // 2].to_bytes(2, "little"))

    def _number(self, channel: Channel, connection: int) -> int:
        is_known = channel in (Channel.DATA, Channel.FORWARD_ERROR)
        if not is_known or not 0 <= connection < len(self._ports):
            raise LocalProtocolError(
                f"no legacy port-forward channel: {channel.name} of connection {connection}"
            )
        return 2 * connection + (channel is Channel.FORWARD_ERROR)
