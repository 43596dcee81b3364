"""Masks on real streams: hidden for the client and in the record alike, across every border, and counted."""

import hashlib
from pathlib import Path

import pytest

from protocol.events import Channel, ChannelData, ChannelEnded
from storage.records import ChannelChunk, Intent, Masked
from tests.kit.orc import OrcConnection
from tests.kit.policed_rig import HEAD, open_policed, open_policed_cluster, the_call
from tests.kit.session_client import TRANSPORTS, WEBSOCKET_V4, WEBSOCKET_V5, exit_code, open_session
from tests.kit.tunnel_ends import FrameStream, exec_server
from tests.kit.websocket_bytes import close_frame, frame

WEB = b"/api/v1/namespaces/default/pods/web/"
CANARY = b"EMP-123456"
MASK = b"[masked by p/hide]"
POLICY = (
    HEAD
    + """
detectors: [{name: staff-id, re2: "EMP-[0-9]{6}"}]
rules:
- {name: all, action: allow}
- {name: hide, match: {resources: [pods/exec, pods/attach, pods/log]}, action: {mask: {detectors: [staff-id]}}}
"""
)
ECHO = WEB + b"exec?container=web&command=sh&command=-c&stdout=true&stderr=true&command="
CAT = WEB + b"exec?container=web&command=cat&stdin=true&stdout=true&stderr=true"


@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_output_is_masked_for_the_client_and_in_the_record_and_counted(
    tmp_path: Path, transport: tuple[str, str]
) -> None:
    script = ECHO + b"echo+a+EMP-123456+b%3B+echo+EMP-654321+>%262%3B+exit+3"
    async with open_policed_cluster(tmp_path, POLICY) as (rig, _):
        async with open_session(rig, script, transport) as session:
            channels = await session.end()
        assert channels[Channel.STDOUT] == b"a " + MASK + b" b\n"
        assert channels[Channel.STDERR] == MASK + b"\n"
        assert exit_code(channels[Channel.ERROR]) == 3
        exchange = await the_call(rig)
        assert exchange.channel(Channel.STDOUT, from_client=False) == b"a " + MASK + b" b\n"
        assert [(one.where, one.counts) for one in exchange.all(Masked)] == [("stream", (("p/hide", 2),))]
        assert exchange.outcome.exit_code == 3
        _no_canary(exchange.records)


async def test_the_command_line_is_masked_in_the_record(tmp_path: Path) -> None:
    async with open_policed_cluster(tmp_path, POLICY) as (rig, _):
        async with open_session(rig, ECHO + b"echo+EMP-123456") as session:
            await session.end()
        exchange = await the_call(rig)
        call = exchange.intent.call
        assert call is not None
        assert call.argv[:2] == ("sh", "-c")
        _no_canary(exchange.records)


@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_stdin_reaches_the_command_unmasked_and_the_record_masked(
    tmp_path: Path, transport: tuple[str, str]
) -> None:
    count = WEB + b"exec?container=web&command=sha256sum&stdin=true&stdout=true"
    async with open_policed_cluster(tmp_path, POLICY) as (rig, _):
        async with open_session(rig, count if transport != WEBSOCKET_V4 else CAT, transport) as session:
            await session.say(ChannelData(Channel.STDIN, b"by EMP-1"), ChannelData(Channel.STDIN, b"23456\n"))
            if transport == WEBSOCKET_V4:  # cannot end stdin: the echo says that it arrived
                assert await session.until(Channel.STDOUT, b"\n") == b"by " + MASK + b"\n"
            else:
                await session.say(ChannelEnded(Channel.STDIN))
                said = (await session.end())[Channel.STDOUT]
                assert said.split()[0] == hashlib.sha256(b"by EMP-123456\n").hexdigest().encode()
        exchange = await the_call(rig)
        assert exchange.channel(Channel.STDIN, from_client=True) == b"by " + MASK + b"\n"
        _no_canary(exchange.records)


@pytest.mark.parametrize("cut", range(1, len(CANARY)))
async def test_no_border_between_messages_lets_a_secret_through(tmp_path: Path, cut: int) -> None:
    async def play(connection: OrcConnection, frames: FrameStream) -> None:
        for part in (b"by " + CANARY[:cut], CANARY[cut:] + b" ok"):
            await connection.send(frame(2, b"\x01" + part, masked=False))
        status = b'\x03{"metadata":{},"status":"Success"}'
        await connection.send(frame(2, status, masked=False) + close_frame(1000, masked=False))

    async with open_policed(tmp_path, POLICY, exec_server(play)) as rig:
        async with open_session(rig, CAT, WEBSOCKET_V5) as session:
            channels = await session.end()
        assert channels[Channel.STDOUT] == b"by " + MASK + b" ok"
        _no_canary((await the_call(rig)).records)


async def test_what_might_become_a_secret_is_shown_when_nothing_follows(tmp_path: Path) -> None:
    """A prompt that ends like the beginning of a secret must not wait for its answer."""

    async def play(connection: OrcConnection, frames: FrameStream) -> None:
        await connection.send(frame(2, b"\x01id? EMP-", masked=False))
        got = await frames.next()
        assert got == (2, b"\x00go")
        status = b'\x03{"metadata":{},"status":"Success"}'
        await connection.send(frame(2, status, masked=False) + close_frame(1000, masked=False))

    async with open_policed(tmp_path, POLICY, exec_server(play)) as rig:
        async with open_session(rig, CAT) as session:
            await session.until(Channel.STDOUT, b"id? EMP-")
            await session.type(b"go")
            assert exit_code((await session.end())[Channel.ERROR]) == 0


async def test_output_that_no_mask_looks_at_is_counted_where_a_budget_is_about_it(tmp_path: Path) -> None:
    """A guard that has nothing to hide is spared the looking, not the counting."""
    policy = f"{HEAD}rules:\n- {{name: all, action: allow}}\n- {{name: some, action: {{budget: {{bytesOut: 100, action: freeze}}}}}}\n"
    async with open_policed_cluster(tmp_path, policy) as (rig, _):
        async with open_session(rig, ECHO + b"echo+few") as session:
            channels = await session.end()
        assert channels[Channel.STDOUT] == b"few\n"
        async with open_session(rig, ECHO + b"seq+1+1000%3B+sleep+9") as session:
            channels = await session.end()
        assert b"the budget of 100 bytesOut" in channels[Channel.STDERR]


async def test_a_stream_whose_record_is_narrowed_keeps_sizes_and_no_bytes(tmp_path: Path) -> None:
    narrow = POLICY + "- {name: sizes, match: {resources: [pods/exec]}, action: {record: metadata}}\n"
    async with open_policed_cluster(tmp_path, narrow) as (rig, _):
        async with open_session(rig, ECHO + b"echo+hello") as session:
            assert (await session.end())[Channel.STDOUT] == b"hello\n"
        exchange = await the_call(rig)
        assert exchange.intent.verdict.scope == "metadata"
        assert b"hello\n" not in [chunk.data for chunk in exchange.all(ChannelChunk)]
        assert exchange.outcome.exit_code == 0


def _no_canary(records: list[object]) -> None:
    for record in records:
        if isinstance(record, Intent | ChannelChunk | Masked):
            assert CANARY not in str(record).encode()
            assert b"EMP-" not in str(record).encode(), record
