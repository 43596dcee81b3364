"""A command that waits behind its own 101: what its user is told, how it goes on, and how it ends instead."""

from pathlib import Path

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from protocol.events import Channel, ChannelData, ChannelEnded
from storage.records import Held, HoldEnded, TunnelEnded, TunnelStarted
from tests.kit.gateway_rig import Rig
from tests.kit.policed_rig import (
    approve,
    next_hold,
    open_policed_cluster,
    refuse,
    revoke,
    rules,
    the_call,
    user_of,
    write_policy,
)
from tests.kit.session_client import (
    SPDY,
    TRANSPORTS,
    WEBSOCKET_V4,
    WEBSOCKET_V5,
    exit_code,
    handshake,
    open_session,
)

WEB = b"/api/v1/namespaces/default/pods/web/"
SCRIPT = WEB + b"exec?container=web&command=sh&command=-c&command=echo+out%3B+exit+4&stdout=true&stderr=true"
CAT = WEB + b"exec?container=web&command=cat&stdin=true&stdout=true&stderr=true"
TERMINAL = WEB + b"exec?container=web&command=sh&stdin=true&stdout=true&tty=true"
QUIET = WEB + b"exec?container=web&command=true&stdout=true"
HELD = (
    "{name: held, match: {resources: [pods/exec, pods/attach, pods/portforward]}, "
    "action: {hold: {approvers: {groups: [sre]}, wait: 1m}}}"
)


@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_an_approved_command_gives_output_and_exit_code_and_its_stdout_stays_clean(
    tmp_path: Path, transport: tuple[str, str]
) -> None:
    async with (
        open_policed_cluster(tmp_path, rules(HELD)) as (rig, _),
        open_session(rig, SCRIPT, transport) as session,
    ):
        hold = await next_hold(rig)
        said = await session.until(Channel.STDERR, b"\n")
        short = hold.id[10:18].encode()
        assert said == (
            b"[kubetape] waiting for approval " + short
            + b" by group sre: kubetape approvals approve " + short + b"\n"
        )  # fmt: skip
        assert session.heard.get((Channel.STDOUT, 0), b"") == b""
        await approve(rig, hold)
        channels = await session.end()
        assert channels[Channel.STDOUT] == b"out\n"
        assert exit_code(channels[Channel.ERROR]) == 4


@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_a_denied_command_fails_with_the_note_and_the_cluster_hears_nothing(
    tmp_path: Path, transport: tuple[str, str]
) -> None:
    async with (
        open_policed_cluster(tmp_path, rules(HELD)) as (rig, _),
        open_session(rig, SCRIPT, transport) as session,
    ):
        await refuse(rig, await next_hold(rig), "no way")
        channels = await session.end()
        assert b'denied by bob: "no way"' in channels[Channel.STDERR]
        assert b'denied by bob: \\"no way\\"' in channels[Channel.ERROR]
        assert channels.get(Channel.STDOUT, b"") == b""
        exchange = await the_call(rig)
        assert (exchange.outcome.result, exchange.outcome.exit_code) == ("denied", None)
        assert rig.gateway.services.pool.last_error == ""
        assert exchange.outcome.timings.upstream_sent_us is None


async def test_the_record_holds_the_notice_the_hold_and_its_end(tmp_path: Path) -> None:
    async with open_policed_cluster(tmp_path, rules(HELD)) as (rig, _):
        async with open_session(rig, SCRIPT) as session:
            hold = await next_hold(rig)
            await approve(rig, hold)
            await session.end()
        exchange = await the_call(rig)
        assert [type(one) for one in exchange.all(TunnelStarted)] == [TunnelStarted]
        assert [(one.hold, one.result) for one in exchange.all(HoldEnded)] == [(hold.id, "approved")]
        assert [one.hold for one in exchange.all(Held)] == [hold.id]
        assert exchange.channel(Channel.STDERR, from_client=False).startswith(b"[kubetape] waiting for")
        assert exchange.channel(Channel.STDOUT, from_client=False) == b"out\n"
        assert (exchange.outcome.result, exchange.outcome.exit_code) == ("completed", 4)
        assert len(exchange.all(TunnelEnded)) == 1


