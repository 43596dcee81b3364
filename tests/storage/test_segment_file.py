from pathlib import Path

import msgspec
import pytest

from storage.errors import CorruptFrame, UnknownDictionary
from storage.files import REAL_FILES
from storage.format import PAGE_BYTES, TRAILER_BYTES, encode_header_page, encode_trailer, parse_trailer
from storage.reader import read_segment
from storage.segment_file import Cursor, SegmentFile
from tests.kit.segments import CAPACITY, begin, flip, header, open_file, sealed_file, write_blocks


def frames_of(path: Path) -> list[tuple[int, int]]:
    return [(frame.info.offset, frame.info.frame_len) for frame in read_segment(path)]


def test_the_frame_at_an_offset_is_given_whole(tmp_path: Path) -> None:
    with SegmentFile(REAL_FILES, open_file(tmp_path, 2, 1)) as segment:
        frame = segment.frame_at(PAGE_BYTES)
        assert frame is not None
        following = segment.frame_at(frame.end)
        assert following is not None
        assert following.header.first_record_seq == 3
        assert segment.frame_at(following.end) is None


def test_every_flipped_bit_of_a_sealed_segment_is_found(tmp_path: Path) -> None:
    """Every byte behind the header page, and one bit of each in it (its own test takes the rest)."""
    path = sealed_file(tmp_path, 1, 1)
    intact = path.read_bytes()
    places = [(at, at % 8) for at in range(0, PAGE_BYTES, 64)]
    places += [(at, bit) for at in range(PAGE_BYTES, len(intact)) for bit in range(8)]
    for at, bit in places:
        flip(path, at, bit)
        with pytest.raises(CorruptFrame):
            list(read_segment(path))
        flip(path, at, bit)
    assert path.read_bytes() == intact
    list(read_segment(path))


def test_a_sealed_segment_cut_anywhere_is_found(tmp_path: Path) -> None:
    path = sealed_file(tmp_path, 1, 2)
    intact = path.read_bytes()
    for end in [*range(0, PAGE_BYTES, 512), *range(PAGE_BYTES, len(intact))]:
        path.write_bytes(intact[:end])
        with pytest.raises(CorruptFrame):
            list(read_segment(path))


def test_a_sealed_segment_with_frames_swapped_dropped_or_doubled_is_found(tmp_path: Path) -> None:
    path = sealed_file(tmp_path, 1, 1, 1)
    intact = path.read_bytes()
    (a, n), (b, m), (c, k) = frames_of(path)
    one, two, three = intact[a : a + n], intact[b : b + m], intact[c : c + k]
    head, tail = intact[:PAGE_BYTES], intact[c + k :]
    for frames in (two + one + three, one + three, one + one + two + three, one + two, two + three):
        path.write_bytes(head + frames + tail)
        with pytest.raises(CorruptFrame):
            list(read_segment(path))


def test_a_frame_spliced_in_from_another_segment_is_found(tmp_path: Path) -> None:
    path = sealed_file(tmp_path, 1, 1)
    other = sealed_file(tmp_path, 1, 1, head=header(2))
    (a, n), (start, _) = frames_of(other)[0], frames_of(path)[0]
    content = bytearray(path.read_bytes())
    content[start : start + n] = other.read_bytes()[a : a + n]
    path.write_bytes(bytes(content))
    with pytest.raises(CorruptFrame, match="salt"):
        list(read_segment(path))


def test_the_tail_of_an_open_segment_may_be_cut_at_every_byte(tmp_path: Path) -> None:
    path = open_file(tmp_path, 1, 2, 1)
    intact = path.read_bytes()
    offsets = frames_of(path)
    end = offsets[-1][0] + offsets[-1][1]
    for cut in range(offsets[0][0] + offsets[0][1], end):
        whole = sum(offset + length <= cut for offset, length in offsets)
        for padding in (b"", bytes(CAPACITY - cut)):
            path.write_bytes(intact[:cut] + padding)
            assert len(list(read_segment(path))) == whole


