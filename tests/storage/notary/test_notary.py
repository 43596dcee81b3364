import hashlib
from pathlib import Path

import pytest

from storage.errors import LogFailed
from storage.files import REAL_FILES
from storage.notary.leaf import (
    LossAcceptedLeaf,
    SealedLeaf,
    ShreddedLeaf,
    TombstoneLeaf,
    parse_leaf,
)
from storage.notary.log_key import open_signer
from storage.notary.marks import read_marks
from storage.notary.notary import Notary, TreeBeyondLog, segment_id_in, sign_beginning
from storage.notary.start_check import check_log
from storage.notary.tombstone import Tombstone, sign_tombstone
from storage.tlog.checkpoint import cosign, cosignatures, open_checkpoint
from storage.tlog.merkle import leaf_hash, root_of
from storage.tlog.note import KeyType, generate_signer, parse_note, parse_signer
from storage.tlog.tree_reader import TreeDamaged
from tests.kit.faulty_files import FailingFiles
from tests.kit.notarised import ORIGIN, NotarisedLog, three_segments

ID = "01a0c450-6c7b-7747-8290-6058ad151265"


@pytest.fixture
def log(tmp_path: Path) -> NotarisedLog:
    return three_segments(tmp_path)


def entries_of(notary: Notary) -> list[bytes]:
    return list(notary.store.entries(0, notary.checkpoint.size if notary.checkpoint else 0))


def tombstone_of(path: Path, segment_id: str = ID) -> Tombstone:
    return Tombstone(ORIGIN, path.stem, segment_id, 1, 10, bytes(32), 1, 7, 5, "retention 30d")


def test_a_checkpoint_is_the_root_over_all_leaves_signed_by_the_log(log: NotarisedLog) -> None:
    notary = log.notary()
    entries = entries_of(notary)
    assert len(entries) == 10
    assert notary.store.note is not None
    checkpoint = open_checkpoint(notary.store.note, [log.signer.verifier], origin=ORIGIN)
    assert (checkpoint.size, checkpoint.root) == (10, root_of(map(leaf_hash, entries)))
    assert checkpoint == notary.checkpoint
    notary.close()


def test_a_restart_goes_on_where_the_checkpoint_ends(log: NotarisedLog) -> None:
    notary = log.notary()
    assert notary.advance() == 0
    assert notary.waits
    notary.close()
    log.recover()
    log.sealed(1)
    again = log.notary()
    assert again.advance() == 3, "the end of the recovered one, and the new one"
    again.close()
    anew = log.notary()
    assert anew.advance() == 3, "nothing was signed, so they come again"
    anew.close()


def test_nothing_new_needs_no_checkpoint_and_a_young_one_waits(log: NotarisedLog) -> None:
    notary = log.notary()
    log.recover()
    notary.advance()
    assert notary.publish(1000.0) is not None
    assert notary.publish(1010.0) is None, "nothing new"
    log.sealed(1)
    notary.advance()
    assert notary.publish(1000.5) is None, "too young"
    assert notary.publish(1000.6, durable=True) is not None, "this one cannot wait"
    notary.close()


def test_frames_are_synced_before_a_checkpoint_is_written(tmp_path: Path) -> None:
    files = FailingFiles()
    log = NotarisedLog(tmp_path, files=files)
    log.opened(1)
    notary = log.notary()
    notary.advance()
    files.calls.clear()
    notary.publish(0.0)
    assert files.calls[0] == "sync_data"
    assert "rename" in files.calls
    notary.close()


def test_no_checkpoint_is_written_when_frames_cannot_be_synced(tmp_path: Path) -> None:
    log = NotarisedLog(tmp_path)
    log.opened(1)
    notary = Notary.open(FailingFiles(1, only="sync_data"), log.directory, log.signer)
    notary.advance()
    with pytest.raises(LogFailed, match="fdatasync"):
        notary.publish(0.0)
    assert not (log.directory / "tlog" / "checkpoint").exists()
    notary.close()


