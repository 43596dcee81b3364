"""One upgraded connection: exec, attach or port-forward. Bytes become channel events, events are recorded,
then re-encoded for the other side: log and wire cannot disagree, and all frames of one read are drained.

The API server is asked first: only after its 101, checked, do we send ours. Whatever else it answers is an
ordinary response, and that connection is closed: it never becomes a pipe.
"""

from contextlib import suppress
from typing import Final

import trio

from gateway.admission import Admitted
from gateway.answer import receive_while_wanted
from gateway.errors import ClientLeft, UpstreamError, UpstreamLost
from gateway.live import LiveExchange
from gateway.server.request import ClientRequest
from gateway.services import Services
from gateway.tape import Tape
from gateway.tls_stream import TlsStream
from gateway.tunnel_record import TunnelRecord
from gateway.upstream.connection import UpstreamConnection
from gateway.upstream.response import client_head
from protocol.channels import open_channel_machine
from protocol.errors import RemoteProtocolError
from protocol.events import (
    BodyChunk,
    EndOfBody,
    Event,
    Failed,
    Machine,
    PeerClosed,
    Ping,
    Pong,
    ResponseHead,
    TunnelClosed,
    Upgraded,
)
from protocol.remotecommand_messages import closing_events
from protocol.side import Side
from protocol.upgrade import check_upgrade_response, client_upgrade_headers
from storage.errors import LogFailed

MAX_REFUSAL_BYTES: Final = 64 * 1024
"""Body of an answer that is not 101: a Status, or a kubelet's line of text."""
GOODBYE_S: Final = 2.0
"""How long the last words to a client may take; one that does not read them has lost them."""
UNRECORDED: Final = "this session can no longer be recorded"
KEEPALIVE_S: Final = 30.0
"""Our pings to the API server: a silent session outlives its idle timeout, as it would without us."""


class Leg:
    """One side of a tunnel: a connection and the machine that reads and writes its protocol."""

    def __init__(self, stream: TlsStream, machine: Machine) -> None:
        self.stream, self.machine = stream, machine
        self._flushing = False
        self._flushed = trio.Event()

    async def flush(self, *, wait: bool = True) -> None:
        """Write what is queued. If another task is writing, it takes ours along: wait for it, or not."""
        if self._flushing:
            if wait:
                await self._flushed.wait()
            return
        self._flushing = True
        try:
            while data := self.machine.data_to_send():
                await self.stream.send_all(data)
        finally:
            self._flushing = False
            self._flushed.set()
            self._flushed = trio.Event()


async def serve(
    request: ClientRequest, tape: Tape, services: Services, live: LiveExchange, admitted: Admitted
) -> None:
    """Ask the API server for the stream; carry it, or answer with its refusal."""
    if services.durability.intent_before_forward(admitted.call.durability_class):
        await tape.intent_durable()
    connection = await services.pool.acquire(fresh=True)
    try:
        answer = await _ask(request, tape, services, admitted, connection)
        if isinstance(answer, Upgraded):
            await _carry(request, tape, services, live, admitted, connection, answer)
        else:
            await _refuse(request, tape, services, admitted, answer)
    finally:
        connection.close()  # an upgrade keeps its connection to itself, whatever became of it


async def _ask(
    request: ClientRequest, tape: Tape, services: Services, admitted: Admitted, connection: UpstreamConnection
) -> Upgraded | list[Event]:
    tape.check()
    tape.mark("upstream_sent_us")
    await connection.send(services.with_credential(admitted.upstream), EndOfBody())
    events: list[Event] = []
    size = 0
    while not events or not isinstance(events[-1], EndOfBody):
        batch = await receive_while_wanted(request, connection)
        if not events:
            tape.mark("upstream_head_us")
        if isinstance(batch[-1], Upgraded):
            return batch[-1]
        events += batch
        size += sum(len(event.data) for event in batch if isinstance(event, BodyChunk))
        if size > MAX_REFUSAL_BYTES:
            raise UpstreamLost("the API server refused the stream with an endless answer")
    return events


