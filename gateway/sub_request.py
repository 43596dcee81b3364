"""A request of the gateway's own on behalf of a call that waits: the object as it is now, a dry run, an access review.

It goes the way of every call: recorded and durable before it is sent, with an Audit-ID of its own, under the identity
the call would have. Of its answer only the status is recorded: which masks would apply to it, nobody has decided.
"""

import uuid
from dataclasses import dataclass
from typing import Final

import msgspec
import trio

from gateway.errors import UpstreamLost
from gateway.services import Services
from gateway.tape import Tape, new_exchange_id
from protocol.events import BodyChunk, EndOfBody, Event, Headers, RequestHead, ResponseHead
from storage.records import SubRequest

DEADLINE_S: Final = 10.0
MAX_ANSWER_BYTES: Final = 4 * 1024 * 1024
"""An object is at most 3 MiB; what is larger is a list nobody could review."""
_OF_THE_CALL_ALONE: Final = frozenset(
    (
        *(b"content-type", b"if-none-match", b"if-match"),
        *(b"connection", b"upgrade", b"x-stream-protocol-version"),
        *(b"sec-websocket-version", b"sec-websocket-key", b"sec-websocket-protocol"),
    )
)
"""Its body, its conditions, and the handshake of a call that upgrades: a question about a shell is no shell."""


@dataclass(frozen=True)
class Question:
    """What to ask. head: of the call, with our identity headers, as it would go upstream."""

    purpose: str
    head: RequestHead
    method: bytes
    target: bytes  # origin-form, without the cluster's path prefix
    body: bytes = b""
    content_type: bytes = b""
    shown_target: bytes = b""  # for the record, where the target is masked


async def ask(services: Services, tape: Tape, question: Question) -> tuple[int, bytes]:
    """Status and body of the answer. Raises UpstreamError, LogFailed."""
    audit_id = new_exchange_id()
    head = _head(services, question, audit_id)
    recorded = SubRequest(
        exchange=tape.exchange,
        at_us=tape.at_us(),
        purpose=question.purpose,
        method=question.method.decode(),
        target=question.shown_target or question.target,
        status=0,
        audit_id=audit_id,
    )
    tape.append(recorded, urgent=True)
    await tape.durable()
    try:
        with trio.fail_after(DEADLINE_S):
            status, body = await _exchange(services, head, question.body)
    except trio.TooSlowError as error:
        raise UpstreamLost(f"the API server did not answer a {question.purpose} in time") from error
    tape.append(msgspec.structs.replace(recorded, at_us=tape.at_us(), status=status))
    return status, body


def _head(services: Services, question: Question, audit_id: bytes) -> RequestHead:
    replaced = {b"audit-id": str(uuid.UUID(bytes=audit_id)).encode(), b"accept": b"application/json"}
    kept: Headers = tuple(
        pair
        for pair in question.head.headers
        if pair[0] not in replaced and pair[0] not in _OF_THE_CALL_ALONE
    )
    headers = kept + tuple(replaced.items())
    if question.body:
        headers += ((b"content-type", question.content_type),)
    return RequestHead(
        method=question.method,
        target=services.pool.cluster.path_prefix + question.target,
        authority=question.head.authority,
        headers=headers,
    )


async def _exchange(services: Services, head: RequestHead, body: bytes) -> tuple[int, bytes]:
    parts: list[Event] = [services.with_credential(head, content_length=len(body))]
    parts += [BodyChunk(body), EndOfBody()] if body else [EndOfBody()]
    connection = await services.pool.acquire(fresh=True)
    try:
        await connection.send(*parts)
        status, answer = 0, bytearray()
        while True:
            for event in await connection.receive():
                if isinstance(event, ResponseHead):
                    status = event.status
                elif isinstance(event, BodyChunk):
                    answer += event.data
                elif isinstance(event, EndOfBody):
                    return status, bytes(answer)
            if len(answer) > MAX_ANSWER_BYTES:
                raise UpstreamLost("the API server's answer is too large to look at")
    finally:
        if connection.reusable:
            services.pool.release(connection)
        else:
            connection.close()
