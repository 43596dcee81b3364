"""The way up: one complete request to the API server, on a kept connection, and the first events of its answer."""

from typing import Final

from gateway.admission import Admitted
from gateway.answer import receive_while_wanted
from gateway.ending import READING
from gateway.errors import ClientLeft, UpstreamLost
from gateway.server.request import ClientRequest
from gateway.services import Services
from gateway.tape import Tape
from gateway.upstream.connection import UpstreamConnection
from gateway.upstream.pool import Pool
from protocol.apicall import Call
from protocol.events import BodyChunk, EndOfBody, Event

END: Final = EndOfBody()
TAKEN_BACK: Final = "the client left before its call was forwarded"


async def ask(
    request: ClientRequest, tape: Tape, services: Services, admitted: Admitted, body: bytes
) -> tuple[UpstreamConnection, list[Event]]:
    """Send a complete request once its Intent is as durable as it has to be; return the connection with the first
    events of the answer.

    A kept connection may die at the very moment it is used. Only what changes nothing is sent again,
    only once, on a new connection, and only if no byte of an answer was seen: never a mutation. What a client has
    taken back by now is not sent at all: who opens streams and resets them moves nobody but us (CVE-2023-44487).
    """
    if request.has_left:
        raise ClientLeft(TAKEN_BACK)
    must_wait = services.durability.intent_before_forward(admitted.call.durability_class)
    if must_wait:
        tape.hurry()
    head = services.with_credential(admitted.upstream, content_length=len(body))
    parts = (head, BodyChunk(body), END) if body else (head, END)
    connection = await services.pool.acquire()
    connection.prepare(*parts)
    if must_wait:
        connection = await _when_durable(tape, services.pool, connection, parts)
    try:
        return connection, await _first_events(request, tape, admitted.call, connection)
    except UpstreamLost:
        repeatable = admitted.upstream.method in READING and not body
        if not repeatable or connection.answer_begun or not connection.was_idle:
            raise
    connection = await services.pool.acquire(fresh=True)
    connection.prepare(*parts)
    return connection, await _first_events(request, tape, admitted.call, connection)


async def _when_durable(
    tape: Tape, pool: Pool, connection: UpstreamConnection, parts: tuple[Event, ...]
) -> UpstreamConnection:
    """Wait until the Intent is on the disk, with everything else ready. Returns a connection with the request."""
    try:
        await tape.intent_durable()
    except BaseException:
        connection.close()
        raise
    if connection.is_alive():
        return connection
    connection.close()  # the API server has closed it, while our disk took its time
    connection = await pool.acquire()
    connection.prepare(*parts)
    return connection


async def _first_events(
    request: ClientRequest, tape: Tape, call: Call, connection: UpstreamConnection
) -> list[Event]:
    """Send what is ready, and wait for an answer."""
    try:
        if request.has_left:
            raise ClientLeft(TAKEN_BACK)
        connection.answer_may_stream = call.is_long_running
        tape.check()
        tape.mark("upstream_sent_us")
        await connection.send_prepared()
        events = await receive_while_wanted(request, connection)
        tape.mark("upstream_head_us")
        if len(events) == 1 and not call.is_long_running:
            # A head alone helps nobody who reads on to the end of the body: one write down instead of two. And an
            # answer that breaks off here can still be answered with a Status.
            events += await receive_while_wanted(request, connection)
    except BaseException:
        connection.close()
        raise
    return events
