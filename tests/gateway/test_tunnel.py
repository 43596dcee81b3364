"""exec, attach and port-forward through a whole gateway: bytes, records, ends and attacks."""

import json
from pathlib import Path

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from gateway import tunnel_leg
from protocol.channels import open_channel_machine
from protocol.events import (
    Channel,
    ChannelAccepted,
    ChannelData,
    ChannelEnded,
    ChannelOpened,
    Event,
    Machine,
    TunnelClosed,
)
from protocol.side import Side
from storage.records import Exited, Outcome, TunnelEnded, TunnelStarted
from tests.kit.blocked_files import BlockedFiles
from tests.kit.gateway_rig import Exchange, Rig, open_rig
from tests.kit.orc import OrcConnection, SeenRequest, answer
from tests.kit.raw_client import RawClient
from tests.kit.tunnel_ends import CLOSE, FrameStream, exec_server, spdy_fields, switching, websocket_fields
from tests.kit.websocket_bytes import close_frame, frame

POD = b"/api/v1/namespaces/default/pods/p"
EXEC = POD + b"/exec?command=sh&stdin=true&stdout=true&stderr=true"
V5, V4 = b"v5.channel.k8s.io", b"v4.channel.k8s.io"
SUCCESS = b'{"metadata":{},"status":"Success"}'
EXIT_3 = (
    b'{"metadata":{},"status":"Failure","reason":"NonZeroExitCode","message":"m",'
    b'"details":{"causes":[{"reason":"ExitCode","message":"3"}]}}'
)


def down(channel: int, data: bytes) -> bytes:
    """One message of the cluster."""
    return frame(2, bytes([channel]) + data, masked=False)


def up(channel: int, data: bytes) -> bytes:
    """One message of the client."""
    return frame(2, bytes([channel]) + data)


async def start(rig: Rig, client: RawClient, *protocols: bytes, target: bytes = EXEC) -> FrameStream:
    """Upgrade; fails unless the gateway answers 101."""
    await client.send(rig.request(b"GET", target, *websocket_fields(*(protocols or (V5,)))))
    head = await client.head()
    assert head.status == 101
    assert head.header(b"sec-websocket-extensions") is None

    async def more() -> bytes:
        taken = client._take(len(client._buffer))
        return taken or await client.more()

    return FrameStream(more)


async def until_close(frames: FrameStream) -> dict[int, bytes]:
    """What came on each channel (b"" and all) until the close or the end."""
    channels: dict[int, bytes] = {}
    while (got := await frames.next()) is not None and got[0] != CLOSE:
        channel, data = got[1][0], got[1][1:]
        channels[channel] = channels.get(channel, b"") + data
    return channels


async def the_exchange(rig: Rig) -> Exchange:
    await rig.ended()
    return await rig.exchange()


@pytest.mark.parametrize(("status", "code"), [(SUCCESS, 0), (EXIT_3, 3)])
@pytest.mark.parametrize("protocol", [V5, V4])
async def test_every_byte_of_a_session_arrives_and_is_recorded_with_its_exit_code(
    tmp_path: Path, protocol: bytes, status: bytes, code: int
) -> None:
    seen = bytearray()

    async def play(connection: OrcConnection, frames: FrameStream) -> None:
        await connection.send(down(1, b"hello ") + down(2, b"oops") + down(1, bytes(range(256)) * 300))
        while len(seen) < 5:
            got = await frames.next()
            assert got is not None
            assert got[1][0] == 0
            seen.extend(got[1][1:])
        assert frames.saw_mask
        await connection.send(down(3, status) + close_frame(1000, masked=False))

    async with open_rig(tmp_path, exec_server(play, protocol)) as rig, rig.client() as client:
        frames = await start(rig, client, protocol)
        await client.send(up(0, b"ab") + up(0, b"cde"))
        channels = await until_close(frames)
        output = b"hello " + bytes(range(256)) * 300
        assert channels == {1: output, 2: b"oops", 3: status}
        exchange = await the_exchange(rig)
        assert exchange.channel(Channel.STDOUT, from_client=False) == output
        assert exchange.channel(Channel.STDIN, from_client=True) == b"abcde" == bytes(seen)
        assert exchange.channel(Channel.ERROR, from_client=False) == status
        (exited,) = exchange.all(Exited)
        (started,) = exchange.all(TunnelStarted)
        assert (exited.exit_code, exchange.outcome.exit_code, started.protocol) == (
            code,
            code,
            protocol.decode(),
        )
        assert (exchange.outcome.result, exchange.outcome.status) == ("completed", 101)
        assert len(exchange.all(TunnelEnded)) == 1


