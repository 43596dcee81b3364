"""HTTP/2, server side: what we send. Answers, resets, credit, goodbye; and the windows that bound them.

The other half, what frames of the client mean, is `http2`.
The trap: a stream that ends gives the credit of what nobody consumed back to its connection, or every body that
is abandoned narrows the window of all that follow.
Source: RFC 9113 sections 5.2, 6.4, 6.8, 6.9 and 8.1.
"""

from typing import Final

from protocol.errors import LocalProtocolError
from protocol.events import (
    BodyChunk,
    EndOfBody,
    Event,
    GoAway,
    InformationalHead,
    ResponseHead,
    StreamReset,
)
from protocol.http2_answers import NO_TABLE, encode_head
from protocol.http2_budgets import FloodBudgets
from protocol.http2_frames import ErrorCode, goaway_frame, reset_frame, window_update
from protocol.http2_output import Http2Output
from protocol.http2_setup import CONNECTION_WINDOW_BYTES, settings_frame
from protocol.http2_streams import Stream, StreamTable
from protocol.http2_windows import ReceiveWindow

MAX_QUEUED_BODY_BYTES: Final = 256 * 1024
"""`sendable` never offers more than this between two calls of data_to_send."""

DEFAULT_WINDOW_BYTES: Final = 65535
"""Of each stream and of the connection, until SETTINGS and WINDOW_UPDATE say otherwise (RFC 9113 section 6.9.2)."""

_OF_STREAMS: Final = (ResponseHead, InformationalHead, BodyChunk, EndOfBody, StreamReset)
"""Events that can be sent, and belong to one stream."""

_DISCARDED_STEP_BYTES: Final = 32 * 1024  # credit for discarded DATA is returned in steps of this


class Http2Sender:
    """The sending half of a server's connection, and what both halves know of it."""

    def __init__(self) -> None:
        self._output = Http2Output()
        self._output.put(settings_frame() + window_update(0, CONNECTION_WINDOW_BYTES - DEFAULT_WINDOW_BYTES))
        self._budgets = FloodBudgets()
        self._streams = StreamTable()
        self._receive_window = ReceiveWindow(CONNECTION_WINDOW_BYTES)
        self._send_window = DEFAULT_WINDOW_BYTES
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

    def _reset(self, stream_id: int, code: int, *, in_flight: bool) -> None:
        self._output.put_in_order(reset_frame(stream_id, code))
        self._streams.remember_reset(stream_id, in_flight=in_flight)

    # --- sending ------------------------------------------------------------------------------

    def send(self, event: Event) -> None:
        if not isinstance(event, _OF_STREAMS):
            if not isinstance(event, GoAway):
                raise LocalProtocolError(f"{type(event).__name__} cannot be sent on HTTP/2")
            if not self._dead:
                self._drain(event.code)
            return
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
        queue_room = MAX_QUEUED_BODY_BYTES - self._output.queued_bytes
        if data and len(data) > min(stream.send_window, self._send_window, queue_room):  # as `sendable` says
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
        if stream.is_malformed:  # an answer may come first, an error it is: RFC 9113 section 8.1.1
            self._end_stream(stream_id, stream, ErrorCode.PROTOCOL_ERROR)
        elif stream.request_open:
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

    def _goaway(self, code: int) -> bytes:
        highest = self._streams.highest_id
        return goaway_frame(highest if self._last_served is None else self._last_served, code)

    def _drain(self, code: int) -> None:
        """Announce that no new stream will be served; those up to the newest one will."""
        if self._last_served is None:
            self._last_served = self._streams.highest_id
        self._output.put(self._goaway(code))

    def data_to_send(self) -> bytes:
        """What is queued. A GOAWAY after a fault comes last."""
        return self._output.take()
