"""The tree on disk: grown, reopened, killed at every call, cut off at every call, rebuilt."""

import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from storage.errors import LogFailed
from storage.files import REAL_FILES
from storage.tlog.checkpoint import Checkpoint, cosign, read_unverified, sign_checkpoint, with_cosignatures
from storage.tlog.merkle import leaf_hash, verify_consistency, verify_inclusion
from storage.tlog.note import KeyType, encode_signer, parse_note, parse_signer
from storage.tlog.tiles import Tile, edge_tiles, new_tiles
from storage.tlog.tree import COPY_INTERVAL_S, TreeStore, open_tree_reader
from storage.tlog.tree_reader import TreeDamaged, file_reader
from tests.kit.faulty_files import CrashFiles, FailingFiles
from tests.kit.trees import LOG, ORIGIN, entries_of, entry_of, grow, note_at, opened, root_at

STRANGER = parse_signer(encode_signer(ORIGIN, KeyType.ED25519, bytes(32)))


def files_below(directory: Path) -> set[str]:
    return {str(path.relative_to(directory)) for path in directory.rglob("*") if path.is_file()}


def tiles_of(size: int) -> set[str]:
    return {tile.path for tile in new_tiles(0, size)}


def check_whole(store: TreeStore, size: int) -> None:
    """The published tree is that of `size` entries, in every tile."""
    assert store.checkpoint == Checkpoint(ORIGIN, size, root_at(size))
    assert store.reader.root() == root_at(size)
    store.reader.check()
    assert list(store.entries(0, size)) == entries_of(0, size)


def test_an_empty_directory_is_an_empty_tree(tmp_path: Path) -> None:
    store = opened(tmp_path / "tlog")
    assert (store.size, store.checkpoint, store.note) == (0, None, None)
    assert store.head() == (0, root_at(0))
    grow(store, 0)
    assert opened(tmp_path / "tlog").checkpoint == Checkpoint(ORIGIN, 0, root_at(0))


def test_a_tree_grows_over_restarts_and_proves_what_it_holds(tmp_path: Path) -> None:
    rng = random.Random(1)
    size = 0
    while size < 3000:
        store = opened(tmp_path)
        assert store.size == size
        for _ in range(3):
            before, size = size, size + rng.choice((1, 7, 249, 256, 600))
            grow(store, size)
            check_whole(store, size)
            index = rng.randrange(size)
            proof = store.inclusion_proof(index, size)
            verify_inclusion(leaf_hash(entry_of(index)), index, size, proof, root_at(size))
            proof = store.consistency_proof(before, size)
            verify_consistency(before, size, proof, root_at(before), root_at(size))
            assert store.hash_reader(0, index) == leaf_hash(entry_of(index))


def test_appended_entries_are_nobodys_until_they_are_published(tmp_path: Path) -> None:
    store = opened(tmp_path)
    grow(store, 10)
    store.append(entries_of(10, 400))
    assert store.size == 400
    with pytest.raises(ValueError, match="has no entries"):
        list(store.entries(0, 11))
    assert opened(tmp_path).size == 10


def test_entries_may_be_appended_while_a_checkpoint_is_signed(tmp_path: Path) -> None:
    store = opened(tmp_path)
    store.append(entries_of(0, 300))
    size, root = store.head()
    assert store.head() == (size, root)
    store.append(entries_of(300, 700))
    store.publish(sign_checkpoint(Checkpoint(ORIGIN, size, root), [LOG]))
    check_whole(store, 300)
    assert (store.size, opened(tmp_path).size) == (700, 300)
    grow(store, 700)
    check_whole(opened(tmp_path), 700)


def test_superseded_partial_tiles_stay_for_one_publish_and_then_go(tmp_path: Path) -> None:
    store = opened(tmp_path)
    grow(store, 300)
    old, _ = open_tree_reader(REAL_FILES, tmp_path)
    grow(store, 310)
    assert list(old.entries(290, 300)) == entries_of(290, 300)
    assert "tile/0/001.p/44" in files_below(tmp_path)
    grow(store, 600)
    assert "tile/0/001.p/44" not in files_below(tmp_path)
    grow(store, 601)
    grow(store, 602)
    assert files_below(tmp_path) - tiles_of(602) == {
        "checkpoint",
        "checkpoints/300",
        *(tile.path for tile in edge_tiles(601) if tile.level <= 0),
    }
    assert not (tmp_path / "tile/0/001.p").exists(), "nor do empty directories pile up"


