"""One HTTP/2 client connection: many requests side by side, one task each.

One reader feeds the machine; whoever has bytes to write writes them, and a write in progress takes along
what others queue meanwhile. A stream's answer waits for its flow-control window, never the whole connection.
"""

from collections import deque
from collections.abc import Awaitable, Callable
from typing import Final

import msgspec
import trio

from gateway.errors import ClientLeft
from gateway.server.request import ConnectionFacts
from gateway.tls_stream import TlsStream
from protocol.errors import LocalProtocolError, RemoteProtocolError
from protocol.events import (
    BodyChunk,
    EndOfBody,
    Event,
    Failed,
    GoAway,
    PeerClosed,
    RequestHead,
    ResponseHead,
    StreamRefused,
    StreamReset,
    WindowOpened,
)
from protocol.http2 import Http2Server
from protocol.http2_budgets import REFILL_INTERVAL_S

IDLE_TIMEOUT_S: Final = 120.0
"""No stream open and nothing heard. client-go gives idle connections up after 90 s."""
WRITE_TIMEOUT_S: Final = 60.0
"""No progress on a stream's window, or on the socket, for this long: the client is gone."""
BODY_TIMEOUT_S: Final = 60.0
"""A request body that stands still for so long will not come; kube-apiserver ends the whole call then."""
INTERNAL_ERROR: Final = 2
"""RFC 9113 section 7: how a stream says that its response is not complete."""


class Http2Request:
    """One stream (see server.request.ClientRequest)."""

    def __init__(self, connection: "Http2Connection", head: RequestHead) -> None:
        self._connection = connection
        self.head = head
        self.facts = connection.facts
        self._body: deque[BodyChunk | EndOfBody] = deque()
        self._ended = False
        self._news = trio.Event()  # body arrived, window opened or stream reset: look again
        self.left = trio.Event()
        self.answered = False  # our END_STREAM or RST_STREAM is out

    def heard(self, event: Event) -> None:
        """The reader has something for this stream."""
        if isinstance(event, BodyChunk | EndOfBody):
            self._body.append(event)
        elif isinstance(event, StreamReset):
            self.left.set()
        self._news.set()

    async def receive_body(self) -> bytes:
        while not self._ended:
            if self._body:
                event = self._body.popleft()
                if isinstance(event, EndOfBody):
                    self._ended = True
                    return b""
                await self._connection.consumed(event)
                if event.data:
                    return event.data
                continue
            try:
                with trio.fail_after(BODY_TIMEOUT_S):
                    await self._wait_news()
            except trio.TooSlowError as error:
                raise RemoteProtocolError("the request body did not arrive", status_hint=408) from error
        return b""

    async def send(self, *events: Event) -> None:
        stream_id = self.head.stream_id
        for event in events:
            if self.left.is_set():
                raise ClientLeft("the client reset the stream")
            if isinstance(event, BodyChunk):
                await self._send_body(event.data)
            elif isinstance(event, ResponseHead):
                head = ResponseHead(event.status, event.headers, stream_id, event.content_length)
                self._send_event(head)
            else:
                self.answered = True
                self._send_event(EndOfBody(stream_id))
        await self._connection.flush()

    async def wait_left(self) -> None:
        await self.left.wait()

    def abort(self) -> None:
        if not self.answered and not self.left.is_set():
            self.answered = True
            self._connection.reset(self.head.stream_id)

    async def upgrade(self, head: ResponseHead) -> tuple[TlsStream, bytes]:
        raise AssertionError("the HTTP/2 machine refuses upgrade requests")

    async def _send_body(self, data: bytes) -> None:
        machine, stream_id = self._connection.machine, self.head.stream_id
        view = memoryview(data)
        while view:
            room = machine.sendable(stream_id)
            if room <= 0:
                await self._connection.flush()
                self._news = trio.Event()
                if machine.sendable(stream_id) <= 0:
                    await self._wait_window()
                continue
            self._send_event(BodyChunk(bytes(view[:room]), stream_id))
            view = view[room:]

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
            if self.left.is_set() or self._connection.over:
                raise ClientLeft("the client reset the stream") from error
            raise

    async def _wait_news(self) -> None:
        if self.left.is_set():
            raise ClientLeft("the client reset the stream")
        if self._news.is_set():
            self._news = trio.Event()
            return
        await self._news.wait()
        self._news = trio.Event()
        if self.left.is_set():
            raise ClientLeft("the client reset the stream")


