"""The data frames of a segment, fast: bytes in windows -> what the tree and the block table must say of them.

Pure, and written for speed: it proves every frame (salt, numbers, bounds, CRC, SHA-256) and makes its tree entry and its
block table entry, both as bytes, so that thousands are compared at once. What stops it is judged elsewhere, slowly.

The trap: this is a second reader of the format beside `segment_file`. A test runs both over the same damage.
"""

import hashlib
import struct
import zlib
from enum import Enum
from typing import Final

import msgspec

from storage.errors import CorruptFrame
from storage.format import (
    FRAME_HEADER_BYTES,
    MAX_PAYLOAD_BYTES,
    MAX_RAW_BYTES,
    PAGE_BYTES,
    TYPE_DATA,
    ZERO_FRAME_HEADER,
    SegmentHeader,
    frame_crc_holds,
    parse_frame_header,
)
from storage.notary.leaf import BLOCK_LAYOUT, LEAF_VERSION, TYPE_BLOCK, encode_segment_id

SILENCE_NS: Final = 180 * 1_000_000_000
"""A gateway that runs writes a heartbeat a minute."""
BUNDLED_ENTRY: Final = struct.Struct("<2s" + BLOCK_LAYOUT.format[1:])
"""A BLOCK entry as it stands in a bundle, behind its length."""
ENTRY_PREFIX: Final = BLOCK_LAYOUT.size.to_bytes(2, "big")
_FRAME: Final = struct.Struct("<IIIBBHQIQI")
_TABLE_ENTRY: Final = struct.Struct("<QIHBBQQ32s")
_CRC_AT: Final = FRAME_HEADER_BYTES - 4


class Stop(Enum):
    """Why a scan does not go on."""

    MORE = "the window ends within a frame"
    ZEROS = "zeros"
    FOOTER = "a frame that holds no records"
    BAD = "a bad frame"


class Silence(msgspec.Struct, frozen=True):
    """Nothing committed for a while. record: the first one after it."""

    offset: int
    record: int
    since_ns: int
    until_ns: int


class FrameScan:
    """One pass over a segment's data frames.

    offset, block_seq, next_record_seq: of the next frame; given to go on in the middle. entries: of a bundle, as bytes,
    one a frame; table: of the block table. stop, why: after `feed`.
    """

    def __init__(
        self,
        header: SegmentHeader,
        segment: str,
        offset: int = PAGE_BYTES,
        block_seq: int = 0,
        next_record_seq: int | None = None,
    ) -> None:
        self.offset, self.block_seq = offset, block_seq
        self.next_record_seq = header.first_record_seq if next_record_seq is None else next_record_seq
        self.entries: list[bytes] = []
        self.table: list[bytes] = []
        self.first_ns = self.last_ns = 0
        self.silences: list[Silence] = []
        self.stop, self.why = Stop.MORE, ""
        self._salt, self._segment = header.salt32, segment
        self._segment_id = encode_segment_id(header.segment_id)

    def take(self) -> list[bytes]:
        """The entries so far, without the length they have in a bundle; forgets them, and the table."""
        entries = [entry[len(ENTRY_PREFIX) :] for entry in self.entries]
        self.entries.clear()
        self.table.clear()
        self.silences.clear()
        return entries

    def feed(self, window: bytes) -> int:
        """Read frames from a window that begins at `offset`; returns how many bytes of it were frames."""
        view, end, base = memoryview(window), len(window), self.offset
        salt, segment_id, seq, expected = self._salt, self._segment_id, self.block_seq, self.next_record_seq
        unpack, sha256, crc32 = _FRAME.unpack_from, hashlib.sha256, zlib.crc32
        encode_entry, encode_row = BUNDLED_ENTRY.pack, _TABLE_ENTRY.pack
        add_entry, add_row = self.entries.append, self.table.append
        last_ns, at = self.last_ns, 0
        is_bad = False
        while at + FRAME_HEADER_BYTES <= end:
            mark, length, number, kind, flags, nrec, first, raw_len, ns, crc = unpack(view, at)
            stop = at + FRAME_HEADER_BYTES + length
            if (
                mark != salt
                or kind != TYPE_DATA
                or number != seq
                or first != expected
                or not 0 < length <= MAX_PAYLOAD_BYTES
                or not 0 < raw_len <= MAX_RAW_BYTES
            ):
                is_bad = True
                break
            if stop > end:
                break
            frame = view[at:stop]
            if crc32(frame[FRAME_HEADER_BYTES:], crc32(frame[:_CRC_AT])) != crc:
                is_bad = True
                break
            digest = sha256(frame).digest()
            offset, size = base + at, stop - at
            add_entry(
                encode_entry(
                    ENTRY_PREFIX,
                    LEAF_VERSION,
                    TYPE_BLOCK,
                    segment_id,
                    seq,
                    offset,
                    size,
                    first,
                    nrec,
                    ns,
                    digest,
                )
            )
            add_row(encode_row(offset, size, nrec, flags, 0, first, ns, digest))
            if ns - last_ns > SILENCE_NS and seq:
                self.silences.append(Silence(offset, first, last_ns, ns))
            last_ns, at, seq, expected = ns, stop, seq + 1, first + nrec
        if self.block_seq == 0 and seq:
            self.first_ns = BUNDLED_ENTRY.unpack(self.entries[0])[9]
        self.offset, self.block_seq, self.next_record_seq, self.last_ns = base + at, seq, expected, last_ns
        self.stop, self.why = self._judge(window, at) if is_bad else (Stop.MORE, "")
        return at

    def _judge(self, window: bytes, at: int) -> tuple[Stop, str]:
        """What stands where the next frame belongs."""
        head = window[at : at + FRAME_HEADER_BYTES]
        if head == ZERO_FRAME_HEADER:
            return Stop.ZEROS, "zeros where a frame belongs"
        try:
            header = parse_frame_header(head, self._salt, self._segment, self.offset)
        except CorruptFrame as error:
            return Stop.BAD, error.why
        if header.block_seq != self.block_seq:
            return Stop.BAD, f"frame {header.block_seq} where {self.block_seq} belongs"
        if header.first_record_seq != self.next_record_seq:
            return Stop.BAD, f"record {header.first_record_seq} where {self.next_record_seq} belongs"
        payload = window[at + FRAME_HEADER_BYTES : at + header.frame_len]
        if len(head) + len(payload) < header.frame_len:
            return (Stop.MORE, "") if at else (Stop.BAD, "the file ends within a frame")
        if not frame_crc_holds(head, payload):
            return Stop.BAD, "the frame fails its CRC"
        return Stop.FOOTER, "a frame that holds no records"
