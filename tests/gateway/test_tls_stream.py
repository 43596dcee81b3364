"""TLS over a socket pair: what a cancelled send leaves, what counts as idle, how it ends."""

import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import trio
import trio.testing
import trustme

from gateway.tls_stream import TlsStream

AUTHORITY = trustme.CA(key_type=trustme.KeyType.ECDSA)


def contexts() -> tuple[ssl.SSLContext, ssl.SSLContext]:
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    AUTHORITY.issue_cert("a.example", key_type=trustme.KeyType.ECDSA).configure_cert(server)
    client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    AUTHORITY.configure_trust(client)
    return server, client


@asynccontextmanager
async def pair(within_s: float = 10) -> AsyncIterator[tuple[TlsStream, TlsStream]]:
    """Server and client after their handshake."""
    left, right = socket.socketpair()
    server_context, client_context = contexts()
    server = TlsStream(left, server_context, server_side=True)
    client = TlsStream(right, client_context, server_side=False, server_hostname="a.example")
    with trio.fail_after(within_s):
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(server.do_handshake)
                nursery.start_soon(client.do_handshake)
            yield server, client
        finally:
            server.close()
            client.close()


async def read_exactly(stream: TlsStream, count: int) -> bytes:
    data = b""
    while len(data) < count:
        more = await stream.receive_some()
        assert more
        data += more
    return data


@pytest.mark.parametrize("size", [1, 16384, 70_000, 3_000_000])
async def test_bytes_arrive_as_they_were_sent_both_ways(size: int) -> None:
    data = bytes(index % 253 for index in range(size))
    async with pair() as (server, client):
        for sender, receiver in ((server, client), (client, server)):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(sender.send_all, data)
                assert await read_exactly(receiver, size) == data


async def test_what_a_cancelled_send_left_over_comes_before_what_is_sent_next() -> None:
    """A torn TLS record would make the last words after a cut unreadable."""
    data = bytes(index % 251 for index in range(4_000_000))
    async with pair() as (server, client):
        with trio.move_on_after(0.05) as scope:
            await server.send_all(data)
        assert scope.cancelled_caught
        assert not server.is_idle()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(server.send_all, b"last words")
            assert await read_exactly(client, len(data) + 10) == data + b"last words"
        assert server.is_idle()


async def test_what_the_socket_does_not_take_at_once_goes_with_the_rest() -> None:
    data = bytes(index % 251 for index in range(4_000_000))
    async with pair() as (server, client), trio.open_nursery() as nursery:
        assert server.send_nowait(b"first, ")
        assert not server.send_nowait(data)
        nursery.start_soon(server.send_rest)
        await trio.testing.wait_all_tasks_blocked()
        assert not server.send_nowait(b"behind")  # the other task is sending: ours must not overtake it
        nursery.start_soon(server.send_rest)
        assert await read_exactly(client, len(data) + 13) == b"first, " + data + b"behind"


async def test_idle_is_open_and_silent() -> None:
    async with pair() as (server, client):
        assert client.is_idle()
        await server.send_all(b"unasked")
        assert not client.is_idle()
    async with pair() as (server, client):
        server.close()
        assert not client.is_idle()
    async with pair() as (server, client):
        client.close()
        assert not client.is_idle()


async def test_who_has_said_goodbye_is_not_idle_though_the_socket_is_still_open() -> None:
    """The end of TLS may come with the last bytes, and that of TCP later: such a connection carries nothing more."""
    async with pair() as (server, client):
        client._records.encrypt(b"last")
        client._records.say_goodbye()
        client._sock.send(client._records.take())
        assert await server.receive_some() == b"last"
        assert not server.is_idle()


async def test_an_orderly_end_is_empty_and_so_is_an_abrupt_one() -> None:
    async with pair() as (server, client):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(server.aclose)
            assert await client.receive_some() == b""
            await client.aclose()
    async with pair() as (server, client):
        server.close()
        assert await client.receive_some() == b""


