"""The store in the data directory: one SQLite file, for all workers and the keeper of one host. Blocking.

WAL with full synchronisation: what `append` returned survives a power cut. The file must not lie on a network file
system, where the shared memory of WAL does not work. One connection per thread, and one more that only watches:
`PRAGMA data_version` says whether *another* connection has committed, so a connection that writes cannot watch.

Its clock is this host's, but never before the newest entry: a host whose clock was set back is noticed.
Source: sqlite.org/wal.html, sqlite.org/pragma.html.
"""

import os
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from gateway.state.nudge import FileWatch, NudgeSocket, nudge_all
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


class SqliteStore:
    """`StateStore` on a file. Cheap to open; several processes may have it open at once."""

    def __init__(self, data_dir: Path, *, file_name: str = STATE_FILE) -> None:
        """Makes the file (0600) when there is none. Raises StateUnavailable."""
        self._data_dir, self._path = data_dir, data_dir / file_name
        self._local = threading.local()
        self._opened: list[sqlite3.Connection] = []
        self._lock = threading.Lock()
        self._watch_lock = threading.Lock()
        self._socket: NudgeSocket | None = None
        try:
            with self._speaking("open"):
                os.close(os.open(self._path, os.O_RDWR | os.O_CREAT, 0o600))
                self._connection().executescript(_SCHEMA)
                self._watcher = self._open()
        except StateUnavailable:
            self.close()
            raise

    def append(self, encoded: bytes, signature: bytes, *, unique: str = "", expires_ns: int = 0) -> int:
        if len(encoded) > MAX_ENTRY_BYTES:
            raise StateError(f"an entry of {len(encoded)} bytes is larger than {MAX_ENTRY_BYTES}: shorten it")
        with self._speaking("write to"):
            connection = self._connection()
            connection.execute("BEGIN IMMEDIATE")
            try:
                cursor = connection.execute(
                    "INSERT INTO entries (stored_ns, expires_ns, claim, encoded, signature)"
                    " VALUES (?, ?, ?, ?, ?) ON CONFLICT (claim) DO NOTHING RETURNING seq",
                    (time.time_ns(), expires_ns, unique or None, encoded, signature),
                )
                row = cursor.fetchone()
                connection.execute("COMMIT")
            except BaseException:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
                raise
        if row is None:
            raise AlreadyClaimed(f"{unique} was written already")
        nudge_all(self._data_dir)
        return int(row[0])

    def read_after(self, seq: int, limit: int) -> list[Stored]:
        return self._read(f"SELECT {_COLUMNS} FROM entries WHERE seq > ? ORDER BY seq LIMIT ?", seq, limit)

    def read_alive(self, now_ns: int) -> list[Stored]:
        return self._read(
            f"SELECT {_COLUMNS} FROM entries WHERE expires_ns = 0 OR expires_ns > ? ORDER BY seq", now_ns
        )

    def last_seq(self) -> int:
        return self._number("SELECT coalesce(max(seq), 0) FROM entries")

    def version(self) -> object:
        with self._watch_lock, self._speaking("read"):
            return self._watcher.execute("PRAGMA data_version").fetchone()[0]

    def clock_ns(self) -> int:
        newest = self._number(
            "SELECT coalesce(max(stored_ns), 0) FROM (SELECT stored_ns FROM entries ORDER BY seq DESC LIMIT 1)"
        )
        return max(time.time_ns(), newest)

    def listen(self, callback: Callable[[], None]) -> bool:
        """Every commit writes to the write-ahead log, which is there as long as anybody has the file open."""
        watch = FileWatch(self._path.with_name(self._path.name + "-wal"))
        self._socket = NudgeSocket(self._data_dir, callback, watch.may_have_changed)
        return self._socket.is_listening

    def delete_expired(self, now_ns: int) -> int:
        with self._speaking("write to"):
            return (
                self._connection()
                .execute(
                    "DELETE FROM entries WHERE expires_ns > 0 AND expires_ns < ?",
                    (now_ns - KEPT_AFTER_EXPIRY_NS,),
                )
                .rowcount
            )

    def close(self) -> None:
        if self._socket is not None:
            self._socket.close()
        with self._lock:
            for connection in self._opened:
                connection.close()
            self._opened.clear()

    # --- one connection per thread ------------------------------------------------------------------

    def _connection(self) -> sqlite3.Connection:
        known: sqlite3.Connection | None = getattr(self._local, "connection", None)
        if known is None:
            known = self._local.connection = self._open()
        return known

    def _open(self) -> sqlite3.Connection:
        # Closed by whichever thread closes the store, hence no check; used by its own thread only.
        connection = sqlite3.connect(
            self._path, timeout=BUSY_TIMEOUT_S, isolation_level=None, check_same_thread=False
        )
        with self._lock:
            self._opened.append(connection)
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=FULL")
        return connection

    def _read(self, query: str, *values: int) -> list[Stored]:
        with self._speaking("read"):
            return [Stored(*row) for row in self._connection().execute(query, values)]

    def _number(self, query: str) -> int:
        with self._speaking("read"):
            return int(self._connection().execute(query).fetchone()[0])

    @contextmanager
    def _speaking(self, what: str) -> Iterator[None]:
        """Foreign errors end here."""
        try:
            yield
        except (sqlite3.Error, OSError) as error:
            raise StateUnavailable(
                f"cannot {what} the shared state in {self._path} ({error}): look at that disk and file"
            ) from error
