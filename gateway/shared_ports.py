"""Listening sockets that outlive the processes which accept on them. Blocking, at start only.

The supervisor binds them and hands them down. While a worker is replaced its connections queue in the socket: late,
never refused. Each worker has a socket of its own on the same port, and the kernel spreads connections over them
(SO_REUSEPORT, socket(7)).

The trap is SO_REUSEPORT itself: a second gateway of the same user that is given the same address by mistake would
silently share the clients. So the address is tried without it first.
"""

import os
import socket

import trio

from gateway.server.listening import BACKLOG, CannotListen


def bind_shared(host: str, port: int, count: int, *, option: str) -> list[list[socket.socket]]:
    """`count` sets of sockets that listen on host:port (0: any free one); a set has one socket an address of the host.

    option: the command line's name for this address. Raises CannotListen.
    """
    opened: list[list[socket.socket]] = []
    try:
        addresses = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE | socket.AI_NUMERICSERV
        )
        ports = [_free_port(family, address) for family, _, _, _, address in addresses]
        for _ in range(count):
            opened.append([])
            for index, (family, _, _, _, address) in enumerate(addresses):
                bound = _listen(family, (address[0], ports[index], *address[2:]))
                opened[-1].append(bound)
                if port == 0:  # the others of this host join it
                    ports = [bound.getsockname()[1]] * len(ports)
        return opened
    except OSError as error:
        for sockets in opened:
            for one in sockets:
                one.close()
        why = error.strerror or str(error)
        raise CannotListen(
            f"cannot listen on {host}:{port}: {why}; choose another {option} HOST:PORT"
        ) from error


def adopt(descriptors: list[int]) -> list[trio.SocketListener]:
    """What a supervisor handed down, in the process that got it, and for it alone."""
    for descriptor in descriptors:
        os.set_inheritable(descriptor, False)
    return [
        trio.SocketListener(trio.socket.from_stdlib_socket(socket.socket(fileno=descriptor)))
        for descriptor in descriptors
    ]


def _free_port(family: int, address: tuple[object, ...]) -> int:
    """The port asked for, after a look whether nobody else listens on it."""
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        _set_options(probe, family)
        probe.bind(address)
        return int(str(address[1]))


def _listen(family: int, address: tuple[object, ...]) -> socket.socket:
    bound = socket.socket(family, socket.SOCK_STREAM)
    try:
        _set_options(bound, family)
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        bound.bind(address)
        bound.listen(BACKLOG)
        bound.setblocking(False)
    except OSError:
        bound.close()
        raise
    return bound


def _set_options(bound: socket.socket, family: int) -> None:
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if family == socket.AF_INET6:
        bound.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
