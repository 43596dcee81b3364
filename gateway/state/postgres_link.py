"""One connection to PostgreSQL that fails within seconds, whatever the server does. Blocking, in threads.

Three ways of not answering, three answers: a server that is gone is refused or times out at connecting; a network that
swallows packets is noticed by TCP keepalives; a server that is stopped keeps acknowledging packets, so nothing but a
deadline of our own on every wait helps. After any failure the connection is thrown away and the next use opens one.
Source: libpq-connect (keepalives, tcp_user_timeout), psycopg 3 `Connection.wait`.
"""

import threading
import time
from collections.abc import Callable, Generator
from contextlib import suppress
from typing import Any, Final, TypeVar

import psycopg
from psycopg.conninfo import conninfo_to_dict

from gateway.state.store import StateError, StateUnavailable

DEADLINE_S: Final = 3.0
"""For connecting and for every statement; the state counts as lost after 10 s, so three attempts fit."""
PING_AFTER_S: Final = 1.0
"""A connection that was idle longer is tried before a statement that must not be sent twice."""
_SESSION: Final = """
SET statement_timeout = '2500ms';
SET lock_timeout = '2000ms';
SET idle_in_transaction_session_timeout = '5s';
SELECT set_config('synchronous_commit', 'on', false)
    WHERE current_setting('synchronous_commit') IN ('off', 'local');
"""
_SOCKET: Final = {
    "connect_timeout": round(DEADLINE_S),
    "keepalives": 1,
    "keepalives_idle": 3,
    "keepalives_interval": 1,
    "keepalives_count": 3,
    "tcp_user_timeout": 5000,
    "application_name": "kubetape",
}

Row = tuple[Any, ...]
Waiting = Generator[Any, Any, Any]
T = TypeVar("T")


class Connection(psycopg.Connection[Row]):
    """A connection that gives up waiting after DEADLINE_S."""

    def wait(self, gen: Waiting, *args: Any, **options: Any) -> Any:
        return super().wait(_bounded(gen), *args, **options)


def _bounded(gen: Waiting) -> Waiting:
    """psycopg wakes the generator ten times a second while nothing comes; that is when time is looked at."""
    ends_s = time.monotonic() + DEADLINE_S
    try:
        wanted = next(gen)
        while True:
            ready = yield wanted
            wanted = gen.send(ready)
            if time.monotonic() > ends_s:
                raise psycopg.OperationalError(f"no answer for {DEADLINE_S:.0f} s")
    except StopIteration as done:
        return done.value


class Link:
    """A connection that is opened when it is needed, used by one thread at a time."""

    def __init__(self, dsn: str) -> None:
        """Raises StateError for a connection string that is none; its text holds a password and is never shown."""
        try:
            conninfo_to_dict(dsn)
        except psycopg.Error:
            raise StateError(
                "state.postgres.dsnFile: not a connection string: write postgresql://USER:PASSWORD@HOST/DATABASE"
            ) from None
        self._dsn = dsn
        self._lock = threading.Lock()
        self._connection: Connection | None = None
        self._used_s = 0.0

    def run(self, work: Callable[[Connection], T]) -> T:
        """Do something with the connection. Raises StateUnavailable, after which nothing is known of `work`."""
        if not self._lock.acquire(timeout=2 * DEADLINE_S):
            raise StateUnavailable(
                "PostgreSQL is too slow: other entries wait to be written; look at its load"
            )
        try:
            result = work(self._ready())
            self._used_s = time.monotonic()
            return result
        except psycopg.Error as error:
            self._discard()
            raise unavailable(error) from error
        finally:
            self._lock.release()

    def close(self) -> None:
        with self._lock:
            self._discard()

    def _ready(self) -> Connection:
        connection = self._connection
        if connection is not None and time.monotonic() - self._used_s > PING_AFTER_S:
            try:
                connection.execute("SELECT 1")
            except psycopg.Error:
                self._discard()
                connection = None
        if connection is None:
            connection = self._connection = connect(self._dsn)
        return connection

    def _discard(self) -> None:
        if self._connection is not None:
            with suppress(psycopg.Error):
                self._connection.close()
        self._connection = None


def connect(dsn: str) -> Connection:
    """A new connection with all limits set. Raises psycopg.Error."""
    options: dict[str, Any] = {**_SOCKET}
    connection = Connection.connect(dsn, autocommit=True, **options)
    try:
        connection.execute(_SESSION)
    except BaseException:
        connection.close()
        raise
    return connection


def unavailable(error: psycopg.Error) -> StateUnavailable:
    """In one line, without what the server quotes of statements."""
    why = " ".join(str(error).split("\n", 1)[0].split()) or type(error).__name__
    return StateUnavailable(
        f"PostgreSQL cannot be used ({why[:200]}): look at the server and state.postgres.dsnFile"
    )
