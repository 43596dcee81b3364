import errno
import hashlib
import uuid
from pathlib import Path

import pytest

from storage.errors import LogFailed
from storage.format import (
    FLAG_ALL_BEFORE_SYNCED,
    MAX_BLOCKS,
    PAGE_BYTES,
    TRAILER_BYTES,
    encode_header_page,
    parse_header_page,
    parse_trailer,
)
from storage.reader import read_block_table, read_segment
from storage.segment_id import new_segment_id
from storage.writer import footer_bound, new_salt, open_segment, same_hour, write_zeros
from tests.kit.faulty_files import FailingFiles
from tests.kit.segments import CAPACITY, START_NS, begin, header, record, write_blocks


def test_a_new_segment_is_a_header_page_and_zeros_under_its_name(tmp_path: Path) -> None:
    segment = begin(tmp_path)
    segment.abandon()
    content = segment.path.read_bytes()
    assert [path.name for path in tmp_path.iterdir()] == [
        header().name.stem[:-8] + segment.path.stem[-8:] + ".open"
    ]
    assert parse_header_page(content[:PAGE_BYTES], "s") == segment.header
    assert content[PAGE_BYTES:] == bytes(CAPACITY - PAGE_BYTES)


def test_a_spare_becomes_the_segment_even_if_it_was_begun_before(tmp_path: Path) -> None:
    """A crash between header page and rename leaves a spare with a header page."""
    spare = tmp_path / "x.spare"
    head = header()
    files = FailingFiles()
    files.close(write_zeros(files, spare, CAPACITY))
    spare.write_bytes(encode_header_page(header(7)) + bytes(CAPACITY - PAGE_BYTES))
    segment = open_segment(files, tmp_path, head, capacity_bytes=CAPACITY, spare=spare)
    segment.abandon()
    assert not spare.exists()
    assert parse_header_page(segment.path.read_bytes()[:PAGE_BYTES], "s") == head


def test_zeros_are_written_in_pieces_with_pauses_and_durable(tmp_path: Path) -> None:
    files = FailingFiles()
    pauses: list[int] = []
    size = (2 << 20) + 5
    files.close(write_zeros(files, tmp_path / "z", size, lambda: pauses.append(1)))
    assert (tmp_path / "z").read_bytes() == bytes(size)
    assert len(pauses) == files.calls.count("write") == files.calls.count("sync_data") == 3
    assert files.calls[-1] == "sync"


def test_the_name_is_durable_before_the_first_block_can_be_written(tmp_path: Path) -> None:
    files = FailingFiles()
    begin(tmp_path, files=files).abandon()
    assert files.calls[-4:] == ["write", "sync", "rename", "sync_directory"]


def test_blocks_are_numbered_and_say_whether_all_before_them_was_durable(tmp_path: Path) -> None:
    segment = begin(tmp_path)
    first = segment.append([record(1), record(2)], START_NS)
    second = segment.append([record(3)], START_NS)
    segment.sync()
    third = segment.append([record(4)], START_NS)
    assert [info.flags for info in (first, second, third)] == [
        FLAG_ALL_BEFORE_SYNCED,
        0,
        FLAG_ALL_BEFORE_SYNCED,
    ]
    assert [info.block_seq for info in (first, second, third)] == [0, 1, 2]
    assert [info.first_record_seq for info in (first, second, third)] == [1, 3, 4]
    assert segment.next_record_seq == 5
    segment.abandon()


def test_a_sync_with_nothing_to_sync_costs_nothing(tmp_path: Path) -> None:
    files = FailingFiles()
    segment = begin(tmp_path, files=files)
    before = len(files.calls)
    segment.sync()
    assert len(files.calls) == before
    segment.abandon()


def test_a_sealed_segment_proves_itself(tmp_path: Path) -> None:
    segment = begin(tmp_path)
    written = write_blocks(segment, 3, 1, 2)
    path = segment.seal()
    assert path.suffix == ".kseg"
    assert [path] == list(tmp_path.iterdir())
    content = path.read_bytes()
    trailer = parse_trailer(content[-TRAILER_BYTES:], "s", len(content) - TRAILER_BYTES)
    assert trailer.sha256 == hashlib.sha256(content[:-TRAILER_BYTES]).digest()
    assert trailer.nblocks == 3
    frames = list(read_segment(path))
    assert [one for frame in frames for one in frame.records] == written
    table = read_block_table(path)
    assert table == [frame.info for frame in frames]
    for info in table:
        assert hashlib.sha256(content[info.offset : info.offset + info.frame_len]).digest() == info.sha256
    assert [info.committed_ns for info in table] == [START_NS, START_NS + 1, START_NS + 2]


