"""Paths, bytes and node hashes of tlog-tiles."""

import random

import pytest

from storage.tlog.merkle import inclusion_proof, leaf_hash, root_of, verify_inclusion
from storage.tlog.tiles import (
    ENTRIES_LEVEL,
    TILE_WIDTH,
    BadTile,
    Tile,
    edge_tiles,
    encode_bundle,
    encode_tile,
    fold,
    levels_of,
    new_tiles,
    parse_bundle,
    parse_tile,
    parse_tile_path,
    tile_hash_reader,
    tile_of,
)
from tests.storage.tlog.test_merkle import direct_root


@pytest.mark.parametrize(
    ("tile", "path"),
    [
        (Tile(0, 0), "tile/0/000"),
        (Tile(0, 1234067), "tile/0/x001/x234/067"),
        (Tile(1, 999, 17), "tile/1/999.p/17"),
        (Tile(63, 1000, 255), "tile/63/x001/000.p/255"),
        (Tile(ENTRIES_LEVEL, 273, 112), "tile/entries/273.p/112"),
        (Tile(ENTRIES_LEVEL, 1_000_000), "tile/entries/x001/x000/000"),
    ],
)
def test_a_tile_and_its_path_are_the_same_thing(tile: Tile, path: str) -> None:
    assert tile.path == path
    assert parse_tile_path(path) == tile
    assert path.startswith(tile.full().path)


@pytest.mark.parametrize(
    "path",
    [
        "",
        "tile",
        "tile/0",
        "tile/0/",
        "leaf/0/000",
        "tile/00/000",
        "tile/64/000",
        "tile/-1/000",
        "tile/x/000",
        "tile/0/00",
        "tile/0/0000",
        "tile/0/x000/000",
        "tile/0/001/000",
        "tile/0/x001/x000",
        "tile/0/000.p",
        "tile/0/000.p/0",
        "tile/0/000.p/256",
        "tile/0/000.p/01",
        "tile/0/000.p/",
        "tile/0/000/12",
        "tile/0/\u0661\u0661\u0661",
        "tile/0/" + "x999/" * 9 + "000",
        "/tile/0/000",
        "tile/0/000/",
        "tile/../000",
    ],
)
def test_any_other_spelling_of_a_path_is_refused(path: str) -> None:
    with pytest.raises(BadTile):
        parse_tile_path(path)


def test_a_tree_of_70000_has_the_tiles_the_specification_counts() -> None:
    tiles = [tile for tile in new_tiles(0, 70_000) if tile.level != ENTRIES_LEVEL]
    assert sum(tile.is_full and tile.level == 0 for tile in tiles) == 273
    assert [tile for tile in tiles if tile.level > 0 and tile.is_full] == [Tile(1, 0)]
    assert [tile for tile in tiles if not tile.is_full] == [Tile(0, 273, 112), Tile(1, 1, 17), Tile(2, 0, 1)]
    assert list(edge_tiles(70_000)) == [
        Tile(ENTRIES_LEVEL, 273, 112),
        Tile(0, 273, 112),
        Tile(1, 1, 17),
        Tile(2, 0, 1),
    ]
    assert list(levels_of(70_000)) == [ENTRIES_LEVEL, 0, 1, 2]
    assert list(new_tiles(0, 256)) == [Tile(ENTRIES_LEVEL, 0), Tile(0, 0), Tile(1, 0, 1)]


def test_growing_writes_only_what_changed() -> None:
    assert list(new_tiles(300, 300)) == []
    assert list(new_tiles(300, 301)) == [Tile(ENTRIES_LEVEL, 1, 45), Tile(0, 1, 45)]
    assert list(new_tiles(300, 512)) == [Tile(ENTRIES_LEVEL, 1), Tile(0, 1), Tile(1, 0, 2)]
    assert list(edge_tiles(512)) == [Tile(1, 0, 2)]
    assert list(new_tiles(0, 0)) == list(edge_tiles(0)) == list(levels_of(0)) == []


def test_all_new_tiles_of_all_steps_are_the_tiles_of_the_tree() -> None:
    rng = random.Random(1)
    size, written = 0, set()
    while size < 70_000:
        grown = min(70_000, size + rng.choice((1, 200, 300, 5000)))
        written |= set(new_tiles(size, grown))
        size = grown
    assert set(new_tiles(0, 70_000)) <= written