@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_what_was_typed_while_it_waited_reaches_the_command(
    tmp_path: Path, transport: tuple[str, str]
) -> None:
    async with (
        open_policed_cluster(tmp_path, rules(HELD)) as (rig, _),
        open_session(rig, CAT, transport) as session,
    ):
        await session.say(ChannelData(Channel.STDIN, b"early "))
        hold = await next_hold(rig)
        await session.say(ChannelData(Channel.STDIN, b"bird"))
        if transport != WEBSOCKET_V4:  # which cannot say that stdin is over
            await session.say(ChannelEnded(Channel.STDIN))
        await approve(rig, hold)
        assert await session.until(Channel.STDOUT, b"bird") == b"early bird"


@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_a_terminal_is_told_on_its_screen_with_crlf(tmp_path: Path, transport: tuple[str, str]) -> None:
    async with (
        open_policed_cluster(tmp_path, rules(HELD)) as (rig, _),
        open_session(rig, TERMINAL, transport) as session,
    ):
        said = await session.until(Channel.STDOUT, b"\r\n")
        assert said.startswith(b"[kubetape] waiting for approval ")
        await session.say(ChannelData(Channel.RESIZE, b'{"Width":99,"Height":11}\n'))
        await approve(rig, await next_hold(rig))
        await session.until(Channel.STDOUT, b"/ # ")
        await session.type(b"stty size; exit 6\r")
        channels = await session.end()
        assert b"11 99\r\n" in channels[Channel.STDOUT]
        assert exit_code(channels[Channel.ERROR]) == 6


async def test_a_command_without_room_for_a_notice_just_waits(tmp_path: Path) -> None:
    async with (
        open_policed_cluster(tmp_path, rules(HELD)) as (rig, _),
        open_session(rig, QUIET) as session,
    ):
        await approve(rig, await next_hold(rig))
        channels = await session.end()
        assert channels.get(Channel.STDOUT, b"") == b""
        assert exit_code(channels[Channel.ERROR]) == 0


@pytest.mark.parametrize("transport", [WEBSOCKET_V5, WEBSOCKET_V4, SPDY])
async def test_a_server_that_only_speaks_spdy_is_reached_by_a_bridge(
    tmp_path: Path, transport: tuple[str, str]
) -> None:
    async with (
        open_policed_cluster(tmp_path, rules(HELD), old=True) as (rig, _),
        open_session(rig, SCRIPT, transport) as session,
    ):
        await approve(rig, await next_hold(rig))
        channels = await session.end()
        assert channels[Channel.STDOUT] == b"out\n"
        assert exit_code(channels[Channel.ERROR]) == 4


async def test_stdin_and_sizes_go_over_the_bridge_too(tmp_path: Path) -> None:
    async with open_policed_cluster(tmp_path, rules(HELD), old=True) as (rig, _):
        async with open_session(rig, TERMINAL) as session:
            await session.say(ChannelData(Channel.RESIZE, b'{"Width":99,"Height":11}\n'))
            await approve(rig, await next_hold(rig))
            await session.until(Channel.STDOUT, b"/ # ")
            await session.type(b"stty size; exit 6\r")
            channels = await session.end()
        assert b"11 99\r\n" in channels[Channel.STDOUT]
        assert exit_code(channels[Channel.ERROR]) == 6
        async with open_session(rig, CAT) as session:
            await session.say(ChannelData(Channel.STDIN, b"all of it"), ChannelEnded(Channel.STDIN))
            await approve(rig, await next_hold(rig, 2))
            channels = await session.end()
        assert channels[Channel.STDOUT] == b"all of it"
        assert exit_code(channels[Channel.ERROR]) == 0


async def test_what_the_cluster_refuses_after_the_approval_is_the_result(tmp_path: Path) -> None:
    nobody = SCRIPT.replace(b"pods/web/", b"pods/nobody/")
    async with (
        open_policed_cluster(tmp_path, rules(HELD)) as (rig, _),
        open_session(rig, nobody) as session,
    ):
        await approve(rig, await next_hold(rig))
        channels = await session.end()
        assert b'pods \\"nobody\\" not found' in channels[Channel.ERROR]
        assert exit_code(channels[Channel.ERROR]) == -1
        exchange = await the_call(rig)
        assert exchange.outcome.result == "failed"


@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_a_client_that_leaves_ends_the_waiting_and_the_approval_stays_unused(
    tmp_path: Path, transport: tuple[str, str]
) -> None:
    async with open_policed_cluster(tmp_path, rules(HELD)) as (rig, _):
        async with open_session(rig, SCRIPT, transport):
            hold = await next_hold(rig)
            await wait_all_tasks_blocked(0.02)
        exchange = await the_call(rig)
        assert [one.result for one in exchange.all(HoldEnded)] == ["left"]
        assert exchange.outcome.result == "client-left"
        await approve(rig, hold)
        async with open_session(rig, SCRIPT, transport) as session:
            assert exit_code((await session.end())[Channel.ERROR]) == 4


