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

from gateway import journal, tunnel
from gateway.admission import Admitted, admit
from gateway.answer import receive_while_wanted
from gateway.errors import (
    ANSWER_NOT_RECORDED,
    CUT,
    TOO_LARGE,
    ClientLeft,
    Refusal,
    UpstreamLost,
    refusal_for,
)
from gateway.farewell import WatchBorder
from gateway.live import LiveExchange
from gateway.server.request import ClientRequest
from gateway.services import Services
from gateway.tape import Tape
from gateway.upstream.connection import UpstreamConnection
from gateway.upstream.pool import Pool
from gateway.upstream.response import client_head
from protocol.apicall import Call
from protocol.events import BodyChunk, EndOfBody, Event, ResponseHead
from protocol.status import encode_status, status_headers
from storage.errors import LogFailed

SMALL_BODY_BYTES: Final = 64 * 1024
"""A request body up to this size is recorded with its Intent, in one commit, and forwarded in one write."""
MAX_BODY_BYTES: Final = 3 * 1024 * 1024 + 64 * 1024
"""kube-apiserver refuses bodies over 3 MiB; the slack lets it say so itself where it would."""
REPEATABLE: Final = frozenset({b"GET", b"HEAD", b"OPTIONS"})
GOODBYE_S: Final = 2.0
"""How long the last words to a client may take; one that does not read them has lost them."""
UNRECORDED_STREAM: Final = "kubetape can no longer record this session"


async def serve(request: ClientRequest, services: Services) -> None:
    """Serve one request, whatever happens. Raises nothing but cancellation."""
    tape = Tape(services.recorder, uuid.uuid4().bytes)
    with services.live.exchange() as live:
        try:
            admitted = await admit(request, tape, services)
            if admitted.upgrade is not None:
                await tunnel.serve(request, tape, services, live, admitted)
            else:
                await _forward(request, tape, services, live, admitted)
        except ClientLeft as left:
            _end(tape, "client-left", str(left))
            request.abort()
        except Exception as error:
            await _answer_error(request, tape, error)
        except BaseException:  # cancelled, possibly as a group
            _end(tape, "cut", live.reason or "the gateway stopped")
            request.abort()
            raise


# --- there and back --------------------------------------------------------------------------------


async def _forward(
    request: ClientRequest, tape: Tape, services: Services, live: LiveExchange, admitted: Admitted
) -> None:
    """Send the call upstream and the answer down."""
    body, complete = await _small_body(request, admitted.call)
    if body:
        tape.request_body(body, urgent=True)
    if services.durability.intent_before_forward(admitted.call.durability_class):
        await tape.intent_durable()
    if complete:
        connection, events = await _ask(request, tape, services, admitted, body)
        async with _closing_unless_reusable(services.pool, connection):
            await _relay(request, tape, services, live, admitted.call, connection, events)
    else:
        await _forward_large(request, tape, services, live, admitted, body)


async def _small_body(request: ClientRequest, call: Call) -> tuple[bytes, bool]:
    """The body, if it is small; else its beginning. Returns whether that is all of it."""
    if request.head.content_length == 0:
        return b"", True
    _check_body_size(request.head.content_length or 0, call)
    body = bytearray()
    while len(body) < SMALL_BODY_BYTES:
        chunk = await request.receive_body()
        if not chunk:
            return bytes(body), True
        body += chunk
    return bytes(body), False


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
        repeatable = admitted.upstream.method in REPEATABLE and not body
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


async def _forward_large(
    request: ClientRequest,
    tape: Tape,
    services: Services,
    live: LiveExchange,
    admitted: Admitted,
    beginning: bytes,
) -> None:
    """Forward a body while it arrives, and whatever answer comes, maybe before the body is complete."""
    connection = await services.pool.acquire()
    problems: list[Exception] = []
    async with _closing_unless_reusable(services.pool, connection), trio.open_nursery() as nursery:

        async def send() -> None:
            try:
                length = request.head.content_length
                head = services.with_credential(admitted.upstream, content_length=length)
                tape.check()
                await connection.send(head, BodyChunk(beginning))
                await _send_rest(request, tape, admitted.call, connection)
                await request.wait_left()
                raise ClientLeft("the client left before the answer was complete")
            except Exception as error:
                problems.append(error)
                nursery.cancel_scope.cancel()

        nursery.start_soon(send)
        tape.mark("upstream_sent_us")
        try:
            events = await connection.receive()
            tape.mark("upstream_head_us")
            await _relay(request, tape, services, live, admitted.call, connection, events, watched=True)
        except Exception as error:
            problems.append(error)
        nursery.cancel_scope.cancel()  # an early answer ends the sending
    if problems:
        raise problems[0]


