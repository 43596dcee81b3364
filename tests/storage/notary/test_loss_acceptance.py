import shutil
from pathlib import Path

import pytest

from storage.errors import LogFailed, LogInUse
from storage.files import REAL_FILES
from storage.notary.leaf import BlockLeaf, LossAcceptedLeaf, parse_leaf
from storage.notary.loss import TREE_KEPT, TREE_LOST, LossStatement
from storage.notary.loss_acceptance import accept_loss, plain_line
from storage.notary.start_check import check_log
from storage.notary.statement import BadStatement
from storage.reader import read_block_table
from storage.tlog.note import generate_signer, parse_signer
from storage.verify.findings import Kind
from storage.verify.tree_check import Trust
from storage.verify.verify import verify
from tests.kit.faulty_files import FailingFiles
from tests.kit.notarised import ORIGIN, NotarisedLog, three_segments
from tests.kit.segments import flip

NOW_NS = 1_790_000_100_000_000_000
REASON = "restored from the backup of Monday"


@pytest.fixture
def log(tmp_path: Path) -> NotarisedLog:
    return three_segments(tmp_path)


def accept(log: NotarisedLog) -> LossStatement:
    loss = accept_loss(REAL_FILES, log.directory, log.signer, REASON, NOW_NS)
    assert loss is not None
    assert check_log(REAL_FILES, log.directory, [log.signer.verifier]).findings == ()
    return loss


def go_on(log: NotarisedLog, loss: LossStatement) -> list[object]:
    """A start over an accepted loss: new segments above everything, and their leaves. Returns the new leaves."""
    before = loss.tree_size if loss.tree == TREE_KEPT else 0
    log.recover()
    log._next_record_seq = loss.next_record_seq
    log.sealed(2, segment_number=loss.next_segment_number, prev_segment_id="")
    log.notarise()
    assert check_log(REAL_FILES, log.directory, [log.signer.verifier]).findings == ()
    notary = log.notary()
    entries = [parse_leaf(entry) for entry in notary.store.entries(before, notary.store.size)]
    notary.close()
    return list(entries)


def kinds(log: NotarisedLog) -> list[Kind]:
    report = verify(REAL_FILES, log.data_dir, trust=Trust((log.signer.verifier,)))
    return [finding.kind for finding in report.all_findings]


def segment(log: NotarisedLog, number: int) -> Path:
    return next(log.directory.glob(f"*-{number:08d}-*"))


def test_without_a_finding_there_is_nothing_to_accept(log: NotarisedLog) -> None:
    assert accept_loss(REAL_FILES, log.directory, log.signer, REASON, NOW_NS) is None
    assert not list(log.directory.glob("loss-*"))


def test_the_end_of_the_last_segment_lost(log: NotarisedLog) -> None:
    path = segment(log, 3)
    last = read_block_table(path)[-1]
    data = path.read_bytes()
    path.write_bytes(data[: last.offset] + bytes(len(data) - last.offset))
    loss = accept(log)
    assert (loss.tree, loss.tree_size, loss.lost) == (TREE_KEPT, 10, ((9, 10),))
    assert (loss.kept_number, loss.kept_blocks, loss.kept_offset, loss.kept_complete) == (
        3,
        1,
        last.offset,
        False,
    )
    assert (loss.next_segment_number, loss.next_record_seq, loss.reason) == (4, 14, REASON)
    assert "rolled back" in loss.finding
    names = [type(leaf).__name__ for leaf in go_on(log, loss)]
    assert names == ["LossAcceptedLeaf", "RecoveredLeaf", "BlockLeaf", "SealedLeaf"]
    assert set(kinds(log)) == {Kind.LOSS_ACCEPTED}


def test_the_last_segments_lost(log: NotarisedLog) -> None:
    segment(log, 3).unlink()
    segment(log, 2).unlink()
    loss = accept(log)
    assert loss.lost == ((4, 10),)
    assert (loss.kept_number, loss.kept_blocks, loss.kept_complete) == (1, 3, True)
    assert (loss.next_segment_number, loss.next_record_seq) == (4, 14)
    names = [type(leaf).__name__ for leaf in go_on(log, loss)]
    assert names == ["LossAcceptedLeaf", "BlockLeaf", "SealedLeaf"]
    assert set(kinds(log)) == {Kind.LOSS_ACCEPTED}


def test_all_segments_lost(log: NotarisedLog) -> None:
    for number in (1, 2, 3):
        segment(log, number).unlink()
    loss = accept(log)
    assert (loss.lost, loss.kept_number, loss.kept_complete) == (((0, 10),), 0, True)
    go_on(log, loss)
    assert set(kinds(log)) == {Kind.LOSS_ACCEPTED}


