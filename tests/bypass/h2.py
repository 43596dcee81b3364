"""An HTTP/2 client that sends any field, also those the h2 library would not, and reads statuses."""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

from hpack import Decoder
from hyperframe.frame import DataFrame, Frame, HeadersFrame, RstStreamFrame

from tests.kit import h2_wire as wire
from tests.kit.gateway_rig import Rig
from tests.kit.raw_client import RawClient

Field = tuple[bytes, bytes]
FRAME_HEAD_BYTES = 9


class H2Wire:
    """One connection. What is asked one after the other is answered one after the other."""

    def __init__(self, raw: RawClient, rig: Rig) -> None:
        self.raw, self._rig = raw, rig
        self._decoder = Decoder()
        self._received = b""
        self._next_stream = 1

    def head(self, method: bytes, target: bytes, *fields: Field, authority: bytes = b"") -> list[Field]:
        """A good head of the rig's user, then these fields."""
        return [
            (b":method", method),
            (b":scheme", b"https"),
            (b":authority", authority or self._rig.host),
            (b":path", target),
            (b"authorization", b"Bearer " + self._rig.token),
            *fields,
        ]

    async def ask(self, head: list[Field], *frames_after: bytes) -> int:
        """The status of the answer; 0: the stream was reset or the connection closed.

        frames_after: what follows the head instead of its end.
        """
        stream_id, self._next_stream = self._next_stream, self._next_stream + 2
        request = wire.headers(stream_id, head, end=not frames_after)
        await self.raw.send(request + b"".join(frames_after))
        while (status := self._status_of(stream_id)) is None:
            data = await self.raw.more()
            if not data:
                return 0
            self._received += data
        return status

    async def ended(self, stream_id: int) -> bytes:
        """All that came on a stream until its end, its reset or that of the connection."""
        body = b""
        while True:
            for frame in self._frames():
                if frame.stream_id == stream_id:
                    body += frame.data if isinstance(frame, DataFrame) else b""
                    if isinstance(frame, RstStreamFrame) or "END_STREAM" in frame.flags:
                        return body
            data = await self.raw.more()
            if not data:
                return body
            self._received += data

    def _frames(self) -> Iterator[Frame]:
        while len(self._received) >= FRAME_HEAD_BYTES:
            size = FRAME_HEAD_BYTES + int.from_bytes(self._received[:3])
            if len(self._received) < size:
                return
            (frame,) = wire.frames_of(self._received[:size])
            self._received = self._received[size:]
            yield frame

    def _status_of(self, stream_id: int) -> int | None:
        for frame in self._frames():
            if isinstance(frame, HeadersFrame):
                fields = dict(self._decoder.decode(frame.data, raw=True))
                if frame.stream_id == stream_id:
                    return int(fields[b":status"])
            elif isinstance(frame, RstStreamFrame) and frame.stream_id == stream_id:
                return 0
        return None


@asynccontextmanager
async def open_h2_wire(rig: Rig) -> AsyncIterator[H2Wire]:
    async with rig.client(["h2"]) as raw:
        await raw.send(wire.PREFACE + wire.settings() + wire.settings(ack=True))
        yield H2Wire(raw, rig)