async def test_nothing_of_the_client_goes_up_before_the_101(tmp_path: Path) -> None:
    go_on = trio.Event()

    async def script(connection: OrcConnection, request: SeenRequest) -> None:
        connection.raw = True
        await go_on.wait()
        assert bytes(connection.received).endswith(b"\r\n\r\n")
        await connection.send(switching(request, V5))
        frames = FrameStream(connection.receive)
        assert await frames.next() == (2, b"\x00early")
        await connection.send(down(3, SUCCESS) + close_frame(1000, masked=False))
        await connection.receive()

    async with open_rig(tmp_path, script) as rig, rig.client() as client:
        await client.send(rig.request(b"GET", EXEC, *websocket_fields(V5)) + up(0, b"early"))
        await rig.orc.wait(lambda: rig.orc.requests)
        await wait_all_tasks_blocked(0.05)
        go_on.set()
        assert (await client.head()).status == 101
        await client.rest()
        assert (await the_exchange(rig)).channel(Channel.STDIN, from_client=True) == b"early"


async def test_nothing_goes_up_before_the_intent_of_an_exec_is_durable(tmp_path: Path) -> None:
    files = BlockedFiles()
    async with open_rig(tmp_path, files=files) as rig, rig.client() as client:
        try:
            files.block()
            await client.send(rig.request(b"GET", EXEC, *websocket_fields(V5)))
            while not files.waiting.is_set():
                await trio.sleep(0.002)
            await wait_all_tasks_blocked(0.05)
            assert rig.orc.received_bytes == 0
        finally:
            files.release()


async def test_the_result_of_a_command_goes_down_only_when_it_is_durable(tmp_path: Path) -> None:
    files = BlockedFiles()

    async def play(connection: OrcConnection, frames: FrameStream) -> None:
        await connection.send(down(1, b"out"))
        await frames.next()
        files.block()
        await connection.send(down(3, SUCCESS) + close_frame(1000, masked=False))

    async with open_rig(tmp_path, exec_server(play), files=files) as rig, rig.client() as client:
        try:
            frames = await start(rig, client)
            assert await frames.next() == (2, b"\x01out")
            await client.send(up(0, b"go"))
            got: object = "nothing"
            with trio.move_on_after(0.2):
                got = await frames.next()
            assert got == "nothing"
            assert files.waiting.is_set()
        finally:
            files.release()
        assert await frames.next() == (2, b"\x03" + SUCCESS)


async def test_a_result_that_waits_for_the_disk_is_the_only_one_recorded_when_the_client_leaves(
    tmp_path: Path,
) -> None:
    """kubectl cp leaves once it has its archive: a farewell of ours beside the cluster's Status would be invented."""
    files = BlockedFiles()

    async def play(connection: OrcConnection, frames: FrameStream) -> None:
        await connection.send(down(1, b"out"))
        await frames.next()
        files.block()
        await connection.send(down(3, SUCCESS) + close_frame(1000, masked=False))

    async with open_rig(tmp_path, exec_server(play), files=files) as rig:
        try:
            async with rig.client() as client:
                frames = await start(rig, client)
                assert await frames.next() == (2, b"\x01out")
                await client.send(up(0, b"go"))
                while not files.waiting.is_set():
                    await trio.sleep(0.002)
                await wait_all_tasks_blocked(0.1)  # the gateway has read the result, and waits for the disk
            await wait_all_tasks_blocked(0.1)  # and has seen that the client is gone
        finally:
            files.release()
        exchange = await the_exchange(rig)
    assert exchange.channel(Channel.ERROR, from_client=False) == SUCCESS
    assert (exchange.outcome.result, exchange.outcome.exit_code) == ("completed", 0)


