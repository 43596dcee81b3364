"""Ended connections: their last words are read, and nobody waits for it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import trio
import trio.testing

from gateway.read_deadlines import TICK_S, ReadDeadlines
from gateway.server.lingering import Lingering
from gateway.tls_stream import LINGER_S, TlsStream
from tests.gateway.test_tls_stream import pair, read_exactly


@asynccontextmanager
async def lingering() -> AsyncIterator[Lingering]:
    deadlines = ReadDeadlines()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(deadlines.run)
        yield Lingering(deadlines)
        nursery.cancel_scope.cancel()


def is_closed(stream: TlsStream) -> bool:
    return stream._sock.fileno() < 0


async def test_a_peer_is_told_at_once_and_nobody_waits_for_it(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with pair() as (server, client), lingering() as ended:
        await server.send_all(b"last words")
        began_s = trio.current_time()
        await ended.end(server)
        assert trio.current_time() == began_s
        assert not is_closed(server)
        assert await client.receive_some() == b"last words"
        assert await client.receive_some() == b""
        client.close()
        await trio.sleep(2 * TICK_S)
        assert is_closed(server)


async def test_a_peer_that_stays_is_closed_a_moment_later(autojump_clock: trio.testing.MockClock) -> None:
    async with pair() as (server, _client), lingering() as ended:
        await ended.end(server)
        await trio.sleep(LINGER_S / 2)
        assert not is_closed(server)
        await trio.sleep(LINGER_S / 2 + 2 * TICK_S)
        assert is_closed(server)


async def test_what_a_peer_still_says_does_not_cost_it_the_last_words(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with pair() as (server, client), lingering() as ended:
        await client.send_all(b"a request nobody reads")
        await server.send_all(b"last words")
        await ended.end(server)
        await trio.sleep(TICK_S)
        await client.send_all(b"and more of it")
        assert await client.receive_some() == b"last words"
        assert await client.receive_some() == b""


async def test_a_peer_that_does_not_stop_gets_its_last_words_and_is_closed(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with pair() as (server, client), lingering() as ended:
        with trio.move_on_after(0.1):
            while True:
                await client.send_all(bytes(1 << 20))
        await server.send_all(b"last words")
        await ended.end(server)
        assert await client.receive_some() == b"last words"
        async with trio.open_nursery() as nursery:

            async def flood() -> None:
                try:
                    while True:
                        await client.send_all(bytes(1 << 20))
                except trio.BrokenResourceError:
                    pass  # it was reset

            nursery.start_soon(flood)
        assert is_closed(server)


async def test_one_that_ended_first_or_is_gone_is_closed_at_once() -> None:
    async with pair() as (server, client), lingering() as ended:
        client.end_nowait()
        assert await server.receive_some() == b""
        await ended.end(server)
        assert is_closed(server)
        await ended.end(server)
    async with pair() as (server, client), lingering() as ended:
        client.close()
        await ended.end(server)
        assert is_closed(server)


async def test_a_peer_that_has_not_taken_all_yet_gets_it() -> None:
    data = bytes(index % 251 for index in range(4_000_000))
    async with pair() as (server, client), lingering() as ended:
        with trio.move_on_after(0.05):
            await server.send_all(data)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(ended.end, server)
            assert await read_exactly(client, len(data)) == data
            client.close()
        assert is_closed(server)


async def test_at_the_end_all_are_waited_for_even_when_cancelled() -> None:
    async with pair() as (server, client), pair() as (other, stays), lingering() as ended:
        for stream in (server, other):
            await stream.send_all(b"last words")
            await ended.end(stream)
        with trio.CancelScope() as scope:
            scope.cancel()
            async with trio.open_nursery() as nursery:

                async def leave() -> None:
                    with trio.CancelScope(shield=True):
                        assert await client.receive_some() == b"last words"
                        client.close()

                nursery.start_soon(leave)
                await ended.finish()
        assert is_closed(server)
        assert is_closed(other)
        assert await stays.receive_some() == b"last words"