@pytest.mark.parametrize(("level", "index"), [(0, 2), (1, 1), (2, 0), (0, -1)])
def test_a_tile_a_tree_does_not_have_cannot_be_asked_for(level: int, index: int) -> None:
    with pytest.raises(ValueError, match="a tree of size 300 has no tile"):
        tile_of(level, index, 300)


def test_hash_tiles_come_back_and_a_full_one_stands_in_for_a_partial_one() -> None:
    hashes = [leaf_hash(bytes([n])) for n in range(256)]
    assert parse_tile(Tile(0, 0, 3), encode_tile(hashes[:3])) == hashes[:3]
    assert parse_tile(Tile(0, 0), encode_tile(hashes)) == hashes
    assert parse_tile(Tile(0, 0, 3), encode_tile(hashes)) == hashes[:3]


@pytest.mark.parametrize("count", [0, 2, 4, 255])
def test_a_hash_tile_of_another_width_is_refused(count: int) -> None:
    with pytest.raises(BadTile, match=r"tile/0/000.p/3: \d+ bytes instead of 96"):
        parse_tile(Tile(0, 0, 3), bytes(32 * count))


def test_bundles_come_back_and_a_full_one_stands_in_for_a_partial_one() -> None:
    entries = [b"", b"a" * 65_535, b"\x00\x05abc"]
    assert parse_bundle(Tile(ENTRIES_LEVEL, 0, 3), encode_bundle(entries)) == entries
    many = [bytes([n]) * n for n in range(256)]
    assert parse_bundle(Tile(ENTRIES_LEVEL, 0), encode_bundle(many)) == many
    assert parse_bundle(Tile(ENTRIES_LEVEL, 0, 7), encode_bundle(many)) == many[:7]
    assert encode_bundle([b"\x01\x02"]) == b"\x00\x02\x01\x02"


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"", "0 entries instead of 2"),
        (b"\x00\x01a", "1 entries instead of 2"),
        (b"\x00\x01a" * 3, "3 entries instead of 2"),
        (b"\x00\x01a" * 300, "257 entries instead of 2"),
        (b"\x00\x01a\x00\x02b", "entry 1 at byte 3 is cut off"),
        (b"\x00\x01a\x00", "entry 1 at byte 3 is cut off"),
    ],
)
def test_a_bundle_of_another_width_or_cut_off_is_refused(data: bytes, why: str) -> None:
    with pytest.raises(BadTile, match=why) as caught:
        parse_bundle(Tile(ENTRIES_LEVEL, 0, 2), data)
    assert caught.value.path == "tile/entries/000.p/2"


def test_an_entry_that_no_bundle_can_hold_is_refused() -> None:
    with pytest.raises(ValueError, match="at most 65535 bytes, not 65536"):
        encode_bundle([bytes(65_536)])


def test_node_hashes_from_tiles_give_the_tree_and_its_proofs() -> None:
    rng = random.Random(2)
    size = 256 * 70 + 5
    leaves = [rng.randbytes(32) for _ in range(size)]
    levels = [leaves]
    while len(levels[-1]) >= TILE_WIDTH:
        row = levels[-1]
        levels.append([fold(row[at : at + 256]) for at in range(0, len(row) - 255, 256)])
    asked: list[Tile] = []

    def read_tile(tile: Tile) -> list[bytes]:
        asked.append(tile)
        start = tile.index * TILE_WIDTH
        return levels[tile.level][start : start + tile.width]

    read, root = tile_hash_reader(size, read_tile), root_of(leaves)
    for index in (0, 255, 256, size - 6, size - 5, size - 1, 9000):
        verify_inclusion(leaves[index], index, size, inclusion_proof(index, size, read), root)
    assert read(3, 1) == direct_root(leaves[8:16])
    assert read(12, 3) == direct_root(leaves[3 * 4096 : 4 * 4096])
    before = len(asked)
    assert read(3, 1) == direct_root(leaves[8:16])
    assert len(asked) == before, "parsed tiles are kept"
    for index in range(70):
        read(0, index * 256)
    assert len(asked) > before + 60
    read(0, 0)
    assert asked[-1] == Tile(0, 0), "but not without end"


@pytest.mark.parametrize(("level", "index"), [(0, 300), (3, 37), (8, 1), (9, 0), (20, 0)])
def test_a_node_a_tree_does_not_have_cannot_be_asked_for(level: int, index: int) -> None:
    with pytest.raises(ValueError, match="a tree of size 300 has no"):
        tile_hash_reader(300, lambda tile: [bytes(32)] * tile.width)(level, index)
