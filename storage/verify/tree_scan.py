"""A published tree, hashed anew from its entries: tile roots, and which leaves belong to which segment. For `verify`.

Reads bundles and level-0 tiles in runs that processes share out; what is above them is put together by `tree_check`.
A bundle of 256 BLOCK leaves of one segment, the common case, is taken apart without parsing its entries.

The trap: a tree grows while it is read, and partial tiles are replaced by wider ones. So the edge is read once, with
the checkpoint, and carried along; full tiles never change.
"""

from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path
from typing import Final

import msgspec

from storage.errors import StorageError
from storage.files import FileOps
from storage.notary.frame_scan import BUNDLED_ENTRY, ENTRY_PREFIX
from storage.notary.leaf import LEAF_VERSION, TYPE_BLOCK
from storage.tlog.tiles import ENTRIES_LEVEL, TILE_WIDTH, Tile, fold, parse_bundle, parse_tile, tile_of
from storage.tlog.tree_reader import TreeDamaged, file_reader

ENTRY_STRIDE: Final = BUNDLED_ENTRY.size
_BLOCK_HEAD: Final = ENTRY_PREFIX + bytes([LEAF_VERSION, TYPE_BLOCK])
_ID_AT: Final = len(_BLOCK_HEAD)
_ID_END: Final = _ID_AT + 16


class TreeSnapshot(msgspec.Struct, frozen=True):
    """A tree as of one checkpoint. edge: the bytes of its partial tiles, by their path."""

    directory: str
    size: int
    edge: dict[str, bytes]

    def read(self, files: FileOps, tile: Tile) -> bytes:
        """The bytes of a tile or bundle. Raises TreeDamaged when it is missing, OSError."""
        if tile.path in self.edge:
            return self.edge[tile.path]
        try:
            return file_reader(files, Path(self.directory))(tile.path)
        except FileNotFoundError:
            raise TreeDamaged(tile.path, "missing") from None


class Run(msgspec.Struct, frozen=True):
    """Consecutive BLOCK leaves of one segment: leaf numbers [start, end)."""

    segment_id: bytes
    start: int
    end: int


class Mismatch(msgspec.Struct, frozen=True):
    """A bundle and its tile that do not agree, or one of them unreadable. Hashes: b"" without the file."""

    index: int
    bundle_error: str
    tile_error: str
    from_bundle: tuple[bytes, ...]
    from_tile: tuple[bytes, ...]


class TreePart(msgspec.Struct, frozen=True):
    """What a run of bundles [first, ...) says. roots: of full bundles, in order; edge: leaf hashes of a partial one.

    peaks: for the tree sizes asked for, the peaks within the bundle where that tree ended. Of a mismatching bundle the
    root is b"", and it has no peaks.
    """

    first: int
    roots: list[bytes]
    edge: list[bytes]
    peaks: dict[int, list[bytes]]
    runs: list[Run]
    others: list[tuple[int, bytes]]
    mismatches: list[Mismatch]


def scan_tree(files: FileOps, tree: TreeSnapshot, first: int, end: int, sizes: Sequence[int]) -> TreePart:
    """Read bundles [first, end). sizes: of older trees whose last leaf is among them. Raises OSError."""
    part = TreePart(first, [], [], {}, [], [], [])
    for index in range(first, end):
        bundle = tile_of(ENTRIES_LEVEL, index, tree.size)
        leaves, problem = _entries(files, tree, bundle, part)
        hashes, tile_problem = _hashes(files, tree, Tile(0, index, bundle.width))
        if leaves != hashes or not leaves:
            part.mismatches.append(Mismatch(index, problem, tile_problem, tuple(leaves), tuple(hashes)))
            if bundle.is_full:
                part.roots.append(b"")
            continue
        if bundle.is_full:
            part.roots.append(fold(leaves))
        else:
            part.edge.extend(leaves)
        for size in sizes:
            if index * TILE_WIDTH < size <= (index + 1) * TILE_WIDTH:
                part.peaks[size] = peaks_within(leaves[: size - index * TILE_WIDTH])
    return part


def peaks_within(leaves: Sequence[bytes]) -> list[bytes]:
    """The peaks over the first leaves of a bundle, the largest first."""
    peaks, start = [], 0
    for height in reversed(range(len(leaves).bit_length())):
        if len(leaves) >> height & 1:
            peaks.append(fold(leaves[start : start + (1 << height)]))
            start += 1 << height
    return peaks


def _hashes(files: FileOps, tree: TreeSnapshot, tile: Tile) -> tuple[list[bytes], str]:
    try:
        return parse_tile(tile, tree.read(files, tile)), ""
    except StorageError as error:
        return [], str(error)


def _entries(files: FileOps, tree: TreeSnapshot, bundle: Tile, part: TreePart) -> tuple[list[bytes], str]:
    """Leaf hashes of a bundle; its leaves go to `runs` and `others`."""
    start = bundle.index * TILE_WIDTH
    try:
        data = tree.read(files, bundle)
        if is_uniform(data, bundle.width):
            _add_run(part.runs, data[_ID_AT:_ID_END], start, start + bundle.width)
            ends = range(ENTRY_STRIDE, len(data) + 1, ENTRY_STRIDE)
            return [sha256(b"\0" + data[end - ENTRY_STRIDE + 2 : end]).digest() for end in ends], ""
        entries = parse_bundle(bundle, data)
    except StorageError as error:
        return [], str(error)
    for index, entry in enumerate(entries, start):
        if len(entry) == ENTRY_STRIDE - 2 and entry[:2] == _BLOCK_HEAD[2:]:
            _add_run(part.runs, entry[_ID_AT - 2 : _ID_END - 2], index, index + 1)
        else:
            part.others.append((index, entry))
    return [sha256(b"\0" + entry).digest() for entry in entries], ""


def is_uniform(data: bytes, width: int) -> bool:
    """Whether a bundle is exactly `width` BLOCK leaves of one segment."""
    if len(data) != width * ENTRY_STRIDE:
        return False
    head = _BLOCK_HEAD + data[_ID_AT:_ID_END]
    return all(data[at::ENTRY_STRIDE] == head[at : at + 1] * width for at in range(_ID_END))


def _add_run(runs: list[Run], segment_id: bytes, start: int, end: int) -> None:
    if runs and runs[-1].segment_id == segment_id and runs[-1].end == start:
        start = runs.pop().start
    runs.append(Run(segment_id, start, end))


def entries_of_runs(files: FileOps, tree: TreeSnapshot, runs: Sequence[Run]) -> bytes:
    """The BLOCK entries of one segment as they stand in bundles, joined. Bundles that cannot be read are left out
    (`tree_check` reports them). Raises OSError."""
    parts = []
    for run in runs:
        for index in range(run.start // TILE_WIDTH, (run.end - 1) // TILE_WIDTH + 1):
            bundle = tile_of(ENTRIES_LEVEL, index, tree.size)
            first = max(run.start - index * TILE_WIDTH, 0)
            last = min(run.end - index * TILE_WIDTH, bundle.width)
            try:
                data = tree.read(files, bundle)
                if is_uniform(data, bundle.width):
                    parts.append(data[first * ENTRY_STRIDE : last * ENTRY_STRIDE])
                else:
                    entries = parse_bundle(bundle, data)[first:last]
                    parts.append(b"".join(ENTRY_PREFIX + entry for entry in entries))
            except StorageError:
                continue
    return b"".join(parts)
