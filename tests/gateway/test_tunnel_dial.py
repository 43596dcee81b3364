"""A stream asked for again over SPDY, of an API server too old for WebSockets: one approval, two Audit-IDs."""

from pathlib import Path

import pytest
import trio

from protocol.events import Channel, ChannelData, ChannelEnded, ChannelOpened
from storage.records import Held, SubRequest
from tests.kit.gateway_rig import Rig
from tests.kit.policed_rig import approve, next_hold, open_policed_cluster, rules, the_call
from tests.kit.session_client import SPDY, WEBSOCKET_V5, exit_code, handshake, open_session

WEB = b"/api/v1/namespaces/default/pods/web/"
EXEC = WEB + b"exec?container=web&command=true&stdout=true&stderr=true"
FORWARD = WEB + b"portforward"
TUNNEL = ("websocket", "SPDY/3.1+portforward.k8s.io")
HELD = "{name: held, match: {resources: [pods/exec, pods/portforward]}, action: {hold: {approvers: {groups: [sre]}}}}"


async def _approve_next(rig: Rig) -> None:
    await approve(rig, await next_hold(rig))


async def test_the_second_attempt_of_an_exec_is_a_request_of_its_own(tmp_path: Path) -> None:
    async with open_policed_cluster(tmp_path, rules(HELD), old=True) as (rig, _):
        async with open_session(rig, EXEC, WEBSOCKET_V5) as session:
            await _approve_next(rig)
            assert exit_code((await session.end())[Channel.ERROR]) == 0
        exchange = await the_call(rig)
        asked = exchange.all(SubRequest)
        assert [(one.purpose, one.method, one.target, one.status) for one in asked] == [
            ("spdy", "POST", EXEC, 0),
            ("spdy", "POST", EXEC, 101),
        ]
        assert len({one.audit_id for one in asked}) == 1
        assert asked[0].audit_id != exchange.intent.exchange


async def test_where_no_second_attempt_is_needed_none_is_recorded(tmp_path: Path) -> None:
    async with open_policed_cluster(tmp_path, rules(HELD), old=True) as (rig, _):
        async with open_session(rig, EXEC, SPDY) as session:
            await _approve_next(rig)
            await session.end()
        assert (await the_call(rig)).all(SubRequest) == []


@pytest.mark.parametrize("old", [True, False])
async def test_an_approved_port_forward_over_websocket_is_carried_whatever_the_server_speaks(
    tmp_path: Path, old: bool
) -> None:
    async with (
        open_policed_cluster(tmp_path, rules(HELD), old=old) as (rig, _),
        trio.open_nursery() as nursery,
    ):
        nursery.start_soon(_approve_next, rig)
        async with open_session(rig, FORWARD, TUNNEL) as session:
            await session.say(ChannelOpened(Channel.FORWARD_ERROR, 0, 80), ChannelOpened(Channel.DATA, 0, 80))
            await session.say(
                ChannelData(Channel.DATA, b"GET / HTTP/1.0\r\n\r\n"), ChannelEnded(Channel.DATA)
            )
            await session.until(Channel.DATA, b"HTTP/1.")
        exchange = await the_call(rig)
        assert len(exchange.all(Held)) == 1
        assert [one.status for one in exchange.all(SubRequest)] == ([0, 101] if old else [])


async def test_a_port_forward_that_nobody_held_is_left_to_the_client_to_ask_again(tmp_path: Path) -> None:
    everybody = "{name: everybody, action: allow}"
    async with open_policed_cluster(tmp_path, rules(everybody), old=True) as (rig, _), rig.client() as client:
        answer = await client.ask(handshake(rig, FORWARD, TUNNEL))
        assert answer.status != 101
        assert (await the_call(rig)).all(SubRequest) == []


async def test_what_the_server_refuses_over_spdy_too_is_the_answer(tmp_path: Path) -> None:
    nobody = FORWARD.replace(b"pods/web/", b"pods/nobody/")
    async with open_policed_cluster(tmp_path, rules(HELD), old=True) as (rig, _), rig.client() as client:
        await client.send(handshake(rig, nobody, TUNNEL))
        await _approve_next(rig)
        answer = await client.response()
        assert (answer.status, b"nobody" in answer.body) == (404, True)
        asked = (await the_call(rig)).all(SubRequest)
        assert [one.status for one in asked] == [0, 404]
