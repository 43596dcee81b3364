"""The bytes of a segment: header page, frame headers, block table, trailer, file names.

Translates between bytes and structs, nothing else: no file, no clock, no compression. FORMAT.md is the
authority and a test compares its numbers with the constants here. The trap: "end of log" is a frame
header of 32 zero bytes, not merely a zero length. One flipped bit can turn a length of 64 into 0, and
a reader content with that would call everything behind it unwritten.

Integers are little-endian. Every `parse_*` raises `CorruptFrame` with the offset it was given.
Source: LevelDB and RocksDB (zero means end, a salt per file against stale frames), etcd (torn against
corrupt), litestream LTX (table before trailer).
"""

import re
import struct
import zlib
from collections.abc import Sequence
from typing import Final

import msgspec

from storage.errors import UNDECODABLE, CorruptFrame

PAGE_BYTES: Final = 4096
"""The header page: one disk page, so that it is written whole or not at all on common disks."""
MAGIC: Final = b"KSEG0002"
"""The number is that of the format: 1 kept the time of a commit in its (now encrypted) payload."""
TRAILER_MAGIC: Final = b"KSEGEND1"
SCHEMA_VERSION: Final = 1

MAX_RAW_BYTES: Final = 1024 * 1024
"""A frame before compression: eight of the longest records, and what a reader may have to allocate."""
MAX_PAYLOAD_BYTES: Final = MAX_RAW_BYTES + 8 * 1024
"""zstd's worst case for 1 MiB is 4 KiB more (ZSTD_compressBound); a cipher may add a tag."""
MAX_RECORDS: Final = 65_535
"""Records of one frame: the count is a u16."""
RECORD_PREFIX_BYTES: Final = 4
MAX_RECORD_BYTES: Final = MAX_RAW_BYTES - RECORD_PREFIX_BYTES
MAX_BLOCKS: Final = 262_144
"""Frames of one segment: 64 MiB of the smallest frames would have a table larger than themselves."""

TYPE_DATA: Final = 1
TYPE_TABLE: Final = 3
TYPE_SEAL: Final = 4

FLAG_ALL_BEFORE_SYNCED: Final = 1
"""When this frame was written, every byte before it was durable. After a bad frame, a valid one with
this flag proves damage; without it, a power cut may simply have kept the later of two unsynced pages."""

SUFFIX_OPEN: Final = ".open"
SUFFIX_SEALED: Final = ".kseg"
SUFFIX_RECOVERED: Final = ".recovered"
SUFFIX_TORN: Final = ".torn"
SUFFIX_TOMBSTONE: Final = ".tombstone"

_U32: Final = struct.Struct("<I")
_U64: Final = struct.Struct("<Q")
_FRAME: Final = struct.Struct("<IIIBBHQIQ")
_ENTRY: Final = struct.Struct("<QIHBBQQ32s")
_TRAILER: Final = struct.Struct("<8sQII32sI")

FRAME_CRC_BYTES: Final = _U32.size
FRAME_HEADER_BYTES: Final = _FRAME.size + FRAME_CRC_BYTES
ENTRY_BYTES: Final = _ENTRY.size
TRAILER_BYTES: Final = _TRAILER.size + _U32.size
ENTRIES_PER_TABLE_FRAME: Final = MAX_RAW_BYTES // ENTRY_BYTES
ZERO_FRAME_HEADER: Final = bytes(FRAME_HEADER_BYTES)

SEGMENT_NAME: Final = re.compile(r"([0-9]{13,16})-([0-9]{6,9})-([0-9]{8,12})-([0-9a-f]{8})")


# --- names ------------------------------------------------------------------------------------


class SegmentName(msgspec.Struct, frozen=True, order=True):
    """What a file name says. Ordered by number, because clocks go backwards and numbers do not."""

    number: int  # of this segment in its log, from 1, without holes
    epoch: int  # of the process run that wrote it, from 1
    start_ms: int  # UTC milliseconds at creation
    uuid8: str  # last 8 hex digits of the segment id

    @property
    def stem(self) -> str:
        """The name without its suffix: the stable name, the suffix changes in a segment's life."""
        return f"{self.start_ms:013d}-{self.epoch:06d}-{self.number:08d}-{self.uuid8}"


