"""Bytes that are no request: recorded, then answered with a Status. What is refused leaves a trace too."""

from gateway.errors import refusal_for
from gateway.evidence import build_intent
from gateway.server.request import ConnectionFacts
from gateway.services import Services
from gateway.tape import Tape, new_exchange_id
from protocol.errors import RemoteProtocolError
from protocol.events import BodyChunk, EndOfBody, Event, RequestHead, ResponseHead
from protocol.status import encode_status, status_headers
from storage.errors import LogFailed
from storage.files import Headroom


def refuse_malformed(
    services: Services, facts: ConnectionFacts, error: RemoteProtocolError
) -> tuple[Event, ...]:
    """The answer to bytes that are no request, after its record was appended."""
    refusal = refusal_for(error)
    body = encode_status(refusal.answer.code, refusal.answer.reason, refusal.message)
    head = ResponseHead(refusal.answer.code, status_headers(body))
    tape = Tape(services.recorder, new_exchange_id())
    nothing = RequestHead(method=b"", target=b"", authority=b"", headers=())
    try:
        if services.recorder.headroom() is Headroom.CRITICAL:
            return head, BodyChunk(body), EndOfBody()  # what is left is for the calls that run
        tape.intent(
            build_intent(
                nothing,
                facts,
                exchange=tape.exchange,
                at_ns=tape.started_ns,
                verdict=services.policy.unjudged,
                durability=2,
            )
        )
        tape.response_head(head.status, head.headers)
        tape.response_body(body)
        tape.end("refused", refusal.message)
    except LogFailed:
        pass  # the answer refuses anyway
    return head, BodyChunk(body), EndOfBody()
