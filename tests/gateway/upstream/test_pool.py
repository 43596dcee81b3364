"""Connections to the API server: kept while good, never handed out dead, and their errors told apart."""

import dataclasses
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from gateway.errors import UpstreamLost, UpstreamUnreachable
from gateway.read_deadlines import ReadDeadlines
from gateway.upstream import pool as pool_module
from gateway.upstream.connection import GATHERED_BYTES, UpstreamConnection, open_connection
from gateway.upstream.credentials import load_kubeconfig
from gateway.upstream.pool import Pool
from protocol.events import BodyChunk, EndOfBody, Event, RequestHead, ResponseHead
from tests.kit.orc import Orc, Script, open_orc, says

GET: tuple[Event, ...] = (RequestHead(b"GET", b"/x", b"h", ()), EndOfBody())


@asynccontextmanager
async def pool_of(
    directory: Path, script: Script | None = None, *, warm: int = 0
) -> AsyncIterator[tuple[Pool, Orc]]:
    with trio.fail_after(10):
        async with open_orc(script) as orc:
            pool = Pool(load_kubeconfig(orc.write_kubeconfig(directory / "k"), None), warm=warm)
            try:
                yield pool, orc
            finally:
                pool.close()


async def whole(connection: UpstreamConnection) -> list[Event]:
    await connection.send(*GET)
    events: list[Event] = []
    while not events or not isinstance(events[-1], EndOfBody):
        events += await connection.receive()
    return events


async def test_a_connection_comes_back_after_a_whole_answer(tmp_path: Path) -> None:
    async with pool_of(tmp_path) as (pool, _orc):
        first = await pool.acquire()
        head, *body, _ = await whole(first)
        assert isinstance(head, ResponseHead)
        assert all(isinstance(event, BodyChunk) for event in body)
        pool.release(first)
        assert await pool.acquire() is first
        assert first.was_idle
        assert pool.last_error == ""
        first.close()


async def test_one_that_was_used_is_not_fresh(tmp_path: Path) -> None:
    async with pool_of(tmp_path) as (pool, _orc):
        first = await pool.acquire()
        await whole(first)
        pool.release(first)
        second = await pool.acquire(fresh=True)
        assert second is not first
        second.close()