def test_an_empty_segment_can_be_sealed(tmp_path: Path) -> None:
    path = begin(tmp_path).seal()
    assert list(read_segment(path)) == []
    assert read_block_table(path) == []


def test_a_table_longer_than_a_frame_is_cut_into_several(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("storage.writer.ENTRIES_PER_TABLE_FRAME", 2)
    segment = begin(tmp_path)
    write_blocks(segment, 1, 1, 1, 1, 1)
    path = segment.seal()
    assert len(read_block_table(path)) == 5
    assert len(list(read_segment(path))) == 5


def test_a_block_is_taken_while_it_and_the_footer_fit(tmp_path: Path) -> None:
    segment = begin(tmp_path)
    blocks = 0
    while segment.takes([bytes(500)], START_NS):
        segment.append([bytes(500)], START_NS)
        blocks += 1
    segment.sync()
    assert blocks > 3
    path = segment.seal()
    assert path.stat().st_size <= CAPACITY


def test_an_empty_segment_takes_even_a_block_larger_than_itself(tmp_path: Path) -> None:
    large = bytes(range(256)) * 200
    segment = begin(tmp_path)
    assert segment.takes([large], START_NS)
    segment.append([large], START_NS)
    assert not segment.takes([b"x"], START_NS) or segment.blocks
    segment.sync()
    assert [frame.records for frame in read_segment(segment.seal())] == [[large]]


def test_a_segment_ends_with_its_hour_and_with_its_last_block_number(tmp_path: Path) -> None:
    segment = begin(tmp_path)
    write_blocks(segment, 1)
    assert segment.takes([b"x"], START_NS + 1)
    assert not segment.takes([b"x"], START_NS + 3_600_000_000_000)
    segment.blocks = MAX_BLOCKS
    assert not segment.takes([b"x"], START_NS)
    segment.abandon()


def test_hours_are_those_of_utc() -> None:
    hour = 3_600_000_000_000
    assert same_hour(5 * hour, 6 * hour - 1)
    assert not same_hour(5 * hour, 6 * hour)


def test_the_footer_never_outgrows_its_bound() -> None:
    assert footer_bound(0) > TRAILER_BYTES
    assert footer_bound(100_000) > 64 * 100_000


@pytest.mark.parametrize(("only", "operation"), [("write", "write"), ("sync_data", "fdatasync")])
def test_a_failed_write_or_sync_says_where_and_why(tmp_path: Path, only: str, operation: str) -> None:
    segment = begin(tmp_path)
    segment._files = FailingFiles(1, errno.ENOSPC, only=only)
    with pytest.raises(LogFailed) as caught:
        write_blocks(segment, 1)
    assert caught.value.operation == operation
    assert caught.value.path == str(segment.path)
    segment.abandon()


@pytest.mark.parametrize("spare", [False, True])
def test_a_segment_that_cannot_be_created_leaves_no_open_file(tmp_path: Path, spare: bool) -> None:
    """Every call on the way fails once; what is left is a spare or a temporary file, never a segment."""
    steps = 4 if spare else 7
    for fail_at in range(1, steps + 1):
        directory = tmp_path / str(fail_at)
        directory.mkdir()
        source = directory / "a.spare" if spare else None
        if source:
            source.write_bytes(bytes(CAPACITY))
        files = FailingFiles(fail_at)
        with pytest.raises(LogFailed) as caught:
            open_segment(files, directory, header(), capacity_bytes=CAPACITY, spare=source)
        assert caught.value.operation == "create"
        suffixes = {path.suffix for path in directory.iterdir()}
        last = files.calls[-1]
        assert suffixes <= ({".open"} if last == "sync_directory" else {".spare", ".tmp"}), last


def test_a_segment_that_cannot_be_sealed_keeps_its_blocks(tmp_path: Path) -> None:
    for fail_at in range(1, 8):
        directory = tmp_path / str(fail_at)
        directory.mkdir()
        segment = begin(directory)
        written = write_blocks(segment, 2, 2)
        segment._files = FailingFiles(fail_at, short=fail_at % 2 == 1)
        with pytest.raises(LogFailed):
            segment.seal()
        segment.abandon()
        (left,) = directory.iterdir()
        assert [one for frame in read_segment(left) for one in frame.records] == written


def test_segment_ids_are_uuids_of_version_7_that_begin_with_the_time() -> None:
    parsed = uuid.UUID(new_segment_id(START_NS))
    assert (parsed.version, parsed.variant) == (7, uuid.RFC_4122)
    assert parsed.int >> 80 == START_NS // 1_000_000


def test_salts_are_never_zero() -> None:
    assert all(0 < new_salt() < 1 << 32 for _ in range(1000))
