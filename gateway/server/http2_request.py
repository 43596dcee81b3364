"""One request of an HTTP/2 client connection, and the way back on its stream.

Whoever reads from the connection calls `heard`; the task that serves the request calls everything else. An
answer waits for the flow-control window of its stream, never for other streams.
"""

from collections import deque
from typing import Final, Protocol

import trio

from gateway.errors import ClientLeft
from gateway.server.request import ConnectionFacts
from gateway.tls_stream import TlsStream
from protocol.errors import LocalProtocolError, RemoteProtocolError
from protocol.events import BodyChunk, EndOfBody, Event, RequestHead, ResponseHead, StreamReset
from protocol.http2 import Http2Server

WRITE_TIMEOUT_S: Final = 60.0
"""No progress on a stream's window, or on the socket, for this long: the client is gone."""
BODY_TIMEOUT_S: Final = 60.0
"""A request body that stands still for so long will not come; kube-apiserver ends the whole call then."""
INTERNAL_ERROR: Final = 2
"""RFC 9113 section 7: how a stream says that its response is not complete."""


_BODY: Final = (BodyChunk, EndOfBody)


class Carrier(Protocol):
    """The connection, as far as a request needs it."""

    facts: ConnectionFacts
    machine: Http2Server
    over: bool

    async def flush(self) -> None: ...


class Http2Request:
    """One stream (see server.request.ClientRequest)."""

    scope: trio.CancelScope  # of the task that serves it, which sets it before

    def __init__(self, connection: Carrier, head: RequestHead) -> None:
        self._connection = connection
        self.head = head
        self.facts = connection.facts
        self._body: deque[BodyChunk | EndOfBody] = deque()
        self._ended = False
        self.has_left = False  # the client reset the stream, or its connection ended
        self._left_told: trio.Event | None = None  # made when somebody waits for it
        self._news: trio.Event | None = None  # the same: something was heard
        self.answered = False  # our END_STREAM or RST_STREAM is out

    def heard(self, event: Event) -> None:
        """The reader has something for this stream: body, its end, a window that opened, a reset."""
        if isinstance(event, _BODY):
            self._body.append(event)
        elif isinstance(event, StreamReset):
            self.has_left = True
            if self._left_told is not None:
                self._left_told.set()
        if self._news is not None:
            self._news.set()
            self._news = None

    async def receive_body(self) -> bytes:
        while not self._ended:
            if self._body:
                event = self._body.popleft()
                if isinstance(event, EndOfBody):
                    self._ended = True
                    return b""
                await self._give_credit(event)
                return event.data
            try:
                with trio.fail_after(BODY_TIMEOUT_S):
                    await self._wait_news()
            except trio.TooSlowError as error:
                raise RemoteProtocolError("the request body did not arrive", status_hint=408) from error
        return b""

    async def send(self, *events: Event) -> None:
        stream_id = self.head.stream_id
        self._check_here()
        for event in events:
            if isinstance(event, BodyChunk):
                await self._send_body(event.data)
            elif isinstance(event, ResponseHead):
                self._send_event(ResponseHead(event.status, event.headers, stream_id, event.content_length))
            else:
                self.answered = True
                self._send_event(EndOfBody(stream_id))
        await self._connection.flush()

    async def wait_left(self) -> None:
        if self.has_left:
            return
        if self._left_told is None:
            self._left_told = trio.Event()
        await self._left_told.wait()

    def abort(self) -> None:
        if self.answered or self.has_left:
            return
        self.answered = True
        if not self._connection.over:
            self._connection.machine.send(StreamReset(self.head.stream_id, INTERNAL_ERROR))

    async def upgrade(self, head: ResponseHead) -> tuple[TlsStream, bytes]:
        raise AssertionError("the HTTP/2 machine refuses upgrade requests")

    async def _give_credit(self, chunk: BodyChunk) -> None:
        if not self._connection.over:
            self._connection.machine.consumed(chunk.stream_id, chunk.flow_bytes)
            await self._connection.flush()

    async def _send_body(self, data: bytes) -> None:
        machine, stream_id = self._connection.machine, self.head.stream_id
        if len(data) <= machine.sendable(stream_id):  # as almost every answer
            self._send_event(BodyChunk(data, stream_id))
            return
        view = memoryview(data)
        while view:
            room = machine.sendable(stream_id)
            if room <= 0:
                # Others may fill the queue again as soon as it is written: that is no reason to wait for news.
                await self._connection.flush()
                if machine.window(stream_id) <= 0:
                    await self._wait_window()
                continue
            self._send_event(BodyChunk(bytes(view[:room]), stream_id))
            view = view[room:]
        self._check_here()  # after the waiting

    async def _wait_window(self) -> None:
        try:
            with trio.fail_after(WRITE_TIMEOUT_S):
                await self._wait_news()
        except trio.TooSlowError as error:
            self.abort()
            raise ClientLeft("the client takes no more data") from error

    def _send_event(self, event: Event) -> None:
        try:
            self._connection.machine.send(event)
        except LocalProtocolError as error:
            if self.has_left or self._connection.over:
                raise ClientLeft("the client reset the stream") from error
            raise

    async def _wait_news(self) -> None:
        """Whoever calls has looked, without a pause since, whether what it waits for is there already."""
        self._check_here()
        if self._news is None:  # else the task that receives and the one that sends wait at the same time
            self._news = trio.Event()
        await self._news.wait()
        self._check_here()

    def _check_here(self) -> None:
        if self.has_left or self._connection.over:  # the machine drops in silence what comes after a fault
            raise ClientLeft("the client reset the stream")
