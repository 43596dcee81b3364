"""TCP to the API server. For an address it is one system call and one wait.

A connection is dialled for each exec, and trying the addresses of a name in turn, as Trio does it well, costs a nursery, a
task and four cancel scopes even where there is one address and no name. So only names go that way.
"""

import ipaddress
import os
import socket

import trio

from gateway.tls_stream import take_socket


async def connect(host: str, port: int) -> socket.socket:
    """A connected socket without delays for small writes. Raises OSError. No deadline: the caller has one."""
    family = _family_of(host)
    if family is None:
        return take_socket(await trio.open_tcp_stream(host, port))
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            sock.connect((host, port))
        except BlockingIOError:
            await trio.lowlevel.wait_writable(sock)
            if error := sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
                raise OSError(error, os.strerror(error)) from None
    except BaseException:
        sock.close()
        raise
    return sock


def _family_of(host: str) -> socket.AddressFamily | None:
    """Of an IP address; None for a name."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return None
    return socket.AF_INET if address.version == 4 else socket.AF_INET6
