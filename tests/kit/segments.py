"""Small segments to read, cut and damage."""

from pathlib import Path

from storage.dictionary import shipped_parameters
from storage.files import REAL_FILES, FileOps
from storage.format import CipherParameters, SegmentHeader
from storage.segment_id import new_segment_id
from storage.writer import SegmentWriter, open_segment

START_NS = 1_790_000_000_123_456_789
SALT = 0x5EED_1234
CAPACITY = 16 * 1024


def header(
    number: int = 1, *, first_record_seq: int = 1, prev: str = "", dict_id: int = 32_769
) -> SegmentHeader:
    return SegmentHeader(
        segment_id=new_segment_id(START_NS),
        log_origin="example.com/kubetape/gw",
        gateway_id="gw",
        worker=0,
        writer_epoch=1,
        segment_number=number,
        prev_segment_id=prev,
        first_record_seq=first_record_seq,
        created_ns=START_NS,
        salt32=SALT + number,
        zstd=shipped_parameters(dict_id),
        cipher=CipherParameters("none"),
    )


def begin(
    directory: Path,
    head: SegmentHeader | None = None,
    *,
    files: FileOps = REAL_FILES,
    capacity: int = CAPACITY,
) -> SegmentWriter:
    return open_segment(files, directory, head or header(), capacity_bytes=capacity, spare=None)


def record(number: int) -> bytes:
    """A record whose bytes say which one it is."""
    return b"record %d " % number + bytes(range(number % 50))


def write_blocks(segment: SegmentWriter, *counts: int, sync: bool = True) -> list[bytes]:
    """Append blocks of so many numbered records each; returns all of them."""
    written = []
    for index, count in enumerate(counts):
        block = [record(segment.next_record_seq + at) for at in range(count)]
        segment.append(block, START_NS + index)
        written += block
        if sync:
            segment.sync()
    return written


def open_file(directory: Path, *counts: int, head: SegmentHeader | None = None) -> Path:
    """A segment as a crash leaves it."""
    segment = begin(directory, head)
    write_blocks(segment, *counts)
    segment.abandon()
    return segment.path


def sealed_file(directory: Path, *counts: int, head: SegmentHeader | None = None) -> Path:
    segment = begin(directory, head)
    write_blocks(segment, *counts)
    return segment.seal()


def flip(path: Path, offset: int, bit: int = 0) -> None:
    """Flip one bit of a file."""
    data = bytearray(path.read_bytes())
    data[offset] ^= 1 << bit
    path.write_bytes(data)
