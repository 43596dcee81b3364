import shutil
from pathlib import Path

import pytest

from storage.files import REAL_FILES, RealFiles
from storage.tlog.checkpoint import Checkpoint, cosign, sign_checkpoint, with_cosignatures
from storage.tlog.note import KeyType, SignerKey, generate_signer, parse_note, parse_signer
from storage.tlog.tree import TreeStore
from storage.tlog.trust import parse_policy
from storage.verify.findings import Finding, Kind
from storage.verify.tree_check import CheckedTree, TreeCheck, Trust, scan_here
from tests.storage.verify.test_tree_scan import LOSS, SIGNER, blocks

WITNESS = parse_signer(generate_signer("witness", KeyType.COSIGNATURE)[0])


class Log:
    """A tree with a checkpoint kept at every size asked for."""

    def __init__(self, directory: Path, *sizes: int, signer: SignerKey = SIGNER) -> None:
        self.directory, self.signer = directory, signer
        self.store = TreeStore(REAL_FILES, directory)
        self.notes: dict[int, bytes] = {}
        for size in sizes:
            self.grow(size)

    def grow(self, size: int, entry: bytes | None = None) -> bytes:
        made = blocks(1, size)[self.store.size :]
        self.store.append([entry or made[0], *made[1:]])
        note = sign_checkpoint(Checkpoint("log", *self.store.head()), [self.signer])
        self.store.publish(note, keep=True)
        self.notes[size] = note
        return note

    def check(
        self, trust: Trust | None = None, own: tuple[SignerKey, ...] = ()
    ) -> tuple[CheckedTree | None, list[Finding]]:
        check = TreeCheck(
            REAL_FILES,
            self.directory,
            Trust((SIGNER.verifier,)) if trust is None else trust,
            [signer.verifier for signer in own],
        )
        return check.run(scan_here(REAL_FILES)), check.findings

    def kinds(self, trust: Trust | None = None) -> list[Kind]:
        return [finding.kind for finding in self.check(trust)[1]]


def held(*notes: bytes) -> Trust:
    return Trust((SIGNER.verifier,), checkpoints=tuple((f"held-{n}", note) for n, note in enumerate(notes)))


@pytest.mark.parametrize("sizes", [(1,), (255, 256), (256, 257), (10, 600), (1, 2, 3, 300, 512)])
def test_a_sound_tree_has_no_finding(tmp_path: Path, sizes: tuple[int, ...]) -> None:
    tree, findings = Log(tmp_path, *sizes).check()
    assert findings == []
    assert tree is not None
    assert tree.is_signed
    assert tree.checkpoint.size == sizes[-1]
    assert tree.compared == len(sizes) + 1, "the newest, and every kept copy, its own included"
    assert sum(run.end - run.start for run in tree.runs) == sizes[-1]


def test_a_large_tree_with_an_upper_tile_that_is_wrong_or_gone(tmp_path: Path) -> None:
    log = Log(tmp_path, 700)
    (path,) = (tmp_path / "tile" / "1" / "000.p").iterdir()
    data = path.read_bytes()
    path.write_bytes(bytes(len(data)))
    tree, findings = log.check()
    assert [finding.why for finding in findings] == [
        "tlog/tile/1/000.p/2: not the hashes of what is below it"
    ]
    assert tree is not None
    assert tree.is_signed
    path.unlink()
    assert "missing" in log.check()[1][0].why


def test_which_of_two_files_that_disagree_is_damaged(tmp_path: Path) -> None:
    log = Log(tmp_path, 300)
    for kind, number in (("0", "000"), ("entries", "000")):
        path = tmp_path / "tile" / kind / number
        data = path.read_bytes()
        path.write_bytes(data[:40] + bytes([data[40] ^ 1]) + data[41:])
        tree, findings = log.check()
        assert len(findings) == 1
        assert f"tile/{kind}/{number}" in findings[0].why
        assert tree is not None
        assert tree.is_signed
        assert tree.unreadable == ({0} if kind == "entries" else set())
        path.write_bytes(data)


