"""How far each log is indexed, and which day files there must be: `index/state.sqlite`.

Written after the days, so it is never ahead of them. The digest of the last record ties an index to
its log; token and generation tie it to its day files. Here is also what an index holds in clear text (its
mode), so that whoever opens it later neither adds to it nor takes "not indexed" for "not found".
"""

import hashlib
import os
import sqlite3
from pathlib import Path
from typing import Final

import msgspec

from storage.errors import UNDECODABLE
from storage.index_day import Day
from storage.index_early import EarlyRecords
from storage.index_schema import STATE_FILE, GarbledIndex, open_reading, open_state, translated
from storage.reader import Position
from storage.sources import RecordSource

MODE_FULL: Final = "full"
MODE_METADATA: Final = "metadata"
MODE_NONE: Final = "none"
"""No index is wanted on this disk: who needs one makes it elsewhere, for himself."""


class IndexState:
    """The state file, open for writing. Raises GarbledIndex, IndexFailed; afterwards close it."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._connection = open_state(path)
        self._inode = os.stat(path).st_ino
        self._positions: dict[str, tuple[Position, bytes]] = {}
        self.early: dict[str, EarlyRecords] = {}  # what waits for its Intent, by log; saved with its position
        self.mode = ""  # "": none set yet
        try:
            for (mode,) in self._connection.execute("SELECT mode FROM settings"):
                self.mode = str(mode)
            for log, position, digest, early in self._connection.execute("SELECT * FROM logs"):
                self._positions[log] = (msgspec.msgpack.decode(position, type=Position), digest)
                self.early[log] = EarlyRecords(early)
        except (sqlite3.Error, *UNDECODABLE) as error:
            self._connection.close()
            raise GarbledIndex(f"{path}: {error}") from error

    def close(self) -> None:
        self._connection.close()

    def in_place(self) -> bool:
        try:
            return os.stat(self._path).st_ino == self._inode
        except OSError:
            return False

    def set_mode(self, mode: str) -> None:
        """Of an index that holds nothing yet."""
        self._run("BEGIN IMMEDIATE")
        self._run("DELETE FROM settings")
        self._run("INSERT INTO settings VALUES (?)", (mode,))
        self._run("COMMIT")
        self.mode = mode

    def position(self, log: str) -> Position | None:
        """Of the last record indexed."""
        known = self._positions.get(log)
        return known[0] if known else None

    def last_record(self, log: str) -> tuple[Position, bytes] | None:
        """Position and SHA-256 of the last record indexed."""
        return self._positions.get(log)

    def days(self) -> dict[str, tuple[str, int]]:
        """Day -> token and generation its file must have."""
        rows = self._run("SELECT day, token, generation FROM days")
        return {day: (token, generation) for day, token, generation in rows}

    def save(self, log: str, last: Position, encoded: bytes, days: dict[str, Day]) -> None:
        """`encoded` at `last` is indexed; `days` were committed for it."""
        digest = hashlib.sha256(encoded).digest()
        self._run("BEGIN IMMEDIATE")
        for name, day in days.items():
            self._run("INSERT OR REPLACE INTO days VALUES (?, ?, ?)", (name, day.token, day.generation))
        packed = msgspec.msgpack.encode(last)
        early = self.early.get(log, EarlyRecords()).encode()
        self._run("INSERT OR REPLACE INTO logs VALUES (?, ?, ?, ?)", (log, packed, digest, early))
        self._run("COMMIT")
        self._positions[log] = (last, digest)

    def forget_positions(self, day: str | None) -> None:
        """Read all logs again from their beginning; `day`, if given, is to be made anew."""
        self._run("BEGIN IMMEDIATE")
        self._run("DELETE FROM logs")
        if day is not None:
            self._run("DELETE FROM days WHERE day = ?", (day,))
        self._run("COMMIT")
        self._positions.clear()
        self.early.clear()

    def _run(self, sql: str, values: tuple[object, ...] = ()) -> list[tuple[str, str, int]]:
        try:
            return self._connection.execute(sql, values).fetchall()
        except sqlite3.Error as error:
            raise translated(error, self._path) from error


def recorded_mode(directory: Path) -> str:
    """What the index in a directory holds, MODE_*; "": there is none, or it does not say. Raises IndexFailed."""
    path = directory / STATE_FILE
    if not path.exists():
        return ""
    try:
        connection = open_reading(path)
    except GarbledIndex:
        return ""
    try:
        return "".join(str(mode) for (mode,) in connection.execute("SELECT mode FROM settings"))
    except sqlite3.Error:
        return ""
    finally:
        connection.close()


def indexed_up_to(directory: Path, source: RecordSource) -> dict[str, Position | None]:
    """Log -> position of the last record in an index that another process is writing."""
    found: dict[str, Position | None] = dict.fromkeys(source.logs())
    path = directory / STATE_FILE
    if not path.exists():
        return found
    connection = open_reading(path)
    try:
        for log, position in connection.execute("SELECT log, position FROM logs"):
            found[log] = msgspec.msgpack.decode(position, type=Position)
    except (sqlite3.Error, *UNDECODABLE) as error:
        raise GarbledIndex(f"{path}: {error}") from error
    finally:
        connection.close()
    return found
