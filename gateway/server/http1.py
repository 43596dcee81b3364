"""One HTTP/1.1 client connection: requests strictly one after the other.

A connection error has no exchange of its own: it is answered here with a Status, recorded by the caller.
"""

from collections import deque
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Final

import trio

from gateway.errors import ClientLeft
from gateway.read_deadlines import ReadDeadlines
from gateway.server.request import ConnectionFacts
from gateway.tls_stream import TlsStream
from protocol.errors import RemoteProtocolError
from protocol.events import (
    BodyChunk,
    EndOfBody,
    Event,
    Failed,
    InformationalHead,
    PeerClosed,
    RequestHead,
    ResponseHead,
)
from protocol.http1 import Http1Server

HEADER_TIMEOUT_S: Final = 10.0
"""First byte to complete head, however it drips. kube-apiserver allows 32 s; no client needs one."""
IDLE_TIMEOUT_S: Final = 120.0
"""Between requests. client-go closes idle connections after 90 s: let it be the one that closes."""
WRITE_TIMEOUT_S: Final = 60.0
"""A client that takes no byte for this long while we have some is gone."""
BODY_TIMEOUT_S: Final = 60.0
"""A request body that stands still for so long will not come; kube-apiserver ends the whole call then."""
MAX_DRAINED_BYTES: Final = 256 * 1024
"""Body bytes read and thrown away after an early answer, to keep the connection usable."""


class Http1Request:
    """One request of this connection (see server.request.ClientRequest)."""

    has_left = False  # nobody can tell without reading on

    def __init__(self, connection: "Http1Connection", head: RequestHead) -> None:
        self._connection = connection
        self.head = head
        self.facts = connection.facts
        self.scope = connection.scope
        self._continue_wanted = head.expects_continue

    async def receive_body(self) -> bytes:
        if self._continue_wanted:
            self._continue_wanted = False
            await self._connection.send(InformationalHead())
        return await self._connection.receive_body()

    async def send(self, *events: Event) -> None:
        if isinstance(events[0], ResponseHead):
            self._connection.before_answer(self.head)
        await self._connection.send(*events)

    async def wait_left(self) -> None:
        await self._connection.wait_left()

    def abort(self) -> None:
        self._connection.abort()

    async def upgrade(self, head: ResponseHead) -> tuple[TlsStream, bytes]:
        return await self._connection.upgrade(head)


Serve = Callable[[Http1Request], Awaitable[None]]


class _Scope:
    """That of a connection. It remembers itself that it was cancelled: Trio's looks at the clock when it is asked."""

    def __init__(self) -> None:
        self.scope = trio.CancelScope()
        self.is_cancelled = False

    def cancel(self) -> None:
        self.is_cancelled = True
        self.scope.cancel()


