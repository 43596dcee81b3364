"""One stream: its body, its window, its client leaving."""

import pytest
import trio
import trio.testing

from gateway.errors import ClientLeft
from gateway.server.http2_request import Http2Request
from protocol.errors import RemoteProtocolError
from protocol.events import BodyChunk, EndOfBody, ResponseHead
from tests.kit.h2_pair import open_pair, reply


async def test_a_body_is_received_as_it_arrives_and_its_credit_returns() -> None:
    async def serve(request: Http2Request) -> None:
        body = b""
        while data := await request.receive_body():
            body += data
        assert await request.receive_body() == b""
        await reply(request, b"%d" % len(body))

    async with open_pair(serve) as (peer, _):
        stream_id = peer.ask("/", end=False)
        left = 1_000_000
        while left:
            size = min(left, peer.h2.local_flow_control_window(stream_id), 16384)
            if size:
                peer.h2.send_data(stream_id, b"x" * size)
                left -= size
                await peer.flush()
            else:
                await peer.read()
        peer.h2.end_stream(stream_id)
        await peer.flush()
        assert await peer.answer(stream_id) == b"1000000"


async def test_a_body_that_stands_still_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.server.http2_request.BODY_TIMEOUT_S", 0.05)

    async def serve(request: Http2Request) -> None:
        assert await request.receive_body() == b"half"
        with pytest.raises(RemoteProtocolError) as caught:
            await request.receive_body()
        await reply(request, b"%d" % caught.value.status_hint)

    async with open_pair(serve) as (peer, _):
        stream_id = peer.ask("/", end=False)
        peer.h2.send_data(stream_id, b"half")
        await peer.flush()
        assert await peer.answer(stream_id) == b"408"


async def test_a_body_is_received_while_the_answer_waits_for_its_window() -> None:
    received = trio.Event()

    async def serve(request: Http2Request) -> None:
        async def receive() -> None:
            assert await request.receive_body() == b"question"
            received.set()

        async with trio.open_nursery() as nursery:
            nursery.start_soon(receive)
            await trio.testing.wait_all_tasks_blocked()
            await reply(request, b"x" * 100_000)

    async with open_pair(serve) as (peer, _):
        stream_id = peer.ask("/", end=False)
        await peer.flush()
        await trio.testing.wait_all_tasks_blocked(0.05)
        peer.h2.send_data(stream_id, b"question")
        await peer.flush()
        with trio.fail_after(10):
            await received.wait()
        assert len(await peer.answer(stream_id)) == 100_000


async def test_a_client_that_leaves_while_its_body_is_awaited() -> None:
    told = trio.Event()

    async def serve(request: Http2Request) -> None:
        with pytest.raises(ClientLeft):
            await request.receive_body()
        request.abort()  # nothing to break off any more
        told.set()

    async with open_pair(serve) as (peer, _):
        stream_id = peer.ask("/", end=False)
        await peer.flush()
        await peer.read()
        peer.h2.reset_stream(stream_id, 8)
        await peer.flush()
        await told.wait()


async def test_whoever_waits_for_the_client_to_leave_is_told_also_afterwards() -> None:
    told: list[int] = []

    async def serve(request: Http2Request) -> None:
        async with trio.open_nursery() as nursery:
            for _ in range(2):
                nursery.start_soon(request.wait_left)
        await request.wait_left()
        told.append(request.head.stream_id)

    async with open_pair(serve) as (peer, connection):
        stream_id = peer.ask("/")
        await peer.flush()
        await peer.read()
        peer.h2.reset_stream(stream_id, 8)
        await peer.flush()
        await trio.testing.wait_all_tasks_blocked()
        assert told == [stream_id]
        assert connection.machine.live_streams == 0


async def test_an_answer_waits_for_the_window_and_goes_on_where_it_stopped() -> None:
    body = bytes(index % 251 for index in range(300_000))

    async def serve(request: Http2Request) -> None:
        await reply(request, body)

    async with open_pair(serve, window=1000) as (peer, _):
        stream_id = peer.ask("/")
        await peer.flush()
        assert await peer.answer(stream_id) == body


async def test_a_client_that_opens_no_window_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.server.http2_request.WRITE_TIMEOUT_S", 0.05)

    async def serve(request: Http2Request) -> None:
        with pytest.raises(ClientLeft, match="no more data"):
            await request.send(ResponseHead(200), BodyChunk(b"x" * 100), EndOfBody())

    async with open_pair(serve, window=10) as (peer, _):
        peer.h2.acknowledge_received_data = lambda *_: None  # type: ignore[method-assign]
        stream_id = peer.ask("/")
        await peer.flush()
        assert await peer.answer(stream_id) == b"x" * 10
        assert peer.resets == {stream_id: 2}


async def test_a_client_that_leaves_while_its_answer_waits_for_the_window() -> None:
    left = trio.Event()

    async def serve(request: Http2Request) -> None:
        with pytest.raises(ClientLeft):
            await request.send(ResponseHead(200), BodyChunk(b"x" * 100), EndOfBody())
        left.set()

    async with open_pair(serve, window=10) as (peer, _):
        stream_id = peer.ask("/")
        await peer.flush()
        while stream_id not in peer.bodies:
            await peer.read()
        peer.h2.reset_stream(stream_id, 8)
        await peer.flush()
        await left.wait()
