"""One HTTP/2 client connection: many requests side by side, one task each.

The task that reads a request serves it as well, at once: the request is on its way to the API server before
anybody waits again. The reading passes to another task, which was kept at hand for that since its own request
was done. A task of its own for each request, started and ended, would cost more and begin later.

Whoever has bytes to write writes them, and a write in progress takes along what others queue meanwhile.
"""

from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Final

import msgspec
import trio

from gateway.errors import ClientLeft
from gateway.server.http2_request import INTERNAL_ERROR, WRITE_TIMEOUT_S, Http2Request
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
    StreamRefused,
    StreamReset,
    WindowOpened,
)
from protocol.http2 import Http2Server
from protocol.http2_budgets import REFILL_INTERVAL_S

IDLE_TIMEOUT_S: Final = 120.0
"""No stream open and nothing heard. client-go gives idle connections up after 90 s."""
FIRST_ANSWER_S: Final = 1.0
"""How long GOAWAY waits for the first answer of a connection that a drain found new."""
TASKS_AT_HAND: Final = 1
"""So many wait for another request, besides the one that reads: enough for a client that asks one thing after
the other. What many requests at once need more is started and ends with them."""

_OF_STREAMS: Final = (BodyChunk, EndOfBody, StreamReset, WindowOpened)
"""What a request hears, if it is about a stream and not about all of them."""

Serve = Callable[[Http2Request], Awaitable[None]]
Malformed = Callable[[RemoteProtocolError], tuple[Event, ...]]


