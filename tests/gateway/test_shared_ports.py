"""Listening sockets that outlive the processes which accept on them."""

import os
import socket
from collections.abc import Iterator

import pytest
import trio

from gateway.server.listening import CannotListen
from gateway.shared_ports import adopt, bind_shared


@pytest.fixture
def pair() -> Iterator[list[list[socket.socket]]]:
    sets = bind_shared("127.0.0.1", 0, 2, option="--listen")
    yield sets
    for sockets in sets:
        for one in sockets:
            one.close()


def test_all_sets_listen_on_one_port(pair: list[list[socket.socket]]) -> None:
    assert [len(sockets) for sockets in pair] == [1, 1]
    assert len({sockets[0].getsockname() for sockets in pair}) == 1


def test_a_host_with_several_addresses_has_one_port_on_all_of_them() -> None:
    sets = bind_shared("localhost", 0, 2, option="--listen")
    try:
        assert len({one.getsockname()[1] for sockets in sets for one in sockets}) == 1
        assert len({len(sockets) for sockets in sets}) == 1
    finally:
        for sockets in sets:
            for one in sockets:
                one.close()


def test_a_port_that_somebody_listens_on_is_not_shared_by_mistake(pair: list[list[socket.socket]]) -> None:
    port = pair[0][0].getsockname()[1]
    with pytest.raises(CannotListen, match=r"choose another --listen HOST:PORT"):
        bind_shared("127.0.0.1", port, 2, option="--listen")


def test_a_name_that_leads_nowhere_is_one_line() -> None:
    with pytest.raises(CannotListen, match=r"cannot listen on host\.invalid:0"):
        bind_shared("host.invalid", 0, 1, option="--listen")


async def test_a_connection_waits_for_whoever_adopts_the_socket(pair: list[list[socket.socket]]) -> None:
    for sockets in pair[1:]:
        sockets[0].close()  # so that all come to the first
    async with await trio.open_tcp_stream("127.0.0.1", pair[0][0].getsockname()[1]) as client:
        (listener,) = adopt([os.dup(pair[0][0].fileno())])
        async with listener, await listener.accept() as accepted:
            await accepted.send_all(b"x")
            assert await client.receive_some(1) == b"x"
