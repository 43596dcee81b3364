"""One API call, head to last byte. Read this first.

    admit (identify, understand, decide, record) -> wait for people, if a rule says so
    -> forward -> mask the answer, record it, send it, chunk by chunk

Three rules hold everything together. What is recorded, forwarded and answered is made from the same
parsed objects. Nothing goes upstream before its Intent is recorded, nothing goes down before its record is
appended, and what the durability class asks to be durable is waited for in between. Whatever goes wrong
before an answer began is answered with a Status; afterwards the answer is broken off, visibly.
"""

from functools import partial
from typing import Final, NamedTuple

import trio

from gateway import tunnel
from gateway.admission import Admitted, admit
from gateway.answer import receive_while_wanted
from gateway.answer_masking import MaskedAnswer
from gateway.asking import ask
from gateway.body_record import BodyRecord
from gateway.budgets.account import Account
from gateway.ending import answer_cut, answer_failure, cut_answer, end_quietly
from gateway.errors import ClientLeft
from gateway.farewell import WatchBorder
from gateway.gate import is_unhindered, passed
from gateway.judgement import NO_MASKS
from gateway.live import LiveExchange
from gateway.own_answers import self_review, warned
from gateway.request_body import content_type, read_small_body
from gateway.server.request import ClientRequest
from gateway.services import Services
from gateway.tape import Tape, new_exchange_id
from gateway.upload import send_large_body
from gateway.upstream.connection import UpstreamConnection
from gateway.upstream.response import client_head
from gateway.waiting import Waiting
from protocol.events import EndOfBody, Event, ResponseHead
from storage.errors import LogFailed

UNRECORDED_STREAM: Final = "kubetape can no longer record this session"


async def serve(request: ClientRequest, services: Services) -> None:
    """Serve one request, whatever happens. Raises nothing but cancellation."""
    tape = Tape(services.recorder, new_exchange_id(), services.counts)
    with services.live.exchange(tape.started_ns, request.scope) as live:
        try:
            admitted = await admit(request, tape, services, live)
            if admitted.upgrade is not None:
                await tunnel.serve(request, tape, services, live, admitted)
            else:
                await _forward(UnderWay(request, tape, services, live, admitted))
        except ClientLeft as left:
            end_quietly(tape, "client-left", str(left))
            request.abort()
        except Exception as error:
            await answer_failure(request, tape, live, error)
        except BaseException:  # cancelled, possibly as a group
            if live.reason:
                await answer_cut(request, tape, live)
            else:
                end_quietly(tape, "cut", "the gateway stopped")
                request.abort()
            raise


# --- there and back --------------------------------------------------------------------------------


class UnderWay(NamedTuple):
    """An admitted call with all that serves it."""

    request: ClientRequest
    tape: Tape
    services: Services
    live: LiveExchange
    admitted: Admitted


async def _forward(call: UnderWay) -> None:
    """Send the call upstream and the answer down, once nobody has to be asked any more."""
    request, tape, services, live, admitted = call
    body, complete = await _body(request, admitted)
    record = _record_body(call, body, complete=complete) if body or not complete else None
    if admitted.judgement.is_review:
        own = await self_review(services, tape, admitted, body)
        if own is not None:
            await _answer_ourselves(request, tape, own)
            return
    if is_unhindered(admitted, services):
        await _ask_and_relay(call, body, record, None)
        return
    left, patience_s = request.wait_left, services.patience_s
    waiting = Waiting(request.head, left, tape, services, live, admitted, admitted.terms, body, patience_s)
    with await passed(waiting) as account:
        await _ask_and_relay(call, body, record, account)


async def _body(request: ClientRequest, admitted: Admitted) -> tuple[bytes, bool]:
    """The body as far as it is here, and whether that is all: a policy has seen all of it, or nobody needs to."""
    if admitted.judgement.body is not None:
        return admitted.judgement.body, True
    if request.head.content_length == 0:
        return b"", True
    return await read_small_body(request, admitted.call)


