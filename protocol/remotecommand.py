"""exec and attach: stdin, stdout, stderr, error and resize, over SPDY or WebSocket, v1 to v5.

Bytes of an upgraded connection to channel events and back, both sides. What the bytes on RESIZE and
ERROR mean is read in `remotecommand_messages`; what may be typed or shown is policy's business.

    meaning        SPDY                    WebSocket v5    WebSocket v4 and older
    stdin bytes    DATA on `stdin`         00 ...          00 ...
    stdin end      FIN on `stdin`          ff 00           cannot be said
    output         DATA on `stdout`        01 ...          01 ...
    size           DATA on `resize`        04 {json}       04 {json}
    result         DATA on `error`         03 {json}       03 {json}, or text before v4
    server done    FIN, RST, GOAWAY        Close 1000      Close 1000

The trap: over WebSocket the JSON of a result or a size must stay one message, so those two channels
are reassembled whole, while output never is. Sources: k8s.io/client-go/tools/remotecommand,
k8s.io/kubelet/pkg/cri/streaming/remotecommand, KEP-4006 (v5).
"""

from typing import Final

from protocol.errors import LocalProtocolError, RemoteProtocolError, TooLarge
from protocol.events import (
    Channel,
    ChannelAccepted,
    ChannelData,
    ChannelEnded,
    ChannelOpened,
    Event,
    Headers,
    Machine,
)
from protocol.remotecommand_messages import parse_version
from protocol.side import Side
from protocol.spdy_channels import SpdyChannels
from protocol.websocket import WebSocketConnection
from protocol.websocket_channels import ChannelPiece, WebSocketChannels

STREAM_TYPE: Final = b"streamtype"

CLIENT_WRITES: Final = frozenset((Channel.STDIN, Channel.RESIZE))
SERVER_WRITES: Final = frozenset((Channel.STDOUT, Channel.STDERR, Channel.ERROR))

MAX_WHOLE_BYTES: Final = 64 * 1024
"""Longest message on ERROR and RESIZE, which are reassembled. A Status is some 300 bytes."""

CLOSE_SIGNAL: Final = 255
"""The channel number that says, in v5, which channel ends: `ff 00` is the end of stdin."""

SPDY_PROTOCOLS: Final = frozenset(
    ("", "channel.k8s.io", "v2.channel.k8s.io", "v3.channel.k8s.io", "v4.channel.k8s.io", "v5.channel.k8s.io")
)
"""What may be negotiated over SPDY; kubelets stop at v4."""

WEBSOCKET_PROTOCOLS: Final = frozenset(
    (
        "",
        "channel.k8s.io",
        "base64.channel.k8s.io",
        "v4.channel.k8s.io",
        "v4.base64.channel.k8s.io",
        "v5.channel.k8s.io",
    )
)
"""What servers speak over WebSocket; "" is a client that offered nothing, and means `channel.k8s.io`."""

_WHOLE: Final = frozenset((Channel.ERROR, Channel.RESIZE))
_CHANNELS: Final = frozenset(Channel(number) for number in range(5))
_CHANNEL_OF_NUMBER: Final = {int(channel): channel for channel in _CHANNELS}
_CHANNEL_OF_TYPE: Final = {channel.name.lower().encode(): channel for channel in _CHANNELS}


class SpdyRemoteCommand(SpdyChannels):
    """exec or attach over SPDY; see `SpdyChannels`. Each channel is opened at most once.

    protocol: the negotiated one, of SPDY_PROTOCOLS; RESIZE exists from v3 on.
    A stream whose type is missing, unknown or taken is reset, and the connection failed.
    """

    def __init__(self, side: Side, protocol: str = "v4.channel.k8s.io") -> None:
        if protocol not in SPDY_PROTOCOLS:
            raise LocalProtocolError(f"{protocol!r} is no remote command protocol over SPDY")
        # One more than there are types, so that a stream too many is read, and named in the error.
        super().__init__(side, CLIENT_WRITES, SERVER_WRITES, max_streams=len(_CHANNELS) + 1)
        self._channels = _CHANNELS if parse_version(protocol) >= 3 else _CHANNELS - {Channel.RESIZE}
        self._opened: set[Channel] = set()  # ever

    def _parse_headers(self, stream_id: int, headers: Headers) -> ChannelOpened:
        types = [value for name, value in headers if name == STREAM_TYPE]
        channel = _CHANNEL_OF_TYPE.get(types[0]) if len(types) == 1 else None
        if channel is None or channel not in self._channels:
            raise RemoteProtocolError(f"exec stream {stream_id}: streamtype is missing or unknown")
        if channel in self._opened:
            raise RemoteProtocolError(f"exec stream {stream_id}: {channel.name} was opened before")
        self._opened.add(channel)
        return ChannelOpened(channel)

    def _encode_headers(self, opened: ChannelOpened) -> Headers:
        if opened.channel not in self._channels or opened.channel in self._opened:
            raise LocalProtocolError(f"{opened.channel.name} cannot be opened (again)")
        self._opened.add(opened.channel)
        return ((STREAM_TYPE, opened.channel.name.lower().encode()),)


