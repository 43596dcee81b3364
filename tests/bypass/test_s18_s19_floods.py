"""S18: one client that stalls a handshake or a head stops everybody (GHSA-78rf-vg74-7cr8). S19: one request with
thousands of headers, parameters, groups or frames costs more than it may (kube-oidc-proxy PR#118)."""

from contextlib import AsyncExitStack
from pathlib import Path

import pytest
import trio

from tests.bypass.attack import answer_to, attack, recorded
from tests.bypass.h2 import open_h2_wire
from tests.bypass.test_s04_other_clusters import ISSUER, trust_the_issuer, without_network
from tests.kit import h2_wire
from tests.kit.gateway_rig import Rig
from tests.kit.raw_client import RawClient

PODS = b"/api/v1/namespaces/default/pods"
PATIENCE_S = 0.3
SERVED_S = 2.0


def short_timeouts(patch: pytest.MonkeyPatch) -> None:
    patch.setattr("gateway.server.listener.HANDSHAKE_TIMEOUT_S", PATIENCE_S)
    patch.setattr("gateway.server.http1.HEADER_TIMEOUT_S", PATIENCE_S)


async def assert_others_are_served(rig: Rig) -> None:
    with trio.move_on_after(SERVED_S) as scope:
        response = await answer_to(rig, rig.request(b"GET", PODS))
        assert response is not None, "one client closed the door for all"
        assert response.status == 200
    assert not scope.cancelled_caught, "one client stopped everybody"


async def assert_closed(stream: trio.SocketStream) -> None:
    with trio.move_on_after(SERVED_S) as scope:
        try:
            while await stream.receive_some(1000):
                pass
        except trio.BrokenResourceError:
            pass
    assert not scope.cancelled_caught, "who stalls is never given up"


@attack(prepare=short_timeouts)
async def stall_handshakes(rig: Rig) -> None:
    async with AsyncExitStack() as held:
        stalled = []
        for _ in range(30):
            stream = await trio.open_tcp_stream("127.0.0.1", rig.gateway.port)
            stalled.append(await held.enter_async_context(stream))
        for stream in stalled[::2]:
            await stream.send_all(b"\x16\x03\x01\x02\x00")
        await assert_others_are_served(rig)
        for stream in stalled:
            await assert_closed(stream)
    await recorded(rig)


@attack(prepare=short_timeouts)
async def drip_a_head(rig: Rig) -> None:
    async with rig.client() as client, trio.open_nursery() as nursery:

        async def drip() -> None:
            for byte in rig.request(b"GET", PODS + b"/" + b"a" * 2000):
                try:
                    await client.send(bytes([byte]))
                except trio.BrokenResourceError:
                    return
                await trio.sleep(0.01)

        nursery.start_soon(drip)
        await assert_others_are_served(rig)
        with trio.move_on_after(SERVED_S) as scope:
            await client.rest()
        nursery.cancel_scope.cancel()
    assert not scope.cancelled_caught, "who stalls is never given up"
    await recorded(rig)


async def flood(client: RawClient, pieces: list[bytes]) -> bool:
    """Send until the gateway closes; whether it did."""
    async with trio.open_nursery() as nursery:

        async def send() -> None:
            try:
                for piece in pieces:
                    await client.send(piece)
            except (trio.BrokenResourceError, trio.ClosedResourceError):
                pass

        nursery.start_soon(send)
        with trio.move_on_after(SERVED_S) as scope:
            await client.rest()
        nursery.cancel_scope.cancel()
    return not scope.cancelled_caught


@attack(deadline_s=15)
async def flood_with_frames(rig: Rig) -> None:
    for piece in (
        h2_wire.settings({3: 100}),
        h2_wire.ping(),
        h2_wire.window_update(0, 1),
        h2_wire.raw(0xBE, 0, 0, b""),
    ):
        async with open_h2_wire(rig) as client:
            assert await flood(client.raw, [piece * 50] * 100), "a flood of empty frames goes on"
        await assert_others_are_served(rig)
    await recorded(rig)