def parse_segment_name(stem: str) -> SegmentName | None:
    """Read a file name without suffix; None when it is not a segment's."""
    match = SEGMENT_NAME.fullmatch(stem)
    if match is None:
        return None
    start_ms, epoch, number, uuid8 = match.groups()
    return SegmentName(int(number), int(epoch), int(start_ms), uuid8)


LOSS_NAME: Final = re.compile(r"loss-([1-9][0-9]{0,8})\.note")


def is_loss_name(file_name: str) -> bool:
    """Whether a file of a log is an operator's statement that records are gone (storage.notary.loss)."""
    return LOSS_NAME.fullmatch(file_name) is not None


# --- header page ------------------------------------------------------------------------------


class ZstdParameters(msgspec.Struct, frozen=True):
    level: int
    dict_id: int  # 0: no dictionary
    dict_sha256: bytes  # b"": no dictionary


class CipherParameters(msgspec.Struct, frozen=True):
    """How payloads are encrypted. The data key is in no segment: `<segment>.keys` holds it, wrapped."""

    suite: str  # "none": payloads are only compressed
    salt24: bytes = b""  # random, of the key schedule
    commitment32: bytes = b""  # to the data key: no second key opens this segment to something else


class SegmentHeader(msgspec.Struct, frozen=True):
    """Page 0 of a segment: who wrote it, where it belongs, how to read the rest."""

    segment_id: str  # UUID version 7, 36 characters
    log_origin: str
    gateway_id: str
    worker: int
    writer_epoch: int
    segment_number: int
    prev_segment_id: str  # "": the first of its log
    first_record_seq: int  # of the first record this segment may hold
    created_ns: int
    salt32: int
    zstd: ZstdParameters
    cipher: CipherParameters
    schema_version: int = SCHEMA_VERSION

    @property
    def name(self) -> SegmentName:
        return SegmentName(
            self.segment_number, self.writer_epoch, self.created_ns // 1_000_000, self.segment_id[-8:]
        )


_HEADER_ENCODER: Final = msgspec.msgpack.Encoder()
_HEADER_DECODER: Final = msgspec.msgpack.Decoder(SegmentHeader)


def encode_header_map(header: SegmentHeader) -> bytes:
    """The msgpack map of page 0: deterministic, so that a key schedule can be bound to it."""
    return _HEADER_ENCODER.encode(header)


def encode_header_page(header: SegmentHeader) -> bytes:
    """Encode page 0: exactly PAGE_BYTES. Raises ValueError when the map does not fit (a huge origin)."""
    encoded = encode_header_map(header)
    page = MAGIC + _U32.pack(len(encoded)) + encoded
    if len(page) + _U32.size > PAGE_BYTES:
        raise ValueError(f"a segment header of {len(page)} bytes does not fit its page")
    return (page + _U32.pack(zlib.crc32(page))).ljust(PAGE_BYTES, b"\0")


def parse_header_page(page: bytes, segment: str) -> SegmentHeader:
    """Decode page 0. Raises CorruptFrame (offset 0) unless every byte of the page is as written."""
    if len(page) != PAGE_BYTES or page[:8] != MAGIC:
        raise CorruptFrame(segment, 0, "the header page is not one of a kubetape segment")
    end = len(MAGIC) + _U32.size + _U32.unpack_from(page, len(MAGIC))[0]
    if end + _U32.size > PAGE_BYTES:
        raise CorruptFrame(segment, 0, "the header page says it is longer than a page")
    if _U32.unpack_from(page, end)[0] != zlib.crc32(page[:end]):
        raise CorruptFrame(segment, 0, "the header page fails its CRC")
    if any(page[end + _U32.size :]):
        raise CorruptFrame(segment, 0, "the header page is not zero behind its CRC")
    try:
        return _HEADER_DECODER.decode(page[len(MAGIC) + _U32.size : end])
    except UNDECODABLE as error:
        raise CorruptFrame(segment, 0, f"the header map cannot be read: {error}") from error