def test_a_segment_put_back_to_its_open_self(log: NotarisedLog, tmp_path: Path) -> None:
    """The disk is from before the second segment was sealed: shorter, and without its end."""
    path = segment(log, 2)
    table = read_block_table(path)
    data = path.read_bytes()
    path.with_suffix(".open").write_bytes(data[: table[2].offset] + bytes(500))
    path.unlink()
    segment(log, 3).unlink()
    loss = accept(log)
    assert loss.lost == ((6, 10),)
    assert (loss.kept_number, loss.kept_blocks, loss.kept_complete) == (2, 2, False)
    names = [type(leaf).__name__ for leaf in go_on(log, loss)]
    assert names == ["LossAcceptedLeaf", "RecoveredLeaf", "BlockLeaf", "SealedLeaf"]
    assert set(kinds(log)) == {Kind.LOSS_ACCEPTED}


def test_a_segment_in_the_middle_lost(log: NotarisedLog) -> None:
    segment(log, 1).unlink()
    loss = accept(log)
    assert loss.lost == ((0, 4),)
    go_on(log, loss)
    assert set(kinds(log)) == {Kind.LOSS_ACCEPTED}


def test_damage_that_was_not_accepted_stays_a_finding(log: NotarisedLog) -> None:
    segment(log, 3).unlink()
    loss = accept(log)
    go_on(log, loss)
    flip(segment(log, 1), 4200)
    assert Kind.CORRUPT in kinds(log)
    segment(log, 1).unlink()
    assert Kind.MISSING in kinds(log), "what was there when the loss was accepted is not excused"


def test_damage_of_the_newest_frame_is_a_loss_from_there_on(log: NotarisedLog) -> None:
    path = segment(log, 3)
    flip(path, read_block_table(path)[-1].offset + 50)
    assert accept(log).lost == ((9, 10),)


def test_buried_segments_are_not_lost(log: NotarisedLog) -> None:
    from tests.storage.notary.test_start_check import bury

    bury(log, 1)
    segment(log, 3).unlink()
    loss = accept(log)
    assert loss.lost == ((8, 10),)


def test_a_lump_without_header_page_is_there_by_its_number(log: NotarisedLog) -> None:
    flip(segment(log, 3), 100)
    log.recover()
    log.sealed(1)
    log.notarise()
    segment(log, 4).unlink()
    assert accept(log).lost == ((8, 10), (11, 13)), "its leaf, number 10, is not lost"


def test_a_tree_that_cannot_be_made_again_is_put_aside(log: NotarisedLog) -> None:
    shutil.rmtree(log.directory / "tlog" / "tile")
    path = segment(log, 3)
    path.write_bytes(path.read_bytes()[:4096] + bytes(1000))
    loss = accept(log)
    assert (loss.tree, loss.tree_size, loss.root) == (TREE_LOST, 0, bytes(32))
    assert (log.directory / "tlog.lost-1" / "checkpoint").exists()
    assert not (log.directory / "tlog").exists()
    leaves = go_on(log, loss)
    assert any(isinstance(leaf, LossAcceptedLeaf) for leaf in leaves)
    assert sum(isinstance(leaf, BlockLeaf) for leaf in leaves) == 7
    assert Kind.LOSS_ACCEPTED in kinds(log)


def test_no_tree_at_all_can_be_accepted_too(log: NotarisedLog) -> None:
    shutil.rmtree(log.directory / "tlog")
    loss = accept(log)
    assert loss.tree == TREE_LOST
    go_on(log, loss)


def test_a_second_loss_gets_the_next_number(log: NotarisedLog) -> None:
    segment(log, 3).unlink()
    go_on(log, accept(log))
    segment(log, 4).unlink()
    accept(log)
    assert sorted(path.name for path in log.directory.glob("loss-*")) == ["loss-1.note", "loss-2.note"]


def test_a_reason_is_one_line(log: NotarisedLog) -> None:
    segment(log, 3).unlink()
    with pytest.raises(BadStatement, match="reason"):
        accept_loss(REAL_FILES, log.directory, log.signer, "two\nlines", NOW_NS)
    assert plain_line(" a\nb\x1b[0m ") == "a?b?[0m"
    assert plain_line("") == "none"


def test_a_statement_by_another_key_excuses_nothing(log: NotarisedLog) -> None:
    segment(log, 3).unlink()
    thief = parse_signer(generate_signer(ORIGIN)[0])
    assert accept_loss(REAL_FILES, log.directory, thief, REASON, NOW_NS, keys=[log.signer.verifier])
    assert check_log(REAL_FILES, log.directory, [log.signer.verifier]).findings != ()
    assert Kind.FORGED in kinds(log)


def test_a_log_being_written_or_a_bad_disk_is_told(log: NotarisedLog) -> None:
    segment(log, 3).unlink()
    with pytest.raises(LogFailed, match="accept"):
        accept_loss(FailingFiles(1, only="create"), log.directory, log.signer, REASON, NOW_NS)
    held = REAL_FILES.lock(log.directory / "LOCK")
    with pytest.raises(LogInUse):
        accept_loss(REAL_FILES, log.directory, log.signer, REASON, NOW_NS)
    REAL_FILES.close(held)