def test_every_so_often_the_whole_tree_is_made_durable(
    log: NotarisedLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced = log.directory / "tlog" / "synced"
    notary = log.notary()
    sizes = []
    for now_s, due in ((0.0, True), (10.0, False), (700.0, True)):
        log.sealed(1) if now_s else log.recover()
        notary.advance()
        notary.publish(now_s)
        size = notary.checkpoint.size if notary.checkpoint else 0
        assert (int(synced.read_text()) == size) == due
        sizes.append(size)
    monkeypatch.setattr("storage.notary.notary.SYNC_LEAVES", 1)
    log.sealed(1)
    notary.advance()
    notary.publish(701.5)
    assert int(synced.read_text()) > sizes[-1]
    notary.sync()
    notary.close()


def test_a_witness_line_is_added_to_the_published_checkpoint(log: NotarisedLog) -> None:
    witness = parse_signer(generate_signer("witness", KeyType.COSIGNATURE)[0])
    notary = log.notary()
    assert notary.store.note is not None
    note = notary.cosign([cosign(parse_note(notary.store.note).text, witness, 1_790_000_000)])
    assert cosignatures(parse_note(note), [witness.verifier]) == {witness.verifier: 1_790_000_000}
    assert (log.directory / "tlog" / "checkpoint").read_bytes() == note
    notary.close()


# --- leaves for files -------------------------------------------------------------------------------


def test_tombstones_destroyed_keys_and_losses_get_a_leaf_when_they_are_noticed(log: NotarisedLog) -> None:
    first = next(log.directory.glob("*-00000001-*.kseg"))
    notes = {
        first.with_suffix(".tombstone"): sign_tombstone(tombstone_of(first), log.signer),
        first.with_suffix(".shredded"): b'{"segment_id": "%s", "by": "ann"}' % ID.encode(),
        log.directory / "loss-1.note": b"a statement",
    }
    for path, data in notes.items():
        path.write_bytes(data)
    hashes = [hashlib.sha256(data).digest() for data in notes.values()]
    notary = log.notary()
    assert notary.advance() == 3
    assert notary.advance() == 0
    notary.publish(1000.0)
    assert {parse_leaf(entry) for entry in entries_of(notary)[10:]} == {
        TombstoneLeaf(ID, 1, hashes[0]),
        ShreddedLeaf(ID, 1, hashes[1]),
        LossAcceptedLeaf(hashes[2]),
    }
    notary.close()
    again = log.notary()
    assert again.advance() == 0, "they are known"
    again.close()
    (log.directory / "tlog.marks").unlink()
    without = log.notary()
    assert without.advance() == 0, "found in the tree itself"
    without.close()
    assert [mark.index for mark in read_marks(REAL_FILES, log.directory) or ()] == [10, 11, 12]


def test_the_tree_is_durable_once_it_covers_such_a_leaf(log: NotarisedLog) -> None:
    notary = log.notary()
    log.recover()
    notary.advance()
    notary.publish(1000.0)
    (log.directory / "loss-1.note").write_bytes(b"a statement")
    notary.advance()
    notary.publish(1001.0)
    assert notary.checkpoint is not None
    assert int((log.directory / "tlog" / "synced").read_text()) == notary.checkpoint.size
    notary.close()


def test_marks_that_cannot_be_written_stop_the_checkpoint(log: NotarisedLog) -> None:
    (log.directory / "loss-1.note").write_bytes(b"a statement")
    files = FailingFiles(only="create", fail_at=1)  # tlog.marks comes first
    notary = Notary.open(files, log.directory, log.signer)
    notary.advance()
    with pytest.raises(LogFailed, match="marks"):
        notary.publish(1000.0)
    assert notary.checkpoint is not None
    assert notary.checkpoint.size == 10
    notary.close()


def test_an_oversized_file_gets_no_leaf(log: NotarisedLog) -> None:
    (log.directory / "loss-1.note").write_bytes(b"x" * 100_000)
    notary = log.notary()
    assert notary.advance() == 0
    notary.close()


def test_which_segment_a_file_is_about() -> None:
    stem = "1790000000123-000001-00000001-ad151265"
    assert segment_id_in(f"{stem}.shredded", b'{"segment_id": "%s"}' % ID.encode()) == ID
    assert segment_id_in(f"{stem}.shredded", b'{"segment_id": "other"}') == ""
    assert segment_id_in(f"{stem}.shredded", b"garbage") == ""
    assert segment_id_in(f"{stem}.tombstone", b"garbage") == ""


# --- what cannot be gone on with ----------------------------------------------------------------------


def test_a_tree_over_a_segment_that_is_gone_is_not_gone_on_with(log: NotarisedLog) -> None:
    next(log.directory.glob("*.open")).unlink()
    with pytest.raises(TreeBeyondLog, match="not there any more"):
        log.notary()


def test_a_tree_signed_by_an_unknown_key_is_not_gone_on_with(log: NotarisedLog) -> None:
    other = parse_signer(generate_signer(ORIGIN)[0])
    with pytest.raises(TreeDamaged):
        Notary.open(REAL_FILES, log.directory, other)
    both = Notary.open(REAL_FILES, log.directory, other, keys=[log.signer.verifier, other.verifier])
    log.recover()
    both.advance()
    both.publish(1000.0)
    both.close()


def test_a_directory_that_cannot_be_read_is_told(log: NotarisedLog, monkeypatch: pytest.MonkeyPatch) -> None:
    notary = log.notary()

    listed = REAL_FILES.names

    def refuse(_: object, directory: Path) -> list[str]:
        if directory == log.directory:
            raise PermissionError(13, "no", str(directory))
        return listed(directory)

    monkeypatch.setattr("storage.files.RealFiles.names", refuse)
    with pytest.raises(LogFailed, match="read"):
        notary.advance()
    with pytest.raises(LogFailed, match="open the tree of"):
        log.notary()
    notary.close()


def test_damage_is_told_and_the_tree_goes_on(tmp_path: Path) -> None:
    log = NotarisedLog(tmp_path)
    path = log.sealed(1, 1)
    data = bytearray(path.read_bytes())
    data[4150] ^= 1
    path.write_bytes(data)
    notary = log.notary()
    notary.advance()
    assert notary.damage is not None
    notary.publish(0.0)
    assert isinstance(parse_leaf(entries_of(notary)[-1]), SealedLeaf)
    notary.close()


def test_an_empty_log_is_signed_before_anything_is_in_it(tmp_path: Path) -> None:
    signer = open_signer(tmp_path, ORIGIN)
    directory = tmp_path / "log" / "0"
    for _ in range(2):
        sign_beginning(REAL_FILES, directory, signer)
    note = (directory / "tlog" / "checkpoint").read_bytes()
    assert open_checkpoint(note, [signer.verifier]).size == 0
    assert check_log(REAL_FILES, directory, [signer.verifier]).findings == ()


def test_a_log_that_has_begun_is_not_signed_again(tmp_path: Path) -> None:
    log = NotarisedLog(tmp_path)
    log.sealed(1)
    sign_beginning(REAL_FILES, log.directory, log.signer)
    assert not (log.directory / "tlog" / "checkpoint").exists()


def test_a_beginning_that_cannot_be_written_is_an_error(tmp_path: Path) -> None:
    signer = open_signer(tmp_path, ORIGIN)
    (tmp_path / "log").write_bytes(b"a file")
    with pytest.raises(LogFailed, match="begin the tree"):
        sign_beginning(REAL_FILES, tmp_path / "log" / "0", signer)