class WebSocketRemoteCommand(WebSocketChannels):
    """exec or attach over WebSocket; see `WebSocketChannels`. All five channels exist from the start.

    Received too: ChannelEnded, for the close signal of v5 (from clients only). Sent too: ChannelEnded,
    on the client side of v5; elsewhere it cannot be said and is void. ChannelAccepted is void.
    subprotocol: the negotiated one, of WEBSOCKET_PROTOCOLS. websocket: another machine below, for tests.
    """

    def __init__(self, side: Side, subprotocol: str, *, websocket: Machine | None = None) -> None:
        if subprotocol not in WEBSOCKET_PROTOCOLS:
            raise LocalProtocolError(f"{subprotocol!r} is no remote command protocol over WebSocket")
        super().__init__(websocket or WebSocketConnection(side), base64="base64" in subprotocol)
        facing_client = side is Side.SERVER
        self._peer_writes = CLIENT_WRITES if facing_client else SERVER_WRITES
        self._we_write = SERVER_WRITES if facing_client else CLIENT_WRITES
        has_close_signal = parse_version(subprotocol) >= 5
        self._reads_close_signal = has_close_signal and facing_client
        self._sends_close_signal = has_close_signal and not facing_client
        self._whole = bytearray()  # message under way on RESIZE or ERROR, or a close signal
        self._ended_by_peer: set[Channel] = set()
        self._ended_by_us: set[Channel] = set()

    # --- receiving --------------------------------------------------------------------------

    def _read_piece(self, piece: ChannelPiece, events: list[Event]) -> None:
        if piece.number == CLOSE_SIGNAL and self._reads_close_signal:
            signal = self._assemble(piece, 1)
            if signal is not None:
                self._read_close_signal(signal, events)
            return
        channel = _CHANNEL_OF_NUMBER.get(piece.number)
        if channel is None:
            raise RemoteProtocolError(f"exec: WebSocket message for channel {piece.number}, which is unknown")
        if channel not in self._peer_writes:
            if piece.data:
                raise RemoteProtocolError(f"exec: data on {channel.name} from the side that only reads it")
            return
        if channel in self._ended_by_peer and piece.data:
            raise RemoteProtocolError(f"exec: data on {channel.name} after its end")
        if channel in _WHOLE:
            message = self._assemble(piece, MAX_WHOLE_BYTES)
            if message is not None:
                events.append(ChannelData(channel, message))
        elif piece.data or piece.first:
            events.append(ChannelData(channel, piece.data))

    def _assemble(self, piece: ChannelPiece, limit: int) -> bytes | None:
        """Collect a message; whole at its last piece, else None."""
        if piece.first:
            self._whole.clear()
        if len(self._whole) + len(piece.data) > limit:
            raise TooLarge(f"exec: message on channel {piece.number} above {limit} bytes")
        self._whole += piece.data
        return bytes(self._whole) if piece.last else None

    def _read_close_signal(self, signal: bytes, events: list[Event]) -> None:
        if len(signal) != 1 or signal[0] not in _CHANNELS:
            raise RemoteProtocolError("exec: close signal that names no channel")
        channel = Channel(signal[0])
        if channel not in self._ended_by_peer:
            self._ended_by_peer.add(channel)
            events.append(ChannelEnded(channel))

    # --- sending ----------------------------------------------------------------------------

    def _send_data(self, event: ChannelData) -> None:
        if event.channel not in self._we_write:
            raise LocalProtocolError(f"data on {event.channel.name}, which the other side writes")
        if event.channel in self._ended_by_us:
            return
        if event.channel in _WHOLE:
            self._send_message(event.channel, event.data)
        else:
            self._send_split(event.channel, event.data)

    def _send_ended(self, event: ChannelEnded) -> None:
        # Only what the client writes has an end that a server could use.
        if self._sends_close_signal and event.channel in self._we_write - self._ended_by_us:
            self._send_message(CLOSE_SIGNAL, bytes((event.channel,)))
            self._ended_by_us.add(event.channel)

    def _send_accepted(self, event: ChannelAccepted) -> None:
        """Channels exist from the start: there is nothing to accept."""
