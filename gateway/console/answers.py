"""What the API answers, and how it is sent: one JSON body, a Status for whatever went wrong, or lines that go on.

No answer is for another origin, a cache or a browser's guess: the headers say so on every one of them.
"""

from typing import Final, TypeAlias

import msgspec

from gateway.errors import Answer, Refusal
from gateway.server.request import ClientRequest
from protocol.events import BodyChunk, EndOfBody, Event, Headers, ResponseHead
from protocol.status import Details, encode_status

NOT_FOUND: Final = Answer(404, "NotFound", "refused")
METHOD_NOT_ALLOWED: Final = Answer(405, "MethodNotAllowed", "refused")
TOO_MANY: Final = Answer(429, "TooManyRequests", "refused")

_ALWAYS: Final[Headers] = (
    (b"x-content-type-options", b"nosniff"),
    (b"cache-control", b"no-store"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"referrer-policy", b"no-referrer"),
)
_ENCODER: Final = msgspec.json.Encoder()

Body: TypeAlias = object
"""Anything msgspec encodes: a document, or {"items": [...]}."""


class Reply(msgspec.Struct, frozen=True):
    """A complete answer."""

    body: Body
    status: int = 200


def encode_reply(reply: Reply) -> list[Event]:
    return _whole(reply.status, _ENCODER.encode(reply.body) + b"\n", b"application/json")


def encode_refusal(refusal: Refusal) -> list[Event]:
    """The Status that says so, in the words and the form of the data port."""
    details = refusal.details or Details()
    body = encode_status(
        refusal.answer.code, refusal.answer.reason, refusal.message, name=details.name, kind=details.kind
    )
    more: Headers = ((b"www-authenticate", b"Bearer"),) if refusal.answer.code == 401 else ()
    return _whole(refusal.answer.code, body, b"application/json", more)


def lines_head() -> ResponseHead:
    """The head of an answer of JSON lines that goes on for as long as both sides like."""
    return ResponseHead(200, ((b"content-type", b"application/x-ndjson"), *_ALWAYS))


def encode_line(document: Body) -> bytes:
    return _ENCODER.encode(document) + b"\n"


async def send_whole(request: ClientRequest, events: list[Event]) -> None:
    """Send a complete answer; without its body to HEAD. Raises ClientLeft."""
    if request.head.method == b"HEAD":
        events = [event for event in events if not isinstance(event, BodyChunk)]
    await request.send(*events)


def _whole(status: int, body: bytes, content_type: bytes, more: Headers = ()) -> list[Event]:
    headers = ((b"content-type", content_type), (b"content-length", b"%d" % len(body)), *more, *_ALWAYS)
    return [ResponseHead(status, headers), BodyChunk(body), EndOfBody()]
