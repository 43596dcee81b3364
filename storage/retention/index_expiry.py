"""Day files of the index whose segments are all gone: unlinked, so that no text outlives its record. Conduct.

A day goes when it lies before everything that is left in any log, and no segment its file names is left either: a
call's row is in the file of the day it began, and its records may lie days later.

The trap: a file that vanishes under the state is taken for damage and made again from the whole log. So its row
in the state goes first; a crash in between leaves a file without a row, which the indexer adopts and the next run
removes. Only the indexer itself may do this, between two of its steps.
"""

import sqlite3
import time
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from storage.files import REAL_FILES, FileOps
from storage.index import Indexer
from storage.index_schema import (
    STATE_FILE,
    day_files,
    open_reading,
    open_state,
    remove_index_file,
    translated,
)
from storage.retention.decide import NS_PER_DAY
from storage.retention.inventory import list_entries
from storage.sources import LOG_DIRECTORY, log_names

SLACK_NS: Final = 3600 * 1_000_000_000
"""A record is committed some time after it was made; its day is that of its making."""
INTERVAL_S: Final = 60.0


class DayExpiry:
    """For whoever runs an `Indexer`: call `run_once` between its steps, as often as you like."""

    def __init__(
        self,
        indexer: Indexer,
        data_dir: Path,
        *,
        files: FileOps = REAL_FILES,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._indexer, self._data_dir, self._files, self._clock = indexer, data_dir, files, clock
        self._next_s = clock()

    def run_once(self) -> list[str]:
        """Unlink what is due, at most once in INTERVAL_S; returns the days. [] also while another process indexes.

        Raises GarbledIndex (the indexer will find that out too), IndexFailed, OSError.
        """
        if self._clock() < self._next_s:
            return []
        self._next_s = self._clock() + INTERVAL_S
        days = expired_days(self._data_dir, self._indexer.directory, files=self._files)
        if not days or not self._indexer.take_lock():
            return []
        try:
            remove_days(self._indexer.directory, days)
        finally:
            self._indexer.close()  # what it keeps in memory is of files that are gone
        return days


def expired_days(data_dir: Path, index_dir: Path, *, files: FileOps = REAL_FILES) -> list[str]:
    """Days of the index that nothing in the logs needs any more, oldest first. Changes nothing."""
    left: set[tuple[str, str]] = set()
    begins_ns: list[int] = []
    for log in log_names(files, data_dir / LOG_DIRECTORY):
        there = [entry.name for entry in list_entries(files, data_dir / LOG_DIRECTORY / log) if entry.suffix]
        left |= {(log, name.stem) for name in there}
        begins_ns += [name.start_ms * 1_000_000 for name in there]
    if not begins_ns:
        return []  # a log keeps its newest segment: without any, this is something else
    before_ns = min(begins_ns) - SLACK_NS
    return [
        day
        for day, path in sorted(day_files(index_dir).items())
        if _end_ns(day) <= before_ns and not left & _segments_of(path)
    ]


def _end_ns(day: str) -> int:
    try:
        begin = datetime.strptime(day, "%Y-%m-%d").replace(tzinfo=UTC)
    except ValueError:  # 2026-99-99: no day of ours
        return 1 << 63
    return int(begin.timestamp()) * 1_000_000_000 + NS_PER_DAY


def _segments_of(path: Path) -> set[tuple[str, str]]:
    try:
        with closing(open_reading(path)) as ask:
            return set(ask.execute("SELECT log, name FROM segments"))
    except sqlite3.Error as error:
        raise translated(error, path) from error


def remove_days(index_dir: Path, days: list[str]) -> None:
    """Unlink day files; the caller holds the lock of the index. Raises GarbledIndex, IndexFailed, OSError."""
    state = index_dir / STATE_FILE
    try:
        with closing(open_state(state)) as change:
            change.executemany("DELETE FROM days WHERE day = ?", [(day,) for day in days])
    except sqlite3.Error as error:
        raise translated(error, state) from error
    for day in days:
        remove_index_file(index_dir / f"{day}.sqlite")