async def test_a_peer_that_wants_an_answer_and_takes_none_does_not_keep_the_reader_for_ever(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """A request for new keys is answered by the task that reads, which nobody can interrupt meanwhile."""
    async with pair(within_s=90) as (server, _client):
        server._sock.send(bytes(server._sock.getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF) * 4))
        server._records.encrypt(b"new keys")
        with pytest.raises(trio.BrokenResourceError, match="takes no data"):
            await server.receive_some()


async def test_closing_wakes_the_task_that_reads() -> None:
    async with pair() as (server, _client), trio.open_nursery() as nursery:

        async def read() -> None:
            with pytest.raises(trio.ClosedResourceError):
                await server.receive_some()

        nursery.start_soon(read)
        await trio.testing.wait_all_tasks_blocked()
        server.close()


async def test_a_closed_stream_says_so() -> None:
    async with pair() as (server, client):
        server.close()
        server.close()
        with pytest.raises(trio.ClosedResourceError):
            await server.send_all(b"x")
        await server.aclose()
        with pytest.raises((trio.BrokenResourceError, trio.ClosedResourceError)):
            await server.receive_some()
        with pytest.raises(trio.BrokenResourceError):
            await client.send_all(b"x" * 5_000_000)


async def test_garbage_instead_of_tls_is_a_broken_connection() -> None:
    left, right = socket.socketpair()
    server_context, client_context = contexts()
    server = TlsStream(left, server_context, server_side=True)
    right.send(b"GET / HTTP/1.1\r\n\r\n")
    with pytest.raises(ssl.SSLError):
        await server.do_handshake()
    right.close()
    server.close()
    left, right = socket.socketpair()
    client = TlsStream(left, client_context, server_side=False, server_hostname="a.example")
    right.close()
    with pytest.raises(trio.BrokenResourceError):
        await client.do_handshake()
    client.close()


async def test_a_tampered_record_breaks_the_connection() -> None:
    async with pair() as (server, client):
        client._sock.send(b"\x17\x03\x03\x00\x20" + bytes(32))
        with pytest.raises(trio.BrokenResourceError):
            await server.receive_some()


async def test_what_came_before_a_tampered_record_is_good() -> None:
    async with pair() as (server, client):
        await client.send_all(b"good")
        client._sock.send(b"\x17\x03\x03\x00\x20" + bytes(32))
        assert await server.receive_some() == b"good"
        for _ in range(2):
            with pytest.raises(trio.BrokenResourceError):
                await server.receive_some()


async def test_an_end_right_behind_the_last_bytes_is_told_as_often_as_asked() -> None:
    async with pair() as (server, client):
        await client.send_all(b"last")
        async with trio.open_nursery() as nursery:
            nursery.start_soon(client.aclose)
            assert await server.receive_some() == b"last"
            assert await server.receive_some() == b""
            assert await server.receive_some() == b""
            server.close()


async def test_a_record_that_comes_in_pieces_is_waited_for() -> None:
    async with pair() as (server, client):
        client._records.encrypt(b"one record")
        encrypted = client._records.take()
        async with trio.open_nursery() as nursery:

            async def read() -> None:
                assert await server.receive_some() == b"one record"

            nursery.start_soon(read)
            for byte in encrypted:
                client._sock.send(bytes([byte]))
                await trio.testing.wait_all_tasks_blocked()


async def test_a_fast_sender_does_not_starve_other_tasks() -> None:
    """Data that is always there already must not keep the loop to one task."""
    turns, over = 0, False

    async def count_turns() -> None:
        nonlocal turns
        while not over:
            await trio.lowlevel.checkpoint()
            turns += 1

    async with pair() as (server, client), trio.open_nursery() as nursery:
        nursery.start_soon(client.send_all, bytes(4_000_000))
        await trio.testing.wait_all_tasks_blocked()
        nursery.start_soon(count_turns)
        await read_exactly(server, 4_000_000)
        over = True
    assert turns > 1