class Http1Connection:
    """Reads requests and hands each to `serve`, until either side is done."""

    def __init__(self, stream: TlsStream, facts: ConnectionFacts, deadlines: ReadDeadlines) -> None:
        self._stream = stream
        self._deadlines = deadlines
        self.facts = facts
        self._machine = Http1Server()
        self._events: deque[Event] = deque()
        self._body_ended = True
        self._usable = True
        self._peer_ended = False
        self._upgraded = False
        self.fresh = True  # until its first request: it is owed an answer
        self.idle = True  # between requests: may be closed at any time
        self.scope = _Scope()  # of all its requests: one for each would cost them a twentieth of their time

    async def run(self, serve: Serve, malformed: Callable[[RemoteProtocolError], tuple[Event, ...]]) -> None:
        """Serve until the connection ends. malformed: records bytes that are no request, gives the answer."""
        with suppress(ClientLeft), self.scope.scope:
            while self._usable and not self.scope.is_cancelled:
                head = await self._next_head(malformed)
                if head is None:
                    return
                self.fresh = self.idle = False
                self._body_ended = bool(self._events) and isinstance(self._events[0], EndOfBody)
                if self._body_ended:
                    self._events.popleft()
                await serve(Http1Request(self, head))
                if self._upgraded or not self._usable:  # what was broken off leaves nothing to finish
                    return
                if not self._body_ended:
                    await self._drain_body()
                self._finish_request()

    def close_when_idle(self) -> None:
        """Drain: close after the request that is served or, on a new connection, expected; now if there is none."""
        self._machine.close_after_response()
        if self.idle and not self.fresh:
            self._usable = False
            self._stream.close()

    async def _next_head(
        self, malformed: Callable[[RemoteProtocolError], tuple[Event, ...]]
    ) -> RequestHead | None:
        self.idle = True
        self._deadlines.set(self._stream, IDLE_TIMEOUT_S)
        begun = False
        try:
            while True:
                while self._events:
                    event = self._events.popleft()
                    if isinstance(event, RequestHead):
                        return event
                    if isinstance(event, Failed):
                        await self.send(*malformed(event.error))
                        return None
                    if isinstance(event, PeerClosed):
                        return None
                await self._read()
                if not begun and not self._events:
                    self._deadlines.set(self._stream, HEADER_TIMEOUT_S)
                    begun = True
        except trio.TooSlowError:
            return None
        finally:
            self._deadlines.clear(self._stream)

    async def receive_body(self) -> bytes:
        while not self._body_ended:
            while self._events:
                event = self._events.popleft()
                if isinstance(event, BodyChunk):
                    return event.data
                if isinstance(event, EndOfBody):
                    self._body_ended = True
                    return b""
                if isinstance(event, Failed) and not self._peer_ended:
                    raise event.error
                raise ClientLeft("the client closed the connection before its request was complete")
            try:
                with trio.fail_after(BODY_TIMEOUT_S):
                    await self._read()
            except trio.TooSlowError as error:
                raise RemoteProtocolError("the request body did not arrive", status_hint=408) from error
        return b""

    async def send(self, *events: Event) -> None:
        self._machine.send(*events)
        await self._flush()

    def before_answer(self, head: RequestHead) -> None:
        """An answer that overtakes a long body ends the connection, and must say so: else the client's next
        request meets a closed door (Go's server does the same, net/http maxPostHandlerReadBytes). So does one that
        was cut, with the scope of its connection."""
        ended = self._body_ended or any(isinstance(event, EndOfBody) for event in self._events)
        is_long = head.content_length is None or head.content_length > MAX_DRAINED_BYTES
        if (is_long and not ended) or self.scope.is_cancelled:
            self._machine.close_after_response()

    async def wait_left(self) -> None:
        """Bytes of a next request are kept by the machine, which bounds them."""
        try:
            while self._usable:
                await self._read()
                if any(isinstance(event, Failed | PeerClosed) for event in self._events):
                    return
        except ClientLeft:
            return

    def abort(self) -> None:
        self._usable = False
        self._stream.close()

    async def upgrade(self, head: ResponseHead) -> tuple[TlsStream, bytes]:
        self._upgraded = True
        self._machine.send(head)
        await self._flush()
        return self._stream, self._machine.take_leftover()

    async def _drain_body(self) -> None:
        """Read on after an early answer, within bounds, so that the connection stays usable."""
        drained = 0
        try:
            with trio.fail_after(HEADER_TIMEOUT_S):
                while not self._body_ended and not self._machine.is_closing and drained < MAX_DRAINED_BYTES:
                    drained += len(await self.receive_body())
        except (RemoteProtocolError, trio.TooSlowError):
            self._usable = False

    def _finish_request(self) -> None:
        """Leave the connection at the first byte of the next request, or say that it is over."""
        if not self._usable or self._machine.must_close or not self._body_ended:
            self._usable = False
            return
        self._events.extend(self._machine.next_request())

    async def _read(self) -> None:
        try:
            data = await self._stream.receive_some()
        except (trio.BrokenResourceError, trio.ClosedResourceError) as error:
            self._usable = False
            raise ClientLeft("the client's connection broke") from error
        self._peer_ended = not data
        self._events.extend(self._machine.receive(data))
        if not data and not self._events:
            self._usable = False
            raise ClientLeft("the client closed the connection")

    async def _flush(self) -> None:
        try:
            if not self._stream.send_nowait(self._machine.data_to_send()):
                with trio.fail_after(WRITE_TIMEOUT_S):
                    await self._stream.send_rest()
        except (trio.BrokenResourceError, trio.ClosedResourceError, trio.TooSlowError) as error:
            self.abort()
            raise ClientLeft("the client's connection broke, or it takes no more data") from error
