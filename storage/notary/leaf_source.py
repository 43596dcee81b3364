"""One log's segments, read once in order -> the entries of its hash tree. The same bytes always give the same ones.

For each segment by number: a BLOCK leaf a data frame, then its SEALED or RECOVERED leaf, before any leaf of the next
segment. An open segment with a successor is waited for: it will be sealed, or examined at the next start. Reading
goes on from a `Place`, needs no key, and changes nothing.

Damage stops nothing here: what was written stays provable although it can no longer be read. Of a damaged sealed
segment the block table says which leaves there were; `damage` keeps the first error for whoever raises the alarm.

The trap: frames may be in the page cache only. `sync` puts what was read since the last one on the disk; a tree signed
over bytes that a power cut can take would call that power cut a forgery.
"""

import errno
import hashlib
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Final, TypeVar

import msgspec

from storage.errors import CorruptFrame, LogFailed
from storage.files import CHUNK_BYTES, FileOps, log_failed
from storage.format import SUFFIX_OPEN, SUFFIX_RECOVERED, FrameInfo, SegmentName
from storage.notary.frame_scan import FrameScan, Stop
from storage.notary.leaf import RecoveredLeaf, SealedLeaf, block_leaf, encode_leaf
from storage.reader import READABLE, list_segments
from storage.recovery import Examination, examine
from storage.segment_file import Cursor, SegmentFile

STEP_BYTES: Final = 4 << 20
"""Of frames in one turn: some 10 ms, and what the tree may lag behind a burst."""
STEP_FRAMES: Final = 4000
WINDOW_BYTES: Final = 2 * CHUNK_BYTES
"""The longest look: any frame fits, and whoever catches up reads few of them."""
GLANCE_BYTES: Final = 64 * 1024
"""The first look: what a quiet second brings. Behind it lie zeros, and reading MiBs of them each second costs more than
all else the tree does."""

Used = TypeVar("Used")


class Place(msgspec.Struct, frozen=True):
    """How far a log was read. number: the segment read last, 0: none; complete: its last leaf was given too."""

    number: int = 0
    blocks: int = 0
    offset: int = 0  # behind the last block; 0: none yet
    next_record_seq: int | None = None
    complete: bool = True


class _Reading:
    """The segment at hand. examination: of a recovered one; table: what a damaged one still says of its blocks."""

    def __init__(self, file: SegmentFile, name: SegmentName, place: Place | None) -> None:
        self.file, self.name = file, name
        self.digest = hashlib.sha256(file.page) if place is None else None  # of all before the scan
        self.scan = FrameScan(file.header, name.stem)
        if place is not None and place.offset:
            self.scan = FrameScan(file.header, name.stem, place.offset, place.blocks, place.next_record_seq)
        self.examination: Examination | None = None
        self.table: list[FrameInfo] | None = None


