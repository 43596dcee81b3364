"""Asking the API server for a stream whose client was answered already: the same protocol, else SPDY with a bridge."""

import os
from dataclasses import dataclass, replace
from typing import Final

import msgspec

from gateway.admission import Admitted
from gateway.errors import Answer, Refusal, UpstreamLost
from gateway.server.request import ClientRequest
from gateway.services import Services
from gateway.tape import Tape
from gateway.tunnel_asking import ask
from gateway.upstream.connection import UpstreamConnection
from protocol.channel_bridge import WebSocketToSpdy
from protocol.channels import open_channel_machine
from protocol.errors import RemoteProtocolError
from protocol.events import BodyChunk, Event, Failed, Machine, ResponseHead, Upgraded
from protocol.side import Side
from protocol.status import REASONS, parse_status
from protocol.upgrade import UpgradeRequest, check_upgrade_response, upstream_upgrade_headers

SPDY_PROTOCOL: Final = "v4.channel.k8s.io"
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
    """An upgraded connection to the API server. machine: says what its client says, bridged where that is needed."""

    connection: UpstreamConnection
    machine: Machine
    leftover: bytes


async def dial(
    request: ClientRequest, tape: Tape, services: Services, admitted: Admitted, protocol: str
) -> Dialled:
    """protocol: the one agreed with the client. Raises Refusal with the API server's own words, UpstreamError."""
    upgrade = admitted.upgrade
    assert upgrade is not None
    offers = (protocol,) if protocol else ()
    same = msgspec.structs.replace(upgrade, protocols=offers, bearer_token=None)
    try:
        return await _dial(request, tape, services, admitted, same, None)
    except Refusal:
        if upgrade.transport == "spdy":
            raise
    over_spdy = UpgradeRequest("spdy", (SPDY_PROTOCOL,))
    return await _dial(request, tape, services, admitted, over_spdy, WebSocketToSpdy(admitted.call))


async def _dial(
    request: ClientRequest,
    tape: Tape,
    services: Services,
    admitted: Admitted,
    upgrade: UpgradeRequest,
    bridge: WebSocketToSpdy | None,
) -> Dialled:
    key = os.urandom(16)
    connection = await services.pool.acquire(fresh=True)
    try:
        answer = await ask(request, tape, services, _asking(admitted, upgrade, key), connection)
        if not isinstance(answer, Upgraded):
            raise _refusal(services, answer)
        chosen = check_upgrade_response(answer.head, upgrade, key)
    except RemoteProtocolError as error:
        connection.close()
        raise UpstreamLost(f"the API server's 101 is not acceptable: {error.why}") from error
    except BaseException:
        connection.close()
        raise
    machine = open_channel_machine(admitted.call.stream_kind, upgrade.transport, chosen, Side.CLIENT)
    return Dialled(connection, machine if bridge is None else _Bridged(machine, bridge), answer.leftover)


def _asking(admitted: Admitted, upgrade: UpgradeRequest, key: bytes) -> Admitted:
    """The same call with a handshake of this transport."""
    kept = tuple(pair for pair in admitted.upstream.headers if pair[0] not in _HANDSHAKE)
    is_spdy = upgrade.transport == "spdy"
    head = msgspec.structs.replace(
        admitted.upstream,
        method=b"POST" if is_spdy else b"GET",
        headers=kept + upstream_upgrade_headers(upgrade, key),
        upgrade=b"spdy/3.1" if is_spdy else b"websocket",
    )
    return replace(admitted, upstream=head, upgrade=upgrade, websocket_key=key)


def _refusal(services: Services, events: list[Event]) -> Refusal:
    status = next(event.status for event in events if isinstance(event, ResponseHead))
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
