"""Tiles and entry bundles of c2sp.org/tlog-tiles: paths, bytes, and node hashes computed from them.

A hash tile is up to 256 consecutive node hashes of a level that is a multiple of 8; a bundle is the up to
256 log entries below one tile of level 0. Pure: reading and writing is `storage.tlog.tree`'s or the exporter's.

The trap: a tile's width follows from the tree's size, never from its bytes. A full tile may stand in for a
partial one (its first hashes), never the other way.
"""

from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from typing import Final

import msgspec

from storage.errors import StorageError
from storage.tlog.merkle import HASH_BYTES, HashReader, node_hash

TILE_HEIGHT: Final = 8
TILE_WIDTH: Final = 1 << TILE_HEIGHT
MAX_ENTRY_BYTES: Final = 0xFFFF
MAX_BUNDLE_BYTES: Final = TILE_WIDTH * (2 + MAX_ENTRY_BYTES)
MAX_TILE_BYTES: Final = TILE_WIDTH * HASH_BYTES
ENTRIES_LEVEL: Final = -1
"""The level of entry bundles; in paths it is `entries`."""
_CACHED_TILES: Final = 64
"""A proof touches at most two tiles a level; 64 parsed ones are 1 MB."""


class BadTile(StorageError):
    """A tile or bundle is not what its path says. Do not use it; fetch it again or rebuild it."""

    def __init__(self, path: str, why: str) -> None:
        super().__init__(f"{path}: {why}")
        self.path, self.why = path, why


class Tile(msgspec.Struct, frozen=True, order=True):
    """One tile (or bundle, level ENTRIES_LEVEL): the width-first hashes (entries) of tile `index`."""

    level: int
    index: int
    width: int = TILE_WIDTH

    @property
    def is_full(self) -> bool:
        return self.width == TILE_WIDTH

    @property
    def path(self) -> str:
        """Below the log's prefix, with slashes: `tile/0/x001/x234/067.p/12`."""
        level = "entries" if self.level == ENTRIES_LEVEL else str(self.level)
        groups = f"{self.index % 1000:03d}"
        rest = self.index // 1000
        while rest:
            groups = f"x{rest % 1000:03d}/{groups}"
            rest //= 1000
        partial = "" if self.is_full else f".p/{self.width}"
        return f"tile/{level}/{groups}{partial}"

    def full(self) -> "Tile":
        return Tile(self.level, self.index)


def parse_tile_path(path: str) -> Tile:
    """The tile a path names; only the one spelling of it. Raises BadTile."""
    parts = path.split("/")
    width, end = TILE_WIDTH, len(parts)
    if end > 3 and parts[-2].endswith(".p"):
        width, end = _decimal(path, parts[-1], TILE_WIDTH - 1), end - 1
    if end < 3 or parts[0] != "tile":
        raise BadTile(path, "not a tile's path")
    level = ENTRIES_LEVEL if parts[1] == "entries" else _decimal(path, parts[1], 63)
    groups = [*parts[2 : end - 1], parts[end - 1].removesuffix(".p")]
    digits = "".join(group.removeprefix("x") for group in groups)
    tile = Tile(level, _decimal(path, digits.lstrip("0") or "0", 1 << 63), width)
    if width == 0 or tile.path != path:
        raise BadTile(path, "not the one spelling of a tile's path")
    return tile


def _decimal(path: str, text: str, most: int) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= 19 and int(text) <= most):
        raise BadTile(path, f"{text[:20]!r} is no number from 0 to {most}")
    return int(text)


# --- which tiles a tree has ------------------------------------------------------------------------


def tile_count(level: int, size: int) -> int:
    """How many hashes (entries) a tree of this size has at a tile level."""
    return size >> (TILE_HEIGHT * max(level, 0))


def tile_of(level: int, index: int, size: int) -> Tile:
    """Tile `index` of a level as a tree of this size has it. Raises ValueError when it has none."""
    width = min(TILE_WIDTH, tile_count(level, size) - index * TILE_WIDTH)
    if index < 0 or width <= 0:
        raise ValueError(f"a tree of size {size} has no tile {index} at level {level}")
    return Tile(level, index, width)