def test_every_flipped_bit_before_a_durable_frame_of_an_open_segment_is_found(tmp_path: Path) -> None:
    path = open_file(tmp_path, 1, 1, 1)
    last = frames_of(path)[-1][0]
    for at in range(PAGE_BYTES, last):
        for bit in range(8):
            flip(path, at, bit)
            with pytest.raises(CorruptFrame):
                list(read_segment(path))
            flip(path, at, bit)


def test_zeros_where_a_durable_frame_was_are_damage(tmp_path: Path) -> None:
    path = open_file(tmp_path, 1, 1, 1)
    content = bytearray(path.read_bytes())
    (offset, length) = frames_of(path)[1]
    content[offset : offset + length] = bytes(length)
    path.write_bytes(bytes(content))
    with pytest.raises(CorruptFrame, match="zeros where a durable frame was") as caught:
        list(read_segment(path))
    assert caught.value.offset == offset


def test_of_two_unsynced_frames_the_later_alone_is_no_damage(tmp_path: Path) -> None:
    """A power cut keeps pages in any order; nobody was told that these were durable."""
    segment = begin(tmp_path)
    write_blocks(segment, 1)
    write_blocks(segment, 1, 1, sync=False)
    segment.abandon()
    offset = frames_of(segment.path)[1][0]
    flip(segment.path, offset + 40)
    assert len(list(read_segment(segment.path))) == 1


