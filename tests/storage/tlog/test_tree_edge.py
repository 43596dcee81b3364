"""The edge in memory gives the tiles and roots of the whole tree, wherever it was restored or cut."""

import random

import pytest

from storage.tlog.merkle import Frontier, leaf_hash, root_of
from storage.tlog.tiles import (
    ENTRIES_LEVEL,
    TILE_WIDTH,
    Tile,
    encode_bundle,
    encode_tile,
    fold,
    new_tiles,
    parse_bundle,
    parse_tile,
)
from storage.tlog.tree_edge import TreeEdge

SIZE = 256 * 258 + 77
ENTRIES = [n.to_bytes(4, "big") for n in range(SIZE)]
LEVELS = [[leaf_hash(entry) for entry in ENTRIES]]
while len(LEVELS[-1]) >= TILE_WIDTH:
    ROW = LEVELS[-1]
    LEVELS.append([fold(ROW[at : at + 256]) for at in range(0, len(ROW) - 255, 256)])


def expected(tile: Tile) -> bytes:
    start, end = tile.index * TILE_WIDTH, tile.index * TILE_WIDTH + tile.width
    if tile.level == ENTRIES_LEVEL:
        return encode_bundle(ENTRIES[start:end])
    return encode_tile(LEVELS[tile.level][start:end])


def test_growing_gives_every_tile_and_root_of_the_tree() -> None:
    rng = random.Random(1)
    edge, published, frontier = TreeEdge(), 0, Frontier()
    while edge.size < SIZE:
        for entry in ENTRIES[edge.size : edge.size + rng.choice((1, 100, 256, 3000, 9000))]:
            edge.append(entry)
        for leaf in LEVELS[0][frontier.size : edge.size]:
            frontier.append(leaf)
        assert edge.root() == frontier.root()
        if rng.random() < 0.7:
            for tile in new_tiles(published, edge.size):
                assert edge.tile_bytes(tile) == expected(tile)
            edge.forget(edge.size)
            published = edge.size
    assert edge.size == SIZE


@pytest.mark.parametrize("size", [0, 1, 255, 256, 257, 65_535, 65_536, 65_537, 256 * 257])
def test_a_restored_edge_goes_on_as_if_it_had_never_stopped(size: int) -> None:
    def read(tile: Tile) -> list[bytes]:
        assert not tile.is_full
        return (parse_bundle if tile.level == ENTRIES_LEVEL else parse_tile)(tile, expected(tile))

    edge = TreeEdge(size, read)
    assert edge.root() == root_of(LEVELS[0][:size])
    for entry in ENTRIES[size : size + 300]:
        edge.append(entry)
    assert edge.root() == root_of(LEVELS[0][: size + 300])
    for tile in new_tiles(size, size + 300):
        assert edge.tile_bytes(tile) == expected(tile)


def test_an_entry_that_no_bundle_can_hold_is_refused_and_changes_nothing() -> None:
    edge = TreeEdge()
    edge.append(bytes(65_535))
    before = edge.root()
    with pytest.raises(ValueError, match="at most 65535 bytes, not 65536"):
        edge.append(bytes(65_536))
    assert (edge.size, edge.root()) == (1, before)


def test_what_is_forgotten_is_given_back() -> None:
    edge = TreeEdge()
    for entry in ENTRIES[:5000]:
        edge.append(entry)
    edge.forget(5000)
    assert edge.tile_bytes(Tile(0, 19, 136)) == expected(Tile(0, 19, 136))
    held = sum(len(row.hashes) for row in edge._rows) + len(edge._entries)
    assert held == 136 + 136 + 19
