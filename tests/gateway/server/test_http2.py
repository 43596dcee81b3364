"""Many requests on one connection, and how it ends. The h2 library is the client, over real TLS."""

import pytest
import trio
import trio.testing

from gateway.errors import ClientLeft
from gateway.server.http2_request import Http2Request
from protocol.events import BodyChunk, EndOfBody, ResponseHead
from tests.kit.h2_pair import open_pair, reply, target_of

LARGE = b"x" * 3_000_000
MORE_THAN_A_SOCKET_TAKES = b"x" * 250_000


async def test_one_request_after_the_other_is_answered() -> None:
    async with open_pair(reply) as (peer, _):
        for number in range(50):
            stream_id = peer.ask(f"/{number}")
            await peer.flush()
            assert await peer.answer(stream_id) == b"/%d" % number


async def test_one_request_after_the_other_takes_turns_of_a_few_tasks() -> None:
    tasks: set[trio.lowlevel.Task] = set()

    async def serve(request: Http2Request) -> None:
        tasks.add(trio.lowlevel.current_task())
        await reply(request)

    async with open_pair(serve) as (peer, _):
        for number in range(20):
            stream_id = peer.ask(f"/{number}")
            await peer.flush()
            await peer.answer(stream_id)
    assert len(tasks) == 2


async def test_all_requests_of_one_read_are_served_side_by_side() -> None:
    arrived, all_here = [], trio.Event()

    async def serve(request: Http2Request) -> None:
        arrived.append(target_of(request))
        if len(arrived) == 90:
            all_here.set()
        await all_here.wait()
        await reply(request)

    async with open_pair(serve) as (peer, connection):
        streams = [peer.ask(f"/{number}") for number in range(90)]
        await peer.flush()
        assert [await peer.answer(stream_id) for stream_id in streams] == [b"/%d" % n for n in range(90)]
        assert connection.machine.live_streams == 0
        again = peer.ask("/again")
        await peer.flush()
        assert await peer.answer(again) == b"/again"


async def test_a_request_that_waits_delays_no_other() -> None:
    go_on = trio.Event()

    async def serve(request: Http2Request) -> None:
        if target_of(request) == b"/slow":
            await go_on.wait()
        await reply(request)

    async with open_pair(serve) as (peer, _):
        slow = peer.ask("/slow")
        await peer.flush()
        for number in range(5):
            stream_id = peer.ask(f"/{number}")
            await peer.flush()
            await peer.answer(stream_id)
        assert slow not in peer.ended
        go_on.set()
        assert await peer.answer(slow) == b"/slow"


async def test_a_ping_is_answered_while_a_request_is_served() -> None:
    asked = trio.Event()

    async def serve(request: Http2Request) -> None:
        asked.set()
        await request.wait_left()

    async with open_pair(serve) as (peer, _):
        peer.ask("/")
        await peer.flush()
        await asked.wait()
        peer.h2.ping(b"12345678")
        await peer.flush()
        pong = b"\x00\x00\x08\x06\x01\x00\x00\x00\x0012345678"
        seen = b""
        while pong not in seen:
            seen += await peer.stream.receive_some()


async def test_answers_to_a_client_that_reads_late_arrive_whole_and_in_order() -> None:
    async def serve(request: Http2Request) -> None:
        await reply(request, LARGE + target_of(request))

    async with open_pair(serve, window=16_000_000) as (peer, _):
        streams = [peer.ask(f"/{number}") for number in range(3)]
        await peer.flush()
        await trio.testing.wait_all_tasks_blocked(0.05)
        for number, stream_id in enumerate(streams):
            assert await peer.answer(stream_id) == LARGE + b"/%d" % number


async def test_an_answer_that_is_broken_off_is_reset() -> None:
    async def serve(request: Http2Request) -> None:
        await request.send(ResponseHead(200, content_length=5), BodyChunk(b"abc"))

    async with open_pair(serve) as (peer, _):
        stream_id = peer.ask("/")
        await peer.flush()
        assert await peer.answer(stream_id) == b"abc"
        assert peer.resets == {stream_id: 2}


async def test_a_malformed_request_is_answered_on_its_stream_and_the_others_live() -> None:
    async with open_pair(reply) as (peer, _):
        bad, good = peer.ask("no-slash"), peer.ask("/good")
        await peer.flush()
        assert await peer.answer(good) == b"/good"
        assert await peer.answer(bad) == b""
        assert bad in peer.ended


