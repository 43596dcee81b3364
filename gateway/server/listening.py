"""Opening the sockets we listen on, with errors that say which address, and what would do."""

from typing import Final

import trio

from gateway.errors import GatewayError

BACKLOG: Final = 1024
"""A burst of clients waits here while handshakes are under way."""


class CannotListen(GatewayError):
    """An address cannot be listened on; the message names it and its option."""


async def open_listeners(host: str, port: int, *, option: str) -> list[trio.SocketListener]:
    """Listen on host:port (port 0: any free one). option: the command line's name for this address."""
    try:
        return await trio.open_tcp_listeners(port, host=host, backlog=BACKLOG)
    except OSError as error:
        why = error.strerror or str(error)
        raise CannotListen(
            f"cannot listen on {host}:{port}: {why}; choose another {option} HOST:PORT"
        ) from error
