"""WebSocket connections after the handshake, both sides: RFC 6455 messages, pings and the closing handshake.

Translates bytes to message chunks and back. Messages are never put together: a chunk is passed on as it
arrives, and each chunk sent is one frame. Pings and Closes are answered here. Does not do the handshake
(`upgrade`), compression, or anything with what messages say (`websocket_channels`).

    closing handshake    OPEN --we send Close--> CLOSING --the peer's Close--> CLOSED
                         OPEN --the peer's Close, answered at once--> CLOSED
                         OPEN, CLOSING --the peer breaks the protocol, we tell it by a Close--> CLOSED

The trap: frames that carry nothing (pings, empty fragments) cost work and no bandwidth. There is no clock
here, so they are counted since data last flowed, in either direction.
Source: RFC 6455 sections 5 to 8; close codes also from the IANA WebSocket registry.
"""

from codecs import getincrementaldecoder
from collections.abc import Callable
from enum import Enum, auto
from typing import Final

from protocol.errors import Flooding, LocalProtocolError, RemoteProtocolError, TooLarge
from protocol.events import Event, Failed, MessageChunk, PeerClosed, Ping, Pong, WebSocketClosed
from protocol.side import Side
from protocol.websocket_frames import (
    MAX_CONTROL_BYTES,
    FramePiece,
    FrameReader,
    Opcode,
    encode_frame_head,
)
from protocol.websocket_masks import MASK_BYTES, apply_mask, random_masks

MAX_FRAME_BYTES: Final = 32 * 1024 * 1024
"""As kube-apiserver; announced, not allocated."""

MAX_IDLE_FRAMES: Final = 16_384
"""Frames without payload, pings and pongs since data last flowed. client-go pings every 5 s, and servers end a
session after 4 h without data: that makes 2880, and this leaves room for a ping per second."""

NORMAL_CLOSURE: Final = 1000
PROTOCOL_ERROR: Final = 1002
NO_STATUS: Final = 1005
INVALID_TEXT: Final = 1007
POLICY_VIOLATION: Final = 1008
MESSAGE_TOO_BIG: Final = 1009

_MAX_REASON_BYTES: Final = MAX_CONTROL_BYTES - 2
# 1004 is undefined; 1005, 1006 and 1015 describe what never is on the wire.
_CLOSE_CODES: Final = frozenset((*range(1000, 1004), *range(1007, 1015), *range(3000, 5000)))

_new_text_decoder: Final = getincrementaldecoder("utf-8")


class InvalidText(RemoteProtocolError):
    """A text message or a close reason is not UTF-8."""


class Closing(Enum):
    """How far the closing handshake got."""

    OPEN = auto()
    CLOSING = auto()
    CLOSED = auto()


class _Step(Enum):
    CLOSE_SENT = auto()
    CLOSE_RECEIVED = auto()
    FAILED = auto()


_STEPS: Final = {
    (Closing.OPEN, _Step.CLOSE_SENT): Closing.CLOSING,
    (Closing.OPEN, _Step.CLOSE_RECEIVED): Closing.CLOSED,
    (Closing.OPEN, _Step.FAILED): Closing.CLOSED,
    (Closing.CLOSING, _Step.CLOSE_RECEIVED): Closing.CLOSED,
    (Closing.CLOSING, _Step.FAILED): Closing.CLOSED,
}


