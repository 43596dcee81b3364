from pathlib import Path

import pytest

from storage.errors import CorruptFrame
from storage.files import REAL_FILES
from storage.format import encode_entry
from storage.segment_file import SegmentFile
from storage.segment_footer import parse_footer
from tests.kit.segments import sealed_file


def test_the_footer_says_what_the_slow_reader_says(tmp_path: Path) -> None:
    path = sealed_file(tmp_path, 2, 1, 3)
    with SegmentFile(REAL_FILES, path) as segment:
        table, seal = segment.footer()
        header = segment.header
    data = path.read_bytes()
    offset = table[-1].offset + table[-1].frame_len
    footer = parse_footer(data[offset:-64], data[-64:], offset, header, path.name)
    assert (footer.table, footer.seal) == (b"".join(map(encode_entry, table)), seal)
    assert (footer.trailer.footer_offset, footer.trailer.nblocks) == (offset, 3)


def test_every_flipped_bit_of_a_footer_is_found_and_placed_in_it(tmp_path: Path) -> None:
    path = sealed_file(tmp_path, 2, 1, 3)
    with SegmentFile(REAL_FILES, path) as segment:
        table, header = segment.footer()[0], segment.header
    data = path.read_bytes()
    offset = table[-1].offset + table[-1].frame_len
    for at in range(offset, len(data)):
        for bit in range(8):
            flipped = data[:at] + bytes([data[at] ^ 1 << bit]) + data[at + 1 :]
            with pytest.raises(CorruptFrame) as caught:
                parse_footer(flipped[offset:-64], flipped[-64:], offset, header, path.name)
            assert offset <= caught.value.offset <= len(data) - 64
