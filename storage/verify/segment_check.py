"""One segment against its leaves: every frame, its footer, its whole file. Conduct for `verify`, in any process.

Reads the file once, in windows, and needs no key. The frames are compared with the tree in one piece; only if that
fails is it asked which frame it is and what became of it: other bytes (corrupt), cut off (rollback), or a frame that is
valid and not the one that was signed (rewrite). At most one finding of damage a segment, the first.

The trap: a segment may be written, sealed and renamed while it is read. So its end counts as bad only at a second look,
and only the tree says what must be there.
"""

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import msgspec

from storage.errors import CorruptFrame
from storage.files import CHUNK_BYTES, FileOps, read_start
from storage.format import (
    PAGE_BYTES,
    SUFFIX_RECOVERED,
    SUFFIX_SEALED,
    SUFFIX_TORN,
    TRAILER_BYTES,
    Seal,
    SegmentHeader,
    parse_header_page,
)
from storage.notary.frame_scan import BUNDLED_ENTRY, FrameScan, Silence, Stop
from storage.notary.leaf import BlockLeaf, RecoveredLeaf, SealedLeaf, parse_leaf
from storage.reader import READABLE
from storage.recovery import CORRUPT, examine
from storage.segment_file import Cursor, SegmentFile
from storage.segment_footer import Footer, parse_footer
from storage.verify.findings import Finding, Kind
from storage.verify.tree_scan import ENTRY_STRIDE, Run, TreeSnapshot, entries_of_runs

WINDOW_BYTES: Final = 4 << 20
"""One read: four of the largest frames."""
MAX_FOOTER_BYTES: Final = 64 << 20
"""Four times the table of the most blocks a segment can have."""
CUT_BYTES: Final = 8
"""Zeros at the end of a frame that say it was cut: a whole one ends in a checksum or tag."""

_FOUND_DAMAGE: Final = "recovery found damage here, and left it as it was"


class SegmentTask(msgspec.Struct, frozen=True):
    """What to compare. runs, end: its leaves, end being the SEALED or RECOVERED entry; none: the tree does not know it.

    is_last: of its log; excused: half-open ranges of leaves of accepted losses. is_partial: some of its entries could not
    be read.
    """

    directory: str
    stem: str
    runs: tuple[Run, ...] = ()
    end: bytes = b""
    end_index: int = -1
    is_last: bool = False
    is_partial: bool = False
    excused: tuple[tuple[int, int], ...] = ()


class SegmentResult(msgspec.Struct, frozen=True):
    """What was found. header: None when its page is not intact. next_record_seq: behind its last record, as far as the
    next segment must follow it. covered: frames of it that the tree has. gone: it was deleted meanwhile."""

    stem: str
    suffix: str = ""
    header: SegmentHeader | None = None
    next_record_seq: int | None = None
    frames: int = 0
    covered: int = 0
    records: int = 0
    read_bytes: int = 0
    first_ns: int = 0
    last_ns: int = 0
    silences: tuple[Silence, ...] = ()
    findings: tuple[Finding, ...] = ()
    gone: bool = False


class _Fault(Exception):
    """The first thing wrong with a segment; ends its check."""

    def __init__(self, kind: Kind, why: str, offset: int | None = None, record: int | None = None) -> None:
        super().__init__(why)
        self.kind, self.why, self.offset, self.record = kind, why, offset, record


def check_segment(files: FileOps, task: SegmentTask, tree: TreeSnapshot | None) -> SegmentResult:
    """Compare one segment with its leaves. Raises OSError when it cannot be read."""
    expected = entries_of_runs(files, tree, task.runs) if tree else b""
    for _ in range(2):  # it may be renamed between finding and opening it
        for suffix in READABLE:
            try:
                fd = files.open_read(Path(task.directory) / (task.stem + suffix))
            except FileNotFoundError:
                continue
            try:
                return _Check(files, fd, suffix, task, expected).result()
            finally:
                files.close(fd)
    return SegmentResult(task.stem, gone=True)


