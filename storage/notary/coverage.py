"""What the signed tree of a log already proves, as far as deleting needs to know. Conduct: reads the tree's end.

Two questions: up to which segment number are manifests (SEALED, RECOVERED leaves) under a signed checkpoint, and
are the leaves of these tombstones under one that a power cut cannot take back. Both are answered from the newest
entries backwards, so the age of the log does not matter.

The trap: "appended" or "published" is not enough for an unlink. Entries can be made again from the segments after a
power cut, but not those of a segment that is gone; so only what lies below `synced` counts for a tombstone.
"""

from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import Final

import msgspec

from storage.files import FileOps
from storage.notary.leaf import (
    TYPE_BLOCK,
    LossAcceptedLeaf,
    RecoveredLeaf,
    SealedLeaf,
    TombstoneLeaf,
    parse_leaf,
)
from storage.tlog.note import VerifierKey
from storage.tlog.tiles import TILE_WIDTH
from storage.tlog.tree import open_tree_reader
from storage.tlog.tree_files import TreeFiles
from storage.tlog.tree_reader import CHECKPOINT, TreeDamaged, TreeReader

TREE_DIRECTORY: Final = "tlog"
MAX_ENTRIES_BACK: Final = 1 << 20
"""Some seconds of reading: a busy log's day. A tombstone further back was deleted under long ago."""
_BLOCK: Final = bytes([TYPE_BLOCK])
_TRIES: Final = 3
"""A growing tree drops partial tiles under its readers; the next look finds their successors."""


class Covered(msgspec.Struct, frozen=True):
    """manifests: every segment up to this number has its manifest under a signed checkpoint; 0: none.
    tombstones: those asked for that are, durably."""

    manifests: int
    tombstones: frozenset[bytes]


def read_covered(
    files: FileOps,
    log_directory: Path,
    keys: Sequence[VerifierKey],
    *,
    tombstones: Collection[bytes] = (),
) -> Covered:
    """What is covered: nothing when the log has no tree, or one without a checkpoint yet.

    keys: of the log; the checkpoint must be signed by one. tombstones: SHA-256 of their files; looked for among
    the newest MAX_ENTRIES_BACK entries. Raises TreeDamaged, BadLeaf, OSError.
    """
    directory = log_directory / TREE_DIRECTORY
    for attempt in range(_TRIES):
        try:
            return _read(files, directory, keys, frozenset(tombstones))
        except TreeDamaged:
            if attempt == _TRIES - 1:
                raise
    raise AssertionError("unreachable")


def _read(files: FileOps, directory: Path, keys: Sequence[VerifierKey], wanted: frozenset[bytes]) -> Covered:
    disk = TreeFiles(files, directory)
    if CHECKPOINT not in disk.names("") and not disk.copies():
        return Covered(0, frozenset())
    durable = disk.read_synced()  # before the tree: it only grows
    reader, _ = open_tree_reader(files, directory, keys)
    manifests: int | None = None
    found: set[bytes] = set()
    for index, leaf in _backwards(reader):
        if isinstance(leaf, TombstoneLeaf):
            if leaf.sha256 in wanted and index < durable:
                found.add(leaf.sha256)
        elif manifests is None:
            # numbers before an accepted loss may have been given out again: only a manifest behind it counts
            manifests = 0 if isinstance(leaf, LossAcceptedLeaf) else leaf.number
        if manifests is not None and found == wanted:
            break
    return Covered(manifests or 0, frozenset(found))


def _backwards(
    reader: TreeReader,
) -> Iterator[tuple[int, SealedLeaf | RecoveredLeaf | TombstoneLeaf | LossAcceptedLeaf]]:
    """(index, leaf) of what is no block, newest first, of at most MAX_ENTRIES_BACK entries."""
    end, last = reader.size, max(reader.size - MAX_ENTRIES_BACK, 0)
    while end > last:
        start = (end - 1) // TILE_WIDTH * TILE_WIDTH
        entries = list(reader.entries(start, end))
        for index in range(end - 1, start - 1, -1):
            entry = entries[index - start]
            if entry[1:2] == _BLOCK:
                continue  # most are; parsing them all would take seconds
            leaf = parse_leaf(entry)
            if isinstance(leaf, SealedLeaf | RecoveredLeaf | TombstoneLeaf | LossAcceptedLeaf):
                yield index, leaf
        end = start
