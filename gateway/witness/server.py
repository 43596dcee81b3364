"""`kubetape witness`: HTTP in front of the decisions of `storage.tlog.witness` (c2sp.org/tlog-witness). Conduct.

    POST /add-checkpoint              decide, make the new head durable, answer with the cosignature
    GET  /<origin hash>/checkpoint    the last cosigned checkpoint of a log

Plain HTTP/1.1 by h11: all that comes in is signed, all that goes out as well; put a TLS proxy in front where
the network is not yours. One request is decided at a time, by a thread, since each waits for the disk; that
also makes deciding and remembering one step. Slow and idle clients are bounded in number, bytes and time.
"""

import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Final

import h11
import msgspec
import trio

from gateway import journal
from gateway.server.listening import open_listeners
from storage.errors import StorageError
from storage.tlog.checkpoint import cosign, with_cosignatures
from storage.tlog.note import Signer, VerifierKey, encode_note
from storage.tlog.witness import (
    MAX_REQUEST_BYTES,
    TEXT_CONTENT_TYPE,
    BadRequest,
    Outcome,
    Refusal,
    decide,
    parse_request,
    requested_origin,
)
from storage.tlog.witness_state import WitnessState, origin_hash

REQUEST_TIMEOUT_S: Final = 10.0
"""For a whole request with its body, and for how long a connection may stay idle."""
MAX_HEAD_BYTES: Final = 16 * 1024
LINGER_S: Final = 2.0
MAX_LINGER_READS: Final = 64
MAX_CONNECTIONS: Final = 64
"""Logs ask once in a few seconds; what comes beyond this many at once is closed unanswered."""


class Reply(msgspec.Struct, frozen=True):
    status: int
    body: bytes
    content_type: str = TEXT_CONTENT_TYPE


Answer = Callable[[bytes, str, bytes], Awaitable[Reply]]
"""(method, target, body) -> reply."""


class Witness:
    """Decides, remembers, cosigns. Blocking; one call at a time. now_s: POSIX seconds."""

    def __init__(
        self,
        signers: Sequence[Signer],
        logs: Sequence[VerifierKey],
        state: WitnessState,
        now_s: Callable[[], float] = time.time,
    ) -> None:
        self._signers, self._state, self._now_s = signers, state, now_s
        self._logs: dict[str, list[VerifierKey]] = {}
        for key in logs:
            self._logs.setdefault(key.name, []).append(key)
        self._paths: Mapping[str, str] = {
            f"/{origin_hash(origin)}/checkpoint": origin for origin in self._logs
        }

    def add_checkpoint(self, body: bytes) -> Reply:
        """Answer one add-checkpoint request. What it grants is durable before it returns."""
        try:
            request = parse_request(body)
        except BadRequest as error:
            return Reply(400, f"{error}\n".encode())
        origin = requested_origin(request)
        try:
            decision = decide(request, self._logs, self._state.head(origin) if origin in self._logs else None)
            if isinstance(decision, Refusal):
                self._note_refusal(decision, body)
                return Reply(decision.status, decision.body.encode(), decision.content_type)
            text, now_s = decision.note.text, int(self._now_s())
            lines = [cosign(text, signer, now_s) for signer in self._signers]
            self._state.save(origin, with_cosignatures(encode_note(decision.note), lines))
        except StorageError as error:
            journal.problem("witness", f"nothing was cosigned: {error}")
            return Reply(500, b"the witness cannot keep its state; nothing was cosigned\n")
        return Reply(200, "".join(line.line for line in lines).encode())

    def _note_refusal(self, refusal: Refusal, body: bytes) -> None:
        if refusal.origin is not None and refusal.outcome is Outcome.INCONSISTENT:
            journal.problem(
                "witness",
                "a log signed a checkpoint that does not continue what was cosigned; the request is kept",
                origin=refusal.origin,
                why=refusal.body.strip(),
            )
            self._state.keep_conflict(refusal.origin, body)

    def checkpoint(self, path: str) -> Reply:
        """Answer a request for the last cosigned checkpoint of a log."""
        origin = self._paths.get(path)
        try:
            note = self._state.note(origin) if origin is not None else None
        except StorageError as error:
            journal.problem("witness", str(error))
            return Reply(500, b"the witness cannot read its state\n")
        if note is None:
            return Reply(404, b"no checkpoint of such a log was cosigned here\n")
        return Reply(200, note)


