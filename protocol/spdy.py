"""SPDY/3.1 as Kubernetes speaks it: a connection of streams, both sides.

Bytes in, stream events out, and back. It does not know what feeds it (a socket, or the messages of a
WebSocket), what a stream carries (`remotecommand`, `portforward`), nor what to refuse by policy.
There is no flow control: nobody implements it, SETTINGS and WINDOW_UPDATE are checked and ignored.

The traps:
- A client drops whatever it reads together with the 101, so a server queues nothing that leaves
  before the client's first frame: `data_to_send` stays empty until then.
- Data on a stream that is not yet replied to, is half-closed or unknown vanishes silently at the
  peer's end. It vanishes here as well, or the record would hold bytes that nobody read. Header
  blocks are decoded even then: they share one zlib stream per direction.
- GOAWAY is the last thing the receiver reads. So it is here, and it is the last thing to send.

Only clients open streams; a server that does is refused. Sources: draft-mbelshe-httpbis-spdy-00;
moby/spdystream (connection.go, stream.go), which both kubectl and the kubelet run.
"""

import struct
from collections.abc import Iterator
from enum import Enum, auto
from typing import Final

from protocol.errors import Flooding, LocalProtocolError, RemoteProtocolError
from protocol.events import (
    Event,
    Failed,
    PeerClosed,
    Ping,
    Pong,
    SpdyData,
    SpdyGoAway,
    SpdyReset,
    SpdyStreamOpened,
    SpdyStreamReplied,
)
from protocol.side import Side
from protocol.spdy_frames import (
    FLAG_FIN,
    FLAG_UNIDIRECTIONAL,
    ControlFrame,
    DataPiece,
    FrameReader,
    FrameType,
    encode_control,
    encode_data_head,
)
from protocol.spdy_headers import HeaderDecoder, HeaderEncoder
from protocol.spdy_streams import Input, SpdyStreams, State

MAX_STREAM_ID: Final = 2**31 - 1

MAX_SENT_DATA_BYTES: Final = 64 * 1024
"""Longest data frame we send; longer events are split. spdystream allocates a frame whole and
queues up to 50 of them, and Kubernetes itself sends 32 KiB."""

MAX_HELD_BYTES: Final = 1024 * 1024
"""Most data kept for streams of ours that have no SYN_REPLY yet."""

MAX_IDLE_FRAMES: Final = 100_000
"""Most frames in a row that carry nothing (PING and the like). kubectl's PING every 5 s needs 5.8
days of silence for that; a flood, 1.2 MB. A rate needs a clock: callers with one count `Ping`."""

MAX_UNWANTED_BLOCKS: Final = 1000
"""Most header blocks inflated for nothing in the life of a connection; Kubernetes sends none."""

PROTOCOL_ERROR: Final = 1  # of RST_STREAM and of GOAWAY
REFUSED_STREAM: Final = 3  # of RST_STREAM


class Phase(Enum):
    """Of what one direction of the connection still means."""

    OPEN = auto()
    LEFT = auto()  # after GOAWAY: nothing more counts, except that the input can end
    OVER = auto()  # after the end of input, or an error


_TWO: Final = struct.Struct(">II")
_ONE: Final = struct.Struct(">I")
_SYN_STREAM: Final = struct.Struct(">IIBB")  # id, associated id, priority, slot