@attack(deadline_s=15)
async def reset_rapidly(rig: Rig) -> None:
    async with open_h2_wire(rig) as client:
        head = client.head(b"GET", PODS)
        wires = [h2_wire.headers(n, head) + h2_wire.reset(n) for n in range(1, 2001, 2)]
        assert await flood(client.raw, wires), "streams may be opened and reset without end"
    await assert_others_are_served(rig)
    await recorded(rig)


@attack(deadline_s=10)
async def continue_headers_without_end(rig: Rig) -> None:
    async with open_h2_wire(rig) as client:
        block = h2_wire.plain_block(client.head(b"GET", PODS))
        await client.raw.send(h2_wire.headers_frame(1, block, whole=False))
        more = [h2_wire.continuation(1, b"", whole=False)] * 500
        assert await flood(client.raw, more), "headers without an end"
    await assert_others_are_served(rig)
    await recorded(rig)


@attack()
async def send_too_much_of_everything(rig: Rig) -> None:
    many_values = [b"Impersonate-Extra-A: %d" % n for n in range(3000)]
    for wire, status in (
        (rig.request(b"GET", PODS, *many_values), 431),
        (rig.request(b"GET", PODS, *(b"X-A: %d" % n for n in range(150))), 431),
        (rig.request(b"GET", PODS, b"X-A: " + b"a" * 66_000), 431),
        (rig.request(b"GET", PODS + b"?a=" + b"a" * 33_000), 414),
        (rig.request(b"GET", PODS + b"?" + b"&" * 10_000 + b"a=1"), 400),
        (rig.request(b"GET", PODS + b"/p/exec?" + b"&".join(b"command=a" for _ in range(11_000))), 431),
        (
            rig.request(
                b"GET", PODS + b"/p/portforward?ports=" + b",".join(b"%d" % n for n in range(1, 100))
            ),
            400,
        ),
    ):
        response = await answer_to(rig, wire)
        assert rig.orc.requests == [], "a request beyond every measure was forwarded"
        answered = response.status if response else status
        assert answered in (status, 414), "a request beyond every measure was read"
    async with open_h2_wire(rig) as client:
        await client.ask(client.head(b"GET", PODS, *((b"x-a", b"%d" % n) for n in range(150))))
        assert rig.orc.requests == [], "a request beyond every measure was forwarded"
    await recorded(rig)


@attack(change=trust_the_issuer, prepare=without_network)
async def claim_thousands_of_groups(rig: Rig) -> None:
    for groups in ([f"g{n}" for n in range(201)], [f"g{n}" for n in range(3000)]):
        response = await answer_to(rig, rig.request(b"GET", PODS, token=ISSUER.token(groups=groups)))
        assert rig.orc.requests == [], "a token with hundreds of groups was good"
        assert response is None or response.status in (401, 431)
    await recorded(rig)


async def test_S18_stalled_handshakes_stop_nobody_and_are_given_up(tmp_path: Path) -> None:
    await stall_handshakes.against(tmp_path)


async def test_S18_a_head_that_drips_stops_nobody_and_is_given_up(tmp_path: Path) -> None:
    await drip_a_head.against(tmp_path)


async def test_S18_floods_of_frames_end_their_connection(tmp_path: Path) -> None:
    await flood_with_frames.against(tmp_path)


async def test_S19_rapid_resets_end_their_connection(tmp_path: Path) -> None:
    await reset_rapidly.against(tmp_path)


async def test_S19_headers_have_an_end(tmp_path: Path) -> None:
    await continue_headers_without_end.against(tmp_path)


async def test_S19_no_request_is_beyond_measure(tmp_path: Path) -> None:
    await send_too_much_of_everything.against(tmp_path)


async def test_S19_nor_is_a_token(tmp_path: Path) -> None:
    await claim_thousands_of_groups.against(tmp_path)
