from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from storage.errors import CorruptFrame, StorageError
from storage.files import REAL_FILES
from storage.reader import (
    Position,
    first_position,
    iter_records,
    list_segments,
    open_segment_file,
    read_block_table,
    read_record,
    read_segment,
)
from storage.segment_file import SegmentFile
from storage.writer import SegmentWriter
from tests.kit.segments import begin, flip, header, open_file, record, write_blocks


def two_segments(directory: Path, *, seal: bool = True) -> tuple[SegmentWriter, SegmentWriter]:
    """Records 1 to 6 in a first segment, sealed or not, and 7 to 9 in a second, still open one."""
    first = begin(directory)
    write_blocks(first, 3, 1, 2)
    second = begin(directory, header(2, first_record_seq=7, prev=first.header.segment_id))
    write_blocks(second, 1, 2)
    if seal:
        first.seal()
    return first, second


def read_all(directory: Path, start: Position | None = None) -> list[tuple[int, bytes]]:
    return [(position.record_seq, data) for position, data in iter_records(directory, start=start)]


@pytest.mark.parametrize("seal", [True, False])
def test_records_come_in_order_over_segments(tmp_path: Path, seal: bool) -> None:
    two_segments(tmp_path, seal=seal)
    assert read_all(tmp_path) == [(seq, record(seq)) for seq in range(1, 10)]


def test_an_empty_directory_has_no_records(tmp_path: Path) -> None:
    (tmp_path / "LOCK").touch()
    (tmp_path / "x.spare").touch()
    assert list_segments(tmp_path) == []
    assert read_all(tmp_path) == []


def test_reading_goes_on_from_every_position(tmp_path: Path) -> None:
    two_segments(tmp_path)
    positions = [position for position, _ in iter_records(tmp_path)]
    for at, position in enumerate(positions):
        assert [p for p, _ in iter_records(tmp_path, start=position)] == positions[at:]
        assert [p for p, _ in iter_records(tmp_path, start=position.next())] == positions[at + 1 :]


def test_a_log_can_be_followed_while_it_grows_rotates_and_is_sealed(tmp_path: Path) -> None:
    segment = begin(tmp_path)
    seen: list[int] = []
    position: Position | None = None

    def follow() -> list[int]:
        nonlocal position
        fresh = []
        for at, data in iter_records(tmp_path, start=position.next() if position else None):
            assert data == record(at.record_seq)
            position = at
            fresh.append(at.record_seq)
        seen.extend(fresh)
        return fresh

    assert follow() == []
    write_blocks(segment, 2)
    assert follow() == [1, 2]
    assert follow() == []
    write_blocks(segment, 1, 1)
    second = begin(tmp_path, header(2, first_record_seq=5, prev=segment.header.segment_id))
    assert follow() == [3, 4]
    segment.seal()
    assert follow() == []
    write_blocks(second, 1)
    assert follow() == [5]
    second.seal()
    assert follow() == []
    begin(tmp_path, header(3, first_record_seq=6, prev=second.header.segment_id))
    assert follow() == []
    assert seen == [1, 2, 3, 4, 5]


def test_records_written_just_before_a_rotation_are_not_missed(tmp_path: Path) -> None:
    """The reader is at the end of an open segment; it grows; then its successor appears."""
    first = begin(tmp_path)
    write_blocks(first, 1)
    reading = iter_records(tmp_path)
    assert next(reading)[0].record_seq == 1

    class Growing:
        """Names are listed after the reader has seen the end: by then both things have happened."""

        def __getattr__(self, name: str) -> object:
            return getattr(REAL_FILES, name)

        calls = 0

        def names(self, directory: Path) -> list[str]:
            self.calls += 1
            if self.calls == 2:
                write_blocks(first, 2)
                second = begin(tmp_path, header(2, first_record_seq=4, prev=first.header.segment_id))
                write_blocks(second, 1)
            return REAL_FILES.names(directory)

    seqs = [position.record_seq for position, _ in iter_records(tmp_path, files=Growing())]  # type: ignore[arg-type]
    assert seqs == [1, 2, 3, 4]


def test_starting_in_an_empty_segment_still_checks_the_link(tmp_path: Path) -> None:
    first = begin(tmp_path)
    start = first_position(tmp_path, first.header.name)
    assert read_all(tmp_path, start) == []
    second = begin(tmp_path, header(2, first_record_seq=1, prev=first.header.segment_id))
    write_blocks(second, 1)
    assert read_all(tmp_path, start) == [(1, record(1))]


def test_a_record_is_found_by_its_position(tmp_path: Path) -> None:
    two_segments(tmp_path)
    for position, data in iter_records(tmp_path):
        assert read_record(tmp_path, position) == data


def test_a_position_of_another_log_is_refused(tmp_path: Path) -> None:
    two_segments(tmp_path)
    good = next(iter_records(tmp_path))[0]
    for wrong in (
        Position(good.segment, good.offset, 1, 1),
        Position(good.segment, good.offset, 3, 4),
        Position(good.segment, good.offset, -1, 0),
    ):
        with pytest.raises(StorageError, match="is not at byte"):
            read_record(tmp_path, wrong)
    for wrong in (Position(good.segment, good.offset, 1, 7), Position(good.segment, good.offset, 4, 5)):
        with pytest.raises(StorageError, match="is not at byte"):
            list(iter_records(tmp_path, start=wrong))
    with pytest.raises(StorageError, match="not the name of a segment"):
        read_record(tmp_path, Position("nonsense", 4096, 0, 1))
    with pytest.raises(FileNotFoundError):
        read_record(tmp_path, Position(good.segment[:-1] + "x".replace("x", "0"), 4096, 0, 1))


