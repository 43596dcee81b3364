"""One HTTP/1.1 connection to the API server, over verified TLS."""

import ssl
import time
from typing import Final

import trio

from gateway.errors import UpstreamLost, UpstreamUnreachable
from gateway.read_deadlines import ReadDeadlines
from gateway.tls_stream import TlsStream
from gateway.upstream.credentials import UpstreamCluster
from gateway.upstream.dialing import connect
from protocol.errors import LocalProtocolError
from protocol.events import BodyChunk, EndOfBody, Event, Failed, PeerClosed, RequestHead, ResponseHead
from protocol.http1_client import Http1Client

CONNECT_TIMEOUT_S: Final = 10.0
"""TCP and TLS together; client-go gives its TLS handshake the same."""

GATHERED_BYTES: Final = 32 * 1024
"""So short an answer is awaited to its end, and so much of one that does not say how long it is. Servers write
head and body apart, Go's TLS writes its first kilobytes in records of one packet each; to record and send every
piece for itself costs more than the client gains by it."""
GATHERING_S: Final = 0.1
"""A server that pauses within a short answer has its reasons: then what is here goes on."""


class UpstreamConnection:
    """A connection that carries one request at a time. Not for use by two tasks."""

    def __init__(self, stream: TlsStream, generation: int, deadlines: ReadDeadlines) -> None:
        self.stream = stream
        self._deadlines = deadlines
        self.generation = generation  # of the credential it was made with
        self._machine = Http1Client()
        self._problem = ""  # found behind good events: raised at the next read
        self.requests_begun = 0
        self.was_idle = False  # handed out of the pool: it may have died there unseen
        self.idle_since = time.monotonic()
        self.answer_may_stream = True  # the caller knows when nobody can use a part of the coming answer

    @property
    def reusable(self) -> bool:
        return self._machine.reusable

    @property
    def answer_begun(self) -> bool:
        """Whether a byte of the current answer has arrived."""
        return self._machine.response_begun

    def is_alive(self) -> bool:
        """Whether an idle connection can still be used."""
        return self.stream.is_idle()

    async def send(self, *events: Event) -> None:
        """Write events in one go. Raises UpstreamLost."""
        self.prepare(*events)
        await self.send_prepared()

    def prepare(self, *events: Event) -> None:
        """Make events ready to be sent; not a byte of them goes out before `send_prepared`.

        Raises LocalProtocolError for what cannot be sent; the connection is closed then.
        """
        if isinstance(events[0], RequestHead):
            self.requests_begun += 1
        try:
            self._machine.send(*events)
        except LocalProtocolError:
            self.close()
            raise

    async def send_prepared(self) -> None:
        """Write what is ready in one go. Raises UpstreamLost."""
        try:
            if not self.stream.send_nowait(self._machine.data_to_send()):
                await self.stream.send_rest()
        except (trio.BrokenResourceError, trio.ClosedResourceError) as error:
            raise UpstreamLost("the connection to the API server broke while the call was sent") from error

    async def receive_within(self, patience_s: float) -> list[Event]:
        """As `receive`; raises trio.TooSlowError, and loses nothing, when nothing came for so long or little longer."""
        self._deadlines.set(self.stream, patience_s)
        try:
            events = await self._receive_once()
            return events if isinstance(events[-1], EndOfBody) else await self._gather(events)
        finally:
            self._deadlines.clear(self.stream)

    def wake_reader_in(self, within_s: float) -> None:
        """For who has taken over the stream: its read gets trio.TooSlowError then, or little later, and
        loses nothing; again and again, until it is set anew."""
        self._deadlines.set(self.stream, within_s)

    async def receive(self) -> list[Event]:
        """The events of one read, at least one; of a short answer all. Raises UpstreamLost when the answer breaks off."""
        events = await self._receive_once()
        return events if isinstance(events[-1], EndOfBody) else await self._gather(events)

    async def _receive_once(self) -> list[Event]:
        if self._problem:
            raise UpstreamLost(self._problem)
        while True:
            try:
                data = await self.stream.receive_some()
            except (trio.BrokenResourceError, trio.ClosedResourceError) as error:
                raise UpstreamLost(
                    "the connection to the API server broke before its answer was complete"
                ) from error
            events = self._machine.receive(data)
            if events and isinstance(events[-1], (Failed, PeerClosed)):
                self._problem = _problem(events.pop())  # what came before it is good
            if events:
                return events
            if self._problem:
                raise UpstreamLost(self._problem)
            if not data:
                raise UpstreamLost("the API server closed the connection before its answer was complete")

    async def _gather(self, events: list[Event]) -> list[Event]:
        """Read a short answer that has just begun to its end, or as far as it comes without delay; its body in one
        piece. Anything else as it came."""
        if not isinstance(events[0], ResponseHead):
            return events
        left_bytes = self._machine.body_left_bytes
        if left_bytes > GATHERED_BYTES if left_bytes is not None else self.answer_may_stream:
            return events
        gathered_bytes = 0
        try:
            with trio.move_on_after(GATHERING_S):
                while not isinstance(events[-1], EndOfBody) and gathered_bytes <= GATHERED_BYTES:
                    more = await self._receive_once()
                    gathered_bytes += sum(len(event.data) for event in more if isinstance(event, BodyChunk))
                    events += more
        except trio.TooSlowError:
            pass  # somebody's patience is over as well
        except UpstreamLost as lost:
            self._problem = str(lost)  # what came before it is good
        body = [event.data for event in events if isinstance(event, BodyChunk)]
        end = [event for event in events if isinstance(event, EndOfBody)]
        return [events[0], *([BodyChunk(b"".join(body))] if body else []), *end]

    def close(self) -> None:
        """Close at once, without TLS courtesies: nothing of value is in flight."""
        self._deadlines.clear(self.stream)
        self.stream.close()


def _problem(event: Event) -> str:
    if isinstance(event, Failed):
        return f"the API server's answer is not acceptable HTTP: {event.error.why}"
    return "the API server closed the connection before it answered"


async def open_connection(cluster: UpstreamCluster, deadlines: ReadDeadlines) -> UpstreamConnection:
    """Dial, and verify the API server's certificate. Raises UpstreamUnreachable."""
    where = f"{cluster.host}:{cluster.port}"
    try:
        stream = await _open_tls(cluster, deadlines)
        return UpstreamConnection(stream, cluster.generation, deadlines)
    except trio.TooSlowError:
        raise UpstreamUnreachable(
            f"the API server at {where} did not answer within {CONNECT_TIMEOUT_S:.0f} s"
        ) from None
    except ssl.SSLError as error:
        why = getattr(error, "verify_message", None) or error.reason or "handshake failed"
        raise UpstreamUnreachable(f"the API server at {where} failed the TLS handshake: {why}") from error
    except (OSError, trio.BrokenResourceError) as error:
        raise UpstreamUnreachable(f"the API server at {where} cannot be reached: {error}") from error


async def _open_tls(cluster: UpstreamCluster, deadlines: ReadDeadlines) -> TlsStream:
    begun_s = trio.current_time()
    sock = await connect(cluster.host, cluster.port, deadlines, CONNECT_TIMEOUT_S)
    stream = TlsStream(sock, cluster.ssl_context(), server_side=False, server_hostname=cluster.server_name)
    deadlines.set(stream, CONNECT_TIMEOUT_S - (trio.current_time() - begun_s))
    try:
        await stream.do_handshake()
    except BaseException:
        stream.close()
        raise
    finally:
        deadlines.clear(stream)
    return stream
