"""The tables of the index and how their files are opened; no record is looked at here.

One SQLite file a UTC day, `index/YYYY-MM-DD.sqlite`, is expired by unlinking it; `index/state.sqlite`
says how far each log is indexed. Everything here can be thrown away: the log is the truth. So a file
that is not exactly what this version writes is refused (`GarbledIndex`) and made anew, never repaired.

The trap: two SQLite files cannot commit together in WAL mode. Each day file therefore holds, in the
same transaction as its rows, the sequence number up to which it has them; the state follows after.
Full text is contentless FTS5 (SQLite 3.40 is enough): the text itself is kept once, compressed. A piece of a call
names, in `text`, the piece whose words it has: itself, or the first with the same text.
"""

import os
import re
import sqlite3
from pathlib import Path
from typing import Final

import msgspec

from storage.database_file import create_database_file
from storage.errors import StorageError

SCHEMA_VERSION: Final = 4
APPLICATION_ID: Final = 0x4B544958  # "KTIX"
BUSY_TIMEOUT_MS: Final = 5000
STATE_FILE: Final = "state.sqlite"
LOCK_FILE: Final = "LOCK"
DAY_NAME: Final = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)


class GarbledIndex(StorageError):
    """An index file is not what this version writes. Delete it and index again."""


class IndexFailed(StorageError):
    """The index cannot be written or read: disk full, no permission. The log is not affected."""


class CallRow(msgspec.Struct, kw_only=True):
    """One exchange as the index knows it: a row of `calls`, columns in this order.

    Lists are JSON texts. Times: at_ns UTC nanoseconds, *_us microseconds since then. result is "" while
    no Outcome was seen; a reader calls that live or unknown.
    """

    id: int
    exchange: bytes
    log: str
    seq: int  # sequence number of the Intent in its log
    at_ns: int
    session: str
    command: str
    connection: str
    source: str
    http_version: str
    method: str
    target: str
    user: str
    groups: str
    user_agent: str
    kubectl_command: str
    kubectl_session: str
    verb: str
    api_group: str
    version: str
    resource: str
    subresource: str
    namespace: str
    name: str
    container: str
    argv: str
    ports: str
    decision: str
    mode: str
    rules: str
    reason: str
    policy_sha256: str
    kind: str
    transport: str = ""
    protocol: str = ""
    tty: bool = False
    status: int = 0
    result: str = ""
    why: str = ""
    request_bytes: int = 0
    response_bytes: int = 0
    stdin_bytes: int = 0  # exec, attach
    output_bytes: int = 0
    sent_bytes: int = 0  # port-forward, to the cluster
    received_bytes: int = 0
    last_us: int = 0  # of the last record seen; with an Outcome, the duration
    exit_code: int | None = None
    records: int = 0
    text_cut: bool = False  # there was more text than is indexed
    scope: str = "full"  # "metadata": nothing of its bodies and streams was recorded
    shadow: str = "[]"
    grants: str = "[]"
    holds: str = "[]"  # ids
    hold_results: str = "[]"  # each once: "approved", "denied", ..., "waiting", "unknown"
    deciders: str = "[]"  # who approved or denied
    held_us: int = 0
    masked: int = 0  # values
    mask_rules: str = "[]"
    later_rules: str = "[]"  # rules that acted after the verdict: on typed lines, budgets, holds
    budgets: str = "[]"  # counters used up
    commands: int = 0  # typed lines seen
    files: int = 0  # copied
    sub_requests: int = 0


COLUMNS: Final = CallRow.__struct_fields__
LIST_COLUMNS: Final = (
    *("groups", "argv", "ports", "rules", "shadow", "grants", "holds", "hold_results", "deciders"),
    *("mask_rules", "later_rules", "budgets"),
)
"""Columns that hold a JSON array."""

_CALLS_DDL: Final = ", ".join("id INTEGER PRIMARY KEY" if column == "id" else column for column in COLUMNS)