async def test_a_malformed_request_whose_answer_finds_no_window_is_reset_and_the_others_live(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    answer = (ResponseHead(400, content_length=3), BodyChunk(b"why"), EndOfBody())
    monkeypatch.setattr("tests.kit.h2_pair.BAD_REQUEST", answer)

    async def serve(request: Http2Request) -> None:
        await request.send(ResponseHead(200, content_length=0), EndOfBody())

    async with open_pair(serve, window=0) as (peer, _):
        bad, good = peer.ask("no-slash"), peer.ask("/good")
        await peer.flush()
        await peer.answer(good)
        assert good in peer.ended
        assert peer.resets == {bad: 2}


# --- ends -----------------------------------------------------------------------------------


async def test_a_client_that_closes_ends_what_is_under_way() -> None:
    left = trio.Event()

    async def serve(request: Http2Request) -> None:
        await request.wait_left()
        with pytest.raises(ClientLeft):
            await request.send(ResponseHead(200))
        left.set()

    async with open_pair(serve) as (peer, connection):
        peer.ask("/")
        await peer.flush()
        await peer.read()
    assert left.is_set()
    assert connection.over


async def test_a_drain_lets_what_is_under_way_finish_refuses_the_rest_and_ends_in_order() -> None:
    asked, go_on = trio.Event(), trio.Event()

    async def serve(request: Http2Request) -> None:
        if target_of(request) == b"/slow":
            asked.set()
            await go_on.wait()
        await reply(request)

    async with open_pair(serve) as (peer, connection):
        before = peer.ask("/before")
        await peer.flush()
        await peer.answer(before)
        slow, late = peer.ask("/slow"), peer.ask("/late")  # the second is on its way when the drain begins
        first_frame, second_frame = split_at_second_request(peer.h2.data_to_send())
        await peer.stream.send_all(first_frame)
        await asked.wait()
        connection.close_when_idle()
        while not peer.goaways:
            await peer.read()
        assert peer.goaways == [(slow, 0)]
        await peer.stream.send_all(second_frame)
        await trio.testing.wait_all_tasks_blocked()
        go_on.set()
        await peer.read_to_end()  # an end in order: a reset would raise
        assert peer.bodies == {before: b"/before", slow: b"/slow"}
        assert peer.resets == {late: 7}  # REFUSED_STREAM: client-go asks elsewhere


async def test_a_drain_owes_a_new_connection_its_first_answer() -> None:
    go_on = trio.Event()

    async def serve(request: Http2Request) -> None:
        await go_on.wait()
        await reply(request)

    async with open_pair(serve) as (peer, connection):
        connection.close_when_idle()
        stream_id = peer.ask("/")
        await peer.flush()
        await trio.testing.wait_all_tasks_blocked()
        assert not peer.goaways
        go_on.set()
        await peer.read_to_end()
        assert peer.bodies == {stream_id: b"/"}
        assert peer.goaways == [(stream_id, 0)]


def split_at_second_request(frames: bytes) -> tuple[bytes, bytes]:
    """Two HEADERS frames apart."""
    length = 9 + int.from_bytes(frames[:3], "big")
    return frames[:length], frames[length:]


async def test_a_connection_that_had_all_its_streams_says_so_and_ends_in_order(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("protocol.http2.MAX_STREAMS", 3)
    async with open_pair(reply) as (peer, _):
        streams = [peer.ask(f"/{number}") for number in range(3)]
        await peer.flush()
        await peer.read_to_end()
        assert peer.goaways == [(streams[-1], 0)]
        assert peer.bodies == {1: b"/0", 3: b"/1", 5: b"/2"}


async def test_a_drain_ends_an_idle_connection_at_once() -> None:
    async with open_pair(reply) as (peer, connection):
        stream_id = peer.ask("/")
        await peer.flush()
        await peer.answer(stream_id)
        connection.close_when_idle()
        await peer.read_to_end()
        assert peer.goaways == [(stream_id, 0)]


async def test_a_drain_ends_a_connection_whose_reader_waited_for_a_slow_client() -> None:
    asked, go_on = trio.Event(), trio.Event()

    async def serve(request: Http2Request) -> None:
        if target_of(request) == b"/large":
            asked.set()
            await go_on.wait()
            await reply(request, MORE_THAN_A_SOCKET_TAKES)
        else:
            await reply(request)

    async with open_pair(serve, window=16_000_000) as (peer, connection):
        first = peer.ask("/first")
        await peer.flush()
        await peer.answer(first)
        large = peer.ask("/large")
        await peer.flush()
        await asked.wait()
        connection.close_when_idle()
        while not peer.goaways:
            await peer.read()
        go_on.set()
        await trio.testing.wait_all_tasks_blocked(0.05)
        await peer.stream.send_all(b"\0\0\x08\6\0\0\0\0\0abcdefgh")  # a PING: its answer has to wait
        await trio.testing.wait_all_tasks_blocked(0.05)
        with trio.fail_after(10):
            await peer.read_to_end()
        assert peer.bodies[large] == MORE_THAN_A_SOCKET_TAKES


async def test_whoever_waits_for_a_write_that_breaks_is_told() -> None:
    asked, go_on = trio.Event(), trio.Event()
    told: list[bytes] = []

    async def serve(request: Http2Request) -> None:
        if target_of(request) == b"/small":
            asked.set()
            await go_on.wait()
            with pytest.raises(ClientLeft):
                await reply(request)
            told.append(target_of(request))
            raise ClientLeft
        await reply(request, MORE_THAN_A_SOCKET_TAKES)

    async with open_pair(serve, window=16_000_000) as (peer, _):
        peer.ask("/small")
        await peer.flush()
        await asked.wait()
        peer.ask("/large")
        await peer.flush()
        await trio.testing.wait_all_tasks_blocked(0.05)
        go_on.set()
        await trio.testing.wait_all_tasks_blocked(0.05)
    assert told == [b"/small"]


async def test_a_goaway_of_the_client_lets_what_is_under_way_finish() -> None:
    go_on = trio.Event()

    async def serve(request: Http2Request) -> None:
        await go_on.wait()
        await reply(request)

    async with open_pair(serve) as (peer, _):
        peer.ask("/")
        await peer.flush()
        await peer.stream.send_all(b"\x00\x00\x08\x07" + bytes(13))
        await trio.testing.wait_all_tasks_blocked()
        go_on.set()
        await peer.read_to_end()
        assert peer.bodies == {1: b"/"}


async def test_a_silent_connection_is_told_goodbye(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.server.http2.REFILL_INTERVAL_S", 0.02)
    monkeypatch.setattr("gateway.server.http2.IDLE_TIMEOUT_S", 0.06)
    async with open_pair(reply) as (peer, _):
        await peer.read_to_end()
        assert peer.goaways == [(0, 0)]


async def test_a_connection_with_a_request_under_way_is_not_silent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.server.http2.REFILL_INTERVAL_S", 0.01)
    monkeypatch.setattr("gateway.server.http2.IDLE_TIMEOUT_S", 0.02)

    async def serve(request: Http2Request) -> None:
        await trio.sleep(0.2)
        await reply(request)

    async with open_pair(serve) as (peer, _):
        stream_id = peer.ask("/")
        await peer.flush()
        assert await peer.answer(stream_id) == b"/"


async def test_a_fault_ends_all_streams_and_says_why() -> None:
    left: list[bytes] = []

    async def serve(request: Http2Request) -> None:
        await request.wait_left()
        left.append(target_of(request))

    async with open_pair(serve) as (peer, _):
        peer.ask("/a")
        peer.ask("/b")
        await peer.flush()
        await peer.stream.send_all(b"\x00\x00\x04\x06" + bytes(9))  # PING of 4 bytes
        await peer.read_to_end()
        assert peer.goaways == [(3, 6)]
    assert sorted(left) == [b"/a", b"/b"]


async def test_an_answer_that_ends_after_a_fault_is_not_taken_for_sent() -> None:
    asked, go_on = trio.Event(), trio.Event()
    told: list[bytes] = []

    async def serve(request: Http2Request) -> None:
        asked.set()
        await go_on.wait()
        await request.send(ResponseHead(200), BodyChunk(MORE_THAN_A_SOCKET_TAKES))
        with pytest.raises(ClientLeft):
            await request.send(EndOfBody())
        told.append(target_of(request))

    async with open_pair(serve, window=16_000_000) as (peer, _):
        peer.ask("/")
        await peer.flush()
        await asked.wait()
        go_on.set()
        await trio.testing.wait_all_tasks_blocked(0.05)
        await peer.stream.send_all(b"\x00\x00\x04\x06" + bytes(9))  # PING of 4 bytes
        await trio.testing.wait_all_tasks_blocked(0.05)
        await peer.read_to_end()
    assert told == [b"/"]
