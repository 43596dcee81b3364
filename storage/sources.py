"""Where the index reads records: all logs of one data directory, as one interface.

`SegmentLogs` is the real one: `log/<worker>/` below the data directory. Reading changes nothing there.
The trap: whether a log is being written is seen by its lock, and the only way to ask is to take the
lock, shared, for an instant.
"""

import fcntl
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final, Protocol

from storage.encryption.keys import NO_KEYS, KeyRing
from storage.errors import NoKey, StorageError
from storage.files import REAL_FILES, FileOps
from storage.reader import Position, iter_records, read_record
from storage.retention.deleted import read_why_gone

LOG_DIRECTORY: Final = "log"
LOCK_NAME: Final = "LOCK"
_NEAR: Final = 512
"""Records between two wanted ones that are cheaper to read past than to open the segment again."""


class RecordSource(Protocol):
    """All logs of one data directory."""

    def logs(self) -> list[str]:
        """Names of the logs, sorted."""
        ...

    def records(self, log: str, start: Position | None) -> Iterator[tuple[Position, bytes]]:
        """See storage.reader.iter_records: from `start`, included, to the current end."""
        ...

    def unreadable(self, log: str, position: Position) -> NoKey | None:
        """Why the record at a position is there and cannot be read: its key was destroyed, or is not at hand."""
        ...

    def is_live(self, log: str) -> bool:
        """Whether a gateway is writing this log now."""
        ...


class SegmentLogs:
    """The logs below a data directory, which may be a copy of one, or a bucket that looks like one (`files`).

    keys: what opens encrypted segments.
    """

    def __init__(self, data_dir: Path, *, files: FileOps = REAL_FILES, keys: KeyRing = NO_KEYS) -> None:
        self._directory, self._files, self._keys = data_dir / LOG_DIRECTORY, files, keys

    def logs(self) -> list[str]:
        return log_names(self._files, self._directory)

    def records(self, log: str, start: Position | None) -> Iterator[tuple[Position, bytes]]:
        return iter_records(self._directory / log, start=start, files=self._files, keys=self._keys)

    def unreadable(self, log: str, position: Position) -> NoKey | None:
        try:
            read_record(self._directory / log, position, files=self._files, keys=self._keys)
        except NoKey as why:
            return why
        except (StorageError, OSError):
            pass
        return None

    def why_gone(self, log: str, segment: str) -> str | None:
        """What the tombstone of a deleted segment says; see storage.retention.deleted."""
        return read_why_gone(self._files, self._directory / log, segment)

    def is_live(self, log: str) -> bool:
        return self._files is REAL_FILES and is_locked(self._directory / log / LOCK_NAME)


def log_names(files: FileOps, directory: Path) -> list[str]:
    """The logs below a `log/` directory, sorted; [] when there is none."""
    try:
        names = files.names(directory)
    except FileNotFoundError:
        return []
    return sorted(name for name in names if _is_directory(files, directory / name))


def _is_directory(files: FileOps, path: Path) -> bool:
    try:
        files.names(path)
    except NotADirectoryError:
        return False
    return True


def is_locked(path: Path) -> bool:
    """Whether another process holds the lock of this file. Takes it, shared, for an instant."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return True
    finally:
        os.close(fd)
    return False


def read_positions(source: RecordSource, log: str, positions: Iterable[Position]) -> Iterator[bytes]:
    """The records at these positions, which ascend. Raises what `records` raises, FileNotFoundError when a
    segment is gone (expired), and Shredded or OutOfReach when it cannot be read any more."""
    behind: Iterator[tuple[Position, bytes]] = iter(())
    reached = -1
    for wanted in positions:
        if not 0 <= wanted.record_seq - reached <= _NEAR or reached < 0:
            behind = source.records(log, wanted)
        for position, encoded in behind:
            reached = position.record_seq
            if reached >= wanted.record_seq:
                if reached == wanted.record_seq:
                    yield encoded
                break
        if reached != wanted.record_seq and (why := source.unreadable(log, wanted)) is not None:
            raise why
