"""What the signed tree proves for those who delete."""

import hashlib
from pathlib import Path

import pytest

from storage.files import REAL_FILES
from storage.notary import coverage
from storage.notary.coverage import Covered, read_covered
from storage.notary.leaf import LossAcceptedLeaf, encode_leaf
from storage.retention.expiry import bury
from storage.retention.inventory import list_entries, read_extent
from storage.tlog.checkpoint import Checkpoint, sign_checkpoint
from storage.tlog.tree import TreeStore
from storage.tlog.tree_reader import TreeDamaged
from tests.kit.expiring import NOW_NS, ORIGIN, Scene, new_signer


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    return Scene(tmp_path)


def covered(scene: Scene, *tombstones: bytes) -> Covered:
    return read_covered(REAL_FILES, scene.directory, [scene.signer.verifier], tombstones=tombstones)


def tombstone(scene: Scene, number: int) -> bytes:
    entry = list_entries(REAL_FILES, scene.directory)[number - 1]
    extent = read_extent(REAL_FILES, entry.path(scene.directory))
    return bury(
        REAL_FILES, scene.directory, entry, extent, reason="r", deleted_ns=NOW_NS, signer=scene.signer
    ).sha256


def append(scene: Scene, *entries: bytes) -> None:
    """Put further leaves into the tree, signed."""
    store = TreeStore(REAL_FILES, scene.directory / "tlog")
    store.append(entries)
    size, root = store.head()
    store.publish(sign_checkpoint(Checkpoint(ORIGIN, size, root), [scene.signer]), durable=True)


def test_without_a_tree_nothing_is_covered(scene: Scene) -> None:
    assert covered(scene) == Covered(0, frozenset())


def test_a_tree_begun_and_never_signed_covers_nothing(scene: Scene) -> None:
    (scene.directory / "tlog" / "tile" / "0").mkdir(parents=True)
    assert covered(scene) == Covered(0, frozenset())


def test_the_newest_manifest_covers_all_before_it(scene: Scene) -> None:
    scene.cover()
    assert covered(scene).manifests == 5
    scene.add(0, state="open")
    scene.cover()
    assert covered(scene).manifests == 5  # blocks of an open segment are no manifest


def test_before_the_first_manifest_there_is_none(tmp_path: Path) -> None:
    scene = Scene(tmp_path, ())
    scene.add(0, state="open")
    scene.cover()
    assert covered(scene).manifests == 0


def test_only_tombstones_asked_for_and_durable_count(scene: Scene) -> None:
    scene.cover()
    first, second = tombstone(scene, 1), tombstone(scene, 2)
    assert covered(scene, first).tombstones == frozenset()
    scene.cover()
    assert covered(scene, first, second) == Covered(5, frozenset((first, second)))
    assert covered(scene, second, b"other" * 6 + b"xx") == Covered(5, frozenset((second,)))
    size = int((scene.directory / "tlog" / "synced").read_text())
    (scene.directory / "tlog" / "synced").write_text(f"{size - 1}\n")
    assert len(covered(scene, first, second).tombstones) == 1


def test_behind_an_accepted_loss_old_manifests_count_no_more(scene: Scene) -> None:
    scene.cover()
    append(scene, encode_leaf(LossAcceptedLeaf(hashlib.sha256(b"x").digest())))
    assert covered(scene).manifests == 0


def test_leaves_of_a_newer_version_are_passed_over(scene: Scene) -> None:
    scene.cover()
    append(scene, bytes([1, 77]) + b"new", bytes([9, 1]) + b"newer")
    assert covered(scene).manifests == 5


def test_a_checkpoint_that_another_key_signed_covers_nothing_and_says_so(scene: Scene) -> None:
    scene.cover()
    with pytest.raises(TreeDamaged, match="not signed by a trusted key"):
        read_covered(REAL_FILES, scene.directory, [new_signer().verifier])


def test_the_search_is_bounded(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    first = tombstone(scene, 1)
    scene.cover()
    append(scene, *(bytes([1, 77]) + b"%d" % at for at in range(600)))
    assert covered(scene, first) == Covered(5, frozenset((first,)))
    monkeypatch.setattr(coverage, "MAX_ENTRIES_BACK", 256)
    assert covered(scene, first) == Covered(0, frozenset())


def test_a_tree_that_grows_under_the_reader_is_read_again(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    scene.cover()
    real, calls = coverage.open_tree_reader, []

    def vanishing(*arguments: object) -> object:
        calls.append(arguments)
        if len(calls) < 3:
            raise TreeDamaged("tile/0/000.p/7", "missing")
        return real(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(coverage, "open_tree_reader", vanishing)
    assert covered(scene).manifests == 5
    calls.clear()
    monkeypatch.setattr(coverage, "_TRIES", 2)
    with pytest.raises(TreeDamaged):
        covered(scene)
