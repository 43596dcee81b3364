"""One day of the index while it is written: rows are collected in memory, then become one transaction.

Knows which records it already has (`has`), so that records may be offered again after a crash. What
an exchange still needs is kept in the same transaction as its rows.
"""

import hashlib
import os
import secrets
import sqlite3
from pathlib import Path
from typing import Final

import msgspec
import zstandard

from storage.index_rows import OpenCall, clamped
from storage.index_schema import COLUMNS, open_day, translated
from storage.index_text import MAX_PIECE_CHARS, KnownTexts, Piece
from storage.policy_story import MAX_COMMANDS, MAX_FILES
from storage.reader import Position
from storage.records import AnyRecord, CommandSeen, FileCopied, SessionOpened

_PUT_CALL: Final = f"INSERT OR REPLACE INTO calls VALUES ({', '.join('?' * len(COLUMNS))})"
_UNSTORED_KINDS: Final = frozenset(("call",))
"""Text that is made again from the row when a hit is shown."""


class Day:
    """One day file, open for writing. Raises GarbledIndex, IndexFailed; afterwards close it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._connection = open_day(path, token=secrets.token_hex(16))
        self._compress = zstandard.ZstdCompressor(level=3).compress
        try:
            self._read()
        except sqlite3.Error as error:
            self._connection.close()
            raise translated(error, path) from error
        self._clear()

    def _read(self) -> None:
        select = self._connection.execute
        meta = select("SELECT token, generation FROM meta").fetchone()
        self.token: str = meta[0]
        self.generation: int = meta[1]
        self._applied: dict[str, int] = dict(select("SELECT log, seq FROM applied"))
        self._next_call: int = select("SELECT coalesce(max(id), 0) + 1 FROM calls").fetchone()[0]
        self.known = KnownTexts(select("SELECT coalesce(max(id), 0) + 1 FROM pieces").fetchone()[0])
        self._segments: dict[tuple[str, str], int] = {
            (log, name): number for number, log, name in select("SELECT id, log, name FROM segments")
        }
        self._inode = os.stat(self.path).st_ino

    def _clear(self) -> None:
        self.changed = False
        self.pieces: list[Piece] = []
        self._touched: dict[int, OpenCall] = {}
        self._ended: dict[int, OpenCall] = {}
        self._new_segments: list[tuple[int, str, str]] = []
        self._positions: dict[int, list[tuple[int, int, int, int]]] = {}
        self._sessions: list[tuple[object, ...]] = []
        self._events: list[tuple[object, ...]] = []
        self._copied: list[tuple[object, ...]] = []

    def close(self) -> None:
        self._connection.close()

    def in_place(self) -> bool:
        """Whether the file written here is the one that has its name."""
        try:
            return os.stat(self.path).st_ino == self._inode
        except OSError:
            return False

    def open_calls(self) -> list[tuple[str, bytes]]:
        """(log, encoded OpenCall) of every exchange that had not ended at the last commit."""
        try:
            return self._connection.execute("SELECT log, state FROM open_calls").fetchall()
        except sqlite3.Error as error:
            raise translated(error, self.path) from error

    # --- collecting -----------------------------------------------------------------------------

    def has(self, log: str, seq: int) -> bool:
        """Whether this file has what record `seq` of this log says about its day."""
        return seq <= self._applied.get(log, -1)

    def new_call(self) -> int:
        self._next_call += 1
        return self._next_call - 1

    def touch(self, call: OpenCall, log: str, at: Position) -> None:
        """A record of this exchange was taken."""
        self.changed = True
        self._touched[call.row.id] = call
        segment = self._segments.get((log, at.segment))
        if segment is None:
            segment = self._segments[log, at.segment] = len(self._segments) + 1
            self._new_segments.append((segment, log, at.segment))
        place = (segment, at.offset, at.index_in_frame, at.record_seq)
        self._positions.setdefault(call.row.id, []).append(place)

    def keep(self, call: OpenCall) -> None:
        """Something became known of an exchange that none of its records says."""
        self.changed = True
        self._touched[call.row.id] = call

    def end(self, call: OpenCall) -> None:
        self.changed = True
        self._touched.pop(call.row.id, None)
        self._ended[call.row.id] = call

    def note_session(self, opened: SessionOpened) -> None:
        self.changed = True
        who = opened.principal
        groups = msgspec.json.encode(who.groups).decode()
        expires_ns = clamped(who.expires_ns) if who.expires_ns is not None else None
        facts = (who.user, groups, who.method, who.issuer, opened.source, opened.user_agent, expires_ns)
        self._sessions.append((opened.session, clamped(opened.at_ns), *facts))

    def note_event(self, log: str, seq: int, at_ns: int, kind: str, detail: str) -> None:
        self.changed = True
        self._events.append((log, seq, clamped(at_ns), kind, detail))

    def note_words(self, call: OpenCall, text: str) -> None:
        """What is found by words of a call itself."""
        digest = b"call" + hashlib.sha256(text.encode()).digest()  # a body of the same bytes is another text
        numbers = self.known.numbers(digest)
        if numbers is None:
            self.pieces.append(Piece(call.row.id, "call", 0, text))
            self.known.note(digest, len(self.pieces) - 1, len(self.pieces))
        else:
            self.pieces.append(Piece(call.row.id, "call", 0, "", numbers.start))

    def note_content(self, call: OpenCall, record: AnyRecord) -> None:
        """A record this exchange is about to take: keep a typed line, or the name of a copied file. Beyond their
        number the call itself says that some are missing."""
        number = call.row.id
        if isinstance(record, CommandSeen) and call.story.commands < MAX_COMMANDS:
            at_us, line = clamped(record.at_us), record.line[:MAX_PIECE_CHARS]
            self.pieces.append(Piece(number, "typed", at_us, line))
        elif isinstance(record, FileCopied) and call.story.files < MAX_FILES:
            at_us, size = clamped(record.at_us), clamped(record.size)
            self._copied.append((number, at_us, record.direction, record.name, size))

    # --- writing --------------------------------------------------------------------------------

    def commit(self, log: str, seq: int) -> None:
        """Write everything collected; from now on this file has record `seq` of this log and all before.

        Durable against a crash of the process on return, not against a power cut.
        """
        for call in self._touched.values():
            call.flush(self.pieces)
        try:
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                self._write(log, seq)
                self._connection.execute("COMMIT")
            except BaseException:
                self._connection.rollback()
                raise
        except sqlite3.Error as error:
            raise translated(error, self.path) from error
        self.generation += 1
        self._applied[log] = seq
        self._clear()

    def _write(self, log: str, seq: int) -> None:
        many, astuple = self._connection.executemany, msgspec.structs.astuple
        calls = [*self._ended.values(), *self._touched.values()]
        many(_PUT_CALL, [astuple(call.row) for call in calls])
        many("DELETE FROM open_calls WHERE id = ?", [(call,) for call in self._ended])
        many(
            "INSERT OR REPLACE INTO open_calls VALUES (?, ?, ?)",
            [(number, log, call.encode()) for number, call in self._touched.items()],
        )
        many("INSERT INTO segments VALUES (?, ?, ?)", self._new_segments)
        pack = msgspec.msgpack.encode
        many(
            "INSERT INTO positions VALUES (?, ?, ?)",
            [(call, places[0][3], pack(places)) for call, places in self._positions.items()],
        )
        many("INSERT OR REPLACE INTO sessions VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", self._sessions)
        many("INSERT OR REPLACE INTO events VALUES (?, ?, ?, ?, ?)", self._events)
        many("INSERT INTO copied VALUES (?, ?, ?, ?, ?)", self._copied)
        self._write_texts()
        one = self._connection.execute
        one("INSERT OR REPLACE INTO applied VALUES (?, ?)", (log, seq))
        one("UPDATE meta SET generation = generation + 1")

    def _write_texts(self) -> None:
        """The words of a piece are in `texts` once, under the number of the first piece that has them."""
        numbered = list(enumerate(self.pieces, self.known.first_piece))
        self._connection.executemany(
            "INSERT INTO pieces VALUES (?, ?, ?, ?, ?, ?)",
            [
                (number, piece.call, piece.kind, piece.at_us, piece.same_as or number, self._stored(piece))
                for number, piece in numbered
            ],
        )
        self._connection.executemany(
            "INSERT INTO texts (rowid, body) VALUES (?, ?)",
            [(number, piece.text) for number, piece in numbered if not piece.same_as],
        )
        self.known.first_piece += len(numbered)

    def _stored(self, piece: Piece) -> bytes:
        if piece.same_as or piece.kind in _UNSTORED_KINDS:
            return b""
        return self._compress(piece.text.encode())
