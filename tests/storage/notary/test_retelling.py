import shutil
from pathlib import Path

import pytest

from storage.files import REAL_FILES
from storage.notary.leaf import LossAcceptedLeaf, parse_leaf
from storage.notary.notary import Notary
from storage.notary.retelling import open_store
from storage.tlog.tree_reader import TreeDamaged
from tests.kit.notarised import NotarisedLog
from tests.kit.segments import flip


@pytest.fixture
def log(tmp_path: Path) -> NotarisedLog:
    """Some 620 leaves, the first 600 of them durable; one of a kind no segment tells, before and after that."""
    log = NotarisedLog(tmp_path)
    log.sealed(*[1] * 300)
    (log.directory / "loss-1.note").write_bytes(b"one")
    log.sealed(*[1] * 297)
    notary = log.notary()
    log.notarise(notary)
    notary.sync()
    notary.close()
    log.sealed(*[1] * 5)
    (log.directory / "loss-2.note").write_bytes(b"two")
    log.opened(*[1] * 12)
    log.notarise()
    return log


def lose(log: NotarisedLog, *paths: str) -> None:
    for path in paths:
        (log.directory / "tlog" / "tile" / path).unlink()


def everything(log: NotarisedLog) -> list[bytes]:
    notary = log.notary()
    size = notary.checkpoint.size if notary.checkpoint else 0
    entries = list(notary.store.entries(0, size))
    notary.close()
    return entries


def edge(log: NotarisedLog, *kinds: str) -> list[str]:
    """The partial tiles: hashes ("0") or entries."""
    tile = log.directory / "tlog" / "tile"
    return [path.relative_to(tile).as_posix() for kind in kinds for path in (tile / kind / "002.p").iterdir()]


def test_a_lost_edge_is_told_again_by_segments_and_marks(log: NotarisedLog) -> None:
    before = everything(log)
    assert len(before) == 619
    assert sum(isinstance(parse_leaf(entry), LossAcceptedLeaf) for entry in before) == 2
    lose(log, *edge(log, "0", "entries"))
    assert everything(log) == before


def test_all_tiles_lost_are_told_again_while_no_segment_was_deleted(log: NotarisedLog) -> None:
    before = everything(log)
    shutil.rmtree(log.directory / "tlog" / "tile")
    assert everything(log) == before


def test_what_was_durable_is_kept_when_its_segment_is_gone(log: NotarisedLog) -> None:
    before = everything(log)
    next(log.directory.glob("*-00000001-*.kseg")).unlink()
    lose(log, *edge(log, "0", "entries"))
    assert everything(log) == before


def test_a_garbled_word_of_what_is_durable_costs_only_time(log: NotarisedLog) -> None:
    before = everything(log)
    lose(log, *edge(log, "0"))
    (log.directory / "tlog" / "synced").write_bytes(b"garbage!\n")
    assert everything(log) == before
    lose(log, *edge(log, "0"))
    (log.directory / "tlog" / "synced").unlink()
    assert everything(log) == before


def test_segments_that_say_something_else_are_not_a_repair(log: NotarisedLog) -> None:
    lose(log, *edge(log, "0", "entries"))
    path = next(log.directory.glob("*.open"))
    flip(path, 4200)
    with pytest.raises(TreeDamaged, match="entries"):
        log.notary()
    checkpoint = (log.directory / "tlog" / "checkpoint").read_bytes()
    flip(path, 4200)
    log.notary().close()
    assert (log.directory / "tlog" / "checkpoint").read_bytes() == checkpoint


def test_lost_marks_are_found_in_a_whole_tree_and_missed_in_a_lost_one(log: NotarisedLog) -> None:
    before = everything(log)
    (log.directory / "tlog.marks").write_bytes(b"garbage\n")
    assert everything(log) == before
    (log.directory / "tlog.marks").unlink()
    lose(log, *edge(log, "0", "entries"))
    with pytest.raises(TreeDamaged):
        log.notary()


def test_marks_behind_the_last_leaf_of_the_segments(log: NotarisedLog) -> None:
    (log.directory / "loss-3.note").write_bytes(b"three")
    (log.directory / "loss-4.note").write_bytes(b"four")
    log.notarise()
    before = everything(log)
    assert isinstance(parse_leaf(before[-1]), LossAcceptedLeaf)
    shutil.rmtree(log.directory / "tlog" / "tile")
    assert everything(log) == before


def test_a_first_start_has_an_empty_tree(tmp_path: Path) -> None:
    log = NotarisedLog(tmp_path)
    assert open_store(REAL_FILES, log.directory, [log.signer.verifier]).size == 0
    notary = Notary.open(REAL_FILES, log.directory, log.signer)
    assert (notary.advance(), notary.waits, notary.checkpoint) == (0, True, None)
    notary.close()


def test_bundles_that_were_durable_and_are_garbled_are_told_again_too(log: NotarisedLog) -> None:
    before = everything(log)
    flip(log.directory / "tlog" / "tile" / "entries" / "000", 300)
    lose(log, *edge(log, "0"))
    assert everything(log) == before