class LeafSource:
    """The entries of one log from a place on. Not for two threads at once.

    Methods raise OSError, LogFailed, UnknownDictionary. damage: the first damage met. waits: nothing more is there
    for now.
    """

    def __init__(self, files: FileOps, directory: Path, place: Place = Place()) -> None:  # noqa: B008 - frozen
        self.damage: CorruptFrame | None = None
        self.waits = False
        self._files, self._directory = files, directory
        self._done = place.number if place.complete else place.number - 1
        self._resumed = None if place.complete else place
        self._reading: _Reading | None = None
        self._look_bytes = GLANCE_BYTES
        self._unsynced: SegmentName | None = None
        self._sync_failed: LogFailed | None = None

    def close(self) -> None:
        if self._reading is not None:
            self._reading.file.close()
            self._reading = None

    def step(self) -> list[bytes]:
        """The next entries, about a step's worth; sets `waits`."""
        entries: list[bytes] = []
        budget_bytes = STEP_BYTES
        self.waits = False
        while budget_bytes > 0 and len(entries) < STEP_FRAMES and not self.waits:
            reading = self._reading or self._open_next(entries)
            if reading is None:
                continue
            before = reading.scan.offset
            entries += self._blocks(reading)
            budget_bytes -= reading.scan.offset - before
            if reading.scan.offset == before and not self._reopened(reading, entries):
                self._end(reading, entries)
        return entries

    def everything(self) -> Iterator[bytes]:
        """All entries there are now."""
        while True:
            yield from self.step()
            if self.waits:
                return

    def sync(self) -> None:
        """The frames whose leaves were given are durable on return. Raises LogFailed, and then at every later call:
        after a failed sync the next one lies."""
        if self._sync_failed is not None:
            raise self._sync_failed
        name, self._unsynced = self._unsynced, None
        if name is None:
            return
        try:
            fd = self._at_its_path(name, self._files.open_read)
            try:
                self._files.sync_data(fd)  # of the file, through whichever descriptor (fsync(2))
            finally:
                self._files.close(fd)
        except OSError as error:
            self._sync_failed = log_failed("fdatasync", self._directory / name.stem, error)
            raise self._sync_failed from error

    # --- from segment to segment ----------------------------------------------------------------------

    def _open_next(self, entries: list[bytes]) -> _Reading | None:
        """The next segment, opened. None: there is none (`waits`), or it was one without a header page."""
        for name in list_segments(self._directory, files=self._files):
            if name.number > self._done:
                break
        else:
            self.waits = True
            return None
        place = self._resumed if self._resumed and self._resumed.number == name.number else None
        self._resumed = None
        file = self._open(name, entries)
        if file is not None:
            self._reading = _Reading(file, name, place)
            self._examine(self._reading)
        return self._reading

    def _open(self, name: SegmentName, entries: list[bytes]) -> SegmentFile | None:
        """Without its header page a segment is one lump of bad bytes, once nobody writes it any more."""
        try:
            return self._at_its_path(name, partial(SegmentFile, self._files, window_bytes=GLANCE_BYTES))
        except CorruptFrame as error:
            self._note(error)
            path = self._directory / error.segment
        if path.suffix == SUFFIX_OPEN:
            self.waits = True
        else:
            entries.append(_recovered(name, "", examine(self._files, path)))
            self._done = name.number
        return None

    def _examine(self, reading: _Reading) -> None:
        if reading.file.path.suffix == SUFFIX_RECOVERED:
            reading.examination = examine(self._files, reading.file.path)

    def _reopened(self, reading: _Reading, entries: list[bytes]) -> bool:
        """Whether the segment has another name by now, so that there may be more in it."""
        if self._at_its_path(reading.name, self._suffix_of) == reading.file.path.suffix:
            return False
        reading.file.close()
        self._reading = None
        file = self._open(reading.name, entries)
        if file is not None:
            reading.file, self._reading = file, reading
            self._examine(reading)
        return True

    def _suffix_of(self, path: Path) -> str:
        self._files.close(self._files.open_read(path))
        return path.suffix

    def _at_its_path(self, name: SegmentName, use: Callable[[Path], Used]) -> Used:
        """Use a segment under its present name, which may change meanwhile: asked for in the order in which it does,
        it cannot be missed. Raises FileNotFoundError when it is gone."""
        for suffix in READABLE:
            try:
                return use(self._directory / (name.stem + suffix))
            except FileNotFoundError:
                continue
        raise FileNotFoundError(errno.ENOENT, f"segment {name.stem} is gone", str(self._directory))

    def _end(self, reading: _Reading, entries: list[bytes]) -> None:
        """Nothing more in this segment for now: its last leaf, unless it is still written."""
        if reading.file.path.suffix == SUFFIX_OPEN:
            self.waits = True
            return
        if reading.examination is not None:
            entries.append(_recovered(reading.name, reading.file.header.prev_segment_id, reading.examination))
            self.sync()  # recovery reads what a kill left in the page cache, and does not sync it
        else:
            entries.append(encode_leaf(self._sealed(reading)))
            self._unsynced = None  # it was synced before it got its name
        self._done = reading.name.number
        self.close()

    # --- one segment --------------------------------------------------------------------------------------

    def _blocks(self, reading: _Reading) -> list[bytes]:
        """The entries of the frames in the next window; none: there are no more for now."""
        scan = reading.scan
        if reading.table is not None:
            return self._told_blocks(reading, reading.table)
        window = self._look(reading, self._look_bytes)
        used = scan.feed(window)
        if not used and scan.stop is not Stop.ZEROS:  # a frame that is longer than the look, or the footer
            window = self._look(reading, WINDOW_BYTES)
            used = scan.feed(window)
        self._look_bytes = WINDOW_BYTES if used > GLANCE_BYTES // 2 else GLANCE_BYTES
        if used:
            if reading.digest is not None:
                reading.digest.update(memoryview(window)[:used])
            self._unsynced = reading.name
            return scan.take()
        if reading.examination is None and scan.stop is not Stop.FOOTER:
            self._look_closer(reading)
            if reading.table is not None:
                return self._told_blocks(reading, reading.table)
        return []

    def _look(self, reading: _Reading, length: int) -> bytes:
        """What lies behind the frames read so far."""
        end = reading.scan.offset + length
        if reading.examination is not None:
            end = min(end, reading.examination.valid_bytes)
        return b"".join(reading.file.chunks(reading.scan.offset, end))

    def _look_closer(self, reading: _Reading) -> None:
        """No whole frame where one may be: the end for now, or damage?"""
        scan, file = reading.scan, reading.file
        try:
            file.next_block(Cursor(scan.offset, scan.block_seq, scan.next_record_seq))
        except CorruptFrame as error:
            self._note(error)
            if file.sealed:
                reading.table, reading.digest = self._table(reading), None

    def _told_blocks(self, reading: _Reading, table: list[FrameInfo]) -> list[bytes]:
        """The frames of a damaged segment as its block table has them."""
        scan, rest = reading.scan, table[reading.scan.block_seq :]
        if rest:
            scan.offset = rest[-1].offset + rest[-1].frame_len
            scan.block_seq = rest[-1].block_seq + 1
            scan.next_record_seq = rest[-1].first_record_seq + rest[-1].nrec
        segment_id = reading.file.header.segment_id
        return [encode_leaf(block_leaf(segment_id, info)) for info in rest]

    def _table(self, reading: _Reading) -> list[FrameInfo]:
        try:
            return reading.file.footer()[0]
        except CorruptFrame:
            return []

    def _sealed(self, reading: _Reading) -> SealedLeaf:
        file, header = reading.file, reading.file.header
        first_ns = last_ns = 0
        try:
            seal = file.footer()[1]
            first_ns, last_ns = seal.first_committed_ns, seal.last_committed_ns
            if seal.blocks != reading.scan.block_seq:
                self._note(
                    CorruptFrame(file.path.name, reading.scan.offset, f"the seal counts {seal.blocks} blocks")
                )
        except CorruptFrame as error:
            self._note(error)
        size = file.size()
        if reading.digest is None:
            sha256 = file.sha256(0, size)
        else:
            for chunk in file.chunks(reading.scan.offset, size):
                reading.digest.update(chunk)
            sha256 = reading.digest.digest()
        return SealedLeaf(
            header.segment_id,
            header.prev_segment_id,
            reading.name.number,
            size,
            sha256,
            reading.scan.block_seq,
            header.first_record_seq,
            reading.scan.next_record_seq,
            first_ns,
            last_ns,
        )

    def _note(self, error: CorruptFrame) -> None:
        self.damage = self.damage or error


def _recovered(name: SegmentName, prev_segment_id: str, examination: Examination) -> bytes:
    return encode_leaf(
        RecoveredLeaf(
            examination.segment_id,
            prev_segment_id,
            name.number,
            examination.valid_bytes,
            examination.valid_sha256,
            examination.torn_bytes,
            examination.torn_sha256,
            examination.finding,
            examination.next_record_seq,
        )
    )
