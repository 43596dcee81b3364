"""What an HTTP/2 connection has queued to be sent, and the one frame it holds back.

The last HEADERS or DATA frame waits until something else is queued or the queue is taken, so that an
END_STREAM which follows joins it instead of costing an empty DATA frame. Frames of streams keep their
order; what belongs to no stream (answers to PING, credit, GOAWAY) overtakes them.
"""

from protocol.http2_frames import END_STREAM, HEADER_BYTES, Type, frame_header, headers_frames


class Http2Output:
    """The queue of one connection."""

    def __init__(self) -> None:
        self.max_frame_bytes = 16384  # the client's SETTINGS_MAX_FRAME_SIZE: no longer DATA may be held
        self.queued_bytes = 0
        self._held: tuple[Type, int, bytes] | None = None
        self._first: list[bytes] = []
        self._frames: list[bytes] = []
        self._final = b""

    def put(self, frames: bytes) -> None:
        """Queue whole frames of the connection, ahead of all those of streams."""
        self._first.append(frames)
        self.queued_bytes += len(frames)

    def put_in_order(self, frames: bytes) -> None:
        """Queue whole frames after everything queued so far."""
        self._flush()
        self._frames.append(frames)
        self.queued_bytes += len(frames)

    def put_final(self, frame: bytes) -> None:
        """Queue the last frame of the connection."""
        self._final = frame

    def hold_block(self, stream_id: int, block: bytes) -> None:
        """Queue a header block; it may still get END_STREAM."""
        self._flush()
        self._held = (Type.HEADERS, stream_id, block)
        self.queued_bytes += HEADER_BYTES + len(block)

    def hold_data(self, stream_id: int, data: bytes) -> None:
        """Queue the payload of one DATA frame; it may still get END_STREAM."""
        self._flush()
        self._held = (Type.DATA, stream_id, data)
        self.queued_bytes += HEADER_BYTES + len(data)

    def end(self, stream_id: int) -> None:
        """Queue END_STREAM, on the held frame if it is of this stream."""
        if self._held is not None and self._held[1] == stream_id:
            self._flush(end_stream=True)
        else:
            self.put_in_order(frame_header(Type.DATA, END_STREAM, stream_id, 0))

    def release(self) -> None:
        """Let go of the held frame: it ends no stream."""
        self._flush()

    def _flush(self, *, end_stream: bool = False) -> None:
        if self._held is None:
            return
        (kind, stream_id, content), self._held = self._held, None
        if kind is Type.DATA:
            flags = END_STREAM if end_stream else 0
            self._frames.append(frame_header(kind, flags, stream_id, len(content)))
            self._frames.append(content)
        else:
            self._frames.append(
                headers_frames(stream_id, content, end_stream=end_stream, most_bytes=self.max_frame_bytes)
            )

    def take(self) -> bytes:
        """Everything queued, in order; the queue is empty then."""
        if not self.queued_bytes and not self._final:
            return b""
        self._flush()
        taken = b"".join((*self._first, *self._frames, self._final))
        self._first.clear()
        self._frames.clear()
        self._final, self.queued_bytes = b"", 0
        return taken
