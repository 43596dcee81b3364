"""The index, asked: calls, commands, sessions, words. Reads SQLite only; the log is read by
`storage.timeline`.

Days are asked newest first until enough is found. A call without an Outcome is live while its log is
being written, else unknown: that is decided here, at the moment of asking.
"""

import re
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import msgspec
import zstandard

from storage.errors import UNDECODABLE, StorageError
from storage.index_rows import INTERRUPTED, day_of
from storage.index_schema import (
    COLUMNS,
    LIST_COLUMNS,
    CallRow,
    GarbledIndex,
    day_files,
    open_reading,
    translated,
)
from storage.index_state import MODE_METADATA, recorded_mode
from storage.index_text import MAX_PIECE_CHARS
from storage.policy_story import LOST, WAITING
from storage.query import CONTENT_FIELDS, FieldMatch, Query, TextMatch, typed_text
from storage.reader import Position
from storage.search_rows import CommandRow, Facts, Found, Hit, IdKind, SessionRow, describe, joined, snippet
from storage.search_sql import conditions, file_condition, fts_match, id_range
from storage.sources import RecordSource

MAX_CALLS: Final = 10_000
"""Calls of one session or command handed out at once; more is said, not shown."""

_MIN_PREFIX: Final = 4
_ID: Final = re.compile(r"[0-9A-Za-z-]{4,36}")
_HITS_PER_CALL: Final = 3

_SELECT_CALLS: Final = f"SELECT {', '.join(COLUMNS)} FROM calls"

# which call a command is about: a stream, else a change, else a read of objects, else discovery
_WEIGHT: Final = """CASE WHEN kind IN ('exec', 'attach', 'portforward') THEN 5
    WHEN verb IN ('create', 'update', 'patch', 'delete', 'deletecollection') THEN 4
    WHEN kind IN ('log', 'watch') THEN 3 WHEN resource != '' THEN 2 ELSE 1 END"""

# kubectl comes again over SPDY when a WebSocket is refused, as by every API server of before 1.30
_FELL_BACK: Final = """EXISTS (SELECT 1 FROM calls AS later WHERE later.command = calls.command
    AND later.at_ns > calls.at_ns AND later.target = calls.target AND later.status = 101)"""

# kubectl asks for the namespace when an object was not found: the failure is what it was about
_MAIN_FIRST: Final = f"{_WEIGHT} DESC, (status >= 400 AND NOT {_FELL_BACK}) DESC, at_ns DESC, id DESC"

_FACTS: Final = """SELECT min(at_ns), max(at_ns + last_us * 1000), count(*),
    sum(decision = 'deny'), sum(decision = 'hold'), sum(status >= 400), sum(result = 'unknown'),
    sum(request_bytes + stdin_bytes + sent_bytes), sum(response_bytes + output_bytes + received_bytes),
    sum(masked) FROM calls WHERE {column} = ?"""

_SESSION_FACTS: Final = """SELECT user, groups, method, issuer, source, user_agent, expires_ns
    FROM sessions WHERE session = ?"""

# The pieces of one call that match. Its own have numbers close together, and there may be a hundred thousand; those
# with the text of an earlier piece are few, and that may lie anywhere: so each of them is asked about by itself.
_OWN_PIECES: Final = """SELECT pieces.id AS number, pieces.kind, pieces.at_us AS at_us, pieces.body
    FROM texts JOIN pieces ON pieces.id = texts.rowid
    WHERE texts MATCH ? AND texts.rowid BETWEEN (SELECT min(id) FROM pieces WHERE call = ?)
    AND (SELECT max(id) FROM pieces WHERE call = ?) AND pieces.call = ?"""
_SHARED_PIECES: Final = """SELECT pieces.id, pieces.kind, pieces.at_us, first.body
    FROM pieces CROSS JOIN texts JOIN pieces AS first ON first.id = pieces.text
    WHERE texts MATCH ? AND texts.rowid = pieces.text AND pieces.call = ? AND pieces.text != pieces.id"""

_COLUMN_OF: Final[dict[IdKind, str]] = {"session": "session", "command": "command", "call": "exchange"}


class TextsNotIndexed(StorageError):
    """Words are looked for in an index that holds none. Search a full one; no answer would look like proof."""


class NotFound(StorageError):
    """No session, command or call has this id."""


class AmbiguousId(StorageError):
    """Several have ids that begin like this; give more of it."""