async def serve_witness(
    host: str, port: int, witness: Witness, *, task_status: trio.TaskStatus[int] = trio.TASK_STATUS_IGNORED
) -> None:
    """Serve until cancelled; starts with the port it listens on. Raises CannotListen."""
    turn = trio.Lock()
    connections = trio.CapacityLimiter(MAX_CONNECTIONS)

    async def answer(method: bytes, target: str, body: bytes) -> Reply:
        async with turn:
            # Not abandoned when cancelled: what is being made durable is answered or not, never half done.
            if method == b"POST" and target == "/add-checkpoint":
                return await trio.to_thread.run_sync(witness.add_checkpoint, body)
            if method == b"GET":
                return await trio.to_thread.run_sync(witness.checkpoint, target)
        return Reply(404, b"POST /add-checkpoint and GET /<origin hash>/checkpoint are served here\n")

    async def handle(stream: trio.SocketStream) -> None:
        async with stream:
            try:
                connections.acquire_on_behalf_of_nowait(stream)
            except trio.WouldBlock:
                return
            try:
                await _converse(stream, answer)
            except trio.BrokenResourceError:
                return  # they went away
            except Exception as error:
                # One peer must never end the service for the others.
                journal.problem("witness", "a connection was ended by an unexpected error", error)
            finally:
                connections.release_on_behalf_of(stream)

    listeners = await open_listeners(host, port, option="--listen")
    async with trio.open_nursery() as nursery:
        await nursery.start(trio.serve_listeners, handle, listeners)
        task_status.started(listeners[0].socket.getsockname()[1])


async def _converse(stream: trio.SocketStream, answer: Answer) -> None:
    """Requests of one connection, one after the other, each within its time."""
    connection = h11.Connection(h11.SERVER, max_incomplete_event_size=MAX_HEAD_BYTES)
    while True:
        method = b""
        try:
            request: tuple[bytes, str, bytes] | Reply | None = None
            with trio.move_on_after(REQUEST_TIMEOUT_S):
                request = await _receive(stream, connection)
            if request is None:
                return
            if isinstance(request, Reply):
                reply = request
            else:
                method, reply = request[0], await answer(*request)
        except h11.RemoteProtocolError as error:
            reply = Reply(error.error_status_hint, b"not an HTTP/1.1 request this witness understands\n")
        with trio.move_on_after(REQUEST_TIMEOUT_S) as patience:
            await stream.send_all(_encoded(connection, reply, bare=method == b"HEAD"))
        if patience.cancelled_caught:
            return
        if (connection.our_state, connection.their_state) != (h11.DONE, h11.DONE):
            await _linger(stream)
            return
        connection.start_next_cycle()


async def _linger(stream: trio.SocketStream) -> None:
    """Read on for a moment: closing on unread bytes resets the connection, and the reply is lost with it."""
    with trio.move_on_after(LINGER_S):
        await stream.send_eof()
        for _ in range(MAX_LINGER_READS):
            if not await stream.receive_some(64 * 1024):
                return


async def _receive(
    stream: trio.SocketStream, connection: h11.Connection
) -> tuple[bytes, str, bytes] | Reply | None:
    """One request as (method, target, body); a reply if it is too large; None at the end."""
    method, target, body = b"", "", bytearray()
    while True:
        event = connection.next_event()
        if event is h11.NEED_DATA:
            if connection.they_are_waiting_for_100_continue:
                go_on = h11.InformationalResponse(status_code=100, headers=[])
                await stream.send_all(connection.send(go_on) or b"")
            connection.receive_data(await stream.receive_some(16 * 1024))
        elif isinstance(event, h11.Request):
            method, target = event.method, event.target.decode("ascii", "replace")
        elif isinstance(event, h11.Data):
            body += event.data
            if len(body) > MAX_REQUEST_BYTES:
                return Reply(413, b"a request has at most %d bytes\n" % MAX_REQUEST_BYTES)
        elif isinstance(event, h11.EndOfMessage):
            return method, target, bytes(body)
        else:
            return None


def _encoded(connection: h11.Connection, reply: Reply, *, bare: bool) -> bytes:
    headers = [
        ("content-type", reply.content_type),
        ("content-length", str(len(reply.body))),
        ("cache-control", "no-store"),
    ]
    if connection.their_state is not h11.DONE:
        headers.append(("connection", "close"))  # the rest of what they send is not read
    head = connection.send(h11.Response(status_code=reply.status, headers=headers)) or b""
    body = b"" if bare else connection.send(h11.Data(data=reply.body)) or b""
    return head + body + (connection.send(h11.EndOfMessage()) or b"")