_DAY_DDL: Final = f"""
CREATE TABLE meta (token TEXT NOT NULL, generation INTEGER NOT NULL);
CREATE TABLE applied (log TEXT PRIMARY KEY, seq INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE calls ({_CALLS_DDL});
CREATE INDEX calls_exchange ON calls (exchange);
CREATE INDEX calls_at ON calls (at_ns);
CREATE INDEX calls_command ON calls (command, at_ns);
CREATE INDEX calls_session ON calls (session, at_ns);
CREATE INDEX calls_user ON calls (user, at_ns);
CREATE INDEX calls_object ON calls (namespace, resource, name);
CREATE TABLE sessions (session TEXT PRIMARY KEY, at_ns, user, groups, method, issuer, source, user_agent, expires_ns)
    WITHOUT ROWID;
CREATE TABLE segments (id INTEGER PRIMARY KEY, log TEXT NOT NULL, name TEXT NOT NULL, UNIQUE (log, name));
CREATE TABLE positions (call INTEGER NOT NULL, seq INTEGER NOT NULL, packed BLOB NOT NULL,
    PRIMARY KEY (call, seq)) WITHOUT ROWID;
CREATE TABLE open_calls (id INTEGER PRIMARY KEY, log TEXT NOT NULL, state BLOB NOT NULL);
CREATE TABLE pieces (id INTEGER PRIMARY KEY, call INTEGER NOT NULL, kind TEXT NOT NULL, at_us INTEGER NOT NULL,
    text INTEGER NOT NULL, body BLOB NOT NULL);
CREATE INDEX pieces_call ON pieces (call);
CREATE INDEX pieces_text ON pieces (text);
CREATE TABLE copied (call INTEGER NOT NULL, at_us INTEGER NOT NULL, direction TEXT NOT NULL, name TEXT NOT NULL,
    size INTEGER NOT NULL);
CREATE INDEX copied_call ON copied (call);
CREATE INDEX copied_name ON copied (name);
CREATE VIRTUAL TABLE texts USING fts5 (body, content='', tokenize='unicode61 remove_diacritics 2');
CREATE TABLE events (log TEXT NOT NULL, seq INTEGER NOT NULL, at_ns INTEGER NOT NULL, kind TEXT NOT NULL,
    detail TEXT NOT NULL, PRIMARY KEY (log, seq)) WITHOUT ROWID;
"""

_STATE_DDL: Final = """
CREATE TABLE settings (mode TEXT NOT NULL);
CREATE TABLE logs (log TEXT PRIMARY KEY, position BLOB NOT NULL, digest BLOB NOT NULL, early BLOB NOT NULL)
    WITHOUT ROWID;
CREATE TABLE days (day TEXT PRIMARY KEY, token TEXT NOT NULL, generation INTEGER NOT NULL) WITHOUT ROWID;
"""


def open_day(path: Path, *, token: str) -> sqlite3.Connection:
    """Open a day file for writing, making it if there is none. Raises GarbledIndex, IndexFailed."""
    connection = _open_writable(path, _DAY_DDL)
    try:
        if connection.execute("SELECT count(*) FROM meta").fetchone()[0] == 0:
            with connection:
                connection.execute("INSERT INTO meta VALUES (?, 0)", (token,))
    except sqlite3.Error as error:
        connection.close()
        raise translated(error, path) from error
    return connection


def open_state(path: Path) -> sqlite3.Connection:
    """Open the state file, making it if there is none. Raises GarbledIndex, IndexFailed."""
    return _open_writable(path, _STATE_DDL)