async def test_what_is_typed_while_the_result_waits_for_the_disk_is_not_recorded_behind_the_outcome(
    tmp_path: Path,
) -> None:
    files = BlockedFiles()

    async def play(connection: OrcConnection, frames: FrameStream) -> None:
        await frames.next()
        files.block()
        await connection.send(down(3, SUCCESS) + close_frame(1000, masked=False))

    async with open_rig(tmp_path, exec_server(play), files=files) as rig, rig.client() as client:
        try:
            frames = await start(rig, client)
            await client.send(up(0, b"go"))
            while not files.waiting.is_set():
                await trio.sleep(0.002)
            await client.send(up(0, b"too late"))
            await wait_all_tasks_blocked(0.1)
        finally:
            files.release()
        assert await until_close(frames) == {3: SUCCESS}
        exchange = await the_exchange(rig)
    assert isinstance(exchange.records[-1], Outcome)
    assert exchange.channel(Channel.STDIN, from_client=True) == b"go"


async def test_what_is_typed_at_the_very_moment_a_command_ends_does_not_keep_its_session(
    tmp_path: Path,
) -> None:
    ready: list[OrcConnection] = []

    async def play(connection: OrcConnection, frames: FrameStream) -> None:
        ready.append(connection)
        await trio.sleep_forever()

    async with open_rig(tmp_path, exec_server(play)) as rig:
        for _ in range(16):  # either of the two tasks may run first
            async with rig.client() as client:
                frames = await start(rig, client)
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(ready.pop().send, down(3, SUCCESS) + close_frame(1000, masked=False))
                    nursery.start_soon(client.send, up(0, b"too late?"))
                assert await until_close(frames) == {3: SUCCESS}
                await rig.ended()
        for exchange in await rig.exchanges():
            assert isinstance(exchange.records[-1], Outcome)


async def test_a_command_that_takes_no_input_any_more_ends_with_its_result(tmp_path: Path) -> None:
    """What was to be written to it is in nobody's way."""
    is_full, sent = trio.Event(), 0

    async def play(connection: OrcConnection, frames: FrameStream) -> None:
        await is_full.wait()
        await connection.send(down(1, b"enough") + down(3, SUCCESS) + close_frame(1000, masked=False))

    async with open_rig(tmp_path, exec_server(play)) as rig, rig.client() as client:
        frames = await start(rig, client)
        async with trio.open_nursery() as nursery:

            async def type_on() -> None:
                nonlocal sent
                while True:
                    await client.send(up(0, b"x" * 60_000))
                    sent += 1

            nursery.start_soon(type_on)
            previous = -1
            while sent != previous:
                previous = sent
                await trio.sleep(0.3)
            is_full.set()
            assert await until_close(frames) == {1: b"enough", 3: SUCCESS}
            nursery.cancel_scope.cancel()
        exchange = await the_exchange(rig)
        assert exchange.outcome.result == "completed"
        assert isinstance(exchange.records[-1], Outcome)


async def test_a_silent_session_is_kept_alive_by_pings_of_ours(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tunnel_leg, "KEEPALIVE_S", 0.05)

    async def play(connection: OrcConnection, frames: FrameStream) -> None:
        for _ in range(2):
            assert (await connection.receive())[:2] == b"\x89\x80"  # a ping, masked, without data
        await connection.send(down(3, SUCCESS) + close_frame(1000, masked=False))

    async with open_rig(tmp_path, exec_server(play)) as rig, rig.client() as client:
        frames = await start(rig, client)
        assert await until_close(frames) == {3: SUCCESS}
        assert (await the_exchange(rig)).outcome.result == "completed"


async def idle(connection: OrcConnection, frames: FrameStream) -> None:
    await connection.send(down(1, b"$ "))


@pytest.mark.parametrize("protocol", [V5, V4])
async def test_a_drain_tells_a_websocket_client_why_its_session_ends(tmp_path: Path, protocol: bytes) -> None:
    async with open_rig(tmp_path, exec_server(idle, protocol)) as rig, rig.client() as client:
        frames = await start(rig, client, protocol)
        assert await frames.next() == (2, b"\x01$ ")
        rig.gateway.start_drain()
        channels = await until_close(frames)
        status = json.loads(channels[3])
        assert status["status"] == "Failure"
        assert "shutting down" in status["message"]
        assert b"shutting down" in channels[2]
        await rig.gateway.ended.wait()
    (exchange,) = rig.left()
    assert (exchange.outcome.result, exchange.all(TunnelEnded)[0].by) == ("cut", "gateway")
    assert exchange.channel(Channel.ERROR, from_client=False) == channels[3]