def test_opening_sweeps_away_what_a_killed_process_left(tmp_path: Path) -> None:
    grow(opened(tmp_path), 600)
    for leftover in (
        "tile/0/002",
        "tile/0/003",
        "tile/0/002.p/200",
        "tile/0/002.p/89.tmp",
        "tile/0/001.p/7",
        "tile/entries/002.p/3",
    ):
        path = tmp_path / leftover
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"left over")
    store = opened(tmp_path)
    assert files_below(tmp_path) == tiles_of(600) | {"checkpoint", "checkpoints/600"}
    grow(store, 1100)
    check_whole(opened(tmp_path), 1100)


def test_a_partial_tile_that_a_full_one_stood_in_for_is_made_again(tmp_path: Path) -> None:
    grow(opened(tmp_path / "future"), 512)
    grow(opened(tmp_path), 300)
    (tmp_path / "tile/0/001.p/44").unlink()
    (tmp_path / "tile/0/001").write_bytes((tmp_path / "future/tile/0/001").read_bytes())
    store = opened(tmp_path)
    assert (tmp_path / "tile/0/001.p/44").exists()
    assert not (tmp_path / "tile/0/001").exists()
    check_whole(store, 300)


class RecordingFiles(FailingFiles):
    """Says which names were given to files."""

    def __init__(self) -> None:
        super().__init__()
        self.named: list[str] = []

    def rename(self, source: Path, target: Path) -> None:
        self.named.append(str(target))
        super().rename(source, target)


def test_full_tiles_are_written_once_and_nothing_but_the_checkpoint_is_synced(tmp_path: Path) -> None:
    files = RecordingFiles()
    store = TreeStore(files, tmp_path, clock=lambda: 0.0)
    for size in range(50, 1500, 50):
        grow(store, size)
    full = [name for name in files.named if "/tile/" in name and ".p/" not in name]
    assert len(full) == len(set(full)) == 10
    assert files.calls.count("sync_data") == 29 + 1  # every checkpoint, and the one copy


# --- what is no checkpoint of this tree ---------------------------------------------------------------


def test_a_checkpoint_that_is_no_head_of_this_tree_is_not_published(tmp_path: Path) -> None:
    store = opened(tmp_path)
    grow(store, 10)
    store.append(entries_of(10, 20))
    size, root = store.head()
    for wrong in (
        Checkpoint(ORIGIN, 20, bytes(32)),
        Checkpoint(ORIGIN, 15, root_at(15)),
        Checkpoint(ORIGIN, 5, root_at(5)),
        Checkpoint(ORIGIN, 10, bytes(32)),
        Checkpoint(ORIGIN, 30, root),
    ):
        with pytest.raises(ValueError, match="is no head of this tree"):
            store.publish(sign_checkpoint(wrong, [LOG]))
    with pytest.raises(ValueError, match="the tree is that of 'kubetape/gw-1/0', not of 'other'"):
        store.publish(sign_checkpoint(Checkpoint("other", size, root), [LOG]))
    check_whole(store, 10)


def test_cosignatures_are_added_to_what_is_published(tmp_path: Path) -> None:
    witness = parse_signer(encode_signer("w", KeyType.COSIGNATURE, bytes(32)))
    store = opened(tmp_path)
    grow(store, 10)
    assert store.note is not None
    more = with_cosignatures(store.note, [cosign(read_unverified(store.note).text, witness, 1_790_000_000)])
    store.publish(more, keep=True)
    assert (tmp_path / "checkpoint").read_bytes() == (tmp_path / "checkpoints/10").read_bytes() == more
    assert len(parse_note(more).signatures) == 2


def test_a_copy_is_kept_every_minute_and_whenever_asked_for(tmp_path: Path) -> None:
    now_s = 1000.0
    store = TreeStore(REAL_FILES, tmp_path, clock=lambda: now_s)
    for size in range(1, 11):
        grow(store, size, keep=size == 4)
        now_s += COPY_INTERVAL_S / 5
    assert {name for name in files_below(tmp_path) if name.startswith("checkpoints/")} == {
        "checkpoints/1",
        "checkpoints/4",
        "checkpoints/9",
    }


# --- what is found at opening ------------------------------------------------------------------------


def test_the_checkpoint_must_be_signed_by_a_key_of_the_log_if_keys_are_given(tmp_path: Path) -> None:
    grow(opened(tmp_path), 10)
    (tmp_path / "checkpoint").write_bytes(note_at(10, STRANGER))
    with pytest.raises(TreeDamaged, match=r"^checkpoint: .*(does not verify|not signed)"):
        opened(tmp_path)
    assert TreeStore(REAL_FILES, tmp_path).size == 10