def _open_writable(path: Path, ddl: str) -> sqlite3.Connection:
    try:
        # the index holds clear text: nobody else may read it, whatever the umask says
        _create_private_database(path)
        connection = sqlite3.connect(
            path, isolation_level=None, timeout=BUSY_TIMEOUT_MS / 1000, check_same_thread=False
        )
    except (OSError, sqlite3.Error) as error:
        raise IndexFailed(f"cannot open {path}: {error}; check its permissions and the disk") from error
    try:
        connection.execute(f"PRAGMA busy_timeout = {BUSY_TIMEOUT_MS}")
        if connection.execute("PRAGMA page_count").fetchone()[0] == 0:
            connection.execute("PRAGMA journal_mode = WAL")
            connection.executescript(
                f"BEGIN IMMEDIATE; {ddl} PRAGMA application_id = {APPLICATION_ID};"
                f"PRAGMA user_version = {SCHEMA_VERSION}; COMMIT"
            )
        check_schema(connection, path)
        # the index is made again after damage: NORMAL may lose the last commits in a power cut, and the
        # generation numbers show it
        connection.execute("PRAGMA synchronous = NORMAL")
    except sqlite3.Error as error:
        connection.close()
        raise translated(error, path) from error
    except GarbledIndex:
        connection.close()
        raise
    return connection


def _create_private_database(path: Path) -> None:
    create_database_file(path)
    if os.geteuid() == 0:
        owner = os.stat(path.parent)
        os.chown(path, owner.st_uid, owner.st_gid)


def create_private(path: Path) -> int:
    """Open a file of the index that is no database for writing, for its owner only; returns the descriptor.

    Root, looking into the data of a gateway that is not, leaves files that the gateway can write.
    """
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    if os.geteuid() == 0:
        owner = os.stat(path.parent)
        os.fchown(fd, owner.st_uid, owner.st_gid)  # SQLite does the same for its -wal and -shm
    return fd


def make_private(directory: Path) -> None:
    """Make the directory of the index, for the owner of the directory above it only."""
    if directory.is_dir():
        return
    directory.mkdir(mode=0o700, parents=True)
    if os.geteuid() == 0:
        owner = os.stat(directory.parent)
        os.chown(directory, owner.st_uid, owner.st_gid)


def open_reading(path: Path) -> sqlite3.Connection:
    """Open an index file read-only. Raises GarbledIndex, IndexFailed."""
    try:
        uri = f"{path.absolute().as_uri()}?mode=ro"
        connection = sqlite3.connect(uri, uri=True, timeout=BUSY_TIMEOUT_MS / 1000)
    except sqlite3.Error as error:
        raise IndexFailed(f"cannot open {path}: {error}") from error
    try:
        check_schema(connection, path)
    except (sqlite3.Error, GarbledIndex) as error:
        connection.close()
        raise (translated(error, path) if isinstance(error, sqlite3.Error) else error) from error
    return connection


def check_schema(connection: sqlite3.Connection, path: Path) -> None:
    application = connection.execute("PRAGMA application_id").fetchone()[0]
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    if application != APPLICATION_ID or version != SCHEMA_VERSION:
        raise GarbledIndex(f"{path}: no index of schema {SCHEMA_VERSION} (it says {version})")


_GARBLED: Final = frozenset((sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_FORMAT))


def translated(error: sqlite3.Error, path: Path) -> GarbledIndex | IndexFailed:
    """What an SQLite error means for the index."""
    # a file overwritten in the middle of its schema has no such table, no such column
    code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_CORRUPT) & 0xFF
    if code in _GARBLED or code == sqlite3.SQLITE_ERROR:
        return GarbledIndex(f"{path}: {error}")
    return IndexFailed(f"{path}: {error}; check the disk and its permissions")


def remove_index_file(path: Path) -> None:
    """Delete an SQLite file and what belongs to it."""
    for suffix in ("", "-wal", "-shm", "-journal"):
        path.with_name(path.name + suffix).unlink(missing_ok=True)


def day_files(directory: Path) -> dict[str, Path]:
    """Day -> file, newest first."""
    found = {path.stem: path for path in directory.glob("*.sqlite") if DAY_NAME.fullmatch(path.stem)}
    return dict(sorted(found.items(), reverse=True))