# --- frames -----------------------------------------------------------------------------------


class FrameHeader(msgspec.Struct, frozen=True, gc=False):
    """The 40 bytes before a payload, but for salt and CRC, which are checked and dropped."""

    payload_len: int
    block_seq: int
    kind: int  # TYPE_*
    flags: int  # FLAG_*
    nrec: int
    first_record_seq: int
    raw_len: int  # bytes before compression
    committed_ns: int  # UTC nanoseconds when the frame was built; in the clear, for readers without keys

    @property
    def frame_len(self) -> int:
        return FRAME_HEADER_BYTES + self.payload_len


def encode_frame_header(header: FrameHeader, salt32: int) -> bytes:
    """Encode bytes 0..36: what the CRC covers before the payload, and a cipher's additional data."""
    return _FRAME.pack(
        salt32,
        header.payload_len,
        header.block_seq,
        header.kind,
        header.flags,
        header.nrec,
        header.first_record_seq,
        header.raw_len,
        header.committed_ns,
    )


def encode_frame_crc(authenticated: bytes, payload: bytes) -> bytes:
    """Encode bytes 36..40: CRC-32/ISO-HDLC over bytes 0..36 and the payload."""
    return _U32.pack(zlib.crc32(payload, zlib.crc32(authenticated)))


def parse_frame_header(data: bytes, salt32: int, segment: str, offset: int) -> FrameHeader:
    """Decode the 40 bytes before a payload and check all that can be checked without it.

    data: exactly FRAME_HEADER_BYTES, not all zero (that is the end of the log). Lengths are bounded
    here, before anybody allocates.
    """
    salt, payload_len, block_seq, kind, flags, nrec, first_seq, raw_len, at_ns = _FRAME.unpack_from(data)
    if salt != salt32:
        raise CorruptFrame(segment, offset, "the frame does not carry the salt of this segment")
    if kind not in (TYPE_DATA, TYPE_TABLE, TYPE_SEAL):
        raise CorruptFrame(segment, offset, f"frame type {kind} is unknown")
    if not (0 < payload_len <= MAX_PAYLOAD_BYTES and 0 < raw_len <= MAX_RAW_BYTES):
        raise CorruptFrame(
            segment, offset, f"a payload of {payload_len} bytes ({raw_len} raw) is out of bounds"
        )
    return FrameHeader(payload_len, block_seq, kind, flags, nrec, first_seq, raw_len, at_ns)


def frame_crc_holds(header: bytes, payload: bytes) -> bool:
    """header: the 40 bytes; payload: all of it."""
    crc: int = _U32.unpack_from(header, _FRAME.size)[0]
    return crc == zlib.crc32(payload, zlib.crc32(header[: _FRAME.size]))


def encode_salt(salt32: int) -> bytes:
    """The first bytes of every frame of a segment: what to search for behind damage."""
    return _U32.pack(salt32)


# --- blocks: what a payload holds once decompressed ----------------------------------------------


def encode_block(records: Sequence[bytes]) -> bytes:
    """Join records into the raw bytes of one data frame: of each its u32 length and its bytes."""
    parts = []
    pack = _U32.pack
    for record in records:
        parts.append(pack(len(record)))
        parts.append(record)
    return b"".join(parts)


def parse_block(raw: bytes, nrec: int, segment: str, offset: int) -> list[bytes]:
    """Split the raw bytes of a data frame into records. Every byte must be accounted for."""
    records: list[bytes] = []
    at = 0
    for _ in range(nrec):
        start = at + RECORD_PREFIX_BYTES
        if start > len(raw):
            raise CorruptFrame(segment, offset, f"{nrec} records announced, {len(records)} found")
        at = start + _U32.unpack_from(raw, at)[0]
        records.append(raw[start:at])
    if at != len(raw):
        raise CorruptFrame(segment, offset, "the records of a block do not end where it ends")
    return records


