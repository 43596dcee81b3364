"""HTTP/2, server side, by hand: frames of one connection to events, and events back to frames.

It keeps the order of things: which frame may come now, and what the frames of requests mean. Those about the
connection and its windows are in `http2_upkeep`, frame borders in `http2_frames`, header blocks in `http2_blocks` and
`http2_hpack`, the rules for requests in `http2_headers`, streams in `http2_streams`, floods in `http2_budgets`; what we
send is in `http2_sending`.

A stream occupies one of MAX_CONCURRENT_STREAMS until it is over for both sides *and*, when it ended
by a reset that we did not ask for, until conduct says `release`: the work behind it may still run, and a
client that opens and resets must not start more of it than one that waits (CVE-2023-44487).

The trap: a header block has to be decoded even when its stream is refused, or every later one is misread.
Source: RFC 9113; h2 is the oracle of the tests (docs/decisions/0013).
"""

from collections.abc import Callable
from typing import Final

from protocol.errors import Flooding, RemoteProtocolError, TooLarge
from protocol.events import (
    BodyChunk,
    EndOfBody,
    Event,
    Failed,
    PeerClosed,
    RequestHead,
    StreamRefused,
)
from protocol.http2_blocks import Block, BlockAssembler
from protocol.http2_budgets import THIN_DATA_BYTES, Waste
from protocol.http2_frames import (
    ACK,
    END_STREAM,
    ConnectionFault,
    ErrorCode,
    Frame,
    FrameCutter,
    Type,
    protocol_fault,
    reset_frame,
    unpad,
)
from protocol.http2_headers import Field, parse_request
from protocol.http2_hpack import HpackDecoder
from protocol.http2_huffman import Undecodable
from protocol.http2_setup import (
    MAX_CONCURRENT_STREAMS,
    STREAM_WINDOW_BYTES,
)
from protocol.http2_streams import Stream
from protocol.http2_upkeep import Http2Upkeep
from protocol.http2_windows import ReceiveWindow

MAX_STREAMS: Final = 10_000
"""Per connection; then a graceful GOAWAY. Clients open a new connection without losing a request."""

MAX_QUEUED_BYTES: Final = 1024 * 1024
"""A client that makes us queue more than this without reading it is cut off."""


