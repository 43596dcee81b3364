"""Deadlines that one task keeps for the reads of many streams."""

import pytest
import trio
import trio.testing

from gateway.read_deadlines import TICK_S, ReadDeadlines
from tests.gateway.test_tls_stream import pair, read_exactly


async def test_a_read_whose_time_is_over_ends_and_the_stream_goes_on() -> None:
    deadlines = ReadDeadlines()
    async with pair() as (server, client), trio.open_nursery() as nursery:
        nursery.start_soon(deadlines.run)
        deadlines.set(server, 0.0)
        with pytest.raises(trio.TooSlowError):
            await server.receive_some()
        with pytest.raises(trio.TooSlowError):  # until its owner clears it
            await server.receive_some()
        deadlines.clear(server)
        await client.send_all(b"late, and welcome")
        assert await server.receive_some() == b"late, and welcome"
        nursery.cancel_scope.cancel()


async def test_a_deadline_is_met_and_not_by_more_than_a_tick(autojump_clock: trio.testing.MockClock) -> None:
    deadlines = ReadDeadlines()
    async with trio.open_nursery() as nursery:
        async with pair() as (server, _client):
            nursery.start_soon(deadlines.run)
            begun_s = trio.current_time()
            deadlines.set(server, 5.0)
            with pytest.raises(trio.TooSlowError):
                await server.receive_some()
            assert 5.0 <= trio.current_time() - begun_s <= 5.0 + TICK_S
        nursery.cancel_scope.cancel()


class Told:
    """Waits for the end of its time, and for nothing else."""

    def __init__(self) -> None:
        self.told = trio.Event()

    def interrupt(self) -> None:
        self.told.set()


async def test_a_deadline_is_met_by_a_loop_that_is_always_late(
    autojump_clock: trio.testing.MockClock,
) -> None:
    deadlines, waiting = ReadDeadlines(), Told()
    async with trio.open_nursery() as nursery:

        async def keep_busy() -> None:
            while True:
                await trio.sleep(0.9 * TICK_S)
                autojump_clock.jump(0.6 * TICK_S)

        nursery.start_soon(keep_busy)
        nursery.start_soon(deadlines.run)
        begun_s = trio.current_time()
        deadlines.set(waiting, 20.0)
        await waiting.told.wait()
        assert 20.0 - TICK_S <= trio.current_time() - begun_s <= 20.0 + 4 * TICK_S
        nursery.cancel_scope.cancel()


async def test_who_does_not_wait_is_not_disturbed() -> None:
    async with pair() as (server, client):
        server.interrupt()
        await client.send_all(b"x")
        assert await server.receive_some() == b"x"
        server.close()
        server.interrupt()


async def test_a_task_that_writes_goes_on_when_the_one_that_reads_is_interrupted() -> None:
    data = bytes(index % 251 for index in range(4_000_000))
    async with pair() as (server, client), trio.open_nursery() as nursery:

        async def read() -> None:
            with pytest.raises(trio.TooSlowError):
                await server.receive_some()

        nursery.start_soon(server.send_all, data)
        nursery.start_soon(read)
        await trio.testing.wait_all_tasks_blocked()
        server.interrupt()
        assert await read_exactly(client, len(data)) == data


async def test_a_task_that_writes_to_a_closed_stream_is_told() -> None:
    async with pair() as (server, _client), trio.open_nursery() as nursery:

        async def write() -> None:
            with pytest.raises(trio.ClosedResourceError):
                await server.send_all(bytes(4_000_000))

        nursery.start_soon(write)
        await trio.testing.wait_all_tasks_blocked()
        server.close()


async def test_while_nobody_has_a_deadline_nothing_ticks(autojump_clock: trio.testing.MockClock) -> None:
    deadlines = ReadDeadlines()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(deadlines.run)
        async with pair() as (server, _client):
            deadlines.set(server, 1.0)
            deadlines.clear(server)
            await trio.sleep(2 * TICK_S)
            assert deadlines._nothing is not None, "it sleeps"
            deadlines.set(server, 1.0)
            with pytest.raises(trio.TooSlowError):
                await server.receive_some()
        nursery.cancel_scope.cancel()
