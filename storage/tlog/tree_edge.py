"""The right edge of a growing tree in memory: what has no full tile on disk yet. Pure.

Entries go in; tiles, bundles and the root come out. Every node is hashed once: each tile level keeps the
frontier of its last tile, and the root of a tile that got full is the next level's new hash. What is held is
at most one partial tile a level, and everything since the last `forget`.
"""

from collections.abc import Callable

from storage.tlog.merkle import Frontier, leaf_hash, root_of_peaks
from storage.tlog.tiles import (
    ENTRIES_LEVEL,
    MAX_ENTRY_BYTES,
    TILE_WIDTH,
    Tile,
    edge_tiles,
    encode_bundle,
    encode_tile,
    levels_of,
    tile_count,
)


class _Row:
    """Hashes of one tile level from number `first` (a multiple of 256) on."""

    def __init__(self, first: int) -> None:
        self.first = first
        self.hashes: list[bytes] = []
        self.frontier = Frontier()  # of the last tile only


class TreeEdge:
    """size: leaves so far. Restored from the partial tiles of a tree, as `read` gives them."""

    def __init__(self, size: int = 0, read: Callable[[Tile], list[bytes]] | None = None) -> None:
        self.size = size
        self._rows = [_Row(_full_part(level, size)) for level in levels_of(size) if level != ENTRIES_LEVEL]
        self._first_entry = _full_part(ENTRIES_LEVEL, size)
        self._entries: list[bytes] = []
        for tile in edge_tiles(size) if read else ():
            values = read(tile) if read else []
            if tile.level == ENTRIES_LEVEL:
                self._entries = values
                continue
            row = self._rows[tile.level]
            row.hashes = values
            for value in values:
                row.frontier.append(value)

    def append(self, entry: bytes) -> None:
        """Add one log entry. Raises ValueError when it is over 65 535 bytes."""
        if len(entry) > MAX_ENTRY_BYTES:
            raise ValueError(f"a log entry has at most {MAX_ENTRY_BYTES} bytes, not {len(entry)}")
        self._entries.append(entry)
        self.size += 1
        value, level = leaf_hash(entry), 0
        while True:
            if level == len(self._rows):
                self._rows.append(_Row(0))
            row = self._rows[level]
            row.hashes.append(value)
            row.frontier.append(value)
            if row.frontier.size < TILE_WIDTH:
                return
            value, level = row.frontier.root(), level + 1
            row.frontier = Frontier()

    def root(self) -> bytes:
        return root_of_peaks([peak for row in reversed(self._rows) for peak in row.frontier.peaks])

    def tile_bytes(self, tile: Tile) -> bytes:
        """The bytes of a tile or bundle not forgotten yet, whatever its width."""
        start = tile.index * TILE_WIDTH
        if tile.level == ENTRIES_LEVEL:
            start -= self._first_entry
            return encode_bundle(self._entries[start : start + tile.width])
        row = self._rows[tile.level]
        start -= row.first
        return encode_tile(row.hashes[start : start + tile.width])

    def forget(self, size: int) -> None:
        """The full tiles of a tree of this size are on disk: they are not asked for again."""
        keep = _full_part(ENTRIES_LEVEL, size)
        del self._entries[: keep - self._first_entry]
        self._first_entry = keep
        for level, row in enumerate(self._rows):
            keep = _full_part(level, size)
            del row.hashes[: keep - row.first]
            row.first = keep


def _full_part(level: int, size: int) -> int:
    """How many of a level's hashes (entries) are in full tiles."""
    return tile_count(level, size) // TILE_WIDTH * TILE_WIDTH