class Archive:
    """An index directory, read. The days it has are looked up anew at every question.

    source: tells which logs are live. Methods raise GarbledIndex when a file is damaged: index again.
    """

    def __init__(self, directory: Path, source: RecordSource) -> None:
        self.directory = self._directory = directory
        self._source = source
        self._decompress = zstandard.ZstdDecompressor().decompress

    # --- calls ----------------------------------------------------------------------------------

    def calls(self, query: Query, *, limit: int, oldest_first: bool = False) -> list[CallRow]:
        """Calls that match, newest first."""
        order = "at_ns, id" if oldest_first else "at_ns DESC, id DESC"
        found: list[CallRow] = []
        for day in self._days(query, oldest_first=oldest_first):
            if len(found) >= limit:
                break
            with self._reading(day) as ask:
                found += self._select(ask, query, f"ORDER BY {order} LIMIT ?", [limit - len(found)])
        return found

    def calls_of(self, found: Found, *, limit: int = MAX_CALLS) -> list[CallRow]:
        """The calls of a session or command, or the one call, oldest first."""
        value: object = bytes.fromhex(found.id) if found.kind == "call" else found.id
        rows: list[CallRow] = []
        for day in reversed(day_files(self._directory)):
            with self._reading(day) as ask:
                sql = f"{_SELECT_CALLS} WHERE {_COLUMN_OF[found.kind]} = ? ORDER BY at_ns, id LIMIT ?"
                rows += self._rows(ask.execute(sql, (value, limit - len(rows))))
        return rows

    def refreshed(self, row: CallRow) -> CallRow:
        """The same call as the index knows it now."""
        with self._reading(day_of(row.at_ns)) as ask:
            rows = self._rows(ask.execute(f"{_SELECT_CALLS} WHERE exchange = ?", (row.exchange,)))
        return rows[0] if rows else row

    def positions(self, row: CallRow, *, after_seq: int = -1) -> list[Position]:
        """Where the records of a call lie in its log, in order; those behind a sequence number only."""
        with self._reading(day_of(row.at_ns)) as ask:
            names = dict(ask.execute("SELECT id, name FROM segments WHERE log = ?", (row.log,)))
            packed = ask.execute(
                "SELECT packed FROM positions WHERE call = ? ORDER BY seq", (row.id,)
            ).fetchall()
        try:
            places = [place for (part,) in packed for place in msgspec.msgpack.decode(part, type=_PLACES)]
            return [Position(names[place[0]], *place[1:]) for place in places if place[3] > after_seq]
        except (*UNDECODABLE, KeyError) as error:
            raise GarbledIndex(f"{self._directory}: positions of a call are damaged") from error

    def _select(
        self, ask: sqlite3.Connection, query: Query, tail: str, values: list[object]
    ) -> list[CallRow]:
        sql, parameters = conditions(query, self._live_logs())
        return self._rows(ask.execute(f"{_SELECT_CALLS} WHERE {sql} {tail}", [*parameters, *values]))

    def _rows(self, cursor: sqlite3.Cursor) -> list[CallRow]:
        live = self._live_logs()
        interrupted = "" if recorded_mode(self._directory) == MODE_METADATA else INTERRUPTED
        rows = []
        for values in cursor:
            fields = dict(zip(COLUMNS, values, strict=True))
            fields |= {name: bool(fields[name]) for name in ("tty", "text_cut")}  # SQLite has no bool
            try:
                row = msgspec.convert(fields, CallRow)
                for name in LIST_COLUMNS:
                    msgspec.json.decode(fields[name], type=list)
            except msgspec.MsgspecError as error:
                raise GarbledIndex(f"{self._directory}: a call is damaged: {error}") from error
            row.result = row.result or ("live" if row.log in live else "unknown")
            if row.result == "unknown":  # who waited was never answered
                row.why = row.why or interrupted
                row.hold_results = row.hold_results.replace(f'"{WAITING}"', f'"{LOST}"')
            rows.append(row)
        return rows

    # --- commands and sessions ------------------------------------------------------------------

    def commands(self, query: Query, *, limit: int) -> list[CommandRow]:
        """Commands with a call that matches, the last active first."""
        rows = []
        for command in self._groups("command", query, limit):
            facts, main = self._together("command", command, _MAIN_FIRST)
            rows.append(CommandRow(command, facts, main))
        return rows

    def sessions(self, query: Query, *, limit: int) -> list[SessionRow]:
        """Sessions with a call that matches, the last active first."""
        rows = []
        for session in self._groups("session", query, limit):
            facts, main = self._together("session", session, "at_ns DESC, id DESC")
            rows.append(SessionRow(session, facts, main, *self._opened(session)))
        return rows

    def command(self, command: str) -> CommandRow:
        """One command by its full id. Raises NotFound."""
        return CommandRow(command, *self._together("command", command, _MAIN_FIRST))

    def _groups(self, column: str, query: Query, limit: int) -> list[str]:
        sql, parameters = conditions(query, self._live_logs())
        found: dict[str, None] = {}  # in order, without repeats: a group may cross midnight
        for day in self._days(query):
            if len(found) >= limit:
                break
            with self._reading(day) as ask:
                rows = ask.execute(
                    f"SELECT {column} FROM calls WHERE {column} != '' AND {sql}"
                    f" GROUP BY {column} ORDER BY max(at_ns) DESC, {column} LIMIT ?",
                    [*parameters, limit],
                )
                found.update((row[0], None) for row in rows)
        return list(found)[:limit]

    def _together(self, column: str, value: str, order: str) -> tuple[Facts, CallRow]:
        """Facts over all days of a command or session, and its first call in this order."""
        facts: Facts | None = None
        main: CallRow | None = None
        live = self._live_logs()
        marks = ", ".join("?" * len(live))
        for day in day_files(self._directory):
            with self._reading(day) as ask:
                numbers = ask.execute(_FACTS.format(column=column), (value,)).fetchone()
                if not numbers[2]:
                    continue
                open_calls, live_calls = ask.execute(
                    f"SELECT count(*), coalesce(sum(log IN ({marks})), 0) FROM calls WHERE {column} = ? AND result = ''",
                    (*live, value),
                ).fetchone()
                of_day = Facts(*numbers)
                unknown = of_day.unknown + open_calls - live_calls
                facts = joined(facts, msgspec.structs.replace(of_day, unknown=unknown, live=live_calls))
                if main is None:
                    sql = f"{_SELECT_CALLS} WHERE {column} = ? ORDER BY {order} LIMIT 1"
                    main = self._rows(ask.execute(sql, (value,)))[0]
        if facts is None or main is None:
            raise NotFound(f"no {column} {value}")
        return facts, main

    def _opened(self, session: str) -> tuple[str, str, int | None]:
        for day in day_files(self._directory):
            with self._reading(day) as ask:
                row = ask.execute(_SESSION_FACTS, (session,)).fetchone()
                if row is not None:
                    return row[2], row[3], row[6]
        return "", "", None

    # --- words ----------------------------------------------------------------------------------

    def search(self, query: Query, *, limit: int) -> list[Hit]:
        """Where the words of the query were found, newest call first; at most 3 places of a call.

        A query without words, typed lines or files gives one place, the call itself.
        """
        hits: list[Hit] = []
        for day in self._days(query):
            if len(hits) >= limit:
                break
            with self._reading(day) as ask:
                tail = "ORDER BY at_ns DESC, id DESC LIMIT ?"
                for row in self._select(ask, query, tail, [limit - len(hits)]):
                    hits += self._places(ask, row, query)
        return hits[:limit]

    def _places(self, ask: sqlite3.Connection, row: CallRow, query: Query) -> list[Hit]:
        fields = [match for match in query.fields if not match.negated]
        wanted = [text for text in query.texts if not text.negated]
        typed = [typed_text(value) for match in fields if match.field == "typed" for value in match.values]
        hits = self._words(ask, row, typed, "AND pieces.kind = 'typed'") if typed else []
        hits += self._words(ask, row, wanted, "") if wanted else []
        for match in fields:
            hits += self._files(ask, row, match) if match.field == "file" else []
        return hits or [snippet(row, "call", 0, describe(row), wanted)]

    def _words(self, ask: sqlite3.Connection, row: CallRow, wanted: list[TextMatch], only: str) -> list[Hit]:
        match = fts_match(wanted)
        sql = f"{_OWN_PIECES} {only} UNION ALL {_SHARED_PIECES} {only} ORDER BY at_us, number LIMIT ?"
        values = (match, row.id, row.id, row.id, match, row.id, _HITS_PER_CALL)
        pieces = [found[1:] for found in ask.execute(sql, values)]
        return [self._hit(row, kind, at_us, body, wanted) for kind, at_us, body in pieces]

    def _files(self, ask: sqlite3.Connection, row: CallRow, match: FieldMatch) -> list[Hit]:
        parts = [file_condition(value) for value in match.values]
        sql = " OR ".join(f"({part})" for part, _ in parts)
        names = ask.execute(
            f"SELECT at_us, direction, name FROM copied WHERE call = ? AND ({sql}) ORDER BY at_us LIMIT ?",
            [row.id, *(value for _, values in parts for value in values), _HITS_PER_CALL],
        )
        return [snippet(row, "file", at_us, f"{direction} {name}", []) for at_us, direction, name in names]

    def _hit(self, row: CallRow, kind: str, at_us: int, body: bytes, wanted: list[TextMatch]) -> Hit:
        if not body:
            return snippet(row, kind, at_us, f"{describe(row)} {row.target}", wanted)
        try:
            text = self._decompress(body, max_output_size=4 * MAX_PIECE_CHARS).decode()
        except (zstandard.ZstdError, UnicodeDecodeError) as error:
            raise GarbledIndex(f"{self._directory}: a piece of text is damaged") from error
        return snippet(row, kind, at_us, text, wanted)

    # --- ids ------------------------------------------------------------------------------------

    def resolve(self, prefix: str) -> Found:
        """What an id, or the beginning of one, names. Raises NotFound, AmbiguousId.

        Sessions are 26 letters and digits, commands begin with k, calls are UUIDs.
        """
        if not _ID.fullmatch(prefix):
            raise NotFound(f"{prefix!r} is no id; an id or its first {_MIN_PREFIX} or more characters is")
        found: dict[Found, None] = {}
        for day in day_files(self._directory):
            with self._reading(day) as ask:
                found.update((one, None) for one in _ids_in(ask, prefix))
            if len(found) > 1:
                break
        if not found:
            raise NotFound(f"no session, command or call has an id that begins with {prefix}")
        if len(found) > 1:
            some = ", ".join(f"{one.kind} {one.id}" for one in list(found)[:4])
            raise AmbiguousId(f"several ids begin with {prefix}: {some}; give more characters")
        return next(iter(found))

    # --- files ----------------------------------------------------------------------------------

    def _days(self, query: Query, *, oldest_first: bool = False) -> list[str]:
        wants_content = query.texts or any(match.field in CONTENT_FIELDS for match in query.fields)
        if wants_content and recorded_mode(self._directory) == MODE_METADATA:
            raise TextsNotIndexed(
                "this index holds metadata only (record.index: metadata), so words, typed: and file: cannot be searched "
                "for; other fields can: user:, ns:, name:, ... Words are found in a copy of the log with an index of its own: copy "
                "its log/ directory elsewhere and search there, with --key FILE"
            )
        first = day_of(query.since_ns) if query.since_ns is not None else ""
        last = day_of(query.until_ns) if query.until_ns is not None else "9999-12-31"
        days = [day for day in day_files(self._directory) if first <= day <= last]
        return days[::-1] if oldest_first else days

    @contextmanager
    def _reading(self, day: str) -> Iterator[sqlite3.Connection]:
        path = self._directory / f"{day}.sqlite"
        connection = open_reading(path)
        try:
            yield connection
        except sqlite3.Error as error:
            raise translated(error, path) from error
        finally:
            connection.close()

    def _live_logs(self) -> list[str]:
        return [log for log in self._source.logs() if self._source.is_live(log)]


_PLACES = list[tuple[int, int, int, int]]


def _ids_in(ask: sqlite3.Connection, prefix: str) -> Iterator[Found]:
    """At most two of each kind."""
    session, command = prefix.upper(), prefix.lower()
    for kind, start in (("session", session), ("command", command)):
        sql = f"SELECT DISTINCT {kind} FROM calls WHERE {kind} >= ? AND {kind} < ? LIMIT 2"
        for (value,) in ask.execute(sql, (start, start + "\x7f")):
            yield Found("session" if kind == "session" else "command", value)
    try:
        first, last = id_range(prefix)
    except ValueError:
        return
    for (value,) in ask.execute(
        "SELECT exchange FROM calls WHERE exchange BETWEEN ? AND ? LIMIT 2", (first, last)
    ):
        yield Found("call", value.hex())
