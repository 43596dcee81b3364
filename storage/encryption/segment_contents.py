"""Segments and the calls in them, as the index knows it: which segments hold a session, and whose calls else they hold.

Conduct; reads SQLite only. The trap: a call is in the day file of its beginning, while its records may lie in
segments of later days, so every day file is asked that knows a segment at all. What is in no index is not seen
here: records nobody indexed, and the record that opens a session, of which the index has the time alone.
"""

import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import closing
from pathlib import Path

import msgspec

from storage.errors import UNDECODABLE
from storage.index_schema import GarbledIndex, day_files, open_reading, translated

Segment = tuple[str, str]
"""(log, stem)"""
_PLACES = list[tuple[int, int, int, int]]


class SessionPart(msgspec.Struct, frozen=True):
    """Calls of one session that have records in some segments."""

    session: str
    user: str
    calls: int


def segments_of_session(directory: Path, session: str) -> dict[Segment, None]:
    """The segments with records of calls of a session, in order. Raises GarbledIndex, IndexFailed."""
    found: set[Segment] = set()
    for path in day_files(directory).values():
        with closing(open_reading(path)) as ask:
            for _, segments in _calls(ask, path, "WHERE calls.session = ?", (session,)):
                found |= segments
    return dict.fromkeys(sorted(found))


def opened_ns(directory: Path, session: str) -> list[int]:
    """When a session was opened, UTC nanoseconds: once for each log that it used. Raises GarbledIndex, IndexFailed."""
    found: list[int] = []
    for path in day_files(directory).values():
        try:
            with closing(open_reading(path)) as ask:
                found += [
                    int(at_ns)
                    for (at_ns,) in ask.execute("SELECT at_ns FROM sessions WHERE session = ?", (session,))
                ]
        except sqlite3.Error as error:
            raise translated(error, path) from error
    return sorted(found)


def sessions_in(directory: Path, segments: Iterable[Segment]) -> list[SessionPart]:
    """Whose calls have records in these segments, most calls first. Raises GarbledIndex, IndexFailed."""
    wanted = set(segments)
    counts: dict[tuple[str, str], int] = {}
    for path in day_files(directory).values():
        with closing(open_reading(path)) as ask:
            for who, held in _calls(ask, path, "", ()):
                if held & wanted:
                    counts[who] = counts.get(who, 0) + 1
    parts = [SessionPart(session, user, calls) for (session, user), calls in counts.items()]
    return sorted(parts, key=lambda part: (-part.calls, part.session, part.user))


def _calls(
    ask: sqlite3.Connection, path: Path, where: str, values: tuple[str, ...]
) -> Iterator[tuple[tuple[str, str], set[Segment]]]:
    """((session, user), segments with its records) of each call of a day file."""
    try:
        names: dict[int, Segment] = {
            number: (log, name) for number, log, name in ask.execute("SELECT id, log, name FROM segments")
        }
        rows = ask.execute(
            "SELECT calls.id, calls.session, calls.user, positions.packed FROM calls"
            f" JOIN positions ON positions.call = calls.id {where} ORDER BY calls.id",
            values,
        )
        call, who, held = -1, ("", ""), set[Segment]()
        for number, session, user, packed in rows:
            if number != call:
                if held:
                    yield who, held
                call, who, held = number, (session, user), set()
            held |= {names[place[0]] for place in msgspec.msgpack.decode(packed, type=_PLACES)}
        if held:
            yield who, held
    except sqlite3.Error as error:
        raise translated(error, path) from error
    except (*UNDECODABLE, KeyError) as error:
        raise GarbledIndex(f"{path}: positions of a call are damaged") from error