@pytest.mark.parametrize("content", [b"", b"\0" * 200, b"garbage\n\n\xe2\x80\x94 a AAAAAAA=\n"])
def test_a_garbled_checkpoint_is_reported_and_not_repaired(tmp_path: Path, content: bytes) -> None:
    grow(opened(tmp_path), 10)
    (tmp_path / "checkpoint").write_bytes(content)
    for attempt in (
        lambda: opened(tmp_path),
        lambda: TreeStore.rebuild(REAL_FILES, tmp_path, entries_of(0, 10)),
    ):
        with pytest.raises(TreeDamaged, match=r"^checkpoint: "):
            attempt()


def test_a_removed_checkpoint_is_no_new_tree(tmp_path: Path) -> None:
    grow(opened(tmp_path), 10)
    (tmp_path / "checkpoint").unlink()
    with pytest.raises(TreeDamaged, match="missing, though there is checkpoints/10"):
        opened(tmp_path)
    (tmp_path / "checkpoints/10").unlink()
    with pytest.raises(TreeDamaged, match="checkpoint: missing"):
        open_tree_reader(REAL_FILES, tmp_path)


def test_a_copy_that_is_ahead_of_the_checkpoint_is_the_truth(tmp_path: Path) -> None:
    store = opened(tmp_path)
    grow(store, 10)
    old = (tmp_path / "checkpoint").read_bytes()
    grow(store, 20, keep=True)
    (tmp_path / "checkpoint").write_bytes(old)
    check_whole(opened(tmp_path), 20)
    (tmp_path / "checkpoints/30").write_bytes(note_at(20))
    (tmp_path / "checkpoints/notes.txt").write_bytes(b"ignored")
    with pytest.raises(TreeDamaged, match="checkpoints/30: is of size 20"):
        opened(tmp_path)


def test_tiles_of_another_tree_do_not_lead_to_the_signed_root(tmp_path: Path) -> None:
    grow(opened(tmp_path), 300)
    path = tmp_path / "tile/0/001.p/44"
    path.write_bytes(bytes(len(path.read_bytes())))
    for attempt in (lambda: opened(tmp_path), lambda: open_tree_reader(REAL_FILES, tmp_path)):
        with pytest.raises(
            TreeDamaged, match="the tiles lead to another root than the one signed for size 300"
        ):
            attempt()


def test_damage_deep_in_the_tree_is_found_unless_it_was_synced_before(tmp_path: Path) -> None:
    store = opened(tmp_path)
    grow(store, 600)
    spoilt = tmp_path / "tile/entries/000"
    good = spoilt.read_bytes()
    spoilt.write_bytes(good[:-1] + b"?")
    with pytest.raises(TreeDamaged, match="tile/entries/000: entry 255"):
        opened(tmp_path)
    store.sync()
    opened(tmp_path)  # what the disk said it holds is not read again at every start
    for garbled in (b"", b"600", b"600x\n", b"-1\n", b"9" * 30 + b"\n"):
        (tmp_path / "synced").write_bytes(garbled)
        with pytest.raises(TreeDamaged):
            opened(tmp_path)


def test_a_failing_read_is_a_failure_of_the_log(tmp_path: Path) -> None:
    grow(opened(tmp_path), 10)
    (tmp_path / "synced").mkdir()
    with pytest.raises(LogFailed, match="open tree"):
        opened(tmp_path)


# --- syncing -----------------------------------------------------------------------------------------


def test_sync_covers_what_was_published_since_the_last_one_only(tmp_path: Path) -> None:
    files = FailingFiles()
    store = TreeStore(files, tmp_path)
    grow(store, 10_000)
    grow(store, 10_001)
    grow(store, 10_002)  # the first partial tiles are gone by now
    files.calls.clear()
    store.sync()
    assert (
        files.calls.count("sync_data") == 39 * 2 + 2 * 2 + 1 + 1
    )  # tiles, old partial ones, level 1, marker
    grow(store, 10_003)
    files.calls.clear()
    store.sync()
    assert files.calls.count("sync_data") == 2 + 1
    reopened = TreeStore(files, tmp_path)
    grow(reopened, 10_004)
    files.calls.clear()
    reopened.sync()
    assert files.calls.count("sync_data") == 2 + 1, "a restart remembers what is durable"


def test_a_missing_full_tile_cannot_be_synced(tmp_path: Path) -> None:
    store = opened(tmp_path)
    grow(store, 300)
    (tmp_path / "tile/0/000").unlink()
    with pytest.raises(LogFailed, match="sync tree"):
        store.sync()


