"""WebSocket messages as channels: what exec, attach and legacy port-forward have in common.

Byte 0 of a message is the number of a channel, the rest its data. In the base64 forms byte 0 is the
ASCII character '0' + number and the rest standard base64, in text messages. Which number is which
channel, and who may write on it, the subclasses say.

The traps: kube-apiserver takes every frame for a message, so whatever is sent is one whole frame with
the channel in front, and kubectl dies of an empty message, so none is ever sent. Pieces of a received
message cut base64 anywhere. Sources: k8s.io/apiserver/pkg/util/wsstream (k8s.io/streaming since),
k8s.io/client-go/tools/remotecommand/websocket.go.
"""

import binascii
from abc import ABC, abstractmethod
from typing import Final

import msgspec

from protocol.errors import Flooding, LocalProtocolError, RemoteProtocolError
from protocol.events import (
    ChannelAccepted,
    ChannelData,
    ChannelEnded,
    ChannelOpened,
    ChannelReset,
    Event,
    Failed,
    Machine,
    MessageChunk,
    Ping,
    TunnelClosed,
    WebSocketClosed,
)
from protocol.websocket import NO_STATUS, NORMAL_CLOSURE, PROTOCOL_ERROR

MAX_SENT_DATA_BYTES: Final = 64 * 1024
"""Longest data of one message we send; longer events are split. Servers take 32 MiB, but whole."""

MAX_IDLE_MESSAGES: Final = 100_000
"""Most messages without data in a row. Real servers send one per session."""

_ZERO: Final = ord("0")


class ChannelPiece(msgspec.Struct, frozen=True):
    """Part of a channel message, decoded. Empty only where a message ends, or has no data at all.

    A channel without borders between messages need not hear of one with neither data nor `first`. Of a message that
    is a channel byte alone it does: servers say "ready" with it.
    """

    number: int
    data: bytes
    first: bool  # no data of this message came before
    last: bool  # the message ends here


class ChannelMessageReader:
    """Message chunks to channel pieces. Dead after the first error."""

    def __init__(self, *, base64: bool) -> None:
        self._base64 = base64
        self._number: int | None = None  # of the message under way; None: its first byte is still to come
        self._undecoded = b""  # up to 3 characters of base64, waiting for the rest of their group
        self._is_padded = False  # base64 said that it ends
        self._has_data = False

    def read(self, chunk: MessageChunk) -> ChannelPiece | None:
        """Read one chunk; None: nothing to tell yet, or the message was empty.

        Raises RemoteProtocolError when it is not base64, or its channel no digit.
        """
        if chunk.first:
            self._number, self._undecoded, self._is_padded, self._has_data = None, b"", False, False
        data = chunk.data
        if self._number is None:
            if not data:
                return None
            self._number = data[0] - (_ZERO if self._base64 else 0)
            if self._number < 0:
                raise RemoteProtocolError(
                    "WebSocket channel: the first byte is no channel of the base64 form"
                )
            data = data[1:]
        if self._base64:
            data = self._decode(data, chunk.last)
        if not data and not chunk.last:
            return None
        piece = ChannelPiece(self._number, data, not self._has_data, chunk.last)
        self._has_data = True
        return piece

    def _decode(self, data: bytes, last: bool) -> bytes:
        # Go's decoder skips line ends, and a group of four may be cut anywhere.
        text = self._undecoded + data.translate(None, b"\r\n")
        if text and self._is_padded:
            raise RemoteProtocolError("WebSocket channel: base64 goes on after its padding")
        whole = len(text) - len(text) % 4
        self._undecoded = text[whole:]
        if last and self._undecoded:
            raise RemoteProtocolError("WebSocket channel: base64 ends inside a group of four")
        try:
            decoded = binascii.a2b_base64(text[:whole], strict_mode=True)
        except binascii.Error:
            raise RemoteProtocolError("WebSocket channel: not base64") from None
        self._is_padded = self._is_padded or text[:whole].endswith(b"=")
        return decoded


def encode_message(number: int, data: bytes, *, base64: bool) -> MessageChunk:
    """Encode one whole message; never empty, for byte 0 is always there."""
    if base64:
        return MessageChunk(bytes((_ZERO + number,)) + binascii.b2a_base64(data, newline=False), text=True)
    return MessageChunk(bytes((number,)) + data)