class WebSocketConnection:
    """One WebSocket (contract: `protocol.events.Machine`).

    Received: MessageChunk, Ping (answered already), Pong, WebSocketClosed (answered already), PeerClosed
    (end of input without a Close), Failed (a Close with the right code is queued). After the last three
    nothing more is read.
    Sent: MessageChunk (one frame each), Ping, WebSocketClosed. Once the peer closed or failed, what is
    sent goes nowhere; after a Close of ours it is a LocalProtocolError.
    """

    def __init__(
        self,
        side: Side,
        *,
        max_frame_bytes: int = MAX_FRAME_BYTES,
        mask_source: Callable[[], bytes] | None = None,
    ) -> None:
        """side: CLIENT masks what it sends. mask_source: gives 4 bytes, for every frame anew; default: `random_masks`."""
        self._side = side
        self._mask_source = mask_source or random_masks().__next__
        self._reader = FrameReader(side, max_frame_bytes)
        self._closing = Closing.OPEN
        self._is_input_over = False
        self._queued: list[bytes] = []
        self._idle_frames = 0
        self._receiving: Opcode | None = None  # type of the message being received
        self._is_first = True  # no chunk of it was passed on yet
        self._is_inside_frame = False  # some payload of a data frame is still to come
        self._text = _new_text_decoder()
        self._sending: Opcode | None = None  # type of the message being sent

    @property
    def closing(self) -> Closing:
        return self._closing

    # --- receiving --------------------------------------------------------------------------

    def receive(self, data: bytes) -> list[Event]:
        """Take in bytes; b"" is the end of input. See `protocol.events.Machine`."""
        events: list[Event] = []
        if self._is_input_over:
            return events
        try:
            if not data:
                self._end_input(events)
                return events
            for piece in self._reader.read(data):
                if piece.opcode < Opcode.CLOSE:
                    self._read_data(piece, events)
                else:
                    self._read_control(piece, events)
                if self._is_input_over:
                    break
        except RemoteProtocolError as error:
            self._fail(error)
            events.append(Failed(error))
        return events

    def _end_input(self, events: list[Event]) -> None:
        self._is_input_over = True
        if self._receiving is not None or not self._reader.is_between_frames:
            raise RemoteProtocolError("WebSocket: the connection ended inside a message")
        events.append(PeerClosed())

    def _fail(self, error: RemoteProtocolError) -> None:
        if self._closing is Closing.OPEN and not self._is_input_over:
            self._queue(Opcode.CLOSE, _close_code(error).to_bytes(2, "big"))
        self._is_input_over = True
        self._closing = _STEPS[self._closing, _Step.FAILED]

    def _read_control(self, piece: FramePiece, events: list[Event]) -> None:
        self._count_idle_frame()
        if piece.opcode is Opcode.CLOSE:
            self._read_close(piece.data, events)
        elif piece.opcode is Opcode.PING:
            if self._closing is Closing.OPEN:
                self._queue(Opcode.PONG, piece.data)
            events.append(Ping(piece.data))
        else:
            events.append(Pong(piece.data))

    def _read_data(self, piece: FramePiece, events: list[Event]) -> None:
        data = piece.data
        if not self._is_inside_frame:
            is_continuation = piece.opcode is Opcode.CONTINUATION
            if is_continuation is (self._receiving is None):
                raise _out_of_order(is_continuation)
            if not is_continuation:
                self._receiving, self._is_first = piece.opcode, True
        self._is_inside_frame = not piece.ends
        if data:
            self._idle_frames = 0
        else:
            self._count_idle_frame()
        last = piece.fin and piece.ends
        is_text = self._receiving is Opcode.TEXT
        if is_text:
            self._check_text(data, last, events)
        if data or last:
            events.append(MessageChunk(data, is_text, self._is_first, last))
            self._is_first = False
        if last:
            self._receiving = None

    def _check_text(self, data: bytes, last: bool, events: list[Event]) -> None:
        """Raise InvalidText at the first byte that makes the message none; what came before is passed on."""
        before = self._text.getstate()
        try:
            self._text.decode(data, last)
            return
        except UnicodeDecodeError:
            self._text.setstate(before)
        good = self._valid_prefix(data)
        if good:
            events.append(MessageChunk(data[:good], True, self._is_first, False))
        raise InvalidText("WebSocket: a text message is not UTF-8")

    def _valid_prefix(self, data: bytes) -> int:
        """How many bytes could still begin a text: the count a peer gets who sends byte by byte."""
        for position in range(len(data)):
            try:
                self._text.decode(data[position : position + 1])
            except UnicodeDecodeError:
                return position
        return len(data)

    def _read_close(self, payload: bytes, events: list[Event]) -> None:
        code, reason = NO_STATUS, ""
        if payload:
            code = int.from_bytes(payload[:2], "big")
            if len(payload) < 2 or code not in _CLOSE_CODES:
                raise RemoteProtocolError("WebSocket: a Close with a code that may not be sent")
            try:
                reason = payload[2:].decode("utf-8")
            except UnicodeDecodeError:
                raise InvalidText("WebSocket: the reason of a Close is not UTF-8") from None
        if self._closing is Closing.OPEN:
            self._queue(Opcode.CLOSE, payload[:2])
        self._closing = _STEPS[self._closing, _Step.CLOSE_RECEIVED]
        self._is_input_over = True
        events.append(WebSocketClosed(code, reason))

    def _count_idle_frame(self) -> None:
        self._idle_frames += 1
        if self._idle_frames > MAX_IDLE_FRAMES:
            raise Flooding(f"WebSocket: more than {MAX_IDLE_FRAMES} frames without data")

    # --- sending ----------------------------------------------------------------------------

    def send(self, event: Event) -> None:
        """Queue an event (see the class). Raises LocalProtocolError for what may not be sent now."""
        if self._closing is Closing.CLOSED:
            return
        if self._closing is Closing.CLOSING:
            raise LocalProtocolError("nothing may follow our Close")
        match event:
            case MessageChunk():
                self._send_chunk(event)
            case Ping(data):
                if len(data) > MAX_CONTROL_BYTES:
                    raise LocalProtocolError("a ping has at most 125 bytes")
                self._queue(Opcode.PING, data)
            case WebSocketClosed(code, reason):
                self._queue(Opcode.CLOSE, _encode_close(code, reason))
                self._closing = _STEPS[self._closing, _Step.CLOSE_SENT]
            case _:
                raise LocalProtocolError(f"a WebSocket cannot say {type(event).__name__}")

    def data_to_send(self) -> bytes:
        """Take what is queued."""
        if not self._queued:
            return b""
        queued = b"".join(self._queued)
        self._queued.clear()
        return queued

    def _send_chunk(self, chunk: MessageChunk) -> None:
        if chunk.first is not (self._sending is None):
            raise LocalProtocolError("a message begins before the last one ended, or never began")
        opcode = Opcode.TEXT if chunk.text else Opcode.BINARY
        if chunk.first:
            self._queue(opcode, chunk.data, fin=chunk.last)
        elif opcode is not self._sending:
            raise LocalProtocolError("a message is text or binary, not both")
        else:
            self._queue(Opcode.CONTINUATION, chunk.data, fin=chunk.last)
        self._sending = None if chunk.last else opcode
        if chunk.data:
            self._idle_frames = 0

    def _queue(self, opcode: Opcode, payload: bytes, *, fin: bool = True) -> None:
        mask = b""
        if self._side is Side.CLIENT:
            mask = self._mask_source()
            if len(mask) != MASK_BYTES:
                raise LocalProtocolError("a mask has 4 bytes")
        # Head and payload are joined by `data_to_send` only, which copies once.
        self._queued.append(encode_frame_head(opcode, len(payload), fin=fin, mask=mask))
        self._queued.append(apply_mask(payload, mask) if mask else payload)


def _out_of_order(is_continuation: bool) -> RemoteProtocolError:
    """What a data frame is that may not follow those before it."""
    if is_continuation:
        return RemoteProtocolError("WebSocket: a continuation of no message")
    return RemoteProtocolError("WebSocket: a message begins before the last one ended")


def _close_code(error: RemoteProtocolError) -> int:
    """What a Close says about an error (RFC 6455 section 7.4.1)."""
    match error:
        case TooLarge():
            return MESSAGE_TOO_BIG
        case InvalidText():
            return INVALID_TEXT
        case Flooding():
            return POLICY_VIOLATION
        case _:
            return PROTOCOL_ERROR


def _encode_close(code: int, reason: str) -> bytes:
    """The payload of a Close; 1005 stands for an empty one. A long reason is cut, at a character."""
    if code == NO_STATUS:
        return b""
    if code not in _CLOSE_CODES:
        raise LocalProtocolError(f"{code} is no close code that may be sent")
    text = reason.encode("utf-8", "replace")[:_MAX_REASON_BYTES].decode("utf-8", "ignore")
    return code.to_bytes(2, "big") + text.encode("utf-8")
