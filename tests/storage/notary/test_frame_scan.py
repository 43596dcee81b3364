import random
from pathlib import Path

import pytest

from storage.errors import CorruptFrame
from storage.files import REAL_FILES
from storage.format import PAGE_BYTES, encode_entry
from storage.notary.frame_scan import SILENCE_NS, FrameScan, Stop
from storage.notary.leaf import block_leaf, encode_leaf
from storage.reader import read_block_table
from storage.segment_file import SegmentFile
from tests.kit.segments import START_NS, begin, flip, header, open_file, record, sealed_file


def scan_file(path: Path, window_bytes: int = 1 << 20) -> FrameScan:
    """The whole file, in windows."""
    with SegmentFile(REAL_FILES, path) as segment:
        scan = FrameScan(segment.header, path.name)
    data = path.read_bytes()
    while scan.stop is Stop.MORE:
        if not scan.feed(data[scan.offset : scan.offset + window_bytes]):
            break
    return scan


def test_entries_and_table_are_those_of_the_slow_reader(tmp_path: Path) -> None:
    path = sealed_file(tmp_path, 2, 1, 3)
    table = read_block_table(path)
    scan = scan_file(path)
    with SegmentFile(REAL_FILES, path) as segment:
        entries = [encode_leaf(block_leaf(segment.header.segment_id, info)) for info in table]
    assert [entry[:2] for entry in scan.entries] == [b"\0\x54"] * 3
    assert [entry[2:] for entry in scan.entries] == entries
    assert scan.table == [encode_entry(info) for info in table]
    assert (scan.stop, scan.block_seq, scan.next_record_seq) == (Stop.FOOTER, 3, 7)
    assert (scan.first_ns, scan.last_ns) == (START_NS, START_NS + 2)
    assert scan.take() == entries
    assert (scan.entries, scan.table) == ([], [])


@pytest.mark.parametrize("window_bytes", [150, 200, 333, 1000])
def test_windows_of_any_size_give_the_same(tmp_path: Path, window_bytes: int) -> None:
    path = sealed_file(tmp_path, 1, 2, 1, 1)
    whole, cut = scan_file(path), scan_file(path, window_bytes)
    assert (cut.entries, cut.table, cut.offset) == (whole.entries, whole.table, whole.offset)
    assert cut.next_record_seq == whole.next_record_seq


def test_zeros_end_an_open_segment(tmp_path: Path) -> None:
    path = open_file(tmp_path, 1, 1)
    scan = scan_file(path)
    assert (scan.stop, scan.block_seq) == (Stop.ZEROS, 2)
    path.write_bytes(path.read_bytes()[: scan.offset])
    assert scan_file(path).stop is Stop.MORE, "the end of the file says nothing"


def test_a_scan_goes_on_in_the_middle(tmp_path: Path) -> None:
    path = sealed_file(tmp_path, 2, 1, 3)
    second = read_block_table(path)[1]
    with SegmentFile(REAL_FILES, path) as segment:
        scan = FrameScan(segment.header, path.name, second.offset, 1, second.first_record_seq)
    scan.feed(path.read_bytes()[second.offset :])
    assert scan.entries == scan_file(path).entries[1:]


def test_both_readers_agree_on_where_damage_begins(tmp_path: Path) -> None:
    """This scan and `segment_file` read the same format: the same flips, the same place."""
    path = sealed_file(tmp_path, 2, 1, 3)
    end = scan_file(path).offset
    rng = random.Random(3)
    for _ in range(1500):
        at, bit = rng.randrange(PAGE_BYTES, end), rng.randrange(8)
        flip(path, at, bit)
        scan = scan_file(path)
        with SegmentFile(REAL_FILES, path) as segment:
            cursor = segment.start()
            with pytest.raises(CorruptFrame) as caught:
                list(iter(lambda: segment.next_block(cursor), None))  # noqa: B023 - used at once
        assert scan.stop in (Stop.BAD, Stop.ZEROS, Stop.MORE), (at, bit)
        assert scan.offset == caught.value.offset == cursor.offset, (at, bit)
        flip(path, at, bit)


def test_what_stands_in_the_place_of_a_frame_is_said(tmp_path: Path) -> None:
    path = sealed_file(tmp_path, 1, 1, 1)
    table = read_block_table(path)
    data = path.read_bytes()
    first, second, third = (data[info.offset : info.offset + info.frame_len] for info in table)
    with SegmentFile(REAL_FILES, path) as segment:
        head = segment.header

    def why(*frames: bytes) -> str:
        scan = FrameScan(head, "x")
        scan.feed(b"".join(frames) + bytes(100))
        return scan.why

    assert why(second) == "frame 1 where 0 belongs"
    assert why(first, third) == "frame 2 where 1 belongs"
    assert why(first[:-1] + b"\xff") == "the frame fails its CRC"
    assert why(b"\xff" * 60) == "the frame does not carry the salt of this segment"
    assert why(first) == "zeros where a frame belongs"
    again = FrameScan(head, "x", next_record_seq=9)
    again.feed(first)
    assert again.why == "record 1 where 9 belongs"


def test_a_footer_counts_only_whole(tmp_path: Path) -> None:
    path = sealed_file(tmp_path, 1)
    end = scan_file(path).offset
    footer = path.read_bytes()[end:]
    with SegmentFile(REAL_FILES, path) as segment:
        head = segment.header
    for length in range(len(footer)):
        scan = FrameScan(head, "x", end, 1, 2)
        scan.feed(footer[:length])
        assert scan.stop is not Stop.FOOTER or length >= 60, length
    frame = path.read_bytes()[PAGE_BYTES:end]
    scan = FrameScan(head, "x")
    used = scan.feed(frame + footer[:45])
    assert (used, scan.stop) == (len(frame), Stop.MORE), "the next window shows the rest"
    scan.feed(footer[:45])
    assert (scan.stop, scan.why) == (Stop.BAD, "the file ends within a frame")
    bad = FrameScan(head, "x", end, 1, 2)
    bad.feed(footer[:50] + b"\xff" + footer[51:])
    assert (bad.stop, bad.why) == (Stop.BAD, "the frame fails its CRC")


def test_long_silences_are_noted_with_the_record_after_them(tmp_path: Path) -> None:
    segment = begin(tmp_path, header())
    for at_ns in (0, SILENCE_NS, 2 * SILENCE_NS + 1):
        segment.append([record(1)], START_NS + at_ns)
    segment.seal()
    (silence,) = scan_file(tmp_path / segment.path.with_suffix(".kseg").name).silences
    assert (silence.record, silence.until_ns - silence.since_ns) == (3, SILENCE_NS + 1)
