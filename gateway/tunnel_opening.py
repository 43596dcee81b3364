"""The client's side of a tunnel: our 101 to it, recorded first, and what watches what passes. Conduct.

The same whether the API server was asked before (`tunnel`) or is asked afterwards (`held_tunnel`).
"""

from dataclasses import dataclass

from gateway.admission import Admitted
from gateway.budgets.account import Account
from gateway.live import LiveExchange
from gateway.server.request import ClientRequest
from gateway.services import Services
from gateway.tape import Tape
from gateway.tunnel_guard import TunnelGuard
from gateway.tunnel_leg import Leg
from gateway.tunnel_record import TunnelRecord
from gateway.typed_holds import people_for_lines
from protocol.channels import open_channel_machine
from protocol.events import ResponseHead
from protocol.side import Side
from protocol.upgrade import client_upgrade_headers


@dataclass(frozen=True)
class Opened:
    """A client whose connection is a tunnel now. leftover: what it had sent behind its request."""

    client: Leg
    record: TunnelRecord
    leftover: bytes


async def answer_client(request: ClientRequest, tape: Tape, admitted: Admitted, protocol: str) -> Opened:
    """Record and send the 101. protocol: the one agreed. Raises ClientLeft, LogFailed."""
    call, upgrade = admitted.call, admitted.upgrade
    assert upgrade is not None
    record = TunnelRecord(tape, call, upgrade.transport, protocol)
    record.started()
    head = ResponseHead(101, client_upgrade_headers(upgrade, protocol))
    tape.response_head(head.status, head.headers)
    await tape.flow()
    tape.answer_begun = True
    stream, leftover = await request.upgrade(head)
    machine = open_channel_machine(
        call.stream_kind, upgrade.transport, protocol, Side.SERVER, ports=call.ports
    )
    return Opened(Leg(stream, machine), record, leftover)


def open_guard(
    admitted: Admitted,
    tape: Tape,
    services: Services,
    live: LiveExchange,
    account: Account,
    request: ClientRequest,
) -> TunnelGuard:
    """The guard of this call's stream."""
    ask_people = people_for_lines(request.head, tape, services, live, admitted)
    return TunnelGuard(
        admitted.call, admitted.judgement.masker, admitted.verdict.streams, tape, account, ask_people
    )