async def _send_rest(request: ClientRequest, tape: Tape, call: Call, connection: UpstreamConnection) -> None:
    """Each chunk is recorded, then sent; the last one only when the whole body is durable."""
    held = b""
    while chunk := await request.receive_body():
        _check_body_size(tape.request_bytes + len(chunk), call)
        if held:
            await connection.send(BodyChunk(held))
        tape.request_body(chunk)
        await tape.flow()
        held = chunk
    tape.request_ended()
    await tape.durable()
    await connection.send(*([BodyChunk(held)] if held else []), EndOfBody())


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
        await _cut(request, tape, border, live.reason)
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


async def _cut(request: ClientRequest, tape: Tape, border: WatchBorder, reason: str) -> None:
    """End an answer that would go on: with a reason where the protocol has room for one."""
    if not tape.answer_begun:
        raise Refusal(CUT, reason)
    farewell = border.farewell(reason)
    try:
        if farewell:
            tape.response_body(farewell)
        tape.end("cut", reason)
    except LogFailed:
        pass  # the words that say so are the one thing that cannot be recorded
    if not farewell:
        request.abort()
        return
    with trio.move_on_after(GOODBYE_S) as scope:
        await request.send(BodyChunk(farewell), EndOfBody())
    if scope.cancelled_caught:
        request.abort()


# --- when it goes wrong ----------------------------------------------------------------------------


async def _answer_error(request: ClientRequest, tape: Tape, error: Exception) -> None:
    """Answer with a Status if nothing was answered yet; else break the answer off, visibly."""
    refusal = _refusal(request, tape, error)
    if refusal.answer.loud:
        journal.problem("exchange", refusal.message, error, exchange=tape.exchange.hex())
    if tape.answer_begun:
        _end(tape, refusal.answer.result, refusal.message)
        request.abort()
        return
    body = encode_status(refusal.answer.code, refusal.answer.reason, refusal.message)
    try:
        if tape.intent_recorded:
            tape.response_head(refusal.answer.code, status_headers(body))
            if request.head.method != b"HEAD":
                tape.response_body(body)
            tape.end(refusal.answer.result, refusal.message, urgent=True)
            await tape.durable()
    except LogFailed as failure:
        # The one answer that cannot be recorded is the one that says so.
        refusal = _refusal(request, tape, failure)
        body = encode_status(refusal.answer.code, refusal.answer.reason, refusal.message)
    events: list[Event] = [ResponseHead(refusal.answer.code, status_headers(body))]
    if request.head.method != b"HEAD":
        events.append(BodyChunk(body))
    try:
        await request.send(*events, EndOfBody())
    except ClientLeft:
        return  # the answer is in the record; nobody is there to read it


def _refusal(request: ClientRequest, tape: Tape, error: Exception) -> Refusal:
    """What to say of an error; of a mutation whose answer cannot be recorded, that it may have happened."""
    if isinstance(error, LogFailed) and tape.forwarded and request.head.method not in REPEATABLE:
        why = "kubetape cannot record the answer to this call; the cluster may have carried it out: look before you repeat it"
        return Refusal(ANSWER_NOT_RECORDED, why)
    return refusal_for(error)


def _end(tape: Tape, result: str, why: str) -> None:
    try:
        tape.end(result, why)
    except LogFailed:
        return  # an Intent without an Outcome reads as "unknown", which is the truth


def _check_body_size(size: int, call: Call) -> None:
    if size > MAX_BODY_BYTES and call.subresource != "proxy":
        raise Refusal(
            TOO_LARGE, f"request body is larger than {MAX_BODY_BYTES} bytes, which Kubernetes does not accept"
        )


@asynccontextmanager
async def _closing_unless_reusable(pool: Pool, connection: UpstreamConnection) -> AsyncIterator[None]:
    """Give the connection back after a clean exchange; close it after any other."""
    try:
        yield
    except BaseException:
        connection.close()
        raise
    pool.release(connection)