def test_both_files_of_one_bundle_gone(tmp_path: Path) -> None:
    log = Log(tmp_path, 100, 300)
    for kind in ("0", "entries"):
        (tmp_path / "tile" / kind / "000").unlink()
    tree, findings = log.check()
    assert tree is not None
    assert not tree.is_signed
    assert tree.unreadable == {0}
    assert {finding.kind for finding in findings} <= {Kind.CORRUPT, Kind.REWRITE}


def test_entries_with_a_lost_tile_beside_a_damaged_one(tmp_path: Path) -> None:
    log = Log(tmp_path, 600)
    (tmp_path / "tile" / "0" / "001").unlink()
    path = tmp_path / "tile" / "entries" / "000"
    path.write_bytes(path.read_bytes()[:-1] + b"?")
    tree, findings = log.check()
    assert tree is not None
    assert tree.is_signed, "of each bundle the file that leads to the root is gone by"
    assert len(findings) == 2
    (tmp_path / "tile" / "1" / "000.p" / "2").unlink()
    assert any("entry 255" in finding.why for finding in log.check()[1])


def test_a_history_rewritten_under_the_signed_checkpoint(tmp_path: Path) -> None:
    log = Log(tmp_path / "log", 10, 300)
    other = Log(tmp_path / "other")
    other.grow(300, entry=LOSS)
    (tmp_path / "other" / "checkpoint").write_bytes(log.notes[300])
    shutil.rmtree(tmp_path / "other" / "checkpoints")
    assert other.kinds() == [Kind.REWRITE]


def test_a_kept_copy_of_another_history_says_from_where(tmp_path: Path) -> None:
    log = Log(tmp_path / "log", 5, 10, 300)
    fork = Log(tmp_path / "fork", 5)
    fork.grow(10, entry=LOSS)
    (tmp_path / "log" / "checkpoints" / "10").write_bytes(fork.notes[10])
    tree, findings = log.check()
    assert tree is not None
    assert tree.is_signed
    (finding,) = findings
    assert (finding.kind, finding.record, finding.offset) == (Kind.REWRITE, 15, 4596)
    assert "checkpoints/10" in finding.why
    assert "the first 5 leaves agree" in finding.why


def test_checkpoints_held_elsewhere(tmp_path: Path) -> None:
    log = Log(tmp_path / "log", 5, 300)
    longer = Log(tmp_path / "longer", 5, 300, 301)
    fork = Log(tmp_path / "fork", 5)
    fork.grow(20, entry=LOSS)
    stranger = Log(tmp_path / "stranger", 5, signer=parse_signer(generate_signer("log")[0]))
    assert log.kinds(held(log.notes[5], log.notes[300])) == []
    assert log.kinds(held(longer.notes[301])) == [Kind.ROLLBACK]
    assert log.kinds(held(fork.notes[20])) == [Kind.REWRITE]
    assert log.kinds(held(stranger.notes[5])) == [Kind.FORGED]
    other = sign_checkpoint(Checkpoint("other", 5, bytes(32)), [SIGNER])
    assert log.kinds(held(other, b"garbage")) == [], "not of this log: said elsewhere"


def test_a_fork_behind_leaves_that_are_no_blocks_has_no_place(tmp_path: Path) -> None:
    log = Log(tmp_path / "log")
    log.grow(3, entry=LOSS)
    fork = Log(tmp_path / "fork", 2)
    (finding,) = log.check(held(fork.notes[2]))[1]
    assert (finding.kind, finding.offset) == (Kind.REWRITE, None)
    (tmp_path / "log" / "tile" / "entries" / "000.p" / "3").write_bytes(b"x")
    assert Kind.REWRITE in log.kinds(held(fork.notes[2]))


# --- which checkpoint ---------------------------------------------------------------------------------


