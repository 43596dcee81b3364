"""Ports that a rule leaves closed: refused in the request, or connection by connection, while the others go on."""

from pathlib import Path

import pytest

from protocol.events import Channel, ChannelData, ChannelEnded, ChannelOpened
from storage.records import ChannelChanged
from tests.kit.policed_rig import open_policed_cluster, rules, the_call
from tests.kit.session_client import FORWARD, WEBSOCKET_V4, handshake, open_session, refused

FORWARDS = b"/api/v1/namespaces/default/pods/web/portforward"
POLICY = rules("{name: web-only, match: {resources: [pods/portforward]}, action: {ports: [80]}}")


def opened(connection: int, port: int) -> tuple[ChannelOpened, ChannelOpened]:
    return (
        ChannelOpened(Channel.FORWARD_ERROR, connection, port),
        ChannelOpened(Channel.DATA, connection, port),
    )


async def test_a_closed_port_is_answered_with_the_reason_and_an_open_one_goes_on(tmp_path: Path) -> None:
    async with open_policed_cluster(tmp_path, POLICY) as (rig, _):
        async with open_session(rig, FORWARDS, FORWARD) as session:
            await session.say(*opened(0, 7), *opened(2, 80))
            said = await session.until(Channel.FORWARD_ERROR, b"allowed here: 80", 0)
            assert said == b"kubetape policy: port 7 may not be forwarded; allowed here: 80"
            asked = ChannelData(Channel.DATA, b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", 2)
            await session.say(asked, ChannelEnded(Channel.DATA, 2))
            assert (await session.until(Channel.DATA, b"hello from pod web", 2)).startswith(b"HTTP/1.1 200")
        exchange = await the_call(rig)
        assert {one.port for one in exchange.all(ChannelChanged) if one.what == "opened"} == {7, 80}


async def test_what_is_sent_to_a_closed_port_is_recorded_and_reaches_nobody(tmp_path: Path) -> None:
    async with open_policed_cluster(tmp_path, POLICY) as (rig, _):
        async with open_session(rig, FORWARDS, FORWARD) as session:
            await session.say(*opened(0, 7), ChannelData(Channel.DATA, b"echo me", 0))
            await session.until(Channel.FORWARD_ERROR, b"allowed here", 0)
            assert (Channel.DATA, 0) not in session.heard  # port 7 echoes
            await session.say(ChannelEnded(Channel.DATA, 0))
        exchange = await the_call(rig)
        assert exchange.channel(Channel.DATA, from_client=True) == b"echo me"


@pytest.mark.parametrize("ports", [b"?ports=7", b"?ports=80,7", b"?ports=80&ports=7"])
async def test_the_legacy_websocket_is_refused_for_a_closed_port_that_its_request_names(
    tmp_path: Path, ports: bytes
) -> None:
    async with open_policed_cluster(tmp_path, POLICY) as (rig, _):
        got = await refused(rig, FORWARDS + ports, WEBSOCKET_V4)
        assert got.status == 403
        assert b"port 7 may not be forwarded; allowed here: 80" in got.body
        exchange = await the_call(rig)
        assert exchange.outcome.result == "denied"
        assert exchange.outcome.timings.upstream_sent_us is None


async def test_the_legacy_websocket_carries_an_open_port(tmp_path: Path) -> None:
    async with open_policed_cluster(tmp_path, POLICY) as (rig, _), rig.client() as client:
        assert (await client.ask(handshake(rig, FORWARDS + b"?ports=80", WEBSOCKET_V4))).status == 101
