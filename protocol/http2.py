"""HTTP/2, server side, by hand: frames of one connection to events, and events back to frames.

It keeps the order of things: which frame may come now, what each costs the client, what is answered. Frame
borders are in `http2_frames`, header blocks in `http2_blocks` and `http2_hpack`, the rules for requests in
`http2_headers`, streams in `http2_streams`, credit in `http2_windows`, floods in `http2_budgets`.

A stream occupies one of MAX_CONCURRENT_STREAMS until it is over for both sides *and*, when it ended
by a reset that we did not ask for, until conduct says `release`: the work behind it may still run, and a
client that opens and resets must not start more of it than one that waits (CVE-2023-44487).

The trap: a header block has to be decoded even when its stream is refused, or every later one is misread.
Source: RFC 9113; h2 is the oracle of the tests (docs/decisions/0013).
"""

from collections.abc import Callable
from typing import Final

from protocol.errors import Flooding, LocalProtocolError, RemoteProtocolError, TooLarge
from protocol.events import (
    BodyChunk,
    EndOfBody,
    Event,
    Failed,
    GoAway,
    InformationalHead,
    PeerClosed,
    RequestHead,
    ResponseHead,
    StreamRefused,
    StreamReset,
    WindowOpened,
)
from protocol.http2_answers import NO_TABLE, encode_head
from protocol.http2_blocks import Block, BlockAssembler
from protocol.http2_budgets import THIN_DATA_BYTES, FloodBudgets, Waste
from protocol.http2_frames import (
    ACK,
    END_STREAM,
    SETTINGS_ACK,
    ConnectionFault,
    ErrorCode,
    Frame,
    FrameCutter,
    Type,
    goaway_frame,
    ping_ack,
    protocol_fault,
    reset_frame,
    size_fault,
    unpad,
    window_update,
)
from protocol.http2_headers import Field, parse_request
from protocol.http2_hpack import HpackDecoder
from protocol.http2_huffman import Undecodable
from protocol.http2_output import Http2Output
from protocol.http2_setup import (
    CONNECTION_WINDOW_BYTES,
    MAX_CONCURRENT_STREAMS,
    STREAM_WINDOW_BYTES,
    parse_settings,
    settings_frame,
)
from protocol.http2_streams import Stream, StreamTable
from protocol.http2_windows import LARGEST_WINDOW, ReceiveWindow

MAX_STREAMS: Final = 10_000
"""Per connection; then a graceful GOAWAY. Clients open a new connection without losing a request."""

MAX_QUEUED_BODY_BYTES: Final = 256 * 1024
"""`sendable` never offers more than this between two calls of data_to_send."""

MAX_QUEUED_BYTES: Final = 1024 * 1024
"""A client that makes us queue more than this without reading it is cut off."""

DEFAULT_WINDOW_BYTES: Final = 65535
"""Of each stream and of the connection, until SETTINGS and WINDOW_UPDATE say otherwise (RFC 9113 section 6.9.2)."""

_OF_STREAMS: Final = (ResponseHead, InformationalHead, BodyChunk, EndOfBody, StreamReset)
"""Events that can be sent, and belong to one stream."""

_DISCARDED_STEP_BYTES: Final = 32 * 1024  # credit for discarded DATA is returned in steps of this