async def _refuse(
    request: ClientRequest, tape: Tape, services: Services, admitted: Admitted, events: list[Event]
) -> None:
    """Hand the API server's refusal down as the ordinary response it is."""
    for position, event in enumerate(events):
        if isinstance(event, ResponseHead):
            services.heard_status(event.status)
            if 200 <= event.status < 400:
                raise UpstreamLost(
                    f"the API server answered an upgrade with {event.status}, which means nothing"
                )
            events[position] = client_head(event, admitted.call)
        tape.response(events[position])
    tape.mark("upstream_end_us")
    tape.end("completed", urgent=True)
    if services.durability.outcome_before_end(admitted.call.durability_class):
        await tape.durable()
    tape.answer_begun = True
    await request.send(*events)


async def _carry(
    request: ClientRequest,
    tape: Tape,
    services: Services,
    live: LiveExchange,
    admitted: Admitted,
    connection: UpstreamConnection,
    upgraded: Upgraded,
) -> None:
    call, upgrade = admitted.call, admitted.upgrade
    assert upgrade is not None
    try:
        protocol = check_upgrade_response(upgraded.head, upgrade, admitted.websocket_key)
    except RemoteProtocolError as error:
        raise UpstreamLost(f"the API server's 101 is not acceptable: {error.why}") from error
    record = TunnelRecord(tape, call, upgrade.transport, protocol)
    record.started()
    head = ResponseHead(101, client_upgrade_headers(upgrade, protocol))
    tape.response_head(head.status, head.headers)
    await tape.flow()
    tape.answer_begun = True
    stream, leftover = await request.upgrade(head)

    def machine(side: Side) -> Machine:
        return open_channel_machine(call.stream_kind, upgrade.transport, protocol, side, ports=call.ports)

    client = Leg(stream, machine(Side.SERVER))
    cluster = Leg(connection.stream, machine(Side.CLIENT))
    tunnel = _Tunnel(client, cluster, tape, record, live)
    try:
        await tunnel.run(services, leftover, upgraded.leftover)
    finally:
        await tunnel.conclude(protocol)
        await stream.aclose()