async def test_one_approval_serves_websocket_and_its_spdy_fallback(tmp_path: Path) -> None:
    async with open_policed_cluster(tmp_path, rules(HELD)) as (rig, _):
        async with open_session(rig, SCRIPT, WEBSOCKET_V5):
            hold = await next_hold(rig)
        await rig.ended()
        async with open_session(rig, SCRIPT, SPDY) as session:
            await approve(rig, hold)
            assert exit_code((await session.end())[Channel.ERROR]) == 4
        state = rig.gateway.services.state
        assert len(state.view.holds(state.now_ns())) == 1


async def test_a_denied_port_forward_is_denied_over_spdy_too_without_asking_again(tmp_path: Path) -> None:
    forward = WEB + b"portforward"
    async with open_policed_cluster(tmp_path, rules(HELD)) as (rig, _), rig.client() as client:
        await client.send(handshake(rig, forward, ("websocket", "SPDY/3.1+portforward.k8s.io")))
        await refuse(rig, await next_hold(rig), "no way")
        assert b'\\"no way\\"' in (await client.response()).body
        async with rig.client() as again:
            got = await again.ask(handshake(rig, forward, ("spdy", "portforward.k8s.io")))
        assert got.status == 403
        assert b'\\"no way\\"' in got.body
        state = rig.gateway.services.state
        assert len(state.view.holds(state.now_ns())) == 1


async def test_revoking_the_requester_ends_the_waiting_with_the_reason(tmp_path: Path) -> None:
    async with (
        open_policed_cluster(tmp_path, rules(HELD)) as (rig, _),
        open_session(rig, SCRIPT) as session,
    ):
        hold = await next_hold(rig)
        await revoke(rig, "user", user_of(rig))
        channels = await session.end()
        assert b"access revoked by bob: laptop lost" in channels[Channel.STDERR]
        assert exit_code(channels[Channel.ERROR]) == -1
        exchange = await the_call(rig)
        assert [one.result for one in exchange.all(HoldEnded)] == ["revoked"]
        assert exchange.outcome.result == "cut"
        await approve(rig, hold)


async def test_a_drain_ends_the_waiting_with_a_reason(tmp_path: Path) -> None:
    async with (
        open_policed_cluster(tmp_path, rules(HELD)) as (rig, _),
        open_session(rig, SCRIPT) as session,
    ):
        await next_hold(rig)
        rig.gateway.start_drain()
        channels = await session.end()
        assert b"kubetape is shutting down" in channels[Channel.STDERR]
        await rig.gateway.ended.wait()


async def test_nobody_decides_in_time(tmp_path: Path) -> None:
    async with (
        open_policed_cluster(tmp_path, rules(HELD.replace("1m", "1s"))) as (rig, _),
        open_session(rig, SCRIPT) as session,
    ):
        channels = await session.end()
        assert b"nobody approved" in channels[Channel.STDERR]
        assert exit_code(channels[Channel.ERROR]) == -1


async def test_what_the_policy_says_after_the_wait_counts(tmp_path: Path) -> None:
    async with (
        open_policed_cluster(tmp_path, rules(HELD)) as (rig, _),
        open_session(rig, SCRIPT) as session,
    ):
        hold = await next_hold(rig)
        write_policy(tmp_path, rules("{name: shut, match: {resources: [pods/exec]}, action: {deny: closed}}"))
        await _reload(rig)
        await approve(rig, hold)
        channels = await session.end()
        assert b"kubetape policy p/shut: closed" in channels[Channel.STDERR]


async def test_more_than_fits_while_it_waits_is_held_back_and_nothing_is_lost(tmp_path: Path) -> None:
    data = bytes(range(256)) * 8192  # 2 MiB
    async with open_policed_cluster(tmp_path, rules(HELD)) as (rig, _), open_session(rig, CAT) as session:

        async def send() -> None:
            for at in range(0, len(data), 65536):
                await session.say(ChannelData(Channel.STDIN, data[at : at + 65536]))
            await session.say(ChannelEnded(Channel.STDIN))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(send)
            hold = await next_hold(rig)
            await wait_all_tasks_blocked(0.05)
            await approve(rig, hold)
            channels = await session.end()
        assert channels[Channel.STDOUT] == data


async def _reload(rig: Rig) -> None:
    source = rig.gateway.services.policy.source
    assert source is not None
    assert await source.reload()