def _record_body(call: UnderWay, body: bytes, *, complete: bool) -> BodyRecord | None:
    """Record a small body; of a larger one its beginning. Returns what records the rest, if there is one."""
    request, tape, _, _, admitted = call
    masker = admitted.judgement.masker
    if not complete:
        record = BodyRecord(tape, masker)
        record.add(body, urgent=True)
        return record
    if masker is NO_MASKS:
        tape.request_body(body, urgent=True)
        return None
    masked, counts = masker.request(admitted.call, content_type(request.head), body)
    tape.request_body(masked, urgent=True)
    tape.masked("request", counts)
    return None


async def _answer_ourselves(request: ClientRequest, tape: Tape, events: list[Event]) -> None:
    """An answer of our own making (`auth can-i`, `auth whoami`): recorded and durable like any other."""
    tape.answer(events)
    tape.end("completed", urgent=True)
    await tape.durable()
    tape.answer_begun = True
    await request.send(*events)


async def _ask_and_relay(
    call: UnderWay, body: bytes, record: BodyRecord | None, account: Account | None
) -> None:
    """record: of a body that has more to come. account: None where nothing is counted."""
    request, tape, services, _, admitted = call
    masker = admitted.judgement.masker
    is_plain = masker is NO_MASKS and account is None
    answer = None if is_plain else MaskedAnswer(masker, admitted.call, account, tape)
    relay = _relay_endless if admitted.call.is_long_running else _relay
    if record is None:
        connection, events = await ask(request, tape, services, admitted, body)
    else:
        if services.durability.intent_before_forward(admitted.call.durability_class):
            await tape.intent_durable()
        connection, events = await services.pool.acquire(), []
    try:
        if record is None:
            await relay(call, answer, connection, events)
        else:
            down = partial(relay, call, answer, connection, watched=True)
            await send_large_body(request, tape, services, admitted, connection, body, record, down)
    except BaseException:
        connection.close()
        raise
    finally:
        if answer is not None:
            answer.close()
    services.pool.release(connection)


async def _relay_endless(
    call: UnderWay,
    answer: MaskedAnswer | None,
    connection: UpstreamConnection,
    events: list[Event],
    *,
    watched: bool = False,
) -> None:
    """As `_relay`; it also ends when the client leaves, or when it is cut."""
    request, tape, services, live, admitted = call
    border, left = WatchBorder(admitted.call), False
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
                await _relay(call, answer, connection, events, watched=True, border=border)
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


async def _relay(
    call: UnderWay,
    answer: MaskedAnswer | None,
    connection: UpstreamConnection,
    events: list[Event],
    *,
    watched: bool = False,
    border: WatchBorder | None = None,
) -> None:
    """Mask what one read brought, record it, then send it down in one go; again, to the end.

    answer: None where nothing is masked or counted. watched: another task reads from the client and notices when it
    leaves.
    """
    request, tape, services, _, admitted = call
    if services.durability.intent_before_answer():
        await tape.intent_durable()
    while True:
        if events and isinstance(events[0], ResponseHead):
            services.heard_status(events[0].status)
            events[0] = warned(client_head(events[0], admitted.call), admitted, services)
        batch = events if answer is None else answer.mask(events)
        last = bool(events) and isinstance(events[-1], EndOfBody)
        tape.answer(batch)
        if last:
            tape.mark("upstream_end_us")
            if answer is not None:
                answer.note()
            if services.durability.outcome_before_end(admitted.call.durability_class):
                tape.end("completed", urgent=True)
                await tape.durable()
        else:
            await tape.flow()
        if batch:
            tape.answer_begun = True
            if border is not None:
                border.sending(batch)
            await request.send(*batch)
            if border is not None:
                border.sent(batch)
        if last:
            tape.mark("client_end_us")
            tape.end("completed")
            return
        events = await _next_events(request, connection, answer, watched=watched)


async def _next_events(
    request: ClientRequest, connection: UpstreamConnection, answer: MaskedAnswer | None, *, watched: bool
) -> list[Event]:
    """What comes next; nothing, when masking holds back bytes that must not wait any longer."""
    hold_s = answer.hold_s if answer is not None else None
    if hold_s is None:
        return await (connection.receive() if watched else receive_while_wanted(request, connection))
    with trio.move_on_after(hold_s):
        return await (connection.receive() if watched else receive_while_wanted(request, connection))
    return []
