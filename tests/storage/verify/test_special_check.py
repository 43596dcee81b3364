import hashlib
from pathlib import Path

import msgspec
import pytest

from storage.files import REAL_FILES, RealFiles
from storage.notary.leaf import LossAcceptedLeaf, RecoveredLeaf, SealedLeaf, ShreddedLeaf, TombstoneLeaf
from storage.notary.loss import sign_loss
from storage.notary.tombstone import Tombstone, sign_tombstone
from storage.tlog.note import generate_signer, parse_signer
from storage.verify.findings import Kind
from storage.verify.special_check import Ends, Explained, SpecialCheck
from tests.storage.notary.test_loss import LOSS, SIGNER

ID = "01a0c450-6c7b-7747-8290-6058ad151265"
STEM = "1790000000123-000001-00000007-ad151265"
TOMBSTONE = Tombstone("kubetape/gw/0", STEM, ID, 7, 100, bytes(32), 10, 20, 5, "retention 30d")
SEALED = SealedLeaf(ID, "", 7, 100, bytes(32), 2, 10, 20, 5, 6)
RECOVERED = RecoveredLeaf(ID, "", 7, 90, bytes(32), 0, b"", "clean", 20)
THIEF = parse_signer(generate_signer("kubetape/gw/0")[0])

Special = TombstoneLeaf | ShreddedLeaf | LossAcceptedLeaf


def run(directory: Path, *leaves: Special, ends: Ends | None = None, has_tree: bool = True) -> Explained:
    check = SpecialCheck(REAL_FILES, directory, [SIGNER.verifier], leaves, has_tree=has_tree)
    names = [path.name for path in directory.iterdir()]
    return check.run(names, {7: SEALED} if ends is None else ends)


def kinds(found: Explained) -> list[Kind]:
    return [finding.kind for finding in found.findings]


def bury(directory: Path, data: bytes) -> TombstoneLeaf:
    (directory / f"{STEM}.tombstone").write_bytes(data)
    return TombstoneLeaf(ID, 7, hashlib.sha256(data).digest())


@pytest.mark.parametrize("ends", [{7: SEALED}, {7: RECOVERED}, {}])
def test_a_genuine_tombstone_explains_its_segment(tmp_path: Path, ends: Ends) -> None:
    leaf = bury(tmp_path, sign_tombstone(TOMBSTONE, SIGNER))
    (tmp_path / "LOCK").touch()
    found = run(tmp_path, leaf, ends=ends)
    assert (found.tombstones, found.findings) == ({7: TOMBSTONE}, [])


@pytest.mark.parametrize(
    "changes",
    [{"segment_id": ID[:-1] + "6"}, {"size": 99}, {"sha256": bytes(31) + b"1"}],
    ids=["another id", "another size", "another hash"],
)
def test_a_tombstone_that_does_not_fit_its_segment_explains_nothing(
    tmp_path: Path, changes: dict[str, object]
) -> None:
    leaf = bury(tmp_path, sign_tombstone(msgspec.structs.replace(TOMBSTONE, **changes), SIGNER))
    found = run(tmp_path, leaf)
    assert found.tombstones == {}
    assert kinds(found) == [Kind.REWRITE]


def test_a_tombstone_of_other_records_than_were_recovered_explains_nothing(tmp_path: Path) -> None:
    leaf = bury(tmp_path, sign_tombstone(msgspec.structs.replace(TOMBSTONE, next_record_seq=21), SIGNER))
    assert Kind.REWRITE in kinds(run(tmp_path, leaf, ends={7: RECOVERED}))


def test_forged_garbled_and_misplaced_tombstones(tmp_path: Path) -> None:
    bury(tmp_path, sign_tombstone(TOMBSTONE, THIEF))
    assert kinds(run(tmp_path)) == [Kind.NOT_COVERED, Kind.FORGED]
    bury(tmp_path, b"garbage")
    assert kinds(run(tmp_path)) == [Kind.NOT_COVERED, Kind.CORRUPT]
    bury(tmp_path, b"x" * 100_000)
    assert kinds(run(tmp_path)) == [Kind.CORRUPT]
    bury(tmp_path, sign_tombstone(msgspec.structs.replace(TOMBSTONE, number=8), SIGNER))
    assert kinds(run(tmp_path)) == [Kind.NOT_COVERED, Kind.FORGED]
    bury(tmp_path, sign_tombstone(msgspec.structs.replace(TOMBSTONE, segment="other"), SIGNER))
    assert kinds(run(tmp_path, has_tree=False)) == [Kind.FORGED]


def test_files_the_tree_knows_and_that_are_gone(tmp_path: Path) -> None:
    found = run(
        tmp_path, TombstoneLeaf(ID, 7, bytes(32)), ShreddedLeaf(ID, 7, bytes(32)), LossAcceptedLeaf(bytes(32))
    )
    assert kinds(found) == [Kind.MISSING] * 3
    leaf = bury(tmp_path, sign_tombstone(TOMBSTONE, SIGNER))
    found = run(tmp_path, leaf, TombstoneLeaf(ID, 7, bytes(32)))
    assert kinds(found) == [], "an older one was replaced by one that is there"


def test_destroyed_keys(tmp_path: Path) -> None:
    path = tmp_path / f"{STEM}.shredded"
    path.write_bytes(b'{"by": "ann"}')
    leaf = ShreddedLeaf(ID, 7, hashlib.sha256(path.read_bytes()).digest())
    found = run(tmp_path, leaf)
    assert ([name.stem for name in found.shredded], found.findings) == ([STEM], [])
    path.write_bytes(b'{"by": "bob"}')
    assert kinds(run(tmp_path, leaf)) == [Kind.NOT_COVERED, Kind.MISSING]
    path.write_bytes(b"x" * 100_000)
    assert kinds(run(tmp_path)) == [Kind.CORRUPT]


def test_accepted_losses(tmp_path: Path) -> None:
    path = tmp_path / "loss-1.note"
    path.write_bytes(sign_loss(LOSS, SIGNER))
    leaf = LossAcceptedLeaf(hashlib.sha256(path.read_bytes()).digest())
    found = run(tmp_path, leaf)
    assert (found.losses, found.excused, found.free_below) == ([LOSS], LOSS.lost, 9)
    (finding,) = found.findings
    assert finding.kind is Kind.LOSS_ACCEPTED
    assert "15 lost leaves (of 120): disk restored from the backup of Monday" in finding.why
    path.write_bytes(sign_loss(LOSS, THIEF))
    assert kinds(run(tmp_path)) == [Kind.NOT_COVERED, Kind.FORGED]
    path.write_bytes(b"x" * 100_000)
    assert kinds(run(tmp_path)) == [Kind.CORRUPT]
    assert run(tmp_path).free_below == 1


class Vanishing(RealFiles):
    def open_read(self, path: Path) -> int:
        raise FileNotFoundError(2, "gone", str(path))


def test_a_file_that_went_meanwhile_is_passed_over(tmp_path: Path) -> None:
    check = SpecialCheck(Vanishing(), tmp_path, [SIGNER.verifier], (), has_tree=True)
    names = [f"{STEM}.tombstone", f"{STEM}.shredded", "loss-1.note"]
    assert check.run(names, {}) == Explained()
