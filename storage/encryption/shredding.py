"""Shredding: the content of a segment is destroyed by destroying its key; frames, hashes and proofs stay valid.

Conduct. In this order, each step durable before the next: `<segment>.shredded` says who, when and why; the
envelope is overwritten and deleted; row files made from the segment are deleted; index files that hold text of it
are deleted, and made again from what can still be read. Every step may be repeated, so a crash in between is
completed by running it again.

The traps. Overwriting is a courtesy: what a copy-on-write file system, a flash disk or a backup keeps can still be
opened by whoever holds the key encryption key. And an indexer may just be writing down what it read a moment
before the key went, so the index is looked at again until it has had time to.
"""

import secrets
import sqlite3
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import closing
from pathlib import Path
from typing import Final

import msgspec

from storage.encryption.envelopes import (
    CLEAR,
    MISSING,
    SHREDDED,
    SegmentKeys,
    is_unfinished_shredding,
    list_segment_keys,
)
from storage.encryption.keys import SUFFIX_KEYS, SUFFIX_SHREDDED
from storage.errors import CorruptFrame, StorageError, UnknownDictionary
from storage.files import SUFFIX_UNFINISHED, FileOps, exists, replace_file, write_all
from storage.format import SUFFIX_OPEN
from storage.index import INDEX_DIRECTORY
from storage.index_rows import day_of
from storage.index_schema import LOCK_FILE, GarbledIndex, day_files, open_reading, remove_index_file
from storage.lake.rows_file import SUFFIX_ROWS
from storage.lake.rows_state import ROWS_DIRECTORY
from storage.reader import open_segment_file, read_block_table
from storage.sources import is_locked

SETTLE_S: Final = 2.0
"""How long an indexer may take to write down what it has read: a step is a quarter of a second."""
POLL_S: Final = 0.25
SLACK_NS: Final = 3600 * 1_000_000_000
"""A record is committed some time after it was made, and the index has it under the day it was made."""

GARBLED_DAY: Final = frozenset((("", ""),))
"""What a damaged day file may hold nobody knows: it goes too, and is made again like any damaged one."""

Held = Callable[[SegmentKeys], str]
"""Why a segment must not be destroyed, "" if it may be."""


class ShredRefused(StorageError):
    """A segment is not destroyed. The message says why, and what to do."""


class ShreddedNote(msgspec.Struct, frozen=True):
    """The content of `<segment>.shredded`, JSON. at: RFC 3339, UTC; by: the operating system's user."""

    segment_id: str
    kek_ids: tuple[str, ...]
    at: str
    by: str
    reason: str = ""


def find_segments(files: FileOps, data_dir: Path, stems: Iterable[str]) -> list[SegmentKeys]:
    """The segments with these names, in any log. Raises ShredRefused for a name that none has."""
    wanted = dict.fromkeys(stems)
    found = [segment for segment in list_segment_keys(files, data_dir) if segment.name.stem in wanted]
    for stem in wanted:
        if all(segment.name.stem != stem for segment in found):
            raise ShredRefused(
                f"there is no segment {stem} in {data_dir}; a name is that of a file without its suffix"
            )
    return found


def check_shreddable(files: FileOps, segments: Sequence[SegmentKeys], held: Held) -> None:
    """Refuse as a whole, before anything is destroyed. Raises ShredRefused, OSError."""
    for segment in segments:
        stem = segment.name.stem
        if segment.state == CLEAR:
            raise ShredRefused(
                f"{stem} is not encrypted: it has no key to destroy; only retention deletes it"
            )
        if segment.state == MISSING:
            raise ShredRefused(f"{stem} has no key here that could be destroyed ({segment.problem})")
        if exists(files, segment.directory / (stem + SUFFIX_OPEN)):
            raise ShredRefused(
                f"{stem} is still being written: it is sealed a minute after its first record, at the latest by the "
                "next start of the gateway; try again then"
            )
        if segment.state != SHREDDED and (why := held(segment)):
            raise ShredRefused(f"{stem} is under legal hold: {why}")


def unfinished(files: FileOps, data_dir: Path) -> list[SegmentKeys]:
    """Segments whose destruction was begun and not completed: their key, rows or index are still there."""
    indexed = _indexed_segments(data_dir / INDEX_DIRECTORY)
    return [
        segment
        for segment in list_segment_keys(files, data_dir)
        if is_unfinished_shredding(files, segment)
        or (
            segment.state == SHREDDED
            and ((segment.log, segment.name.stem) in indexed or _rows_of(files, data_dir, segment))
        )
    ]


def shred(
    files: FileOps,
    data_dir: Path,
    segments: Sequence[SegmentKeys],
    *,
    at: str,
    by: str,
    reason: str,
    settle_s: float = SETTLE_S,
) -> list[str]:
    """Destroy the content of segments that `check_shreddable` let pass; returns the index days that go with it.

    Durable on return. The caller holds `local_key.key_lock`. Raises OSError, IndexFailed.
    """
    for segment in segments:  # all of them before the first key goes: a crash leaves nothing undecided
        _write_note(files, segment, at, by, reason)
    for segment in segments:
        _destroy_key(files, segment)
    for segment in segments:
        _remove_rows(files, data_dir, segment)
    return purge_index(data_dir, segments, files, settle_s=settle_s)


