"""Whether the logs may have grown, by the times of their files: so that an idle keeper need not read to know.

A few stat(2) instead of a worker thread, a directory and the end of a segment four times a second. It never says no
to growth: times of files are coarse, so what changed counts as changing for a while; and now and then it says yes
whatever it sees, since a duty looks after other files too.
"""

import os
import time
from pathlib import Path
from typing import Final, TypeAlias

from storage.files import REAL_FILES
from storage.format import SUFFIX_OPEN
from storage.sources import LOG_DIRECTORY, log_names

SETTLED_S: Final = 1.5
"""File systems tell times to a second at worst: two writes within one may look like one."""
LONGEST_REST_S: Final = 2.0

Stamp: TypeAlias = tuple[int, int, int]


class LogGrowth:
    """Of the logs of one data directory, as one duty sees it."""

    def __init__(self, data_dir: Path) -> None:
        self._directory = data_dir / LOG_DIRECTORY
        self._directories = _Files([self._directory])
        self._open = _Files([])  # segments being written
        self._told_s = 0.0  # monotonic

    def may_have_grown(self) -> bool:
        """Since the last time the answer was yes. Does not block."""
        now_s = time.monotonic()
        has_changed = self._directories.may_have_changed(now_s)
        if has_changed:
            self._find(now_s)
        has_changed |= self._open.may_have_changed(now_s)
        if not has_changed and now_s - self._told_s < LONGEST_REST_S:
            return False
        self._told_s = now_s
        return True

    def _find(self, now_s: float) -> None:
        directories = [self._directory / name for name in log_names(REAL_FILES, self._directory)]
        self._directories.follow([self._directory, *directories], now_s)
        self._open.follow([path for one in directories for path in one.glob(f"*{SUFFIX_OPEN}")], now_s)


class _Files:
    """Some files, and since when they have looked as they do."""

    def __init__(self, paths: list[Path]) -> None:
        self._paths = [str(path) for path in paths]
        self._seen: list[Stamp] | None = None
        self._since_s = 0.0  # monotonic

    def follow(self, paths: list[Path], now_s: float) -> None:
        """From now on these."""
        names = [str(path) for path in paths]
        if names != self._paths:
            self._paths = names
            self._seen, self._since_s = _look(names), now_s

    def may_have_changed(self, now_s: float) -> bool:
        """True from a change on until no later one can look the same; also while one is missing."""
        seen = _look(self._paths)
        if seen is None or seen != self._seen:
            self._seen, self._since_s = seen, now_s
        return now_s - self._since_s < SETTLED_S


def _look(paths: list[str]) -> list[Stamp] | None:
    try:
        found = [os.stat(path) for path in paths]
    except OSError:
        return None
    return [(one.st_ino, one.st_size, one.st_mtime_ns) for one in found]
