"""The store on a PostgreSQL server, for several replicas. Blocking.

Sequence values are handed out before commit, so appends take one advisory lock until they have committed: then the
order of numbers is the order in which entries become visible. Appends are rare; reads take no lock. NOTIFY fires at
commit; LISTEN has a connection and a thread of its own, and says only "look now". It needs a direct connection: behind
a pooler in transaction mode nothing is heard, and the poll has to do.

Several links, so that an append that waits for the lock delays no look. The administrator of this database can keep
entries from us and delete them; `signing` says why he can make none.
Source: postgresql.org/docs/current: explicit-locking (advisory locks), sql-notify, functions-sequence.
"""

import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Final

import psycopg

from gateway.state.postgres_link import Connection, Link, Row, connect
from gateway.state.store import (
    KEPT_AFTER_EXPIRY_NS,
    MAX_ENTRY_BYTES,
    AlreadyClaimed,
    StateError,
    Stored,
)

CHANNEL: Final = "kubetape_state"
APPEND_LOCK: Final = 0x6B756265_74617065
""" "kubetape": any number that nobody else in this database uses."""
LISTEN_STEP_S: Final = 0.2
"""How soon the listening thread notices that it should end."""
RECONNECT_S: Final = 1.0

_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS kubetape_entries (
    seq bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    expires_ns bigint NOT NULL,
    claim text UNIQUE,
    encoded bytea NOT NULL,
    signature bytea NOT NULL
);
CREATE INDEX IF NOT EXISTS kubetape_entries_by_expiry ON kubetape_entries (expires_ns);
"""
_INSERT: Final = (
    "INSERT INTO kubetape_entries (expires_ns, claim, encoded, signature) VALUES (%s, %s, %s, %s)"
    " ON CONFLICT (claim) DO NOTHING RETURNING seq"
)
_SELECT: Final = "SELECT seq, encoded, signature, expires_ns FROM kubetape_entries"


class PostgresStore:
    """`StateStore` on a server."""

    def __init__(self, dsn: str) -> None:
        """Connects, and makes the table when there is none. Raises StateError, StateUnavailable."""
        self._dsn = dsn
        self._reading, self._writing = Link(dsn), Link(dsn)
        self._closing = threading.Event()
        self._listener: threading.Thread | None = None
        self._writing.run(_make_table)

    def append(self, encoded: bytes, signature: bytes, *, unique: str = "", expires_ns: int = 0) -> int:
        if len(encoded) > MAX_ENTRY_BYTES:
            raise StateError(f"an entry of {len(encoded)} bytes is larger than {MAX_ENTRY_BYTES}: shorten it")

        def insert(connection: Connection) -> Row | None:
            with connection.transaction():
                connection.execute("SELECT pg_advisory_xact_lock(%s)", (APPEND_LOCK,))
                row = connection.execute(_INSERT, (expires_ns, unique or None, encoded, signature)).fetchone()
                if row is not None:
                    connection.execute("SELECT pg_notify(%s, '')", (CHANNEL,))
            return row

        row = self._writing.run(insert)
        if row is None:
            raise AlreadyClaimed(f"{unique} was written already")
        return int(row[0])

    def read_after(self, seq: int, limit: int) -> list[Stored]:
        return self._read(f"{_SELECT} WHERE seq > %s ORDER BY seq LIMIT %s", seq, limit)

    def read_alive(self, now_ns: int) -> list[Stored]:
        return self._read(f"{_SELECT} WHERE expires_ns = 0 OR expires_ns > %s ORDER BY seq", now_ns)

    def last_seq(self) -> int:
        return self._number("SELECT coalesce(max(seq), 0) FROM kubetape_entries")

    def version(self) -> object:
        return self.last_seq()

    def clock_ns(self) -> int:
        return 1000 * self._number("SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint")

    def listen(self, callback: Callable[[], None]) -> bool:
        self._listener = threading.Thread(
            target=self._listen, args=(callback,), name="state-listen", daemon=True
        )
        self._listener.start()
        return False  # a notification is lost while the connection is

    def delete_expired(self, now_ns: int) -> int:
        limit_ns = now_ns - KEPT_AFTER_EXPIRY_NS
        return self._writing.run(
            lambda connection: (
                connection.execute(
                    "DELETE FROM kubetape_entries WHERE expires_ns > 0 AND expires_ns < %s", (limit_ns,)
                ).rowcount
            )
        )

    def close(self) -> None:
        self._closing.set()
        if self._listener is not None:
            self._listener.join(timeout=5.0)
        self._reading.close()
        self._writing.close()

    # --- listening --------------------------------------------------------------------------------

    def _listen(self, callback: Callable[[], None]) -> None:
        while not self._closing.is_set():
            with suppress(psycopg.Error), connect(self._dsn) as connection:
                connection.execute(f"LISTEN {CHANNEL}")
                callback()  # what was appended while nobody listened
                while not self._closing.is_set():
                    for _ in connection.notifies(timeout=LISTEN_STEP_S, stop_after=1):
                        callback()
            self._closing.wait(RECONNECT_S)

    # --- reading ----------------------------------------------------------------------------------

    def _read(self, query: str, *values: int) -> list[Stored]:
        rows = self._reading.run(lambda connection: connection.execute(query, values).fetchall())
        return [Stored(*row) for row in rows]

    def _number(self, query: str) -> int:
        row = self._reading.run(lambda connection: connection.execute(query).fetchone())
        return int(row[0]) if row is not None else 0


def _make_table(connection: Connection) -> None:
    """A role that may not create tables is enough once there is one."""
    row = connection.execute("SELECT to_regclass('kubetape_entries')").fetchone()
    if row is not None and row[0] is not None:
        return
    with connection.transaction():
        connection.execute("SELECT pg_advisory_xact_lock(%s)", (APPEND_LOCK,))
        connection.execute(_SCHEMA)
