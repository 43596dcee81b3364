"""Asking the API server for a stream: the same protocol as the client's, else over SPDY on its behalf.

Older API servers speak no WebSocket for these. A client that met one falls back by itself; one whose call people
approved must not, or they would be asked twice. The second attempt is a request of ours, with an Audit-ID of its own:
one id in the cluster's audit log stands for one request.
"""

import os
import uuid
from dataclasses import dataclass
from typing import Final

import msgspec

from gateway.admission import Admitted
from gateway.errors import Answer, Refusal, UpstreamLost
from gateway.policy.model import Action
from gateway.server.request import ClientRequest
from gateway.services import Services
from gateway.tape import Tape, new_exchange_id
from gateway.tunnel_asking import ask
from gateway.upstream.connection import UpstreamConnection
from protocol.channel_bridge import WebSocketToSpdy
from protocol.channels import open_channel_machine
from protocol.errors import RemoteProtocolError
from protocol.events import BodyChunk, Event, Failed, Machine, ResponseHead, Upgraded
from protocol.portforward import TUNNEL_PROTOCOL
from protocol.side import Side
from protocol.status import REASONS, parse_status
from protocol.upgrade import (
    EXEC_SPDY,
    PORTFORWARD_SPDY,
    UpgradeRequest,
    check_upgrade_response,
    upstream_upgrade_headers,
)
from storage.records import SubRequest

SPDY_PROTOCOLS: Final = {"exec": EXEC_SPDY[0], "attach": EXEC_SPDY[0], "portforward": PORTFORWARD_SPDY[0]}
_HANDSHAKE: Final = frozenset(
    (
        b"connection",
        b"upgrade",
        b"sec-websocket-version",
        b"sec-websocket-key",
        b"sec-websocket-protocol",
        b"x-stream-protocol-version",
    )
)


@dataclass(frozen=True)
class Dialled:
    """An upgraded connection to the API server. machine: says what its client says, bridged where that is needed.

    protocol: of the client's side, as its 101 names it.
    """

    connection: UpstreamConnection
    machine: Machine
    leftover: bytes
    protocol: str


async def dial(
    request: ClientRequest, tape: Tape, services: Services, admitted: Admitted, protocol: str
) -> Dialled:
    """protocol: the one agreed with the client. Raises Refusal with the API server's own words, UpstreamError."""
    upgrade = admitted.upgrade
    assert upgrade is not None
    offers = (protocol,) if protocol else ()
    same = msgspec.structs.replace(upgrade, protocols=offers, bearer_token=None)
    try:
        return await _dial(request, tape, services, admitted, same)
    except Refusal:
        if upgrade.transport == "spdy":
            raise
    return await dial_over_spdy(request, tape, services, admitted)


def may_fall_back(admitted: Admitted) -> bool:
    """Whether a refused port-forward is tried over SPDY here. Its tunnel carries SPDY, so nothing has to be bridged."""
    upgrade = admitted.upgrade
    offers = upgrade.protocols if upgrade is not None and upgrade.transport == "websocket" else ()
    return admitted.verdict.action is Action.HOLD and TUNNEL_PROTOCOL in offers


async def dial_over_spdy(
    request: ClientRequest, tape: Tape, services: Services, admitted: Admitted
) -> Dialled:
    """On behalf of a client of WebSockets. Raises Refusal, UpstreamError, ClientLeft, LogFailed."""
    call = admitted.call
    upgrade = UpgradeRequest("spdy", (SPDY_PROTOCOLS[call.stream_kind],))
    target = admitted.judgement.masker.target(call.target)
    audit_id = new_exchange_id()
    asked = SubRequest(tape.exchange, tape.at_us(), "spdy", "POST", target, 0, audit_id)
    tape.append(asked, urgent=True)
    await tape.durable()
    return await _dial(request, tape, services, admitted, upgrade, asked)


async def _dial(
    request: ClientRequest,
    tape: Tape,
    services: Services,
    admitted: Admitted,
    upgrade: UpgradeRequest,
    asked: SubRequest | None = None,
) -> Dialled:
    """asked: the record of it, where it is our own request."""
    call, key = admitted.call, os.urandom(16)
    connection = await services.pool.acquire(fresh=True)
    try:
        asking = _asking(admitted, upgrade, key, asked.audit_id if asked is not None else b"")
        answer = await ask(request, tape, services, asking, connection)
        if asked is not None:
            tape.append(msgspec.structs.replace(asked, at_us=tape.at_us(), status=_status(answer)))
        if not isinstance(answer, Upgraded):
            raise _refusal(services, answer)
        chosen = check_upgrade_response(answer.head, upgrade, key)
    except RemoteProtocolError as error:
        connection.close()
        raise UpstreamLost(f"the API server's 101 is not acceptable: {error.why}") from error
    except BaseException:
        connection.close()
        raise
    machine = open_channel_machine(call.stream_kind, upgrade.transport, chosen, Side.CLIENT)
    if asked is not None and call.stream_kind != "portforward":
        machine = _Bridged(machine, WebSocketToSpdy(call))
    return Dialled(connection, machine, answer.leftover, TUNNEL_PROTOCOL if asked is not None else chosen)


def _asking(admitted: Admitted, upgrade: UpgradeRequest, key: bytes, audit_id: bytes) -> Admitted:
    """The same call with a handshake of this transport. audit_id: where it is not the exchange's own."""
    kept = tuple(pair for pair in admitted.upstream.headers if pair[0] not in _HANDSHAKE)
    if audit_id:
        own = (b"audit-id", str(uuid.UUID(bytes=audit_id)).encode())
        kept = (*(pair for pair in kept if pair[0] != b"audit-id"), own)
    is_spdy = upgrade.transport == "spdy"
    head = msgspec.structs.replace(
        admitted.upstream,
        method=b"POST" if is_spdy else b"GET",
        headers=kept + upstream_upgrade_headers(upgrade, key),
        upgrade=b"spdy/3.1" if is_spdy else b"websocket",
    )
    return msgspec.structs.replace(admitted, upstream=head, upgrade=upgrade, websocket_key=key)


def _status(answer: Upgraded | list[Event]) -> int:
    if isinstance(answer, Upgraded):
        return answer.head.status
    return next(event.status for event in answer if isinstance(event, ResponseHead))


def _refusal(services: Services, events: list[Event]) -> Refusal:
    status = _status(events)
    services.heard_status(status)
    body = b"".join(event.data for event in events if isinstance(event, BodyChunk))
    said = parse_status(body)
    message = said.message if said is not None and said.message else body.decode("utf-8", "replace").strip()
    if status == 401:
        status, message = 503, "the API server does not accept kubetape's own credential"
    words = message or f"the API server answered {status}"
    return Refusal(Answer(status, REASONS.get(status, "InternalError"), "failed"), words)


class _Bridged:
    """A SPDY machine that is spoken to as if it were the client's WebSocket."""

    def __init__(self, machine: Machine, bridge: WebSocketToSpdy) -> None:
        self._machine, self._bridge = machine, bridge
        for event in bridge.opening():
            machine.send(event)

    def receive(self, data: bytes) -> list[Event]:
        events: list[Event] = []
        for event in self._machine.receive(data):
            try:
                events += self._bridge.to_client(event)
            except RemoteProtocolError as error:
                return [*events, Failed(error)]
        return events

    def send(self, event: Event) -> None:
        for said in self._bridge.to_cluster(event):
            self._machine.send(said)

    def data_to_send(self) -> bytes:
        return self._machine.data_to_send()
