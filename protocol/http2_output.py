"""What an HTTP/2 connection has queued to be sent, and the one frame it holds back.

The last HEADERS or DATA frame waits until something else is queued or the queue is taken, so that an
END_STREAM which follows joins it instead of costing an empty DATA frame. Frames of streams keep their
order; what belongs to no stream (answers to PING, credit, GOAWAY) overtakes them.
"""

from h2.connection import H2Connection

from protocol.events import Headers
from protocol.http2_frames import HEADER_BYTES


class Http2Output:
    """The queue of one connection. h2 serialises what has stream state."""

    def __init__(self, connection: H2Connection) -> None:
        self._h2 = connection
        self._held: tuple[int, Headers | bytes] | None = None
        self._first: list[bytes] = []
        self._final = b""
        self._first_bytes = 0
        self._h2_bytes = 0  # what `flush` has put into h2 and nobody has taken; h2 does not tell

    @property
    def queued_bytes(self) -> int:
        return self._first_bytes + self._h2_bytes

    @property
    def held_body_bytes(self) -> int:
        return len(self._held[1]) if self._held is not None and isinstance(self._held[1], bytes) else 0

    def put(self, frames: bytes) -> None:
        """Queue whole frames ahead of what h2 has not been asked for yet."""
        self._first.append(frames)
        self._first_bytes += len(frames)

    def put_final(self, frame: bytes) -> None:
        """Queue the last frame of the connection."""
        self._final = frame

    def hold(self, stream_id: int, content: Headers | bytes) -> None:
        """Queue a header block or the payload of one DATA frame; it may still get END_STREAM."""
        self.flush()
        self._held = (stream_id, content)

    def end(self, stream_id: int) -> None:
        """Queue END_STREAM, on the held frame if it is of this stream."""
        if self._held is not None and self._held[0] == stream_id:
            self.flush(end_stream=True)
        else:
            self.flush()
            self._h2.end_stream(stream_id)
            self._h2_bytes += HEADER_BYTES

    def flush(self, *, end_stream: bool = False) -> None:
        """Hand the held frame to h2. Needed before anything that changes the state of a stream."""
        if self._held is None:
            return
        (stream_id, content), self._held = self._held, None
        if isinstance(content, bytes):
            self._h2.send_data(stream_id, content, end_stream)
            self._h2_bytes += len(content) + HEADER_BYTES
        else:
            self._h2.send_headers(stream_id, content, end_stream)
            self._h2_bytes += HEADER_BYTES + sum(len(name) + len(value) for name, value in content)

    def collect(self) -> None:
        """Move what h2 has queued (also by itself: ACKs, resets, credit) to where it is counted exactly."""
        frames = self._h2.data_to_send()
        self._h2_bytes = 0
        if frames:
            self.put(frames)

    def take(self) -> bytes:
        """Everything queued, in order; the queue is empty then."""
        self.flush()
        frames = self._h2.data_to_send()
        if self._first or self._final:
            frames = b"".join((*self._first, frames, self._final))
            self._first, self._final = [], b""
        self._first_bytes = self._h2_bytes = 0
        return frames
