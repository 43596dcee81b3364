"""Whether the logs may have grown, by the times of their files: so that an idle keeper need not read to know.

A few stat(2) instead of a worker thread, a directory and the end of a segment four times a second. It never says no
to growth; and now and then it says yes whatever it sees, since a duty looks after other files too.
"""

import time
from pathlib import Path
from typing import Final

from gateway.file_times import FileTimes
from storage.files import REAL_FILES
from storage.format import SUFFIX_OPEN
from storage.sources import LOG_DIRECTORY, log_names

LONGEST_REST_S: Final = 2.0


class LogGrowth:
    """Of the logs of one data directory, as one duty sees it."""

    def __init__(self, data_dir: Path) -> None:
        self._directory = data_dir / LOG_DIRECTORY
        self._directories = FileTimes([self._directory])
        self._open = FileTimes([])  # segments being written
        self._told_s = 0.0  # monotonic

    def may_have_grown(self) -> bool:
        """Since the last time the answer was yes. Does not block."""
        has_changed = self._directories.may_have_changed()
        if has_changed:
            self._find()
        has_changed |= self._open.may_have_changed()
        now_s = time.monotonic()
        if not has_changed and now_s - self._told_s < LONGEST_REST_S:
            return False
        self._told_s = now_s
        return True

    def _find(self) -> None:
        directories = [self._directory / name for name in log_names(REAL_FILES, self._directory)]
        self._directories.follow([self._directory, *directories])
        self._open.follow(path for one in directories for path in one.glob(f"*{SUFFIX_OPEN}"))
