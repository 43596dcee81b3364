import hashlib
from pathlib import Path

import pytest

from storage.errors import LogFailed
from storage.files import REAL_FILES
from storage.format import PAGE_BYTES
from storage.reader import read_block_table, read_segment
from storage.recovery import CLEAN, CORRUPT, TORN, examine, mark_recovered, recover, set_aside
from tests.kit.faulty_files import FailingFiles
from tests.kit.segments import CAPACITY, begin, flip, header, open_file, sealed_file, write_blocks


def end_of(path: Path) -> int:
    last = read_block_table(path)[-1]
    return last.offset + last.frame_len


def test_a_first_start_begins_at_one(tmp_path: Path) -> None:
    (tmp_path / "LOCK").touch()
    found = recover(REAL_FILES, tmp_path)
    assert (found.examined, found.next_segment_number, found.next_epoch) == ((), 1, 1)
    assert (found.prev_segment_id, found.next_record_seq) == ("", 1)


def test_after_a_clean_close_nothing_is_examined(tmp_path: Path) -> None:
    segment = begin(tmp_path)
    write_blocks(segment, 2, 3)
    segment.seal()
    found = recover(REAL_FILES, tmp_path)
    assert found.examined == ()
    assert (found.next_segment_number, found.next_epoch, found.next_record_seq) == (2, 2, 6)
    assert found.prev_segment_id == segment.header.segment_id


def test_frames_followed_by_zeros_are_clean(tmp_path: Path) -> None:
    path = open_file(tmp_path, 2, 1)
    end = end_of(path)
    (found,) = recover(REAL_FILES, tmp_path).examined
    assert (found.finding, found.valid_bytes, found.torn_bytes, found.next_record_seq) == (CLEAN, end, 0, 4)
    assert found.valid_sha256 == hashlib.sha256(path.read_bytes()[:end]).digest()
    assert not list(tmp_path.glob("*.torn"))


def test_a_cut_at_every_byte_of_the_last_frames_is_torn_and_set_aside(tmp_path: Path) -> None:
    path = open_file(tmp_path, 1, 1, 1)
    intact = path.read_bytes()
    table = read_block_table(path)
    for cut in range(table[1].offset, end_of(path)):
        path.write_bytes(intact[:cut] + bytes(CAPACITY - cut))
        whole = [info for info in table if info.offset + info.frame_len <= cut]
        end = whole[-1].offset + whole[-1].frame_len
        written = len(intact[:cut].rstrip(b"\0"))
        found = recover(REAL_FILES, tmp_path)
        (examined,) = found.examined
        assert examined.finding == (CLEAN if written <= end else TORN), cut
        assert examined.valid_bytes == end
        assert examined.torn_bytes == max(written - end, 0)
        assert found.next_record_seq == whole[-1].first_record_seq + 1
        if examined.finding == TORN:
            torn = path.with_suffix(".torn").read_bytes()
            assert torn == intact[end:written]
            assert examined.torn_sha256 == hashlib.sha256(torn).digest()
        assert path.read_bytes() == intact[:cut] + bytes(CAPACITY - cut)


def test_every_flipped_bit_before_a_durable_frame_is_corrupt(tmp_path: Path) -> None:
    path = open_file(tmp_path, 1, 1, 1)
    last = read_block_table(path)[-1].offset
    for at in range(PAGE_BYTES, last):
        flip(path, at, at % 8)
        found = examine(REAL_FILES, path)
        assert found.finding == CORRUPT, at
        assert found.next_record_seq == 4, "numbers that were acknowledged must not be used again"
        flip(path, at, at % 8)


def test_a_later_unsynced_frame_alone_is_torn_not_corrupt(tmp_path: Path) -> None:
    segment = begin(tmp_path)
    write_blocks(segment, 1)
    write_blocks(segment, 1, 1, sync=False)
    segment.abandon()
    flip(segment.path, read_block_table(segment.path)[1].offset + 50)
    found = examine(REAL_FILES, segment.path)
    assert (found.finding, found.next_record_seq) == (TORN, 2)


def test_a_whole_frame_with_wrong_numbers_is_corrupt(tmp_path: Path) -> None:
    path = open_file(tmp_path, 1, 1, 1)
    _, second, third = read_block_table(path)
    content = bytearray(path.read_bytes())
    frame = content[third.offset : third.offset + third.frame_len]
    content[second.offset :] = frame.ljust(len(content) - second.offset, b"\0")
    path.write_bytes(bytes(content))
    found = examine(REAL_FILES, path)
    assert (found.finding, found.valid_bytes, found.next_record_seq) == (CORRUPT, second.offset, 4)


def test_without_a_header_page_everything_is_set_aside(tmp_path: Path) -> None:
    first = begin(tmp_path)
    write_blocks(first, 4)
    first.seal()
    second = begin(tmp_path, header(2, first_record_seq=5, prev=first.header.segment_id))
    write_blocks(second, 1)
    second.abandon()
    flip(second.path, 20)
    found = recover(REAL_FILES, tmp_path)
    (examined,) = found.examined
    assert (examined.finding, examined.valid_bytes, examined.torn_bytes) == (CORRUPT, 0, CAPACITY)
    assert second.path.with_suffix(".torn").read_bytes() == second.path.read_bytes()
    assert found.next_segment_number == 3


