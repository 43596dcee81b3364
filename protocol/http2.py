"""HTTP/2, server side: h2 for the state of streams and windows, everything it leaves open around it.

h2 is fed one frame at a time, because `receive_data` raises and drops the events of good frames of
the same read. Frames that need no stream state (PING, GOAWAY, PRIORITY, unknown ones) never reach
it, nor do frames on streams that are over, over which it would end the connection or answer a reset
with a reset. Requests are judged in `http2_headers`, floods counted in `http2_budgets`.

A stream occupies one of MAX_CONCURRENT_STREAMS until it is over for both sides *and*, when it ended
by a reset that we did not ask for, until conduct says `release`: the work behind it may still run, and a
client that opens and resets must not start more of it than one that waits (CVE-2023-44487).

The trap: h2's connection is dead after any error and after any GOAWAY, sent or received. So a GOAWAY
of ours (graceful) is written here, and one of the client is not shown to h2.
Source: RFC 9113; h2 4.4.1.
"""

from collections.abc import Callable
from typing import Final

import h2.events as h2_events
from h2.errors import ErrorCodes
from h2.exceptions import ProtocolError as H2ProtocolError
from h2.settings import SettingCodes

from protocol.errors import Flooding, LocalProtocolError, RemoteProtocolError, TooLarge
from protocol.events import (
    BodyChunk,
    EndOfBody,
    Event,
    Failed,
    GoAway,
    InformationalHead,
    PeerClosed,
    ResponseHead,
    StreamRefused,
    StreamReset,
    WindowOpened,
)
from protocol.http2_budgets import THIN_DATA_BYTES, FloodBudgets, Waste
from protocol.http2_frames import (
    ACK,
    END_HEADERS,
    END_STREAM,
    HEADER_BYTES,
    PADDED,
    ConnectionFault,
    Frame,
    FrameCutter,
    Type,
    protocol_fault,
)
from protocol.http2_headers import parse_request, promised_bytes, response_fields
from protocol.http2_output import Http2Output
from protocol.http2_setup import (
    CONNECTION_WINDOW_BYTES,
    MAX_CONCURRENT_STREAMS,
    goaway_frame,
    make_connection,
    ping_ack,
    settings_frame,
    window_update,
)

MAX_STREAMS: Final = 10_000
"""Per connection; then a graceful GOAWAY. Clients open a new connection without losing a request."""

MAX_BLOCK_BYTES: Final = 64 * 1024
MAX_CONTINUATIONS: Final = 8
"""A header block in at most so many bytes and CONTINUATION frames (CVE-2024-27316 had no end)."""

MAX_QUEUED_BODY_BYTES: Final = 256 * 1024
"""`sendable` never offers more than this between two calls of data_to_send."""

MAX_QUEUED_BYTES: Final = 1024 * 1024
"""A client that makes us queue more than this without reading it is cut off."""

_DISCARDED_STEP_BYTES: Final = 32 * 1024  # credit for discarded DATA is returned in steps of this


class _Stream:
    """What the machine knows of a stream besides h2."""

    __slots__ = (
        "body_left",
        "discards",
        "gone",
        "is_head",
        "request_open",
        "responding",
        "response_left",
        "unreturned",
    )

    def __init__(self, *, request_open: bool, is_head: bool, body_left: int | None, discards: bool) -> None:
        self.request_open = request_open
        self.is_head = is_head
        self.body_left = body_left  # bytes that content-length still promises; None: it promised nothing
        self.discards = discards  # the request was refused: nobody gets its body
        self.gone = False  # reset, not by conduct: kept until conduct releases it
        self.responding = False  # the final head was sent
        self.response_left: int | None = None  # as body_left, for the response
        self.unreturned = 0  # bytes handed out as BodyChunk for which `consumed` was not called yet