async def test_one_in_the_middle_of_an_answer_is_closed_instead_of_kept(tmp_path: Path) -> None:
    async with pool_of(tmp_path, says(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nab")) as (pool, orc):
        connection = await pool.acquire()
        await connection.send(*GET)
        await connection.receive()
        pool.release(connection)
        await orc.wait(lambda: orc.connections[0].ended.is_set())


@pytest.mark.parametrize("fault", ["closed", "speaks", "old"])
async def test_a_dead_or_old_one_is_not_handed_out(
    tmp_path: Path, fault: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with pool_of(tmp_path) as (pool, orc):
        first = await pool.acquire()
        await whole(first)
        pool.release(first)
        if fault == "closed":
            await orc.connections[0].close()
        elif fault == "speaks":
            await orc.connections[0].send(b"HTTP/1.1 408 Timeout\r\n\r\n")
        else:
            monkeypatch.setattr(pool_module, "MAX_IDLE_S", -1.0)
        second = await pool.acquire()
        assert second is not first
        second.close()


async def test_no_more_than_so_many_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pool_module, "MAX_IDLE", 1)
    async with pool_of(tmp_path) as (pool, orc):
        both = [await pool.acquire(), await pool.acquire()]
        for connection in both:
            await whole(connection)
        for connection in both:
            pool.release(connection)
        assert await pool.acquire() is both[0]
        both[0].close()
        await orc.wait(lambda: orc.connections[1].ended.is_set())


async def test_connections_are_kept_warm_and_replaced_when_they_die(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pool_module, "CHECK_INTERVAL_S", 0.02)
    async with pool_of(tmp_path, warm=2) as (pool, orc), trio.open_nursery() as nursery:
        nursery.start_soon(pool.run)
        await orc.wait(lambda: len(orc.connections) == 2)
        await orc.connections[0].close()
        while len(orc.connections) < 3:
            await trio.sleep(0.005)
        warm = await pool.acquire(fresh=True)
        assert warm.was_idle
        warm.close()
        nursery.cancel_scope.cancel()


async def test_a_stream_that_starts_is_not_disturbed_by_the_dial_for_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pool_module, "WARMING_DELAY_S", 60.0)
    async with pool_of(tmp_path, warm=2) as (pool, orc), trio.open_nursery() as nursery:
        nursery.start_soon(pool.run)
        await orc.wait(lambda: len(orc.connections) == 2)
        await wait_all_tasks_blocked(0.05)
        taken = [await pool.acquire(fresh=True)]
        await wait_all_tasks_blocked(0.05)
        assert len(orc.connections) == 2
        taken.append(await pool.acquire(fresh=True))  # the last one: now there is none for who comes next
        await orc.wait(lambda: len(orc.connections) == 4)
        monkeypatch.setattr(pool_module, "WARMING_DELAY_S", 0.0)
        await wait_all_tasks_blocked(0.05)
        taken.append(await pool.acquire(fresh=True))
        await orc.wait(lambda: len(orc.connections) == 5)
        for connection in taken:
            connection.close()
        nursery.cancel_scope.cancel()


async def test_an_api_server_that_is_away_is_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pool_module, "RETRY_WARMING_S", 0.02)
    async with pool_of(tmp_path, warm=1) as (pool, orc), trio.open_nursery() as nursery:
        right, pool.cluster = pool.cluster, dataclasses.replace(pool.cluster, port=1)
        nursery.start_soon(pool.run)
        while "cannot be reached" not in pool.last_error:
            await trio.sleep(0.005)
        with pytest.raises(UpstreamUnreachable, match="cannot be reached"):
            await pool.acquire()
        pool.cluster = right
        await orc.wait(lambda: orc.connections)
        nursery.cancel_scope.cancel()


@pytest.mark.parametrize(
    ("wire", "why"),
    [
        (b"", "API server"),
        (b"HTTP/1.1 200 OK\r\nContent-Le", "HTTP|closed"),
        (b"SSH-2.0-x\r\n", "not acceptable HTTP"),
        (
            b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n",
            "not acceptable HTTP",
        ),
    ],
)
async def test_an_answer_that_is_none_says_why(tmp_path: Path, wire: bytes, why: str) -> None:
    async with pool_of(tmp_path, says(wire, then_close=True)) as (pool, _orc):
        connection = await pool.acquire()
        await connection.send(*GET)
        with pytest.raises(UpstreamLost, match=why):
            await connection.receive()
        with pytest.raises(UpstreamLost):
            await connection.receive()
        connection.close()


async def test_good_events_before_a_fault_are_delivered_first(tmp_path: Path) -> None:
    bad = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\nzz\r\n"
    async with pool_of(tmp_path, says(bad)) as (pool, _orc):
        connection = await pool.acquire()
        await connection.send(*GET)
        events = await connection.receive()
        assert isinstance(events[0], ResponseHead)
        while not isinstance(events[-1], BodyChunk):
            events = await connection.receive()
        assert events[-1] == BodyChunk(b"ab")
        with pytest.raises(UpstreamLost, match="not acceptable"):
            await connection.receive()
        connection.close()


