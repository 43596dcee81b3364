"""Access that ends while something runs: watches, commands and forwards are cut, and their users read why."""

import json
from pathlib import Path

import pytest
import trio

from protocol.events import Channel, ChannelOpened
from tests.kit.gateway_rig import Rig
from tests.kit.h2_client import open_h2
from tests.kit.policed_rig import (
    HEAD,
    grant,
    open_policed_cluster,
    revoke,
    rules,
    the_call,
    user_of,
)
from tests.kit.session_client import FORWARD, TRANSPORTS, exit_code, open_session

WATCH = b"/api/v1/namespaces/default/configmaps?watch=true"
WEB = b"/api/v1/namespaces/default/pods/web/"
SLEEP = WEB + b"exec?container=web&command=sleep&command=1000&stdout=true&stderr=true"
REASON = b"access revoked by bob: laptop lost"
GRANTED = (
    HEAD
    + """
rules:
- {name: look, match: {verbs: [get], resources: [pods]}, action: allow}
grants:
- name: debug
  approvers: {groups: [sre]}
  maxDuration: 1h
  rules: [{name: run, match: {resources: [pods/exec, configmaps]}, action: allow}]
"""
)
IN_TIME_S = 5.0
"""A bound for a loaded machine; the gateway itself is woken by the change, not by a clock."""


async def running(rig: Rig) -> None:
    """Until something that would not end by itself is under way."""
    while not rig.gateway.services.live.long_running:
        await trio.sleep(0.002)


async def test_a_watch_over_http2_ends_with_an_error_event_and_the_connection_lives(tmp_path: Path) -> None:
    async with open_policed_cluster(tmp_path, rules()) as (rig, _), open_h2(rig) as client:
        stream = await client.begin(b"GET", WATCH)
        await client.wait(lambda: b"ADDED" in client.answers[stream].body)
        with trio.fail_after(IN_TIME_S):
            await revoke(rig, "user", user_of(rig))
            answer = await client.answer(stream)
        last = json.loads(bytes(answer.body).splitlines()[-1])
        assert (last["type"], last["object"]["code"]) == ("ERROR", 403)
        assert last["object"]["message"].encode() == REASON
        assert (await client.ask(b"GET", b"/version")).status == 403
        found = await rig.exchanges()
        assert (found[0].outcome.result, found[0].outcome.why.encode()) == ("cut", REASON)


@pytest.mark.parametrize("kind", ["user", "credential", "session"])
async def test_whatever_is_revoked_ends_what_runs_on_it(tmp_path: Path, kind: str) -> None:
    async with open_policed_cluster(tmp_path, rules()) as (rig, _), open_session(rig, SLEEP) as session:
        await running(rig)
        (live,) = rig.gateway.services.live
        subject = {"user": live.user, "credential": live.credential_id, "session": live.session}[kind]
        with trio.fail_after(IN_TIME_S):
            await revoke(rig, kind, subject)
            channels = await session.end()
        assert b"revoked by bob: laptop lost" in channels[Channel.STDERR]


@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_a_running_command_ends_with_the_reason_and_a_failure(
    tmp_path: Path, transport: tuple[str, str]
) -> None:
    async with (
        open_policed_cluster(tmp_path, rules()) as (rig, _),
        open_session(rig, SLEEP, transport) as session,
    ):
        await running(rig)
        with trio.fail_after(IN_TIME_S):
            await revoke(rig, "user", user_of(rig))
            channels = await session.end()
        assert REASON in channels[Channel.STDERR]
        assert REASON in channels[Channel.ERROR]
        assert exit_code(channels[Channel.ERROR]) == -1
        assert (await the_call(rig)).outcome.result == "cut"


async def test_a_port_forward_ends_with_the_reason_on_its_open_connections(tmp_path: Path) -> None:
    async with (
        open_policed_cluster(tmp_path, rules()) as (rig, _),
        open_session(rig, WEB + b"portforward", FORWARD) as session,
    ):
        await session.say(ChannelOpened(Channel.FORWARD_ERROR, 0, 7), ChannelOpened(Channel.DATA, 0, 7))
        await running(rig)
        with trio.fail_after(IN_TIME_S):
            await revoke(rig, "user", user_of(rig))
            channels = await session.end()
        assert REASON in channels[Channel.FORWARD_ERROR]


async def test_an_exec_on_a_grant_ends_when_the_grant_is_revoked(tmp_path: Path) -> None:
    async with open_policed_cluster(tmp_path, GRANTED) as (rig, _):
        grant_id = await grant(rig, "debug")
        async with open_session(rig, SLEEP) as session:
            await running(rig)
            with trio.fail_after(IN_TIME_S):
                await revoke(rig, "grant", grant_id)
                channels = await session.end()
        assert b"revoked by bob: laptop lost" in channels[Channel.STDERR]
        exchange = await the_call(rig)
        assert exchange.intent.verdict.grants == (grant_id,)


async def test_an_exec_on_a_grant_ends_when_the_grant_does(tmp_path: Path) -> None:
    async with open_policed_cluster(tmp_path, GRANTED) as (rig, _):
        grant_id = await grant(rig, "debug", duration_s=1)
        async with open_session(rig, SLEEP) as session:
            channels = await session.end()
        assert f"grant {grant_id} expired".encode() in channels[Channel.STDERR]
        got = await rig.ask(b"DELETE", WATCH.partition(b"?")[0] + b"/x")
        assert got.status == 403


async def test_a_watch_on_a_grant_is_warned_about_its_end_and_ends_with_it(tmp_path: Path) -> None:
    async with open_policed_cluster(tmp_path, GRANTED) as (rig, _), open_h2(rig) as client:
        grant_id = await grant(rig, "debug", duration_s=1)
        answer = await client.ask(b"GET", WATCH)
        assert b"grant " + grant_id.encode() in answer.headers[b"warning"]
        assert f"grant {grant_id} expired".encode() in bytes(answer.body).splitlines()[-1]
