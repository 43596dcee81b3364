"""One segment file being read: bytes to checked frames, and what to make of a bad one.

Reads files that another process may be writing, so it tells three things apart. A header of zeros is the
end. A bad frame with nothing durable behind it is an unfinished or torn write: the end too. A bad frame
with a valid one behind it that says "all before me was durable" is damage: `CorruptFrame`. That last frame
can only exist once the bad one was complete, hence the second look before raising.

It checks frames, numbers and the footer; links between segments are the reader's business.
"""

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import msgspec

from storage.dictionary import BadCompression, Compression
from storage.encryption.cipher import SUITE_NONE, BadTag, FrameCipher, open_cipher
from storage.encryption.keys import NO_KEYS, SUFFIX_KEYS, KeyRing, read_envelope
from storage.errors import BadKeyFile, CorruptFrame, NoKey
from storage.files import CHUNK_BYTES, FileOps
from storage.format import (
    FLAG_ALL_BEFORE_SYNCED,
    FRAME_CRC_BYTES,
    FRAME_HEADER_BYTES,
    PAGE_BYTES,
    SUFFIX_SEALED,
    TRAILER_BYTES,
    TYPE_DATA,
    TYPE_SEAL,
    TYPE_TABLE,
    ZERO_FRAME_HEADER,
    FrameHeader,
    FrameInfo,
    Seal,
    Trailer,
    encode_salt,
    frame_crc_holds,
    parse_block,
    parse_entries,
    parse_frame_header,
    parse_header_page,
    parse_seal,
    parse_trailer,
)

WINDOW_BYTES: Final = 256 * 1024
"""One read of a sequential pass: hundreds of frames, a fraction of a millisecond."""
GLANCE_BYTES: Final = 8 * 1024
"""One read for a single frame: most fit."""
ZERO_CHUNK: Final = bytes(CHUNK_BYTES)


class RawFrame(msgspec.Struct, frozen=True):
    """A frame whose CRC holds, still compressed. data: the frame as on disk, header included."""

    offset: int
    header: FrameHeader
    data: bytes

    @property
    def end(self) -> int:
        return self.offset + len(self.data)


class Frame(msgspec.Struct, frozen=True):
    """A data frame, decoded: its place, its hash, its records."""

    info: FrameInfo
    records: list[bytes]


class Cursor(msgspec.Struct):
    """Where a pass over a segment stands. None: not known before the first frame is read."""

    offset: int = PAGE_BYTES
    block_seq: int | None = 0
    next_record_seq: int | None = None