class SpdyConnection:
    """One SPDY connection (contract: `protocol.events.Machine`).

    Received: SpdyStreamOpened (server side), SpdyStreamReplied (client side), SpdyData, SpdyReset,
    SpdyGoAway, Ping (answered already), Pong (to a ping of ours), PeerClosed, Failed. A `Failed`
    queues a GOAWAY with PROTOCOL_ERROR and makes every later `send` void.
    Sent: SpdyStreamOpened (client side), SpdyStreamReplied (server side), SpdyData, SpdyReset,
    SpdyGoAway and Ping. What is sent on a stream that closed meanwhile goes nowhere.

    max_streams: live streams a client may have; one more is refused (RST_STREAM), others go on.
    """

    def __init__(self, side: Side, *, max_streams: int = 200) -> None:
        self._side = side
        self._max_streams = max_streams
        self._reader = FrameReader()
        self._decoder = HeaderDecoder()
        self._encoder = HeaderEncoder()
        self._streams = SpdyStreams()
        self._receiving = Phase.OPEN
        self._sending = Phase.OPEN
        self._heard = False  # a frame came, so the client has read our 101
        self._queue: list[bytes] = []
        self._held: dict[int, list[bytes]] = {}  # stream id -> frames waiting for its SYN_REPLY
        self._held_bytes = 0
        self._next_ping_id = 1 if side is Side.CLIENT else 2
        self._idle_frames = 0  # in a row
        self._unwanted_blocks = 0

    @property
    def next_stream_id(self) -> int:
        """Client side: the id of the next stream of ours, the lowest unused."""
        return self._streams.next_id

    @property
    def last_stream_id(self) -> int:
        """The highest id a stream had so far: what a GOAWAY of the server side names. 0: none."""
        return self._streams.last_id

    # --- receiving --------------------------------------------------------------------------

    def receive(self, data: bytes) -> list[Event]:
        """Take in bytes; b"" is the end of input. See `protocol.events.Machine`."""
        return list(self.read(data))

    def read(self, data: bytes) -> Iterator[Event]:
        """`receive`, one event at a time: what is sent meanwhile counts before the next frame is read.

        So a layer above that refuses streams refuses the same ones however the bytes were cut.
        """
        if self._receiving is Phase.OVER:
            return
        if not data:
            yield self._end_input()
            return
        if self._receiving is Phase.LEFT:
            return
        try:
            for frame in self._reader.read(data):
                self._heard = True
                answer = self._read_data(frame) if isinstance(frame, DataPiece) else self._read_control(frame)
                if answer is not None:
                    yield answer
                if isinstance(answer, SpdyGoAway):
                    return
        except RemoteProtocolError as error:
            yield self._fail(error)

    def _end_input(self) -> Event:
        in_order = self._receiving is Phase.LEFT or self._reader.is_between_frames
        self._receiving = Phase.OVER
        if in_order:
            return PeerClosed()
        self._sending = Phase.OVER
        return Failed(RemoteProtocolError("SPDY: the connection ended inside a frame"))

    def _fail(self, error: RemoteProtocolError) -> Failed:
        self._heard = True  # whoever sends a bad head is past the 101, too
        self._goodbye(self._streams.last_id, PROTOCOL_ERROR)
        self._receiving = self._sending = Phase.OVER
        return Failed(error)

    def _read_data(self, piece: DataPiece) -> Event | None:
        what = Input.RECEIVE_FIN if piece.fin else Input.RECEIVE_DATA
        if self._streams.receive(piece.stream_id, what) and (piece.data or piece.fin):
            self._idle_frames = 0
            return SpdyData(piece.stream_id, piece.data, piece.fin)
        if piece.last:  # count frames, not reads: where TCP cuts must not matter
            self._count_idle_frame()
        return None

    def _read_control(self, frame: ControlFrame) -> Event | None:
        answer = self._interpret(frame)
        if answer is None or frame.type is FrameType.PING:
            self._count_idle_frame()
        else:
            self._idle_frames = 0
        return answer

    def _interpret(self, frame: ControlFrame) -> Event | None:
        match frame.type:
            case FrameType.SYN_STREAM:
                return self._read_syn_stream(frame)
            case FrameType.SYN_REPLY:
                return self._read_syn_reply(frame)
            case FrameType.RST_STREAM:
                return self._read_rst_stream(frame)
            case FrameType.PING:
                return self._read_ping(frame)
            case FrameType.GOAWAY:
                self._receiving = Phase.LEFT
                return SpdyGoAway(*_TWO.unpack(frame.payload))
            case FrameType.HEADERS:
                return self._read_headers(frame)
            case FrameType.SETTINGS:
                _check_settings(frame)
            case _:
                _check_window_update(frame)
        return None

    def _read_syn_stream(self, frame: ControlFrame) -> Event | None:
        stream_id = _read_stream_id(frame)
        headers = self._decoder.decode(frame.payload[_SYN_STREAM.size :])
        if stream_id in self._streams:
            raise RemoteProtocolError("SPDY: SYN_STREAM for a stream that is open")
        refusal = self._refusal(stream_id, frame.flags)
        if refusal:
            self._count_unwanted_block()
            self._queue_reset(stream_id, refusal)
            return None
        fin = bool(frame.flags & FLAG_FIN)
        self._streams.add(stream_id, State.OFFERED_ENDED if fin else State.OFFERED)
        return SpdyStreamOpened(stream_id, headers, fin)

    def _refusal(self, stream_id: int, flags: int) -> int:
        """The status of the RST_STREAM that answers a SYN_STREAM; 0: the stream is welcome."""
        if self._side is Side.CLIENT or self._sending is not Phase.OPEN:
            return REFUSED_STREAM
        if stream_id % 2 == 0 or stream_id < self._streams.next_id:
            return PROTOCOL_ERROR
        if flags & FLAG_UNIDIRECTIONAL or len(self._streams) >= self._max_streams:
            self._streams.last_id = stream_id
            return REFUSED_STREAM
        return 0

    def _read_syn_reply(self, frame: ControlFrame) -> Event | None:
        stream_id = _read_stream_id(frame)
        headers = self._decoder.decode(frame.payload[_ONE.size :])
        fin = bool(frame.flags & FLAG_FIN)
        if not self._streams.receive(stream_id, Input.RECEIVE_REPLY_FIN if fin else Input.RECEIVE_REPLY):
            self._count_unwanted_block()
            return None
        held = self._release(stream_id)
        if self._sending is Phase.OPEN:
            self._queue += held
        return SpdyStreamReplied(stream_id, headers, fin)

    def _read_rst_stream(self, frame: ControlFrame) -> Event | None:
        stream_id = _read_stream_id(frame)
        _, code = _TWO.unpack(frame.payload)
        if not code:
            raise RemoteProtocolError("SPDY: RST_STREAM with status 0")
        self._release(stream_id)
        return SpdyReset(stream_id, code) if self._streams.reset(stream_id) else None

    def _read_ping(self, frame: ControlFrame) -> Event | None:
        (ping_id,) = _ONE.unpack(frame.payload)
        if not ping_id:
            raise RemoteProtocolError("SPDY: PING with id 0")
        if ping_id % 2 == self._next_ping_id % 2:
            return Pong(frame.payload)
        if self._sending is Phase.OPEN:
            self._queue.append(encode_control(FrameType.PING, frame.payload))
        return Ping(frame.payload)

    def _read_headers(self, frame: ControlFrame) -> Event | None:
        stream_id = _read_stream_id(frame)
        self._decoder.decode(frame.payload[_ONE.size :])
        self._count_unwanted_block()
        # Nobody reads late headers, but spdystream obeys their FIN.
        if frame.flags & FLAG_FIN and self._streams.receive(stream_id, Input.RECEIVE_FIN):
            return SpdyData(stream_id, b"", True)
        return None

    def _count_idle_frame(self) -> None:
        self._idle_frames += 1
        if self._idle_frames > MAX_IDLE_FRAMES:
            raise Flooding(f"SPDY: more than {MAX_IDLE_FRAMES} frames in a row that carry nothing")

    def _count_unwanted_block(self) -> None:
        self._unwanted_blocks += 1
        if self._unwanted_blocks > MAX_UNWANTED_BLOCKS:
            raise Flooding(f"SPDY: more than {MAX_UNWANTED_BLOCKS} header blocks for nothing")

    # --- sending ----------------------------------------------------------------------------

    def send(self, event: Event) -> None:
        """Queue an event (see the class). Raises LocalProtocolError for what cannot be said now."""
        if self._sending is Phase.OVER:
            return  # the connection failed: there is nobody to talk to
        if self._sending is Phase.LEFT and not isinstance(event, (SpdyGoAway, Ping)):
            raise LocalProtocolError(f"SPDY: {type(event).__name__} after our GOAWAY")
        match event:
            case SpdyData():
                self._send_data(event)
            case SpdyStreamOpened():
                self._send_syn_stream(event)
            case SpdyStreamReplied():
                self._send_syn_reply(event)
            case SpdyReset():
                self._send_reset(event)
            case SpdyGoAway():
                self._goodbye(event.last_stream_id, event.code)
            case Ping():
                self._send_ping(event)
            case _:
                raise LocalProtocolError(f"SPDY cannot say {type(event).__name__}")

    def data_to_send(self) -> bytes:
        """Take what is queued. On the server side nothing leaves before the client's first frame."""
        if not self._queue or (self._side is Side.SERVER and not self._heard):
            return b""
        queued = b"".join(self._queue)
        self._queue.clear()
        return queued

    def _send_syn_stream(self, event: SpdyStreamOpened) -> None:
        stream_id = event.stream_id
        if self._side is Side.SERVER or stream_id % 2 == 0:
            raise LocalProtocolError("SPDY: only clients open streams, and their ids are odd")
        if not self._streams.next_id <= stream_id <= MAX_STREAM_ID:
            raise LocalProtocolError(f"SPDY: stream id {stream_id} is used up, reconnect")
        payload = _SYN_STREAM.pack(stream_id, 0, 0, 0) + self._encoder.encode(event.headers)
        self._streams.add(stream_id, State.OPENING_ENDED if event.fin else State.OPENING)
        self._queue.append(encode_control(FrameType.SYN_STREAM, payload, FLAG_FIN if event.fin else 0))

    def _send_syn_reply(self, event: SpdyStreamReplied) -> None:
        if self._streams.send(event.stream_id, Input.SEND_REPLY_FIN if event.fin else Input.SEND_REPLY):
            payload = _ONE.pack(event.stream_id) + self._encoder.encode(event.headers)
            self._queue.append(encode_control(FrameType.SYN_REPLY, payload, FLAG_FIN if event.fin else 0))

    def _send_data(self, event: SpdyData) -> None:
        what = Input.SEND_FIN if event.fin else Input.SEND_DATA
        frames = _encode_data(event)
        if not self._streams.is_opening(event.stream_id):
            if self._streams.send(event.stream_id, what):
                self._queue += frames
            return
        size = sum(len(part) for part in frames)
        if self._held_bytes + size > MAX_HELD_BYTES:
            raise LocalProtocolError("SPDY: too much data before the SYN_REPLY; wait for SpdyStreamReplied")
        self._streams.send(event.stream_id, what)
        self._held.setdefault(event.stream_id, []).extend(frames)
        self._held_bytes += size

    def _send_reset(self, event: SpdyReset) -> None:
        self._streams.check_known(event.stream_id)
        if not event.code:
            raise LocalProtocolError("SPDY: RST_STREAM needs a status other than 0")
        self._release(event.stream_id)
        if self._streams.reset(event.stream_id):
            self._queue_reset(event.stream_id, event.code)

    def _send_ping(self, event: Ping) -> None:
        if self._sending is Phase.LEFT:
            return
        if event.data and (len(event.data) != 4 or event.data[3] % 2 != self._next_ping_id % 2):
            raise LocalProtocolError("SPDY: PING data is 4 bytes, odd from a client, even from a server")
        self._queue.append(encode_control(FrameType.PING, event.data or _ONE.pack(self._next_ping_id)))
        self._next_ping_id = (self._next_ping_id + 2) % 2**32 or 2

    def _goodbye(self, last_stream_id: int, code: int) -> None:
        if self._sending is Phase.OPEN:
            self._queue.append(encode_control(FrameType.GOAWAY, _TWO.pack(last_stream_id, code)))
            self._sending = Phase.LEFT

    def _release(self, stream_id: int) -> list[bytes]:
        """Take what was held for a stream: to send it, or to forget it."""
        held = self._held.pop(stream_id, [])
        self._held_bytes -= sum(len(part) for part in held)
        return held

    def _queue_reset(self, stream_id: int, code: int) -> None:
        if self._sending is Phase.OPEN:
            self._queue.append(encode_control(FrameType.RST_STREAM, _TWO.pack(stream_id, code)))