def _write_note(files: FileOps, segment: SegmentKeys, at: str, by: str, reason: str) -> None:
    path = segment.directory / (segment.name.stem + SUFFIX_SHREDDED)
    if exists(files, path):
        return
    kek_ids = tuple(wrap.kek_id for wrap in segment.envelope.wraps) if segment.envelope is not None else ()
    note = ShreddedNote(_segment_id(files, segment), kek_ids, at, by, reason)
    replace_file(files, path, msgspec.json.format(msgspec.json.encode(note), indent=1) + b"\n")


def _segment_id(files: FileOps, segment: SegmentKeys) -> str:
    """As its header says, since an envelope may be damaged or another's; "" if that cannot be read either."""
    try:
        with open_segment_file(segment.directory, segment.name, files) as file:
            return file.header.segment_id
    except (CorruptFrame, UnknownDictionary, FileNotFoundError):
        return segment.envelope.segment_id if segment.envelope is not None else ""


def _destroy_key(files: FileOps, segment: SegmentKeys) -> None:
    for suffix in (SUFFIX_KEYS, SUFFIX_KEYS + SUFFIX_UNFINISHED):
        path = segment.directory / (segment.name.stem + suffix)
        try:
            fd = files.open_write(path)
        except FileNotFoundError:
            continue
        try:
            if size := files.size(fd):
                write_all(files, fd, [secrets.token_bytes(size)], 0)
            files.sync(fd)
        finally:
            files.close(fd)
        files.remove(path)
    files.sync_directory(segment.directory)


def _remove_rows(files: FileOps, data_dir: Path, segment: SegmentKeys) -> None:
    for path in _rows_of(files, data_dir, segment):
        files.remove(path)
        files.sync_directory(path.parent)


def _rows_of(files: FileOps, data_dir: Path, segment: SegmentKeys) -> list[Path]:
    """Files with rows of any table that were made from the segment; unfinished ones too."""
    top = data_dir / ROWS_DIRECTORY / segment.log
    return [
        top / table / name
        for table in _names(files, top)
        for name in _names(files, top / table)
        if name.startswith(segment.name.stem + SUFFIX_ROWS)
    ]


def _names(files: FileOps, directory: Path) -> list[str]:
    try:
        return files.names(directory)
    except (FileNotFoundError, NotADirectoryError):
        return []


# --- the index ------------------------------------------------------------------------------------


def purge_index(
    data_dir: Path, segments: Sequence[SegmentKeys], files: FileOps, *, settle_s: float = SETTLE_S
) -> list[str]:
    """Delete every index file that may hold text of these segments; returns their days.

    They are made again, from what can still be read, by the gateway's keeper or by whoever reads next.
    Raises IndexFailed, OSError.
    """
    directory = data_dir / INDEX_DIRECTORY
    wanted = {(segment.log, segment.name.stem) for segment in segments}
    of_times = {day for segment in segments for day in _days_of(files, segment)}
    purged: list[str] = []
    # Those first that do not name the segments: what names one is how `unfinished` sees that this was begun.
    for day, path in day_files(directory).items():
        if day in of_times and not _segments_named(path) & wanted:
            remove_index_file(path)
            purged.append(day)
    give_up_s = time.monotonic() + (settle_s if is_locked(directory / LOCK_FILE) else 0.0)
    while True:
        for day, path in day_files(directory).items():
            named = _segments_named(path)
            if named & wanted or named == GARBLED_DAY:
                remove_index_file(path)
                purged.append(day)
        if time.monotonic() >= give_up_s:
            break
        time.sleep(POLL_S)
    if purged:
        files.sync_directory(directory)
    return sorted(set(purged))


def _days_of(files: FileOps, segment: SegmentKeys) -> set[str]:
    """UTC days of the records of a segment: those that open a session have no place in the index, only a day."""
    for suffix in (".kseg", ".recovered"):
        try:
            blocks = read_block_table(segment.directory / (segment.name.stem + suffix), files=files)
        except (FileNotFoundError, CorruptFrame):
            continue
        if blocks:
            first_ns, last_ns = blocks[0].committed_ns, blocks[-1].committed_ns
            return {day_of(first_ns - SLACK_NS), day_of(first_ns), day_of(last_ns)}
    return set()


def _indexed_segments(directory: Path) -> set[tuple[str, str]]:
    return {segment for path in day_files(directory).values() for segment in _segments_named(path)}


def _segments_named(path: Path) -> frozenset[tuple[str, str]]:
    """The segments (log, stem) that a day file has text of; GARBLED_DAY if that cannot be told."""
    try:
        with closing(open_reading(path)) as ask:
            return frozenset((log, name) for log, name in ask.execute("SELECT log, name FROM segments"))
    except (sqlite3.Error, GarbledIndex):
        return GARBLED_DAY
