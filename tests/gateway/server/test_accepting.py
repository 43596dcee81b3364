"""Connections as they come in, and what must not stop them."""

import errno
import os
import socket
import struct
from math import inf

import pytest
import trio

from gateway.server import accepting
from gateway.server.accepting import accept

Came = tuple[socket.socket, str, int]


class Door(socket.socket):
    """A listening socket whose first accepts fail."""

    failures: tuple[int, ...] = ()

    def accept(self) -> tuple[socket.socket, tuple[str, int]]:
        if self.failures:
            number, *rest = self.failures
            self.failures = tuple(rest)
            raise OSError(number, os.strerror(number))
        return super().accept()


def open_door(*failures: int, family: int = socket.AF_INET) -> Door:
    door = Door(family, socket.SOCK_STREAM)
    door.bind(("::1" if family == socket.AF_INET6 else "127.0.0.1", 0))
    door.listen()
    door.setblocking(False)
    door.failures = failures
    return door


async def first_come(door: Door) -> tuple[Came, tuple[str, int]]:
    """One that comes as it is let in, and its own address and port."""
    send, receive = trio.open_memory_channel[Came](inf)

    def accepted(sock: socket.socket, address: str, port: int) -> None:
        send.send_nowait((sock, address, port))

    with trio.fail_after(10):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(accept, door, accepted)
            with socket.create_connection(door.getsockname()[:2]) as client:
                name = client.getsockname()[:2]
                while (came := await receive.receive())[1:] != name:
                    came[0].close()
            nursery.cancel_scope.cancel()
    return came, name


@pytest.mark.parametrize("family", [socket.AF_INET, socket.AF_INET6])
async def test_a_connection_comes_with_its_peers_address_and_port(family: int) -> None:
    (sock, address, port), client = await first_come(open_door(family=family))
    with sock:
        assert (address, port) == client == sock.getpeername()[:2]


async def test_small_writes_do_not_wait_and_a_dead_peer_is_noticed() -> None:
    (sock, *_), _ = await first_come(open_door())
    with sock:
        assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)


@pytest.mark.parametrize("failure", [errno.EAGAIN, errno.ECONNABORTED])
async def test_one_that_is_gone_again_is_nobodys_problem(failure: int) -> None:
    (sock, *_), _ = await first_come(open_door(failure))
    sock.close()


async def test_without_descriptors_it_says_so_and_tries_again(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(accepting, "RETRY_S", 0.001)
    (sock, *_), _ = await first_come(open_door(errno.EMFILE, errno.ENFILE))
    sock.close()
    assert capsys.readouterr().err.count("no connection can be accepted right now: Too many open files") == 2


async def test_what_cannot_be_mended_is_raised() -> None:
    with pytest.RaisesGroup(OSError):
        await first_come(open_door(errno.EBADF))


async def test_a_connection_that_was_reset_while_it_waited_stops_nobody() -> None:
    door = open_door()
    early = socket.create_connection(door.getsockname())
    early.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    early.close()
    (sock, *_), _ = await first_come(door)
    sock.close()


async def test_the_socket_is_closed_at_the_end() -> None:
    door = open_door()
    (sock, *_), _ = await first_come(door)
    sock.close()
    assert door.fileno() == -1
