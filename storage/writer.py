"""One segment being written: create, append blocks, sync, seal.

Conduct without a thread of its own: whoever calls decides when. `append` leaves a frame in the page
cache (it survives a kill, not a power cut); `sync` makes everything appended durable; `seal` ends the
segment with its block table and gives it its final name. The traps: the first block may be acknowledged
only if the file's name is durable, hence the order in `open_segment`; and after any failure the segment
must not be touched again, so nothing here retries or cleans up.

Every method raises LogFailed with operation, path and reason.
"""

import hashlib
import secrets
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from storage.dictionary import Compression
from storage.encryption.cipher import FrameCipher, commit_to_key, open_cipher
from storage.encryption.keys import SUFFIX_KEYS, DataKey, write_envelope
from storage.files import FileOps, log_failed, write_all
from storage.format import (
    ENTRIES_PER_TABLE_FRAME,
    ENTRY_BYTES,
    FLAG_ALL_BEFORE_SYNCED,
    FRAME_HEADER_BYTES,
    MAX_BLOCKS,
    PAGE_BYTES,
    RECORD_PREFIX_BYTES,
    SUFFIX_OPEN,
    SUFFIX_SEALED,
    TRAILER_BYTES,
    TYPE_DATA,
    TYPE_SEAL,
    TYPE_TABLE,
    FrameHeader,
    FrameInfo,
    Seal,
    SegmentHeader,
    Trailer,
    encode_block,
    encode_entry,
    encode_frame_crc,
    encode_frame_header,
    encode_header_page,
    encode_seal,
    encode_trailer,
)

SUFFIX_TEMPORARY: Final = ".tmp"
ZERO_CHUNK: Final = bytes(1024 * 1024)
SEAL_BOUND_BYTES: Final = 256
HOUR_NS: Final = 3_600_000_000_000


def same_hour(first_committed_ns: int, committed_ns: int) -> bool:
    """Whether two blocks may share a segment: an export is partitioned by the UTC hour of its blocks."""
    return first_committed_ns // HOUR_NS == committed_ns // HOUR_NS


def payload_bound(raw_bytes: int) -> int:
    """The longest payload zstd can make of so many bytes (ZSTD_compressBound), frame overhead included."""
    return raw_bytes + raw_bytes // 256 + 128


def footer_bound(blocks: int) -> int:
    """The longest footer of so many blocks: sealing must not need space the segment does not have."""
    tables = blocks // ENTRIES_PER_TABLE_FRAME + 1
    entries = payload_bound(blocks * ENTRY_BYTES) + tables * (FRAME_HEADER_BYTES + 128)
    return entries + FRAME_HEADER_BYTES + SEAL_BOUND_BYTES + TRAILER_BYTES


def new_salt() -> int:
    """A random salt; never 0, which would look like the end of the log."""
    return secrets.randbelow(0xFFFF_FFFF) + 1


def write_zeros(files: FileOps, path: Path, size: int, pause: Callable[[], None] = lambda: None) -> int:
    """Create a file of `size` written zeros, all of it durable but its name; returns its descriptor.

    Written, not only allocated: then a later sync has no size and no extents to journal, which halves
    it. Synced piece by piece with a pause between, so that making a spare does not queue 64 MiB in
    front of a commit. Raises OSError.
    """
    fd = files.create(path)
    try:
        for offset in range(0, size, len(ZERO_CHUNK)):
            write_all(files, fd, [ZERO_CHUNK[: size - offset]], offset)
            files.sync_data(fd)
            pause()
        files.sync(fd)
    except OSError:
        files.close(fd)
        raise
    return fd


def open_segment(
    files: FileOps,
    directory: Path,
    header: SegmentHeader,
    *,
    capacity_bytes: int,
    spare: Path | None,
    data_key: DataKey | None = None,
) -> "SegmentWriter":
    """Begin a segment, on a pre-zeroed spare or on new zeros. Raises LogFailed.

    data_key: what it is encrypted with; None for suite "none". On return key envelope, file, header page and
    name are durable. A crash before the rename leaves a spare with a header page, which the next use
    overwrites, or a temporary file, and perhaps an envelope of no segment.
    """
    path = directory / (header.name.stem + SUFFIX_OPEN)
    source = spare or path.with_suffix(SUFFIX_TEMPORARY)
    if data_key is not None:
        header = commit_to_key(header, data_key.key)
    cipher = open_cipher(header, data_key.key if data_key else None)
    page = encode_header_page(header)
    try:
        if data_key is not None:  # before the segment has its name: no frame may exist that nobody can read
            write_envelope(files, path.with_suffix(SUFFIX_KEYS), data_key.envelope)
        fd = files.open_write(spare) if spare else write_zeros(files, source, capacity_bytes)
        try:
            write_all(files, fd, [page], 0)
            files.sync(fd)
            files.rename(source, path)
            files.sync_directory(directory)
        except OSError:
            files.close(fd)
            raise
    except OSError as error:
        raise log_failed("create", path, error) from error
    return SegmentWriter(files, path, fd, header, page, cipher, capacity_bytes)