def test_a_frame_that_is_finished_while_it_is_read_is_no_damage(tmp_path: Path) -> None:
    """The reader sees half a frame; before it looks behind, the writer finishes it and writes the next."""
    path = open_file(tmp_path, 1, 1, 1)
    offset, length = frames_of(path)[1]
    intact = path.read_bytes()
    half = bytearray(intact)
    half[offset + length // 2 : offset + length] = bytes(length - length // 2)
    path.write_bytes(bytes(half))

    class Racing(SegmentFile):
        def frames_behind(self, offset: int):  # type: ignore[no-untyped-def]
            path.write_bytes(intact)
            return super().frames_behind(offset)

    with Racing(REAL_FILES, path) as segment:
        cursor = segment.start()
        found = 0
        while segment.next_block(cursor) is not None:
            found += 1
    assert found == 3


def test_salt_bytes_by_chance_are_not_frames(tmp_path: Path) -> None:
    path = open_file(tmp_path, 1)
    content = bytearray(path.read_bytes())
    salt = header().salt32.to_bytes(4, "little")
    for at in (6000, 7000, CAPACITY - 10):  # the last one has no room for a header
        content[at : at + 4] = salt
    content[7004:7032] = b"\x05\0\0\0\x02\0\0\0\x01\x01\x01\0" + bytes(8) + b"\x05\0\0\0" + b"crc!"
    path.write_bytes(bytes(content))
    assert len(list(read_segment(path))) == 1


def test_a_frame_with_wrong_numbers_is_damage_even_at_the_tail(tmp_path: Path) -> None:
    path = open_file(tmp_path, 1, 2, 1)
    content = bytearray(path.read_bytes())
    (_, _), (b, m), (c, k) = frames_of(path)
    content[b : b + k] = content[c : c + k]
    content[b + k :] = bytes(len(content) - b - k)
    path.write_bytes(bytes(content))
    with pytest.raises(CorruptFrame, match="frame 2 where 1 belongs"):
        list(read_segment(path))
    assert m > k


def test_a_record_number_out_of_order_is_damage(tmp_path: Path) -> None:
    with SegmentFile(REAL_FILES, open_file(tmp_path, 1, 1)) as segment:
        with pytest.raises(CorruptFrame, match="record 1 where 5 belongs"):
            segment.next_block(Cursor(PAGE_BYTES, 0, 5))


def test_a_block_behind_a_good_crc_must_still_decompress(tmp_path: Path) -> None:
    """A writer's bug, or a forger who knows the CRC: content is not believed for its checksum."""
    segment = begin(tmp_path)
    segment._compression.compress = lambda raw: b"not zstd"  # type: ignore[method-assign]
    write_blocks(segment, 1)
    segment.abandon()
    with pytest.raises(CorruptFrame, match="compressed data is damaged"):
        list(read_segment(segment.path))


def test_a_missing_dictionary_is_named_and_the_file_closed(tmp_path: Path) -> None:
    head = header()
    path = tmp_path / (head.name.stem + ".open")
    zstd = msgspec.structs.replace(head.zstd, dict_id=40_000)
    path.write_bytes(encode_header_page(msgspec.structs.replace(head, zstd=zstd)))
    with pytest.raises(UnknownDictionary):
        SegmentFile(REAL_FILES, path)


@pytest.mark.parametrize(
    ("attribute", "value", "why"),
    [
        ("next_record_seq", 9, "seal does not describe the records"),
        ("blocks", 1, "disagree on the number of blocks"),
    ],
)
def test_a_seal_that_lies_is_found(tmp_path: Path, attribute: str, value: int, why: str) -> None:
    segment = begin(tmp_path)
    write_blocks(segment, 1, 1)
    setattr(segment, attribute, value)
    path = segment.seal()
    with pytest.raises(CorruptFrame, match=why):
        list(read_segment(path))


def test_a_block_table_that_lies_is_found(tmp_path: Path) -> None:
    segment = begin(tmp_path)
    write_blocks(segment, 1, 1)
    segment._table[40] ^= 1
    path = segment.seal()
    with pytest.raises(CorruptFrame, match="block table does not describe"):
        list(read_segment(path))


def test_a_file_that_is_not_the_sealed_one_is_found_by_its_hash(tmp_path: Path) -> None:
    segment = begin(tmp_path)
    write_blocks(segment, 1)
    segment._digest.update(b"other")
    path = segment.seal()
    with pytest.raises(CorruptFrame, match="SHA-256 differs"):
        list(read_segment(path))


def test_a_trailer_that_points_elsewhere_is_found(tmp_path: Path) -> None:
    path = sealed_file(tmp_path, 1, 1)
    content = bytearray(path.read_bytes())
    end = len(content) - TRAILER_BYTES
    trailer = parse_trailer(bytes(content[end:]), "s", end)
    seal_only = [offset for offset, _ in frames_of(path)][1]
    moved = msgspec.structs.replace(trailer, footer_offset=seal_only, footer_len=end - seal_only)
    content[end:] = encode_trailer(moved)
    path.write_bytes(bytes(content))
    with pytest.raises(CorruptFrame, match="footer is not block table and seal"):
        list(read_segment(path))


def test_a_footer_that_begins_after_a_gap_is_found(tmp_path: Path) -> None:
    """Blocks hidden from the table: an empty segment whose footer is not where its blocks end."""
    segment = begin(tmp_path)
    segment.seal()
    (path,) = tmp_path.iterdir()
    with SegmentFile(REAL_FILES, path) as file:
        with pytest.raises(CorruptFrame, match="where the footer begins"):
            file.check_footer([], PAGE_BYTES + 1)


def test_the_end_of_what_was_written_is_found_behind_zeros(tmp_path: Path) -> None:
    path = open_file(tmp_path, 1)
    with SegmentFile(REAL_FILES, path) as segment:
        frame = segment.frame_at(PAGE_BYTES)
        assert frame is not None
        assert segment.written_end(frame.end) == frame.end
        flip(path, 9000)
        assert segment.written_end(frame.end) == 9001


def test_an_intact_trailer_elsewhere_does_not_end_the_log(tmp_path: Path) -> None:
    with SegmentFile(REAL_FILES, sealed_file(tmp_path, 1)) as segment:
        assert segment.ends_with_trailer(segment.size() - 64)
        assert not segment.ends_with_trailer(PAGE_BYTES)
    with SegmentFile(REAL_FILES, open_file(tmp_path, 1)) as segment:
        assert not segment.ends_with_trailer(PAGE_BYTES)


def test_a_sealed_segment_without_room_for_a_trailer_is_damage(tmp_path: Path) -> None:
    path = sealed_file(tmp_path, 1)
    path.write_bytes(path.read_bytes()[: PAGE_BYTES + 10])
    with (
        SegmentFile(REAL_FILES, path) as segment,
        pytest.raises(CorruptFrame, match="too short to be sealed"),
    ):
        segment.footer()
