"""Which session every credential has now, for all workers of one data directory: one row a credential. Blocking.

Not part of the shared state: that is signed, recorded and durable, because it gives people rights. A session only
says what belongs together; when this file is lost, people get new sessions. So a commit here waits for no disk.

The trap is that two workers meet the same new credential at once. The claim is one statement: whoever comes second
reads what the first has written. Source: sqlite.org/lang_upsert.html.
"""

import sqlite3
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Final, NamedTuple

from gateway.errors import GatewayError
from gateway.shared_database import SharedDatabase

REGISTRY_FILE: Final = "sessions.sqlite"
BUSY_TIMEOUT_S: Final = 0.2
"""A claim of another worker takes some 0.1 ms; somebody waits for us."""
_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS sessions (
    credential TEXT PRIMARY KEY,
    session TEXT NOT NULL,
    last_use_ns INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
"""
_CLAIM: Final = """
INSERT INTO sessions (credential, session, last_use_ns) VALUES (?1, ?2, ?3)
ON CONFLICT (credential) DO UPDATE SET
    session = CASE WHEN last_use_ns < ?4 THEN excluded.session ELSE session END,
    last_use_ns = max(last_use_ns, excluded.last_use_ns)
RETURNING session
"""
_TOUCH: Final = (
    "UPDATE sessions SET last_use_ns = max(last_use_ns, ?3) WHERE credential = ?1 AND session = ?2"
)


class RegistryUnavailable(GatewayError):
    """The registry cannot be used now. Workers go on with sessions of their own."""


class Use(NamedTuple):
    """That a session was used, last at this time (UTC nanoseconds)."""

    credential: str
    session: str
    last_use_ns: int


class SessionRegistry:
    """Open in several processes at once; its methods may be called from several threads, `close` too.

    idle_ns: unused for so long, a session is over.
    """

    def __init__(self, data_dir: Path, idle_ns: int) -> None:
        """Makes the file (0600) when there is none. Raises RegistryUnavailable."""
        self._path, self._idle_ns = data_dir / REGISTRY_FILE, idle_ns
        try:
            self._database = SharedDatabase(self._path, busy_timeout_s=BUSY_TIMEOUT_S, synchronous="NORMAL")
        except (sqlite3.Error, OSError) as error:
            raise RegistryUnavailable(f"cannot use {self._path}: {error}") from error
        try:
            self._database.run(lambda connection: connection.executescript(_SCHEMA))
        except sqlite3.Error as error:
            self._database.close()
            raise RegistryUnavailable(f"cannot use {self._path}: {error}; remove it") from error

    def claim(self, use: Use) -> str:
        """The session this credential has: the one proposed, unless there is one. Raises RegistryUnavailable."""
        values = (*use, use.last_use_ns - self._idle_ns)
        try:
            (session,) = self._database.run(lambda connection: connection.execute(_CLAIM, values).fetchone())
        except sqlite3.Error as error:
            raise RegistryUnavailable(f"cannot write {self._path}: {error}") from error
        return str(session)

    def find(self, credential: str, now_ns: int) -> str:
        """The session it has, "" if none or if nobody can tell."""
        query = "SELECT session FROM sessions WHERE credential = ? AND last_use_ns >= ?"
        values = (credential, now_ns - self._idle_ns)
        with suppress(sqlite3.Error):
            row = self._database.run(lambda connection: connection.execute(query, values).fetchone())
            return str(row[0]) if row is not None else ""
        return ""

    def touch(self, uses: Iterable[Use], now_ns: int) -> None:
        """Say that these were used, and forget what is over. Raises RegistryUnavailable."""

        def write(connection: sqlite3.Connection) -> None:
            with connection:
                connection.execute("BEGIN IMMEDIATE")
                connection.executemany(_TOUCH, uses)
                connection.execute("DELETE FROM sessions WHERE last_use_ns < ?", (now_ns - self._idle_ns,))

        try:
            self._database.run(write)
        except sqlite3.Error as error:
            raise RegistryUnavailable(f"cannot write {self._path}: {error}") from error

    def close(self) -> None:
        self._database.close()