def _encode_data(event: SpdyData) -> list[bytes]:
    """Heads and payloads in turn: joining them is left to `data_to_send`, which copies once."""
    data = event.data
    frames: list[bytes] = []
    for start in range(0, len(data), MAX_SENT_DATA_BYTES):
        part = data[start : start + MAX_SENT_DATA_BYTES]
        fin = event.fin and start + len(part) == len(data)
        frames += (encode_data_head(event.stream_id, len(part), fin), part)
    if event.fin and not data:
        frames.append(encode_data_head(event.stream_id, 0, True))
    return frames


def _read_stream_id(frame: ControlFrame) -> int:
    (stream_id,) = _ONE.unpack_from(frame.payload)
    if not 0 < stream_id <= MAX_STREAM_ID:
        raise RemoteProtocolError(f"SPDY: {frame.type.name} for stream {stream_id}")
    return int(stream_id)


def _check_settings(frame: ControlFrame) -> None:
    # spdystream allocates by this count (CVE-2026-35469); here it is only compared.
    (count,) = _ONE.unpack_from(frame.payload)
    if len(frame.payload) != 4 + 8 * count:
        raise RemoteProtocolError("SPDY: SETTINGS whose count and length differ")


def _check_window_update(frame: ControlFrame) -> None:
    stream_id, delta = _TWO.unpack(frame.payload)
    if stream_id > MAX_STREAM_ID or not 0 < delta <= MAX_STREAM_ID:
        raise RemoteProtocolError("SPDY: WINDOW_UPDATE out of range")