@pytest.mark.parametrize("how", ["close", "fin"])
async def test_a_cluster_that_vanishes_is_no_success(tmp_path: Path, how: str) -> None:
    """kubectl takes a bare disconnect for exit code 0."""

    async def play(connection: OrcConnection, frames: FrameStream) -> None:
        await connection.send(down(1, b"half"))
        if how == "close":
            await connection.close()
        else:
            await connection._stream.aclose()
        connection.ended.set()

    async with open_rig(tmp_path, exec_server(play)) as rig, rig.client() as client:
        channels = await until_close(await start(rig, client))
        assert channels[1] == b"half"
        assert json.loads(channels[3])["status"] == "Failure"
        assert (await the_exchange(rig)).outcome.result == "failed"


@pytest.mark.parametrize("goodbye", [b"", close_frame(1000)])
async def test_a_client_that_leaves_ends_its_session_within_a_second(tmp_path: Path, goodbye: bytes) -> None:
    async with open_rig(tmp_path, exec_server(idle)) as rig:
        async with rig.client() as client:
            frames = await start(rig, client)
            await frames.next()
            await client.send(goodbye or up(0, b"x"))
        with trio.fail_after(1):
            await next(c for c in rig.orc.connections if c.requests).ended.wait()
        assert (await the_exchange(rig)).outcome.result == "client-left"


@pytest.mark.parametrize(
    "wire",
    [
        frame(2, b"\x00x", masked=False),
        frame(2, b"\x00x", reserved=4),
        frame(3, b"x"),
        frame(9, b"p" * 126),
        frame(9, b"p", fin=False),
        frame(2, b"", announced=1 << 40, length_bytes=8),
        frame(2, b"", announced=(1 << 63) + 5, length_bytes=8),
        frame(2, b"\x00abc", length_bytes=8),
        up(200, b"x"),
        frame(0, b"x"),
        close_frame(1005),
        b"GET / HTTP/1.1\r\n\r\n",
        b"".join(frame(9, b"") for _ in range(20_000)),
    ],
    ids=range(13),
)
async def test_w1_to_w6_a_client_that_breaks_the_protocol_is_cut_and_told_and_nothing_of_it_goes_up(
    tmp_path: Path, wire: bytes
) -> None:
    async with open_rig(tmp_path, exec_server(idle)) as rig, rig.client() as client:
        frames = await start(rig, client)
        await frames.next()
        orc = next(c for c in rig.orc.connections if c.requests)
        before = len(orc.received)
        with trio.move_on_after(0.3):
            try:
                await client.send(wire)
            except trio.BrokenResourceError:
                pass
            await client.rest()
        await client.vanish()
        await orc.ended.wait()
        gone_up = FrameStream(_nothing)
        gone_up._buffer = bytes(orc.received[before:])
        while (got := await gone_up.next()) is not None:
            assert got[0] == CLOSE, got
        assert (await the_exchange(rig)).outcome.result in ("failed", "client-left")
        assert (await rig.ask(b"GET", POD)).status == 200 if rig.orc.script is None else True


async def _nothing() -> bytes:
    return b""


@pytest.mark.parametrize(
    "wire",
    [frame(2, b"\x01x"), frame(2, b"\x09x", masked=False), frame(2, b"\x01x", masked=False, reserved=4)],
)
async def test_a_cluster_that_breaks_the_protocol_is_cut_and_the_client_told(
    tmp_path: Path, wire: bytes
) -> None:
    async def play(connection: OrcConnection, frames: FrameStream) -> None:
        await connection.send(wire)

    async with open_rig(tmp_path, exec_server(play)) as rig, rig.client() as client:
        channels = await until_close(await start(rig, client))
        assert json.loads(channels[3])["status"] == "Failure"
        exchange = await the_exchange(rig)
        assert exchange.outcome.result == "failed"
        assert "API server" in exchange.outcome.why


