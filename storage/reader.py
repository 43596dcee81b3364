"""Segments back to records: one segment whole, a log in order, one record by its position.

A log can be read while it is written: reading stops cleanly at the current end and goes on later from a
`Position`. The trap: a segment may grow between reading its end and seeing its successor, so the end of
an open segment counts only if the successor was known before; else it is read once more.

Nothing unproven is returned: a frame that fails a check, a number out of order, a segment that does not
link to the one before it raise `CorruptFrame` with segment and offset, after everything before it. Three holes
are legal: a segment whose key was destroyed or is out of reach (its frames are counted, not read), one that
retention deleted and left a tombstone for, and a loss that an operator accepted. Whether tombstone and statement
are genuine is `verify`'s question.
"""

from collections.abc import Iterable, Iterator
from pathlib import Path

import msgspec

from storage.encryption.keys import NO_KEYS, KeyRing
from storage.errors import CorruptFrame, OutOfReach, Shredded, StorageError
from storage.files import REAL_FILES, FileOps
from storage.format import (
    PAGE_BYTES,
    SUFFIX_OPEN,
    SUFFIX_RECOVERED,
    SUFFIX_SEALED,
    SUFFIX_TOMBSTONE,
    FrameInfo,
    SegmentHeader,
    SegmentName,
    is_loss_name,
    parse_segment_name,
)
from storage.segment_file import GLANCE_BYTES, WINDOW_BYTES, Cursor, Frame, SegmentFile, describe, is_data

READABLE = (SUFFIX_OPEN, SUFFIX_SEALED, SUFFIX_RECOVERED)
"""In the order in which names change: looking for them in this order cannot miss a file being renamed."""


class Position(msgspec.Struct, frozen=True):
    """The place of one record. segment: file name without suffix, which does not change in its life."""

    segment: str
    offset: int  # of its frame
    index_in_frame: int
    record_seq: int

    def next(self) -> "Position":
        """Where the next record is or will be: what to start from to read on behind this one."""
        return Position(self.segment, self.offset, self.index_in_frame + 1, self.record_seq + 1)


def list_segments(directory: Path, *, files: FileOps = REAL_FILES) -> list[SegmentName]:
    """All readable segments of one log in order."""
    return names_with(files.names(directory), *READABLE)


def names_with(file_names: Iterable[str], *suffixes: str) -> list[SegmentName]:
    """The segments that have a file with one of these suffixes, in order."""
    found = set()
    for name in file_names:
        stem, dot, suffix = name.partition(".")
        parsed = parse_segment_name(stem) if dot + suffix in suffixes else None
        if parsed is not None:
            found.add(parsed)
    return sorted(found)


def open_segment_file(
    directory: Path,
    name: SegmentName,
    files: FileOps,
    *,
    keys: KeyRing = NO_KEYS,
    window_bytes: int = WINDOW_BYTES,
) -> SegmentFile:
    """Open a segment under whichever suffix it has now. Raises FileNotFoundError, CorruptFrame."""
    for suffix in READABLE:
        try:
            path = directory / (name.stem + suffix)
            return SegmentFile(files, path, keys=keys, window_bytes=window_bytes)
        except FileNotFoundError:
            pass
    raise FileNotFoundError(f"segment {name.stem} is not in {directory}")


def read_segment(path: Path, *, files: FileOps = REAL_FILES, keys: KeyRing = NO_KEYS) -> Iterator[Frame]:
    """All data frames of one segment file, decoded and checked.

    Run to its end, this proves a sealed segment: every frame against the block table, every byte against
    the trailer. An open or recovered one is proven up to where the log ends in it. Raises CorruptFrame,
    UnknownDictionary, NoKey, Shredded, WrongKey, OSError.
    """
    with SegmentFile(files, path, keys=keys) as segment:
        cursor = segment.start()
        infos: list[FrameInfo] = []
        while (raw := segment.next_block(cursor, whole=True)) is not None:
            frame = segment.decode(raw)
            infos.append(frame.info)
            yield frame
        if segment.sealed:
            segment.check_footer(infos, cursor.offset)


def read_block_table(path: Path, *, files: FileOps = REAL_FILES) -> list[FrameInfo]:
    """The blocks of a segment: of a sealed one from its footer, of another by reading it. Needs no key."""
    with SegmentFile(files, path) as segment:
        if segment.sealed:
            return segment.footer()[0]
        cursor, infos = segment.start(), []
        while (raw := segment.next_block(cursor, whole=True)) is not None:
            infos.append(describe(raw))
        return infos


def first_position(directory: Path, name: SegmentName, *, files: FileOps = REAL_FILES) -> Position:
    """Where a segment begins: for reading on behind a damaged one."""
    with open_segment_file(directory, name, files) as segment:
        return Position(name.stem, PAGE_BYTES, 0, segment.header.first_record_seq)