class Http2Server:
    """One HTTP/2 connection, seen from the server. The contract is that of `protocol.events.Machine`.

    Its first output (our SETTINGS) is ready before anything is received. Events: RequestHead,
    BodyChunk, EndOfBody, StreamRefused, StreamReset, WindowOpened, GoAway, PeerClosed, Failed.
    Accepts: ResponseHead, InformationalHead, BodyChunk, EndOfBody, StreamReset, GoAway. What is sent on
    a stream that the client has just reset is dropped silently: conduct cannot know yet.
    """

    def __init__(self) -> None:
        self._h2 = make_connection()
        self._output = Http2Output(self._h2)
        self._output.put(settings_frame() + window_update(CONNECTION_WINDOW_BYTES - 65535))
        self._cutter = FrameCutter()
        self._budgets = FloodBudgets()
        self._streams: dict[int, _Stream] = {}
        # Reset by us while the client was still sending: its frames may yet arrive.
        self._in_flight: set[int] = set()
        self._opened = 0
        self._settings_seen = False
        self._block: Frame | None = None  # the HEADERS frame whose block is not complete
        self._block_bytes = self._block_frames = 0
        self._discarded_bytes = 0
        self._dead = False
        # The stream id of our first GOAWAY; later ones must not exceed it. None: not draining.
        self._last_served: int | None = None

    # --- state, for conduct -----------------------------------------------------------------

    @property
    def live_streams(self) -> int:
        """Streams that occupy a place: requests under way, and reset ones not released yet."""
        return len(self._streams)

    @property
    def is_draining(self) -> bool:
        """Whether a GOAWAY was sent, by conduct or because of MAX_STREAMS. Close at live_streams == 0."""
        return self._last_served is not None

    def sendable(self, stream_id: int) -> int:
        """Bytes of body that may be sent on a stream now. 0: wait for WindowOpened, or flush and ask again."""
        stream = self._streams.get(stream_id)
        if self._dead or stream is None or stream.gone:
            return 0
        room = MAX_QUEUED_BODY_BYTES - self._output.queued_bytes
        window = self._h2.local_flow_control_window(stream_id)
        return max(0, min(window, room) - self._output.held_body_bytes)

    def consumed(self, stream_id: int, flow_bytes: int) -> None:
        """Return the credit of BodyChunks that were dealt with (the sum of their `flow_bytes`).

        WINDOW_UPDATEs are batched. What was not returned when its stream ends returns by itself.
        """
        stream = self._streams.get(stream_id)
        if self._dead or stream is None or stream.gone:
            return
        returned = min(flow_bytes, stream.unreturned)
        stream.unreturned -= returned
        self._h2.acknowledge_received_data(returned, stream_id)

    def release(self, stream_id: int) -> None:
        """Nothing runs any more for a stream that was reset; its place is free. No-op for all others."""
        stream = self._streams.get(stream_id)
        if stream is not None and stream.gone:
            del self._streams[stream_id]

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
        self._output.flush()
        try:
            for frame in self._cutter.cut(data):
                self._on_frame(frame, events)
                if self._output.queued_bytes > MAX_QUEUED_BYTES:
                    raise Flooding("the client does not read what it makes us answer")
        except ConnectionFault as fault:
            self._fail(fault.error, fault.code, events)
        except Flooding as error:
            self._fail(error, ErrorCodes.ENHANCE_YOUR_CALM, events)
        except H2ProtocolError as error:
            # h2 has queued a GOAWAY itself. The text of its errors may quote header values; its type
            # and code say enough.
            self._dead = True
            name = ErrorCodes(error.error_code).name
            events.append(Failed(RemoteProtocolError(f"HTTP/2 {type(error).__name__} ({name})")))
        self._output.collect()
        return events

    def _end_of_input(self) -> Event:
        self._dead = True
        sending = any(stream.request_open and not stream.gone for stream in self._streams.values())
        if self._cutter.is_between_frames and self._block is None and not sending:
            return PeerClosed()
        return Failed(RemoteProtocolError("the connection ended inside a frame or a request"))

    def _fail(self, error: RemoteProtocolError, code: ErrorCodes, events: list[Event]) -> None:
        self._output.put_final(self._goaway(code))
        self._dead = True
        events.append(Failed(error))

    def _goaway(self, code: int) -> bytes:
        highest = self._h2.highest_inbound_stream_id
        return goaway_frame(highest if self._last_served is None else self._last_served, code)

    def _on_frame(self, frame: Frame, events: list[Event]) -> None:
        if not self._settings_seen:
            if frame.type != Type.SETTINGS or frame.flags & ACK:
                raise protocol_fault("the preface is not followed by SETTINGS")
            self._settings_seen = True
        if self._block is not None and frame.type != Type.CONTINUATION:
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
            self._output.put(ping_ack(frame.raw[HEADER_BYTES:]))

    def _on_goaway(self, frame: Frame, events: list[Event]) -> None:
        if frame.stream_id:
            raise protocol_fault("GOAWAY on a stream")
        self._budgets.spend(Waste.SETTINGS)
        last, code = (
            int.from_bytes(frame.raw[at : at + 4], "big") for at in (HEADER_BYTES, HEADER_BYTES + 4)
        )
        events.append(GoAway(last & 0x7FFF_FFFF, code))

    def _on_priority(self, frame: Frame, events: list[Event]) -> None:
        if frame.type == Type.PRIORITY and not frame.stream_id:
            raise protocol_fault("PRIORITY without a stream")
        self._budgets.spend(Waste.PRIORITY)

    def _on_push_promise(self, frame: Frame, events: list[Event]) -> None:
        raise protocol_fault("PUSH_PROMISE from a client")

    def _on_settings(self, frame: Frame, events: list[Event]) -> None:
        self._budgets.spend(Waste.SETTINGS)
        for event in self._h2.receive_data(frame.raw):
            if isinstance(event, h2_events.RemoteSettingsChanged):
                window = event.changed_settings.get(SettingCodes.INITIAL_WINDOW_SIZE)
                if window is not None and window.new_value > (window.original_value or 0):
                    events.append(WindowOpened(0))

    def _on_headers(self, frame: Frame, events: list[Event]) -> None:
        self._block_bytes, self._block_frames = frame.payload_bytes, 0
        self._block = frame
        self._continue_block(frame, events)

    def _on_continuation(self, frame: Frame, events: list[Event]) -> None:
        if self._block is None or self._block.stream_id != frame.stream_id:
            raise protocol_fault("CONTINUATION without a header block to continue")
        self._block_bytes += frame.payload_bytes
        self._block_frames += 1
        if self._block_bytes > MAX_BLOCK_BYTES or self._block_frames > MAX_CONTINUATIONS:
            raise ConnectionFault(
                ErrorCodes.ENHANCE_YOUR_CALM,
                TooLarge(
                    f"a header block of more than {MAX_BLOCK_BYTES} bytes or {MAX_CONTINUATIONS} continuations"
                ),
            )
        self._continue_block(frame, events)

    def _continue_block(self, frame: Frame, events: list[Event]) -> None:
        found = self._h2.receive_data(frame.raw)
        if not frame.flags & END_HEADERS:
            return
        self._block = None
        for event in found:
            if isinstance(event, h2_events.RequestReceived):
                self._on_request(event, events)
                return
            if isinstance(event, h2_events.TrailersReceived):
                self._on_trailers(event, events)
                return
        # h2 answered with a reset of its own: a block on a stream that was reset, or whose request is over.
        self._budgets.spend(Waste.STRAY)
        self._on_resets(found, events)

    def _on_request(self, event: h2_events.RequestReceived, events: list[Event]) -> None:
        stream_id, ended = event.stream_id, event.stream_ended is not None
        if self._last_served is not None or len(self._streams) >= MAX_CONCURRENT_STREAMS:
            self._budgets.spend(Waste.RESET)
            self._reset(stream_id, ErrorCodes.REFUSED_STREAM, in_flight=not ended)
            return
        self._opened += 1
        if self._opened >= MAX_STREAMS:
            self._drain(ErrorCodes.NO_ERROR)
        try:
            head = parse_request(stream_id, event.headers, ended=ended)
        except RemoteProtocolError as error:
            self._budgets.spend(Waste.RESET)
            is_head = (b":method", b"HEAD") in event.headers
            self._streams[stream_id] = _Stream(
                request_open=not ended, is_head=is_head, body_left=None, discards=True
            )
            events.append(StreamRefused(stream_id, error))
            return
        self._streams[stream_id] = _Stream(
            request_open=not ended,
            is_head=head.method == b"HEAD",
            body_left=head.content_length,
            discards=False,
        )
        events.append(head)
        if ended:
            events.append(EndOfBody(stream_id))

    def _on_trailers(self, event: h2_events.TrailersReceived, events: list[Event]) -> None:
        """Trailers end a body; with anything in them they are refused, as on HTTP/1.1."""
        stream = self._streams[event.stream_id]
        if (event.headers or stream.body_left) and not stream.discards:
            self._reset_faulty(event.stream_id, stream, ErrorCodes.PROTOCOL_ERROR, events, in_flight=False)
        else:
            self._end_request(event.stream_id, stream, events)

    def _on_data(self, frame: Frame, events: list[Event]) -> None:
        stream = self._streams.get(frame.stream_id)
        if stream is None or stream.gone:
            self._discard(frame)
            return
        ends = bool(frame.flags & END_STREAM)
        padding = 1 + frame.raw[HEADER_BYTES] if frame.flags & PADDED and frame.payload_bytes else 0
        body_bytes = frame.payload_bytes - padding
        if body_bytes < THIN_DATA_BYTES and not ends:
            self._budgets.spend(Waste.THIN_DATA)
        if stream.body_left is not None and stream.request_open:
            if body_bytes > stream.body_left or (ends and body_bytes != stream.body_left):
                self._return_discarded(frame.payload_bytes)
                self._reset_faulty(
                    frame.stream_id, stream, ErrorCodes.PROTOCOL_ERROR, events, in_flight=not ends
                )
                return
            stream.body_left -= body_bytes
        self._take_data(frame, stream, events)

    def _take_data(self, frame: Frame, stream: _Stream, events: list[Event]) -> None:
        found = self._h2.receive_data(frame.raw)
        for event in found:
            if isinstance(event, h2_events.DataReceived):
                self._budgets.earn_bytes(len(event.data))
                if stream.discards or not event.data:
                    self._h2.acknowledge_received_data(event.flow_controlled_length, frame.stream_id)
                else:
                    stream.unreturned += event.flow_controlled_length
                    events.append(BodyChunk(event.data, frame.stream_id, event.flow_controlled_length))
            elif isinstance(event, h2_events.StreamEnded):
                self._end_request(frame.stream_id, stream, events)
        self._on_resets(found, events)

    def _end_request(self, stream_id: int, stream: _Stream, events: list[Event]) -> None:
        stream.request_open = False
        if not stream.discards:
            events.append(EndOfBody(stream_id))

    def _discard(self, frame: Frame) -> None:
        """DATA on a stream that is over. h2 does not see it, so its credit is returned here."""
        stream_id = frame.stream_id
        if stream_id not in self._in_flight:
            self._check_not_idle(stream_id)
            raise ConnectionFault(ErrorCodes.STREAM_CLOSED, RemoteProtocolError("DATA on a closed stream"))
        self._budgets.spend(Waste.STRAY)
        if frame.flags & END_STREAM:
            self._in_flight.discard(stream_id)
        self._return_discarded(frame.payload_bytes)

    def _return_discarded(self, count: int) -> None:
        self._discarded_bytes += count
        if self._discarded_bytes >= _DISCARDED_STEP_BYTES:
            self._output.put(window_update(self._discarded_bytes))
            self._discarded_bytes = 0

    def _on_reset(self, frame: Frame, events: list[Event]) -> None:
        stream_id = frame.stream_id
        self._check_not_idle(stream_id)
        self._in_flight.discard(stream_id)
        stream = self._streams.get(stream_id)
        if stream is None or stream.gone:
            self._budgets.spend(Waste.STRAY)
            return
        self._budgets.spend(Waste.RESET)
        self._on_resets(self._h2.receive_data(frame.raw), events)

    def _on_window_update(self, frame: Frame, events: list[Event]) -> None:
        self._budgets.spend(Waste.WINDOW_UPDATE)
        stream_id = frame.stream_id
        # hyperframe takes the reserved bit for a part of the increment.
        increment = int.from_bytes(frame.raw[HEADER_BYTES:], "big") & 0x7FFF_FFFF
        if stream_id:
            self._check_not_idle(stream_id)
            stream = self._streams.get(stream_id)
            if stream is None or stream.gone:
                return
            if not increment:
                self._reset_faulty(stream_id, stream, ErrorCodes.PROTOCOL_ERROR, events)
                return
        found = self._h2.receive_data(frame.raw[:HEADER_BYTES] + increment.to_bytes(4, "big"))
        if any(isinstance(event, h2_events.WindowUpdated) for event in found):
            events.append(WindowOpened(stream_id))
        self._on_resets(found, events)

    def _check_not_idle(self, stream_id: int) -> None:
        if not stream_id or stream_id % 2 == 0 or stream_id > self._h2.highest_inbound_stream_id:
            raise protocol_fault("a frame on a stream that was never opened")

    # --- ends of streams ----------------------------------------------------------------------

    def _on_resets(self, found: list[h2_events.Event], events: list[Event]) -> None:
        """Streams that h2 says were reset: by the client, or by h2 because of what the client sent."""
        for event in found:
            if isinstance(event, h2_events.StreamReset) and event.stream_id in self._streams:
                if not event.remote_reset:
                    self._budgets.spend(Waste.RESET)
                stream = self._streams[event.stream_id]
                if stream.request_open and not event.remote_reset:
                    self._in_flight.add(event.stream_id)
                self._forsake(event.stream_id, stream, int(event.error_code or 0), events)

    def _reset_faulty(
        self,
        stream_id: int,
        stream: _Stream,
        code: ErrorCodes,
        events: list[Event],
        *,
        in_flight: bool = True,
    ) -> None:
        """Reset a stream because of what the client sent on it."""
        self._budgets.spend(Waste.RESET)
        self._reset(stream_id, code, in_flight=in_flight and stream.request_open)
        self._forsake(stream_id, stream, int(code), events)

    def _forsake(self, stream_id: int, stream: _Stream, code: int, events: list[Event]) -> None:
        """The stream is over without conduct's doing: its place stays taken until conduct lets go."""
        self._return_credit(stream_id, stream)
        if stream.discards:
            del self._streams[stream_id]  # nothing runs for a request that was refused
            return
        stream.gone = True
        events.append(StreamReset(stream_id, code))

    def _reset(self, stream_id: int, code: int, *, in_flight: bool) -> None:
        self._h2.reset_stream(stream_id, code)
        if in_flight:
            self._in_flight.add(stream_id)

    def _return_credit(self, stream_id: int, stream: _Stream) -> None:
        if stream.unreturned:
            self._h2.acknowledge_received_data(stream.unreturned, stream_id)
            stream.unreturned = 0

    # --- sending ------------------------------------------------------------------------------

    def send(self, event: Event) -> None:
        if isinstance(event, GoAway):
            if not self._dead:
                self._drain(event.code)
            return
        if not isinstance(event, ResponseHead | InformationalHead | BodyChunk | EndOfBody | StreamReset):
            raise LocalProtocolError(f"{type(event).__name__} cannot be sent on HTTP/2")
        stream_id = event.stream_id
        if stream_id > self._h2.highest_inbound_stream_id or stream_id % 2 == 0:
            raise LocalProtocolError(f"{type(event).__name__} on stream {stream_id}, which was never opened")
        stream = self._streams.get(stream_id)
        if self._dead or stream is None or stream.gone:
            return
        if isinstance(event, BodyChunk):
            self._send_body(stream_id, stream, event.data)
        elif isinstance(event, EndOfBody):
            self._send_end(stream_id, stream)
        elif isinstance(event, StreamReset):
            self._send_reset(stream_id, stream, event.code)
        else:
            self._send_head(stream_id, stream, event)

    def _send_head(self, stream_id: int, stream: _Stream, head: ResponseHead | InformationalHead) -> None:
        if stream.responding:
            raise LocalProtocolError(f"a second head on stream {stream_id}")
        fields = response_fields(head)
        self._output.hold(stream_id, fields)
        if isinstance(head, ResponseHead):
            stream.responding = True
            stream.response_left = promised_bytes(head, is_head=stream.is_head)
        else:
            self._output.flush()  # never the last frame of a stream

    def _send_body(self, stream_id: int, stream: _Stream, data: bytes) -> None:
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
        step = self._h2.max_outbound_frame_size
        for start in range(0, len(data), step):
            self._output.hold(stream_id, data[start : start + step])
        self._budgets.earn_bytes(len(data))

    def _send_end(self, stream_id: int, stream: _Stream) -> None:
        if not stream.responding:
            raise LocalProtocolError(f"the end of a body before its head on stream {stream_id}")
        if stream.response_left:
            raise LocalProtocolError(f"less body than content-length on stream {stream_id}")
        self._output.end(stream_id)
        del self._streams[stream_id]
        self._budgets.earn_request()
        self._return_credit(stream_id, stream)
        if stream.request_open:
            # The answer does not depend on the rest of the request: RFC 9113 section 8.1.
            self._reset(stream_id, ErrorCodes.NO_ERROR, in_flight=True)

    def _send_reset(self, stream_id: int, stream: _Stream, code: int) -> None:
        self._output.flush()
        self._reset(stream_id, code, in_flight=stream.request_open)
        self._return_credit(stream_id, stream)
        del self._streams[stream_id]

    def _drain(self, code: int) -> None:
        """Announce that no new stream will be served; those up to the newest one will."""
        if self._last_served is None:
            self._last_served = self._h2.highest_inbound_stream_id
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
