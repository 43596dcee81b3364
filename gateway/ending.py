"""How an exchange ends when it does not end by itself: a Status, a farewell, or a visible break."""

from typing import Final

import trio

from gateway import journal
from gateway.errors import ANSWER_NOT_RECORDED, ClientLeft, Refusal, refusal_for
from gateway.farewell import WatchBorder
from gateway.live import LiveExchange
from gateway.server.request import ClientRequest
from gateway.tape import Tape
from protocol.events import BodyChunk, EndOfBody, Event, ResponseHead
from protocol.status import Details, encode_status, status_headers
from storage.errors import LogFailed

GOODBYE_S: Final = 2.0
"""How long the last words to a client may take, the disk that records them included; one that does not read them has
lost them."""
READING: Final = frozenset({b"GET", b"HEAD", b"OPTIONS"})
"""Methods that change nothing: safe to send again, and to have answered twice."""


async def answer_cut(request: ClientRequest, tape: Tape, live: LiveExchange) -> None:
    """Say why a call was ended before its answer began, or break the answer off.

    The cluster may have carried out what it was already sent: then nobody must read that it was only refused.
    """
    if tape.ended:  # the outcome is in the record already, on its way to the disk: nothing may contradict it
        request.abort()
        return
    reason = live.reason
    if tape.forwarded and request.head.method not in READING:
        reason += "; the cluster may have carried out this call: look before you repeat it"
    await answer_failure(request, tape, live, Refusal(live.answer, reason))


async def answer_failure(request: ClientRequest, tape: Tape, live: LiveExchange, error: Exception) -> None:
    """As `answer_error`, though the exchange may have been cut; from now on it cannot be."""
    if not live.close():
        await answer_error(request, tape, error)
        return
    with trio.move_on_after(GOODBYE_S) as scope:
        scope.shield = True  # the scope around it is cancelled
        await answer_error(request, tape, error)
    if scope.cancelled_caught:
        end_quietly(tape, "cut", live.reason)
        request.abort()


async def cut_answer(request: ClientRequest, tape: Tape, border: WatchBorder, live: LiveExchange) -> None:
    """End an answer that would go on: with a reason where the protocol has room for one."""
    reason = live.reason
    if not tape.answer_begun:
        raise Refusal(live.answer, reason)
    farewell = border.farewell(reason, live.answer.code)
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


async def answer_error(request: ClientRequest, tape: Tape, error: Exception) -> None:
    """Answer with a Status if nothing was answered yet; else break the answer off, visibly."""
    refusal = _refusal(request, tape, error)
    if refusal.answer.loud:
        journal.problem("exchange", refusal.message, error, exchange=tape.exchange.hex())
    if tape.answer_begun:
        end_quietly(tape, refusal.answer.result, refusal.message)
        request.abort()
        return
    head, body = _status(refusal)
    try:
        if tape.intent_recorded:
            tape.response_head(head.status, head.headers)
            if request.head.method != b"HEAD":
                tape.response_body(body)
            tape.end(refusal.answer.result, refusal.message, urgent=True)
            await tape.durable()
    except LogFailed as failure:
        # The one answer that cannot be recorded is the one that says so.
        refusal = _refusal(request, tape, failure)
        head, body = _status(refusal)
    events: list[Event] = [head]
    if request.head.method != b"HEAD":
        events.append(BodyChunk(body))
    try:
        await request.send(*events, EndOfBody())
    except ClientLeft:
        return  # the answer is in the record; nobody is there to read it


def _status(refusal: Refusal) -> tuple[ResponseHead, bytes]:
    answer, details = refusal.answer, refusal.details or Details()
    body = encode_status(
        answer.code,
        answer.reason,
        refusal.message,
        name=details.name,
        group=details.group,
        kind=details.kind,
        uid=details.uid,
        causes=details.causes,
        retry_after_s=refusal.retry_after_s,
    )
    return ResponseHead(answer.code, status_headers(body, retry_after_s=refusal.retry_after_s)), body


def _refusal(request: ClientRequest, tape: Tape, error: Exception) -> Refusal:
    """What to say of an error; of a mutation whose answer cannot be recorded, that it may have happened."""
    if isinstance(error, LogFailed) and tape.forwarded and request.head.method not in READING:
        why = "kubetape cannot record the answer to this call; the cluster may have carried it out: look before you repeat it"
        return Refusal(ANSWER_NOT_RECORDED, why)
    return refusal_for(error)


def end_quietly(tape: Tape, result: str, why: str) -> None:
    try:
        tape.end(result, why)
    except LogFailed:
        return  # an Intent without an Outcome reads as "unknown", which is the truth
