"""The time that expiry is measured with: never behind the wall clock, and never set back while the process runs.

A clock that an operator or NTP sets back would make every grant longer. So time goes on from the start at the pace of
the monotonic clock; the wall clock only ever moves it forward. What the wall clock was at the start is checked
against the store's clock (`follower`), which sees a clock set back before a restart.
"""

import time
from collections.abc import Callable


class SteadyClock:
    """UTC nanoseconds. wall and steady: the clocks it reads, nanoseconds."""

    def __init__(
        self, wall: Callable[[], int] = time.time_ns, steady: Callable[[], int] = time.monotonic_ns
    ) -> None:
        self._wall, self._steady = wall, steady
        self._offset_ns = wall() - steady()

    def now_ns(self) -> int:
        return max(self._wall(), self._steady() + self._offset_ns)
