"""The streams of an HTTP/2 connection, seen from the server: which live, and how the others ended.

A stream of ours has few states, for we answer and never push: its request is open, or complete
(`request_open`); its final head was sent or not (`responding`). It ends by our END_STREAM or by a reset.
Ended by a reset that was not conduct's doing, it is `gone`: it keeps its place until conduct releases it.

What is over is remembered only as far as it matters: which streams were reset, since frames may still be
under way on those, and the newest id. So a connection's memory does not grow with its age.

The trap: after RST_STREAM of the client nothing may follow on a stream, after ours a lot may.
Source: RFC 9113 sections 5.1 and 5.1.1.
"""

from typing import Final

from protocol.errors import RemoteProtocolError
from protocol.http2_frames import ConnectionFault, ErrorCode, protocol_fault
from protocol.http2_windows import ReceiveWindow

MAX_REMEMBERED_RESETS: Final = 1024
"""Ten times the streams that can be open at once: frames under way on older ones have long arrived."""


class Stream:
    """One stream that occupies a place."""

    __slots__ = (
        "body_left",
        "discards",
        "gone",
        "is_head",
        "is_malformed",
        "receive_window",
        "request_open",
        "responding",
        "response_left",
        "send_window",
        "unreturned",
    )

    def __init__(self, *, request_open: bool, send_window: int) -> None:
        self.request_open = request_open
        self.send_window = send_window  # bytes of body the client takes now; may be negative
        self.receive_window: ReceiveWindow | None = None  # None: no DATA came yet
        self.is_head = False
        self.body_left: int | None = (
            None  # bytes that content-length still promises; None: it promised nothing
        )
        self.discards = False  # the request was refused: nobody gets its body
        self.is_malformed = False  # and it ends with an error, whatever is answered before
        self.gone = False  # reset, not by conduct: kept until conduct releases it
        self.responding = False  # the final head was sent
        self.response_left: int | None = None  # as body_left, for the response
        self.unreturned = 0  # bytes handed out as BodyChunk for which `consumed` was not called yet

    def breaks_promise(self, body_bytes: int, *, ends: bool) -> bool:
        """Book so much body of the request; whether content-length said something else."""
        if self.body_left is None:
            return False
        self.body_left -= body_bytes
        return self.body_left < 0 or (ends and self.body_left > 0)


class StreamTable:
    """All streams of one connection."""

    def __init__(self) -> None:
        self.live: dict[int, Stream] = {}
        self.highest_id = 0  # the newest stream the client opened
        self._all_ids = True  # it never skipped one
        self._resets: dict[int, bool] = {}  # id -> whether frames of the client may be under way

    def open(self, stream_id: int) -> None:
        """The client opens a stream. Raises ConnectionFault if it may not have this id."""
        if stream_id % 2 == 0:
            raise protocol_fault("a stream with an even id from a client")
        self._all_ids = self._all_ids and stream_id == self.highest_id + (2 if self.highest_id else 1)
        self.highest_id = stream_id

    def is_idle(self, stream_id: int) -> bool:
        """Whether the client never opened this stream, though it may have skipped it."""
        return stream_id == 0 or stream_id % 2 == 0 or stream_id > self.highest_id

    def working(self, stream_id: int) -> Stream | None:
        """The stream, if it is not over."""
        stream = self.live.get(stream_id)
        return None if stream is None or stream.gone else stream

    def remember_reset(self, stream_id: int, *, in_flight: bool) -> None:
        """A stream was reset; in_flight: by us, and the client had not ended its request."""
        self._resets[stream_id] = in_flight
        if len(self._resets) > MAX_REMEMBERED_RESETS:
            del self._resets[next(iter(self._resets))]

    def was_reset(self, stream_id: int) -> bool:
        return stream_id in self._resets

    def is_in_flight(self, stream_id: int) -> bool:
        """Whether DATA on this stream, which is over, was sent before the client knew."""
        return self._resets.get(stream_id, False)

    def settle(self, stream_id: int) -> None:
        """The client ended a stream that we had reset: nothing is under way any more."""
        if stream_id in self._resets:
            self._resets[stream_id] = False

    def reopened(self, stream_id: int) -> ConnectionFault:
        """What a HEADERS frame is on a stream that is over and was not reset.

        Either it was ended (5.1), or never opened (5.1.1): known as long as the client skips no id.
        """
        if self._all_ids and stream_id % 2:
            return ConnectionFault(
                ErrorCode.STREAM_CLOSED, RemoteProtocolError("HEADERS on a stream that ended")
            )
        return protocol_fault("a stream id lower than one before")