class WebSocketChannels(ABC):
    """Channels over the messages of one WebSocket (contract: `protocol.events.Machine`).

    Received: ChannelData, TunnelClosed (Close), Ping, Pong, PeerClosed, Failed, and what subclasses add.
    Sent: ChannelData, TunnelClosed, Ping, and what subclasses add. ChannelOpened, ChannelReset and
    whatever else this transport cannot express are void; so is everything after TunnelClosed, ours
    or the peer's, and after `Failed`.

    websocket: the machine below; it answers pings and Closes by itself.
    """

    def __init__(self, websocket: Machine, *, base64: bool) -> None:
        self._websocket = websocket
        self.data_to_send: Final = websocket.data_to_send  # asked twice a read: no layer between
        self._base64 = base64
        self._reader = ChannelMessageReader(base64=base64)
        self._idle_messages = 0  # in a row
        self._has_failed = False
        self._is_closing = False

    @abstractmethod
    def _read_piece(self, piece: ChannelPiece, events: list[Event]) -> None:
        """Append what a piece means. Raises RemoteProtocolError."""

    @abstractmethod
    def _send_data(self, event: ChannelData) -> None:
        """Queue the messages of this event. Raises LocalProtocolError when it is not ours to write."""

    @abstractmethod
    def _send_accepted(self, event: ChannelAccepted) -> None:
        """Queue what says so, if anything does."""

    @abstractmethod
    def _send_ended(self, event: ChannelEnded) -> None:
        """Queue what half-closes a channel, if anything does."""

    # --- receiving --------------------------------------------------------------------------

    def receive(self, data: bytes) -> list[Event]:
        """Take in bytes; b"" is the end of input. See `protocol.events.Machine`."""
        if self._has_failed:
            return []
        events: list[Event] = []
        for event in self._websocket.receive(data):
            try:
                self._translate(event, events)
            except RemoteProtocolError as error:
                self._close(PROTOCOL_ERROR, "")
                events.append(Failed(error))
            if events and isinstance(events[-1], Failed):
                self._has_failed = True
                break
        return events

    def _translate(self, event: Event, events: list[Event]) -> None:
        match event:
            case MessageChunk():
                piece = self._reader.read(event)
                if piece is not None:
                    if piece.data or not piece.first:
                        self._idle_messages = 0
                    else:
                        self._count_idle_message()
                    self._read_piece(piece, events)
                elif event.last:
                    self._count_idle_message()
            case WebSocketClosed():
                self._is_closing = True  # the answer is queued already
                events.append(TunnelClosed(event.code, event.reason))
            case _:  # Ping, Pong, PeerClosed, Failed
                events.append(event)

    def _count_idle_message(self) -> None:
        self._idle_messages += 1
        if self._idle_messages > MAX_IDLE_MESSAGES:
            raise Flooding(f"WebSocket channels: more than {MAX_IDLE_MESSAGES} messages without data")

    # --- sending ----------------------------------------------------------------------------

    def send(self, event: Event) -> None:
        """Queue an event (see the class). Raises LocalProtocolError for what cannot be said now."""
        if self._has_failed or self._is_closing:
            return
        match event:
            case ChannelData():
                self._send_data(event)
            case ChannelEnded():
                self._send_ended(event)
            case ChannelAccepted():
                self._send_accepted(event)
            case ChannelOpened() | ChannelReset():
                pass
            case TunnelClosed():
                # To client-go a Close without a code is an error, with 1000 it is the end.
                self._close(NORMAL_CLOSURE if event.code == NO_STATUS else event.code, event.reason)
            case Ping():
                self._websocket.send(event)
            case _:
                raise LocalProtocolError(f"no channel protocol can say {type(event).__name__}")

    def _send_message(self, number: int, data: bytes) -> None:
        self._websocket.send(encode_message(number, data, base64=self._base64))

    def _send_split(self, number: int, data: bytes) -> None:
        for start in range(0, len(data) or 1, MAX_SENT_DATA_BYTES):
            piece = data[start : start + MAX_SENT_DATA_BYTES]
            self._websocket.send(encode_message(number, piece, base64=self._base64))

    def _close(self, code: int, reason: str) -> None:
        if not self._is_closing:
            self._websocket.send(WebSocketClosed(code, reason))
            self._is_closing = True
