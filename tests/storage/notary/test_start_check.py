import hashlib
import shutil
from pathlib import Path

import pytest

from storage.errors import LogFailed, LogInUse
from storage.files import REAL_FILES
from storage.format import parse_header_page
from storage.notary.start_check import (
    DIFFERENT,
    MISSING,
    NO_TREE,
    ROLLED_BACK,
    TREE_DIFFERS,
    Continuity,
    check_log,
)
from storage.notary.tombstone import Tombstone, sign_tombstone
from storage.reader import read_block_table
from storage.tlog.note import generate_signer, parse_signer
from tests.kit.faulty_files import FailingFiles
from tests.kit.notarised import ORIGIN, NotarisedLog, three_segments
from tests.kit.segments import flip


@pytest.fixture
def log(tmp_path: Path) -> NotarisedLog:
    return three_segments(tmp_path)


def check(log: NotarisedLog) -> Continuity:
    return check_log(REAL_FILES, log.directory, [log.signer.verifier])


def kinds(log: NotarisedLog) -> list[str]:
    return [finding.kind for finding in check(log).findings]


def segment(log: NotarisedLog, number: int) -> Path:
    return next(path for path in log.directory.glob(f"*-{number:08d}-*") if path.suffix != ".tombstone")


def test_a_log_that_is_as_it_was_signed_has_no_finding(log: NotarisedLog) -> None:
    found = check(log)
    assert (found.findings, found.text, found.size) == ((), "", 10)
    assert (found.next_segment_number, found.next_record_seq) == (4, 14)
    log.recover()
    log.sealed(1)
    log.notarise()
    log.sealed(1)
    assert check(log).findings == ()
    assert check(log).next_segment_number == 6


def test_a_first_start_has_no_finding(tmp_path: Path) -> None:
    assert check_log(REAL_FILES, tmp_path / "none") == Continuity()
    log = NotarisedLog(tmp_path)
    assert check(log) == Continuity()
    log.opened(1)
    assert check(log).findings == (), "killed before the first checkpoint"


def test_newer_frames_than_the_checkpoint_are_no_finding(log: NotarisedLog) -> None:
    log.recover()
    log.opened(1, 1)
    assert kinds(log) == []


def test_a_log_that_was_never_signed_is_no_finding(tmp_path: Path) -> None:
    log = NotarisedLog(tmp_path)
    log.sealed(1)
    log.notary().close()
    assert kinds(log) == [], "killed before the first checkpoint, however long it took"


def test_a_missing_tree_beside_its_marks_is_a_finding(tmp_path: Path) -> None:
    log = NotarisedLog(tmp_path)
    log.opened(1)
    log.notarise()
    shutil.rmtree(log.directory / "tlog")
    assert kinds(log) == [NO_TREE]
    assert "nothing says how far" in check(log).text


def test_the_newest_frame_gone_is_a_rollback(log: NotarisedLog) -> None:
    path = segment(log, 3)
    last = read_block_table(path)[-1]
    data = path.read_bytes()
    path.write_bytes(data[: last.offset] + bytes(len(data) - last.offset))
    assert kinds(log) == [ROLLED_BACK]
    assert f"at byte {last.offset}" in check(log).text
    assert "records 12 to 13" in check(log).text


def test_the_newest_frame_damaged_is_different(log: NotarisedLog) -> None:
    path = segment(log, 3)
    flip(path, read_block_table(path)[-1].offset + 50)
    assert kinds(log) == [DIFFERENT]


def test_the_newest_frame_written_anew_is_different(log: NotarisedLog, tmp_path: Path) -> None:
    head = parse_header_page(segment(log, 3).read_bytes()[:4096], "")
    other = NotarisedLog(tmp_path / "other")
    other.sealed(2, 1, 3)
    other.sealed(1, 1, 1)
    anew = other.begin(segment_id=head.segment_id, salt32=head.salt32)
    last = read_block_table(segment(log, 3))[-1]
    anew.append([b"x", b"y"], 1)
    anew.append([b"z", b"!"], 2)
    anew.abandon()
    data = bytearray(segment(log, 3).read_bytes())
    forged = anew.path.read_bytes()
    table = read_block_table(anew.path)
    data[4096 : last.offset + last.frame_len] = bytes(last.offset + last.frame_len - 4096)
    data[last.offset : last.offset + table[1].frame_len] = forged[
        table[1].offset : table[1].offset + table[1].frame_len
    ]
    segment(log, 3).write_bytes(data)
    assert kinds(log) == [DIFFERENT]
    assert "another frame" in check(log).text


def test_the_newest_segment_gone_is_a_rollback(log: NotarisedLog) -> None:
    segment(log, 3).unlink()
    assert kinds(log) == [ROLLED_BACK]
    assert "records up to 13" in check(log).text


def test_the_newest_complete_segment_gone_is_missing(log: NotarisedLog) -> None:
    segment(log, 2).unlink()
    assert kinds(log) == [MISSING, MISSING]


