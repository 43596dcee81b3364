"""Draining: who is there finishes, who comes gets one answer."""

from pathlib import Path

import trio

from tests.kit.gateway_rig import open_rig
from tests.kit.h2_client import open_h2
from tests.kit.orc import OrcConnection, SeenRequest, answer

PODS = b"/api/v1/pods"


async def hold_the_first(connection: OrcConnection, request: SeenRequest) -> None:
    if b"slow" in request.target:
        await trio.sleep(0.3)
    await connection.send(answer())


async def test_during_a_drain_new_connections_are_served_once(tmp_path: Path) -> None:
    async with open_rig(tmp_path, hold_the_first) as rig, rig.client() as busy:
        await busy.send(rig.request(b"GET", PODS + b"?labelSelector=slow"))
        await rig.orc.wait(lambda: rig.orc.requests)
        rig.gateway.start_drain()
        async with rig.client() as late:
            response = await late.ask(rig.request(b"GET", PODS))
            assert (response.status, response.header(b"connection")) == (200, b"close")
            assert await late.more() == b""
        assert (await busy.response()).status == 200
        await rig.gateway.ended.wait()


async def test_a_connection_that_has_asked_nothing_yet_may_still_ask(tmp_path: Path) -> None:
    async with open_rig(tmp_path) as rig, rig.client() as fresh, rig.client() as idle:
        assert (await idle.ask(rig.request(b"GET", PODS))).status == 200
        rig.gateway.start_drain()
        assert await idle.more() == b"", "between two requests it may be closed"
        response = await fresh.ask(rig.request(b"GET", PODS))
        assert (response.status, response.header(b"connection")) == (200, b"close")
        await rig.gateway.ended.wait()


async def test_over_http_2_too(tmp_path: Path) -> None:
    async with open_rig(tmp_path) as rig, open_h2(rig) as fresh:
        rig.gateway.start_drain()
        stream = await fresh.begin(b"GET", PODS)
        await fresh.wait(lambda: fresh.answers[stream].ended)
        assert fresh.answers[stream].status == 200
        await fresh.wait(lambda: fresh.goaway is not None)
        await rig.gateway.ended.wait()
