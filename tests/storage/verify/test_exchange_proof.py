import base64
from pathlib import Path

import msgspec
import pytest

from storage.errors import CorruptFrame, StorageError
from storage.files import REAL_FILES
from storage.notary.leaf import BlockLeaf
from storage.reader import Position, iter_records
from storage.tlog.checkpoint import Checkpoint, open_checkpoint
from storage.tlog.note import generate_signer, parse_signer
from storage.verify.exchange_proof import (
    BadExchangeProof,
    ExchangeProof,
    encode_exchange_proof,
    parse_exchange_proof,
    verify_exchange_proof,
)
from storage.verify.proving import NotProvable, compare_with_copy, prove
from tests.kit.notarised import ORIGIN, NotarisedLog, three_segments
from tests.kit.segments import flip

CALL = "0123456789abcdef0123456789abcdef"


@pytest.fixture
def log(tmp_path: Path) -> NotarisedLog:
    return three_segments(tmp_path)


def positions_of(log: NotarisedLog, *records: int) -> list[Position]:
    return [p for p, _ in iter_records(log.directory) if p.record_seq in records]


def made(log: NotarisedLog, *records: int) -> ExchangeProof:
    return prove(REAL_FILES, log.directory, "call", CALL, positions_of(log, *records), [log.signer.verifier])


def checked(log: NotarisedLog, proof: ExchangeProof) -> list[BlockLeaf]:
    def open_note(note: bytes) -> Checkpoint:
        return open_checkpoint(note, [log.signer.verifier], origin=ORIGIN)

    return [leaf for _, leaf, _ in verify_exchange_proof(proof, open_note)]


def test_a_proof_of_three_records_in_two_segments_checks_without_the_log(log: NotarisedLog) -> None:
    proof = parse_exchange_proof(encode_exchange_proof(made(log, 1, 2, 8)))
    assert (proof.kind, proof.id, proof.origin) == ("call", CALL, ORIGIN)
    assert [block.records for block in proof.blocks] == [(1, 2), (8,)]
    leaves = checked(log, proof)
    assert [(leaf.first_record_seq, leaf.nrec) for leaf in leaves] == [(1, 2), (8, 1)]


def test_a_copy_of_the_log_holds_the_proven_frames_or_it_is_said(log: NotarisedLog) -> None:
    proof = made(log, 1, 8)
    for block, leaf in zip(proof.blocks, checked(log, proof), strict=True):
        compare_with_copy(REAL_FILES, log.directory, block, leaf)
    path = next(log.directory.glob("*-00000001-*"))
    block, leaf = proof.blocks[0], checked(log, proof)[0]
    intact = path.read_bytes()
    flip(path, leaf.offset + 50)
    with pytest.raises(CorruptFrame):
        compare_with_copy(REAL_FILES, log.directory, block, leaf)
    path.write_bytes(intact)
    other = msgspec.structs.replace(leaf, sha256=bytes(32))
    with pytest.raises(CorruptFrame, match="not the frame that was proven"):
        compare_with_copy(REAL_FILES, log.directory, block, other)
    with pytest.raises(StorageError, match="not the name of a segment"):
        compare_with_copy(REAL_FILES, log.directory, msgspec.structs.replace(block, segment="../x"), leaf)


def test_nothing_that_no_checkpoint_covers_is_proven(log: NotarisedLog) -> None:
    log.recover()
    log.opened(1)
    with pytest.raises(NotProvable, match="newer than the last checkpoint"):
        made(log, 1, 14)
    with pytest.raises(NotProvable, match="nothing was recorded"):
        made(log)


def test_a_proof_from_a_large_tree(tmp_path: Path) -> None:
    log = NotarisedLog(tmp_path)
    log.sealed(*[1] * 300)
    log.sealed(*[1] * 500)  # its last leaf names the first segment; the bundle before does not
    log.notarise()
    proof = made(log, 5, 599)
    assert [leaf.first_record_seq for leaf in checked(log, proof)] == [5, 599]
    assert [leaf.first_record_seq for leaf in checked(log, made(log, 5))] == [5]


def changed(whole: ExchangeProof, /, **changes: object) -> ExchangeProof:
    first, *rest = whole.blocks
    return msgspec.structs.replace(whole, blocks=(msgspec.structs.replace(first, **changes), *rest))


def test_a_proof_changed_anywhere_proves_nothing(log: NotarisedLog) -> None:
    proof = made(log, 1, 2, 8)
    first, second = proof.blocks
    tree = log.notary()
    (end,) = tree.store.entries(3, 4)
    tree.close()
    for bad, why in (
        (changed(proof, entry=second.entry), "frame 1 of 2"),
        (changed(proof, entry=first.entry[:-1] + b"?"), "frame 1 of 2"),
        (changed(proof, entry=b"\1"), "no type"),
        (changed(proof, proof=second.proof), "frame 1 of 2"),
        (changed(proof, proof="garbage"), "frame 1 of 2"),
        (changed(proof, records=(1, 2, 3)), "records 1 to 2, not those named"),
        (changed(proof, segment=second.segment), "not that of a frame of segment"),
        (msgspec.structs.replace(proof, origin="other"), "not of 'other'"),
    ):
        with pytest.raises(BadExchangeProof, match=why):
            checked(log, bad)
    assert end[1] == 2


def test_a_leaf_that_is_no_frame_proves_no_frame(log: NotarisedLog) -> None:
    proof = made(log, 1)
    reader = log.notary()
    (end,) = reader.store.entries(3, 4)
    hashes = reader.store.inclusion_proof(3, 10)
    reader.close()
    text = proof.blocks[0].proof
    head, note = text.split("\n\n", 1)
    lines = [head.split("\n")[0], "index 3", *(base64.b64encode(value).decode() for value in hashes)]
    bad = changed(proof, entry=end, proof="\n".join(lines) + "\n\n" + note)
    with pytest.raises(BadExchangeProof, match="not that of a frame"):
        checked(log, bad)


def test_another_key_is_not_believed(log: NotarisedLog) -> None:
    proof = made(log, 1)
    other = NotarisedLog(log.data_dir.with_name("other"))
    other.signer = parse_signer(generate_signer(ORIGIN)[0])
    with pytest.raises(BadExchangeProof, match="not signed by a trusted key"):
        checked(other, proof)


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"garbage", "not a proof file"),
        (b'{"kind":"call","id":"x","origin":"y","blocks":[]}', "0 frames"),
        (b'{"kind":"call","id":"x","origin":"y","blocks":[],"format":"v9"}', "newer version"),
        (b'{"kind":"call","id":"x","origin":"y","blocks":[],"more":1}', "not a proof file"),
    ],
)
def test_what_is_no_proof_file_is_refused(data: bytes, why: str) -> None:
    with pytest.raises(BadExchangeProof, match=why):
        parse_exchange_proof(data)


def test_a_file_is_bounded_before_it_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("storage.verify.exchange_proof.MAX_FILE_BYTES", 10)
    with pytest.raises(BadExchangeProof, match="longer"):
        parse_exchange_proof(b"x" * 11)