async def test_w5_extensions_and_bearer_protocols_are_never_passed_on(tmp_path: Path) -> None:
    async with open_rig(tmp_path, exec_server(idle)) as rig, rig.client() as client:
        import base64

        bearer = b"base64url.bearer.authorization.k8s.io." + base64.urlsafe_b64encode(rig.token).rstrip(b"=")
        fields = (*websocket_fields(bearer, V5), b"Sec-WebSocket-Extensions: permessage-deflate")
        await client.send(rig.request(b"GET", EXEC, *fields, token=b""))
        head = await client.head()
        assert (head.status, head.header(b"sec-websocket-protocol")) == (101, V5)
        (seen,) = rig.orc.requests
        assert seen.header(b"sec-websocket-protocol") == V5
        assert b"sec-websocket-extensions" not in seen.names()
        assert rig.token not in b"".join(bytes(c.received) for c in rig.orc.connections)


async def test_a_client_that_does_not_read_stops_the_cluster_and_can_still_be_cut(tmp_path: Path) -> None:
    sent = 0

    async def play(connection: OrcConnection, frames: FrameStream) -> None:
        nonlocal sent
        while True:
            await connection.send(down(1, b"x" * 60_000))
            sent += 60_000

    async with open_rig(tmp_path, exec_server(play)) as rig, rig.client() as client:
        await start(rig, client)
        previous = -1
        while sent != previous:
            previous = sent
            await trio.sleep(0.3)
        assert sent < 40 << 20
        rig.gateway.start_drain()
        with trio.fail_after(8):
            await rig.gateway.ended.wait()
    (exchange,) = rig.left()
    assert exchange.outcome.result == "cut"


async def test_upgrades_refused_with_an_endless_body_are_given_up(tmp_path: Path) -> None:
    async def endless(connection: OrcConnection, request: SeenRequest) -> None:
        await connection.send(b"HTTP/1.1 500 X\r\nTransfer-Encoding: chunked\r\n\r\n")
        try:
            while True:
                await connection.send(b"8000\r\n" + b"x" * 0x8000 + b"\r\n")
        except trio.BrokenResourceError:
            pass

    async with open_rig(tmp_path, endless) as rig:
        assert (await rig.ask(b"GET", EXEC, *websocket_fields(V5))).status == 502


async def test_a_client_that_leaves_before_the_101_is_noticed(tmp_path: Path) -> None:
    async def never(connection: OrcConnection, request: SeenRequest) -> None:
        connection.raw = True
        await connection.receive()

    async with open_rig(tmp_path, never) as rig:
        async with rig.client() as client:
            await client.send(rig.request(b"GET", EXEC, *websocket_fields(V5)))
            await rig.orc.wait(lambda: rig.orc.requests)
        with trio.fail_after(3):
            assert (await the_exchange(rig)).outcome.result == "client-left"


async def test_a_rejected_credential_is_renewed_after_an_upgrade_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def script(connection: OrcConnection, request: SeenRequest) -> None:
        await connection.send(answer(401, b"who?"))

    async with open_rig(tmp_path, script) as rig:
        told: list[int] = []
        credential = rig.gateway.services.pool.cluster.credential
        monkeypatch.setattr(type(credential), "rejected", lambda self: told.append(401))
        assert (await rig.ask(b"GET", EXEC, *websocket_fields(V5))).status == 503
        assert told == [401]


# --- SPDY: both ends by the channel machines, which have tests of their own ----------------------------------


class End:
    """One far end: a machine and the way its bytes travel."""

    def __init__(self, machine: Machine, stream: RawClient | OrcConnection) -> None:
        self._machine, self._stream = machine, stream
        self.events: list[Event] = []

    async def send(self, *events: Event) -> None:
        for event in events:
            self._machine.send(event)
        await self._flush()

    async def until(self, wanted: type[Event], count: int = 1) -> list[Event]:
        """Read until so many events of a kind have come; [] at the end."""
        while sum(isinstance(event, wanted) for event in self.events) < count:
            stream = self._stream
            if isinstance(stream, OrcConnection):
                data = await stream.receive()
            else:
                data = stream._take(len(stream._buffer)) or await stream.more()
            if not data:
                return []
            self.events += self._machine.receive(data)
            await self._flush()
        return [event for event in self.events if isinstance(event, wanted)]

    async def _flush(self) -> None:
        if data := self._machine.data_to_send():
            await self._stream.send(data)