class _Tunnel:
    """Two pumps and the end of both. The first end, whoever causes it, ends the other direction too."""

    def __init__(
        self, client: Leg, cluster: Leg, tape: Tape, record: TunnelRecord, live: LiveExchange
    ) -> None:
        self._client, self._cluster = client, cluster
        self._tape, self._record, self._live = tape, record, live
        self._result, self._why = "", ""
        self._undelivered: list[Event] = []  # of the cluster: recorded, not handed on to the client yet

    async def run(self, services: Services, from_client: bytes, from_cluster: bytes) -> None:
        """Carry events until one side ends, or the session is cut."""
        async with trio.open_nursery() as nursery:

            async def pump(source: Leg, sink: Leg, first: bytes, is_client: bool) -> None:
                await self._pump(source, sink, first, is_client=is_client)
                nursery.cancel_scope.cancel()

            with services.live.cuttable(self._live):
                nursery.start_soon(pump, self._client, self._cluster, from_client, True)
                nursery.start_soon(self._keep_alive)
                await pump(self._cluster, self._client, from_cluster, False)
            if self._live.reason:
                self._ends("cut", self._live.reason)
            nursery.cancel_scope.cancel()

    async def conclude(self, protocol: str) -> None:
        """Say goodbye on both sides, in their protocol, after the outcome is in the log."""
        concluded = self._record.concluded  # by the cluster; a farewell says nothing of how the command ended
        with trio.move_on_after(GOODBYE_S) as scope:
            scope.shield = True
            if not concluded:
                self._deliver()
                if self._result != "client-left":
                    self._say_farewell(self._why or "the connection to the API server was lost", protocol)
            is_durable = await self._end_record(concluded)
            if self._undelivered and not is_durable:
                self._undelivered.clear()  # a result that may not survive is not given
                self._say_farewell(UNRECORDED, protocol)
            self._deliver()
            for leg in (self._client, self._cluster):
                try:
                    await leg.flush()
                except (trio.BrokenResourceError, trio.ClosedResourceError):
                    continue  # that side is gone already

    def _deliver(self) -> None:
        """Hand on to the client what was recorded for it, unless the log has failed since: it may have lost that."""
        with suppress(LogFailed):
            self._tape.check()
            for event in self._undelivered:
                self._client.machine.send(event)
        self._undelivered.clear()

    def _say_farewell(self, why: str, protocol: str) -> None:
        record = self._record
        farewell = closing_events(
            record.kind,
            record.tty,
            f"kubetape: {why}",
            protocol=protocol,
            code=self._live.answer.code,
            connections=record.open_connections(),
        )
        for event in farewell:
            with suppress(LogFailed):  # the words that say so are the one thing that cannot be recorded
                record.carried(event, from_client=False)
            self._client.machine.send(event)

    async def _end_record(self, concluded: bool) -> bool:
        """Write how it ended; whether that, and all before it, survives a power cut."""
        result = self._result or "cut"
        if concluded and result in ("client-left", "cluster-left"):
            result = "completed"
        elif result == "cluster-left":
            result = "completed" if self._record.kind == "portforward" else "failed"
        try:
            self._record.ended(by=self._ended_by(result), why=self._why)
            self._tape.end(result, self._why, urgent=True)
            await self._tape.durable()
        except LogFailed:
            return False
        return True

    def _ended_by(self, result: str) -> str:
        if result in ("cut", "failed") and self._why:
            return "gateway"
        return "client" if self._result == "client-left" else "cluster"

    async def _pump(self, source: Leg, sink: Leg, first: bytes, *, is_client: bool) -> None:
        data = first
        try:
            while True:
                if not data:
                    data = await source.stream.receive_some()
                    if not data:
                        self._ends("client-left" if is_client else "cluster-left", "")
                        return
                if await self._pass_on(source, sink, data, is_client=is_client):
                    return
                data = b""
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            self._ends("client-left" if is_client else "cluster-left", "")
        except LogFailed:
            self._ends("failed", UNRECORDED)
        except (ClientLeft, UpstreamError) as error:
            self._ends("failed", str(error))

    async def _pass_on(self, source: Leg, sink: Leg, data: bytes, *, is_client: bool) -> bool:
        """Record and forward what one read brought; True when it was the last."""
        over = False
        recorded: list[Event] = [] if is_client else self._undelivered
        for event in source.machine.receive(data):
            if isinstance(event, Ping | Pong):
                continue  # answered by the machine; each leg keeps itself alive
            if isinstance(event, Failed):
                who = "client" if is_client else "API server"
                self._ends("failed", f"the {who} broke the stream protocol: {event.error.why}")
                over = True
            elif isinstance(event, PeerClosed):
                self._ends("client-left" if is_client else "cluster-left", "")
                over = True
            else:
                self._record.carried(event, from_client=is_client)
                recorded.append(event)
                if isinstance(event, TunnelClosed):
                    self._ends("client-left" if is_client else "cluster-left", "")
                    over = True
        await source.flush(wait=False)
        if self._record.must_be_durable:
            await self._tape.durable()
            self._record.must_be_durable = False
        await self._tape.flow()
        # Not before: whatever is in the sink's machine goes out with the next flush, whoever does it.
        for event in recorded:
            sink.machine.send(event)
        recorded.clear()
        await sink.flush()
        return over

    async def _keep_alive(self) -> None:
        try:
            while True:
                await trio.sleep(KEEPALIVE_S)
                self._cluster.machine.send(Ping())
                await self._cluster.flush(wait=False)
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            return  # the pump sees the end as well

    def _ends(self, result: str, why: str) -> None:
        """The first reason given is the reason."""
        if not self._result:
            self._result, self._why = result, why