def test_no_record_is_read_out_of_a_footer_or_behind_the_end(tmp_path: Path) -> None:
    first, second = two_segments(tmp_path)
    table = read_block_table(tmp_path / (first.header.name.stem + ".kseg"))
    footer = table[-1].offset + table[-1].frame_len
    with pytest.raises(StorageError, match="there is no record at byte"):
        read_record(tmp_path, Position(first.header.name.stem, footer, 0, 7))
    with pytest.raises(StorageError, match="there is no record at byte"):
        read_record(tmp_path, Position(second.header.name.stem, 12_000, 0, 7))


def test_a_missing_segment_is_found(tmp_path: Path) -> None:
    first, second = two_segments(tmp_path)
    third = begin(tmp_path, header(3, first_record_seq=10, prev=second.header.segment_id))
    write_blocks(third, 1)
    (tmp_path / (second.header.name.stem + ".open")).unlink()
    with pytest.raises(CorruptFrame, match="a segment is missing or damaged"):
        read_all(tmp_path)
    assert read_all(tmp_path, first_position(tmp_path, third.header.name)) == [(10, record(10))]
    (tmp_path / (first.header.name.stem + ".kseg")).unlink()
    assert read_all(tmp_path) == [(10, record(10))]  # retention takes from the front


def test_what_precedes_damage_is_still_given(tmp_path: Path) -> None:
    two_segments(tmp_path, seal=False)
    path = next(path for path in tmp_path.iterdir() if "-00000001-" in path.name)
    table = read_block_table(path)
    flip(path, table[1].offset + 40)
    reading = iter_records(tmp_path)
    assert [next(reading)[0].record_seq for _ in range(3)] == [1, 2, 3]
    with pytest.raises(CorruptFrame) as caught:
        next(reading)
    assert (caught.value.segment, caught.value.offset) == (path.name, table[1].offset)


def test_the_live_end_of_a_log_is_no_damage_whatever_half_a_frame_says(tmp_path: Path) -> None:
    path = open_file(tmp_path, 1, 1)
    (_, last) = read_block_table(path)
    intact = path.read_bytes()
    for cut in range(last.offset, last.offset + last.frame_len):
        path.write_bytes(intact[:cut] + bytes(len(intact) - cut))
        assert [seq for seq, _ in read_all(tmp_path)] == [1]


def test_a_segment_is_found_under_any_of_its_names(tmp_path: Path) -> None:
    first, _ = two_segments(tmp_path)
    stem = first.header.name.stem
    with open_segment_file(tmp_path, first.header.name, REAL_FILES) as segment:
        assert segment.sealed
    (tmp_path / (stem + ".kseg")).rename(tmp_path / (stem + ".recovered"))
    with open_segment_file(tmp_path, first.header.name, REAL_FILES) as segment:
        assert not segment.sealed
    assert len(read_all(tmp_path)) == 9
    (tmp_path / (stem + ".recovered")).unlink()
    with pytest.raises(FileNotFoundError, match=stem):
        open_segment_file(tmp_path, first.header.name, REAL_FILES)


def test_the_block_table_of_an_open_segment_is_made_by_reading_it(tmp_path: Path) -> None:
    segment = begin(tmp_path)
    segment.append([record(1)], 1_790_000_000_000_000_000)
    segment.append([record(2)], 5)
    made = read_block_table(segment.path)
    assert [info.nrec for info in made] == [1, 1]
    segment.sync()
    assert made == read_block_table(segment.seal()), "as the writer has it"


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.lists(st.binary(min_size=1, max_size=300), min_size=1, max_size=8), max_size=8), st.booleans()
)
def test_whatever_is_written_is_read(
    tmp_path_factory: pytest.TempPathFactory, blocks: list[list[bytes]], seal: bool
) -> None:
    directory = tmp_path_factory.mktemp("log")
    segment = begin(directory)
    for block in blocks:
        segment.append(block, 1_790_000_000_000_000_000)
    segment.sync()
    path = segment.seal() if seal else segment.path
    assert [frame.records for frame in read_segment(path)] == blocks
    assert [data for _, data in iter_records(directory)] == [one for block in blocks for one in block]


def test_a_reader_sees_a_segment_that_is_sealed_under_its_hands(tmp_path: Path) -> None:
    segment = begin(tmp_path)
    write_blocks(segment, 2)
    with SegmentFile(REAL_FILES, segment.path) as file:
        cursor = file.start()
        assert file.next_block(cursor) is not None
        assert file.next_block(cursor) is None
        segment.seal()
        assert file.next_block(cursor) is None


def test_a_hole_where_every_segment_left_a_tombstone_is_stepped_over(tmp_path: Path) -> None:
    """Whether the tombstone is genuine is the question of `verify`."""
    names, prev = [], ""
    for number in range(1, 5):
        segment = begin(tmp_path, header(number, first_record_seq=2 * number - 1, prev=prev))
        write_blocks(segment, 2)
        names.append(segment.seal())
        prev = segment.header.segment_id
    for path in names[1:3]:
        path.unlink()
    names[1].with_suffix(".tombstone").write_bytes(b"note")
    with pytest.raises(CorruptFrame, match="a segment is missing or damaged"):
        read_all(tmp_path)
    names[2].with_suffix(".tombstone").write_bytes(b"note")
    assert [seq for seq, _ in read_all(tmp_path)] == [1, 2, 7, 8]