def test_older_segments_gone_are_missing_and_counted(log: NotarisedLog) -> None:
    log.recover()
    for _ in range(8):
        log.sealed(1)
    log.notarise()
    for number in range(1, 8):
        segment(log, number).unlink()
    assert kinds(log) == [MISSING]
    assert "7 segments are missing without a tombstone: 1, 2, 3, 4, 5, ..." in check(log).text


def test_a_complete_segment_of_another_size_is_different(log: NotarisedLog) -> None:
    path = segment(log, 2)
    path.write_bytes(path.read_bytes() + b"\0")
    assert kinds(log) == [DIFFERENT]
    log.recover()
    path.write_bytes(path.read_bytes()[:-1])
    log.notarise()
    recovered = segment(log, 3)
    recovered.write_bytes(recovered.read_bytes()[:4200])
    assert DIFFERENT in kinds(log)


def test_a_sealed_segment_whose_last_name_a_power_cut_took_is_still_itself(log: NotarisedLog) -> None:
    path = segment(log, 2)
    path.rename(path.with_suffix(".open"))
    assert kinds(log) == []


def test_a_complete_segment_replaced_by_another_of_its_number_is_missing(log: NotarisedLog) -> None:
    path = segment(log, 2)
    path.rename(path.with_name(path.name[:-13] + "00000000.kseg"))
    assert MISSING in kinds(log)


# --- the tree --------------------------------------------------------------------------------------


def test_lost_tiles_are_made_again_and_are_no_finding(log: NotarisedLog) -> None:
    shutil.rmtree(log.directory / "tlog" / "tile")
    assert kinds(log) == []
    assert (log.directory / "tlog" / "tile").is_dir()


def test_lost_tiles_over_segments_that_lost_their_end_are_a_finding(log: NotarisedLog) -> None:
    shutil.rmtree(log.directory / "tlog" / "tile")
    path = segment(log, 3)
    data = path.read_bytes()
    path.write_bytes(data[:4096] + bytes(len(data) - 4096))
    assert kinds(log) == [TREE_DIFFERS]


def test_a_checkpoint_by_another_key_is_a_finding(log: NotarisedLog) -> None:
    other = parse_signer(generate_signer(ORIGIN)[0])
    found = check_log(REAL_FILES, log.directory, [other.verifier])
    assert [finding.kind for finding in found.findings] == [TREE_DIFFERS]
    assert check_log(REAL_FILES, log.directory).findings == ()


def test_a_checkpoint_that_is_gone_while_copies_remain_is_a_finding(log: NotarisedLog) -> None:
    (log.directory / "tlog" / "checkpoint").unlink()
    assert kinds(log) == [TREE_DIFFERS]


# --- tombstones ------------------------------------------------------------------------------------


def bury(log: NotarisedLog, number: int, *, with_key: bool = True, garbled: bool = False) -> None:
    path = segment(log, number)
    data = path.read_bytes()
    head = parse_header_page(data[:4096], path.name)
    sha256 = hashlib.sha256(data).digest()
    tombstone = Tombstone(
        ORIGIN, path.stem, head.segment_id, number, len(data), sha256, 1, 9, 5, "retention 1d"
    )
    signer = log.signer if with_key else parse_signer(generate_signer(ORIGIN)[0])
    path.with_suffix(".tombstone").write_bytes(b"x" if garbled else sign_tombstone(tombstone, signer))
    path.unlink()


def test_a_buried_segment_is_no_finding(log: NotarisedLog) -> None:
    bury(log, 1)
    bury(log, 2)
    assert kinds(log) == []
    assert check_log(REAL_FILES, log.directory).findings == ()


@pytest.mark.parametrize("how", [{"with_key": False}, {"garbled": True}])
def test_a_forged_tombstone_of_the_newest_complete_segment_is_none(
    log: NotarisedLog, how: dict[str, bool]
) -> None:
    bury(log, 2, **how)
    assert kinds(log) == [MISSING]


def test_a_buried_segment_may_be_the_one_of_the_newest_frame(log: NotarisedLog) -> None:
    bury(log, 3)
    assert kinds(log) == []


# --- the disk --------------------------------------------------------------------------------------


def test_a_log_being_written_is_left_alone(log: NotarisedLog) -> None:
    held = REAL_FILES.lock(log.directory / "LOCK")
    try:
        with pytest.raises(LogInUse, match="another process"):
            check(log)
    finally:
        REAL_FILES.close(held)
    assert kinds(log) == []


def test_an_io_error_is_told(log: NotarisedLog) -> None:
    with pytest.raises(LogFailed, match="check"):
        check_log(FailingFiles(1, only="lock"), log.directory, [log.signer.verifier])


def test_a_disk_that_fails_while_the_tree_is_made_again_is_an_error_and_no_finding(log: NotarisedLog) -> None:
    shutil.rmtree(log.directory / "tlog" / "tile")
    with pytest.raises(LogFailed):
        check_log(FailingFiles(1, only="create"), log.directory, [log.signer.verifier])
