"""Accepts clients: TLS with a deadline, limits before anything is parsed, HTTP/1.1 or HTTP/2 by ALPN."""

import os
import socket
import ssl
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Final

import trio

from gateway import journal
from gateway.read_deadlines import ReadDeadlines
from gateway.server.accepting import accept
from gateway.server.http1 import Http1Connection
from gateway.server.http2 import Http2Connection
from gateway.server.lingering import Lingering
from gateway.server.request import ClientRequest, ConnectionFacts
from gateway.tls_stream import TlsStream, take_socket
from protocol.errors import RemoteProtocolError
from protocol.events import Event

HANDSHAKE_TIMEOUT_S: Final = 5.0
"""A client on the other side of the world needs a second."""
MAX_CONNECTIONS: Final = 10_000
MAX_CONNECTIONS_PER_SOURCE: Final = 2_500
"""A quarter: one address, or one office behind NAT, does not take every place."""
MAX_HANDSHAKES_PER_SOURCE: Final = 64
"""Unfinished handshakes of one address: like sshd's MaxStartups, before anybody is identified."""


class Listener:
    """One TLS port: that of the data, or the console. `run` accepts until cancelled; `drain` lets connections finish."""

    def __init__(
        self,
        context: ssl.SSLContext,
        serve: Callable[[ClientRequest], Awaitable[None]],
        malformed: Callable[[ConnectionFacts, RemoteProtocolError], tuple[Event, ...]],
    ) -> None:
        self._context = context
        self._serve = serve
        self._malformed = malformed
        self._connections: set[Http1Connection | Http2Connection] = set()
        self._open: Counter[str] = Counter()  # by source address
        self._handshakes: Counter[str] = Counter()
        self._deadlines = ReadDeadlines()
        self._lingering = Lingering(self._deadlines)
        self._accepting = trio.CancelScope()
        self._draining = False
        self.port = 0

    async def run(
        self,
        listeners: list[trio.SocketListener],
        *,
        task_status: trio.TaskStatus[int] = trio.TASK_STATUS_IGNORED,
    ) -> None:
        """Serve until cancelled or, after `stop_accepting`, until the last connection has ended."""
        self.port = listeners[0].socket.getsockname()[1]
        async with trio.open_nursery() as attendants:
            attendants.start_soon(self._deadlines.run)
            try:
                await self._serve_all(listeners, task_status)
            finally:
                await self._lingering.finish()
            attendants.cancel_scope.cancel()

    async def _serve_all(
        self, listeners: list[trio.SocketListener], task_status: trio.TaskStatus[int]
    ) -> None:
        async with trio.open_nursery() as connections:

            def accepted(sock: socket.socket, address: str, port: int) -> None:
                connections.start_soon(self._connection, sock, address, port)

            with self._accepting:
                async with trio.open_nursery() as doors:
                    for listener in listeners:
                        doors.start_soon(accept, take_socket(listener), accepted)
                    task_status.started(self.port)

    def drain(self, *, accepting: bool = False) -> None:
        """Close idle connections, let the others finish what they are doing; new ones get one answer.

        accepting: go on taking connections. Without, somebody else has to, or they are refused.
        """
        self._draining = True
        if not accepting:
            self.stop_accepting()
        for connection in tuple(self._connections):
            connection.close_when_idle()

    def stop_accepting(self) -> None:
        self._accepting.cancel()

    @property
    def unserved(self) -> int:
        """Connections that came and have not asked for anything yet."""
        fresh = sum(connection.fresh for connection in self._connections)
        return fresh + self._handshakes.total()

    @property
    def connections(self) -> int:
        return self._open.total()

    def _has_room_for(self, source_address: str) -> bool:
        return (
            self.connections < MAX_CONNECTIONS
            and self._open[source_address] < MAX_CONNECTIONS_PER_SOURCE
            and self._handshakes[source_address] < MAX_HANDSHAKES_PER_SOURCE
        )

    async def _connection(self, sock: socket.socket, source_address: str, source_port: int) -> None:
        if not self._has_room_for(source_address):
            sock.close()
            return
        self._open[source_address] += 1
        stream = TlsStream(sock, self._context, server_side=True)
        try:
            if await self._handshake(stream, source_address):
                await self._serve_connection(stream, source_address, source_port)
        except Exception as error:
            # One connection's trouble is never another's.
            journal.problem("connection", "a connection was ended by an unexpected error", error)
        finally:
            _count_down(self._open, source_address)
            await self._lingering.end(stream)

    async def _handshake(self, stream: TlsStream, source_address: str) -> bool:
        self._handshakes[source_address] += 1
        self._deadlines.set(stream, HANDSHAKE_TIMEOUT_S)
        try:
            await stream.do_handshake()
        except (ssl.SSLError, trio.BrokenResourceError, trio.TooSlowError, OSError):
            return False  # a scanner, or a client that does not trust our certificate
        else:
            return True
        finally:
            self._deadlines.clear(stream)
            _count_down(self._handshakes, source_address)

    async def _serve_connection(self, stream: TlsStream, source_address: str, source_port: int) -> None:
        host = f"[{source_address}]" if ":" in source_address else source_address
        facts = ConnectionFacts(
            connection_id=os.urandom(8).hex(),
            source=f"{host}:{source_port}",
            source_address=source_address,
            tls_version=stream.tls.version() or "",
            peer_certificate_der=stream.tls.getpeercert(binary_form=True),
        )
        http2 = stream.tls.selected_alpn_protocol() == "h2"
        connection = (
            Http2Connection(stream, facts) if http2 else Http1Connection(stream, facts, self._deadlines)
        )
        self._connections.add(connection)
        try:
            if self._draining:  # it came before it could know
                connection.close_when_idle()
            await connection.run(self._serve, lambda error: self._malformed(facts, error))
        finally:
            self._connections.discard(connection)


def _count_down(counter: Counter[str], key: str) -> None:
    counter[key] -= 1
    if not counter[key]:
        del counter[key]
