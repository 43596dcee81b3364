"""Reading a published tree: every damage to a tile is found, whichever tile it is."""

from collections.abc import Callable
from pathlib import Path

import pytest

from storage.files import REAL_FILES
from storage.tlog.merkle import leaf_hash, verify_consistency, verify_inclusion
from storage.tlog.tiles import new_tiles
from storage.tlog.tree_reader import MAX_FILE_BYTES, TreeDamaged, TreeReader, file_reader
from tests.kit.trees import entries_of, entry_of, grow, opened, root_at

SIZE = 256 * 3 + 9


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    directory = tmp_path_factory.mktemp("tree")
    grow(opened(directory), SIZE)
    return {tile.path: (directory / tile.path).read_bytes() for tile in new_tiles(0, SIZE)}


def reader_of(tree: dict[str, bytes], size: int = SIZE) -> TreeReader:
    def read(path: str) -> bytes:
        if path not in tree:
            raise FileNotFoundError(path)
        return tree[path]

    return TreeReader(read, size)


def test_entries_and_proofs_come_from_the_tiles(tree: dict[str, bytes]) -> None:
    reader = reader_of(tree)
    assert reader.root() == root_at(SIZE)
    reader.check()
    for start, end in ((0, SIZE), (0, 0), (255, 257), (300, 300), (700, SIZE), (5, 6)):
        assert list(reader.entries(start, end)) == entries_of(start, end)
    for index, size in ((0, 1), (0, SIZE), (SIZE - 1, SIZE), (300, 301), (17, 600)):
        proof = reader.inclusion_proof(index, size)
        verify_inclusion(leaf_hash(entry_of(index)), index, size, proof, root_at(size))
    for old, new in ((0, 5), (1, SIZE), (256, 512), (511, 770), (SIZE, SIZE)):
        verify_consistency(old, new, reader.consistency_proof(old, new), root_at(old), root_at(new))


def test_what_is_beyond_the_tree_cannot_be_asked_for(tree: dict[str, bytes]) -> None:
    reader = reader_of(tree)
    with pytest.raises(ValueError, match="has no entries"):
        list(reader.entries(0, SIZE + 1))
    with pytest.raises(ValueError, match="is beyond the tree"):
        reader.inclusion_proof(0, SIZE + 1)
    with pytest.raises(ValueError, match="is beyond the tree"):
        reader.consistency_proof(0, SIZE + 1)


def test_the_empty_tree_has_nothing_and_is_right() -> None:
    reader = reader_of({}, 0)
    assert (reader.root(), list(reader.entries(0, 0))) == (root_at(0), [])
    reader.check()


def test_a_full_tile_stands_in_for_its_partial_ones(tree: dict[str, bytes]) -> None:
    reader = reader_of(tree, 300)  # as a reader of an older checkpoint finds it later
    with pytest.raises(TreeDamaged, match=r"tile/1/000\.p/1: missing"):
        reader.check()
    assert list(reader.entries(250, 300)) == entries_of(250, 300)


def flip(data: bytes) -> bytes:
    return data[:-1] + bytes([data[-1] ^ 1])


@pytest.mark.parametrize("spoil", [flip, lambda data: data[:-1], lambda data: data + b"\0", lambda data: b""])
def test_any_damaged_tile_is_found_and_named(tree: dict[str, bytes], spoil: Callable[[bytes], bytes]) -> None:
    for path, data in tree.items():
        reader = reader_of({**tree, path: spoil(data)})
        with pytest.raises(TreeDamaged) as caught:
            reader.check()
        # A wrong hash shows where it does not fit: in the bundle below it or the tile below it.
        below = {
            path.replace("tile/0/", "tile/entries/"),
            "tile/0/002" if path.startswith("tile/1/") else path,
        }
        assert caught.value.path in {path} | below


def test_any_missing_tile_is_found_and_named(tree: dict[str, bytes]) -> None:
    for path in tree:
        with pytest.raises(TreeDamaged, match=f"{path}: missing"):
            reader_of({p: d for p, d in tree.items() if p != path}).check()


def test_only_what_is_new_is_checked_when_asked_so(tree: dict[str, bytes]) -> None:
    spoilt = {**tree, "tile/entries/000": flip(tree["tile/entries/000"])}
    reader_of(spoilt).check(since=256)
    with pytest.raises(TreeDamaged, match="entry 255 is not the one the tree holds"):
        reader_of(spoilt).check(since=255)
    with pytest.raises(TreeDamaged, match="tile/entries/000: entry 255"):
        list(reader_of(spoilt).entries(0, 1))


def test_an_absurdly_large_file_is_not_read(tmp_path: Path) -> None:
    (tmp_path / "checkpoint").touch()
    with (tmp_path / "checkpoint").open("r+b") as file:
        file.truncate(MAX_FILE_BYTES + 1)
    with pytest.raises(TreeDamaged, match=f"{MAX_FILE_BYTES + 1} bytes long"):
        file_reader(REAL_FILES, tmp_path)("checkpoint")