class Http2Server(Http2Upkeep):
    """One HTTP/2 connection, seen from the server. The contract is that of `protocol.events.Machine`.

    Its first output (our SETTINGS) is ready before anything is received. Events: RequestHead,
    BodyChunk, EndOfBody, StreamRefused, StreamReset, WindowOpened, GoAway, PeerClosed, Failed.
    Accepts: ResponseHead, InformationalHead, BodyChunk, EndOfBody, StreamReset, GoAway. What is sent on
    a stream that the client has just reset is dropped silently: conduct cannot know yet.
    """

    def __init__(self) -> None:
        super().__init__()
        self._cutter = FrameCutter()
        self._blocks = BlockAssembler()
        self._decoder = HpackDecoder()
        self._opened = 0
        self._settings_seen = False

    def refill(self) -> None:
        """Renew the flood budgets; call it every `http2_budgets.REFILL_INTERVAL_S` seconds."""
        self._budgets.refill()

    # --- receiving --------------------------------------------------------------------------

    def receive(self, data: bytes) -> list[Event]:
        events: list[Event] = []
        if self._dead:
            return events
        if not data:
            return [self._end_of_input()]
        self._output.release()
        try:
            for frame in self._cutter.cut(data):
                self._on_frame(frame, events)
                if self._output.queued_bytes > MAX_QUEUED_BYTES:
                    raise Flooding("the client does not read what it makes us answer")
        except ConnectionFault as fault:
            self._fail(fault.error, fault.code, events)
        except Flooding as error:
            self._fail(error, ErrorCode.ENHANCE_YOUR_CALM, events)
        return events

    def _end_of_input(self) -> Event:
        self._dead = True
        sending = any(stream.request_open and not stream.gone for stream in self._streams.live.values())
        if self._cutter.is_between_frames and not self._blocks.is_open and not sending:
            return PeerClosed()
        return Failed(RemoteProtocolError("the connection ended inside a frame or a request"))

    def _fail(self, error: RemoteProtocolError, code: ErrorCode, events: list[Event]) -> None:
        self._output.put_final(self._goaway(code))
        self._dead = True
        events.append(Failed(error))

    def _on_frame(self, frame: Frame, events: list[Event]) -> None:
        if not self._settings_seen:
            if frame.type != Type.SETTINGS or frame.flags & ACK:
                raise protocol_fault("the preface is not followed by SETTINGS")
            self._settings_seen = True
        if self._blocks.is_open and frame.type != Type.CONTINUATION:
            raise protocol_fault("a header block is interrupted by another frame")
        handler = _HANDLERS.get(frame.type)
        if handler is None:
            self._budgets.spend(Waste.UNKNOWN)
        else:
            handler(self, frame, events)

    def _on_headers(self, frame: Frame, events: list[Event]) -> None:
        block = self._blocks.add_headers(frame)
        if block is not None:
            self._on_block(block, events)

    def _on_continuation(self, frame: Frame, events: list[Event]) -> None:
        block = self._blocks.add_continuation(frame)
        if block is not None:
            self._on_block(block, events)

    def _on_block(self, block: Block, events: list[Event]) -> None:
        try:
            fields = self._decoder.decode(block.data)
        except Undecodable as error:
            raise ConnectionFault(ErrorCode.COMPRESSION_ERROR, RemoteProtocolError(str(error))) from error
        except TooLarge as error:
            raise ConnectionFault(ErrorCode.ENHANCE_YOUR_CALM, error) from error
        stream_id = block.stream_id
        stream = self._streams.working(stream_id)
        if stream_id > self._streams.highest_id:
            self._streams.open(stream_id)
            self._on_request(block, fields, events)
        elif stream is not None and stream.request_open:
            if not block.ends_stream:
                raise protocol_fault("trailers that do not end their stream")
            self._on_trailers(stream_id, stream, fields, events)
        elif stream is not None:
            self._budgets.spend(Waste.STRAY)
            self._reset_faulty(stream_id, stream, ErrorCode.STREAM_CLOSED, events)
        elif self._streams.was_reset(stream_id):
            self._budgets.spend(Waste.STRAY)
            self._output.put_in_order(reset_frame(stream_id, ErrorCode.STREAM_CLOSED))
        else:
            raise self._streams.reopened(stream_id)

    def _on_request(self, block: Block, fields: list[Field], events: list[Event]) -> None:
        stream_id, ended = block.stream_id, block.ends_stream
        live = self._streams.live
        if self._last_served is not None or len(live) >= MAX_CONCURRENT_STREAMS:
            self._budgets.spend(Waste.RESET)
            self._reset(stream_id, ErrorCode.REFUSED_STREAM, in_flight=not ended)
            return
        self._opened += 1
        if self._opened >= MAX_STREAMS:
            self._drain(ErrorCode.NO_ERROR)
        stream = Stream(request_open=not ended, send_window=self._initial_window)
        try:
            head: RequestHead = parse_request(stream_id, fields, ended=ended)
        except RemoteProtocolError as error:
            self._budgets.spend(Waste.RESET)
            stream.is_head = any(field.pair == (b":method", b"HEAD") for field in fields)
            stream.discards = True
            stream.is_malformed = error.status_hint == 400
            live[stream_id] = stream
            events.append(StreamRefused(stream_id, error))
            return
        stream.is_head = head.method == b"HEAD"
        stream.body_left = head.content_length
        live[stream_id] = stream
        events.append(head)
        if ended:
            events.append(EndOfBody(stream_id))

    def _on_trailers(self, stream_id: int, stream: Stream, fields: list[Field], events: list[Event]) -> None:
        """Trailers end a body; with anything in them they are refused, as on HTTP/1.1."""
        if (fields or stream.body_left) and not stream.discards:
            self._reset_faulty(stream_id, stream, ErrorCode.PROTOCOL_ERROR, events, in_flight=False)
        else:
            self._end_request(stream_id, stream, events)

    def _on_data(self, frame: Frame, events: list[Event]) -> None:
        stream_id = frame.stream_id
        stream = self._streams.working(stream_id)
        if stream is None:
            self._discard(frame)
            return
        data, flow_bytes = unpad(frame), len(frame.payload)
        ends = bool(frame.flags & END_STREAM)
        if len(data) < THIN_DATA_BYTES and not ends:
            self._budgets.spend(Waste.THIN_DATA)
        self._receive_window.take(flow_bytes)
        if not stream.request_open:
            self._give_back_discarded(flow_bytes)
            self._reset_faulty(stream_id, stream, ErrorCode.STREAM_CLOSED, events)
        elif stream.breaks_promise(len(data), ends=ends):
            self._give_back_discarded(flow_bytes)
            self._reset_faulty(stream_id, stream, ErrorCode.PROTOCOL_ERROR, events, in_flight=not ends)
        else:
            self._take_data(stream_id, stream, data, flow_bytes, events)
            if ends:
                self._end_request(stream_id, stream, events)

    def _take_data(
        self, stream_id: int, stream: Stream, data: bytes, flow_bytes: int, events: list[Event]
    ) -> None:
        if stream.receive_window is None:
            stream.receive_window = ReceiveWindow(STREAM_WINDOW_BYTES)
        stream.receive_window.take(flow_bytes)
        self._budgets.earn_bytes(len(data))
        if stream.discards or not data:
            self._give_back(stream_id, stream, flow_bytes)
        else:
            stream.unreturned += flow_bytes
            events.append(BodyChunk(data, stream_id, flow_bytes))

    def _end_request(self, stream_id: int, stream: Stream, events: list[Event]) -> None:
        stream.request_open = False
        if not stream.discards:
            events.append(EndOfBody(stream_id))

    def _discard(self, frame: Frame) -> None:
        """DATA on a stream that is over: right if it was under way when we reset the stream."""
        stream_id = frame.stream_id
        if not self._streams.is_in_flight(stream_id):
            self._check_not_idle(stream_id)
            raise ConnectionFault(ErrorCode.STREAM_CLOSED, RemoteProtocolError("DATA on a closed stream"))
        self._budgets.spend(Waste.STRAY)
        if frame.flags & END_STREAM:
            self._streams.settle(stream_id)
        self._receive_window.take(len(frame.payload))
        self._give_back_discarded(len(frame.payload))

    def _on_reset(self, frame: Frame, events: list[Event]) -> None:
        stream_id = frame.stream_id
        self._check_not_idle(stream_id)
        stream = self._streams.working(stream_id)
        if stream is None:
            self._streams.settle(stream_id)
            self._budgets.spend(Waste.STRAY)
            return
        self._budgets.spend(Waste.RESET)
        self._streams.remember_reset(stream_id, in_flight=False)
        self._forsake(stream_id, stream, int.from_bytes(frame.payload, "big"), events)


_HANDLERS: Final[dict[int, Callable[[Http2Server, Frame, list[Event]], None]]] = {
    Type.DATA: Http2Server._on_data,
    Type.HEADERS: Http2Server._on_headers,
    Type.PRIORITY: Http2Server._on_priority,
    Type.PRIORITY_UPDATE: Http2Server._on_priority,
    Type.RST_STREAM: Http2Server._on_reset,
    Type.SETTINGS: Http2Server._on_settings,
    Type.PUSH_PROMISE: Http2Server._on_push_promise,
    Type.PING: Http2Server._on_ping,
    Type.GOAWAY: Http2Server._on_goaway,
    Type.WINDOW_UPDATE: Http2Server._on_window_update,
    Type.CONTINUATION: Http2Server._on_continuation,
}
"""Not a member of each connection: that would be a cycle, which only the garbage collector frees."""