async def test_a_short_answer_comes_whole_however_it_was_written(tmp_path: Path) -> None:
    pieces = [b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\n", b"ab", b"cd", b"ef"]
    async with pool_of(tmp_path, says(*pieces)) as (pool, _orc):
        connection = await pool.acquire()
        await connection.send(*GET)
        head, *rest = await connection.receive()
        assert isinstance(head, ResponseHead)
        assert rest == [BodyChunk(b"abcdef"), EndOfBody()]
        assert connection.reusable
        connection.close()


CHUNKED_PIECES = [
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
    b"2\r\nab\r\n",
    b"1\r\nc\r\n",
    b"0\r\n\r\n",
]


async def test_a_chunked_answer_comes_whole_where_nobody_can_use_a_part(tmp_path: Path) -> None:
    async with pool_of(tmp_path, says(*CHUNKED_PIECES)) as (pool, _orc):
        connection = await pool.acquire()
        connection.answer_may_stream = False
        await connection.send(*GET)
        assert (await connection.receive())[1:] == [BodyChunk(b"abc"), EndOfBody()]
        pool.release(connection)
        assert await pool.acquire() is connection
        assert connection.answer_may_stream  # whoever is next may not know
        connection.close()


async def test_a_long_chunked_answer_goes_on_once_much_of_it_is_here(tmp_path: Path) -> None:
    much = b"%x\r\n%b\r\n" % (100_000, bytes(100_000))
    async with pool_of(tmp_path, says(CHUNKED_PIECES[0], much)) as (pool, _orc):
        connection = await pool.acquire()
        connection.answer_may_stream = False
        await connection.send(*GET)
        _head, body = await connection.receive()
        assert isinstance(body, BodyChunk)
        assert len(body.data) > GATHERED_BYTES
        connection.close()


async def test_a_long_answer_and_one_without_a_length_are_not_held_up(tmp_path: Path) -> None:
    for framing, body in ((b"Content-Length: 40000", b"a"), (b"Transfer-Encoding: chunked", b"1\r\na\r\n")):
        async with pool_of(tmp_path, says(b"HTTP/1.1 200 OK\r\n" + framing + b"\r\n\r\n" + body)) as (
            pool,
            _,
        ):
            connection = await pool.acquire()
            await connection.send(*GET)
            assert (await connection.receive())[1:] == [BodyChunk(b"a")]
            connection.close()


async def test_a_short_answer_that_pauses_goes_on_as_far_as_it_came(tmp_path: Path) -> None:
    async with (
        pool_of(tmp_path, says(b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\n", b"ab")) as (pool, orc),
        trio.open_nursery() as nursery,
    ):
        nursery.start_soon(pool.run)
        connection = await pool.acquire()
        await connection.send(*GET)
        assert (await connection.receive())[1:] == [BodyChunk(b"ab")]
        served = next(c for c in orc.connections if c.requests)
        await served.send(b"cdef")
        assert await connection.receive() == [BodyChunk(b"cdef"), EndOfBody()]
        connection.close()
        nursery.cancel_scope.cancel()


async def test_a_short_answer_that_breaks_off_is_delivered_as_far_as_it_came(tmp_path: Path) -> None:
    pieces = [b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\n", b"ab"]
    async with pool_of(tmp_path, says(*pieces, then_close=True)) as (pool, _orc):
        connection = await pool.acquire()
        await connection.send(*GET)
        assert (await connection.receive())[1:] == [BodyChunk(b"ab")]
        with pytest.raises(UpstreamLost):
            await connection.receive()
        connection.close()


async def test_a_wait_for_an_answer_ends_when_patience_does(tmp_path: Path) -> None:
    async with pool_of(tmp_path, says(b"")) as (pool, orc), trio.open_nursery() as nursery:
        nursery.start_soon(pool.run)
        connection = await pool.acquire()
        await connection.send(*GET)
        with pytest.raises(trio.TooSlowError):
            await connection.receive_within(0.01)
        served = next(c for c in orc.connections if c.requests)
        await served.send(b"HTTP/1.1 204 X\r\n\r\n")
        assert len(await connection.receive()) == 2
        connection.close()
        nursery.cancel_scope.cancel()


async def test_a_server_that_accepts_and_says_nothing_is_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.upstream.connection.CONNECT_TIMEOUT_S", 0.1)
    async with pool_of(tmp_path) as (pool, _orc), trio.open_nursery() as nursery:
        deadlines = ReadDeadlines()
        nursery.start_soon(deadlines.run)
        silent = await trio.open_tcp_listeners(0, host="127.0.0.1")
        cluster = dataclasses.replace(pool.cluster, port=silent[0].socket.getsockname()[1])
        with pytest.raises(UpstreamUnreachable, match="did not answer within"):
            await open_connection(cluster, deadlines)
        await silent[0].aclose()
        nursery.cancel_scope.cancel()
