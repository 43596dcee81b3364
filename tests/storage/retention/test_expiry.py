"""One segment: its tombstone, its end, and what lies beside it."""

import hashlib
from pathlib import Path

import pytest

from storage.errors import StorageError
from storage.files import REAL_FILES
from storage.notary.tombstone import read_tombstone
from storage.retention.expiry import Grave, NotDeletable, bury, check_bytes, check_own, exhume, tidy, unlink
from storage.retention.inventory import Entry, Extent, list_entries, read_extent
from tests.kit.expiring import NOW_NS, Scene, new_signer
from tests.kit.segments import flip


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    return Scene(tmp_path, (9, 1))


def entry(scene: Scene, number: int = 1) -> Entry:
    return list_entries(REAL_FILES, scene.directory)[number - 1]


def grave(scene: Scene) -> Grave:
    one = entry(scene)
    extent = read_extent(REAL_FILES, one.path(scene.directory))
    return bury(
        REAL_FILES, scene.directory, one, extent, reason="retention", deleted_ns=NOW_NS, signer=scene.signer
    )


def test_a_tombstone_says_what_was_there(scene: Scene) -> None:
    content = scene.path(1).read_bytes()
    made = grave(scene)
    data = scene.path(1, ".tombstone").read_bytes()
    assert read_tombstone(data) == made.tombstone
    assert made.sha256 == hashlib.sha256(data).digest()
    assert (made.tombstone.size, made.tombstone.sha256) == (len(content), hashlib.sha256(content).digest())
    assert scene.path(1).read_bytes() == content
    assert scene.path(1, ".tombstone").stat().st_mode & 0o777 == 0o600


def test_what_was_begun_is_found_again(scene: Scene) -> None:
    made = grave(scene)
    found = exhume(REAL_FILES, scene.directory, entry(scene), [scene.signer.verifier])
    assert (found.tombstone, found.sha256) == (made.tombstone, made.sha256)
    check_bytes(REAL_FILES, scene.directory, found)
    flip(scene.path(1), 4200)
    with pytest.raises(NotDeletable, match="of other bytes"):
        check_bytes(REAL_FILES, scene.directory, found)


def test_unlinking_twice_is_fine(scene: Scene) -> None:
    scene.path(1, ".torn").write_bytes(b"torn")
    made = grave(scene)
    for _ in range(2):
        unlink(REAL_FILES, scene.directory, made)
    assert scene.left() == [2]
    assert not scene.path(1, ".torn").exists()


def test_only_what_lies_beside_our_tombstone_is_tidied_up(scene: Scene) -> None:
    keys = [scene.signer.verifier]
    scene.path(1, ".keys").write_text("{}")
    assert not tidy(REAL_FILES, scene.directory, entry(scene), keys)  # the segment is there
    made = grave(scene)
    assert not tidy(REAL_FILES, scene.directory, entry(scene), keys)
    unlink(REAL_FILES, scene.directory, made)
    with pytest.raises(StorageError):
        tidy(REAL_FILES, scene.directory, entry(scene), [new_signer().verifier])
    assert tidy(REAL_FILES, scene.directory, entry(scene), keys)
    assert not tidy(REAL_FILES, scene.directory, entry(scene), keys)
    scene.path(2, ".keys").write_text("{}")
    scene.path(2).unlink()
    assert not tidy(REAL_FILES, scene.directory, entry(scene, 2), keys)  # stolen, not deleted
    assert scene.path(2, ".keys").exists()


def test_a_segment_of_another_log_is_not_ours_to_delete(scene: Scene) -> None:
    one = entry(scene)
    extent = read_extent(REAL_FILES, one.path(scene.directory))
    with pytest.raises(NotDeletable, match="not ours to delete"):
        bury(
            REAL_FILES,
            scene.directory,
            one,
            extent,
            reason="retention",
            deleted_ns=NOW_NS,
            signer=new_signer("example.com/other"),
        )
    assert scene.buried() == []


def test_a_file_is_checked_against_its_name(scene: Scene) -> None:
    first, second = (read_extent(REAL_FILES, scene.path(number)) for number in (1, 2))
    check_own(entry(scene), first)
    with pytest.raises(NotDeletable, match="files were exchanged"):
        check_own(entry(scene), second)
    with pytest.raises(NotDeletable, match="header page cannot be read"):
        check_own(entry(scene), Extent(problem="garbled"))
