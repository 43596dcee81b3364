"""Which bytes of an object are fetched for a read, and those that were. Decides and remembers; fetches nothing.

A request of S3 takes tens of milliseconds and a megabyte costs little more, so a read brings more than was asked
for: the whole of a small object, all of a segment's footer with its last byte, four megabytes where somebody reads
on. What was fetched is kept, the least recently used goes first. The trap: a checker reads a segment twice, frame
by frame and then for its hash, so a cache smaller than a segment would fetch it twice.
"""

from collections import OrderedDict
from typing import Final

import msgspec

WHOLE_BYTES: Final = 256 * 1024
"""Objects up to this come as a whole."""
GLANCE_BYTES: Final = 64 * 1024
"""For one frame somewhere: most fit."""
STRETCH_BYTES: Final = 4 * 1024 * 1024
TAIL_SHARE: Final = 64
"""A footer is about 60 bytes a frame, and most frames have some KiB."""
MAX_TAIL_BYTES: Final = 1024 * 1024
CACHE_BYTES: Final = 96 * 1024 * 1024


class Extent(msgspec.Struct, frozen=True):
    """Bytes [start, start + len(data)) of an object."""

    start: int
    data: bytes

    @property
    def stop(self) -> int:
        return self.start + len(self.data)


def plan_fetch(start: int, stop: int, size: int, *, reads_on: bool) -> tuple[int, int]:
    """The range to fetch when [start, stop) of an object of `size` bytes is wanted and `start` is not there.

    reads_on: `start` is where the last fetch ended. Holds `start`, perhaps not all of a long wish; never more than
    STRETCH_BYTES.
    """
    if size <= WHOLE_BYTES:
        return 0, size
    tail = size - min(max(size // TAIL_SHARE, GLANCE_BYTES), MAX_TAIL_BYTES)
    if start >= tail:
        return tail, size
    length = STRETCH_BYTES if reads_on or stop - start > GLANCE_BYTES else GLANCE_BYTES
    return start, min(start + length, size)


class RangeCache:
    """Extents of many objects, at most `limit_bytes`. Not for two threads at once."""

    def __init__(self, limit_bytes: int = CACHE_BYTES) -> None:
        self.held_bytes = 0
        self._limit_bytes = limit_bytes
        self._extents: OrderedDict[tuple[str, int], Extent] = OrderedDict()
        self._starts: dict[str, list[int]] = {}

    def find(self, key: str, at: int) -> Extent | None:
        """An extent that holds byte `at`."""
        for start in self._starts.get(key, ()):
            extent = self._extents[key, start]
            if start <= at < extent.stop:
                self._extents.move_to_end((key, start))
                return extent
        return None

    def add(self, key: str, extent: Extent) -> None:
        self._drop(key, extent.start)
        self._extents[key, extent.start] = extent
        self._starts.setdefault(key, []).append(extent.start)
        self.held_bytes += len(extent.data)
        while self.held_bytes > self._limit_bytes and len(self._extents) > 1:
            self._drop(*next(iter(self._extents)))

    def forget(self, key: str) -> None:
        for start in list(self._starts.get(key, ())):
            self._drop(key, start)

    def _drop(self, key: str, start: int) -> None:
        extent = self._extents.pop((key, start), None)
        if extent is not None:
            self.held_bytes -= len(extent.data)
            self._starts[key].remove(start)
            if not self._starts[key]:
                del self._starts[key]