class Http2Server:
    """One HTTP/2 connection, seen from the server. The contract is that of `protocol.events.Machine`.

    Its first output (our SETTINGS) is ready before anything is received. Events: RequestHead,
    BodyChunk, EndOfBody, StreamRefused, StreamReset, WindowOpened, GoAway, PeerClosed, Failed.
    Accepts: ResponseHead, InformationalHead, BodyChunk, EndOfBody, StreamReset, GoAway. What is sent on
    a stream that the client has just reset is dropped silently: conduct cannot know yet.
    """

    def __init__(self) -> None:
        self._output = Http2Output()
        self._output.put(settings_frame() + window_update(0, CONNECTION_WINDOW_BYTES - DEFAULT_WINDOW_BYTES))
        self._cutter = FrameCutter()
        self._blocks = BlockAssembler()
        self._decoder = HpackDecoder()
        self._budgets = FloodBudgets()
        self._streams = StreamTable()
        self._receive_window = ReceiveWindow(CONNECTION_WINDOW_BYTES)
        self._send_window = DEFAULT_WINDOW_BYTES
        self._initial_window = DEFAULT_WINDOW_BYTES  # of a new stream, for what we send
        self._opened = 0
        self._settings_seen = False
        self._discarded_bytes = 0
        self._block_prefix = NO_TABLE
        self._dead = False
        # The stream id of our first GOAWAY; later ones must not exceed it. None: not draining.
        self._last_served: int | None = None

    # --- state, for conduct -----------------------------------------------------------------

    @property
    def live_streams(self) -> int:
        """Streams that occupy a place: requests under way, and reset ones not released yet."""
        return len(self._streams.live)

    @property
    def is_draining(self) -> bool:
        """Whether a GOAWAY was sent, by conduct or because of MAX_STREAMS. Close at live_streams == 0."""
        return self._last_served is not None

    def sendable(self, stream_id: int) -> int:
        """Bytes of body that may be sent on a stream now. 0: flush; if there is no `window`, wait for it."""
        return max(0, min(self.window(stream_id), MAX_QUEUED_BODY_BYTES - self._output.queued_bytes))

    def window(self, stream_id: int) -> int:
        """Bytes of body the client takes on a stream now. 0 or less: WindowOpened will tell when it takes more."""
        stream = self._streams.working(stream_id)
        if self._dead or stream is None:
            return 0
        return min(stream.send_window, self._send_window)

    def consumed(self, stream_id: int, flow_bytes: int) -> None:
        """Return the credit of BodyChunks that were dealt with (the sum of their `flow_bytes`).

        WINDOW_UPDATEs are batched. What was not returned when its stream ends returns by itself.
        """
        stream = self._streams.working(stream_id)
        if self._dead or stream is None:
            return
        returned = min(flow_bytes, stream.unreturned)
        stream.unreturned -= returned
        self._give_back(stream_id, stream, returned)

    def release(self, stream_id: int) -> None:
        """Nothing runs any more for a stream that was reset; its place is free. No-op for all others."""
        stream = self._streams.live.get(stream_id)
        if stream is not None and stream.gone:
            del self._streams.live[stream_id]

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

    def _goaway(self, code: int) -> bytes:
        highest = self._streams.highest_id
        return goaway_frame(highest if self._last_served is None else self._last_served, code)

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

    def _on_ping(self, frame: Frame, events: list[Event]) -> None:
        if frame.stream_id:
            raise protocol_fault("PING on a stream")
        self._budgets.spend(Waste.PING)
        if not frame.flags & ACK:
            self._output.put(ping_ack(frame.payload))

    def _on_goaway(self, frame: Frame, events: list[Event]) -> None:
        if frame.stream_id:
            raise protocol_fault("GOAWAY on a stream")
        self._budgets.spend(Waste.SETTINGS)
        last, code = (int.from_bytes(frame.payload[at : at + 4], "big") for at in (0, 4))
        events.append(GoAway(last & 0x7FFF_FFFF, code))

    def _on_priority(self, frame: Frame, events: list[Event]) -> None:
        if frame.type == Type.PRIORITY and not frame.stream_id:
            raise protocol_fault("PRIORITY without a stream")
        self._budgets.spend(Waste.PRIORITY)

    def _on_push_promise(self, frame: Frame, events: list[Event]) -> None:
        raise protocol_fault("PUSH_PROMISE from a client")

    def _on_settings(self, frame: Frame, events: list[Event]) -> None:
        self._budgets.spend(Waste.SETTINGS)
        if frame.stream_id:
            raise protocol_fault("SETTINGS on a stream")
        if frame.flags & ACK:
            if frame.payload:
                raise size_fault("an answer to SETTINGS with settings in it")
            return
        settings = parse_settings(frame.payload)
        if settings.initial_window_bytes is not None:
            self._change_windows(settings.initial_window_bytes - self._initial_window, events)
        if settings.max_frame_bytes is not None:
            self._output.max_frame_bytes = settings.max_frame_bytes
        # Behind the DATA that was sent under the old settings: the client counts by them until it reads this.
        self._output.put_in_order(SETTINGS_ACK)

    def _change_windows(self, change: int, events: list[Event]) -> None:
        """Another initial window moves that of every open stream (RFC 9113 section 6.9.2), also below 0."""
        self._initial_window += change
        for stream in self._streams.live.values():
            stream.send_window += change
            if stream.send_window > LARGEST_WINDOW and not stream.gone:
                raise ConnectionFault(
                    ErrorCode.FLOW_CONTROL_ERROR, RemoteProtocolError("SETTINGS lift a window beyond 2**31-1")
                )
        if change > 0:
            events.append(WindowOpened(0))

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
            raise protocol_fault(str(error)) from error
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
            return
        if stream.body_left is not None:
            if len(data) > stream.body_left or (ends and len(data) != stream.body_left):
                self._give_back_discarded(flow_bytes)
                self._reset_faulty(stream_id, stream, ErrorCode.PROTOCOL_ERROR, events, in_flight=not ends)
                return
            stream.body_left -= len(data)
        if stream.receive_window is None:
            stream.receive_window = ReceiveWindow(STREAM_WINDOW_BYTES)
        stream.receive_window.take(flow_bytes)
        self._budgets.earn_bytes(len(data))
        if stream.discards or not data:
            self._give_back(stream_id, stream, flow_bytes)
        else:
            stream.unreturned += flow_bytes
            events.append(BodyChunk(data, stream_id, flow_bytes))
        if ends:
            self._end_request(stream_id, stream, events)

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

    def _on_window_update(self, frame: Frame, events: list[Event]) -> None:
        self._budgets.spend(Waste.WINDOW_UPDATE)
        stream_id = frame.stream_id
        increment = int.from_bytes(frame.payload, "big") & 0x7FFF_FFFF
        if not stream_id:
            self._open_connection_window(increment, events)
            return
        self._check_not_idle(stream_id)
        stream = self._streams.working(stream_id)
        if stream is None:
            return
        if not increment:
            self._reset_faulty(stream_id, stream, ErrorCode.PROTOCOL_ERROR, events)
        elif stream.send_window + increment > LARGEST_WINDOW:
            self._reset_faulty(stream_id, stream, ErrorCode.FLOW_CONTROL_ERROR, events)
        else:
            stream.send_window += increment
            events.append(WindowOpened(stream_id))

    def _open_connection_window(self, increment: int, events: list[Event]) -> None:
        if not increment:
            raise protocol_fault("a WINDOW_UPDATE of 0")
        self._send_window += increment
        if self._send_window > LARGEST_WINDOW:
            raise ConnectionFault(
                ErrorCode.FLOW_CONTROL_ERROR, RemoteProtocolError("a connection window beyond 2**31-1")
            )
        events.append(WindowOpened(0))

    def _check_not_idle(self, stream_id: int) -> None:
        if self._streams.is_idle(stream_id):
            raise protocol_fault("a frame on a stream that was never opened")

    # --- credit -------------------------------------------------------------------------------

    def _give_back(self, stream_id: int, stream: Stream, flow_bytes: int) -> None:
        """Bytes of a stream were dealt with: the client may send as many again, when it is worth saying."""
        if credit := self._receive_window.give_back(flow_bytes):
            self._output.put(window_update(0, credit))
        if stream.request_open and stream.receive_window is not None:
            if credit := stream.receive_window.give_back(flow_bytes):
                self._output.put(window_update(stream_id, credit))

    def _give_back_discarded(self, flow_bytes: int) -> None:
        """Bytes nobody gets. They come when a stream was broken off: their credit returns in smaller steps."""
        self._discarded_bytes += flow_bytes
        credit = self._receive_window.give_back(flow_bytes)
        if self._discarded_bytes >= _DISCARDED_STEP_BYTES:
            self._discarded_bytes = 0
            credit += self._receive_window.give_back_all()
        if credit:
            self._output.put(window_update(0, credit))

    def _return_credit(self, stream_id: int, stream: Stream) -> None:
        """A stream is over: what of its body is not returned yet is returned to the connection."""
        if stream.unreturned:
            stream.request_open = False  # its own window is of no use any more
            self._give_back(stream_id, stream, stream.unreturned)
            stream.unreturned = 0

    # --- ends of streams ----------------------------------------------------------------------

    def _reset_faulty(
        self, stream_id: int, stream: Stream, code: ErrorCode, events: list[Event], *, in_flight: bool = True
    ) -> None:
        """Reset a stream because of what the client sent on it."""
        self._budgets.spend(Waste.RESET)
        self._reset(stream_id, code, in_flight=in_flight and stream.request_open)
        self._forsake(stream_id, stream, int(code), events)

    def _forsake(self, stream_id: int, stream: Stream, code: int, events: list[Event]) -> None:
        """The stream is over without conduct's doing: its place stays taken until conduct lets go."""
        self._return_credit(stream_id, stream)
        if stream.discards:
            del self._streams.live[stream_id]  # nothing runs for a request that was refused
            return
        stream.gone = True
        events.append(StreamReset(stream_id, code))

    def _reset(self, stream_id: int, code: int, *, in_flight: bool) -> None:
        self._output.put_in_order(reset_frame(stream_id, code))
        self._streams.remember_reset(stream_id, in_flight=in_flight)

    # --- sending ------------------------------------------------------------------------------

    def send(self, event: Event) -> None:
        if isinstance(event, GoAway):
            if not self._dead:
                self._drain(event.code)
            return
        if not isinstance(event, _OF_STREAMS):
            raise LocalProtocolError(f"{type(event).__name__} cannot be sent on HTTP/2")
        stream_id = event.stream_id
        stream = self._streams.working(stream_id)
        if stream is None and self._streams.is_idle(stream_id):
            raise LocalProtocolError(f"{type(event).__name__} on stream {stream_id}, which was never opened")
        if self._dead or stream is None:
            return
        if isinstance(event, BodyChunk):
            self._send_body(stream_id, stream, event.data)
        elif isinstance(event, EndOfBody):
            self._send_end(stream_id, stream)
        elif isinstance(event, StreamReset):
            self._end_stream(stream_id, stream, event.code)
        else:
            self._send_head(stream_id, stream, event)

    def _send_head(self, stream_id: int, stream: Stream, head: ResponseHead | InformationalHead) -> None:
        if stream.responding:
            raise LocalProtocolError(f"a second head on stream {stream_id}")
        block, promised = encode_head(head)
        self._output.hold_block(stream_id, self._block_prefix + block)
        self._block_prefix = b""
        if isinstance(head, ResponseHead):
            stream.responding = True
            stream.response_left = 0 if stream.is_head else promised
        else:
            self._output.release()  # never the last frame of a stream

    def _send_body(self, stream_id: int, stream: Stream, data: bytes) -> None:
        if not stream.responding:
            raise LocalProtocolError(f"a body before its head on stream {stream_id}")
        if stream.is_head and stream.discards:
            return  # whoever answers a refused request was not told that its method is HEAD
        if len(data) > self.sendable(stream_id):
            raise LocalProtocolError(f"{len(data)} bytes exceed what is sendable on stream {stream_id}")
        if stream.response_left is not None:
            if len(data) > stream.response_left:
                raise LocalProtocolError(f"more body than content-length on stream {stream_id}")
            stream.response_left -= len(data)
        stream.send_window -= len(data)
        self._send_window -= len(data)
        step = self._output.max_frame_bytes
        for start in range(0, len(data), step):
            self._output.hold_data(stream_id, data[start : start + step])
        self._budgets.earn_bytes(len(data))

    def _send_end(self, stream_id: int, stream: Stream) -> None:
        if not stream.responding:
            raise LocalProtocolError(f"the end of a body before its head on stream {stream_id}")
        if stream.response_left:
            raise LocalProtocolError(f"less body than content-length on stream {stream_id}")
        self._output.end(stream_id)
        self._budgets.earn_request()
        if stream.request_open:
            # The answer does not depend on the rest of the request: RFC 9113 section 8.1.
            self._end_stream(stream_id, stream, ErrorCode.NO_ERROR)
        else:
            self._return_credit(stream_id, stream)
            del self._streams.live[stream_id]

    def _end_stream(self, stream_id: int, stream: Stream, code: int) -> None:
        """Our side is done with a stream before the client's is: it gets a reset."""
        self._reset(stream_id, code, in_flight=stream.request_open)
        self._return_credit(stream_id, stream)
        del self._streams.live[stream_id]

    def _drain(self, code: int) -> None:
        """Announce that no new stream will be served; those up to the newest one will."""
        if self._last_served is None:
            self._last_served = self._streams.highest_id
        self._output.put(self._goaway(code))

    def data_to_send(self) -> bytes:
        """What is queued. A GOAWAY after a fault comes last."""
        return self._output.take()


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
