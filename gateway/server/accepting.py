"""Takes connections from a listening socket, one at each turn of the loop. Conduct.

Trio's own accept makes a stream of each socket, looks twice whether there is one more, and closes the stream in a
cancelled scope afterwards: more than what TLS then costs in Python, for a socket that `TlsStream` takes out of it at
once. A connection that was reset while it waited is nobody's problem; the trap is the lack of descriptors, which must
stop neither the listener nor, by asking again and again, everybody else. Source: accept(2), tcp(7).
"""

import errno
import os
import socket
from collections.abc import Callable
from typing import Final, NoReturn

import trio

from gateway import journal

RETRY_S: Final = 0.1
"""After a failure for lack of descriptors or memory: something may have been closed by then."""
NO_ROOM: Final = frozenset((errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOBUFS))
UNSENT_BYTES: Final = 16 * 1024
"""A socket takes more once less than this has not been sent: what waits in the kernel cannot be overtaken."""

Accepted = Callable[[socket.socket, str, int], None]


async def accept(listening: socket.socket, accepted: Accepted) -> NoReturn:
    """Hand over each connection with its peer's address and port, until cancelled; then the socket is closed."""
    with listening:
        while True:
            await trio.lowlevel.wait_readable(listening)
            try:
                sock, address = listening.accept()
            except (BlockingIOError, ConnectionAbortedError):
                continue  # it is gone again, or another process was faster
            except OSError as error:
                if error.errno not in NO_ROOM:
                    raise
                why = os.strerror(error.errno or 0)
                journal.problem("connection", f"no connection can be accepted right now: {why}")
                await trio.sleep(RETRY_S)
                continue
            try:
                _set_options(sock)
            except OSError:  # it was reset before we got here
                sock.close()
                continue
            accepted(sock, address[0], address[1])


def _set_options(sock: socket.socket) -> None:
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, UNSENT_BYTES)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