# --- footer: block table, seal, trailer ------------------------------------------------------------


class FrameInfo(msgspec.Struct, frozen=True, gc=False):
    """One data frame as the block table and a hash tree's leaf know it."""

    offset: int
    frame_len: int  # header and payload
    block_seq: int
    nrec: int
    flags: int
    first_record_seq: int
    committed_ns: int  # UTC nanoseconds when the frame was built
    sha256: bytes  # of the frame as on disk, header included


def encode_entry(info: FrameInfo) -> bytes:
    """Encode one block table entry; block_seq is its place in the table."""
    return _ENTRY.pack(
        info.offset,
        info.frame_len,
        info.nrec,
        info.flags,
        0,
        info.first_record_seq,
        info.committed_ns,
        info.sha256,
    )


def parse_entries(table: bytes, first_block_seq: int, segment: str, offset: int) -> list[FrameInfo]:
    """Decode one table frame's entries, numbered from first_block_seq."""
    if len(table) % ENTRY_BYTES:
        raise CorruptFrame(segment, offset, "the block table ends within an entry")
    infos = []
    for seq, entry in enumerate(_ENTRY.iter_unpack(table), first_block_seq):
        at, frame_len, nrec, flags, reserved, first_record_seq, committed_ns, sha256 = entry
        if reserved:
            raise CorruptFrame(segment, offset, "a reserved byte of the block table is not zero")
        infos.append(FrameInfo(at, frame_len, seq, nrec, flags, first_record_seq, committed_ns, sha256))
    return infos


class Seal(msgspec.Struct, frozen=True):
    """The last frame of a sealed segment: its contents in numbers."""

    blocks: int
    first_record_seq: int
    next_record_seq: int  # one more than the last record; equal to the first when there is none
    first_committed_ns: int  # 0: no block
    last_committed_ns: int


_SEAL_DECODER: Final = msgspec.msgpack.Decoder(Seal)


def encode_seal(seal: Seal) -> bytes:
    return _HEADER_ENCODER.encode(seal)


def parse_seal(raw: bytes, segment: str, offset: int) -> Seal:
    try:
        return _SEAL_DECODER.decode(raw)
    except UNDECODABLE as error:
        raise CorruptFrame(segment, offset, f"the seal cannot be read: {error}") from error


class Trailer(msgspec.Struct, frozen=True):
    """The last 64 bytes of a sealed segment."""

    footer_offset: int  # of the first table or seal frame
    footer_len: int  # bytes of table and seal frames
    nblocks: int
    sha256: bytes  # of every byte before the trailer


def encode_trailer(trailer: Trailer) -> bytes:
    body = _TRAILER.pack(
        TRAILER_MAGIC, trailer.footer_offset, trailer.footer_len, trailer.nblocks, trailer.sha256, 0
    )
    return body + _U32.pack(zlib.crc32(body))


def parse_trailer(data: bytes, segment: str, offset: int) -> Trailer:
    """Decode the last 64 bytes of a sealed segment; offset: where they begin."""
    if len(data) != TRAILER_BYTES or data[:8] != TRAILER_MAGIC:
        raise CorruptFrame(
            segment, offset, "the segment does not end with a trailer: it was cut or never sealed"
        )
    if _U32.unpack_from(data, _TRAILER.size)[0] != zlib.crc32(data[: _TRAILER.size]):
        raise CorruptFrame(segment, offset, "the trailer fails its CRC")
    _, footer_offset, footer_len, nblocks, sha256, reserved = _TRAILER.unpack_from(data)
    if reserved or footer_offset < PAGE_BYTES or footer_offset + footer_len != offset:
        raise CorruptFrame(segment, offset, "the trailer does not fit the file")
    return Trailer(footer_offset, footer_len, nblocks, sha256)
