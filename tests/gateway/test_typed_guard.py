"""Lines typed into a shell: allowed, noted, denied, held; on a terminal and through a pipe."""

from pathlib import Path

import pytest
import trio
import trio.lowlevel

from protocol.events import Channel, ChannelData, ChannelEnded
from storage.records import CommandSeen, HoldEnded
from tests.kit.policed_rig import (
    HEAD,
    approve,
    next_hold,
    open_policed_cluster,
    refuse,
    revoke,
    the_call,
    user_of,
)
from tests.kit.session_client import SPDY, WEBSOCKET_V5, exit_code, open_session

WEB = b"/api/v1/namespaces/default/pods/web/exec?container=web&command=sh&stdin=true&stdout=true"
TERMINAL = WEB + b"&tty=true"
PIPE = WEB + b"&stderr=true"
POLICY = (
    HEAD
    + """
rules:
- {name: all, action: allow}
- name: typed
  match: {resources: [pods/exec]}
  action:
    commands:
    - {pattern: "drop table", do: deny, reason: not by hand}
    - {pattern: "whoami", do: alert}
    - {pattern: "careful", do: hold, reason: two pairs of eyes, hold: {approvers: {groups: [sre]}, wait: 1m}}
"""
)
PROMPT = b"/ # "


@pytest.mark.parametrize("transport", [WEBSOCKET_V5, SPDY])
async def test_a_denied_line_is_cleared_and_the_session_goes_on(
    tmp_path: Path, transport: tuple[str, str]
) -> None:
    async with open_policed_cluster(tmp_path, POLICY) as (rig, _):
        async with open_session(rig, TERMINAL, transport) as session:
            await session.until(Channel.STDOUT, PROMPT)
            await session.type(b"drop table x\r")
            await session.until(
                Channel.STDOUT, b"[kubetape] denied by kubetape policy p/typed: not by hand\r\n"
            )
            await session.until(Channel.STDOUT, b"^C\r\n/ # ")
            await session.type(b"echo he''llo; exit 3\r")
            channels = await session.end()
        assert b"\r\nhello\r\n" in channels[Channel.STDOUT]
        assert exit_code(channels[Channel.ERROR]) == 3
        exchange = await the_call(rig)
        seen = [(one.line, one.action, one.rule) for one in exchange.all(CommandSeen)]
        assert ("drop table x", "deny", "p/typed") in seen
        assert exchange.channel(Channel.STDIN, from_client=True).startswith(b"drop table x\x03")


async def test_a_line_typed_key_by_key_is_recognised(tmp_path: Path) -> None:
    async with open_policed_cluster(tmp_path, POLICY) as (rig, _), open_session(rig, TERMINAL) as session:
        await session.until(Channel.STDOUT, PROMPT)
        for key in b"drop tabXX\x7f\x7fle y\r":
            await session.type(bytes([key]))
        await session.until(Channel.STDOUT, b"denied by kubetape policy p/typed")


async def test_an_alert_is_recorded_and_nothing_else_happens(tmp_path: Path) -> None:
    async with open_policed_cluster(tmp_path, POLICY) as (rig, _):
        async with open_session(rig, TERMINAL) as session:
            await session.until(Channel.STDOUT, PROMPT)
            await session.type(b"whoami\r")
            await session.until(Channel.STDOUT, b"root\r\n")
            await session.type(b"exit\r")
            assert b"kubetape" not in (await session.end())[Channel.STDOUT]
        (seen,) = [one for one in (await the_call(rig)).all(CommandSeen) if one.action]
        assert (seen.line, seen.action, seen.rule) == ("whoami", "alert", "p/typed")


@pytest.mark.parametrize("is_approved", [True, False])
async def test_a_held_line_waits_at_its_end(tmp_path: Path, is_approved: bool) -> None:
    async with open_policed_cluster(tmp_path, POLICY) as (rig, _):
        async with open_session(rig, TERMINAL) as session:
            await session.until(Channel.STDOUT, PROMPT)
            await session.type(b"echo care''ful careful\r")
            hold = await next_hold(rig)
            assert hold.request.argv == ("echo care''ful careful",)
            await session.until(Channel.STDOUT, b"[kubetape] waiting for approval ")
            if is_approved:
                await approve(rig, hold)
                await session.until(Channel.STDOUT, b"\r\ncareful careful\r\n")
            else:
                await refuse(rig, hold, "not now")
                await session.until(Channel.STDOUT, b'denied by bob: "not now"')
                await session.until(Channel.STDOUT, b"^C\r\n/ # ")
            await session.type(b"exit 2\r")
            channels = await session.end()
            assert exit_code(channels[Channel.ERROR]) == 2
            if not is_approved:
                assert b"\r\ncareful careful" not in channels[Channel.STDOUT]
        results = [one.result for one in (await the_call(rig)).all(HoldEnded)]
        assert results == ["approved" if is_approved else "denied"]


async def test_what_is_typed_behind_a_held_line_runs_after_it(tmp_path: Path) -> None:
    async with open_policed_cluster(tmp_path, POLICY) as (rig, _), open_session(rig, PIPE) as session:
        await session.say(ChannelData(Channel.STDIN, b"echo one\necho careful\necho two\n"))
        await session.say(ChannelEnded(Channel.STDIN))
        hold = await next_hold(rig)
        said = await session.until(Channel.STDERR, b"\n")
        assert said.startswith(b"[kubetape] waiting for approval ")
        assert await session.until(Channel.STDOUT, b"one\n") == b"one\n"
        await approve(rig, hold)
        assert (await session.end())[Channel.STDOUT] == b"one\ncareful\ntwo\n"


@pytest.mark.parametrize("script", [b"drop table x\necho after\n", b"drop table x"])
async def test_a_denied_line_of_a_pipe_ends_the_session_before_it_runs(tmp_path: Path, script: bytes) -> None:
    async with open_policed_cluster(tmp_path, POLICY) as (rig, _):
        async with open_session(rig, PIPE) as session:
            await session.say(ChannelData(Channel.STDIN, script), ChannelEnded(Channel.STDIN))
            channels = await session.end()
        assert b"kubetape policy p/typed: not by hand" in channels[Channel.STDERR]
        assert exit_code(channels[Channel.ERROR]) == -1
        assert channels.get(Channel.STDOUT, b"") == b""
        exchange = await the_call(rig)
        assert exchange.outcome.result == "denied"
        assert [(one.line, one.action) for one in exchange.all(CommandSeen)] == [("drop table x", "deny")]


async def test_a_held_line_of_a_revoked_person_ends_with_the_reason(tmp_path: Path) -> None:
    async with open_policed_cluster(tmp_path, POLICY) as (rig, _), open_session(rig, TERMINAL) as session:
        await session.until(Channel.STDOUT, PROMPT)
        await session.type(b"echo careful\r")
        await next_hold(rig)
        await revoke(rig, "user", user_of(rig))
        assert b"access revoked by bob: laptop lost" in (await session.end())[Channel.STDOUT]


async def test_a_client_that_leaves_while_its_line_waits_ends_the_session(tmp_path: Path) -> None:
    async with open_policed_cluster(tmp_path, POLICY) as (rig, _):
        async with open_session(rig, TERMINAL) as session:
            await session.until(Channel.STDOUT, PROMPT)
            await session.type(b"echo careful\r")
            await next_hold(rig)
            await trio.lowlevel.checkpoint()
        exchange = await the_call(rig)
        assert [one.result for one in exchange.all(HoldEnded)] == ["left"]
