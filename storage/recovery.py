"""What earlier runs left: examine, set bad bytes aside, say where the new segment continues.

Nothing here deletes or changes a byte of a segment. An open segment ends in one of three ways:

    clean     its frames are followed by zeros
    torn      ... by something else, but no later frame proves that what is bad was ever durable
    corrupt   ... and a valid frame behind them says it was: damage, or a hand in the log

The bytes behind the last good frame are copied to `<segment>.torn`. What was found becomes a
`SegmentRecovered` record at the start of the new segment; only when that is durable is the old one
renamed to `.recovered`. A crash at any point leaves names that make the next start do the same again.
Source: etcd's isTornEntry (only a tail may be torn; anything else is an error), and against Prometheus'
Repair, which deletes what follows a corruption.
"""

import hashlib
from pathlib import Path
from typing import Final

import msgspec

from storage.encryption.keys import SUFFIX_KEYS
from storage.errors import CorruptFrame
from storage.files import CHUNK_BYTES, FileOps, log_failed, measure, write_all
from storage.format import (
    FLAG_ALL_BEFORE_SYNCED,
    PAGE_BYTES,
    SUFFIX_OPEN,
    SUFFIX_RECOVERED,
    SUFFIX_SEALED,
    SUFFIX_TORN,
    TRAILER_BYTES,
    SegmentName,
    parse_segment_name,
)
from storage.records import SegmentRecovered
from storage.segment_file import SegmentFile, is_data
from storage.writer import SUFFIX_TEMPORARY

CLEAN: Final = "clean"
TORN: Final = "torn"
CORRUPT: Final = "corrupt"


class Examination(msgspec.Struct, frozen=True):
    """One segment as found. Sizes in bytes; hashes of the valid part and of the bad part."""

    path: Path
    finding: str  # CLEAN, TORN or CORRUPT
    segment_id: str  # "": the header page is not intact
    next_record_seq: int
    valid_bytes: int
    torn_bytes: int = 0
    valid_sha256: bytes = b""
    torn_sha256: bytes = b""

    def record(self, at_ns: int) -> SegmentRecovered:
        return SegmentRecovered(
            at_ns,
            self.path.stem,
            self.valid_bytes,
            self.torn_bytes,
            self.finding,
            self.valid_sha256,
            self.torn_sha256,
        )


class Floor(msgspec.Struct, frozen=True):
    """Numbers that a new segment must not be below, although no file shows them: they were given out, signed
    for, and lost."""

    segment_number: int = 1
    record_seq: int = 1


class Recovery(msgspec.Struct, frozen=True):
    """Where a new run continues, and what it has to say about the earlier ones."""

    examined: tuple[Examination, ...]
    next_segment_number: int
    next_epoch: int
    prev_segment_id: str
    next_record_seq: int


def recover(files: FileOps, directory: Path) -> Recovery:
    """Look at a log's directory before writing to it. The caller holds its lock.

    Reads every open segment whole and the end of the newest one; sealed ones cost nothing. Removes temporary
    files, which never hold a record, and key envelopes whose segment was never begun. Raises LogFailed on
    an I/O error.
    """
    try:
        return _recover(files, directory)
    except OSError as error:
        raise log_failed("recover", directory, error) from error


def _recover(files: FileOps, directory: Path) -> Recovery:
    segments: list[tuple[SegmentName, Path]] = []
    envelopes: list[Path] = []
    for file_name in files.names(directory):
        path = directory / file_name
        if path.suffix == SUFFIX_TEMPORARY:
            files.remove(path)
        elif path.suffix == SUFFIX_KEYS:
            envelopes.append(path)
        parsed = parse_segment_name(path.stem)
        if parsed is not None and path.suffix in (SUFFIX_OPEN, SUFFIX_SEALED, SUFFIX_RECOVERED):
            segments.append((parsed, path))
    _remove_unbegun(files, segments, envelopes)
    if not segments:
        return Recovery((), 1, 1, "", 1)
    segments.sort()
    opened = [examine(files, path) for _, path in segments if path.suffix == SUFFIX_OPEN]
    for examination in opened:
        if examination.torn_bytes:
            set_aside(files, examination)
    newest_name, newest_path = segments[-1]
    newest = opened[-1] if newest_path.suffix == SUFFIX_OPEN else _end_of(files, newest_path)
    return Recovery(
        tuple(opened),
        newest_name.number + 1,
        max(name.epoch for name, _ in segments) + 1,
        newest.segment_id,
        max(examination.next_record_seq for examination in (newest, *opened)),
    )