def test_without_any_key_nothing_can_be_said_of_signatures(tmp_path: Path) -> None:
    log = Log(tmp_path, 5)
    tree, findings = log.check(Trust())
    assert {finding.kind for finding in findings} == {Kind.UNVERIFIABLE}
    assert tree is not None
    assert not tree.is_signed
    own, findings = log.check(Trust(), own=(SIGNER,))
    assert findings == []
    assert own is not None
    assert own.is_signed


def test_a_garbled_checkpoint_leaves_the_newest_copy_to_go_by(tmp_path: Path) -> None:
    log = Log(tmp_path, 5, 300)
    (tmp_path / "checkpoint").write_bytes(b"garbage")
    tree, findings = log.check()
    assert [finding.kind for finding in findings] == [Kind.CORRUPT]
    assert tree is not None
    assert (tree.checkpoint.size, tree.is_signed) == (300, True)
    (tmp_path / "checkpoints" / "301").write_bytes(b"garbage")
    assert log.kinds() == [Kind.CORRUPT, Kind.CORRUPT], "each is said once"
    (tmp_path / "checkpoint").unlink()
    assert "checkpoint: missing" in log.check()[1][0].why


def test_a_forged_checkpoint_leaves_the_newest_copy_to_go_by(tmp_path: Path) -> None:
    log = Log(tmp_path, 5, 300)
    stranger = parse_signer(generate_signer("log")[0])
    forged = sign_checkpoint(Checkpoint("log", 300, bytes(32)), [stranger])
    (tmp_path / "checkpoint").write_bytes(forged)
    tree, findings = log.check()
    assert [finding.kind for finding in findings] == [Kind.FORGED]
    assert tree is not None
    assert tree.is_signed
    for path in (tmp_path / "checkpoints").iterdir():
        path.write_bytes(forged)
    tree, findings = log.check()
    assert Kind.FORGED in {finding.kind for finding in findings}
    assert tree is not None
    assert not tree.is_signed


def test_copies_that_are_no_copies(tmp_path: Path) -> None:
    log = Log(tmp_path, 5, 300)
    copies = tmp_path / "checkpoints"
    (copies / "7").write_bytes(sign_checkpoint(Checkpoint("other", 7, bytes(32)), [SIGNER]))
    (copies / "8").write_bytes(b"garbage")
    (copies / "notes.txt").write_bytes(b"not looked at")
    assert sorted(log.kinds()) == sorted([Kind.CORRUPT, Kind.FORGED])
    keys = (SIGNER.verifier, parse_signer(generate_signer("other")[0]).verifier)
    assert sorted(log.kinds(Trust(keys))) == sorted([Kind.CORRUPT, Kind.FORGED])


def test_a_copy_of_another_log_under_a_trusted_key_is_no_copy(tmp_path: Path) -> None:
    log = Log(tmp_path, 5, 300)
    other = parse_signer(generate_signer("other")[0])
    (tmp_path / "checkpoints" / "7").write_bytes(sign_checkpoint(Checkpoint("other", 7, bytes(32)), [other]))
    findings = log.check(Trust((SIGNER.verifier, other.verifier)))[1]
    assert [finding.kind for finding in findings] == [Kind.FORGED]
    assert "of the log 'other'" in findings[0].why


def test_nothing_that_can_be_read_is_nothing_to_compare_with(tmp_path: Path) -> None:
    log = Log(tmp_path, 5)
    (tmp_path / "checkpoint").unlink()
    shutil.rmtree(tmp_path / "checkpoints")
    tree, findings = log.check()
    assert tree is None
    assert [finding.kind for finding in findings] == [Kind.UNVERIFIABLE]


def test_a_copy_whose_name_outlived_that_of_the_checkpoint_is_gone_by(tmp_path: Path) -> None:
    log = Log(tmp_path, 5, 300)
    (tmp_path / "checkpoint").write_bytes(log.notes[5])
    tree, findings = log.check()
    assert findings == []
    assert tree is not None
    assert tree.checkpoint.size == 300
    (tmp_path / "tile" / "entries" / "001.p" / "44").unlink()
    assert Kind.ROLLBACK in log.kinds(), "a copy knows more than the tiles tell"


