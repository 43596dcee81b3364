"""How much useless work a client of an HTTP/2 connection may cause before the connection ends.

Every frame that costs us work and carries nothing is booked here by kind; useful work (answered
requests, bytes moved) earns more of them. It decides only that a budget is spent; ending the
connection is up to the machine.

There is no clock. A budget is a base, plus so many per answered request, plus so many per KiB moved,
all since the last `refill`, which conduct calls every REFILL_INTERVAL_S seconds. Without any refill
the connection is held to its base for life: stricter, never laxer. A client that works stays far
below; one that does nothing else is stopped within the base, whatever the speed of its network.
Source: RFC 9113 section 10.5; CVE-2023-44487 (rapid reset), CVE-2025-8671 (resets that the server
is made to send count the same), CVE-2019-9511 to 9518 (the other floods); Envoy's and HAProxy's limits.
"""

from enum import Enum
from typing import Final, NamedTuple

from protocol.errors import Flooding

REFILL_INTERVAL_S: Final = 10.0
"""How often conduct calls `refill`: the bases below are numbers per that time."""


class Allowance(NamedTuple):
    """How many frames of a kind are free, and how many more each unit of useful work earns."""

    base: int
    per_request: int = 0
    per_kib: int = 0


class Waste(Enum):
    """Kinds of frames that carry nothing, by what the log calls them.

    RESET: streams the client reset, or made us reset or refuse. STRAY: frames on streams that are
    over. THIN_DATA: DATA of under THIN_DATA_BYTES bytes that does not end its stream.
    """

    RESET = "reset or malformed streams"
    PING = "PING frames"
    SETTINGS = "SETTINGS frames"
    PRIORITY = "PRIORITY frames"
    WINDOW_UPDATE = "WINDOW_UPDATE frames"
    THIN_DATA = "empty or tiny DATA frames"
    UNKNOWN = "frames of unknown type"
    STRAY = "frames on closed streams"

    __hash__ = object.__hash__  # Enum's own is a call of Python, and this is a key for every frame


THIN_DATA_BYTES: Final = 64
"""Below this a DATA frame costs us more than it brings; JSON bodies come in pieces of kilobytes."""

ALLOWANCES: Final[dict[Waste, Allowance]] = {
    # 100 is our limit of concurrent streams: a client may drop all of its watches at once.
    Waste.RESET: Allowance(100, per_request=1),
    # client-go probes an idle connection every 30 s; others probe bandwidth with each burst of data.
    Waste.PING: Allowance(100, per_request=1, per_kib=1),
    # One and one ACK is the norm.
    Waste.SETTINGS: Allowance(20),
    # Browsers re-prioritise each request a few times.
    Waste.PRIORITY: Allowance(100, per_request=10),
    # Go returns credit from 4 KiB on, once for the stream and once for the connection.
    Waste.WINDOW_UPDATE: Allowance(200, per_request=4, per_kib=2),
    Waste.THIN_DATA: Allowance(200, per_request=2, per_kib=1),
    Waste.UNKNOWN: Allowance(100, per_request=1),
    # What was in flight when we ended a stream: at most a window of frames each time.
    Waste.STRAY: Allowance(200, per_request=16, per_kib=1),
}


class FloodBudgets:
    """The budgets of one connection."""

    def __init__(self) -> None:
        self._spent = dict.fromkeys(Waste, 0)
        self._requests = 0
        self._bytes = 0

    def spend(self, waste: Waste) -> None:
        """Book one frame. Raises Flooding when the budget of its kind is exceeded."""
        spent = self._spent[waste] = self._spent[waste] + 1
        base, per_request, per_kib = ALLOWANCES[waste]
        if spent > base and spent > base + per_request * self._requests + per_kib * (self._bytes >> 10):
            raise Flooding(f"too many {waste.value} for the work done", status_hint=400)

    def earn_request(self) -> None:
        """One request was answered to its end."""
        self._requests += 1

    def earn_bytes(self, count: int) -> None:
        """So many bytes of body were moved, in either direction."""
        self._bytes += count

    def refill(self) -> None:
        """Start anew: what was spent and what was earned are both forgotten."""
        self.__init__()  # type: ignore[misc]
