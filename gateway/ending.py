"""How an exchange ends when it does not end by itself: a Status, a farewell, or a visible break."""

from typing import Final

import trio

from gateway import journal
from gateway.errors import ANSWER_NOT_RECORDED, CUT, ClientLeft, Refusal, refusal_for
from gateway.farewell import WatchBorder
from gateway.server.request import ClientRequest
from gateway.tape import Tape
from protocol.events import BodyChunk, EndOfBody, Event, ResponseHead
from protocol.status import encode_status, status_headers
from storage.errors import LogFailed

GOODBYE_S: Final = 2.0
"""How long the last words to a client may take; one that does not read them has lost them."""
READING: Final = frozenset({b"GET", b"HEAD", b"OPTIONS"})
"""Methods that change nothing: safe to send again, and to have answered twice."""


async def cut_answer(request: ClientRequest, tape: Tape, border: WatchBorder, reason: str) -> None:
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


async def answer_error(request: ClientRequest, tape: Tape, error: Exception) -> None:
    """Answer with a Status if nothing was answered yet; else break the answer off, visibly."""
    refusal = _refusal(request, tape, error)
    if refusal.answer.loud:
        journal.problem("exchange", refusal.message, error, exchange=tape.exchange.hex())
    if tape.answer_begun:
        end_quietly(tape, refusal.answer.result, refusal.message)
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
    if isinstance(error, LogFailed) and tape.forwarded and request.head.method not in READING:
        why = "kubetape cannot record the answer to this call; the cluster may have carried it out: look before you repeat it"
        return Refusal(ANSWER_NOT_RECORDED, why)
    return refusal_for(error)


def end_quietly(tape: Tape, result: str, why: str) -> None:
    try:
        tape.end(result, why)
    except LogFailed:
        return  # an Intent without an Outcome reads as "unknown", which is the truth