def levels_of(size: int) -> Iterator[int]:
    """The levels of a tree: bundles first, then hash tiles from the leaves up."""
    if size:
        yield ENTRIES_LEVEL
    level = 0
    while tile_count(level, size):
        yield level
        level += 1


def new_tiles(old: int, new: int) -> Iterator[Tile]:
    """What must be written (or exported) when the tree grows from size old to new; from 0: every tile.

    Bundles before the tiles over them, lower levels first. Partial tiles come with their new width only.
    """
    for level in levels_of(new):
        before, count = tile_count(level, old), tile_count(level, new)
        if count > before:
            for index in range(before // TILE_WIDTH, (count + TILE_WIDTH - 1) // TILE_WIDTH):
                yield tile_of(level, index, new)


def edge_tiles(size: int) -> Iterator[Tile]:
    """The partial tiles of a tree: at most one a level."""
    for level in levels_of(size):
        width = tile_count(level, size) % TILE_WIDTH
        if width:
            yield Tile(level, tile_count(level, size) // TILE_WIDTH, width)


# --- bytes -----------------------------------------------------------------------------------------


def encode_tile(hashes: Sequence[bytes]) -> bytes:
    return b"".join(hashes)


def parse_tile(tile: Tile, data: bytes) -> list[bytes]:
    """The tile's hashes, from its bytes or those of the full tile. Raises BadTile."""
    wanted = tile.width * HASH_BYTES
    if len(data) not in (wanted, MAX_TILE_BYTES):
        raise BadTile(tile.path, f"{len(data)} bytes instead of {wanted}")
    return [data[at : at + HASH_BYTES] for at in range(0, wanted, HASH_BYTES)]


def encode_bundle(entries: Sequence[bytes]) -> bytes:
    """Raises ValueError for an entry over 65 535 bytes."""
    parts = []
    for entry in entries:
        if len(entry) > MAX_ENTRY_BYTES:
            raise ValueError(f"a log entry has at most {MAX_ENTRY_BYTES} bytes, not {len(entry)}")
        parts += [len(entry).to_bytes(2, "big"), entry]
    return b"".join(parts)


def parse_bundle(tile: Tile, data: bytes) -> list[bytes]:
    """The first `tile.width` entries; more may follow only in a full bundle. Raises BadTile."""
    entries: list[bytes] = []
    at = 0
    while at < len(data):
        end = at + 2 + int.from_bytes(data[at : at + 2], "big")
        if end > len(data):
            raise BadTile(tile.path, f"entry {len(entries)} at byte {at} is cut off")
        entries.append(data[at + 2 : end])
        at = end
        if len(entries) > TILE_WIDTH:
            break
    if len(entries) not in (tile.width, TILE_WIDTH):
        raise BadTile(tile.path, f"{len(entries)} entries instead of {tile.width}")
    return entries[: tile.width]


# --- node hashes from tiles ------------------------------------------------------------------------


def fold(hashes: Sequence[bytes]) -> bytes:
    """The root over 2^k hashes of complete subtrees."""
    level = list(hashes)
    while len(level) > 1:
        level = [node_hash(level[at], level[at + 1]) for at in range(0, len(level), 2)]
    return level[0]


def tile_hash_reader(size: int, read: Callable[[Tile], list[bytes]]) -> HashReader:
    """Node hashes of a tree of this size, from its tiles; `read` parses one, of the width it is asked for.

    The reader raises what `read` raises, and ValueError for a node the tree does not have.
    """
    cache: OrderedDict[Tile, list[bytes]] = OrderedDict()

    def hashes(tile: Tile) -> list[bytes]:
        found = cache.get(tile)
        if found is None:
            found = cache[tile] = read(tile)
            if len(cache) > _CACHED_TILES:
                cache.popitem(last=False)
        return found

    def read_hash(level: int, index: int) -> bytes:
        tile_level, height = divmod(level, TILE_HEIGHT)
        first, count = index << height, 1 << height
        tile = tile_of(tile_level, first // TILE_WIDTH, size)
        at = first % TILE_WIDTH
        if at + count > tile.width:
            raise ValueError(f"a tree of size {size} has no complete node {index} at level {level}")
        return fold(hashes(tile)[at : at + count])

    return read_hash