def test_a_failed_sync_is_never_taken_back(tmp_path: Path) -> None:
    grow(opened(tmp_path), 300)
    files = FailingFiles(1, only="sync_data")
    store = TreeStore(files, tmp_path)
    with pytest.raises(LogFailed, match="sync tree"):
        store.sync()
    for attempt in (store.sync, lambda: grow(store, 301, durable=True)):
        with pytest.raises(LogFailed, match="sync tree"):
            attempt()
    grow(store, 302)
    opened(tmp_path).sync()


# --- killed or failing at every call -------------------------------------------------------------------


@pytest.mark.parametrize("short", [False, True])
def test_a_failure_at_any_call_leaves_a_store_that_opens_and_that_goes_on(
    tmp_path: Path, short: bool
) -> None:
    for fail_at in range(1, 200):
        directory = tmp_path / str(fail_at)
        grow(opened(directory), 250)
        files = FailingFiles(fail_at, short=short)
        store = None
        try:
            store = TreeStore(files, directory, keys=[LOG.verifier])
            grow(store, 258)
            store.sync()
            grow(store, 261, keep=True, durable=True)
        except LogFailed:
            pass
        reopened = opened(directory)  # as after a kill
        assert reopened.checkpoint is not None
        assert reopened.checkpoint.size in (250, 258, 261)
        check_whole(reopened, reopened.checkpoint.size)
        if store is not None and not files.failed:
            break
        grow(reopened, 270)
        check_whole(opened(directory), 270)
    else:
        pytest.fail("never came through")


def test_the_process_that_met_a_failure_may_publish_again(tmp_path: Path) -> None:
    for fail_at in range(1, 100):
        directory = tmp_path / str(fail_at)
        grow(opened(directory), 250)
        files = FailingFiles()
        store = TreeStore(files, directory, keys=[LOG.verifier])
        failing = FailingFiles(fail_at)
        files._enter = failing._enter  # type: ignore[method-assign]
        try:
            grow(store, 258)
        except LogFailed:
            pass
        if not failing.failed:
            return
        grow(store, 270)
        check_whole(store, 270)
        check_whole(opened(directory), 270)
    pytest.fail("never came through")


# --- the power goes ------------------------------------------------------------------------------------

TREE = Path("/tlog")


def images_of(files: CrashFiles, rng: random.Random) -> Iterator[CrashFiles]:
    """What may be found: nothing kept, all kept, all names with no content, and three at random."""
    names = files.pending_names()
    yield files.image(lambda number, data: None, 0)
    yield files.image(lambda number, data: data, names)
    yield files.image(lambda number, data: None, names)
    for _ in range(3):
        yield files.image(
            lambda number, data: rng.choice((None, data, data, data, data[: rng.randint(0, len(data))])),
            rng.randint(0, names),
        )


def live(files: CrashFiles) -> tuple[int, int]:
    """Grow a tree until the power goes: (largest size published durably, largest size handed in)."""
    durable = handed_in = 0
    try:
        store = opened(TREE, files)
        for size, sure in ((5, False), (250, True), (256, False), (300, False), (515, True), (520, False)):
            handed_in = size
            grow(store, size, durable=sure)
            if sure:
                durable = size
            elif size == 300:
                store.sync()
                durable = size
    except LogFailed:
        pass
    return durable, handed_in


def test_after_a_power_cut_a_store_is_whole_or_says_so_and_is_rebuilt() -> None:
    rng = random.Random(2)
    damaged = whole = 0
    for cut_at in range(1, 1000, 3):
        files = CrashFiles(cut_at=cut_at)
        durable, handed_in = live(files)
        if handed_in == 520 and files.calls < cut_at:
            break
        for image in images_of(files, rng):
            try:
                store = opened(TREE, image)
                whole += 1
            except TreeDamaged:
                store = TreeStore.rebuild(image, TREE, entries_of(0, 520), keys=[LOG.verifier])
                damaged += 1
            size = store.checkpoint.size if store.checkpoint else 0
            assert durable <= size <= handed_in
            if size:
                check_whole(store, size)
            grow(store, 530)
            check_whole(opened(TREE, image), 530)
    else:
        pytest.fail("never came through")
    assert damaged > 10, "else the rebuild was never tried"
    assert whole > 100


