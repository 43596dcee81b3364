"""An HTTP/2 client by the h2 library over real TLS; `RawClient` and `h2_wire` write what h2 would not."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import trio
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import (
    ConnectionTerminated,
    DataReceived,
    ResponseReceived,
    StreamEnded,
    StreamReset,
    TrailersReceived,
)

from tests.kit.gateway_rig import Rig
from tests.kit.raw_client import RawClient


@dataclass
class Answer:
    """What came on one stream so far."""

    status: int = 0
    headers: dict[bytes, bytes] = field(default_factory=dict)
    body: bytearray = field(default_factory=bytearray)
    ended: bool = False
    reset: int | None = None


class H2Client:
    """Reads in a task of its own. auto_window: return credit for what is read at once."""

    def __init__(self, raw: RawClient, rig: Rig, *, auto_window: bool = True) -> None:
        self.raw, self._rig = raw, rig
        self.h2 = H2Connection(H2Configuration(client_side=True, header_encoding=None))
        self.answers: dict[int, Answer] = {}
        self.goaway: int | None = None
        self.closed = False
        self._auto_window = auto_window
        self._news = trio.Event()

    async def start(self) -> None:
        self.h2.initiate_connection()
        await self.flush()

    async def flush(self) -> None:
        data = self.h2.data_to_send()
        if data:
            await self.raw.send(data)

    async def begin(
        self,
        method: bytes,
        target: bytes,
        *fields: tuple[bytes, bytes],
        body: bytes | None = None,
        end: bool = True,
    ) -> int:
        """Send a request (its body must fit the window); returns the stream."""
        stream_id = self.h2.get_next_available_stream_id()
        self.answers[stream_id] = Answer()
        head = [
            (b":method", method),
            (b":scheme", b"https"),
            (b":authority", self._rig.host),
            (b":path", target),
            (b"authorization", b"Bearer " + self._rig.token),
            *fields,
        ]
        self.h2.send_headers(stream_id, head, end_stream=end and body is None)
        if body is not None:
            await self.send_body(stream_id, body, end=end)
        await self.flush()
        return stream_id

    async def send_body(self, stream_id: int, body: bytes, *, end: bool) -> None:
        """In pieces, as the windows allow."""
        view, answer = memoryview(body), self.answers[stream_id]
        while view:
            if answer.ended or answer.reset is not None:
                return  # it was answered early
            room = min(self.h2.local_flow_control_window(stream_id), 16384)
            if room:
                self.h2.send_data(stream_id, bytes(view[:room]))
                view = view[room:]
                await self.flush()
            else:
                await self._news.wait()
        if end and not answer.ended and answer.reset is None:
            self.h2.end_stream(stream_id)
            await self.flush()

    async def answer(self, stream_id: int) -> Answer:
        """The whole answer, or what came of it when the stream or connection ended."""
        answer = self.answers[stream_id]
        await self.wait(lambda: answer.ended or answer.reset is not None or self.closed)
        return answer

    async def ask(
        self, method: bytes, target: bytes, *fields: tuple[bytes, bytes], body: bytes | None = None
    ) -> Answer:
        return await self.answer(await self.begin(method, target, *fields, body=body))

    async def wait(self, condition: object) -> None:
        assert callable(condition)
        while not condition():
            await self._news.wait()

    async def read(self) -> None:
        while not self.closed:
            data = await self.raw.more()
            if not data:
                self.closed = True
            for event in self.h2.receive_data(data) if data else ():
                self._heard(event)
            try:
                await self.flush()
            except (trio.BrokenResourceError, trio.ClosedResourceError):
                self.closed = True
            self._news.set()
            self._news = trio.Event()

    def _heard(self, event: object) -> None:
        if isinstance(event, ConnectionTerminated):
            self.goaway = int(event.error_code or 0)
            return
        answer = self.answers.get(getattr(event, "stream_id", 0) or 0)
        if answer is None:
            return
        if isinstance(event, ResponseReceived):
            answer.headers = dict(event.headers)  # type: ignore[arg-type]
            answer.status = int(answer.headers[b":status"])
        elif isinstance(event, DataReceived):
            answer.body += event.data
            if self._auto_window and event.flow_controlled_length:
                self.h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
        elif isinstance(event, StreamEnded):
            answer.ended = True
        elif isinstance(event, StreamReset):
            answer.reset = int(event.error_code)
        else:
            assert not isinstance(event, TrailersReceived)


@asynccontextmanager
async def open_h2(rig: Rig, *, auto_window: bool = True) -> AsyncIterator[H2Client]:
    async with rig.client(["h2"]) as raw, trio.open_nursery() as nursery:
        client = H2Client(raw, rig, auto_window=auto_window)
        await client.start()
        nursery.start_soon(client.read)
        yield client
        nursery.cancel_scope.cancel()