def read_record(
    directory: Path, position: Position, *, files: FileOps = REAL_FILES, keys: KeyRing = NO_KEYS
) -> bytes:
    """The record at a position that `iter_records` gave. Raises CorruptFrame, FileNotFoundError, NoKey, and
    StorageError when the position belongs to another log."""
    name = _name_of(position)
    with open_segment_file(directory, name, files, keys=keys, window_bytes=GLANCE_BYTES) as segment:
        raw = segment.frame_at(position.offset)
        if raw is None or not is_data(raw):
            raise StorageError(f"there is no record at byte {position.offset} of {position.segment}")
        records = segment.records(raw)
        if (
            not 0 <= position.index_in_frame < len(records)
            or raw.header.first_record_seq + position.index_in_frame != position.record_seq
        ):
            raise StorageError(
                f"record {position.record_seq} is not at byte {position.offset} of {position.segment}"
            )
        return records[position.index_in_frame]


def _name_of(position: Position) -> SegmentName:
    name = parse_segment_name(position.segment)
    if name is None:
        raise StorageError(f"{position.segment!r} is not the name of a segment")
    return name


def iter_records(
    directory: Path,
    *,
    start: Position | None = None,
    files: FileOps = REAL_FILES,
    keys: KeyRing = NO_KEYS,
) -> Iterator[tuple[Position, bytes]]:
    """The records of one log in order, from `start` (included) to the current end.

    start: the first record wanted; None: the oldest there is. To follow a log, call again with the last
    position's `next()`. Raises CorruptFrame where the log is damaged or a segment is missing (use
    `first_position` to read on behind it), NoKey where nothing at hand decrypts it, FileNotFoundError when
    the segment of `start` is gone.
    """
    names = list_segments(directory, files=files)
    if start is not None:
        first = _name_of(start)
        names = [first, *(name for name in names if name > first)]
    previous: SegmentHeader | None = None
    cursor = Cursor()
    while names:
        name, *successors = names
        with open_segment_file(directory, name, files, keys=keys) as segment:
            if previous is not None and _is_known_hole(files, directory, previous, segment.header):
                previous = None
            cursor = _cursor_into(segment, previous, cursor, start)
            yield from _records(segment, cursor, start, whole=bool(successors))
            if not successors:
                successors = [later for later in list_segments(directory, files=files) if later > name]
                if successors:  # it may have grown before its successor came
                    yield from _records(segment, cursor, start, whole=True)
            if start is not None and cursor.next_record_seq is None:  # nothing behind start in this segment
                cursor.next_record_seq = start.record_seq - start.index_in_frame
            previous = segment.header
        names, start = successors, None


def _is_known_hole(files: FileOps, directory: Path, previous: SegmentHeader, header: SegmentHeader) -> bool:
    """Whether every segment missing between two left a tombstone, or a loss was accepted in this log."""
    missing = range(previous.segment_number + 1, header.segment_number)
    if not missing:
        return False
    names = files.names(directory)
    gone = {name.number for name in names_with(names, SUFFIX_TOMBSTONE)}
    return all(number in gone for number in missing) or any(map(is_loss_name, names))


def _cursor_into(
    segment: SegmentFile, previous: SegmentHeader | None, behind: Cursor, start: Position | None
) -> Cursor:
    """The cursor to begin with in a segment, once it links to the one before."""
    header = segment.header
    if start is not None:
        return Cursor(start.offset, None, None)
    if previous is not None and (header.prev_segment_id, header.first_record_seq) != (
        previous.segment_id,
        behind.next_record_seq,
    ):
        raise CorruptFrame(
            segment.path.name,
            0,
            f"it begins with record {header.first_record_seq} and does not follow segment {previous.name.stem}, "
            f"whose records end before {behind.next_record_seq}: a segment is missing or damaged",
        )
    return segment.start()


def _records(
    segment: SegmentFile, cursor: Cursor, start: Position | None, *, whole: bool
) -> Iterator[tuple[Position, bytes]]:
    """Records from the cursor to the end of a segment; leaves the cursor there."""
    stem = segment.header.name.stem
    while (raw := segment.next_block(cursor, whole=whole)) is not None:
        try:
            records = segment.records(raw)
        except (Shredded, OutOfReach):
            continue
        first = raw.header.first_record_seq
        skipped = 0
        if start is not None and start.offset == raw.offset:
            skipped = start.index_in_frame
            if first + skipped != start.record_seq or skipped > len(records):
                raise StorageError(f"record {start.record_seq} is not at byte {start.offset} of {stem}")
        for index in range(skipped, len(records)):
            yield Position(stem, raw.offset, index, first + index), records[index]
