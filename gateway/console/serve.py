"""The management API on its own port: one request from its bytes to its answer. Conduct.

Order matters: is it for us and from no foreign page, does the path exist, who asks, is the body what the route takes;
then the handler. Nothing is done for a request that fails any of it. What goes wrong is a Status, never a traceback.
"""

import ssl
from collections import Counter
from functools import partial
from typing import Final

import msgspec
import trio

from gateway import journal
from gateway.config import BadConfig, Settings, parse_address
from gateway.console.answers import (
    TOO_MANY,
    Reply,
    encode_line,
    encode_refusal,
    encode_reply,
    lines_head,
    send_whole,
)
from gateway.console.caller import check_origin, identify
from gateway.console.context import ApiCall, ConsoleServices, Lines
from gateway.console.openapi import make_openapi
from gateway.console.routes import Route, match_route
from gateway.console.settings import Admins
from gateway.deciding import UNACCEPTABLE
from gateway.errors import BAD_REQUEST, TOO_LARGE, UNSUPPORTED_MEDIA, ClientLeft, Refusal, refusal_for
from gateway.first_user import GROUP as FIRST_USER_GROUP
from gateway.server.listener import Listener
from gateway.server.listening import open_listeners
from gateway.server.request import ClientRequest, ConnectionFacts
from gateway.server.tls import is_loopback
from protocol.errors import RemoteProtocolError
from protocol.events import BodyChunk, EndOfBody, Event, RequestHead

MAX_BODY_BYTES: Final = 16 * 1024
BODY_S: Final = 10.0
"""For a whole body: they are small, and come from people and programs that have them ready."""
MAX_WATCHES: Final = 256
MAX_WATCHES_EACH: Final = 8
OPENAPI: Final = b"/openapi.json"