class Http2Connection:
    """Reads frames, serves requests, ends all of them when the connection ends."""

    def __init__(self, stream: TlsStream, facts: ConnectionFacts) -> None:
        self._stream = stream
        self.facts = facts
        self.machine = Http2Server()
        self._requests: dict[int, Http2Request] = {}
        self._at_hand = trio.lowlevel.ParkingLot()  # tasks; whoever is woken reads
        self._writing: trio.Event | None = None  # set when the write in progress has taken all there was
        self._heard = False  # since the budgets were refilled last
        self._draining = False
        self._drain_asked = trio.Event()
        self._first_answered = trio.Event()
        self._house = trio.CancelScope()
        self.over = False

    async def run(self, serve: Serve, malformed: Malformed) -> None:
        """Serve until the connection ends. malformed: records bytes that are no request."""
        self._serve, self._malformed = serve, malformed
        async with trio.open_nursery() as nursery:
            self._nursery = nursery
            nursery.start_soon(self._keep_house)
            await self._work(None)

    @property
    def fresh(self) -> bool:
        """Whether its first request has not been answered yet: that is owed, and soon, before GOAWAY, which some
        clients take for the end of everything."""
        return not self._first_answered.is_set()

    def close_when_idle(self) -> None:
        """Drain: GOAWAY, on a new connection after its first answer; close when the streams under way have finished."""
        self._draining = True
        self._drain_asked.set()

    # --- reading and serving ------------------------------------------------------------------

    async def _work(self, request: Http2Request | None) -> None:
        """Serve this request, if any; then read and serve others as long as the connection lives."""
        while True:
            with trio.CancelScope() as scope:  # one for each request would cost it a twentieth of its time
                await self._work_in(scope, request)
                return
            # What was served here was cut, and the scope with it. By now another task reads.
            await self._say_queued()
            if not await self._is_needed():
                return
            request = None

    async def _work_in(self, scope: trio.CancelScope, request: Http2Request | None) -> None:
        while True:
            if request is None:
                request = await self._next_request()
            if request is None:
                self._end_all()
                return
            request.scope = scope
            await self._serve_one(request)
            request = None
            if not await self._is_needed():
                return

    async def _is_needed(self) -> bool:
        """Wait at hand until it is this task's turn to read; False when enough others wait, or all is over."""
        if self.over or len(self._at_hand) >= TASKS_AT_HAND:
            return False
        await self._at_hand.park()
        return True

    async def _next_request(self) -> Http2Request | None:
        """Read until a request is there; the reading is another task's then. None: the connection is over."""
        while not self.over and (self._requests or not self.machine.is_draining):
            await self._say_queued()  # first our SETTINGS, then what the last read made us answer
            requests = [] if self.over else await self._read()  # over: while we waited for a slow client
            if requests:
                for request in requests[:-1]:
                    self._nursery.start_soon(self._work, request)
                if not self._at_hand.unpark():
                    self._nursery.start_soon(self._work, None)
                return requests[-1]
        await self._say_queued()  # why we leave, if the client is at fault
        return None

    async def _read(self) -> list[Http2Request]:
        """Wait for bytes; tell each stream what they mean to it. Returns the requests they complete."""
        try:
            data = await self._stream.receive_some()
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            self.over = True  # each exchange under way records it for itself
            return []
        except trio.TooSlowError:  # we were woken to leave: see _leave_if_drained
            return []
        self._heard = True
        requests: list[Http2Request] = []
        for event in self.machine.receive(data):
            if isinstance(event, RequestHead):
                request = Http2Request(self, event)
                self._requests[event.stream_id] = request
                requests.append(request)
            elif isinstance(event, _OF_STREAMS) and event.stream_id:
                known = self._requests.get(event.stream_id)
                if known is not None:
                    known.heard(event)
            else:
                self._on_event(event)
        self.over = self.over or not data
        return requests

    def _on_event(self, event: Event) -> None:
        if isinstance(event, StreamRefused):
            self._refuse(event)
        elif isinstance(event, Failed):
            self._malformed(event.error)
            self.over = True
        elif isinstance(event, PeerClosed):
            self.over = True
        elif isinstance(event, GoAway):
            self._first_answered.set()
            self.close_when_idle()
        elif isinstance(event, WindowOpened):  # that of the connection, or of all streams
            for request in self._requests.values():
                request.heard(event)

    def _refuse(self, refused: StreamRefused) -> None:
        """Answer a request that is not acceptable HTTP, on its own stream: the others go on."""
        self._first_answered.set()
        try:
            for event in self._malformed(refused.error):
                self.machine.send(msgspec.structs.replace(event, stream_id=refused.stream_id))
        except LocalProtocolError:  # its window, or what is queued, leaves no room for the answer
            self.machine.send(StreamReset(refused.stream_id, INTERNAL_ERROR))

    async def _serve_one(self, request: Http2Request) -> None:
        try:
            await self._serve(request)
            if not request.answered:
                request.abort()
            if not self.over:
                await self.flush()
        except ClientLeft:
            pass  # the exchange has recorded it
        finally:
            del self._requests[request.head.stream_id]
            self.machine.release(request.head.stream_id)
            self._first_answered.set()
            self._leave_if_drained()

    # --- writing ------------------------------------------------------------------------------

    async def flush(self) -> None:
        """Write what the machine has queued; if another task is writing, wait until it has taken ours."""
        if self._writing is not None:
            await self._writing.wait()
            if self.over:  # by now nobody can tell whether it has
                raise ClientLeft("the client's connection broke, or it takes no more data")
            return
        data = self.machine.data_to_send()
        if not data:
            return
        try:
            if not self._stream.send_nowait(data):
                await self._write_on()
        except (trio.BrokenResourceError, trio.ClosedResourceError, trio.TooSlowError) as error:
            self.over = True
            self._stream.close()
            raise ClientLeft("the client's connection broke, or it takes no more data") from error

    async def _say_queued(self) -> None:
        """Write what belongs to no request. Whether it reaches the client concerns nobody here."""
        with suppress(ClientLeft):
            await self.flush()

    async def _write_on(self) -> None:
        """The client does not take everything at once: wait for it, on behalf of all tasks."""
        writing = self._writing = trio.Event()
        taken = False
        try:
            while not taken:
                with trio.fail_after(WRITE_TIMEOUT_S) as scope:
                    scope.shield = True  # a cancelled exchange must not tear a record shared by all streams
                    await self._stream.send_rest()
                taken = True
                while taken and (data := self.machine.data_to_send()):
                    taken = self._stream.send_nowait(data)
        finally:
            self._writing = None
            writing.set()

    # --- the end ------------------------------------------------------------------------------

    async def _keep_house(self) -> None:
        """Renew the budgets; say goodbye when we are to drain, or after a long silence."""
        quiet_s = 0.0
        with self._house:
            while not self._draining:
                with trio.move_on_after(REFILL_INTERVAL_S):
                    await self._drain_asked.wait()
                self.machine.refill()
                quiet_s = 0.0 if self._requests or self._heard else quiet_s + REFILL_INTERVAL_S
                self._heard = False
                if quiet_s >= IDLE_TIMEOUT_S:
                    self._draining = True
                    self._first_answered.set()  # nobody waits for one
            with trio.move_on_after(FIRST_ANSWER_S):
                await self._first_answered.wait()
            self._first_answered.set()  # or it takes its time, as a watch does: others must not follow it
            self.machine.send(GoAway())
            await self._say_queued()
            self._leave_if_drained()
            while True:
                await trio.sleep(REFILL_INTERVAL_S)
                self.machine.refill()
                self._leave_if_drained()  # again: who reads may have been about to wait, which nothing interrupts

    def _leave_if_drained(self) -> None:
        """Nothing new will be served and nothing is under way: the task that reads need not wait any more."""
        if self.machine.is_draining and not self._requests:
            self.over = True
            self._stream.interrupt()

    def _end_all(self) -> None:
        """The connection is over: tell every task."""
        self.over = True
        self._house.cancel()
        self._at_hand.unpark_all()
        for request in self._requests.values():
            request.heard(StreamReset(request.head.stream_id))