class Growing(RealFiles):
    """The tree grows, and drops its old edge, right after its checkpoint was first read."""

    def __init__(self, log: Log) -> None:
        self._log = log
        self.grown = False

    def open_read(self, path: Path) -> int:
        fd = super().open_read(path)
        if path.name == "checkpoint" and not self.grown:
            self.grown = True
            data = super().read(fd, 10_000, 0)
            super().close(fd)
            for size in (310, 320):
                self._log.grow(size)
            temporary = path.with_name("old")
            temporary.write_bytes(data)
            fd = super().open_read(temporary)
        return fd


def test_a_tree_that_grows_meanwhile_is_looked_at_again(tmp_path: Path) -> None:
    log = Log(tmp_path, 300)
    files = Growing(log)
    check = TreeCheck(files, tmp_path, Trust((SIGNER.verifier,)), ())
    tree = check.run(scan_here(files))
    assert files.grown
    assert check.findings == []
    assert tree is not None
    assert tree.checkpoint.size == 320


# --- witnesses -------------------------------------------------------------------------------------------


def policy_trust() -> Trust:
    text = f"log {SIGNER.verifier.vkey}\nwitness w {WITNESS.verifier.vkey}\nquorum w\n"
    return Trust(policy=parse_policy(text.encode()))


def cosigned(note: bytes) -> bytes:
    return with_cosignatures(note, [cosign(parse_note(note).text, WITNESS, 1_790_000_000)])


def test_a_quorum_of_witnesses_followed(tmp_path: Path) -> None:
    log = Log(tmp_path, 5, 300)
    assert log.kinds(policy_trust()) == [Kind.UNVERIFIABLE]
    log.store.publish(cosigned(log.notes[300]), keep=True)
    assert log.kinds(policy_trust()) == []
    log.grow(310)
    tree, findings = log.check(policy_trust())
    assert [finding.kind for finding in findings] == [Kind.NOT_COVERED]
    assert "up to 300 leaves" in findings[0].why
    assert tree is not None
    assert tree.is_signed


class Publishing(RealFiles):
    """A checkpoint is published, and a copy kept, whenever the tree's own was read."""

    def __init__(self, log: Log) -> None:
        self._log = log

    def close(self, fd: int) -> None:
        super().close(fd)
        if self._log.store.size < 305:
            self._log.grow(self._log.store.size + 1)


def test_copies_that_are_kept_while_we_look_are_no_rollback(tmp_path: Path) -> None:
    log = Log(tmp_path, 300)
    files = Publishing(log)
    check = TreeCheck(files, tmp_path, Trust((SIGNER.verifier,)), ())
    assert check.run(scan_here(files)) is not None
    assert log.store.size == 305
    assert check.findings == []


def test_a_policy_that_does_not_know_the_log_believes_nothing(tmp_path: Path) -> None:
    log = Log(tmp_path, 5)
    other = parse_signer(generate_signer("log")[0]).verifier
    text = f"log {other.vkey}\nwitness w {WITNESS.verifier.vkey}\nquorum w\n"
    assert set(log.kinds(Trust(policy=parse_policy(text.encode())))) == {Kind.FORGED}


def test_a_damaged_bundle_without_its_tile_is_told_as_such(tmp_path: Path) -> None:
    log = Log(tmp_path, 600)
    (tmp_path / "tile" / "0" / "000").unlink()
    path = tmp_path / "tile" / "entries" / "000"
    path.write_bytes(path.read_bytes()[:-1] + b"?")
    tree, findings = log.check()
    assert tree is not None
    assert not tree.is_signed
    assert any("not the ones the tree holds" in finding.why for finding in findings)
