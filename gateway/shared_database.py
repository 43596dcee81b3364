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
T = TypeVar("T")


class SharedDatabase:
    """Open from construction to `close`; in WAL mode, so several processes and connections may have it open."""

    def __init__(self, path: Path, *, busy_timeout_s: float, synchronous: Literal["FULL", "NORMAL"]) -> None:
        """Makes the file (0600) when there is none. busy_timeout_s: how long another writer is waited for.

        synchronous: FULL: what was committed survives a power cut; NORMAL: a kill. Raises sqlite3.Error, OSError.
        """
        self._turn = threading.Lock()
        create_database_file(path)
        connection = sqlite3.connect(
            path, timeout=busy_timeout_s, isolation_level=None, check_same_thread=False
        )
        self._connection: sqlite3.Connection | None = connection
        try:
            connection.execute("PRAGMA journal_mode=WAL")
            connection.execute(f"PRAGMA synchronous={synchronous}")
        except sqlite3.Error:
            self.close()
            raise

    def run(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Do something with the connection, alone; fetch all rows within. Raises sqlite3.Error, also once closed."""
        with self._turn:
            if self._connection is None:
                raise sqlite3.ProgrammingError(CLOSED)
            return work(self._connection)

    def close(self) -> None:
        """Wait for the one whose turn it is, then end the connection; again: nothing."""
        with self._turn:
            if self._connection is not None:
                self._connection.close()
            self._connection = None
