"""The store in the data directory: one SQLite file, for all workers and the keeper of one host. Blocking.

WAL with full synchronisation: what `append` returned survives a power cut. The file must not lie on a network file
system, where the shared memory of WAL does not work. Two connections, whatever the number of threads: one writes,
the other reads and watches. `PRAGMA data_version` says whether *another* connection has committed, so the one that
writes cannot watch; and what waits for the disk or for another writer delays no look.

Its clock is this host's, but never before the newest entry: a host whose clock was set back is noticed.
Source: sqlite.org/wal.html, sqlite.org/pragma.html.
"""

import sqlite3
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final, TypeVar

from gateway.file_times import FileTimes
from gateway.shared_database import SharedDatabase
from gateway.state.nudge import NudgeSocket, nudge_all
from gateway.state.store import (
    KEPT_AFTER_EXPIRY_NS,
    MAX_ENTRY_BYTES,
    AlreadyClaimed,
    StateError,
    StateUnavailable,
    Stored,
)

STATE_FILE: Final = "state.sqlite"
BUSY_TIMEOUT_S: Final = 3.0
"""Longer than any append of another process takes, short against the 10 s after which state counts as lost."""

_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS entries (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    stored_ns INTEGER NOT NULL,
    expires_ns INTEGER NOT NULL,
    claim TEXT UNIQUE,
    encoded BLOB NOT NULL,
    signature BLOB NOT NULL
) STRICT;
CREATE INDEX IF NOT EXISTS entries_by_expiry ON entries (expires_ns);
"""
_COLUMNS: Final = "seq, encoded, signature, expires_ns"
_INSERT: Final = """
INSERT INTO entries (stored_ns, expires_ns, claim, encoded, signature) VALUES (?, ?, ?, ?, ?)
ON CONFLICT (claim) DO NOTHING RETURNING seq
"""
T = TypeVar("T")


class SqliteStore:
    """`StateStore` on a file. Cheap to open; several processes may have it open at once."""

    def __init__(self, data_dir: Path, *, file_name: str = STATE_FILE) -> None:
        """Makes the file (0600) when there is none. Raises StateUnavailable."""
        self._data_dir, self._path = data_dir, data_dir / file_name
        self._socket: NudgeSocket | None = None
        try:
            self._writing = self._open()
            try:
                self._writing.run(lambda connection: connection.executescript(_SCHEMA))
                self._reading = self._open()
            except (sqlite3.Error, OSError):
                self._writing.close()
                raise
        except (sqlite3.Error, OSError) as error:
            raise self._unavailable("open", error) from error

    def append(self, encoded: bytes, signature: bytes, *, unique: str = "", expires_ns: int = 0) -> int:
        if len(encoded) > MAX_ENTRY_BYTES:
            raise StateError(f"an entry of {len(encoded)} bytes is larger than {MAX_ENTRY_BYTES}: shorten it")

        def insert(connection: sqlite3.Connection) -> tuple[int] | None:
            connection.execute("BEGIN IMMEDIATE")
            try:
                values = (time.time_ns(), expires_ns, unique or None, encoded, signature)
                row: tuple[int] | None = connection.execute(_INSERT, values).fetchone()
                connection.execute("COMMIT")
                return row
            except BaseException:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
                raise

        row = self._write(insert)
        if row is None:
            raise AlreadyClaimed(f"{unique} was written already")
        nudge_all(self._data_dir)
        return row[0]

    def read_after(self, seq: int, limit: int) -> list[Stored]:
        return self._read(f"SELECT {_COLUMNS} FROM entries WHERE seq > ? ORDER BY seq LIMIT ?", seq, limit)

    def read_alive(self, now_ns: int) -> list[Stored]:
        return self._read(
            f"SELECT {_COLUMNS} FROM entries WHERE expires_ns = 0 OR expires_ns > ? ORDER BY seq", now_ns
        )

    def last_seq(self) -> int:
        return self._number("SELECT coalesce(max(seq), 0) FROM entries")

    def version(self) -> object:
        return self._number("PRAGMA data_version")

    def clock_ns(self) -> int:
        newest = self._number(
            "SELECT coalesce(max(stored_ns), 0) FROM (SELECT stored_ns FROM entries ORDER BY seq DESC LIMIT 1)"
        )
        return max(time.time_ns(), newest)

    def listen(self, callback: Callable[[], None]) -> bool:
        """Every commit writes to the write-ahead log, which is there as long as anybody has the file open."""
        watch = FileTimes([self._path.with_name(self._path.name + "-wal")])
        self._socket = NudgeSocket(self._data_dir, callback, watch.may_have_changed)
        return self._socket.is_listening

    def delete_expired(self, now_ns: int) -> int:
        query = "DELETE FROM entries WHERE expires_ns > 0 AND expires_ns < ?"
        limit_ns = now_ns - KEPT_AFTER_EXPIRY_NS
        return self._write(lambda connection: connection.execute(query, (limit_ns,)).rowcount)

    def close(self) -> None:
        """Waits for what is under way in other threads; what comes later finds the store unavailable."""
        if self._socket is not None:
            self._socket.close()
        self._writing.close()
        self._reading.close()

    # --- the two connections ------------------------------------------------------------------------

    def _open(self) -> SharedDatabase:
        return SharedDatabase(self._path, busy_timeout_s=BUSY_TIMEOUT_S, synchronous="FULL")

    def _write(self, work: Callable[[sqlite3.Connection], T]) -> T:
        try:
            return self._writing.run(work)
        except (sqlite3.Error, OSError) as error:
            raise self._unavailable("write to", error) from error

    def _read(self, query: str, *values: int) -> list[Stored]:
        return [Stored(*row) for row in self._rows(query, *values)]

    def _number(self, query: str) -> int:
        return int(self._rows(query)[0][0])

    def _rows(self, query: str, *values: int) -> list[tuple[int, bytes, bytes, int]]:
        try:
            return self._reading.run(lambda connection: connection.execute(query, values).fetchall())
        except (sqlite3.Error, OSError) as error:
            raise self._unavailable("read", error) from error

    def _unavailable(self, what: str, error: Exception) -> StateUnavailable:
        return StateUnavailable(
            f"cannot {what} the shared state in {self._path} ({error}): look at that disk and file"
        )
