"""One connection to an SQLite file of the data directory, used by several threads in turn. Blocking.

Knows what SQLite and its Python binding need, and nothing of what lies in the file. The trap: a connection that one
thread closes while another is inside a statement crashes the process, for the binding goes on with a connection that
is no more. A lock for every use, and for the end, makes that impossible; a cursor must not outlive its turn.
Source: sqlite.org/wal.html; docs.python.org, sqlite3 (`check_same_thread`).
"""

import sqlite3
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Final, Literal, TypeVar

from storage.database_file import create_database_file

CLOSED: Final = "it is closed here"
TOO_SLOW: Final = "others here still use it"
T = TypeVar("T")


class SharedDatabase:
    """Open from construction to `close`; in WAL mode, so several processes and connections may have it open."""

    def __init__(self, path: Path, *, busy_timeout_s: float, synchronous: Literal["FULL", "NORMAL"]) -> None:
        """Makes the file (0600) when there is none. busy_timeout_s: how long another writer is waited for.

        synchronous: FULL: what was committed survives a power cut; NORMAL: a kill. Raises sqlite3.Error, OSError.
        """
        self._turn, self._patience_s = threading.Lock(), 2 * busy_timeout_s
        self._is_closed = False
        create_database_file(path)
        self._connection = sqlite3.connect(
            path, timeout=busy_timeout_s, isolation_level=None, check_same_thread=False
        )
        try:
            self._connection.execute("PRAGMA journal_mode=WAL")
            self._connection.execute(f"PRAGMA synchronous={synchronous}")
        except sqlite3.Error:
            self._connection.close()
            raise

    def run(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Do something with the connection, alone; fetch all rows within.

        Raises sqlite3.Error: also once it is closed, and when no turn comes within twice the busy timeout.
        """
        if not self._turn.acquire(timeout=self._patience_s):
            raise sqlite3.OperationalError(TOO_SLOW)
        try:
            if self._is_closed:
                raise sqlite3.ProgrammingError(CLOSED)
            return work(self._connection)
        finally:
            self._turn.release()

    def close(self) -> None:
        """Wait for the one whose turn it is, then end the connection. Of one who hangs, on a disk that does, the
        connection is left to the end of the process."""
        self._is_closed = True
        if self._turn.acquire(timeout=self._patience_s):
            try:
                self._connection.close()
            finally:
                self._turn.release()
