"""One upgraded connection: exec, attach or port-forward. Bytes become channel events, events are recorded,
then re-encoded for the other side: log and wire cannot disagree, and all frames of one read are drained.

The API server is asked first: only after its 101, checked, do we send ours. Whatever else it answers is an
ordinary response, and that connection is closed: it never becomes a pipe. One case is the other way round: a
command that waits for people (`held_tunnel`). And a port-forward people approved is not refused because the API server
is too old for its transport (`tunnel_dial`).
"""

from gateway import held_tunnel
from gateway.admission import Admitted
from gateway.budgets.account import Account
from gateway.denial import Denial, refuse
from gateway.errors import UpstreamLost
from gateway.gate import passed
from gateway.live import LiveExchange
from gateway.policy.ports import judge_ports
from gateway.server.request import ClientRequest
from gateway.services import Services
from gateway.tape import Tape
from gateway.tunnel_asking import ask
from gateway.tunnel_dial import Dialled, dial_over_spdy, may_fall_back
from gateway.tunnel_ending import TunnelEnding
from gateway.tunnel_leg import ClusterLeg
from gateway.tunnel_opening import answer_client, open_guard
from gateway.tunnel_pumps import Pumps
from gateway.upstream.connection import UpstreamConnection
from gateway.upstream.response import client_head
from gateway.waiting import Waiting
from protocol.channels import open_channel_machine
from protocol.errors import RemoteProtocolError
from protocol.events import Event, ResponseHead, Upgraded
from protocol.side import Side
from protocol.upgrade import check_upgrade_response


async def serve(
    request: ClientRequest, tape: Tape, services: Services, live: LiveExchange, admitted: Admitted
) -> None:
    """Ask the API server for the stream; carry it, or answer with its refusal."""
    is_intent_first = services.durability.intent_before_forward(admitted.call.durability_class)
    if is_intent_first:
        tape.hurry()
    if (port := judge_ports(admitted.verdict.streams, admitted.call.ports)) is not None:
        raise refuse(
            Denial("", port.reason), admitted.call, tape.exchange
        )  # no channel of it will name it again
    if held_tunnel.waits_inside(admitted):
        await held_tunnel.serve(request, tape, services, live, admitted)
        return
    waiting = Waiting(request.head, request.wait_left, tape, services, live, admitted, admitted.terms)
    with await passed(waiting) as account:
        if is_intent_first:
            await tape.intent_durable()
        connection = await services.pool.acquire(fresh=True)
        try:
            answer = await ask(request, tape, services, admitted, connection)
            if isinstance(answer, Upgraded):
                dialled = _dialled(admitted, connection, answer)
                await _carry(request, tape, services, live, admitted, account, dialled)
            elif may_fall_back(admitted):
                dialled = await dial_over_spdy(request, tape, services, admitted)
                try:
                    await _carry(request, tape, services, live, admitted, account, dialled)
                finally:
                    dialled.connection.close()
            else:
                await _refuse(request, tape, services, admitted, answer)
        finally:
            connection.close()  # an upgrade keeps its connection to itself, whatever became of it


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


def _dialled(admitted: Admitted, connection: UpstreamConnection, upgraded: Upgraded) -> Dialled:
    """What the API server's 101 began. Raises UpstreamLost when it is not the one we asked for."""
    call, upgrade = admitted.call, admitted.upgrade
    assert upgrade is not None
    try:
        protocol = check_upgrade_response(upgraded.head, upgrade, admitted.websocket_key)
    except RemoteProtocolError as error:
        raise UpstreamLost(f"the API server's 101 is not acceptable: {error.why}") from error
    machine = open_channel_machine(
        call.stream_kind, upgrade.transport, protocol, Side.CLIENT, ports=call.ports
    )
    return Dialled(connection, machine, upgraded.leftover, protocol)


async def _carry(
    request: ClientRequest,
    tape: Tape,
    services: Services,
    live: LiveExchange,
    admitted: Admitted,
    account: Account,
    dialled: Dialled,
) -> None:
    opened = await answer_client(request, tape, admitted, dialled.protocol)
    cluster = ClusterLeg(dialled.connection, dialled.machine)
    guard = open_guard(admitted, tape, services, live, account, request)
    ending = TunnelEnding(opened.client, tape, opened.record)
    pumps = Pumps(opened.client, cluster, tape, opened.record, live, guard, ending)
    try:
        first = opened.client.machine.receive(opened.leftover) if opened.leftover else []
        await pumps.run(services, first, dialled.leftover)
    finally:
        await ending.conclude(dialled.protocol)  # the listener closes the client's connection
