"""The stand-in's listener and its HTTP/1.1 connections: the entry to everything else here.

Conduct. h11 reads and writes HTTP, on purpose not the gateway's own parser. One task a connection;
an answer that streams ends when the client closes, which is noticed while nothing is sent.
"""

import gzip
import ssl
import sys
import traceback
import uuid
from collections.abc import AsyncGenerator
from contextlib import aclosing
from email.utils import formatdate
from functools import partial
from typing import Final

import h11
import trio

from gateway.demo.standin.cluster import Cluster, Request
from gateway.demo.standin.forward import parse_ports, serve_forward
from gateway.demo.standin.remote import parse_options, serve_remote
from gateway.demo.standin.replies import Failure, Reply, bad_request, failure_reply
from gateway.demo.standin.routes import answer
from gateway.demo.standin.seen import SeenLog, SeenRequest
from gateway.demo.standin.settings import Credentials, Identity, StandinSettings
from gateway.demo.standin.target import Target, parse_target
from gateway.demo.standin.tunnels import Refused, Upgrade, bearer_of_protocols, negotiate
from gateway.demo.standin.wire import READ_BYTES, STREAM_ERRORS, Wire
from protocol.channels import open_channel_machine
from protocol.side import Side

MAX_HEAD_BYTES: Final = 1024 * 1024  # Go's default
MAX_BODY_BYTES: Final = 3 * 1024 * 1024  # kube-apiserver's
MAX_DROPPED_BYTES: Final = 64 * 1024 * 1024
GZIP_ABOVE_BYTES: Final = 128 * 1024
WRITE_BUFFER_BYTES: Final = 4096  # of Go's net/http server: so much goes out at once, and then what is longer
HANDSHAKE_TIMEOUT_S: Final = 10.0
IDLE_TIMEOUT_S: Final = 180.0


class Standin:
    """A running stand-in. url: its address for kubeconfigs."""

    def __init__(self, settings: StandinSettings, credentials: Credentials, port: int) -> None:
        self.settings, self.credentials, self.port = settings, credentials, port
        self.url = f"https://{settings.host}:{port}"
        self.cluster = Cluster(settings)


async def serve_standin(
    settings: StandinSettings, *, task_status: trio.TaskStatus[Standin] = trio.TASK_STATUS_IGNORED
) -> None:
    """Serve until cancelled. Starts with the Standin; by then the port is bound and the files written."""
    credentials = Credentials(settings)
    listeners = await trio.open_tcp_listeners(settings.port, host=settings.host)
    standin = Standin(settings, credentials, listeners[0].socket.getsockname()[1])
    if settings.directory:
        credentials.write_files(settings.directory, standin.url)
    seen = SeenLog(settings.directory / "seen.jsonl" if settings.directory else None)
    context = credentials.tls_context()
    try:
        async with trio.open_nursery() as nursery:
            serve = partial(_serve_stream, standin, context, seen)
            await nursery.start(partial(trio.serve_listeners, serve, listeners))
            task_status.started(standin)
    finally:
        seen.close()


async def _serve_stream(
    standin: Standin, context: ssl.SSLContext, seen: SeenLog, raw: trio.SocketStream
) -> None:
    stream = trio.SSLStream(raw, context, server_side=True, https_compatible=True)
    try:
        with trio.fail_after(HANDSHAKE_TIMEOUT_S):
            await stream.do_handshake()
        await _Connection(standin, stream, seen).serve()
    except* (*STREAM_ERRORS, trio.TooSlowError):
        pass  # the client left, or never came: nobody to tell
    except* Exception:  # a bug here ends one connection, loudly, and not the server
        traceback.print_exc(file=sys.stderr)
    finally:
        await trio.aclose_forcefully(stream)


