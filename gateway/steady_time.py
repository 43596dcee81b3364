"""UTC that never goes back: what the end of a grant or a credential is measured with.

A wall clock that is set back would let a grant live twice. So time goes on from the latest moment that was ever
seen, by the monotonic clock; a step forward is followed at once, which ends things early rather than late.
"""

import time
from collections.abc import Callable


class SteadyTime:
    """now_ns: UTC nanoseconds, never less than an earlier answer plus the time that has passed since."""

    def __init__(
        self,
        wall_ns: Callable[[], int] = time.time_ns,
        monotonic_ns: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        self._wall_ns, self._monotonic_ns = wall_ns, monotonic_ns
        self._offset_ns = wall_ns() - monotonic_ns()

    def now_ns(self) -> int:
        monotonic_ns = self._monotonic_ns()
        self._offset_ns = max(self._offset_ns, self._wall_ns() - monotonic_ns)
        return monotonic_ns + self._offset_ns
