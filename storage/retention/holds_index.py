"""Which segments hold records of a session or user: the index, asked on behalf of legal holds. Conduct.

Answers False only when the index must know better: it has read the whole segment, every day file it should have
is there, and none of them places a call of that session or user in the segment. Anything else is "cannot be told".

The trap: a call's row is in the file of the day it began, its records may lie days later. So every day file is
asked that knows the segment at all, and day files live as long as any segment they name (`index_expiry`). The record
that opens a session has no place in the index: segments of its moment count as holding it.
"""

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Final

import msgspec

from storage.errors import StorageError
from storage.index_schema import (
    STATE_FILE,
    GarbledIndex,
    day_files,
    open_reading,
)
from storage.reader import Position
from storage.retention.holds import OfSession, OfUser, Span

OPENED_SLACK_NS: Final = 60_000_000_000
"""Between the time in a SessionOpened record and its commit: milliseconds, unless the disk was stuck."""
_REMEMBERED: Final = 512
_NOT_OURS: Final = (msgspec.DecodeError, KeyError, TypeError, ValueError)
"""What values of a garbled file raise: SQLite checks no types."""
_PLACES = list[tuple[int, int, int, int]]

Segment = tuple[str, str]
"""(log, stem)"""


class _DayAnswer(msgspec.Struct, frozen=True):
    """Of one day and one scope: segments with its records, and when its sessions were opened."""

    segments: frozenset[Segment]
    opened_ns: tuple[int, ...]


class IndexLookup:
    """A `Lookup` over an index directory, live or not. May be kept: answers about unchanged days are remembered."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._answers: dict[tuple[str, str, int, OfSession | OfUser], _DayAnswer] = {}

    def has_records(self, scope: OfSession | OfUser, span: Span) -> bool | None:
        try:
            days = self._trusted_days(span)
            if days is None:
                return None
            return any(self._day_has(day, path, scope, span) for day, path in days.items())
        except (StorageError, OSError):
            return None  # whoever reads the index next says what is wrong with it

    def _trusted_days(self, span: Span) -> dict[str, Path] | None:
        """All day files, if the index has read the whole segment and lacks none."""
        state = self._directory / STATE_FILE
        if not state.exists():
            return None
        try:
            with closing(open_reading(state)) as ask:
                row = ask.execute("SELECT position FROM logs WHERE log = ?", (span.log,)).fetchone()
                expected = [
                    (str(day), str(token), int(generation))
                    for day, token, generation in ask.execute("SELECT day, token, generation FROM days")
                ]
        except (sqlite3.Error, *_NOT_OURS) as error:
            raise GarbledIndex(f"{state}: {error}") from error
        if row is None or _reached(row[0]) < span.next_record_seq - 1:
            return None
        days = day_files(self._directory)
        for day, token, generation in expected:
            if day not in days:
                return None
            known_token, known_generation = self._identity(days[day])
            if known_token != token or known_generation < generation:
                return None
        return days

    def _identity(self, path: Path) -> tuple[str, int]:
        try:
            with closing(open_reading(path)) as ask:
                token, generation = ask.execute("SELECT token, generation FROM meta").fetchone()
        except (sqlite3.Error, *_NOT_OURS) as error:
            raise GarbledIndex(f"{path}: {error}") from error
        return str(token), int(generation)

    def _day_has(self, day: str, path: Path, scope: OfSession | OfUser, span: Span) -> bool:
        key = (day, *self._identity(path), scope)
        answer = self._answers.get(key)
        if answer is None:
            answer = _ask_day(path, scope)
            if len(self._answers) >= _REMEMBERED:
                self._answers.clear()
            self._answers[key] = answer
        if (span.log, span.stem) in answer.segments:
            return True
        first_ns, last_ns = span.first_ns - OPENED_SLACK_NS, span.last_ns + OPENED_SLACK_NS
        return any(first_ns <= at_ns <= last_ns for at_ns in answer.opened_ns)


def _reached(position: bytes) -> int:
    try:
        return msgspec.msgpack.decode(position, type=Position).record_seq
    except _NOT_OURS as error:
        raise GarbledIndex(f"{STATE_FILE}: {error}") from error


def _ask_day(path: Path, scope: OfSession | OfUser) -> _DayAnswer:
    column, value = ("session", scope.session) if isinstance(scope, OfSession) else ("user", scope.user)
    try:
        with closing(open_reading(path)) as ask:
            names: dict[int, Segment] = {
                number: (log, name) for number, log, name in ask.execute("SELECT id, log, name FROM segments")
            }
            packed = ask.execute(
                "SELECT positions.packed FROM calls JOIN positions ON positions.call = calls.id"
                f" WHERE calls.{column} = ?",
                (value,),
            )
            numbers = {place[0] for (part,) in packed for place in msgspec.msgpack.decode(part, type=_PLACES)}
            opened = ask.execute(f"SELECT at_ns FROM sessions WHERE {column} = ?", (value,))
            opened_ns = tuple(int(at_ns) for (at_ns,) in opened)
        segments = frozenset(names[number] for number in numbers)
    except (sqlite3.Error, *_NOT_OURS) as error:
        raise GarbledIndex(f"{path}: {error}") from error
    return _DayAnswer(segments, opened_ns)
