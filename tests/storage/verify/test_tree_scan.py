from pathlib import Path

import pytest

from storage.files import REAL_FILES
from storage.notary.leaf import LossAcceptedLeaf, encode_leaf, encode_segment_id
from storage.tlog.checkpoint import Checkpoint, sign_checkpoint
from storage.tlog.merkle import leaf_hash, root_of, root_of_peaks
from storage.tlog.note import generate_signer, parse_signer
from storage.tlog.tiles import Tile, encode_bundle, tile_of
from storage.tlog.tree import TreeStore
from storage.verify.tree_scan import (
    ENTRY_STRIDE,
    Run,
    TreeSnapshot,
    entries_of_runs,
    is_uniform,
    peaks_within,
    scan_tree,
)
from tests.storage.notary.test_anchor import IDS, block, sealed

SIGNER = parse_signer(generate_signer("log")[0])
LOSS = encode_leaf(LossAcceptedLeaf(bytes(32)))


def tree_of(directory: Path, entries: list[bytes]) -> TreeSnapshot:
    store = TreeStore(REAL_FILES, directory)
    store.append(entries)
    size, root = store.head()
    store.publish(sign_checkpoint(Checkpoint("log", size, root), [SIGNER]))
    return TreeSnapshot(str(directory), size, {})


def blocks(segment: int, count: int) -> list[bytes]:
    return [encode_leaf(block(segment, seq)) for seq in range(count)]


def test_roots_runs_and_other_leaves(tmp_path: Path) -> None:
    entries = [*blocks(1, 300), encode_leaf(sealed(1)), *blocks(2, 100), LOSS, *blocks(2, 3)]
    tree = tree_of(tmp_path, entries)
    part = scan_tree(REAL_FILES, tree, 0, 2, [10, 300])
    hashes = [leaf_hash(entry) for entry in entries]
    assert part.roots == [root_of(hashes[:256])]
    assert part.edge == hashes[256:]
    one, two = encode_segment_id(IDS[1]), encode_segment_id(IDS[2])
    assert part.runs == [Run(one, 0, 300), Run(two, 301, 401), Run(two, 402, 405)]
    assert part.others == [(300, encode_leaf(sealed(1))), (401, LOSS)]
    assert root_of_peaks(part.peaks[10]) == root_of(hashes[:10])
    assert root_of_peaks([*part.roots, *part.peaks[300]]) == root_of(hashes[:300])
    assert part.mismatches == []
    bundled = encode_bundle(entries)
    assert len(bundled) > 300 * ENTRY_STRIDE
    assert entries_of_runs(REAL_FILES, tree, part.runs[:1]) == encode_bundle(entries[:300])
    assert entries_of_runs(REAL_FILES, tree, part.runs[1:]) == encode_bundle(
        [*entries[301:401], *entries[402:]]
    )


def test_a_bundle_that_is_not_its_tile_is_told_with_both_hashes(tmp_path: Path) -> None:
    entries = blocks(1, 300)
    tree = tree_of(tmp_path, entries)
    path = tmp_path / "tile" / "entries" / "000"
    data = bytearray(path.read_bytes())
    data[50] ^= 1
    path.write_bytes(data)
    part = scan_tree(REAL_FILES, tree, 0, 2, [100])
    (mismatch,) = part.mismatches
    assert (mismatch.index, part.roots, part.peaks) == (0, [b""], {})
    assert len(mismatch.from_bundle) == len(mismatch.from_tile) == 256
    assert [i for i in range(256) if mismatch.from_bundle[i] != mismatch.from_tile[i]] == [0]
    path.write_bytes(b"\0\x05abc")
    (mismatch,) = scan_tree(REAL_FILES, tree, 0, 1, []).mismatches
    assert (mismatch.from_bundle, mismatch.tile_error) == ((), "")
    assert "cut off" in mismatch.bundle_error
    assert entries_of_runs(REAL_FILES, tree, [Run(encode_segment_id(IDS[1]), 250, 260)]) == encode_bundle(
        entries[256:260]
    )


def test_missing_files_are_told_and_not_raised(tmp_path: Path) -> None:
    tree = tree_of(tmp_path, blocks(1, 20))
    for path in list((tmp_path / "tile").rglob("*")):
        if path.is_file():
            path.unlink()
    (mismatch,) = scan_tree(REAL_FILES, tree, 0, 1, []).mismatches
    assert "missing" in mismatch.bundle_error
    assert "missing" in mismatch.tile_error


def test_the_edge_is_taken_from_the_snapshot(tmp_path: Path) -> None:
    tree = tree_of(tmp_path, blocks(1, 20))
    for tile in (tile_of(-1, 0, 20), Tile(0, 0, 20)):
        tree.edge[tile.path] = (tmp_path / tile.path).read_bytes()
        (tmp_path / tile.path).unlink()
    assert scan_tree(REAL_FILES, tree, 0, 1, []).mismatches == []


@pytest.mark.parametrize("count", [1, 2, 3, 7, 64, 200, 256])
def test_peaks_within_a_bundle_lead_to_its_root(count: int) -> None:
    hashes = [leaf_hash(bytes([number])) for number in range(count)]
    assert root_of_peaks(peaks_within(hashes)) == root_of(hashes)


def test_only_blocks_of_one_segment_are_uniform() -> None:
    same = encode_bundle(blocks(1, 5))
    assert is_uniform(same, 5)
    assert not is_uniform(same, 4)
    assert not is_uniform(encode_bundle([*blocks(1, 4), *blocks(2, 1)]), 5)
    assert not is_uniform(same[:-1] + b"", 5)
