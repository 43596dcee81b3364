"""One API call, head to last byte. Read this first.

    admit (identify, understand, decide, record) -> forward -> answer, chunk by chunk

Three rules hold everything together. What is recorded, forwarded and answered is made from the same
parsed objects. Nothing goes upstream before its Intent is recorded, nothing goes down before its record is
appended, and what the durability class asks to be durable is waited for in between. Whatever goes wrong
before an answer began is answered with a Status; afterwards the answer is broken off, visibly.
"""

import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from typing import Final

import trio

from gateway import tunnel
from gateway.admission import Admitted, admit
from gateway.answer import receive_while_wanted
from gateway.ending import READING, answer_cut, answer_error, cut_answer, end_quietly
from gateway.errors import ClientLeft, UpstreamLost
from gateway.farewell import WatchBorder
from gateway.live import LiveExchange
from gateway.server.request import ClientRequest
from gateway.services import Services
from gateway.tape import Tape
from gateway.upload import read_small_body, send_large_body
from gateway.upstream.connection import UpstreamConnection
from gateway.upstream.pool import Pool
from gateway.upstream.response import client_head
from protocol.apicall import Call
from protocol.events import BodyChunk, EndOfBody, Event, ResponseHead
from storage.errors import LogFailed

UNRECORDED_STREAM: Final = "kubetape can no longer record this session"


async def serve(request: ClientRequest, services: Services) -> None:
    """Serve one request, whatever happens. Raises nothing but cancellation."""
    tape = Tape(services.recorder, uuid.uuid4().bytes)
    with services.live.exchange(tape.started_ns) as live:
        try:
            with live.whole:
                admitted = await admit(request, tape, services)
                live.identify(admitted.principal, admitted.session)
                if admitted.upgrade is not None:
                    await tunnel.serve(request, tape, services, live, admitted)
                else:
                    await _forward(request, tape, services, live, admitted)
            if live.whole.cancelled_caught:
                await answer_cut(request, tape, live)
        except ClientLeft as left:
            end_quietly(tape, "client-left", str(left))
            request.abort()
        except Exception as error:
            await answer_error(request, tape, error)
        except BaseException:  # cancelled, possibly as a group
            end_quietly(tape, "cut", live.reason or "the gateway stopped")
            request.abort()
            raise


# --- there and back --------------------------------------------------------------------------------


async def _forward(
    request: ClientRequest, tape: Tape, services: Services, live: LiveExchange, admitted: Admitted
) -> None:
    """Send the call upstream and the answer down."""
    body, complete = await read_small_body(request, admitted.call)
    if body:
        tape.request_body(body, urgent=True)
    if services.durability.intent_before_forward(admitted.call.durability_class):
        await tape.intent_durable()
    if complete:
        connection, events = await _ask(request, tape, services, admitted, body)
        async with _closing_unless_reusable(services.pool, connection):
            await _relay(request, tape, services, live, admitted.call, connection, events)
    else:
        connection = await services.pool.acquire()
        async with _closing_unless_reusable(services.pool, connection):
            relay = partial(_relay, request, tape, services, live, admitted.call, connection, watched=True)
            await send_large_body(request, tape, services, admitted, connection, body, relay)


async def _ask(
    request: ClientRequest, tape: Tape, services: Services, admitted: Admitted, body: bytes
) -> tuple[UpstreamConnection, list[Event]]:
    """Send a complete request; return the connection with the first events of the answer.

    A kept connection may die at the very moment it is used. Only what changes nothing is sent again,
    only once, on a new connection, and only if no byte of an answer was seen: never a mutation.
    """
    parts: list[Event] = [services.with_credential(admitted.upstream, content_length=len(body))]
    parts += [BodyChunk(body), EndOfBody()] if body else [EndOfBody()]
    connection = await services.pool.acquire()
    try:
        return connection, await _first_events(request, tape, connection, parts)
    except UpstreamLost:
        repeatable = admitted.upstream.method in READING and not body
        if not repeatable or connection.answer_begun or not connection.was_idle:
            raise
    connection = await services.pool.acquire(fresh=True)
    return connection, await _first_events(request, tape, connection, parts)


async def _first_events(
    request: ClientRequest, tape: Tape, connection: UpstreamConnection, parts: list[Event]
) -> list[Event]:
    try:
        tape.check()
        tape.mark("upstream_sent_us")
        await connection.send(*parts)
        events = await receive_while_wanted(request, connection)
    except BaseException:
        connection.close()
        raise
    tape.mark("upstream_head_us")
    return events


async def _relay(
    request: ClientRequest,
    tape: Tape,
    services: Services,
    live: LiveExchange,
    call: Call,
    connection: UpstreamConnection,
    events: list[Event],
    *,
    watched: bool = False,
) -> None:
    """Bring the answer down. Endless ones also end when the client leaves, or when they are cut.

    watched: another task reads from the client and notices when it leaves.
    """
    border = WatchBorder(call)
    if not call.is_long_running:
        await _relay_batches(request, tape, services, call, connection, events, border, watched=watched)
        return
    left = False
    async with trio.open_nursery() as nursery:

        async def watch_client() -> None:
            nonlocal left
            await request.wait_left()
            left = True
            live.scope.cancel()

        if not watched:
            nursery.start_soon(watch_client)
        problem: Exception | None = None
        with services.live.cuttable(live):
            try:
                await _relay_batches(request, tape, services, call, connection, events, border, watched=True)
            except LogFailed:
                live.cut(UNRECORDED_STREAM)
            except Exception as error:
                problem = error
        nursery.cancel_scope.cancel()
    if problem is not None:
        raise problem
    if live.reason:
        await cut_answer(request, tape, border, live)
    elif left and not tape.ended:
        raise ClientLeft("the client closed the connection or cancelled the call")


async def _relay_batches(
    request: ClientRequest,
    tape: Tape,
    services: Services,
    call: Call,
    connection: UpstreamConnection,
    events: list[Event],
    border: WatchBorder,
    *,
    watched: bool,
) -> None:
    """Record what one read brought, then send it down in one go; again, to the end."""
    receive = connection.receive if watched else partial(receive_while_wanted, request, connection)
    wait_for_outcome = services.durability.outcome_before_end(call.durability_class)
    if services.durability.intent_before_answer():
        await tape.intent_durable()
    while True:
        if isinstance(events[0], ResponseHead):
            services.heard_status(events[0].status)
            events[0] = client_head(events[0], call)
        batch = events
        for event in batch:
            tape.response(event)
        last = isinstance(batch[-1], EndOfBody)
        if last:
            tape.mark("upstream_end_us")
            if wait_for_outcome:
                tape.end("completed", urgent=True)
                await tape.durable()
        else:
            await tape.flow()
        tape.answer_begun = True
        border.sending(batch)
        await request.send(*batch)
        border.sent(batch)
        if last:
            tape.mark("client_end_us")
            tape.end("completed")
            return
        events = await receive()


@asynccontextmanager
async def _closing_unless_reusable(pool: Pool, connection: UpstreamConnection) -> AsyncIterator[None]:
    """Give the connection back after a clean exchange; close it after any other."""
    try:
        yield
    except BaseException:
        connection.close()
        raise
    pool.release(connection)
