"""The entries of a log's hash tree: what each leaf commits to, in a fixed binary layout.

Translates between leaves and bytes; who makes them, in which order, is `notary`'s business. A leaf holds numbers
and hashes of bytes on disk, no personal data: the tree may be published, verifying needs no key, and destroying a
key leaves every proof valid. A type this version does not know is kept as it is.

Little-endian, one byte version, one byte type, then:

    1 BLOCK          segment_id 16, block_seq u32, offset u64, frame_len u32, first_record_seq u64, nrec u16,
                     committed_ns u64, sha256 of the frame as on disk
    2 SEALED         segment_id 16, prev_segment_id 16 (zeros: the first), number u64, size u64, sha256 of the whole
                     file, blocks u32, first_record_seq u64, next_record_seq u64, first and last committed_ns u64
    3 RECOVERED      segment_id 16 (zeros: no header page), prev_segment_id 16, number u64, valid_bytes u64, sha256 of
                     them, torn_bytes u64, sha256 of them (zeros: none), finding u8, next_record_seq u64
    4 TOMBSTONE      segment_id 16, number u64, sha256 of the file `<segment>.tombstone`
    5 SHREDDED       segment_id 16, number u64, sha256 of the file `<segment>.shredded`
    6 LOSS_ACCEPTED  sha256 of the statement `loss-<n>.note`

The trap: a leaf has one spelling only. Two encodings of one statement would be two different trees, hence the exact
lengths and the checks in `parse_leaf`.
"""

import struct
from typing import Final, TypeAlias

import msgspec

from storage.errors import StorageError
from storage.format import FrameInfo

LEAF_VERSION: Final = 1
TYPE_BLOCK: Final = 1
TYPE_SEALED: Final = 2
TYPE_RECOVERED: Final = 3
TYPE_TOMBSTONE: Final = 4
TYPE_SHREDDED: Final = 5
TYPE_LOSS_ACCEPTED: Final = 6

FINDINGS: Final = ("clean", "torn", "corrupt")
"""What recovery says of an open segment, by its number in a RECOVERED leaf."""

BLOCK_LAYOUT: Final = struct.Struct("<BB16sIQIQHQ32s")
_SEALED: Final = struct.Struct("<BB16s16sQQ32sIQQQQ")
_RECOVERED: Final = struct.Struct("<BB16s16sQQ32sQ32sBQ")
_FILE: Final = struct.Struct("<BB16sQ32s")
_STATEMENT: Final = struct.Struct("<BB32s")
_LENGTHS: Final = {
    TYPE_BLOCK: BLOCK_LAYOUT.size,
    TYPE_SEALED: _SEALED.size,
    TYPE_RECOVERED: _RECOVERED.size,
    TYPE_TOMBSTONE: _FILE.size,
    TYPE_SHREDDED: _FILE.size,
    TYPE_LOSS_ACCEPTED: _STATEMENT.size,
}
_NO_ID: Final = bytes(16)
_NO_HASH: Final = bytes(32)


class BadLeaf(StorageError):
    """An entry of a hash tree is not what its type says: the entry files are damaged, or another log's."""


class BlockLeaf(msgspec.Struct, frozen=True, gc=False):
    """One data frame. Sizes in bytes, times in UTC nanoseconds."""

    segment_id: str
    block_seq: int
    offset: int
    frame_len: int
    first_record_seq: int
    nrec: int
    committed_ns: int
    sha256: bytes

    @property
    def end(self) -> int:
        """Offset behind the frame."""
        return self.offset + self.frame_len

    @property
    def next_record_seq(self) -> int:
        return self.first_record_seq + self.nrec


class SealedLeaf(msgspec.Struct, frozen=True):
    """A complete segment, after the leaves of its blocks."""

    segment_id: str
    prev_segment_id: str  # "": the first of its log
    number: int
    size: int
    sha256: bytes  # of every byte of the file
    blocks: int
    first_record_seq: int
    next_record_seq: int
    first_committed_ns: int  # 0: no block
    last_committed_ns: int


class RecoveredLeaf(msgspec.Struct, frozen=True):
    """A segment that a crash left and recovery examined; see storage.recovery.Examination."""

    segment_id: str  # "": its header page is not intact
    prev_segment_id: str
    number: int
    valid_bytes: int
    valid_sha256: bytes
    torn_bytes: int
    torn_sha256: bytes  # b"": no torn bytes
    finding: str  # one of FINDINGS
    next_record_seq: int


class TombstoneLeaf(msgspec.Struct, frozen=True):
    """Retention deleted a segment and left a signed note with this hash."""

    segment_id: str
    number: int
    sha256: bytes


class ShreddedLeaf(msgspec.Struct, frozen=True):
    """The key of a segment was destroyed, and a note says so."""

    segment_id: str
    number: int
    sha256: bytes


class LossAcceptedLeaf(msgspec.Struct, frozen=True):
    """An operator made the log go on although records were gone, by a signed statement with this hash."""

    sha256: bytes


class UnknownLeaf(msgspec.Struct, frozen=True):
    """A leaf of a newer version: it counts in the tree, and says nothing here."""

    version: int
    kind: int
    entry: bytes