class _Connection:
    def __init__(self, standin: Standin, stream: "trio.SSLStream[trio.SocketStream]", seen: SeenLog) -> None:
        self._standin, self._stream, self._seen_log = standin, stream, seen
        self._http = h11.Connection(h11.SERVER, max_incomplete_event_size=MAX_HEAD_BYTES)

    async def serve(self) -> None:
        """Requests, one after the other, until either side closes."""
        while True:
            try:
                with trio.fail_after(IDLE_TIMEOUT_S):
                    event = await self._next_event()
            except h11.RemoteProtocolError as error:
                await self._send_reply(failure_reply(bad_request(str(error))), SeenRequest("", b"", ()), None)
                return
            if not isinstance(event, h11.Request):
                return
            headers = tuple((bytes(name), bytes(value)) for name, value in event.headers)
            seen = SeenRequest(event.method.decode(), bytes(event.target), headers)
            try:
                await self._serve_request(seen)
            finally:
                self._seen_log.append(seen)
            if self._http.our_state is not h11.DONE or self._http.their_state is not h11.DONE:
                return
            self._http.start_next_cycle()

    async def _serve_request(self, seen: SeenRequest) -> None:
        request: Request | None = None
        try:
            body = await self._read_body(seen)
            request = self._understand(seen, body)
            upgrades = request.target.subresource in ("exec", "attach", "portforward")
            if upgrades and any(name == b"upgrade" for name, _ in seen.headers):
                await self._serve_upgrade(request, seen)
                return
            reply = answer(request, self._standin.cluster)
        except Failure as failure:
            reply = failure_reply(failure)
        except STREAM_ERRORS:
            raise
        except Exception as error:  # a bug here must not look like a dead cluster: say so, keep serving
            traceback.print_exc(file=sys.stderr)
            reply = failure_reply(
                Failure(
                    500, "InternalError", f"Internal error occurred: {type(error).__name__} in the stand-in"
                )
            )
        await self._send_reply(reply, seen, request)

    def _understand(self, seen: SeenRequest, body: bytes) -> Request:
        try:
            target = parse_target(seen.method, seen.target)
        except ValueError as error:
            raise bad_request(str(error)) from error
        request = Request(seen.method, target, seen.headers, body, self._identify(seen))
        seen.user = request.identity.user
        return request

    def _identify(self, seen: SeenRequest) -> Identity:
        """Who asks; with Impersonate-* headers, whom the request is made for."""
        values: dict[bytes, list[str]] = {}
        for name, value in seen.headers:
            values.setdefault(name, []).append(value.decode("latin-1"))
        authorization = values.get(b"authorization", [""])[0].encode()
        if not authorization:
            authorization = bearer_of_protocols(",".join(values.get(b"sec-websocket-protocol", []))) or b""
        identity = self._standin.credentials.identify(self._stream.getpeercert(), authorization)
        groups = tuple(values.get(b"impersonate-group", []))
        user = values.get(b"impersonate-user", [""])[0]
        if not user:
            if any(name.startswith(b"impersonate-") for name in values):
                raise Failure(
                    500,
                    "InternalError",
                    "Internal error occurred: impersonation headers without impersonating a user",
                )
            return identity
        seen.impersonating = identity.user
        return Identity(user, groups or ("system:authenticated",))

    # --- plain answers --------------------------------------------------------------------

    async def _send_reply(self, reply: Reply, seen: SeenRequest, request: Request | None) -> None:
        body, headers = reply.body, reply.headers
        if isinstance(body, bytes) and request is not None and _wants_gzip(request, body):
            body = gzip.compress(body, 1, mtime=0)
            headers += ((b"content-encoding", b"gzip"), (b"vary", b"Accept-Encoding"))
        headers += (
            (b"audit-id", _audit_id(seen.headers)),
            (b"cache-control", b"no-cache, private"),
            (b"date", formatdate(usegmt=True).encode()),
        )
        if isinstance(body, bytes):
            headers += ((b"content-length", b"%d" % len(body)),)
        if self._http.our_state is not h11.SEND_RESPONSE and self._http.our_state is not h11.IDLE:
            return  # the request broke off where no answer is possible
        seen.status = reply.status
        head = h11.Response(status_code=reply.status, headers=list(headers))
        if isinstance(body, bytes):
            seen.response_body.add(body)
            await self._send_whole(head, b"" if seen.method == "HEAD" else body)
        else:
            await self._send(head)
            await self._send_stream(body, seen)
            await self._send(h11.EndOfMessage())
        seen.complete = True

    async def _send_whole(self, head: h11.Response, body: bytes) -> None:
        """In the pieces a real API server writes: what fits its buffer with the head, then the rest."""
        events = (head, h11.Data(body), h11.EndOfMessage()) if body else (head, h11.EndOfMessage())
        answer = b"".join(self._http.send(event) or b"" for event in events)
        await self._stream.send_all(answer[:WRITE_BUFFER_BYTES])
        if rest := answer[WRITE_BUFFER_BYTES:]:
            await self._stream.send_all(rest)

    async def _send_stream(self, body: AsyncGenerator[bytes, None], seen: SeenRequest) -> None:
        """Chunks as they come; stops when the client closes. Raises trio.BrokenResourceError then."""
        async with trio.open_nursery() as nursery:
            client_left = False

            async def watch_client() -> None:
                nonlocal client_left
                data = bytes(await self._stream.receive_some(READ_BYTES))
                if data:
                    self._http.receive_data(data)  # a next request, early: it waits its turn
                else:
                    client_left = True
                    nursery.cancel_scope.cancel()

            nursery.start_soon(watch_client)
            async with aclosing(body):
                async for chunk in body:
                    seen.response_body.add(chunk)
                    await self._send(h11.Data(chunk))
            nursery.cancel_scope.cancel()
        if client_left:
            raise trio.BrokenResourceError("the client left a stream")

    # --- upgrades -------------------------------------------------------------------------

    async def _serve_upgrade(self, request: Request, seen: SeenRequest) -> None:
        cluster, target = self._standin.cluster, request.target
        pod = cluster.pod(target)
        _check_connect(target, [one["name"] for one in pod["spec"]["containers"]])
        try:
            upgrade = negotiate(request, self._standin.settings)
        except Refused as refused:
            seen.status = refused.status
            lines = [b"%s: %s\r\n" % header for header in refused.headers]
            await self._stream.send_all(
                b"HTTP/1.1 %d Forbidden\r\n" % refused.status + b"".join(lines) + b"\r\n"
            )
            seen.complete = True
            return
        legacy = (
            target.subresource == "portforward"
            and upgrade.transport == "websocket"
            and "portforward" not in upgrade.protocol
        )
        ports = parse_ports(target) if legacy else ()
        options = None
        if target.subresource != "portforward":
            options = parse_options(target, upgrade.protocol, upgrade.transport == "spdy")
        wire = await self._switch(upgrade, target, ports, seen)
        try:
            if options is None:
                seen.complete = await serve_forward(wire, target.name, ports)
            else:
                seen.complete = await serve_remote(wire, options, pod, cluster)
        except* (*STREAM_ERRORS, trio.TooSlowError):
            pass  # the client left, or never opened its streams: the record says it is not complete

    async def _switch(
        self, upgrade: Upgrade, target: Target, ports: tuple[int, ...], seen: SeenRequest
    ) -> Wire:
        machine = open_channel_machine(
            target.subresource, upgrade.transport, upgrade.protocol, Side.SERVER, ports=ports
        )
        seen.status, seen.protocol = 101, upgrade.protocol or "none"
        await self._send(
            h11.InformationalResponse(
                status_code=101, headers=list(upgrade.headers), reason=b"Switching Protocols"
            )
        )
        leftover, _ = self._http.trailing_data
        return Wire(self._stream, machine, leftover, seen)

    # --- bytes ----------------------------------------------------------------------------

    async def _next_event(self) -> object:
        while True:
            if self._http.they_are_waiting_for_100_continue:
                await self._send(h11.InformationalResponse(status_code=100, headers=[]))
            event = self._http.next_event()
            if event is not h11.NEED_DATA:
                return event
            self._http.receive_data(bytes(await self._stream.receive_some(READ_BYTES)))

    async def _read_body(self, seen: SeenRequest) -> bytes:
        """Raises Failure 413 above 3 MiB, 400 when it is malformed.

        A body too long is read on for a while and dropped: closing on a client that still sends would
        reset the connection, and our answer with it.
        """
        body, length = bytearray(), 0
        try:
            while isinstance(event := await self._next_event(), h11.Data):
                seen.request_body.add(bytes(event.data))
                length += len(event.data)
                if length <= MAX_BODY_BYTES:
                    body += event.data
                elif length > MAX_DROPPED_BYTES:
                    break
        except h11.RemoteProtocolError as error:
            raise bad_request(str(error)) from error
        if length > MAX_BODY_BYTES:
            raise Failure(
                413, "RequestEntityTooLarge", f"Request entity too large: limit is {MAX_BODY_BYTES}"
            )
        return bytes(body)

    async def _send(self, event: h11.Event) -> None:
        if data := self._http.send(event):
            await self._stream.send_all(data)


def _audit_id(headers: tuple[tuple[bytes, bytes], ...]) -> bytes:
    """The client's own Audit-ID, else a new one, as the API server's WithAuditInit does."""
    return next((value for name, value in headers if name == b"audit-id"), str(uuid.uuid4()).encode())


def _wants_gzip(request: Request, body: bytes) -> bool:
    accepted = [word.strip() for word in request.header(b"accept-encoding").split(",")]
    return len(body) > GZIP_ABOVE_BYTES and "gzip" in accepted and request.target.subresource != "log"


def _check_connect(target: Target, containers: list[str]) -> None:
    if "dryRun" in target.query:
        raise bad_request("dryRun is not supported for connect requests")
    container = target.first("container")
    if container and container not in containers:
        raise bad_request(f"container {container} is not valid for pod {target.name}")
    if not container and len(containers) > 1 and target.subresource != "portforward":
        raise bad_request(
            f"a container name must be specified for pod {target.name}, choose one of: [{' '.join(containers)}]"
        )
