"""The footer of a sealed segment as bytes -> trailer, seal and block table, without making a struct of every entry.

Translates, for `verify`, which compares a table of 100,000 entries as one string. `segment_file` reads footers entry by
entry for whoever needs the blocks.
"""

from collections.abc import Iterator

import msgspec

from storage.dictionary import BadCompression, Compression
from storage.errors import CorruptFrame
from storage.format import (
    FRAME_HEADER_BYTES,
    TYPE_SEAL,
    TYPE_TABLE,
    Seal,
    SegmentHeader,
    Trailer,
    frame_crc_holds,
    parse_frame_header,
    parse_seal,
    parse_trailer,
)


class Footer(msgspec.Struct, frozen=True):
    """table: the entries of all table frames, joined."""

    trailer: Trailer
    seal: Seal
    table: bytes


def parse_footer(data: bytes, tail: bytes, offset: int, header: SegmentHeader, name: str) -> Footer:
    """data: the frames from `offset` on; tail: the 64 bytes behind them. Raises CorruptFrame."""
    end = offset + len(data)
    trailer = parse_trailer(tail, name, end)
    if trailer.footer_offset != offset:
        raise CorruptFrame(name, end, "the trailer does not say where the footer begins")
    *tables, last = [(0, b"", offset), *_frames(data, offset, header, name)]
    if last[0] != TYPE_SEAL or any(kind != TYPE_TABLE for kind, _, _ in tables[1:]):
        raise CorruptFrame(name, offset, "the footer is not block table and seal")
    return Footer(trailer, parse_seal(last[1], name, last[2]), b"".join(raw for _, raw, _ in tables))


def _frames(data: bytes, offset: int, header: SegmentHeader, name: str) -> Iterator[tuple[int, bytes, int]]:
    """(type, raw bytes, offset) of each frame."""
    compression, at = Compression(header.zstd), 0
    while at < len(data):
        head = data[at : at + FRAME_HEADER_BYTES]
        if len(head) < FRAME_HEADER_BYTES:
            raise CorruptFrame(name, offset + at, "the footer ends within a frame")
        frame = parse_frame_header(head, header.salt32, name, offset + at)
        payload = data[at + FRAME_HEADER_BYTES : at + frame.frame_len]
        if not frame_crc_holds(head, payload):
            raise CorruptFrame(name, offset + at, "the frame fails its CRC")
        try:
            yield frame.kind, compression.decompress(payload, frame.raw_len), offset + at
        except BadCompression as error:
            raise CorruptFrame(name, offset + at, str(error)) from error
        at += frame.frame_len