Leaf: TypeAlias = (
    BlockLeaf | SealedLeaf | RecoveredLeaf | TombstoneLeaf | ShreddedLeaf | LossAcceptedLeaf | UnknownLeaf
)


def encode_segment_id(segment_id: str) -> bytes:
    """36 characters of a UUID -> 16 bytes; "" -> zeros. Raises BadLeaf for any other text."""
    if not segment_id:
        return _NO_ID
    try:
        value = bytes.fromhex(segment_id.replace("-", ""))
    except ValueError:
        value = b""
    if len(value) != len(_NO_ID) or parse_segment_id(value) != segment_id:
        raise BadLeaf(f"{segment_id[:40]!r} is not a segment id")
    return value


def parse_segment_id(value: bytes) -> str:
    """16 bytes -> the text of a UUID; zeros -> ""."""
    digits = value.hex()
    if value == _NO_ID:
        return ""
    return "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]))


def block_leaf(segment_id: str, info: FrameInfo) -> BlockLeaf:
    """The leaf of a data frame."""
    return BlockLeaf(
        segment_id,
        info.block_seq,
        info.offset,
        info.frame_len,
        info.first_record_seq,
        info.nrec,
        info.committed_ns,
        info.sha256,
    )


def encode_leaf(leaf: Leaf) -> bytes:
    """The entry of a leaf. Raises BadLeaf when a segment id is none, struct.error when a number does not fit."""
    match leaf:
        case BlockLeaf():
            segment_id, *numbers = msgspec.structs.astuple(leaf)
            return BLOCK_LAYOUT.pack(LEAF_VERSION, TYPE_BLOCK, encode_segment_id(segment_id), *numbers)
        case SealedLeaf():
            segment_id, prev, *numbers = msgspec.structs.astuple(leaf)
            ids = encode_segment_id(segment_id), encode_segment_id(prev)
            return _SEALED.pack(LEAF_VERSION, TYPE_SEALED, *ids, *numbers)
        case RecoveredLeaf():
            return _RECOVERED.pack(
                LEAF_VERSION,
                TYPE_RECOVERED,
                encode_segment_id(leaf.segment_id),
                encode_segment_id(leaf.prev_segment_id),
                leaf.number,
                leaf.valid_bytes,
                leaf.valid_sha256,
                leaf.torn_bytes,
                leaf.torn_sha256 or _NO_HASH,
                FINDINGS.index(leaf.finding),
                leaf.next_record_seq,
            )
        case TombstoneLeaf() | ShreddedLeaf():
            kind = TYPE_TOMBSTONE if isinstance(leaf, TombstoneLeaf) else TYPE_SHREDDED
            return _FILE.pack(
                LEAF_VERSION, kind, encode_segment_id(leaf.segment_id), leaf.number, leaf.sha256
            )
        case LossAcceptedLeaf():
            return _STATEMENT.pack(LEAF_VERSION, TYPE_LOSS_ACCEPTED, leaf.sha256)
        case _:
            return leaf.entry


def parse_leaf(entry: bytes) -> Leaf:
    """The leaf of an entry. Raises BadLeaf when it is not exactly what its type says."""
    if len(entry) < 2:
        raise BadLeaf(f"an entry of {len(entry)} bytes has no type")
    version, kind = entry[0], entry[1]
    if version != LEAF_VERSION or kind not in _LENGTHS:
        return UnknownLeaf(version, kind, entry)
    if len(entry) != _LENGTHS[kind]:
        raise BadLeaf(f"an entry of type {kind} has {_LENGTHS[kind]} bytes, this one has {len(entry)}")
    if kind == TYPE_BLOCK:
        _, _, segment_id, *fields = BLOCK_LAYOUT.unpack(entry)
        return BlockLeaf(parse_segment_id(segment_id), *fields)
    if kind == TYPE_SEALED:
        _, _, segment_id, prev, *fields = _SEALED.unpack(entry)
        return SealedLeaf(parse_segment_id(segment_id), parse_segment_id(prev), *fields)
    if kind == TYPE_RECOVERED:
        return _parse_recovered(entry)
    if kind == TYPE_LOSS_ACCEPTED:
        return LossAcceptedLeaf(_STATEMENT.unpack(entry)[2])
    _, _, segment_id, number, sha256 = _FILE.unpack(entry)
    made = TombstoneLeaf if kind == TYPE_TOMBSTONE else ShreddedLeaf
    return made(parse_segment_id(segment_id), number, sha256)


def _parse_recovered(entry: bytes) -> RecoveredLeaf:
    _, _, segment_id, prev, number, valid, valid_sha256, torn, torn_sha256, finding, next_seq = (
        _RECOVERED.unpack(entry)
    )
    if finding >= len(FINDINGS):
        raise BadLeaf(f"finding {finding} of a recovered segment is unknown")
    if (torn == 0) != (torn_sha256 == _NO_HASH):
        raise BadLeaf("a recovered segment has torn bytes without a hash, or a hash without torn bytes")
    return RecoveredLeaf(
        parse_segment_id(segment_id),
        parse_segment_id(prev),
        number,
        valid,
        valid_sha256,
        torn,
        torn_sha256 if torn else b"",
        FINDINGS[finding],
        next_seq,
    )