def test_killed_between_seal_and_rename_is_clean(tmp_path: Path) -> None:
    sealed = sealed_file(tmp_path, 2, 1)
    path = sealed.rename(sealed.with_suffix(".open"))
    found = examine(REAL_FILES, path)
    assert (found.finding, found.valid_bytes, found.next_record_seq) == (CLEAN, path.stat().st_size, 4)


def test_killed_while_sealing_keeps_every_record(tmp_path: Path) -> None:
    sealed = sealed_file(tmp_path, 2, 1)
    intact, end = sealed.read_bytes(), end_of(sealed)
    path = sealed.rename(sealed.with_suffix(".open"))
    for cut in range(end, len(intact)):
        path.write_bytes(intact[:cut] + bytes(CAPACITY - cut))
        found = examine(REAL_FILES, path)
        assert found.finding in (CLEAN, TORN)
        assert found.valid_bytes >= end
        assert found.next_record_seq == 4
        assert sum(len(frame.records) for frame in read_segment(path)) == 3


def test_recovering_again_finds_the_same(tmp_path: Path) -> None:
    path = open_file(tmp_path, 1, 1)
    flip(path, read_block_table(path)[1].offset + 60)
    first = recover(REAL_FILES, tmp_path)
    assert recover(REAL_FILES, tmp_path) == first
    mark_recovered(REAL_FILES, first.examined)
    assert path.with_suffix(".recovered").exists()
    again = recover(REAL_FILES, tmp_path)
    assert again.examined == ()
    assert (again.next_record_seq, again.prev_segment_id) == (first.next_record_seq, first.prev_segment_id)


def test_recovery_that_fails_at_any_call_can_be_repeated(tmp_path: Path) -> None:
    path = open_file(tmp_path, 1, 1)
    flip(path, read_block_table(path)[1].offset + 60)
    intact = path.read_bytes()
    fail_at = 0
    while True:
        fail_at += 1
        files = FailingFiles(fail_at, short=fail_at == 2)
        try:
            found = recover(files, tmp_path)
            mark_recovered(files, found.examined)
        except LogFailed:
            recovered = path.with_suffix(".recovered")
            assert (recovered if recovered.exists() else path).read_bytes() == intact
            if recovered.exists():
                recovered.rename(path)
            continue
        break
    assert fail_at > 6
    assert path.with_suffix(".recovered").read_bytes() == intact
    assert path.with_suffix(".torn").exists()
    assert not list(tmp_path.glob("*.tmp"))


def test_a_sealed_segment_with_a_damaged_footer_still_says_where_the_numbers_end(tmp_path: Path) -> None:
    path = sealed_file(tmp_path, 2, 1)
    flip(path, path.stat().st_size - 10)
    found = recover(REAL_FILES, tmp_path)
    assert found.next_record_seq == 4


def test_numbers_never_go_back_behind_an_older_open_segment(tmp_path: Path) -> None:
    """The first was full and waiting to be sealed when the process died; the second was empty."""
    first = begin(tmp_path)
    write_blocks(first, 5)
    first.abandon()
    second = begin(tmp_path, header(2, first_record_seq=6, prev=first.header.segment_id))
    second.abandon()
    found = recover(REAL_FILES, tmp_path)
    assert [one.finding for one in found.examined] == [CLEAN, CLEAN]
    assert (found.next_record_seq, found.next_segment_number) == (6, 3)
    assert found.prev_segment_id == second.header.segment_id


def test_temporary_files_are_removed_and_strange_ones_left(tmp_path: Path) -> None:
    for name in ("a.tmp", "b.spare", "notes.open", "LOCK"):
        (tmp_path / name).touch()
    recover(REAL_FILES, tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["LOCK", "b.spare", "notes.open"]


def test_a_directory_that_cannot_be_read_fails_the_start(tmp_path: Path) -> None:
    with pytest.raises(LogFailed, match="recover"):
        recover(REAL_FILES, tmp_path / "missing")


def test_the_record_of_an_examination_holds_all_of_it(tmp_path: Path) -> None:
    path = open_file(tmp_path, 1)
    flip(path, 9000)
    (examined,) = recover(REAL_FILES, tmp_path).examined
    record = examined.record(77)
    assert (record.at_ns, record.segment, record.finding) == (77, path.stem, TORN)
    assert (record.valid_bytes, record.torn_bytes) == (examined.valid_bytes, 9001 - examined.valid_bytes)
    assert set_aside(REAL_FILES, examined).read_bytes()[-1:] == b"\x01"


def test_an_envelope_whose_segment_was_never_begun_is_removed_and_no_other(tmp_path: Path) -> None:
    """Of an older segment it may be all that opens a copy kept elsewhere."""
    sealed_file(tmp_path, 1, head=header(5))
    kept = [f"{header(number).name.stem}.keys" for number in (4, 5)]
    unbegun = f"{header(6).name.stem}.keys"
    for name in (*kept, unbegun, "else.keys"):
        (tmp_path / name).write_bytes(b"{}")
    recover(REAL_FILES, tmp_path)
    assert {path.name for path in tmp_path.glob("*.keys")} == {*kept, "else.keys"}


def test_the_first_segment_of_a_log_may_leave_an_envelope_too(tmp_path: Path) -> None:
    (tmp_path / f"{header(1).name.stem}.keys").write_bytes(b"{}")
    assert recover(REAL_FILES, tmp_path).next_segment_number == 1
    assert list(tmp_path.iterdir()) == []