CHANNELS = (Channel.ERROR, Channel.STDIN, Channel.STDOUT, Channel.STDERR)


def of(end: End, channel: Channel) -> bytes:
    return b"".join(e.data for e in end.events if isinstance(e, ChannelData) and e.channel is channel)


@pytest.mark.parametrize("ending", ["result", "drain"])
async def test_spdy_carries_a_session_and_says_why_it_ends(tmp_path: Path, ending: str) -> None:
    async def script(connection: OrcConnection, request: SeenRequest) -> None:
        connection.raw = True
        await connection.send(switching(request, V4))
        end = End(open_channel_machine("exec", "spdy", V4.decode(), Side.SERVER), connection)
        for event in await end.until(ChannelOpened, 4):
            assert isinstance(event, ChannelOpened)
            await end.send(ChannelAccepted(event.channel))
        await end.until(ChannelData)
        assert of(end, Channel.STDIN) == b"in"
        await end.send(ChannelData(Channel.STDOUT, b"out"))
        if ending == "result":
            await end.send(
                ChannelData(Channel.ERROR, SUCCESS),
                *(ChannelEnded(c) for c in CHANNELS if c is not Channel.STDIN),
            )
        while await connection.receive():
            pass

    async with open_rig(tmp_path, script) as rig, rig.client() as client:
        await client.send(rig.request(b"POST", EXEC, *spdy_fields(V4)))
        assert (await client.head()).status == 101
        end = End(open_channel_machine("exec", "spdy", V4.decode(), Side.CLIENT), client)
        await end.send(*(ChannelOpened(channel) for channel in CHANNELS))
        await end.until(ChannelAccepted, 4)
        await end.send(ChannelData(Channel.STDIN, b"in"))
        await end.until(ChannelData)
        if ending == "drain":
            rig.gateway.start_drain()
            await end.until(TunnelClosed)
            assert b"shutting down" in of(end, Channel.ERROR)
            await rig.gateway.ended.wait()
        else:
            while not of(end, Channel.ERROR):
                await end.until(ChannelData, sum(isinstance(e, ChannelData) for e in end.events) + 1)
            assert of(end, Channel.ERROR) == SUCCESS
            await end.send(TunnelClosed())
            await client.vanish()
            await rig.ended()
    (exchange,) = rig.left()
    assert exchange.channel(Channel.STDOUT, from_client=False) == b"out"
    assert exchange.channel(Channel.STDIN, from_client=True) == b"in"
    assert exchange.outcome.result == ("completed" if ending == "result" else "cut")


async def test_port_forwarding_carries_bytes_of_each_connection(tmp_path: Path) -> None:
    protocol = b"portforward.k8s.io"

    async def script(connection: OrcConnection, request: SeenRequest) -> None:
        connection.raw = True
        await connection.send(switching(request, protocol))
        end = End(open_channel_machine("portforward", "spdy", protocol.decode(), Side.SERVER), connection)
        for event in await end.until(ChannelOpened, 2):
            assert isinstance(event, ChannelOpened)
            await end.send(ChannelAccepted(event.channel, event.connection))
        await end.until(ChannelData)
        await end.send(ChannelData(Channel.DATA, b"pong", 0))
        while await connection.receive():
            pass

    async with open_rig(tmp_path, script) as rig, rig.client() as client:
        await client.send(rig.request(b"POST", POD + b"/portforward", *spdy_fields(protocol)))
        assert (await client.head()).status == 101
        end = End(open_channel_machine("portforward", "spdy", protocol.decode(), Side.CLIENT), client)
        await end.send(ChannelOpened(Channel.FORWARD_ERROR, 0, 80), ChannelOpened(Channel.DATA, 0, 80))
        await end.send(ChannelData(Channel.DATA, b"ping", 0))
        await end.until(ChannelData)
        assert of(end, Channel.DATA) == b"pong"
        await client.vanish()
        exchange = await the_exchange(rig)
        assert exchange.channel(Channel.DATA, from_client=True) == b"ping"
        assert exchange.channel(Channel.DATA, from_client=False) == b"pong"
