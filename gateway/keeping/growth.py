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

Seen: TypeAlias = tuple[tuple[int, int, int], ...]


class LogGrowth:
    """Of the logs of one data directory, as one duty sees it."""

    def __init__(self, data_dir: Path) -> None:
        self._directory = data_dir / LOG_DIRECTORY
        self._directories = [self._directory]
        self._open: list[Path] = []  # segments being written
        self._seen: Seen | None = None
        self._since_s = 0.0  # monotonic, as all here
        self._told_s = 0.0

    def may_have_grown(self) -> bool:
        """Since the last time the answer was yes. Does not block."""
        now_s = time.monotonic()
        seen = self._look()
        if seen is None or seen != self._seen:
            self._since_s = now_s
            self._find()
            seen = self._look()
        self._seen = seen
        if now_s - self._since_s < SETTLED_S:
            self._find()
        elif now_s - self._told_s < LONGEST_REST_S:
            return False
        self._told_s = now_s
        return True

    def _look(self) -> Seen | None:
        """What the files look like; None: one is gone."""
        try:
            found = [os.stat(path) for path in (*self._directories, *self._open)]
        except OSError:
            return None
        return tuple((one.st_ino, one.st_size, one.st_mtime_ns) for one in found)

    def _find(self) -> None:
        directories = [self._directory / name for name in log_names(REAL_FILES, self._directory)]
        self._directories = [self._directory, *directories]
        self._open = [path for one in directories for path in one.glob(f"*{SUFFIX_OPEN}")]
