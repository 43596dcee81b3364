"""A published tree, read from its tiles: entries, proofs, and whether the tiles agree with each other.

Reads through a function from path to bytes, so a directory and a bucket are read alike; changes nothing and
needs no key. Every entry is checked against its leaf hash, every partial tile may be read from its full one.

The trap: tiles are only as good as the root they lead to. `root` is to be compared with a signed
checkpoint's before anything else is believed; `check` then covers every tile below it.
"""

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Final

from storage.errors import StorageError
from storage.files import FileOps
from storage.tlog.merkle import (
    HashReader,
    consistency_proof,
    inclusion_proof,
    leaf_hash,
    peaks_of,
    root_of_peaks,
)
from storage.tlog.note import MAX_NOTE_BYTES
from storage.tlog.tiles import (
    ENTRIES_LEVEL,
    MAX_BUNDLE_BYTES,
    TILE_WIDTH,
    BadTile,
    Tile,
    fold,
    new_tiles,
    parse_bundle,
    parse_tile,
    tile_hash_reader,
    tile_of,
)

CHECKPOINT: Final = "checkpoint"
CHECKPOINT_COPIES: Final = "checkpoints"
VKEY: Final = "vkey"
"""The public keys of the log, a line each, beside its checkpoint: so that a copy can be checked for itself."""
MAX_FILE_BYTES: Final = max(MAX_BUNDLE_BYTES, MAX_NOTE_BYTES)

ReadFile = Callable[[str], bytes]
"""Path below the log's prefix -> its bytes. Raises FileNotFoundError, TreeDamaged."""


class TreeDamaged(StorageError):
    """The files of a tree are missing or wrong; `path` is the first such file, below the tree's directory.

    After a power cut: rebuild the tree from the segments. Otherwise somebody changed it: keep it, alert.
    """

    def __init__(self, path: str, why: str) -> None:
        super().__init__(f"{path}: {why}")
        self.path, self.why = path, why


class TreeReader:
    """The tree of `size` leaves. Everything raises TreeDamaged for a tile that is missing or wrong."""

    def __init__(self, read: ReadFile, size: int) -> None:
        self.size = size
        self._read = read
        self.hash_reader: HashReader = tile_hash_reader(size, self.values)

    def values(self, tile: Tile) -> list[bytes]:
        """The hashes of a tile, or the entries of a bundle; of bundles unchecked: see `entries`."""
        parse = parse_bundle if tile.level == ENTRIES_LEVEL else parse_tile
        try:
            return parse(tile, self._bytes(tile))
        except BadTile as error:
            raise TreeDamaged(error.path, error.why) from None

    def _bytes(self, tile: Tile) -> bytes:
        try:
            return self._read(tile.path)
        except FileNotFoundError:
            if tile.is_full:
                raise TreeDamaged(tile.path, "missing") from None
        try:
            return self._read(tile.full().path)  # a partial tile may go once the full one is there
        except FileNotFoundError:
            raise TreeDamaged(tile.path, "missing") from None

    def root(self) -> bytes:
        """The root the right edge leads to."""
        return root_of_peaks(peaks_of(self.size, self.hash_reader))

    def entries(self, start: int, end: int) -> Iterator[bytes]:
        """Log entries [start, end), each checked against its leaf hash. Raises ValueError beyond the tree."""
        if not 0 <= start <= end <= self.size:
            raise ValueError(f"a tree of size {self.size} has no entries {start} to {end}")
        while start < end:
            index, at = divmod(start, TILE_WIDTH)
            entries = self._checked_bundle(tile_of(ENTRIES_LEVEL, index, self.size))
            upto = min(TILE_WIDTH, end - index * TILE_WIDTH)
            yield from entries[at:upto]
            start = index * TILE_WIDTH + upto

    def inclusion_proof(self, index: int, size: int) -> list[bytes]:
        """Of leaf `index` in the tree of `size`, at most the reader's. Raises ValueError."""
        self._within(size)
        return inclusion_proof(index, size, self.hash_reader)

    def consistency_proof(self, old: int, new: int) -> list[bytes]:
        """That the tree of size `old` is a prefix of that of size `new`. Raises ValueError."""
        self._within(new)
        return consistency_proof(old, new, self.hash_reader)

    def check(self, since: int = 0) -> None:
        """Compare every tile and bundle that the tree has beyond its state at size `since`.

        With a right `root`, everything below it is then right. About 1.5 us a leaf.
        """
        for tile in new_tiles(since, self.size):
            if tile.level == ENTRIES_LEVEL:
                self._checked_bundle(tile)
            elif tile.is_full:
                above = tile_of(tile.level + 1, tile.index // TILE_WIDTH, self.size)
                if fold(self.values(tile)) != self.values(above)[tile.index % TILE_WIDTH]:
                    raise TreeDamaged(tile.path, f"does not lead to its hash in {above.path}")

    def _checked_bundle(self, tile: Tile) -> list[bytes]:
        entries = self.values(tile)
        hashes = self.values(tile_of(0, tile.index, self.size))
        for number, (entry, value) in enumerate(zip(entries, hashes, strict=True)):
            if leaf_hash(entry) != value:
                index = tile.index * TILE_WIDTH + number
                raise TreeDamaged(tile.path, f"entry {index} is not the one the tree holds")
        return entries

    def _within(self, size: int) -> None:
        if size > self.size:
            raise ValueError(f"size {size} is beyond the tree of size {self.size}")


def file_reader(files: FileOps, directory: Path) -> ReadFile:
    """Reads below a directory. Raises OSError as it comes, and TreeDamaged for absurdly large files."""
    return partial(_read_file, files, directory)


def _read_file(files: FileOps, directory: Path, path: str) -> bytes:
    fd = files.open_read(directory / path)
    try:
        size = files.size(fd)
        if size > MAX_FILE_BYTES:
            raise TreeDamaged(path, f"{size} bytes long")
        return files.read(fd, size, 0)
    finally:
        files.close(fd)