class Http2Connection:
    """Reads frames, starts a task per request, ends all of them when the connection ends."""

    def __init__(self, stream: TlsStream, facts: ConnectionFacts) -> None:
        self._stream = stream
        self.facts = facts
        self.machine = Http2Server()
        self._requests: dict[int, Http2Request] = {}
        self._flushing = False
        self._flushed = trio.Event()
        self._draining = False
        self._drain_asked = trio.Event()
        self._first_answered = trio.Event()
        self._one_ended = trio.Event()
        self.over = False

    async def run(
        self,
        serve: Callable[[Http2Request], Awaitable[None]],
        malformed: Callable[[RemoteProtocolError], tuple[Event, ...]],
    ) -> None:
        """Serve until the connection ends. malformed: records bytes that are no request."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._refill_budgets)
            nursery.start_soon(self._say_goaway)
            try:
                await self._read_to_end(nursery, serve, malformed)
            except ClientLeft:
                pass  # each exchange under way records it for itself
            self._end_all()
            while self._requests:
                await self._one_ended.wait()
            nursery.cancel_scope.cancel()

    @property
    def fresh(self) -> bool:
        """Whether its first request has not been answered yet: that is owed, before GOAWAY, which some clients take
        for the end of everything."""
        return not self._first_answered.is_set()

    def close_when_idle(self) -> None:
        """Drain: GOAWAY, on a new connection after its first request; close when the streams under way have finished."""
        self._draining = True
        self._drain_asked.set()

    async def consumed(self, chunk: BodyChunk) -> None:
        """A body chunk was taken: return its flow-control credit."""
        if not self.over:
            self.machine.consumed(chunk.stream_id, chunk.flow_bytes)
            await self.flush()

    def reset(self, stream_id: int) -> None:
        if not self.over:
            try:
                self.machine.send(StreamReset(stream_id, INTERNAL_ERROR))
            except LocalProtocolError:
                return  # the stream is closed already

    async def flush(self) -> None:
        """Write what the machine has queued; if another task is writing, wait until it has taken ours."""
        if self._flushing:
            await self._flushed.wait()
            return
        self._flushing = True
        try:
            while data := self.machine.data_to_send():
                with trio.fail_after(WRITE_TIMEOUT_S) as scope:
                    scope.shield = True  # a cancelled exchange must not tear a record shared by all streams
                    await self._stream.send_all(data)
        except (trio.BrokenResourceError, trio.ClosedResourceError, trio.TooSlowError) as error:
            self.over = True
            self._stream.close()
            raise ClientLeft("the client's connection broke, or it takes no more data") from error
        finally:
            self._flushing = False
            self._flushed.set()
            self._flushed = trio.Event()

    async def _read_to_end(
        self,
        nursery: trio.Nursery,
        serve: Callable[[Http2Request], Awaitable[None]],
        malformed: Callable[[RemoteProtocolError], tuple[Event, ...]],
    ) -> None:
        await self.flush()  # our SETTINGS
        while not self.over and not (self._draining and not self._requests and not self.fresh):
            timeout_s = WRITE_TIMEOUT_S * 60 if self._requests else IDLE_TIMEOUT_S
            with trio.move_on_after(timeout_s) as scope:
                await self._read(nursery, serve, malformed)
            if scope.cancelled_caught and not self._requests:
                self.machine.send(GoAway())
                await self.flush()
                self.over = True

    async def _say_goaway(self) -> None:
        await self._drain_asked.wait()
        await self._first_answered.wait()
        self.machine.send(GoAway())
        try:
            await self.flush()
        except ClientLeft:
            return  # the reader sees it too
        if not self._requests:
            self._stream.close()

    async def _read(
        self,
        nursery: trio.Nursery,
        serve: Callable[[Http2Request], Awaitable[None]],
        malformed: Callable[[RemoteProtocolError], tuple[Event, ...]],
    ) -> None:
        try:
            data = await self._stream.receive_some()
        except (trio.BrokenResourceError, trio.ClosedResourceError) as error:
            raise ClientLeft("the client's connection broke") from error
        for event in self.machine.receive(data):
            if isinstance(event, RequestHead):
                request = Http2Request(self, event)
                self._requests[event.stream_id] = request
                nursery.start_soon(self._serve_one, request, serve)
            elif isinstance(event, StreamRefused):
                self._first_answered.set()
                self._refuse(event, malformed)
            elif isinstance(event, Failed):
                malformed(event.error)
                self.over = True
            elif isinstance(event, PeerClosed):
                self.over = True
            elif isinstance(event, GoAway):
                self._draining = True
            elif isinstance(event, WindowOpened) and event.stream_id == 0:
                for request in self._requests.values():
                    request.heard(event)
            else:
                known = self._requests.get(event.stream_id)  # type: ignore[attr-defined]
                if known is not None:
                    known.heard(event)
        if not data:
            self.over = True
        await self.flush()

    async def _serve_one(
        self, request: Http2Request, serve: Callable[[Http2Request], Awaitable[None]]
    ) -> None:
        try:
            await serve(request)
            if not request.answered:
                request.abort()
            if not self.over:
                await self.flush()
        except ClientLeft:
            pass  # the exchange has recorded it
        finally:
            del self._requests[request.head.stream_id]
            self.machine.release(request.head.stream_id)
            self._one_ended.set()
            self._one_ended = trio.Event()
            if self._draining and not self._requests and not self.fresh:
                self._stream.close()
            self._first_answered.set()  # if it was the first: now GOAWAY, then the end

    def _refuse(
        self, refused: StreamRefused, malformed: Callable[[RemoteProtocolError], tuple[Event, ...]]
    ) -> None:
        """Answer a request that is not acceptable HTTP, on its own stream: the others go on."""
        for event in malformed(refused.error):
            self.machine.send(msgspec.structs.replace(event, stream_id=refused.stream_id))

    async def _refill_budgets(self) -> None:
        while True:
            await trio.sleep(REFILL_INTERVAL_S)
            self.machine.refill()

    def _end_all(self) -> None:
        """The connection is over: tell every stream's task."""
        self.over = True
        for request in self._requests.values():
            request.heard(StreamReset(request.head.stream_id))
