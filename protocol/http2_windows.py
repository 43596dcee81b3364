"""HTTP/2 flow control: how much a client may still send us, and when it is told that it may send more.

The other direction is a number per stream and one per connection, which `http2` keeps itself.
Source: RFC 9113 sections 5.2 and 6.9.
"""

from typing import Final

from protocol.errors import RemoteProtocolError
from protocol.http2_frames import ConnectionFault, ErrorCode

LARGEST_WINDOW: Final = 2**31 - 1

_MIN_CREDIT_BYTES: Final = 1024  # so much is worth a WINDOW_UPDATE when the client cannot send at all


class ReceiveWindow:
    """What the client may send on one stream, or on the connection.

    Credit is returned in steps of half a window: a WINDOW_UPDATE for every frame would cost both sides more
    than the frame. A client whose window is empty gets it sooner.
    """

    __slots__ = ("_returned", "_size", "_window")

    def __init__(self, size_bytes: int) -> None:
        self._size = self._window = size_bytes
        self._returned = 0  # dealt with, and not said yet

    def take(self, count: int) -> None:
        """So many bytes arrived, padding included. Raises ConnectionFault when that is more than allowed."""
        self._window -= count
        if self._window < 0:
            raise ConnectionFault(
                ErrorCode.FLOW_CONTROL_ERROR, RemoteProtocolError("more DATA than the flow-control window")
            )

    def give_back(self, count: int) -> int:
        """So many of them were dealt with. Returns the credit to announce now, often 0."""
        self._returned += count
        starved = self._window == 0 and self._returned > _MIN_CREDIT_BYTES
        if not starved and self._returned < self._size // 2:
            return 0
        return self.give_back_all()

    def give_back_all(self) -> int:
        """The credit that was not announced yet, to be announced now."""
        credit, self._returned = self._returned, 0
        self._window += credit
        return credit