class SegmentFile:
    """A segment opened for reading; use it as a context manager.

    keys: opens its data key when the first frame is decoded; finding and checking frames needs none. Raises
    CorruptFrame (offset 0) when the header page is not intact, UnknownDictionary when it names a dictionary
    this version lacks, OSError from the file system.
    """

    def __init__(
        self, files: FileOps, path: Path, *, keys: KeyRing = NO_KEYS, window_bytes: int = WINDOW_BYTES
    ) -> None:
        self.path, self.sealed = path, path.suffix == SUFFIX_SEALED
        self._files, self._fd, self._keys = files, files.open_read(path), keys
        self._cipher: FrameCipher | None = None
        self._unreadable: NoKey | None = None
        self._window, self._window_offset, self._window_bytes = b"", 0, window_bytes
        try:
            self.page = files.read(self._fd, PAGE_BYTES, 0)
            self.header = parse_header_page(self.page, path.name)
            self._compression = Compression(self.header.zstd)
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> "SegmentFile":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._files.close(self._fd)

    def size(self) -> int:
        return self._files.size(self._fd)

    def start(self) -> Cursor:
        """A cursor before the first frame."""
        return Cursor(next_record_seq=self.header.first_record_seq)

    # --- frames ---------------------------------------------------------------------------------

    def frame_at(self, offset: int) -> RawFrame | None:
        """The frame at an offset, None at the end of the log. Raises CorruptFrame unless it is whole."""
        head = self._bytes_at(offset, FRAME_HEADER_BYTES)
        if head == ZERO_FRAME_HEADER[: len(head)]:
            return None
        if len(head) < FRAME_HEADER_BYTES:
            raise self._damage(offset, "the file ends within a frame header")
        header = parse_frame_header(head, self.header.salt32, self.path.name, offset)
        data = self._bytes_at(offset, header.frame_len)
        if len(data) < header.frame_len:
            raise self._damage(offset, "the file ends within a frame")
        if not frame_crc_holds(data, data[FRAME_HEADER_BYTES:]):
            raise self._damage(offset, "the frame fails its CRC")
        return RawFrame(offset, header, data)

    def next_block(self, cursor: Cursor, *, whole: bool = False) -> RawFrame | None:
        """The data frame at the cursor, which moves behind it; None at the end of the log or at the
        footer, where it stays.

        whole: nobody writes this segment any more, so look behind an end of zeros as well. A sealed
        segment has no end but its footer.
        """
        frame = self._settled_frame(cursor, whole=whole)
        if frame is None or not is_data(frame):
            self._window = b""  # what is zero now may be a frame at the next look
            return None
        header = frame.header
        if cursor.block_seq not in (None, header.block_seq):
            raise self._damage(frame.offset, f"frame {header.block_seq} where {cursor.block_seq} belongs")
        if cursor.next_record_seq not in (None, header.first_record_seq):
            raise self._damage(
                frame.offset, f"record {header.first_record_seq} where {cursor.next_record_seq} belongs"
            )
        cursor.offset, cursor.block_seq = frame.end, header.block_seq + 1
        cursor.next_record_seq = header.first_record_seq + header.nrec
        return frame

    def _settled_frame(self, cursor: Cursor, *, whole: bool) -> RawFrame | None:
        if self.sealed:
            frame = self.frame_at(cursor.offset)
            if frame is None:
                raise self._damage(cursor.offset, "a sealed segment ends without its seal")
            return frame
        try:
            frame = self.frame_at(cursor.offset)
            if frame is not None or not whole:
                return frame
        except CorruptFrame:
            pass
        if not any(later.flags & FLAG_ALL_BEFORE_SYNCED for later in self.frames_behind(cursor.offset)):
            return None
        self._window = b""
        frame = self.frame_at(cursor.offset)  # raises again if this is damage and no longer being written
        if frame is None:
            raise self._damage(cursor.offset, "zeros where a durable frame was")
        return frame

    def frames_behind(self, offset: int) -> Iterator[FrameHeader]:
        """Valid frames of this segment anywhere behind a bad place, found by their salt."""
        region = self._files.read(self._fd, max(self.size() - offset, 0), offset)
        salt = encode_salt(self.header.salt32)
        at = region.find(salt, 1)
        while at >= 0:
            head = region[at : at + FRAME_HEADER_BYTES]
            try:
                if len(head) == FRAME_HEADER_BYTES:
                    header = parse_frame_header(head, self.header.salt32, self.path.name, offset + at)
                    payload = region[at + FRAME_HEADER_BYTES : at + header.frame_len]
                    if frame_crc_holds(head, payload):
                        yield header
            except CorruptFrame:
                pass  # salt bytes by chance: not a frame
            at = region.find(salt, at + 1)

    def decode(self, frame: RawFrame) -> Frame:
        """Decrypt, decompress and split a data frame. Raises CorruptFrame, NoKey (Shredded, OutOfReach),
        BadKeyFile, WrongKey."""
        return Frame(describe(frame), self.records(frame))

    def records(self, frame: RawFrame) -> list[bytes]:
        """Of a data frame, without the hash that only block table and tree ask for. Raises what `decode` does."""
        return parse_block(self._decompress(frame), frame.header.nrec, self.path.name, frame.offset)

    def _decompress(self, frame: RawFrame) -> bytes:
        header, payload = frame.header, frame.data[FRAME_HEADER_BYTES:]
        if is_data(frame):
            payload = self._decrypt(frame, payload)
        try:
            return self._compression.decompress(payload, header.raw_len)
        except BadCompression as error:
            raise self._damage(frame.offset, str(error)) from error

    def _decrypt(self, frame: RawFrame, payload: bytes) -> bytes:
        if self._unreadable is not None:  # looked for once, not once a frame
            raise type(self._unreadable)(str(self._unreadable))  # fresh: a raised one keeps its tracebacks
        if self._cipher is None:
            try:
                self._cipher = open_cipher(self.header, self._data_key())
            except NoKey as error:
                self._unreadable = error
                raise
        try:
            return self._cipher.open(
                frame.header.block_seq, frame.data[: FRAME_HEADER_BYTES - FRAME_CRC_BYTES], payload
            )
        except BadTag as error:
            raise self._damage(frame.offset, "the frame fails its authentication") from error

    def _data_key(self) -> bytes | None:
        if self.header.cipher.suite == SUITE_NONE:
            return None
        envelope = read_envelope(self._files, self.path)
        if envelope.segment_id != self.header.segment_id:
            raise BadKeyFile(
                f"{self.path.stem}{SUFFIX_KEYS}: is the envelope of segment {envelope.segment_id}, not of "
                f"{self.header.segment_id}: restore it from a copy"
            )
        return self._keys.data_key(envelope)

    # --- footer of a sealed segment ---------------------------------------------------------------

    def footer(self) -> tuple[list[FrameInfo], Seal]:
        """Block table and seal, by two reads at the end. Raises CorruptFrame when they are not whole."""
        trailer = self._trailer()
        offset = trailer.footer_offset
        table: list[FrameInfo] = []
        while (frame := self.frame_at(offset)) is not None and frame.header.kind == TYPE_TABLE:
            table += parse_entries(self._decompress(frame), len(table), self.path.name, offset)
            offset = frame.end
        if frame is None or frame.header.kind != TYPE_SEAL or frame.end != self.size() - TRAILER_BYTES:
            raise self._damage(offset, "the footer is not block table and seal")
        seal = parse_seal(self._decompress(frame), self.path.name, frame.offset)
        if not seal.blocks == trailer.nblocks == len(table):
            raise self._damage(offset, "table, seal and trailer disagree on the number of blocks")
        return table, seal

    def _trailer(self) -> Trailer:
        offset = self.size() - TRAILER_BYTES
        if offset < PAGE_BYTES:
            raise self._damage(PAGE_BYTES, "the segment is too short to be sealed")
        return parse_trailer(self._files.read(self._fd, TRAILER_BYTES, offset), self.path.name, offset)

    def ends_with_trailer(self, offset: int) -> bool:
        """Whether the file ends with an intact trailer that begins at `offset`."""
        try:
            self._trailer()
        except CorruptFrame:
            return False
        return offset == self.size() - TRAILER_BYTES

    def check_footer(self, infos: list[FrameInfo], end: int) -> None:
        """Compare a sealed segment's footer with the blocks that were read before offset `end`, and its
        trailer with every byte of the file. Raises CorruptFrame."""
        table, seal = self.footer()
        next_record_seq = infos[-1].first_record_seq + infos[-1].nrec if infos else seal.first_record_seq
        if table != infos:
            raise self._damage(end, "the block table does not describe the blocks")
        if (seal.first_record_seq, seal.next_record_seq) != (self.header.first_record_seq, next_record_seq):
            raise self._damage(end, "the seal does not describe the records")
        trailer = self._trailer()
        if trailer.footer_offset != end:
            raise self._damage(end, "the trailer does not say where the footer begins")
        if self.sha256(0, self.size() - TRAILER_BYTES) != trailer.sha256:
            raise self._damage(end, "the file is not the one that was sealed: its SHA-256 differs")

    # --- bytes --------------------------------------------------------------------------------------

    def sha256(self, start: int, end: int) -> bytes:
        digest = hashlib.sha256()
        for chunk in self.chunks(start, end):
            digest.update(chunk)
        return digest.digest()

    def chunks(self, start: int, end: int) -> Iterator[bytes]:
        """The bytes [start, end) in pieces of at most CHUNK_BYTES."""
        for offset in range(start, end, CHUNK_BYTES):
            yield self._files.read(self._fd, min(CHUNK_BYTES, end - offset), offset)

    def written_end(self, start: int) -> int:
        """Offset behind the last byte that is not zero, at least `start`."""
        end = start
        for index, chunk in enumerate(self.chunks(start, self.size())):
            if chunk != ZERO_CHUNK[: len(chunk)]:
                end = start + index * CHUNK_BYTES + len(chunk.rstrip(b"\0"))
        return end

    def _bytes_at(self, offset: int, length: int) -> bytes:
        at = offset - self._window_offset
        if at < 0 or at + length > len(self._window):
            self._window = self._files.read(self._fd, max(length, self._window_bytes), offset)
            self._window_offset, at = offset, 0
        return self._window[at : at + length]

    def _damage(self, offset: int, why: str) -> CorruptFrame:
        return CorruptFrame(self.path.name, offset, why)


def is_data(frame: RawFrame) -> bool:
    """Whether a frame holds records: behind the first that does not comes only the footer."""
    return frame.header.kind == TYPE_DATA


def describe(frame: RawFrame) -> FrameInfo:
    """What block table and hash tree say of a data frame; needs no key."""
    header = frame.header
    return FrameInfo(
        frame.offset,
        len(frame.data),
        header.block_seq,
        header.nrec,
        header.flags,
        header.first_record_seq,
        header.committed_ns,
        hashlib.sha256(frame.data).digest(),
    )