class _Check:
    """The check of one open file."""

    def __init__(self, files: FileOps, fd: int, suffix: str, task: SegmentTask, expected: bytes) -> None:
        self._files, self._fd, self._suffix, self._task = files, fd, suffix, task
        self._path = Path(task.directory) / (task.stem + suffix)
        self._expected = expected
        self._covered = len(expected) // ENTRY_STRIDE
        self._size = files.size(fd)
        self._digest = hashlib.sha256()  # of all before _hashed
        self._hashed = 0
        self._notes: list[Finding] = []
        self._header: SegmentHeader | None = None
        self._scan: FrameScan | None = None
        self._next_record_seq: int | None = None
        end = parse_leaf(task.end) if task.end else None
        self._sealed = end if isinstance(end, SealedLeaf) else None
        self._recovered = end if isinstance(end, RecoveredLeaf) else None

    def result(self) -> SegmentResult:
        try:
            self._run()
        except _Fault as fault:
            place = (fault.offset, fault.record)
            self._notes.append(Finding(fault.kind, fault.why, "", self._task.stem, *place))
        scan = self._scan
        return SegmentResult(
            self._task.stem,
            self._suffix,
            self._header,
            self._next_record_seq,
            scan.block_seq if scan else 0,
            self._covered,
            (scan.next_record_seq - self._header.first_record_seq) if scan and self._header else 0,
            self._hashed,
            scan.first_ns if scan else 0,
            scan.last_ns if scan else 0,
            tuple(scan.silences) if scan else (),
            tuple(self._notes),
        )

    def _run(self) -> None:
        page = self._files.read(self._fd, PAGE_BYTES, 0)
        try:
            header = parse_header_page(page, self._path.name)
        except CorruptFrame as error:
            raise self._headless(error) from error
        self._header = header
        self._check_name(header)
        self._digest.update(page)
        self._hashed = PAGE_BYTES
        self._scan = FrameScan(header, self._path.name)
        self._scan_frames(self._scan)
        self._next_record_seq = self._scan.next_record_seq
        self._compare(self._scan)
        if self._sealed is not None or self._suffix == SUFFIX_SEALED:
            self._check_sealed(self._scan, header)
        elif self._recovered is not None:
            self._check_recovered(self._recovered, header)
        elif self._suffix == SUFFIX_RECOVERED:
            self._check_unsigned_recovery(self._scan)
        else:
            self._check_end(self._scan)

    # --- what it is ---------------------------------------------------------------------------------

    def _check_name(self, header: SegmentHeader) -> None:
        if header.name.stem != self._task.stem:
            raise _Fault(
                Kind.CORRUPT, f"the file holds segment {header.name.stem}: files were renamed or swapped", 0
            )
        leaf_id = self._sealed.segment_id if self._sealed else self._first_leaf_id()
        if leaf_id and leaf_id != header.segment_id:
            raise _Fault(Kind.REWRITE, f"segment {header.segment_id} where {leaf_id} was signed", 0)

    def _first_leaf_id(self) -> str:
        if not self._expected:
            return ""
        return self._leaf(0).segment_id

    def _headless(self, error: CorruptFrame) -> _Fault:
        """A header page that is not intact: since when?"""
        leaf = self._recovered
        if leaf is None or leaf.segment_id:
            return _Fault(Kind.CORRUPT, error.why, 0)
        self._hash_up_to(self._size)
        if (leaf.torn_bytes, leaf.torn_sha256) != (self._size, self._digest.digest()):
            return _Fault(Kind.CORRUPT, "the bytes are not the ones recovery found", 0)
        return _Fault(
            Kind.CORRUPT, "recovery found it without an intact header page, and left it as it was", 0
        )

    # --- frames -------------------------------------------------------------------------------------

    def _scan_frames(self, scan: FrameScan) -> None:
        """Read on as long as frames are whole."""
        while scan.stop is Stop.MORE:
            window = self._files.read(self._fd, WINDOW_BYTES, scan.offset)
            used = scan.feed(window)
            self._digest.update(memoryview(window)[:used])
            self._hashed += used
            if scan.stop is Stop.MORE and not used:
                break  # the file ends

    def _leaf(self, at: int) -> BlockLeaf:
        entry = self._expected[at * ENTRY_STRIDE + 2 : (at + 1) * ENTRY_STRIDE]
        leaf = parse_leaf(entry)
        if not isinstance(leaf, BlockLeaf):
            raise AssertionError("a run holds BLOCK leaves only")
        return leaf

    def _compare(self, scan: FrameScan) -> None:
        """The frames with their leaves."""
        found = b"".join(scan.entries[: self._covered])
        if found == self._expected:
            return
        if self._task.is_partial:
            self._compare_known(scan)
            return
        at = _common(found, self._expected) // ENTRY_STRIDE
        self._fault_at(scan, at)

    def _compare_known(self, scan: FrameScan) -> None:
        """When not all entries of the segment could be read: those that could."""
        for at in range(self._covered):
            seq = self._leaf(at).block_seq
            wanted = self._expected[at * ENTRY_STRIDE : (at + 1) * ENTRY_STRIDE]
            if seq >= len(scan.entries) or scan.entries[seq] != wanted:
                self._fault_at(scan, at, seq)

    def _fault_at(self, scan: FrameScan, at: int, seq: int | None = None) -> None:
        """Leaf number `at` of this segment has no such frame: why? seq: where that frame is."""
        leaf, seq = self._leaf(at), at if seq is None else seq
        if self._is_excused(at):
            raise _Fault(
                Kind.LOSS_ACCEPTED, "what follows was lost, and accepted", leaf.offset, leaf.first_record_seq
            )
        place = (leaf.offset, leaf.first_record_seq)
        if leaf.block_seq != seq:
            raise _Fault(Kind.CORRUPT, f"leaf {seq} of the segment is of frame {leaf.block_seq}", *place)
        if seq < len(scan.entries):
            mine = BUNDLED_ENTRY.unpack(scan.entries[seq])
            why = f"frame {seq} is whole, and not the one that was signed"
            raise _Fault(Kind.REWRITE, why, mine[5], mine[7])
        if scan.stop is Stop.FOOTER:
            raise _Fault(Kind.REWRITE, f"it ends before frame {seq}, which was signed", *place)
        written_end = self._written_end(scan.offset)
        if self._sealed is None and written_end + CUT_BYTES <= leaf.end:
            raise _Fault(
                Kind.ROLLBACK,
                f"it ends at byte {written_end}; frame {seq} and what follows were signed and are gone",
                *place,
            )
        raise _Fault(Kind.CORRUPT, self._why(scan), scan.offset, scan.next_record_seq)

    def _why(self, scan: FrameScan) -> str:
        return scan.why or "the file ends within a frame"

    def _is_excused(self, at: int) -> bool:
        """Whether leaf number `at` of this segment is one of an accepted loss."""
        for run in self._task.runs:
            if at < run.end - run.start:
                index = run.start + at
                return any(start <= index < end for start, end in self._task.excused)
            at -= run.end - run.start
        raise AssertionError("a leaf of this segment is in none of its runs")

    # --- its end ------------------------------------------------------------------------------------

    def _check_end(self, scan: FrameScan) -> None:
        """An open segment: what follows its last frame?"""
        if scan.stop is Stop.FOOTER:
            return  # being sealed, or left so by a crash
        self._look_again(scan)
        written_end = self._written_end(scan.offset)
        if written_end <= scan.offset or not self._task.is_last:
            return  # of an older one the recovery, or the footer, is still to come
        why = f"{written_end - scan.offset} bytes of an unfinished commit follow the last frame ({self._why(scan)})"
        place = (scan.offset, scan.next_record_seq)
        self._notes.append(Finding(Kind.TORN_TAIL, why, "", self._task.stem, *place))

    def _check_unsigned_recovery(self, scan: FrameScan) -> None:
        """A recovered segment whose leaf is still to come: examine it as recovery did."""
        found = examine(self._files, self._path)
        self._next_record_seq = found.next_record_seq
        if found.finding == CORRUPT:
            raise _Fault(Kind.CORRUPT, _FOUND_DAMAGE, found.valid_bytes, scan.next_record_seq)

    def _look_again(self, scan: FrameScan) -> None:
        """The writer may have completed what was half there; what is bad before something durable is damage."""
        try:
            with SegmentFile(self._files, self._path) as segment:
                cursor = Cursor(scan.offset, scan.block_seq, scan.next_record_seq)
                if segment.next_block(cursor, whole=True) is None:
                    return
        except FileNotFoundError:
            return  # sealed meanwhile
        except CorruptFrame as error:
            raise _Fault(Kind.CORRUPT, error.why, error.offset, scan.next_record_seq) from error
        scan.stop = Stop.MORE
        self._scan_frames(scan)
        self._next_record_seq = scan.next_record_seq

    def _check_recovered(self, leaf: RecoveredLeaf, header: SegmentHeader) -> None:
        if leaf.segment_id != header.segment_id:
            raise _Fault(Kind.REWRITE, f"segment {header.segment_id} where {leaf.segment_id} was signed", 0)
        self._hash_up_to(leaf.valid_bytes)
        if self._digest.digest() != leaf.valid_sha256:
            raise _Fault(
                Kind.CORRUPT, f"its first {leaf.valid_bytes} bytes are not the ones recovery found", 0
            )
        torn_end = leaf.valid_bytes + leaf.torn_bytes
        torn = hashlib.sha256()
        for chunk in self._chunks(leaf.valid_bytes, torn_end):
            torn.update(chunk)
        if leaf.torn_bytes and torn.digest() != leaf.torn_sha256:
            raise _Fault(
                Kind.CORRUPT, "the bytes set aside are not the ones recovery found", leaf.valid_bytes
            )
        if self._written_end(torn_end) > torn_end:
            raise _Fault(Kind.CORRUPT, "there is more behind what recovery found", torn_end)
        self._check_torn_copy(leaf)
        self._next_record_seq = leaf.next_record_seq
        if leaf.finding == CORRUPT:
            where = (leaf.valid_bytes, self._scan.next_record_seq if self._scan else None)
            raise _Fault(Kind.CORRUPT, _FOUND_DAMAGE, *where)

    def _check_torn_copy(self, leaf: RecoveredLeaf) -> None:
        """The copy of the torn bytes, where there is one: it is for people, the segment itself still has them."""
        try:
            data = read_start(self._files, self._path.with_suffix(SUFFIX_TORN), leaf.torn_bytes + 1)
        except FileNotFoundError:
            return
        if hashlib.sha256(data).digest() != leaf.torn_sha256:
            raise _Fault(Kind.CORRUPT, "its .torn file is not a copy of the torn bytes", leaf.valid_bytes)

    # --- a sealed segment -------------------------------------------------------------------------------

    def _check_sealed(self, scan: FrameScan, header: SegmentHeader) -> None:
        if scan.stop is not Stop.FOOTER:
            raise _Fault(Kind.CORRUPT, self._why(scan), scan.offset, scan.next_record_seq)
        try:
            footer = self._footer(scan.offset, header)
        except CorruptFrame as error:
            raise _Fault(Kind.CORRUPT, error.why, error.offset) from error
        if footer.table != b"".join(scan.table):
            raise _Fault(Kind.CORRUPT, "the block table does not describe the blocks", scan.offset)
        numbers = (scan.block_seq, header.first_record_seq, scan.next_record_seq, scan.first_ns, scan.last_ns)
        if footer.seal != Seal(*numbers) or footer.trailer.nblocks != scan.block_seq:
            raise _Fault(Kind.CORRUPT, "the seal does not describe the records", scan.offset)
        leaf = self._sealed
        if leaf is None:
            return
        if len(scan.entries) != self._covered and not self._task.is_partial:
            raise _Fault(
                Kind.REWRITE, f"{len(scan.entries)} frames, {self._covered} were signed", scan.offset
            )
        if (leaf.size, leaf.sha256) != (self._hashed, self._digest.digest()):
            raise _Fault(Kind.REWRITE, "it is whole, and not the file that was signed", 0)
        signed = (
            leaf.number,
            leaf.prev_segment_id,
            leaf.first_record_seq,
            leaf.next_record_seq,
            leaf.blocks,
        )
        if signed != (
            header.segment_number,
            header.prev_segment_id,
            header.first_record_seq,
            scan.next_record_seq,
            scan.block_seq,
        ):
            raise _Fault(Kind.REWRITE, "its numbers are not the ones that were signed", 0)

    def _footer(self, offset: int, header: SegmentHeader) -> Footer:
        """The footer of a sealed file, checked; the digest is that of the whole file then. Raises CorruptFrame."""
        name, end = self._path.name, self._size - TRAILER_BYTES
        if end - offset > MAX_FOOTER_BYTES or end < offset:
            raise CorruptFrame(name, offset, "the footer does not fit the file")
        data = self._files.read(self._fd, end - offset, offset)
        self._digest.update(data)
        tail = self._files.read(self._fd, TRAILER_BYTES, end)
        footer = parse_footer(data, tail, offset, header, name)
        if footer.trailer.sha256 != self._digest.digest():
            raise CorruptFrame(
                name, PAGE_BYTES, "the file is not the one that was sealed: its SHA-256 differs"
            )
        self._digest.update(tail)
        self._hashed = self._size
        return footer

    # --- bytes ------------------------------------------------------------------------------------------

    def _hash_up_to(self, end: int) -> None:
        """Bring the digest to exactly `end`, which may be before where it is."""
        if end < self._hashed:
            self._digest, self._hashed = hashlib.sha256(), 0
        for chunk in self._chunks(self._hashed, end):
            self._digest.update(chunk)
            self._hashed += len(chunk)

    def _chunks(self, start: int, end: int) -> Iterator[bytes]:
        for offset in range(start, min(end, self._size), CHUNK_BYTES):
            yield self._files.read(self._fd, min(CHUNK_BYTES, end - offset), offset)

    def _written_end(self, start: int) -> int:
        """Offset behind the last byte from `start` on that is not zero."""
        end = start
        for index, chunk in enumerate(self._chunks(start, self._files.size(self._fd))):
            stripped = chunk.rstrip(b"\0")
            if stripped:
                end = start + index * CHUNK_BYTES + len(stripped)
        return end


def _common(one: bytes, other: bytes) -> int:
    """Length of the common prefix, by halving."""
    low, high = 0, min(len(one), len(other))
    while low < high:
        middle = (low + high + 1) // 2
        if one[:middle] == other[:middle]:
            low = middle
        else:
            high = middle - 1
    return low