async def serve_console(
    settings: Settings,
    services: ConsoleServices,
    context: ssl.SSLContext,
    *,
    listeners: list[trio.SocketListener] | None = None,
    leaving: trio.Event | None = None,
    task_status: trio.TaskStatus[int] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Serve until cancelled; starts with the port. `settings.console_address` is not "". context: that of the data port.
    listeners: on that address, if somebody opened it already. leaving: once set, somebody else accepts on them; returns
    when who was accepted here has been answered.

    Raises BadConfig, CannotListen before it started.
    """
    check_console(settings)
    host, port = parse_address(settings.console_address)
    listener = Listener(context, partial(_Api(services).serve, services=services), _malformed)
    sockets = listeners or await open_listeners(host, port, option="--console-listen")
    async with trio.open_nursery() as nursery:
        if leaving is not None:
            nursery.start_soon(_leave, listener, leaving)
        await listener.run(sockets, task_status=task_status)


async def _leave(listener: Listener, leaving: trio.Event) -> None:
    await leaving.wait()
    listener.drain()


def check_console(settings: Settings) -> None:
    """Raises BadConfig for an address that would open it to strangers."""
    host, _ = parse_address(settings.console_address)
    if not settings.has_identity and not is_loopback(host):
        raise BadConfig(
            f"listen.console: without identity settings it listens on loopback only, not on {host}: configure an "
            'issuer, client certificates or a token file first, or write console: ""'
        )


def effective_admins(settings: Settings) -> Admins:
    """Those of the configuration. Without identity settings there is one user, who owns the data directory: he is."""
    return settings.console.admins if settings.has_identity else Admins(groups=(FIRST_USER_GROUP,))


class _Api:
    """What is remembered between requests: the document, and who watches."""

    def __init__(self, services: ConsoleServices) -> None:
        self._openapi = msgspec.Raw(make_openapi())
        self._watches: Counter[str] = Counter()

    async def serve(self, request: ClientRequest, services: ConsoleServices) -> None:
        """One request, whatever happens. Raises nothing but cancellation."""
        try:
            answer = await self._answer(request, services)
            if isinstance(answer, Lines):
                await _send_lines(request, answer)
            else:
                await send_whole(request, encode_reply(answer))
        except ClientLeft:
            request.abort()
        except Exception as error:
            await _refuse(request, error)

    async def _answer(self, request: ClientRequest, services: ConsoleServices) -> Reply | Lines:
        check_origin(request.head, services)
        if request.head.target == OPENAPI and request.head.method in (b"GET", b"HEAD"):
            return Reply(self._openapi)  # says nothing that the documentation does not
        matched = match_route(request.head.method, request.head.target)
        person = await identify(request, services)
        body = await _read_body(request, matched.route) if matched.route.body is not None else None
        call = ApiCall(services, person, matched.path_id, matched.query, body, request.facts.source_address)
        answer = await matched.route.handler(call)
        return self._counted(answer, person.user) if isinstance(answer, Lines) else answer

    def _counted(self, lines: Lines, user: str) -> Lines:
        if self._watches.total() >= MAX_WATCHES or self._watches[user] >= MAX_WATCHES_EACH:
            raise Refusal(TOO_MANY, "too many watches are open: close one")

        async def produce(send: object) -> None:
            self._watches[user] += 1
            try:
                await lines.produce(send)  # type: ignore[arg-type]
            finally:
                self._watches[user] -= 1

        return Lines(produce)


async def _read_body(request: ClientRequest, route: Route) -> msgspec.Struct:
    _check_media(request.head)
    if (request.head.content_length or 0) > MAX_BODY_BYTES:
        raise Refusal(TOO_LARGE, f"a body has at most {MAX_BODY_BYTES} bytes")
    body = bytearray()
    with trio.move_on_after(BODY_S) as scope:
        while data := await request.receive_body():
            body += data
            if len(body) > MAX_BODY_BYTES:
                raise Refusal(TOO_LARGE, f"a body has at most {MAX_BODY_BYTES} bytes")
    if scope.cancelled_caught:
        raise RemoteProtocolError("the request body did not arrive", status_hint=408)
    if route.body is None:
        raise AssertionError("only routes that take a body read one")
    try:
        decoded: msgspec.Struct = msgspec.json.decode(bytes(body), type=route.body)
    except msgspec.ValidationError as error:
        raise Refusal(UNACCEPTABLE, f"the body is not acceptable: {error}") from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise Refusal(BAD_REQUEST, "the body is not JSON") from None
    return decoded


def _check_media(head: RequestHead) -> None:
    """A form of a web page can post other types without asking; this one it cannot."""
    given = dict(head.headers).get(b"content-type", b"").split(b";")[0].strip().lower()
    if given != b"application/json":
        raise Refusal(UNSUPPORTED_MEDIA, "send a body as content-type: application/json")


async def _send_lines(request: ClientRequest, lines: Lines) -> None:
    """Send documents as they come, until there are no more or the client leaves. Raises ClientLeft."""
    await request.send(lines_head())
    failure: Exception | None = None
    async with trio.open_nursery() as nursery:

        async def watch_client() -> None:
            await request.wait_left()
            nursery.cancel_scope.cancel()

        async def send(document: object) -> None:
            await request.send(BodyChunk(b"\n" if document is None else encode_line(document)))

        nursery.start_soon(watch_client)
        try:
            await lines.produce(send)
            await request.send(EndOfBody())
        except Exception as error:  # told after the nursery, which would wrap it
            failure = error
        nursery.cancel_scope.cancel()
    if isinstance(failure, ClientLeft):
        raise failure
    if failure is not None:
        journal.problem("console", "a watch was ended by an unexpected error", failure)
        request.abort()


async def _refuse(request: ClientRequest, error: Exception) -> None:
    refusal = refusal_for(error)
    if refusal.answer.loud:
        journal.problem("console", refusal.message, error)
    try:
        await send_whole(request, encode_refusal(refusal))
    except ClientLeft:
        request.abort()


def _malformed(facts: ConnectionFacts, error: RemoteProtocolError) -> tuple[Event, ...]:
    del facts
    return tuple(encode_refusal(refusal_for(error)))
