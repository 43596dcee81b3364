"""TCP to the API server. For an address it is one system call and one wait.

A connection is dialled for each exec, and trying the addresses of a name in turn, as Trio does it well, costs a nursery, a
task and four cancel scopes even where there is one address and no name. So only names go that way.
"""

import ipaddress
import os
import socket
from functools import lru_cache

import trio

from gateway.read_deadlines import ReadDeadlines
from gateway.tls_stream import take_socket


class Dial:
    """A socket on its way to be connected, for who keeps its deadline."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock

    async def wait(self) -> None:
        """Return when it is decided. Raises OSError when it could not be connected, trio.TooSlowError."""
        try:
            await trio.lowlevel.wait_writable(self._sock)
        except trio.ClosedResourceError:
            raise trio.TooSlowError("nobody answered for too long") from None
        if error := self._sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
            raise OSError(error, os.strerror(error))

    def interrupt(self) -> None:
        trio.lowlevel.notify_closing(self._sock)  # wakes who waits; it closes nothing


async def connect(host: str, port: int, deadlines: ReadDeadlines, within_s: float) -> socket.socket:
    """A connected socket without delays for small writes. Raises OSError, trio.TooSlowError."""
    family = _family_of(host)
    if family is None:
        with trio.fail_after(within_s):
            return take_socket(await trio.open_tcp_stream(host, port))
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            sock.connect((host, port))
        except BlockingIOError:
            dial = Dial(sock)
            deadlines.set(dial, within_s)
            try:
                await dial.wait()
            finally:
                deadlines.clear(dial)
    except BaseException:
        sock.close()
        raise
    return sock


@lru_cache(maxsize=16)  # a gateway has one API server, or a few
def _family_of(host: str) -> socket.AddressFamily | None:
    """Of an IP address; None for a name."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return None
    return socket.AF_INET if address.version == 4 else socket.AF_INET6
