"""S21: a session that goes on after its access is gone (Teleport #24910, and the moderator who left): every kind of
stream of the revoked ends within a second, with the reason, and nobody else's does."""

import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import trio

from gateway.live import LiveExchange
from gateway.revocations import Revocations
from gateway.state.entries import Revoked
from protocol.channels import open_channel_machine
from protocol.events import Channel, ChannelOpened
from protocol.side import Side
from tests.bypass.attack import attack, recorded
from tests.bypass.h2 import open_h2_wire
from tests.bypass.shells import EXEC, POD, V5, message
from tests.bypass.test_s04_other_clusters import ISSUER, trust_the_issuer, without_network
from tests.gateway.test_revocations import State
from tests.kit.gateway_rig import Rig
from tests.kit.orc import CHUNKED, LAST_CHUNK, OrcConnection, Script, SeenRequest, chunk
from tests.kit.raw_client import RawClient
from tests.kit.tunnel_ends import spdy_fields, switching, websocket_fields

PODS = b"/api/v1/namespaces/default/pods"
WATCH = PODS + b"?watch=true"
LOG = POD + b"/log?follow=true"
FORWARD = POD + b"/portforward"
EVENT = b'{"type":"ADDED","object":{"kind":"Pod"}}\n'
WHY = "access revoked by ann: laptop stolen"
WITHIN_S = 1.0
TICK_S = 0.02


def ticks() -> Script:
    """Streams that never end by themselves."""

    async def script(connection: OrcConnection, request: SeenRequest) -> None:
        piece = chunk(EVENT)
        if request.header(b"upgrade"):
            connection.raw = True
            forwards = request.target.startswith(FORWARD)
            await connection.send(switching(request, b"portforward.k8s.io" if forwards else V5))
            piece = b"" if forwards else message(1, b"tick", from_client=False)
        elif request.target.startswith((WATCH, LOG)):
            await connection.send(CHUNKED)
        else:
            return  # the API server takes its time
        while True:
            if piece:
                await connection.send(piece)
            await trio.sleep(TICK_S)

    return script


class Streams:
    """One client per kind of stream. ended: those whose connection or answer is over, with all they heard."""

    def __init__(self, rig: Rig, nursery: trio.Nursery, token: bytes) -> None:
        self._rig, self._nursery, self._token = rig, nursery, token
        self.ended: dict[str, bytes] = {}

    async def open_all(self) -> set[str]:
        ask = partial(self._rig.request, token=self._token)
        wires = {
            "watch": ask(b"GET", WATCH),
            "log": ask(b"GET", LOG),
            "exec": ask(b"GET", EXEC, *websocket_fields(V5)),
            "port-forward": ask(b"POST", FORWARD, *spdy_fields(b"portforward.k8s.io")),
            "held": ask(b"DELETE", POD),
        }
        for name, wire in wires.items():
            await self._nursery.start(self._client, name, wire)
        await self._nursery.start(self._watch_over_http_2)
        return {*wires, "watch over HTTP/2"}

    async def _client(self, name: str, wire: bytes, *, task_status: trio.TaskStatus[None]) -> None:
        async with self._rig.client() as client:
            await client.send(wire)
            if name == "port-forward":
                await _open_a_forward(client)
            elif name != "held":
                await client.more()
            task_status.started()
            self.ended[name] = await _rest_of_answer(client, held=name == "held")

    async def _watch_over_http_2(self, *, task_status: trio.TaskStatus[None]) -> None:
        async with open_h2_wire(self._rig) as client:
            head = [
                (n, b"Bearer " + self._token if n == b"authorization" else v)
                for n, v in client.head(b"GET", WATCH)
            ]
            assert await client.ask(head) == 200
            task_status.started()
            self.ended["watch over HTTP/2"] = await client.ended(1)


async def _rest_of_answer(client: RawClient, *, held: bool) -> bytes:
    """To its end, or that of the connection."""
    if held:
        return (await client.response()).body
    heard = b""
    while not heard.endswith(LAST_CHUNK) and (data := await client.more()):
        heard += data
    return heard


async def _open_a_forward(client: RawClient) -> None:
    await client.head()
    machine = open_channel_machine("portforward", "spdy", "portforward.k8s.io", Side.CLIENT)
    for channel in (Channel.FORWARD_ERROR, Channel.DATA):
        machine.send(ChannelOpened(channel, 0, 80))
    await client.send(machine.data_to_send())


async def until_ended(streams: Streams, names: set[str]) -> set[str]:
    """Which of them are not over within a second."""
    with trio.move_on_after(WITHIN_S):
        while names - set(streams.ended):
            await trio.sleep(0.005)
    return names - set(streams.ended)


class SetState(State):
    """A shared state whose clock stands where it is put."""

    at_ns = 0

    def now_ns(self) -> int:
        return self.at_ns


async def run_all(rig: Rig, end: Callable[[State, set[LiveExchange]], int], why: bytes) -> None:
    """Open streams of two people, end the access of the first. end: returns the time of the state then."""
    state = SetState()
    mine, others = ISSUER.token(sub="mallory"), ISSUER.token(sub="victim", exp=int(time.time()) + 1200)
    async with trio.open_nursery() as nursery:
        revocations = Revocations(rig.gateway.services.live, state)
        await nursery.start(revocations.run)
        streams, theirs = Streams(rig, nursery, mine), Streams(rig, nursery, others)
        names = await theirs.open_all() and await streams.open_all()
        await rig.orc.wait(lambda: len(rig.orc.requests) == 2 * len(names))
        state.at_ns = end(state, set(rig.gateway.services.live))
        revocations.changed()
        going_on = await until_ended(streams, names)
        left = set(theirs.ended)
        nursery.cancel_scope.cancel()
    assert going_on == set(), f"{going_on} of somebody without access went on"
    assert left == set(), "a stream of somebody else was ended"
    for name in ("exec", "watch", "held"):
        assert why in streams.ended[name], f"{name} was ended without a word of why"
    exchanges = await recorded(rig)
    cut = [e.outcome.why for e in exchanges if e.outcome.result == "cut"]
    assert len(cut) >= len(names), "the record does not say that a stream was cut"
    assert sum(why.decode() in reason for reason in cut) == len(names)


def revoke(state: State, live: set[LiveExchange]) -> int:
    state.revoked.append(Revoked(0, "R1", "user", "mallory", "ann", "laptop stolen"))
    return 0


@attack(script=ticks, change=trust_the_issuer, prepare=without_network, deadline_s=10)
async def go_on_after_a_revocation(rig: Rig) -> None:
    await run_all(rig, revoke, WHY.encode())


def expire(state: State, live: set[LiveExchange]) -> int:
    """After the end of the one credential, before that of the other."""
    first = min(e.principal.expires_ns for e in live if e.principal and e.principal.expires_ns)
    return first + 1


@attack(script=ticks, change=trust_the_issuer, prepare=without_network, deadline_s=10)
async def go_on_after_the_credential_expired(rig: Rig) -> None:
    await run_all(rig, expire, b"your credential expired")


async def test_S21_nothing_of_a_revoked_user_goes_on(tmp_path: Path) -> None:
    await go_on_after_a_revocation.against(tmp_path)


async def test_S21_nor_of_one_whose_credential_expired(tmp_path: Path) -> None:
    await go_on_after_the_credential_expired.against(tmp_path)