def test_published_durably_only_a_store_never_needs_a_rebuild() -> None:
    rng = random.Random(3)
    for cut_at in range(1, 1000):
        files = CrashFiles(cut_at=cut_at)
        reached = 0
        try:
            store = opened(TREE, files)
            for size in (5, 250, 256, 300, 515):
                grow(store, size, durable=True)
                reached = size
        except LogFailed:
            pass
        if reached == 515 and files.calls < cut_at:
            return
        for image in images_of(files, rng):
            again = opened(TREE, image)
            assert (again.checkpoint.size if again.checkpoint else 0) >= reached
    pytest.fail("never came through")


# --- rebuilding ----------------------------------------------------------------------------------------


def _identity(path: Path) -> tuple[int, int]:
    """Tells a file from one that took its place: a file system may give out the number of a removed one again."""
    status = path.stat()
    return status.st_ino, status.st_mtime_ns


def test_a_rebuild_replaces_what_is_wrong_and_nothing_else(tmp_path: Path) -> None:
    size = 256 * 66 + 5
    grow(opened(tmp_path), size)
    before = {path: (tmp_path / path).read_bytes() for path in tiles_of(size)}
    files = {path: _identity(tmp_path / path) for path in before}
    (tmp_path / "tile/1/000.p/66").unlink()
    (tmp_path / "tile/0/007").write_bytes(b"")
    (tmp_path / "tile/entries/066.p/5").write_bytes(bytes(65))
    (tmp_path / "tile/0/009").write_bytes(b"x" * 20_000_000)
    with pytest.raises(TreeDamaged):
        opened(tmp_path)
    store = TreeStore.rebuild(REAL_FILES, tmp_path, iter(entries_of(0, size + 10)), keys=[LOG.verifier])
    check_whole(store, size)
    assert {path: (tmp_path / path).read_bytes() for path in before} == before
    changed = {path for path in before if _identity(tmp_path / path) != files[path]}
    assert changed == {"tile/1/000.p/66", "tile/0/007", "tile/entries/066.p/5", "tile/0/009"}
    assert files_below(tmp_path) == set(before) | {"checkpoint", f"checkpoints/{size}"}


def test_entries_that_do_not_lead_to_the_signed_root_replace_nothing(tmp_path: Path) -> None:
    grow(opened(tmp_path), 600)
    (tmp_path / "tile/0/000").unlink()
    before = {path: (tmp_path / path).read_bytes() for path in files_below(tmp_path)}
    wrong = entries_of(0, 600)
    wrong[599] = b"another"
    for entries, why in (
        (wrong, "lead to another root than was signed"),
        (wrong[:599], "the log has only 599"),
    ):
        with pytest.raises(TreeDamaged, match=why):
            TreeStore.rebuild(REAL_FILES, tmp_path, entries)
        assert {path: (tmp_path / path).read_bytes() for path in files_below(tmp_path)} == before


def test_without_a_checkpoint_there_is_nothing_to_rebuild(tmp_path: Path) -> None:
    store = TreeStore.rebuild(REAL_FILES, tmp_path, entries_of(0, 5))
    assert (store.size, store.checkpoint) == (0, None)


def test_a_failing_rebuild_can_be_repeated(tmp_path: Path) -> None:
    for fail_at in range(1, 60):
        directory = tmp_path / str(fail_at)
        grow(opened(directory), 600)
        (directory / "tile/0/000").unlink()
        (directory / "tile/entries/001").write_bytes(b"")
        files = FailingFiles(fail_at)
        try:
            TreeStore.rebuild(files, directory, entries_of(0, 600))
        except LogFailed:
            pass
        check_whole(TreeStore.rebuild(REAL_FILES, directory, entries_of(0, 600)), 600)
        if not files.failed:
            return
    pytest.fail("never came through")


def test_many_directories_are_made_and_emptied_ones_go(tmp_path: Path) -> None:
    store = opened(tmp_path)
    for size in range(1, 256 * 40, 250):
        grow(store, size)
    grow(store, 256 * 40)
    grow(store, 256 * 40 + 1)
    check_whole(opened(tmp_path), 256 * 40 + 1)
    assert len([path for path in tmp_path.rglob("*.p") if path.is_dir()]) <= 4


def test_a_copy_of_the_directory_is_read_like_the_original(tmp_path: Path) -> None:
    grow(opened(tmp_path), 777)
    reader, note = open_tree_reader(REAL_FILES, tmp_path, [LOG.verifier])
    assert note == file_reader(REAL_FILES, tmp_path)("checkpoint") == note_at(777)
    assert (reader.size, reader.root()) == (777, root_at(777))
    reader.check()
    assert Tile(0, 2).path in files_below(tmp_path)
