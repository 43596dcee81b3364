"""Whether files were written to, by their times: a stat(2) each, and none is opened. For who is idle most of the time.

The trap is how coarse times are: what changed counts as changing for SETTLED_S, so that no later change looks the same.
"""

import os
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Final, TypeAlias

SETTLED_S: Final = 1.5
"""File systems tell times to a second at worst: two writes within one may look like one."""

_Stamp: TypeAlias = tuple[int, int, int]


class FileTimes:
    """Of some files. Does not block."""

    def __init__(self, paths: Iterable[Path]) -> None:
        self._paths = [str(path) for path in paths]
        self._seen: list[_Stamp] | None = None
        self._since_s = 0.0  # monotonic

    def follow(self, paths: Iterable[Path]) -> None:
        """From now on these; what they look like now is what they are compared with."""
        names = [str(path) for path in paths]
        if names != self._paths:
            self._paths = names
            self._seen, self._since_s = _look(names), time.monotonic()

    def may_have_changed(self) -> bool:
        """True from a change on until no later one can look the same; also while one is missing."""
        seen, now_s = _look(self._paths), time.monotonic()
        if seen is None or seen != self._seen:
            self._seen, self._since_s = seen, now_s
        return now_s - self._since_s < SETTLED_S


def _look(paths: list[str]) -> list[_Stamp] | None:
    try:
        found = [os.stat(path) for path in paths]
    except OSError:
        return None
    return [(one.st_ino, one.st_size, one.st_mtime_ns) for one in found]
