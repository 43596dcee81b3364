"""Connections to the API server: kept, prewarmed, and never handed out dead.

The API server closes idle connections after 90 s; ours are given up after 50 s, and one that has become
readable while idle (closed, or garbage) is dropped, so that a client never pays for the race.
"""

import time
from collections import deque
from typing import Final

import trio

from gateway.errors import UpstreamError
from gateway.read_deadlines import ReadDeadlines
from gateway.upstream.connection import UpstreamConnection, open_connection
from gateway.upstream.credentials import UpstreamCluster

MAX_IDLE_S: Final = 50.0
MAX_IDLE: Final = 64
"""Idle connections kept; more are closed. An idle one costs the API server about 30 KiB."""
CHECK_INTERVAL_S: Final = 5.0
RETRY_WARMING_S: Final = 1.0
WARMING_DELAY_S: Final = 0.05
"""An exec has started, and a short one is over, by then."""

FEW: Final = 2
"""So many unused connections left are soon gone: the next are dialled as soon as it is quiet. Else a while later will do."""


class Pool:
    """Hands out connections and takes them back. `run` keeps `warm` unused ones ready: a few, because while one
    stream after the other takes one, none is dialled.

    A connection belongs to one identity: all of this pool's carry the gateway's one credential.
    """

    def __init__(self, cluster: UpstreamCluster, *, warm: int = 4) -> None:
        self.cluster = cluster
        self._idle: deque[UpstreamConnection] = deque()  # newest right: the hottest is reused first
        self._warm = warm
        self._generation = cluster.generation
        self._deadlines = ReadDeadlines()
        self._wanted = trio.Event()  # set when it is time to look whether connections must be opened
        self._none_left = trio.Event()
        self._taken_s = 0.0  # when an unused one was taken, on Trio's clock
        self.last_error = "no connection has been tried yet"  # "" after a success

    async def acquire(self, *, fresh: bool = False) -> UpstreamConnection:
        """A connection ready for a request. Raises UpstreamUnreachable.

        fresh: one that has carried no request yet (a retry, or an upgrade that keeps it for itself).
        """
        self._forget_old_credential()
        connection = self._take_idle(fresh=fresh)
        if connection is None or not connection.requests_begun:
            self._replace()
        return connection or await self._open()

    def _replace(self) -> None:
        """One unused less: another must be opened, though not at once."""
        self._taken_s = trio.current_time()
        unused = self._unused()
        if unused > FEW:
            # To wait for quiet costs a scope: rather less exactly, and for several at once.
            self._deadlines.set(self, 0.0)
            return
        self._wanted.set()
        if not unused:
            self._none_left.set()

    def interrupt(self) -> None:
        """A while has passed (see `ReadDeadlines`), or somebody knows better: look whether connections must be opened."""
        self._deadlines.clear(self)
        self._wanted.set()

    def release(self, connection: UpstreamConnection) -> None:
        """Take a connection back: kept when its exchange ended cleanly, closed otherwise."""
        self._forget_old_credential()
        if (
            connection.generation != self._generation
            or not connection.reusable
            or len(self._idle) >= MAX_IDLE
        ):
            connection.close()
            return
        connection.idle_since = time.monotonic()
        self._idle.append(connection)

    async def run(self) -> None:
        """Keep connections warm, drop those idle for too long, end waits that are too long, forever."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._deadlines.run)
            nursery.start_soon(self._look_now_and_then)
            nursery.start_soon(self._keep_warm)

    async def _keep_warm(self) -> None:
        while True:
            self._wanted = trio.Event()
            self._drop_stale()
            if await self._warm_up():
                await self._wanted.wait()
                await self._let_them_start()
            else:
                await trio.sleep(RETRY_WARMING_S)

    async def _let_them_start(self) -> None:
        """Return when nobody has taken an unused connection for a moment, or none is left.

        Who took one is starting a stream right now, and a handshake would take its place on both sides.
        """
        while (wait_s := self._taken_s + WARMING_DELAY_S - trio.current_time()) > 0 and self._unused():
            self._none_left = trio.Event()
            with trio.move_on_after(wait_s):
                await self._none_left.wait()

    async def _look_now_and_then(self) -> None:
        """Idle connections end without a word."""
        while True:
            await trio.sleep(CHECK_INTERVAL_S)
            self.interrupt()

    def close(self) -> None:
        while self._idle:
            self._idle.pop().close()

    async def _warm_up(self) -> bool:
        """Open connections until enough unused ones are ready; False when the API server does not answer."""
        try:
            while self._unused() < self._warm:
                self._idle.appendleft(await self._open())
        except UpstreamError:
            return False  # `last_error` says why; each call gets an answer of its own
        return True

    def _unused(self) -> int:
        return sum(not connection.requests_begun for connection in self._idle)

    async def _open(self) -> UpstreamConnection:
        try:
            connection = await open_connection(self.cluster, self._deadlines)
        except UpstreamError as error:
            self.last_error = str(error)
            raise
        self.last_error = ""
        return connection

    def _take_idle(self, *, fresh: bool) -> UpstreamConnection | None:
        while self._idle:
            connection = self._pop_fresh() if fresh else self._idle.pop()
            if connection is None:
                return None
            if time.monotonic() - connection.idle_since <= MAX_IDLE_S and connection.is_alive():
                connection.was_idle = True
                connection.answer_may_stream = True
                return connection
            connection.close()
        return None

    def _pop_fresh(self) -> UpstreamConnection | None:
        for connection in reversed(self._idle):
            if not connection.requests_begun:
                self._idle.remove(connection)
                return connection
        return None

    def _forget_old_credential(self) -> None:
        """Drop every idle connection once the client certificate it was made with has been renewed."""
        generation = self.cluster.generation
        if self._generation != generation:
            self._generation = generation
            self.close()

    def _drop_stale(self) -> None:
        now = time.monotonic()
        for connection in self._idle.copy():
            if now - connection.idle_since > MAX_IDLE_S or not connection.is_alive():
                self._idle.remove(connection)
                connection.close()
