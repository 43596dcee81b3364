"""Connections that were ended, until their peer has ended them too. Conduct.

Closing a socket on which unread bytes lie, or still come, resets the connection and can destroy our last words before
the peer reads them. So we end our direction and listen a moment longer (RFC 9112 section 9.6). A task that waits for
that costs each connection a scope and a turn of the loop; whoever keeps the deadlines looks after all of them instead,
so a descriptor is kept for up to a tick longer than it must be.
"""

import math
import ssl
from typing import Final

import trio

from gateway.read_deadlines import TICK_S, ReadDeadlines
from gateway.tls_stream import LINGER_S, TlsStream

LOOKS: Final = math.ceil(LINGER_S / TICK_S)
"""In vain; the first may come at once."""
LAST_LOOK_S: Final = 0.02
"""How often is looked when all of them are to go, at the end of a listener."""


class Lingering:
    """The ended connections of a listener."""

    def __init__(self, deadlines: ReadDeadlines) -> None:
        self._deadlines = deadlines
        self._leaving: set[_Leaving] = set()

    async def end(self, stream: TlsStream) -> None:
        """Say goodbye and see that the stream is closed. Waits only for a peer that has not taken all that was said."""
        try:
            if not stream.end_nowait():
                await stream.aclose()
            elif stream.has_peer_left():
                stream.close()
            else:
                self._leaving.add(_Leaving(stream, self._deadlines, self._leaving))
        except (OSError, ssl.SSLError, trio.BrokenResourceError):
            stream.close()  # the peer is gone: nothing is lost by closing

    async def finish(self) -> None:
        """Return when all are closed: before the process may end."""
        with trio.move_on_after(LINGER_S, shield=True):
            while self._leaving:
                for leaving in tuple(self._leaving):
                    leaving.look()
                await trio.sleep(LAST_LOOK_S)
        for leaving in tuple(self._leaving):
            leaving.close()


class _Leaving:
    """One of them."""

    def __init__(self, stream: TlsStream, deadlines: ReadDeadlines, among: "set[_Leaving]") -> None:
        self._stream, self._deadlines, self._among = stream, deadlines, among
        self._looks_left = LOOKS
        deadlines.set(self, 0.0)  # look each time

    def look(self) -> None:
        """Close it, if its peer has left."""
        if self._stream.has_peer_left():
            self.close()

    def interrupt(self) -> None:
        """Close it, if its peer has left or its time is over."""
        if self._looks_left:
            self._looks_left -= 1
            self.look()
        else:
            self.close()

    def close(self) -> None:
        self._deadlines.clear(self)
        self._stream.close()
        self._among.discard(self)
