"""Small logs with a hash tree over them: segments in a row, a key, checkpoints."""

from collections.abc import Sequence
from pathlib import Path

import msgspec

from storage.files import REAL_FILES, FileOps
from storage.format import SegmentHeader
from storage.notary.log_key import open_signer
from storage.notary.notary import Notary
from storage.recovery import mark_recovered, recover
from storage.tlog.note import SignerKey
from storage.writer import SegmentWriter
from tests.kit.segments import begin, header, write_blocks

ORIGIN = "example.com/kubetape/gw"
Rows = Sequence[Sequence[int]]


class NotarisedLog:
    """A data directory with one log. rows: the blocks of each segment, as numbers of records."""

    def __init__(self, data_dir: Path, *, files: FileOps = REAL_FILES) -> None:
        self.data_dir, self.directory, self.files = data_dir, data_dir / "log" / "0", files
        files.make_directory(self.directory)
        self.signer: SignerKey = open_signer(data_dir, ORIGIN, files=files)
        self.now_s = 0.0
        self._last: SegmentHeader | None = None
        self._next_record_seq = 1

    def begin(self, **changes: object) -> SegmentWriter:
        """A new segment that follows the last one."""
        number = self._last.segment_number + 1 if self._last else 1
        prev = self._last.segment_id if self._last else ""
        head = header(number, first_record_seq=self._next_record_seq, prev=prev)
        head = msgspec.structs.replace(head, **changes) if changes else head
        self._last = head
        return begin(self.directory, head, files=self.files)

    def fill(self, segment: SegmentWriter, *counts: int) -> None:
        write_blocks(segment, *counts)
        self._next_record_seq = segment.next_record_seq

    def sealed(self, *counts: int, **changes: object) -> Path:
        segment = self.begin(**changes)
        self.fill(segment, *counts)
        return segment.seal()

    def opened(self, *counts: int) -> Path:
        """An open segment that nobody writes any more."""
        segment = self.begin()
        self.fill(segment, *counts)
        segment.abandon()
        return segment.path

    def recover(self) -> None:
        """What a start does to open segments, but for the record about it."""
        found = recover(self.files, self.directory)
        mark_recovered(self.files, found.examined)
        self._next_record_seq = found.next_record_seq

    def notary(self) -> Notary:
        return Notary.open(self.files, self.directory, self.signer, clock=lambda: self.now_s)

    def notarise(self, notary: Notary | None = None) -> bytes | None:
        """Leaves for all there is, and a checkpoint; returns its note."""
        mine = notary or self.notary()
        mine.advance()
        while not mine.waits:
            mine.advance()
        self.now_s += 100
        note = mine.publish(self.now_s)
        if notary is None:
            mine.close()
        return note


def three_segments(data_dir: Path) -> NotarisedLog:
    """Two sealed segments and an open one, all under a checkpoint."""
    log = NotarisedLog(data_dir)
    log.sealed(2, 1, 3)
    log.sealed(1, 1, 1)
    log.opened(2, 2)
    log.notarise()
    return log