def _remove_unbegun(files: FileOps, segments: list[tuple[SegmentName, Path]], envelopes: list[Path]) -> None:
    """Envelopes of a segment that was never begun: a crash came first. Only those numbered behind the newest
    segment: one of an older segment may be all that opens a copy of it kept elsewhere."""
    newest = max((name.number for name, _ in segments), default=0)
    for path in envelopes:
        name = parse_segment_name(path.stem)
        if name is not None and name.number > newest:
            files.remove(path)


def _end_of(files: FileOps, path: Path) -> Examination:
    """The newest segment when no open one is newer: sealed (its footer says it all) or recovered."""
    try:
        with SegmentFile(files, path) as segment:
            if segment.sealed:
                seal = segment.footer()[1]
                return Examination(
                    path, CLEAN, segment.header.segment_id, seal.next_record_seq, segment.size()
                )
    except CorruptFrame:
        pass  # a damaged footer: the blocks still say where the numbers end
    return examine(files, path)


def examine(files: FileOps, path: Path) -> Examination:
    """Read one segment to where its log ends, and judge what comes behind."""
    try:
        with SegmentFile(files, path) as segment:
            return _examine(segment)
    except CorruptFrame:
        return _examine_headless(files, path)


def _examine(segment: SegmentFile) -> Examination:
    offset, next_record_seq, misplaced = _valid_end(segment)
    written_end = segment.written_end(offset)
    finding = CLEAN if written_end == offset else TORN
    if finding == TORN:
        later = list(segment.frames_behind(offset))
        if misplaced or any(header.flags & FLAG_ALL_BEFORE_SYNCED for header in later):
            finding = CORRUPT
            # Their numbers were given out and acknowledged: the new segment must not use them again.
            next_record_seq = max(
                [next_record_seq, *(header.first_record_seq + header.nrec for header in later)]
            )
    return Examination(
        segment.path,
        finding,
        segment.header.segment_id,
        next_record_seq,
        offset,
        written_end - offset,
        segment.sha256(0, offset),
        segment.sha256(offset, written_end) if written_end > offset else b"",
    )


def _valid_end(segment: SegmentFile) -> tuple[int, int, bool]:
    """Follow the frames: (offset behind the last good one, next record number, whether a whole frame
    with wrong numbers stands there, which no crash explains)."""
    offset, block_seq, next_record_seq = PAGE_BYTES, 0, segment.header.first_record_seq
    in_footer = False
    while True:
        try:
            frame = segment.frame_at(offset)
        except CorruptFrame:
            break
        if frame is None:
            break
        if (frame.header.block_seq, frame.header.first_record_seq) != (block_seq, next_record_seq):
            return offset, max(next_record_seq, frame.header.first_record_seq + frame.header.nrec), True
        in_footer = not is_data(frame)
        offset, block_seq, next_record_seq = frame.end, block_seq + 1, next_record_seq + frame.header.nrec
    if in_footer and segment.ends_with_trailer(offset):
        offset += TRAILER_BYTES  # killed between seal and rename
    return offset, next_record_seq, False


def _examine_headless(files: FileOps, path: Path) -> Examination:
    """Without its header page nothing in a segment can be told from noise: all of it is set aside."""
    size, sha256 = measure(files, path)
    return Examination(path, CORRUPT, "", 1, 0, size, hashlib.sha256().digest(), sha256)


def set_aside(files: FileOps, examination: Examination) -> Path:
    """Copy the bad bytes to `<segment>.torn`, durable on return. Repeating it makes the same file."""
    target = examination.path.with_suffix(SUFFIX_TORN)
    unfinished = target.with_suffix(SUFFIX_TORN + SUFFIX_TEMPORARY)
    start, end = examination.valid_bytes, examination.valid_bytes + examination.torn_bytes
    source = files.open_read(examination.path)
    try:
        copy = files.create(unfinished)
        try:
            for offset in range(start, end, CHUNK_BYTES):
                chunk = files.read(source, min(CHUNK_BYTES, end - offset), offset)
                write_all(files, copy, [chunk], offset - start)
            files.sync(copy)
        finally:
            files.close(copy)
    finally:
        files.close(source)
    files.rename(unfinished, target)
    files.sync_directory(target.parent)
    return target


def mark_recovered(files: FileOps, examined: tuple[Examination, ...]) -> None:
    """Rename examined segments, once the record about them is durable. Raises LogFailed."""
    for examination in examined:
        try:
            files.rename(examination.path, examination.path.with_suffix(SUFFIX_RECOVERED))
            files.sync_directory(examination.path.parent)
        except OSError as error:
            raise log_failed("rename", examination.path, error) from error
