"""Who is next, and whose background works meanwhile: that of the way whose turn it is, and no other's.

kubetape's keeper indexes for a while after the calls. Left alone it does so at its own pace, for the most part in the turns
of others: they were slowed down by it (by 0.05 ms of CPU a call), and kubetape met a third of what its own keeper does
where nothing else runs. So it stands still until the next turn of its own way, and catches up there, as it has to
where calls follow each other.
"""

import contextlib
import signal
from collections.abc import Iterator, Sequence
from typing import TypeVar

from benchmarks.side_by_side.ways import Lane, Way

T = TypeVar("T")


def order_of_round(every: Sequence[T], number: int) -> list[T]:
    """Each begins as often as the others, and comes behind its neighbour on either side: what ran before a turn has
    filled the caches, and two lanes of one way share a process."""
    first = number // 2 % len(every)
    turned = [*every[first:], *every[:first]]
    return turned[::-1] if number % 2 else turned


class Turns:
    """While it is open, the background of these lanes' ways stands still but in their turns."""

    def __init__(self, lanes: Sequence[Lane]) -> None:
        self._ways = list({lane.way.name: lane.way for lane in lanes}.values())

    def __enter__(self) -> "Turns":
        for way in self._ways:
            way.signal_background(signal.SIGSTOP)
        return self

    def __exit__(self, *error: object) -> None:
        for way in self._ways:
            way.signal_background(signal.SIGCONT)

    @contextlib.contextmanager
    def of(self, way: Way) -> Iterator[None]:
        way.signal_background(signal.SIGCONT)
        try:
            yield
        finally:
            way.signal_background(signal.SIGSTOP)