class SegmentWriter:
    """An open segment. Not for two threads at once; `open_segment` makes it."""

    def __init__(
        self,
        files: FileOps,
        path: Path,
        fd: int,
        header: SegmentHeader,
        page: bytes,
        cipher: FrameCipher,
        capacity_bytes: int,
    ) -> None:
        self.path, self.header = path, header
        self.blocks = 0
        self.next_record_seq = header.first_record_seq
        self.first_committed_ns = self.last_committed_ns = 0
        self._files, self._fd, self._capacity_bytes = files, fd, capacity_bytes
        self._compression = Compression(header.zstd)
        self._cipher = cipher
        self._offset = self._synced_offset = PAGE_BYTES
        self._frames = 0
        self._table = bytearray()
        self._digest = hashlib.sha256(page)
        self._unbooked: tuple[int, FrameHeader, bytes] | None = None  # offset of a data frame, and the frame
        self._room_until = 0  # one more block may end here: its entry and the footer have room behind it

    def takes(self, records: Sequence[bytes], committed_ns: int) -> bool:
        """Whether a block belongs in this segment: same UTC hour, and room for it and the footer after it.

        An empty segment takes any block, by growing: otherwise a block larger than a segment could be
        written nowhere.
        """
        if not self.blocks:
            return True
        if self._unbooked is not None:
            self.book()
        raw_bytes = sum(map(len, records)) + RECORD_PREFIX_BYTES * len(records)
        frame = FRAME_HEADER_BYTES + payload_bound(raw_bytes) + self._cipher.overhead_bytes
        fits = self._offset + frame <= self._room_until
        return fits and self.blocks < MAX_BLOCKS and same_hour(self.first_committed_ns, committed_ns)

    def append(self, records: Sequence[bytes], committed_ns: int) -> FrameHeader:
        """Write one block; written, not durable, on return. Callers bound it (MAX_RAW_BYTES, MAX_RECORDS), and
        `book` it when nobody waits for it any more."""
        if self._unbooked is not None:
            self.book()
        raw = encode_block(records)
        offset = self._offset
        header, frame = self._write_frame(TYPE_DATA, self._flags(), len(records), raw, committed_ns)
        self._unbooked = (offset, header, frame)
        self.blocks += 1
        self.next_record_seq += len(records)
        self.first_committed_ns = self.first_committed_ns or committed_ns
        self.last_committed_ns = committed_ns
        return header

    def book(self) -> None:
        """Enter the block that was appended last into the block table and the digest of the segment, if it is not
        there yet. Of no use to who waits for the disk, hence apart from writing it."""
        if self._unbooked is None:
            return
        (offset, header, frame), self._unbooked = self._unbooked, None
        info = FrameInfo(
            offset,
            len(frame),
            header.block_seq,
            header.nrec,
            header.flags,
            header.first_record_seq,
            header.committed_ns,
            hashlib.sha256(frame).digest(),
        )
        self._table += encode_entry(info)
        self._digest.update(frame)
        self._room_until = self._capacity_bytes - footer_bound(self.blocks + 1)

    def _flags(self) -> int:
        # Not for a seal behind an unsynced table: a power cut may keep the seal and lose the table.
        return FLAG_ALL_BEFORE_SYNCED if self._synced_offset == self._offset else 0

    def _write_frame(
        self, kind: int, flags: int, nrec: int, raw: bytes, at_ns: int
    ) -> tuple[FrameHeader, bytes]:
        """Compress, seal, frame and write at the known end; returns the frame as on disk, and its header."""
        payload = self._compression.compress(raw)
        overhead = self._cipher.overhead_bytes if kind == TYPE_DATA else 0
        header = FrameHeader(
            len(payload) + overhead,
            self._frames,
            kind,
            flags,
            nrec,
            self.next_record_seq,
            len(raw),
            at_ns,
        )
        authenticated = encode_frame_header(header, self.header.salt32)
        if kind == TYPE_DATA:
            payload = self._cipher.seal(self._frames, authenticated, payload)
        frame = b"".join((authenticated, encode_frame_crc(authenticated, payload), payload))
        self._write(frame)
        self._frames += 1
        return header, frame

    def _write(self, data: bytes) -> None:
        try:
            self._offset += write_all(self._files, self._fd, [data], self._offset)
        except OSError as error:
            raise log_failed("write", self.path, error) from error

    def sync(self) -> None:
        """Everything appended so far is durable on return."""
        if self._synced_offset == self._offset:
            return
        try:
            self._files.sync_data(self._fd)
        except OSError as error:
            raise log_failed("fdatasync", self.path, error) from error
        self._synced_offset = self._offset

    def seal(self) -> Path:
        """End the segment: block table, seal, trailer, real size, final name; all durable on return.

        Everything appended must be synced before. A crash in the middle leaves a segment whose blocks are
        whole and whose footer is not: recovery reads it as any other open segment.
        """
        self.book()
        footer_offset = self._offset
        for start in range(0, len(self._table), ENTRIES_PER_TABLE_FRAME * ENTRY_BYTES):
            table = bytes(self._table[start : start + ENTRIES_PER_TABLE_FRAME * ENTRY_BYTES])
            _, frame = self._write_frame(TYPE_TABLE, self._flags(), 0, table, self.last_committed_ns)
            self._digest.update(frame)
        seal = Seal(
            self.blocks,
            self.header.first_record_seq,
            self.next_record_seq,
            self.first_committed_ns,
            self.last_committed_ns,
        )
        _, frame = self._write_frame(TYPE_SEAL, self._flags(), 0, encode_seal(seal), self.last_committed_ns)
        self._digest.update(frame)
        footer_len = self._offset - footer_offset
        self._write(encode_trailer(Trailer(footer_offset, footer_len, self.blocks, self._digest.digest())))
        return self._finish()

    def _finish(self) -> Path:
        sealed = self.path.with_suffix(SUFFIX_SEALED)
        try:
            self._files.truncate(self._fd, self._offset)
            self._files.sync(self._fd)
            self._files.rename(self.path, sealed)
            self._files.sync_directory(sealed.parent)
        except OSError as error:
            raise log_failed("seal", self.path, error) from error
        self.abandon()
        return sealed

    def abandon(self) -> None:
        """Close the descriptor and touch nothing else; the next start examines the file."""
        self._files.close(self._fd)
